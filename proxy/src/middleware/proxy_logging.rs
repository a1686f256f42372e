//! The access log: one line per request, in the format of Swift's proxy-logging, so that what reads Swift's logs reads ours.
//!
//! The line is written when the last byte of the body has gone, or when the client has: the body counts itself and writes on drop.

use base::http::Headers;
use base::http::server::{BodySource, LocalFuture, Request, Response, ResponseBody};
use base::io;
use base::quote::quote;
use bytes::Bytes;
use std::time::Duration;

/// Characters of a token that are shown: enough to tell tokens apart, too few to use one.
const TOKEN_SHOWN: usize = 16;
/// Query parameters that are signatures: who reads the log must not be able to use them (CVE-2017-8761).
const SIGNATURES: [&str; 4] = ["temp_url_sig", "X-Amz-Signature", "Signature", "signature"];

/// One request, as its line will show it.
pub struct Entry {
    remote: String,
    method: &'static str,
    path: String,
    referer: String,
    user_agent: String,
    token: String,
    client_etag: String,
    trans_id: String,
    received: Option<u64>,
    policy_index: String,
    status: u16,
    start: Duration,
}

impl Entry {
    /// Takes down what the line needs before the request is consumed.
    pub fn begin(request: &Request, trans_id: &str, start: Duration) -> Entry {
        let headers = &request.head.headers;
        Entry {
            remote: request.peer.ip().to_string(),
            method: request.head.method.as_str(),
            path: shown_target(&request.head.target),
            referer: field(headers, "Referer"),
            user_agent: field(headers, "User-Agent"),
            token: shown_token(headers),
            client_etag: field(headers, "Etag"),
            trans_id: trans_id.to_owned(),
            received: request.body.length(),
            policy_index: "-".to_owned(),
            status: 0,
            start,
        }
    }

    /// Follows the response to its end.
    pub fn end_with(mut self, mut response: Response) -> Response {
        self.status = response.head.status.0;
        self.policy_index = field(&response.head.headers, "X-Backend-Storage-Policy-Index");
        response.body = match response.body {
            ResponseBody::Stream { length, source } => ResponseBody::Stream {
                length,
                source: Box::new(Counted { source, entry: self, sent: 0, is_complete: false }),
            },
            body => {
                let sent = match &body {
                    ResponseBody::Full(bytes) if self.method != "HEAD" => bytes.len() as u64,
                    _ => 0,
                };
                self.write(sent, io::unix_time());
                body
            }
        };
        response
    }

    fn write(&self, sent: u64, end: Duration) {
        tracing::info!(target: "access", "{}", self.line(sent, end));
    }

    /// The fields in Swift's order; what is missing is `-`.
    fn line(&self, sent: u64, end: Duration) -> String {
        let took = end.saturating_sub(self.start).as_secs_f64();
        format!(
            "{remote} {remote} {when} {method} {path} HTTP/1.1 {status} {referer} {agent} {token} {received} {sent} {etag} {id} - \
             {took:.4} - - {start} {end} {policy}",
            remote = self.remote,
            when = datetime(end),
            method = self.method,
            path = self.path,
            status = self.status,
            referer = self.referer,
            agent = self.user_agent,
            token = self.token,
            received = count(self.received.unwrap_or(0)),
            sent = count(sent),
            etag = self.client_etag,
            id = self.trans_id,
            start = precise(self.start),
            end = precise(end),
            policy = self.policy_index,
        )
    }
}

/// A body that counts its bytes and writes the line when it is gone.
struct Counted {
    source: Box<dyn BodySource>,
    entry: Entry,
    sent: u64,
    is_complete: bool,
}

impl BodySource for Counted {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(async move {
            let piece = self.source.next().await;
            match &piece {
                Some(Ok(bytes)) => self.sent += bytes.len() as u64,
                Some(Err(_)) => {}
                None => self.is_complete = true,
            }
            piece
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Swift's way to say that the client did not stay to the end. (A server may stop asking once the length is
        // reached, which is an end too.)
        let _ = self.is_complete;
        self.entry.write(self.sent, io::unix_time());
    }
}

/// Path and query as sent, signatures cut.
fn shown_target(target: &[u8]) -> String {
    let text = String::from_utf8_lossy(target);
    let Some((path, query)) = text.split_once('?') else { return safe(target) };
    let shown: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, value)) if SIGNATURES.contains(&name) => format!("{name}={}", cut(value)),
            _ => parameter.to_owned(),
        })
        .collect();
    safe(format!("{path}?{}", shown.join("&")).as_bytes())
}

/// As sent, except for what could end the line or a field.
fn safe(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_graphic() { shown.push(char::from(byte)) } else { shown.push_str(&format!("%{byte:02X}")) }
    }
    shown
}

fn shown_token(headers: &Headers) -> String {
    match headers.get("X-Auth-Token").or_else(|| headers.get("X-Storage-Token")) {
        Some(token) => cut(&quote(token)),
        None => "-".to_owned(),
    }
}

fn cut(secret: &str) -> String {
    match secret.char_indices().nth(TOKEN_SHOWN) {
        Some((at, _)) => format!("{}...", secret.get(..at).unwrap_or_default()),
        None => secret.to_owned(),
    }
}

fn field(headers: &Headers, name: &str) -> String {
    match headers.get(name) {
        Some(value) if !value.is_empty() => quote(value),
        _ => "-".to_owned(),
    }
}

fn count(bytes: u64) -> String {
    if bytes == 0 { "-".to_owned() } else { bytes.to_string() }
}

fn precise(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

/// `24/Nov/2026/00/12/59`, from the HTTP date of the second.
fn datetime(time: Duration) -> String {
    let date = base::http::date::format(time.as_secs());
    let words: Vec<&str> = date.split([' ', ':']).collect();
    match words.as_slice() {
        [_, day, month, year, hour, minute, second, _] => format!("{day}/{month}/{year}/{hour}/{minute}/{second}"),
        _ => "-".to_owned(),
    }
}
