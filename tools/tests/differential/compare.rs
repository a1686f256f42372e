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
            format!(" body {:.600?}", String::from_utf8_lossy(&request.body))
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
        "HEAD" if theirs.status == 416 || theirs.status == 412 && says("Range", "bytes=-0") => {
            return differs("a HEAD has no range");
        }
        _ => {}
    }
    if let Some(reason) = explained_by_versions(request, theirs, ours, &says) {
        return Some(reason);
    }
    let is_refused = ours.status == 406 || String::from_utf8_lossy(&ours.body).contains("406 Not Acceptable");
    if (says("Accept", "q=0") || says("Accept", "q=-")) && is_refused {
        return differs("a type with q=0 is refused, not liked least");
    }
    if let Some(reason) = explained_by_member(request, theirs, ours, &says) {
        return Some(reason);
    }
    if theirs.status == 409 && ours.status == 409 && theirs.headers.contains_key("content-location") {
        return differs("Content-Location of a link that was refused is percent-encoded");
    }
    if says("X-Symlink-Target-Etag", "W/") && theirs.status == 400 {
        let text = "a weak ETag names the object it was made from";
        return if ours.status == 201 { parts(text) } else { differs(text) };
    }
    if says("If-Match", "W/") || says("If-None-Match", "W/") {
        return differs("a weak ETag names the object it was made from");
    }
    if theirs.status == 500 && says("Range", "bytes=-0") {
        return differs("a range of no bytes at the end is not satisfiable");
    }
    explained_by_path(request, theirs, ours)
}

/// Reasons of containers that keep versions.
fn explained_by_versions(
    request: &Request,
    theirs: &Answer,
    ours: &Answer,
    says: &dyn Fn(&str, &str) -> bool,
) -> Option<Reason> {
    let their_body = String::from_utf8_lossy(&theirs.body);
    let keeps_versions = is_versioned(&request.target);
    // Swift deletes the versions container before it knows whether the container may go.
    let has_lost_versions = request.target.contains("extract-archive") && their_body.contains("500 Internal Error");
    if keeps_versions
        && (their_body.contains("versions container does not exist")
            || has_lost_versions
            || theirs.status == 412 && request.method == "DELETE")
    {
        return parts("a container that may not be deleted keeps its versions container");
    }
    if request.method == "PUT"
        && matches!((theirs.status, ours.status), (409, 401 | 403))
        && keeps_versions
        && says("X-Symlink-Target-Etag", "")
    {
        return differs("who may not see what a link is made for is not told whether it is there");
    }
    if request.method == "PUT"
        && keeps_versions
        && matches!(ours.status, 401 | 403)
        && theirs.headers.contains_key("x-object-version-id")
    {
        return parts("who may not write makes no version");
    }
    if request.method == "DELETE"
        && request.target.contains("version-id=")
        && (theirs.status, ours.status) == (412, 400)
    {
        return differs("a version-id that is none is 400, in a container with a history too");
    }
    if request.target.contains("version-id=")
        && (theirs.status, ours.status) == (404, 404)
        && !theirs.headers.contains_key("access-control-allow-origin")
        && ours.headers.contains_key("access-control-allow-origin")
    {
        return differs("a page of another origin may read that a version is a deletion");
    }
    if request.method == "PUT"
        && matches!((theirs.status, ours.status), (404, 401 | 403))
        && request.target.contains("version-id=")
    {
        return differs("who may not write is not told which versions there are");
    }
    if keeps_versions
        && request.method == "PUT"
        && says("X-Symlink-Target", "")
        && !request.body.is_empty()
        && (theirs.status, ours.status) == (201, 400)
    {
        return parts("a link has no body, in a container that keeps versions as elsewhere");
    }
    if keeps_versions
        && request.method == "PUT"
        // 408 and 499 for a body that does not come, of a length that is too large.
        && matches!(theirs.status, 400 | 408 | 409 | 412 | 499)
        && matches!(ours.status, 400 | 409 | 412 | 413)
    {
        return parts("a versioned PUT is judged before a version is made: another order, and nothing is left behind");
    }
    None
}

