//! The access log: one line per request, in the format of Swift's proxy-logging, so that what reads Swift's logs reads ours.
//!
//! The line is written when the last byte of the body has gone, or when the client has. `template` knows its fields, `anonymize` and
//! `time` their forms. A pipeline that names the member a second time, next to the application, also has a line for each request
//! that middleware makes on its own (`subrequests`); `{source}` then says which.

mod anonymize;
pub(crate) mod statsd;
pub(crate) mod subrequests;
mod template;
mod time;

pub use anonymize::Anonymizer;
pub use template::Template;

use crate::request::ClientRequest;
use base::digits;
use base::http::headers::title_case;
use base::http::server::{Finished, Request, Response};
use base::http::{Headers, Method, RequestHead, head};
use base::io;
use base::names::Name;
use base::quote::{Query, is_plain, quote, unquote};
use bytes::Bytes;
use statsd::Statsd;
use std::io::Write;
use std::net::IpAddr;
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
#[derive(Clone, Debug, PartialEq)]
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
    /// Where StatsD metrics go, if anywhere.
    pub statsd: Option<statsd::Settings>,
}

/// One request, as its line will show it: what the fields are made of, and made only when the line is written.
pub struct Entry {
    settings: Rc<Settings>,
    statsd: Option<Rc<Statsd>>,
    remote: IpAddr,
    /// Who the client is by the word of balancers.
    claimed: Option<Bytes>,
    method: Method,
    host: Bytes,
    target: Bytes,
    referer: Bytes,
    user_agent: Bytes,
    token: Bytes,
    client_etag: Bytes,
    headers: Vec<u8>,
    source: &'static str,
    trans_id: Name,
    policy_index: Bytes,
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
    pub fn begin(
        settings: &Rc<Settings>,
        request: &Request,
        (remote, trans_id): (IpAddr, &Name),
        start: Duration,
    ) -> Entry {
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
        Entry::new(settings, &head, (request.remote, &request.trans_id, source), start)
    }

    fn new(
        settings: &Rc<Settings>,
        head: &RequestHead,
        (remote, trans_id, source): (IpAddr, &Name, &'static str),
        start: Duration,
    ) -> Entry {
        let headers = &head.headers;
        let field = |name: &str| headers.get(name).cloned().unwrap_or_default();
        let token = headers.get("X-Auth-Token").or_else(|| headers.get("X-Storage-Token"));
        Entry {
            remote,
            claimed: claimed_client(headers),
            method: head.method,
            host: field("Host"),
            target: head.target.clone(),
            referer: field("Referer"),
            user_agent: field("User-Agent"),
            token: token.cloned().unwrap_or_default(),
            client_etag: field("Etag"),
            headers: if settings.headers { shown_headers(settings, headers) } else { Vec::new() },
            source,
            trans_id: trans_id.clone(),
            policy_index: Bytes::new(),
            status: 0,
            start,
            first_byte: start,
            settings: Rc::clone(settings),
            statsd: None,
        }
    }

    /// The same, told to a StatsD server as well.
    #[must_use]
    pub(crate) fn with_statsd(self, statsd: Option<&Rc<Statsd>>) -> Entry {
        Entry { statsd: statsd.cloned(), ..self }
    }

    /// The request goes on under another host name or path (cname_lookup, domain_remap): Swift's line shows that one.
    pub fn rewritten(&mut self, head: &RequestHead) {
        self.host = head.headers.get("Host").cloned().unwrap_or_default();
        self.target = head.target.clone();
    }

    /// What the answer's head tells.
    fn answered(&mut self, response: &Response, now: Duration) {
        self.status = response.head.status.0;
        let policy = response.head.headers.get("X-Backend-Storage-Policy-Index");
        self.policy_index = policy.cloned().unwrap_or_default();
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
        let end = io::unix_time();
        if let Some(statsd) = &self.statsd {
            statsd.tell(self, finished, end);
        }
        if io::log::is_started() {
            io::log::write_with("access", end, |out| self.line(finished, end, out));
        } else {
            let mut line = Vec::new();
            self.line(finished, end, &mut line);
            tracing::info!(target: "access", "{}", String::from_utf8_lossy(&line));
        }
    }

    fn line(&self, finished: &Finished, end: Duration, out: &mut Vec<u8>) {
        self.settings.template.render(&self.settings.anonymizer, &Done { entry: self, finished, end }, out);
    }
}

impl Values for Done<'_> {
    fn put(&self, field: Field, out: &mut Vec<u8>) {
        let Done { entry, finished, end } = self;
        let reveal = entry.settings.reveal_sensitive_prefix;
        let name =
            |place: usize| names(&entry.settings, head::path(&entry.target)).into_iter().nth(place).unwrap_or_default();
        match field {
            Field::ClientIp => match &entry.claimed {
                Some(client) => out.extend_from_slice(client),
                None => put_address(entry.remote, out),
            },
            Field::Domain => out.extend_from_slice(domain(&entry.host)),
            Field::Referer => out.extend_from_slice(&entry.referer),
            Field::UserAgent => out.extend_from_slice(&entry.user_agent),
            Field::Headers => out.extend_from_slice(&entry.headers),
            Field::ClientEtag => out.extend_from_slice(&entry.client_etag),
            Field::AuthToken => cut(&entry.token, reveal, out),
            Field::PolicyIndex => out.extend_from_slice(&entry.policy_index),
            Field::RemoteAddr => put_address(entry.remote, out),
            Field::Path => put_target(&entry.target, reveal, out),
            Field::Account => out.extend_from_slice(name(0).as_bytes()),
            Field::Container => out.extend_from_slice(name(1).as_bytes()),
            Field::Object => out.extend_from_slice(name(2).as_bytes()),
            Field::Method => out.extend_from_slice(entry.method.as_str().as_bytes()),
            Field::Protocol => out.extend_from_slice(b"HTTP/1.1"),
            // Swift's number for a client that did not stay to the end.
            Field::StatusInt if !finished.complete => out.extend_from_slice(b"499"),
            Field::StatusInt | Field::WireStatusInt => out.extend(digits::all(entry.status.into())),
            Field::BytesRecvd | Field::BytesSent => {
                let number = if field == Field::BytesRecvd { finished.received } else { finished.sent };
                if number > 0 {
                    out.extend(digits::all(number));
                }
            }
            Field::TransactionId => out.extend_from_slice(entry.trans_id.as_bytes()),
            Field::RequestTime => push_seconds(out, end.saturating_sub(entry.start)),
            Field::Source => out.extend_from_slice(entry.source.as_bytes()),
            Field::Ttfb if entry.method == Method::Get && entry.first_byte > entry.start => {
                let first = entry.first_byte.saturating_sub(entry.start).as_secs_f64();
                out.extend_from_slice(first.to_string().as_bytes());
            }
            Field::Pid => out.extend(digits::all(std::process::id().into())),
            // Nothing here says more than the line does, and the S3 API is not there yet.
            Field::LogInfo | Field::AccessUserId | Field::Ttfb | Field::StartTime | Field::EndTime => {}
        }
    }

