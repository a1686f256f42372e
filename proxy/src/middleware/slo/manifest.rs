//! Core: a manifest as a client sends it: what it may say, and what is wrong with it, in Swift's words.

use super::base64;
use super::elements::{Elements, Invalid};
use super::stored::Stored;
use base::checksum::{Md5Hasher, md5_hex};
use base::http::date;
use base::names::Path;
use base::range::{Resolved, parse as parse_range, resolve};
use base::timestamp::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// More sentences than this tell nobody anything.
const ERRORS_MAX: usize = 1_000;

/// One element.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes of its own.
    Data(Box<[u8]>),
    /// Bytes of an object.
    Object(Box<Wanted>),
}

/// An object, and what the client says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// As sent.
    pub(super) path: String,
    etag: Option<String>,
    size: Option<i64>,
    /// A `Range` value of one range.
    range: Option<String>,
}

/// What a HEAD told of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) etag: String,
    pub(super) content_type: String,
    /// Seconds since 1970.
    pub(super) modified: u64,
    pub(super) is_manifest: bool,
}

/// Why a body is no manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// 400: it is none.
    Bad(String),
    /// 400: what is wrong with its parts, line by line.
    Parts(String),
    /// 413
    TooMany,
}

/// Reads the body of a PUT of `own`, with at most `objects_max` parts that are objects.
pub(super) fn parse(body: &[u8], own: &Path, objects_max: usize) -> Result<Vec<Part>, Refused> {
    let bad = |invalid| {
        Refused::Bad(match invalid {
            Invalid::Json => "Manifest must be valid JSON.\n".to_owned(),
            Invalid::NoList => "Manifest must be a list.\n".to_owned(),
        })
    };
    let (mut parts, mut errors, mut objects) = (Vec::new(), Vec::new(), 0_usize);
    let mut elements = Elements::new(body).map_err(bad)?.enumerate().peekable();
    while let Some((index, element)) = elements.next() {
        let is_last = elements.peek().is_none();
        match part(element.map_err(bad)?, own, is_last) {
            Ok(part) => {
                objects += usize::from(matches!(part, Part::Object(_)));
                // Too many are counted, not kept.
                if objects <= objects_max || matches!(part, Part::Data(_)) {
                    parts.push(part);
                }
            }
            Err(error) if errors.len() < ERRORS_MAX => errors.push(format!("Index {index}: {error}\n")),
            Err(_) => {}
        }
    }
    if errors.is_empty() && !parts.is_empty() && objects == 0 {
        errors.push("Inline data segments require at least one object-backed segment.\n".to_owned());
    }
    if !errors.is_empty() {
        return Err(Refused::Parts(errors.concat()));
    }
    if objects > objects_max { Err(Refused::TooMany) } else { Ok(parts) }
}

fn part(element: Value, own: &Path, is_last: bool) -> Result<Part, String> {
    let Value::Object(fields) = element else { return Err("not a JSON object".into()) };
    let allowed: &[&str] = if fields.contains_key("data") {
        &["data"]
    } else if fields.contains_key("path") {
        &["path", "range", "etag", "size_bytes"]
    } else {
        return Err("expected keys to include one of 'data' or 'path'".into());
    };
    let mut extra = fields.keys().filter(|key| !allowed.contains(&key.as_str())).peekable();
    if extra.peek().is_some() {
        let quoted: Vec<String> = extra.map(|key| Value::from(key.as_str()).to_string()).collect();
        return Err(format!("extraneous keys {}", quoted.join(", ")));
    }
    match fields.get("data") {
        Some(data) => inline(data),
        None => object(&fields, own, is_last),
    }
}

fn inline(data: &Value) -> Result<Part, String> {
    match data.as_str().and_then(base64::decode) {
        None => Err("data must be valid base64".into()),
        Some(bytes) if bytes.is_empty() => Err("too small; each segment must be at least 1 byte.".into()),
        Some(bytes) => Ok(Part::Data(bytes.into())),
    }
}

