//! The access log: one line per request, in the format of Swift's proxy-logging, so that what reads Swift's logs reads ours.
//!
//! The line is written when the last byte of the body has gone, or when the client has.

use base::http::Headers;
use base::http::server::{Finished, Request, Response};
use base::io;
use base::quote::{quote, unquote};
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
            policy_index: "-".to_owned(),
            status: 0,
            start,
        }
    }

    /// Follows the response to its end.
    pub fn end_with(mut self, mut response: Response) -> Response {
        self.status = response.head.status.0;
        self.policy_index = field(&response.head.headers, "X-Backend-Storage-Policy-Index");
        let inner = response.on_finish.take();
        response.on_finish = Some(Box::new(move |finished| {
            tracing::info!(target: "access", "{}", self.line(&finished, io::unix_time()));
            if let Some(inner) = inner {
                inner(finished);
            }
        }));
        response
    }

    /// The fields in Swift's order; what is missing is `-`.
    fn line(&self, finished: &Finished, end: Duration) -> String {
        let took = end.saturating_sub(self.start).as_secs_f64();
        format!(
            "{remote} {remote} {when} {method} {path} HTTP/1.1 {status} {referer} {agent} {token} {received} {sent} {etag} {id} - \
             {took:.4} - - {start} {end} {policy}",
            remote = self.remote,
            when = datetime(end),
            method = self.method,
            path = self.path,
            // Swift's number for a client that did not stay to the end.
            status = if finished.complete { self.status } else { 499 },
            referer = self.referer,
            agent = self.user_agent,
            token = self.token,
            received = count(finished.received),
            sent = count(finished.sent),
            etag = self.client_etag,
            id = self.trans_id,
            start = precise(self.start),
            end = precise(end),
            policy = self.policy_index,
        )
    }
}

/// Path and query as sent, signatures cut.
fn shown_target(target: &[u8]) -> String {
    let text = String::from_utf8_lossy(target);
    let Some((path, query)) = text.split_once('?') else { return safe(target) };
    let shown: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            // Decoded, as whoever reads the parameter does: `temp%5Furl_sig` is a signature too.
            Some((name, value)) if SIGNATURES.iter().any(|known| known.as_bytes() == unquote(name.as_bytes())) => {
                format!("{name}={}", cut(value))
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use base::http::server::RequestBody;
    use base::http::{Method, RequestHead};

    fn entry(change: impl FnOnce(&mut RequestHead)) -> Entry {
        let mut head = RequestHead::new(Method::Get, "/v1/AUTH_test/c/o%20x?a=b&temp_url_sig=0123456789abcdef0123");
        change(&mut head);
        let request = Request { head, body: RequestBody::full(""), peer: "10.1.2.3:4567".parse().unwrap() };
        let mut entry = Entry::begin(&request, "tx1", Duration::new(1_790_000_000, 250_000_000));
        entry.status = 200;
        entry
    }

    fn line(entry: &Entry, sent: u64, complete: bool) -> String {
        entry.line(&Finished { received: 0, sent, complete }, Duration::new(1_790_000_000, 750_000_000))
    }

    #[test]
    fn the_line_has_swifts_fields_in_swifts_order() {
        let line = line(&entry(|head| head.headers.set("User-Agent", "curl 8\"x")), 5, true);
        assert_eq!(
            line,
            "10.1.2.3 10.1.2.3 21/Sep/2026/14/13/20 GET /v1/AUTH_test/c/o%20x?a=b&temp_url_sig=0123456789abcdef... HTTP/1.1 200 - \
             curl%208%22x - - 5 - tx1 - 0.5000 - - 1790000000.250000000 1790000000.750000000 -"
        );
        assert_eq!(line.split(' ').count(), 21);
    }

    #[test]
    fn cve_2017_8761_no_line_holds_a_whole_signature() {
        const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";
        for name in ["temp_url_sig", "temp%5Furl_sig", "X-Amz-Signature", "Signature", "signature"] {
            let target = format!("/v1/AUTH_test/c/o?temp_url_expires=1&{name}={SECRET}&x=y");
            let line = line(&entry(|head| head.target = target.into()), 5, true);
            assert!(!line.contains(SECRET) && line.contains("0123456789abcdef...&x=y"), "{line}");
        }
    }

    #[test]
    fn a_token_is_cut_and_a_client_that_left_is_499() {
        let entry = entry(|head| head.headers.set("X-Auth-Token", "AUTH_tkABCDEFGHIJKLMNOP"));
        let line = line(&entry, 0, false);
        assert!(line.contains(" 499 - - AUTH_tkABCDEFGHI... - - "), "{line}");
        assert!(!line.contains("JKLMNOP"), "{line}");
    }
}