    fn time(&self, field: Field) -> Duration {
        if field == Field::StartTime { self.entry.start } else { self.end }
    }
}

fn put_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        // Of no client: a request of the proxy's own.
        address if address.is_unspecified() => {}
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                out.extend(digits::all(octet.into()));
            }
        }
        // Written to a vector: it cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// Seconds with four digits behind the point.
fn push_seconds(out: &mut Vec<u8>, time: Duration) {
    let parts = u64::try_from((time.as_nanos() + 50_000) / 100_000).unwrap_or(u64::MAX);
    out.extend(digits::all(parts / 10_000));
    out.push(b'.');
    out.extend(digits::last(parts, 4));
}

/// Who the client is by the word of balancers in front of us, which anybody can pretend to be: for the eyes only.
fn claimed_client(headers: &Headers) -> Option<Bytes> {
    let own = headers.get("X-Cluster-Client-Ip").filter(|value| !value.is_empty()).cloned();
    own.or_else(|| {
        let list = headers.get("X-Forwarded-For")?;
        let first = list.split(|byte| *byte == b',').next()?.trim_ascii();
        (!first.is_empty()).then(|| list.slice_ref(first))
    })
}

/// The host name that was asked for, without a port.
fn domain(host: &[u8]) -> &[u8] {
    let port = host.iter().rposition(|byte| *byte == b':').unwrap_or(host.len());
    host.get(..port).unwrap_or_default()
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
fn put_target(target: &[u8], reveal: usize, out: &mut Vec<u8>) {
    let path = head::path(target);
    if is_plain(path) {
        out.extend_from_slice(path);
    } else {
        out.extend_from_slice(quote(&unquote(path)).as_bytes());
    }
    let sent = head::query(target);
    if sent.is_empty() {
        return;
    }
    out.push(b'?');
    let query = Query::parse(sent);
    // Decoded, as whoever reads the parameter does: `temp%5Furl_sig` is a signature too.
    let is_signature = |name: &[u8]| SIGNATURES.iter().any(|known| known.as_bytes() == name);
    if !query.iter().any(|(name, _)| is_signature(name)) {
        return out.extend_from_slice(String::from_utf8_lossy(sent).as_bytes());
    }
    for (number, (name, value)) in query.iter().enumerate() {
        if number > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(quote_plus(name).as_bytes());
        out.push(b'=');
        let mut shown = Vec::new();
        if is_signature(name) {
            cut(value, reveal, &mut shown);
        } else {
            shown.extend_from_slice(value);
        }
        out.extend_from_slice(quote_plus(&shown).as_bytes());
    }
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
            cut(value, settings.reveal_sensitive_prefix, &mut shown);
        } else {
            shown.extend_from_slice(value);
        }
    }
    shown
}

/// Appends the beginning of a secret.
fn cut(secret: &[u8], reveal: usize, out: &mut Vec<u8>) {
    match secret.get(..reveal) {
        Some(shown) if shown.len() < secret.len() => {
            out.extend_from_slice(shown);
            out.extend_from_slice(b"...");
        }
        _ => out.extend_from_slice(secret),
    }
}

#[cfg(test)]
mod tests;