fn object(fields: &Map<String, Value>, own: &Path, is_last: bool) -> Result<Part, String> {
    let Some(Value::String(path)) = fields.get("path") else { return Err("\"path\" must be a string".into()) };
    let etag = match fields.get("etag") {
        None | Some(Value::Null) => None,
        Some(Value::String(etag)) => Some(etag.clone()),
        Some(_) => return Err("\"etag\" must be a string or null (if provided)".into()),
    };
    if !path.trim_matches('/').contains('/') {
        return Err("path does not refer to an object. Path must be of the form /container/object.".into());
    }
    let size = match fields.get("size_bytes") {
        None | Some(Value::Null) => None,
        Some(size) => Some(whole_number(size).ok_or("invalid size_bytes")?),
    };
    if size.is_some_and(|size| size < 1) && !is_last {
        return Err("too small; each segment must be at least 1 byte.".into());
    }
    if target(&own.account, path).as_ref() == Some(own) {
        return Err("manifest must not include itself as a segment".into());
    }
    let range = range(fields.get("range"), size)?;
    Ok(Part::Object(Box::new(Wanted { path: path.clone(), etag, size, range })))
}

/// As Python's `int`: digits in a text count, and of a fraction the whole part.
fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?.trunc();
            #[expect(clippy::cast_possible_truncation, reason = "the size is checked")]
            (number.abs() < 9e18).then_some(number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(yes) => Some(i64::from(*yes)),
        _ => None,
    }
}

fn range(value: Option<&Value>, size: Option<i64>) -> Result<Option<String>, String> {
    let text = match value {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => format!("bytes={text}"),
        Some(_) => return Err("invalid range".into()),
    };
    let specs = parse_range(text.as_bytes()).ok_or("invalid range")?;
    if specs.len() > 1 {
        return Err("multiple ranges (only one allowed)".into());
    }
    // Who lies about the size is found out later.
    if let Some(size) = size
        && resolve(Some(text.as_bytes()), u64::try_from(size).unwrap_or(0)) == Resolved::Unsatisfiable
    {
        return Err("unsatisfiable range".into());
    }
    Ok(Some(text))
}

/// The object that `container/object` means in an account, slashes before it or not.
pub(super) fn target(account: &str, path: &str) -> Option<Path> {
    let (container, object) = path.trim_start_matches('/').split_once('/')?;
    let is_name = |name: &str| !name.is_empty() && !name.contains('\0');
    (is_name(container) && is_name(object)).then(|| Path {
        account: account.into(),
        container: Some(container.into()),
        object: Some(object.into()),
    })
}

impl Wanted {
    /// Compares with what is there: the part to store, or what is wrong. Only the last part may be empty.
    pub(super) fn check(&self, found: &Found, is_last: bool) -> Result<Stored, Vec<&'static str>> {
        let mut problems = Vec::new();
        let mut range = None;
        match resolve(self.range.as_deref().map(str::as_bytes), found.bytes) {
            Resolved::Ranges(ranges) => {
                range = ranges.first().copied().filter(|&(first, last)| last - first + 1 < found.bytes);
            }
            Resolved::Unsatisfiable => problems.push("Unsatisfiable Range"),
            Resolved::Whole => {}
        }
        if range.is_none() && found.bytes < 1 && !is_last {
            problems.push("Too small; each segment must be at least 1 byte.");
        }
        if self.size.is_some_and(|size| u64::try_from(size) != Ok(found.bytes)) {
            problems.push("Size Mismatch");
        }
        if self.etag.as_ref().is_some_and(|etag| *etag != found.etag) {
            problems.push("Etag Mismatch");
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let modified = Timestamp::from_unix(Duration::from_secs(found.modified)).isoformat();
        Ok(Stored::object(format!("/{}", self.path.trim_start_matches('/')), found, range, modified))
    }
}

impl Found {
    /// From the fields of the answer to a HEAD.
    pub(super) fn read(headers: &base::http::Headers) -> Option<Found> {
        Some(Found {
            bytes: headers.get_str("Content-Length")?.parse().ok()?,
            etag: headers.get_str("Etag")?.replace('"', ""),
            content_type: headers.get_str("Content-Type").unwrap_or_default().to_owned(),
            modified: headers.get("Last-Modified").and_then(|value| date::parse(value)).unwrap_or_default(),
            is_manifest: super::is_manifest(headers),
        })
    }
}

