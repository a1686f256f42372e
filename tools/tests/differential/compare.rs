//! What must be alike: status, fields and body, less what says when and by whom it was answered.

use crate::generate::is_versioned;
use crate::wire::{Answer, Request};
use std::collections::BTreeMap;

/// Times, ids and the server's own habits of framing.
const IGNORED: [&str; 15] = [
    "date",
    "x-trans-id",
    "x-openstack-request-id",
    "last-modified",
    "x-copied-from-last-modified",
    "x-timestamp",
    "x-put-timestamp",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "server",
    // Counted later, by updates.
    "x-account-container-count",
    "x-account-object-count",
    "x-account-bytes-used",
    "content-length",
];

/// What kind of difference there is, and its text.
pub fn difference(request: &Request, theirs: &Answer, ours: &Answer) -> Option<(String, String)> {
    let mut what = Vec::new();
    if theirs.status != ours.status {
        what.push(format!("status {} not {}", ours.status, theirs.status));
    }
    let (their_fields, our_fields) = (fields(theirs), fields(ours));
    if theirs.status == ours.status {
        for name in their_fields.keys().chain(our_fields.keys().filter(|name| !their_fields.contains_key(*name))) {
            match (their_fields.get(name), our_fields.get(name)) {
                (Some(value), None) => what.push(format!("{name} is missing: {value}")),
                (None, Some(value)) => what.push(format!("{name} is too much: {value}")),
                (Some(a), Some(b)) if a != b => what.push(format!("{name}: {b} not {a}")),
                _ => {}
            }
        }
        let (a, b) = (body(theirs), body(ours));
        if a != b {
            what.push(format!("body {b:.300?} not {a:.300?}"));
        }
    }
    if what.is_empty() {
        return None;
    }
    let place =
        match request.target.trim_start_matches("/v1/").split('?').next().unwrap_or_default().splitn(3, '/').count() {
            1 => "account",
            2 => "container",
            _ => "object",
        };
    let kinds: Vec<&str> = what.iter().map(|text| text.split(':').next().unwrap_or_default()).collect();
    let kinds: Vec<String> = kinds.iter().map(|kind| kind.chars().take(30).collect()).collect();
    let kind = format!("{} {place} {}: {}", request.method, ours.status, kinds.join(", "));
    let headers: Vec<String> =
        request.headers.iter().take(4).map(|(name, value)| format!("{name}: {value:.80}")).collect();
    let text = format!(
        "{} {} as {:?} {headers:?}{}\n   {}",
        request.method,
        request.target,
        request.user.map(|(user, _)| user),
        if request.body.is_empty() {
            String::new()
        } else {
            format!(" body {:?}", String::from_utf8_lossy(&request.body))
        },
        what.join("\n   ")
    );
    Some((kind, text))
}

/// Why a difference may be.
pub struct Reason {
    /// As docs/COMPATIBILITY.md says it.
    pub text: &'static str,
    /// Whether the two ends hold different things after it, so that what follows cannot be compared.
    pub parts: bool,
}

const fn differs(text: &'static str) -> Option<Reason> {
    Some(Reason { text, parts: false })
}

const fn parts(text: &'static str) -> Option<Reason> {
    Some(Reason { text, parts: true })
}