/// Reasons that lie in the path alone.
fn explained_by_path(request: &Request, theirs: &Answer, ours: &Answer) -> Option<Reason> {
    // In a container that keeps a history, the name of a version is longer than its object's.
    let letters = request.target.matches("%C3%A7").count();
    let is_too_long = letters > 512 || letters == 512 && request.method == "DELETE" && ours.status == 412;
    if is_too_long && ours.status != theirs.status {
        let text = "a name has 1,024 bytes, not characters";
        return if request.method == "PUT" { parts(text) } else { differs(text) };
    }
    if request.user.is_none() && theirs.status == 401 && ours.status == 400 && !request.target.starts_with("/v1") {
        return differs("a path of no version of the API is refused whoever comes");
    }
    let says_version = theirs.status == 412 && theirs.headers.contains_key("x-object-version-id");
    let has_nul = request.target.contains("%00");
    if ours.status == 412 && (matches!(theirs.status, 401 | 403) || says_version && has_nul) {
        return differs("a path with NUL or that is no UTF-8 is refused whoever comes");
    }
    None
}

/// Reasons of members of the pipeline.
fn explained_by_member(
    request: &Request,
    theirs: &Answer,
    ours: &Answer,
    says: &dyn Fn(&str, &str) -> bool,
) -> Option<Reason> {
    let of = |name: &str| request.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    if let Some(accept) = of("Accept")
        && accept.bytes().any(|byte| byte.is_ascii_uppercase())
    {
        return differs("types and parameters in Accept have no case");
    }
    if says("Content-Type", "boundary=") && theirs.status == 303 && matches!(ours.status, 400 | 401) {
        return differs("a form that nobody signed is not redirected");
    }
    let is_short = theirs.body.starts_with(theirs.status.to_string().as_bytes()) && !theirs.body.contains(&b'\n');
    if says("Content-Type", "boundary=") && theirs.status >= 400 && ours.status == theirs.status && is_short {
        return differs("a form is told why its file was refused");
    }
    if says("X-Symlink-Target", "%00") || says("X-Symlink-Target", "%ff") {
        let text = "a link cannot name what nobody can store";
        return if theirs.status == 201 { parts(text) } else { differs(text) };
    }
    if of("Content-Length").is_some_and(|length| length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()))
        && ours.status == 400
    {
        return differs("a length that is no number is told so");
    }
    if request.target.contains("%ED%A0%80") && theirs.status == 412 && ours.status == 412 {
        return differs("a path that is no UTF-8 is refused in the same words wherever it is found");
    }
    if !theirs.headers.contains_key("content-type") && theirs.body.is_empty() && is_refused_by_server(theirs, ours) {
        return differs("what the server itself refuses is said in words");
    }
    if theirs.status == 303 && ours.status == 303 && shown(theirs) == shown(ours) {
        return differs("the page of a redirected form is HTML, escaped and in UTF-8, and says so");
    }
    if request.target.contains("multipart-manifest=put") && ours.status == 400 && lines(theirs) == lines(ours) {
        return differs("segments are complained about in the order of the manifest, not of their answers");
    }
    if request.target.len() > 8000 && matches!(theirs.status, 400 | 414) && theirs.status != ours.status {
        let text = "a query that a client may send reaches the backends, too";
        return if request.method == "PUT" { parts(text) } else { differs(text) };
    }
    if is_page(theirs) && is_page(ours) && links(theirs) == links(ours) {
        return differs("pages of staticweb have a wording of their own, and the same links");
    }
    None
}

/// Before any member of the pipeline.
fn is_refused_by_server(theirs: &Answer, ours: &Answer) -> bool {
    matches!(theirs.status, 400 | 414 | 431) && theirs.status == ours.status
}

/// Where a redirect leads, in ASCII.
fn shown(answer: &Answer) -> String {
    let location = answer.headers.get("location").map(|values| values.join("")).unwrap_or_default();
    let text = format!("{location} {}", String::from_utf8_lossy(&answer.body).replace("&amp;", "&"));
    text.chars().filter(char::is_ascii).collect()
}

/// The lines of a report, or the members of one in JSON, in an order of their own.
fn lines(answer: &Answer) -> Vec<String> {
    let body = String::from_utf8_lossy(&answer.body).replace(", [", "\n").replace(",[", "\n");
    let mut lines: Vec<String> = body.lines().map(|line| line.replace(['[', ']', ' ', '{', '}'], "")).collect();
    lines.sort_unstable();
    lines
}

/// A page that staticweb made.
fn is_page(answer: &Answer) -> bool {
    answer.headers.get("content-type").is_some_and(|values| values.join("").starts_with("text/html"))
        && String::from_utf8_lossy(&answer.body).contains("<title>Listing of ")
}

/// Title, targets and classes of such a page.
fn links(answer: &Answer) -> Vec<String> {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let between = |from: &str, to: &str| -> Vec<String> {
        body.split(from).skip(1).map(|rest| rest.split(to).next().unwrap_or_default().to_owned()).collect()
    };
    [between("<title>", "</title>"), between("<a href=\"", "</a>"), between("class=\"item", "\"")].concat()
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