/// The ETag of the whole, from its parts, one after the other.
pub(super) struct WholeEtag(Md5Hasher);

impl WholeEtag {
    pub(super) fn new() -> Self {
        Self(Md5Hasher::new())
    }

    pub(super) fn add_data(&mut self, bytes: &[u8]) {
        self.0.update(md5_hex(bytes).as_bytes());
    }

    pub(super) fn add_object(&mut self, etag: &str, range: Option<(u64, u64)>) {
        self.0.update(etag.as_bytes());
        if let Some((first, last)) = range {
            self.0.update(format!(":{first}-{last};").as_bytes());
        }
    }

    pub(super) fn finish(self) -> String {
        self.0.finish_hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Path {
        Path::parse(b"/AUTH_test/c/big").unwrap()
    }

    #[track_caller]
    fn refused(body: &str, expected: &str) {
        let said = match parse(body.as_bytes(), &own(), 10) {
            Err(Refused::Bad(text) | Refused::Parts(text)) => text,
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(said, expected, "{body}");
    }

    #[test]
    fn what_is_wrong_is_said_as_swift_says_it() {
        refused("x", "Manifest must be valid JSON.\n");
        refused("{}", "Manifest must be a list.\n");
        refused("[1]", "Index 0: not a JSON object\n");
        refused(
            "[{\"path\":\"c\"},{\"path\":7}]",
            "Index 0: path does not refer to an object. Path must be of the form \
            /container/object.\nIndex 1: \"path\" must be a string\n",
        );
        refused("[{\"path\":\"c/o\",\"teag\":1,\"a\":2}]", "Index 0: extraneous keys \"a\", \"teag\"\n");
        refused("[{\"path\":\"/c/big\"}]", "Index 0: manifest must not include itself as a segment\n");
        refused("[{\"path\":\"c/o\",\"size_bytes\":\"q\"}]", "Index 0: invalid size_bytes\n");
        refused("[{\"path\":\"c/o\",\"range\":\"x\"}]", "Index 0: invalid range\n");
        refused("[{\"path\":\"c/o\",\"range\":\"1-2,4-5\"}]", "Index 0: multiple ranges (only one allowed)\n");
        refused("[{\"path\":\"c/o\",\"size_bytes\":3,\"range\":\"3-\"}]", "Index 0: unsatisfiable range\n");
        refused("[{\"data\":\"Q\"}]", "Index 0: data must be valid base64\n");
        refused("[{\"data\":\"QQ==\"}]", "Inline data segments require at least one object-backed segment.\n");
        assert_eq!(
            parse(&format!("[{}{{\"path\":\"a/b\"}}]", "{\"path\":\"a/b\"},".repeat(10)).into_bytes(), &own(), 10),
            Err(Refused::TooMany)
        );
    }

    #[test]
    fn a_part_is_compared_with_what_is_there() {
        let found = Found { bytes: 10, etag: "e".into(), content_type: "t/x".into(), modified: 0, is_manifest: false };
        let check = |text: &str| match parse(text.as_bytes(), &own(), 10).unwrap().remove(0) {
            Part::Object(wanted) => wanted.check(&found, true).map(|part| part.length),
            Part::Data(_) => unreachable!(),
        };
        assert_eq!(check(r#"[{"path":"c/o","size_bytes":"10","etag":"e"}]"#), Ok(10));
        assert_eq!(check(r#"[{"path":"c/o","range":"-4"}]"#), Ok(4));
        assert_eq!(check(r#"[{"path":"c/o","range":"10-"}]"#), Err(vec!["Unsatisfiable Range"]));
        assert_eq!(check(r#"[{"path":"c/o","size_bytes":9,"etag":"x"}]"#), Err(vec!["Size Mismatch", "Etag Mismatch"]));
    }
}
