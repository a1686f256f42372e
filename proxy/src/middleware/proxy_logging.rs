//! The access log: one line per request, in the format of Swift's proxy-logging, so that what reads Swift's logs reads ours.
//!
//! The line is written when the last byte of the body has gone, or when the client has. `template` knows its fields, `anonymize` and
//! `time` their forms. A pipeline that names the member a second time, next to the application, also has a line for each request
//! that middleware makes on its own (`subrequests`); `{source}` then says which.

mod anonymize;
pub(crate) mod subrequests;
mod template;
mod time;

pub use anonymize::Anonymizer;
pub use template::Template;

use crate::request::ClientRequest;
use base::http::headers::title_case;
use base::http::server::{Finished, Request, Response};
use base::http::{Headers, Method, RequestHead};
use base::io;
use base::quote::{Query, quote, unquote};
use std::rc::Rc;
use std::time::Duration;
pub(crate) use template::DEFAULT as LOG_MSG_TEMPLATE;
use template::{Field, Values};

/// Query parameters that are signatures: who reads the log must not be able to use them (CVE-2017-8761).
const SIGNATURES: [&str; 5] = ["temp_url_sig", "swiftinfo_sig", "X-Amz-Signature", "Signature", "signature"];
/// Fields that are rights, lower case, of which a beginning tells them apart.
const RIGHTS: [&str; 5] = ["x-auth-token", "x-storage-token", "x-service-token", "x-subject-token", "authorization"];
/// Fields that are passwords and keys: short ones would be shown whole, so they are not shown at all.
const SECRETS: [&str; 9] = [
    "x-auth-key",
    "x-storage-pass",
    "x-container-sync-key",
    "x-container-sync-auth",
    "x-account-meta-temp-url-key",
    "x-account-meta-temp-url-key-2",
    "x-container-meta-temp-url-key",
    "x-container-meta-temp-url-key-2",
    "cookie",
];

/// Settings of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `log_msg_template`.
    pub template: Template,
    /// `log_anonymization_method`, `log_anonymization_salt`.
    pub anonymizer: Anonymizer,
    /// `access_log_headers`: the fields of a request are told.
    pub headers: bool,
    /// `access_log_headers_only`, lower case: only these; all when there are none.
    pub headers_only: Vec<String>,
    /// `reveal_sensitive_prefix`: bytes of a token or a signature that are shown.
    pub reveal_sensitive_prefix: usize,
    /// Where accounts are.
    pub valid_api_versions: Vec<String>,
}

/// One request, as its line will show it.
pub struct Entry {
    settings: Rc<Settings>,
    remote: String,
    client: Vec<u8>,
    method: Method,
    domain: Vec<u8>,
    path: String,
    names: [String; 3],
    referer: Vec<u8>,
    user_agent: Vec<u8>,
    token: Vec<u8>,
    client_etag: Vec<u8>,
    headers: Vec<u8>,
    source: &'static str,
    trans_id: String,
    policy_index: Vec<u8>,
    status: u16,
    start: Duration,
    first_byte: Duration,
}

/// An entry whose request is over.
struct Done<'a> {
    entry: &'a Entry,
    finished: &'a Finished,
    end: Duration,
}

impl Entry {
    /// Takes down what the line needs before the request is consumed.
    pub fn begin(settings: &Rc<Settings>, request: &Request, trans_id: &str, start: Duration) -> Entry {
        let remote = request.peer.ip().to_string();
        Entry::new(settings, &request.head, (remote, trans_id, ""), start)
    }

    /// The same for a request of middleware.
    fn of_subrequest(settings: &Rc<Settings>, request: &ClientRequest, source: &'static str, start: Duration) -> Entry {
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{}={}", quote(name), quote(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("/v1{}{mark}{}", request.path.quoted(), query.join("&"));
        let mut head = RequestHead::new(request.method, target);
        head.headers = request.headers.clone();
        Entry::new(settings, &head, (request.remote.clone(), &request.trans_id, source), start)
    }

