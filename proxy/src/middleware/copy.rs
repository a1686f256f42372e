//! copy: `COPY` with `Destination`, and `PUT` with `X-Copy-From`: the content of one object becomes another's, without
//! passing through the client and without being held here.
//!
//! A COPY is turned into the PUT it means. The source is read through `dlo` as the caller, so the source's read ACL and the
//! target's write ACL are both asked. Conditions and `Range` are about the source. What is not overridden by fields of the
//! request comes along: metadata, content type, expiry. The source's ETag is checked on arrival.

use crate::config::Config;
use crate::pipeline::Application;
use crate::request::{ClientRequest, OPEN_EXPIRED};
use crate::respond;
use base::config::is_true;
use base::http::server::{RequestBody, Response, ResponseBody};
use base::http::{Headers, Method, Status};
use base::io::Job;
use base::names::{InvalidPath, Name, Path};
use base::quote::{Query, quote, unquote};
use bytes::Bytes;
use std::rc::Rc;

/// The layer.
pub struct Copy {
    config: Rc<Config>,
    next: Rc<dyn Application>,
}

impl Copy {
    /// Around `next`.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>) -> Self {
        Self { config, next }
    }
}

type Refused<T> = Result<T, Box<Response>>;

impl Application for Copy {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        if request.path.object.is_none() {
            return self.next.call(request);
        }
        let is_copy = request.method == Method::Copy;
        // An empty one says nothing.
        let names_source = request.headers.get("X-Copy-From").is_some_and(|value| !value.is_empty());
        let is_copying_put = request.method == Method::Put && names_source;
        if !is_copy && !is_copying_put {
            return self.next.call(request);
        }
        let (config, next) = (Rc::clone(&self.config), Rc::clone(&self.next));
        Job::new(async move {
            let put = if is_copy { as_put(request) } else { Ok(request) };
            match put {
                Ok(put) => copy(&config, &next, put).await.unwrap_or_else(|refused| *refused),
                Err(refused) => *refused,
            }
        })
    }
}

/// The PUT that a COPY means: to its destination, from its own path.
fn as_put(mut request: ClientRequest) -> Refused<ClientRequest> {
    let Some(destination) = request.headers.remove("Destination").filter(|value| !value.is_empty()) else {
        return Err(refuse(412, "Destination header required"));
    };
    let account = match request.headers.remove("Destination-Account") {
        Some(account) => account_name(&account)?,
        None => request.path.account.to_string(),
    };
    let form = "Destination header must be of the form <container name>/<object name>";
    let target = object_path(&account, &destination, form)?;
    let source = Path { account: Name::default(), ..request.path.clone() };
    // The leading slash of an empty account and the one behind it are not part of the header's form.
    request.headers.set("X-Copy-From", source.quoted().trim_start_matches('/').to_owned());
    request.headers.set("X-Copy-From-Account", quote(request.path.account.as_bytes()));
    request.method = Method::Put;
    request.path = target;
    request.body = RequestBody::full("");
    Ok(request)
}

async fn copy(config: &Config, next: &Rc<dyn Application>, mut put: ClientRequest) -> Refused<Response> {
    if put.body.length() != Some(0) {
        return Err(Box::new(respond::explained(Status(400), "Copy requests require a zero byte body")));
    }
    let source_path = source_path(&mut put)?;
    let mut source = next.call(source_request(&mut put, source_path.clone())).await;
    if !source.head.status.is_success() {
        return Err(Box::new(source));
    }
    let length = match &source.body {
        ResponseBody::Empty => Some(0),
        ResponseBody::Full(bytes) => Some(bytes.len() as u64),
        ResponseBody::Stream { length, .. } => *length,
    };
    // Without a length: a manifest of more segments than one listing shows, which is not copied.
    let Some(length) = length.filter(|length| *length <= config.constraints.max_file_size) else {
        return Err(Box::new(respond::standard(Status(413))));
    };
    carry_over(&mut put, &source);
    put.body = match std::mem::replace(&mut source.body, ResponseBody::Empty) {
        ResponseBody::Empty => RequestBody::full(""),
        ResponseBody::Full(bytes) => RequestBody::full(bytes),
        ResponseBody::Stream { source, .. } => RequestBody::streaming(Some(length), source),
    };
    let shown = shown_fields(&put.headers);
    let mut response = next.call(put).await;
    if response.head.status.is_success() {
        copied_from(&mut response, &source_path, &source.head.headers, shown);
    }
    Ok(response)
}

/// Where the source is; the fields that say so are taken off.
fn source_path(put: &mut ClientRequest) -> Refused<Path> {
    let from = put.headers.remove("X-Copy-From").unwrap_or_default();
    let account = match put.headers.remove("X-Copy-From-Account") {
        Some(account) => account_name(&account)?,
        None => put.path.account.to_string(),
    };
    object_path(&account, &from, "X-Copy-From header must be of the form <container name>/<object name>")
}

/// A GET as the caller. Conditions and `Range` move from the PUT to it.
fn source_request(put: &mut ClientRequest, path: Path) -> ClientRequest {
    let mut get = put.subrequest(Method::Get, path).by("SSC");
    for name in OF_SOURCE {
        if let Some(value) = put.headers.remove(name) {
            get.headers.set(name, value);
        }
    }
    get.headers.remove(OPEN_EXPIRED);
    // An older replica must not become the newest copy.
    get.headers.set("X-Newest", "true");
    // Which version, which part, whether it is the link itself: said of the source.
    let mut asked = Vec::new();
    let said = OF_SOURCE_QUERY.iter().filter_map(|name| Some((name, put.query.get(name)?)));
    for (name, value) in said {
        asked.push(format!("{name}={}", quote(value)));
        if (*name, value) == ("multipart-manifest", b"get") {
            // A static manifest as it could be sent again.
            asked.push("format=raw".to_owned());
        }
    }
    get.query = Query::parse(asked.join("&").as_bytes());
    if put.query.get("version-id").is_some() {
        let kept = put.query.get("multipart-manifest").map(|value| format!("multipart-manifest={}", quote(value)));
        put.query = Query::parse(kept.unwrap_or_default().as_bytes());
    }
    get
}