/// The reason for this difference, if it has one.
pub fn explained(request: &Request, theirs: &Answer, ours: &Answer) -> Option<Reason> {
    let says = |name: &str, part: &str| {
        let is_meant =
            |field: &str| field.eq_ignore_ascii_case(name) || (name.ends_with('-') && field.starts_with(name));
        request.headers.iter().any(|(field, value)| is_meant(field) && value.contains(part))
    };
    let their_body = String::from_utf8_lossy(&theirs.body);
    let keeps_versions = is_versioned(&request.target);
    match request.method {
        "OPTIONS" if theirs.headers.contains_key("x-object-version-id") => {
            return differs("OPTIONS is about the container: it has no version");
        }
        "OPTIONS" if request.target.contains("version-id=") => {
            return differs("a preflight is answered whatever the version");
        }
        "DELETE" if theirs.status == 409 && matches!(ours.status, 401 | 403) => {
            return differs("who may not delete is not told what the container keeps");
        }
        "DELETE" if request.target.contains("multipart-manifest=delete") && says("If-", "") => {
            return differs("a DELETE has no conditions");
        }
        "POST" | "DELETE" if request.target.contains("bulk-delete") && request.body.starts_with(b"/\n") => {
            return differs("a delete list cannot name the account");
        }
        "GET" if theirs.status == 500 && request.target.contains("%00") => {
            return differs("a listing of versions from a name with NUL is a listing");
        }
        "HEAD" if theirs.status == 416 => return differs("a HEAD has no range"),
        _ => {}
    }
    // Swift deletes the versions container before it knows whether the container may go.
    if keeps_versions
        && (their_body.contains("versions container does not exist")
            || theirs.status == 412 && request.method == "DELETE")
    {
        return parts("a container that may not be deleted keeps its versions container");
    }
    if keeps_versions
        && request.method == "PUT"
        && matches!(theirs.status, 400 | 409 | 412)
        && matches!(ours.status, 400 | 409 | 412)
    {
        return parts("a versioned PUT is judged before a version is made: another order, and nothing is left behind");
    }
    if says("Accept", "q=0") && ours.status == 406 {
        return differs("a type with q=0 is refused, not liked least");
    }
    if theirs.status == 409 && ours.status == 409 && theirs.headers.contains_key("content-location") {
        return differs("Content-Location of a link that was refused is percent-encoded");
    }
    if says("If-Match", "W/") || says("If-None-Match", "W/") {
        return differs("a weak ETag names the object it was made from");
    }
    if theirs.status == 500 && says("Range", "bytes=-0") {
        return differs("a range of no bytes at the end is not satisfiable");
    }
    if theirs.status == 401 && ours.status == 412 {
        return differs("a path that is no UTF-8 is refused whoever comes");
    }
    None
}

fn fields(answer: &Answer) -> BTreeMap<&str, String> {
    let shown = answer.headers.iter().filter(|(name, _)| !IGNORED.contains(&name.as_str()));
    let shown = shown.filter(|(name, _)| !name.starts_with("x-account-storage-policy-"));
    shown
        .map(|(name, values)| {
            let mut value = normal(&values.join(" | "), answer);
            if LISTS.contains(&name.as_str()) {
                // The order of a Python set is another one in every process.
                let mut words: Vec<&str> = value.split(',').map(str::trim).collect();
                words.sort_unstable();
                value = words.join(", ");
            }
            (name.as_str(), value)
        })
        .collect()
}

const LISTS: [&str; 4] = ["allow", "access-control-allow-methods", "access-control-expose-headers", "vary"];

/// JSON by its meaning, the rest by its bytes.
fn body(answer: &Answer) -> String {
    let kind = answer.headers.get("content-type").map(|values| values.join(" ")).unwrap_or_default();
    if kind.starts_with("application/json")
        && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&answer.body)
    {
        return normal(&value.to_string(), answer);
    }
    normal(&String::from_utf8_lossy(&answer.body), answer)
}

/// Times, transaction ids and boundaries become signs.
fn normal(text: &str, answer: &Answer) -> String {
    let mut text = text.to_owned();
    let kind = answer.headers.get("content-type").map(|values| values.join(" ")).unwrap_or_default();
    if let Some((_, boundary)) = kind.split_once("boundary=") {
        text = text.replace(boundary, "BOUNDARY");
    }
    let bytes = text.as_bytes();
    let mut normal = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let found = PATTERNS.iter().find(|(pattern, _)| fits(rest, pattern));
        match found {
            Some((pattern, sign)) => {
                normal.push_str(sign);
                at += pattern.len();
            }
            None => {
                let end = (at + 1..=bytes.len()).find(|&end| text.is_char_boundary(end)).unwrap_or(bytes.len());
                normal.push_str(&text[at..end]);
                at = end;
            }
        }
    }
    normal
}

/// `9` is a digit, `x` a hexadecimal digit, anything else itself.
const PATTERNS: [(&str, &str); 3] = [
    ("tXxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxx", "TXID"),
    ("9999-99-99T99:99:99.999999", "ISOTIME"),
    ("9999999999.99999", "TIME"),
];

fn fits(text: &[u8], pattern: &str) -> bool {
    text.len() >= pattern.len()
        && pattern.bytes().zip(text).all(|(wanted, &byte)| match wanted {
            b'9' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            b'X' => byte == b'x',
            wanted => byte == wanted,
        })
}