    fn new(
        settings: &Rc<Settings>,
        head: &RequestHead,
        (remote, trans_id, source): (String, &str, &'static str),
        start: Duration,
    ) -> Entry {
        let headers = &head.headers;
        let reveal = settings.reveal_sensitive_prefix;
        let field = |name: &str| headers.get(name).map(|value| value.to_vec()).unwrap_or_default();
        let token = headers.get("X-Auth-Token").or_else(|| headers.get("X-Storage-Token"));
        Entry {
            client: claimed_client(headers).unwrap_or_else(|| remote.clone().into_bytes()),
            remote,
            method: head.method,
            domain: domain(head),
            path: shown_target(head, reveal),
            names: names(settings, head.path()),
            referer: field("Referer"),
            user_agent: field("User-Agent"),
            token: token.map(|token| cut(token, reveal)).unwrap_or_default(),
            client_etag: field("Etag"),
            headers: if settings.headers { shown_headers(settings, headers) } else { Vec::new() },
            source,
            trans_id: trans_id.to_owned(),
            policy_index: Vec::new(),
            status: 0,
            start,
            first_byte: start,
            settings: Rc::clone(settings),
        }
    }

    /// The request goes on under another host name or path (cname_lookup, domain_remap): Swift's line shows that one.
    pub fn rewritten(&mut self, head: &RequestHead) {
        self.domain = domain(head);
        self.path = shown_target(head, self.settings.reveal_sensitive_prefix);
        self.names = names(&self.settings, head.path());
    }

    /// What the answer's head tells.
    fn answered(&mut self, response: &Response, now: Duration) {
        self.status = response.head.status.0;
        let policy = response.head.headers.get("X-Backend-Storage-Policy-Index");
        self.policy_index = policy.map(|value| value.to_vec()).unwrap_or_default();
        self.first_byte = now;
    }

    /// Follows the response to its end.
    pub fn end_with(mut self, mut response: Response) -> Response {
        self.answered(&response, io::unix_time());
        let inner = response.on_finish.take();
        response.on_finish = Some(Box::new(move |finished| {
            self.write(&finished);
            if let Some(inner) = inner {
                inner(finished);
            }
        }));
        response
    }

    fn write(&self, finished: &Finished) {
        tracing::info!(target: "access", "{}", self.line(finished, io::unix_time()));
    }

    fn line(&self, finished: &Finished, end: Duration) -> String {
        self.settings.template.render(&self.settings.anonymizer, &Done { entry: self, finished, end })
    }
}

impl Values for Done<'_> {
    fn value(&self, field: Field) -> Vec<u8> {
        let Done { entry, finished, end } = self;
        let [account, container, object] = &entry.names;
        let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
        let text = match field {
            Field::ClientIp => return entry.client.clone(),
            Field::Domain => return entry.domain.clone(),
            Field::Referer => return entry.referer.clone(),
            Field::UserAgent => return entry.user_agent.clone(),
            Field::Headers => return entry.headers.clone(),
            Field::ClientEtag => return entry.client_etag.clone(),
            Field::AuthToken => return entry.token.clone(),
            Field::PolicyIndex => return entry.policy_index.clone(),
            Field::RemoteAddr => entry.remote.clone(),
            Field::Path => entry.path.clone(),
            Field::Account => account.clone(),
            Field::Container => container.clone(),
            Field::Object => object.clone(),
            Field::Method => entry.method.as_str().to_owned(),
            Field::Protocol => "HTTP/1.1".to_owned(),
            // Swift's number for a client that did not stay to the end.
            Field::StatusInt if !finished.complete => "499".to_owned(),
            Field::StatusInt | Field::WireStatusInt => entry.status.to_string(),
            Field::BytesRecvd => number(finished.received),
            Field::BytesSent => number(finished.sent),
            Field::TransactionId => entry.trans_id.clone(),
            Field::RequestTime => format!("{:.4}", end.saturating_sub(entry.start).as_secs_f64()),
            Field::Source => entry.source.to_owned(),
            Field::Ttfb if entry.method == Method::Get && entry.first_byte > entry.start => {
                entry.first_byte.saturating_sub(entry.start).as_secs_f64().to_string()
            }
            Field::Pid => std::process::id().to_string(),
            // Nothing here says more than the line does, and the S3 API is not there yet.
            Field::LogInfo | Field::AccessUserId | Field::Ttfb | Field::StartTime | Field::EndTime => String::new(),
        };
        text.into_bytes()
    }