const OF_SOURCE_QUERY: [&str; 4] = ["multipart-manifest", "part-number", "symlink", "version-id"];
const OF_SOURCE: [&str; 5] = ["Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"];

/// Fields of the source that become the target's, where the request does not say otherwise.
fn carry_over(put: &mut ClientRequest, source: &Response) {
    let from = &source.head.headers;
    let asks_manifest = put.query.get("multipart-manifest") == Some(b"get");
    let is_static = from.get_str("X-Static-Large-Object").is_some_and(is_true);
    let is_manifest = from.contains("X-Object-Manifest");
    let copies_manifest = is_manifest && asks_manifest;
    if is_static && asks_manifest {
        put.query = Query::parse(b"multipart-manifest=put");
    }
    let is_fresh = put.headers.get_str("X-Fresh-Metadata").is_some_and(is_true);
    let has_expiry = put.headers.contains("X-Delete-At") || put.headers.contains("X-Delete-After");
    let mut carried = Headers::new();
    for (name, value) in from.iter() {
        let lower = name.to_ascii_lowercase();
        // What a listing shows of the source is not the target's.
        let is_sysmeta = lower.starts_with(b"x-object-sysmeta-")
            && !lower.starts_with(b"x-object-sysmeta-container-update-override-")
            && !lower.starts_with(b"x-object-sysmeta-slo-");
        let is_carried = if is_fresh { is_sysmeta } else { is_sysmeta || is_metadata(&lower) };
        let is_expiry = lower == b"x-delete-at" && !is_fresh && !has_expiry;
        let is_overridden = std::str::from_utf8(name).is_ok_and(|name| put.headers.contains(name));
        if (is_carried || is_expiry) && !is_overridden {
            carried.append(name.clone(), value.clone());
        }
    }
    if put.headers.get("Content-Type").is_none_or(Bytes::is_empty) {
        carry(from, &mut put.headers, "Content-Type");
    }
    if copies_manifest && !put.headers.contains("X-Object-Manifest") {
        carry(from, &mut carried, "X-Object-Manifest");
    }
    // Only the ETag of whole, plain bytes is the MD5 of what will arrive.
    if source.head.status == Status(200) && !is_static && (!is_manifest || copies_manifest) {
        carry(from, &mut put.headers, "Etag");
    }
    for (name, value) in carried.iter() {
        put.headers.append(name.clone(), value.clone());
    }
}

fn is_metadata(lower: &[u8]) -> bool {
    const KEPT: [&[u8]; 6] = [
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"expires",
        b"x-robots-tag",
    ];
    lower.starts_with(b"x-object-meta-")
        || lower.starts_with(b"x-object-transient-sysmeta-")
        || lower.starts_with(b"x-symlink-target")
        || KEPT.contains(&lower)
}

fn carry(from: &Headers, to: &mut Headers, name: &'static str) {
    if let Some(value) = from.get(name) {
        to.set(name, value.clone());
    }
}

/// What the answer repeats of the new object.
fn shown_fields(headers: &Headers) -> Vec<(Bytes, Bytes)> {
    let is_shown = |name: &[u8]| {
        let lower = name.to_ascii_lowercase();
        lower.starts_with(b"x-object-meta-") || lower == b"x-delete-at"
    };
    headers.iter().filter(|(name, _)| is_shown(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn copied_from(response: &mut Response, source: &Path, from: &Headers, shown: Vec<(Bytes, Bytes)>) {
    let headers = &mut response.head.headers;
    let path = Path { account: Name::default(), ..source.clone() };
    headers.set("X-Copied-From-Account", quote(source.account.as_bytes()));
    headers.set("X-Copied-From", path.quoted().trim_start_matches('/').to_owned());
    if let Some(id) = from.get("X-Object-Version-Id") {
        headers.set("X-Copied-From-Version-Id", id.clone());
    }
    if let Some(time) = from.get("Last-Modified") {
        headers.set("X-Copied-From-Last-Modified", time.clone());
    }
    for (name, value) in shown {
        headers.set(name, value);
    }
}

/// An account named by a header.
fn account_name(value: &[u8]) -> Refused<String> {
    let name = String::from_utf8(unquote(value)).map_err(|_| refuse(412, "Account name must be UTF-8"))?;
    match name.as_str() {
        "" => Err(refuse(412, "Account name cannot be empty")),
        name if name.contains('/') => Err(refuse(412, "Account name cannot contain slashes")),
        _ => Ok(name),
    }
}

/// `container/object` of a header, percent-encoded, with or without a slash before it.
fn object_path(account: &str, value: &[u8], form: &'static str) -> Refused<Path> {
    // Decoded and encoded again: a blank or a question mark sent as it is means itself.
    let rest = quote(&unquote(value.strip_prefix(b"/").unwrap_or(value)));
    let path = Path::parse(format!("/{}/{rest}", quote(account.as_bytes())).as_bytes());
    match path {
        Ok(path) if path.object.is_some() => Ok(path),
        Ok(_) | Err(InvalidPath::Shape) => Err(refuse(412, form)),
        Err(InvalidPath::Encoding) => Err(refuse(412, "Invalid UTF8 or contains NULL")),
    }
}

fn refuse(status: u16, text: &str) -> Box<Response> {
    Box::new(respond::told(Status(status), text))
}

#[cfg(test)]
mod tests;
