//! formpost: a browser's form (`POST`, `multipart/form-data`) stores the files it brings, each as an object below the form's
//! address. The form carries a signature made with a key of the account or of the container; what is signed are the address,
//! the redirect, the sizes and the time, not the files.
//!
//! - The form is read as it comes: a file goes to its object piece by piece, nothing is collected but short values
//!   (`form`). Values behind a file are for the files behind them.
//! - Nothing is stored before the signature fits; the right reaches as far as the key that made it, whatever token came along
//!   (`claim`).
//! - A redirect that nobody signed is not followed: Swift would send a browser anywhere.

mod claim;
mod form;

use crate::config::Config;
use crate::middleware::listing_formats::collect;
use crate::middleware::{authorization, tempurl};
use crate::pipeline::Application;
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::http::mime::{MimeError, MimeReader, parameters};
use base::http::server::{BodyError, Response};
use base::http::{Headers, Method, Status};
use base::io;
use base::names::Path;
use base::quote::quote;
use base::timestamp::Timestamp;
use bytes::Bytes;
use claim::{Claim, Scope};
use form::Form;
use std::borrow::Cow;
use std::rc::Rc;
use tempurl::signature::Digest;

/// Most bytes of an answer to one file that are shown.
const ANSWER_MAX: usize = 64 * 1024;

/// The boundary of a form with files, if the request is one.
pub fn boundary(method: Method, headers: &Headers) -> Option<String> {
    let (kind, attributes) = parameters(headers.get_str("Content-Type").filter(|_| method == Method::Post)?);
    let boundary = attributes.iter().rev().find(|(name, _)| *name == "boundary")?;
    (kind == "multipart/form-data").then(|| boundary.1.to_owned())
}

/// A form as it was sent.
pub struct Submission {
    /// The request, without a right of its own; its path means nothing unless `path` is there.
    pub request: ClientRequest,
    /// Where the files go: container and the beginning of their names; `None` for an address that is no container's.
    pub path: Option<Path>,
    /// The address, decoded: it is signed.
    pub address: Vec<u8>,
    /// See [`boundary`].
    pub boundary: String,
}

/// Stores the files; `application` knows the keys, `layers` take the objects.
pub async fn answer(
    config: &Config,
    application: &Rc<dyn Application>,
    layers: &Rc<dyn Application>,
    submission: Submission,
) -> Response {
    let Submission { mut request, path, address, boundary } = submission;
    let Some(reader) = MimeReader::new(boundary.as_bytes()) else { return Refused::Mime(MimeError::Start).response() };
    let keys = match &path {
        Some(path) => {
            request.path = path.clone();
            keys(application, &request).await
        }
        None => Vec::new(),
    };
    let body = std::mem::replace(&mut request.body, base::http::server::RequestBody::full(""));
    let claim = Claim::new(address, keys, config.formpost.allowed_digests.clone());
    let upload = Upload { layers, request: &request, claim, scope: None };
    upload.run(Form::new(reader, body)).await.unwrap_or_else(|refused| refused.response())
}

/// Keys of the account, then those of the container, each with what it opens.
async fn keys(application: &Rc<dyn Application>, request: &ClientRequest) -> Vec<(Vec<u8>, Scope)> {
    let account = application.account_headers(request).await;
    let container = application.container_headers(request).await;
    let of_account = tempurl::keys(&account, "X-Account-Meta-Temp-Url-Key").map(|key| (key, Scope::Account));
    let of_container = tempurl::keys(&container, "X-Container-Meta-Temp-Url-Key").map(|key| (key, Scope::Container));
    of_account.chain(of_container).collect()
}

/// Why a form is not gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refused {
    /// It is no multipart body.
    Mime(MimeError),
    /// It ended early.
    Body(BodyError),
    /// A value cannot be meant, or a file is too large.
    Invalid(&'static str),
    /// Nobody signed this, or it is too late.
    Unauthorized(&'static str),
}

impl Refused {
    fn response(self) -> Response {
        let bad = |text: &str| Response::full(Status(400), "text/plain", format!("FormPost: {text}"));
        match self {
            Refused::Mime(MimeError::Start) => bad("invalid starting boundary"),
            Refused::Mime(MimeError::Fields) => bad("invalid headers of a part"),
            Refused::Mime(MimeError::Delimiter) => bad("invalid or missing boundary behind a part"),
            Refused::Invalid(text) => bad(text),
            Refused::Body(BodyError::Disconnected) => respond::standard(Status(499)),
            Refused::Body(BodyError::TimedOut) => respond::standard(Status(408)),
            Refused::Body(BodyError::Malformed) => respond::standard(Status(400)),
            Refused::Unauthorized(text) => {
                let challenge = authorization::unauthorized(None).head.headers.remove("Www-Authenticate");
                let body = format!("FormPost: {}", title(text));
                let response = Response::full(Status(401), "text/html; charset=UTF-8", body);
                response.header("Www-Authenticate", challenge.unwrap_or_default())
            }
        }
    }
}

/// What becomes of a form on its way.
struct Upload<'a> {
    layers: &'a Rc<dyn Application>,
    request: &'a ClientRequest,
    claim: Claim,
    /// How far the signature reaches, once it was found good.
    scope: Option<Scope>,
}

/// What the browser is told at the end.
struct Outcome {
    status: Status,
    message: &'static str,
    headers: Headers,
    body: Bytes,
}