    fn time(&self, field: Field) -> Duration {
        if field == Field::StartTime { self.entry.start } else { self.end }
    }
}

/// Who the client is by the word of balancers in front of us, which anybody can pretend to be: for the eyes only.
fn claimed_client(headers: &Headers) -> Option<Vec<u8>> {
    let own = headers.get("X-Cluster-Client-Ip").filter(|value| !value.is_empty()).map(|value| value.to_vec());
    own.or_else(|| {
        let list = headers.get("X-Forwarded-For")?;
        let first = list.split(|byte| *byte == b',').next()?.trim_ascii();
        (!first.is_empty()).then(|| first.to_vec())
    })
}

/// The host name that was asked for, without a port.
fn domain(head: &RequestHead) -> Vec<u8> {
    let host = head.headers.get("Host").map(|value| &value[..]).unwrap_or_default();
    let port = host.iter().rposition(|byte| *byte == b':').unwrap_or(host.len());
    host.get(..port).unwrap_or_default().to_vec()
}

/// Account, container and object of a Swift path, still encoded, as far as it names them.
fn names(settings: &Settings, path: &[u8]) -> [String; 3] {
    let path = quote(&unquote(path));
    let mut parts = path.strip_prefix('/').unwrap_or_default().splitn(4, '/');
    let is_swift = parts.next().is_some_and(|version| settings.valid_api_versions.iter().any(|known| known == version));
    if !is_swift {
        return Default::default();
    }
    let mut name = || parts.next().unwrap_or_default().to_owned();
    [name(), name(), name()]
}

/// Path and query, the path in one spelling, signatures cut.
fn shown_target(head: &RequestHead, reveal: usize) -> String {
    let path = quote(&unquote(head.path()));
    if head.query().is_empty() {
        return path;
    }
    let query = Query::parse(head.query());
    // Decoded, as whoever reads the parameter does: `temp%5Furl_sig` is a signature too.
    let is_signature = |name: &[u8]| SIGNATURES.iter().any(|known| known.as_bytes() == name);
    if !query.iter().any(|(name, _)| is_signature(name)) {
        return format!("{path}?{}", String::from_utf8_lossy(head.query()));
    }
    let shown = query.iter().map(|(name, value)| {
        let value = if is_signature(name) { cut(value, reveal) } else { value.to_vec() };
        format!("{}={}", quote_plus(name), quote_plus(&value))
    });
    format!("{path}?{}", shown.collect::<Vec<_>>().join("&"))
}

/// As forms are sent.
fn quote_plus(text: &[u8]) -> String {
    quote(text).replace('/', "%2F").replace("%20", "+")
}

/// `Name: value`, a line each.
fn shown_headers(settings: &Settings, headers: &Headers) -> Vec<u8> {
    let mut shown = Vec::new();
    for (name, value) in headers.iter() {
        let lower = name.to_ascii_lowercase();
        let is = |names: &[&str]| names.iter().any(|known| known.as_bytes() == lower);
        let only = &settings.headers_only;
        if !only.is_empty() && !only.iter().any(|known| known.as_bytes() == lower) {
            continue;
        }
        if !shown.is_empty() {
            shown.push(b'\n');
        }
        shown.extend(title_case(name));
        shown.extend(b": ");
        if is(&SECRETS) {
            shown.extend(b"...");
        } else if is(&RIGHTS) {
            shown.extend(cut(value, settings.reveal_sensitive_prefix));
        } else {
            shown.extend_from_slice(value);
        }
    }
    shown
}

fn cut(secret: &[u8], reveal: usize) -> Vec<u8> {
    match secret.get(..reveal) {
        Some(shown) if shown.len() < secret.len() => [shown, b"..."].concat(),
        _ => secret.to_vec(),
    }
}

#[cfg(test)]
mod tests;