impl Outcome {
    fn bad(message: &'static str) -> Outcome {
        Outcome { status: Status(400), message, headers: Headers::new(), body: Bytes::new() }
    }
}

impl Upload<'_> {
    async fn run(mut self, mut form: Form) -> Result<Response, Refused> {
        let mut outcome = Outcome::bad("no files to process");
        let mut files = 0_i64;
        // Ends: each turn takes a part of the body.
        while let Some(fields) = form.next_part().await? {
            let disposition = text(fields.get("Content-Disposition"));
            let (kind, attributes) = parameters(&disposition);
            let named =
                |wanted: &str| attributes.iter().rev().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
            let Some(file) = named("filename").filter(|file| kind == "form-data" && !file.is_empty()) else {
                let value = form.value().await?;
                if let Some(name) = named("name") {
                    self.claim.set(&name.to_lowercase(), value)?;
                }
                continue;
            };
            files = files.saturating_add(1);
            if files > self.claim.number("max_file_count")?.unwrap_or(0) {
                outcome = Outcome::bad("max file count exceeded");
                break;
            }
            (form, outcome) = self.store(form, file, &fields).await?;
            if !outcome.status.is_success() {
                break;
            }
        }
        Ok(self.finish(outcome))
    }

    /// Stores one file: the form goes into the request's body and comes back out of it.
    async fn store(&mut self, form: Form, file: &str, fields: &Headers) -> Result<(Form, Outcome), Refused> {
        self.claim.need_keys()?;
        let file_bytes_max = self.claim.number("max_file_size")?.unwrap_or(0);
        let mut headers = self.claim.headers(fields)?;
        let scope = self.verify()?;
        for name in ["Origin", "Host"] {
            if let Some(value) = self.request.headers.get(name) {
                headers.append(name, value.clone());
            }
        }
        let path = &self.request.path;
        let object = format!("{}{file}", path.object.as_deref().unwrap_or_default());
        if object.contains('\0') {
            return Err(Refused::Invalid("invalid file name"));
        }
        let mut put =
            self.request.subrequest(Method::Put, Path { object: Some(object.into()), ..path.clone() }).by("FP");
        for (name, value) in headers.iter() {
            put.headers.append(name.clone(), value.clone());
        }
        put.authority = Authority::Signed {
            account: path.account.clone(),
            container: path.container.clone().filter(|_| scope == Scope::Container),
        };
        // Two files of one name: the second is the newer one.
        put.timestamp = Timestamp::from_unix(io::unix_time());
        let (body, form) = form.lend(u64::try_from(file_bytes_max).unwrap_or(0));
        put.body = body;
        let response = self.layers.call(put).await;
        let mut form = form.take_back()?;
        if response.head.status.is_success() {
            form.skip_part().await?;
        }
        let body = collect(response.body, ANSWER_MAX).await.unwrap_or_default();
        let (status, headers) = (response.head.status, response.head.headers);
        Ok((form, Outcome { status, message: "", headers, body }))
    }

    fn verify(&mut self) -> Result<Scope, Refused> {
        let scope = self.claim.verify(io::unix_time().as_secs())?;
        self.scope = Some(scope);
        Ok(scope)
    }

    fn finish(mut self, outcome: Outcome) -> Response {
        let Outcome { status, message, headers, body } = outcome;
        let redirect = self.claim.get("redirect").to_owned();
        // Nobody may have looked at the signature of a form without a file.
        let is_signed = self.scope.is_some() || self.verify().is_ok();
        let mut response = if redirect.is_empty() || !is_signed || redirect.chars().any(char::is_control) {
            let status_line = format!("{} {}", status.0, status.reason());
            let said = if message.is_empty() { String::new() } else { format!("\r\nFormPost: {}", title(message)) };
            let body = match status.is_success() || body.is_empty() {
                true => Bytes::from(format!("{status_line}{said}")),
                false => body,
            };
            Response::full(status, "text/plain", body)
        } else {
            let separator = if redirect.contains('?') { '&' } else { '?' };
            let target = format!("{redirect}{separator}status={}&message={}", status.0, quote(message.as_bytes()));
            let link = target.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
            let body = format!("<html><body><p><a href=\"{link}\">Click to continue...</a></p></body></html>");
            Response::full(Status(303), "text/html; charset=UTF-8", body).header("Location", target)
        };
        for (name, value) in headers.iter() {
            if name.to_ascii_lowercase().starts_with(b"access-control") {
                response.head.headers.append(name.clone(), value.clone());
            }
        }
        response
    }
}

/// A field's value: UTF-8, or else every byte a character, as browsers sent names before that.
fn text(value: Option<&Bytes>) -> Cow<'_, str> {
    let value = value.map(|value| value.as_ref()).unwrap_or_default();
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// `form expired` as `Form Expired`: sentences with a capital on every word, as Swift shows them.
fn title(text: &str) -> String {
    String::from_utf8_lossy(&base::http::title_case(text.as_bytes())).into_owned()
}

/// Settings of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `allowed_digests`.
    pub allowed_digests: Vec<Digest>,
}

impl Settings {
    /// For `/info`.
    pub fn document(&self) -> serde_json::Value {
        tempurl::signature::document(&self.allowed_digests)
    }
}

#[cfg(test)]
mod tests;
