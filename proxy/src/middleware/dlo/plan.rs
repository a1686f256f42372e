//! Core: what a dynamic large object is made of, and which of its bytes are asked for.

use base::checksum::Md5Hasher;
use base::names::Path;
use base::quote::{quote, unquote};
use base::range::{Resolved, parse, resolve};
use serde_json::Value;

/// One row of the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) etag: String,
}

/// Which bytes go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Whole,
    /// First and last, inclusive.
    Part(u64, u64),
    Unsatisfiable,
}

/// The decision from the first page of the listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// MD5 of the segments' ETags; only when all of them are known.
    pub(super) etag: Option<String>,
    /// Bytes of the segments of the page.
    pub(super) total: u64,
    pub(super) span: Span,
    is_complete: bool,
}

impl Plan {
    /// From the page, whether it shows all segments, and the `Range` field.
    pub(super) fn new<'a>(page: impl Iterator<Item = &'a Segment>, is_complete: bool, range: Option<&[u8]>) -> Plan {
        let (mut md5, mut total) = (Md5Hasher::new(), 0_u64);
        for segment in page {
            md5.update(segment.etag.as_bytes());
            total = total.saturating_add(segment.bytes);
        }
        let span = if is_complete { span_of_all(range, total) } else { span_of_page(range, total) };
        Plan { etag: is_complete.then(|| md5.finish_hex()), total, span, is_complete }
    }

    /// Bytes that go out, if known.
    pub(super) fn length(&self) -> Option<u64> {
        match self.span {
            Span::Part(first, last) => Some(last - first + 1),
            Span::Whole => self.is_complete.then_some(self.total),
            Span::Unsatisfiable => Some(0),
        }
    }

    /// The length `Content-Range` shows: `*` when more segments follow.
    pub(super) fn shown_total(&self) -> String {
        if self.is_complete { self.total.to_string() } else { "*".to_owned() }
    }
}

fn span_of_all(range: Option<&[u8]>, total: u64) -> Span {
    // Several ranges are not looked at, be they satisfiable or not.
    if range.and_then(parse).is_some_and(|ranges| ranges.len() > 1) {
        return Span::Whole;
    }
    match resolve(range, total) {
        Resolved::Unsatisfiable => Span::Unsatisfiable,
        Resolved::Ranges(ranges) => match ranges.as_slice() {
            &[(first, last)] => Span::Part(first, last),
            _ => Span::Whole,
        },
        Resolved::Whole => Span::Whole,
    }
}

/// More segments follow: only a range that ends within the page is known to be satisfiable.
fn span_of_page(range: Option<&[u8]>, total: u64) -> Span {
    match range.and_then(parse).as_deref() {
        Some(&[(Some(first), Some(last))]) if first <= last && last < total => Span::Part(first, last),
        _ => Span::Whole,
    }
}

/// Container and name prefix that a manifest's value points to.
pub(super) fn target(account: &str, value: &[u8]) -> Option<(Path, Vec<u8>)> {
    let value = unquote(value);
    let at = value.iter().position(|&byte| byte == b'/')?;
    let (container, prefix) = (value.get(..at)?, value.get(at + 1..)?);
    let path = Path::parse(format!("/{}/{}", quote(account.as_bytes()), quote(container)).as_bytes()).ok()?;
    (path.container.is_some() && !prefix.is_empty()).then(|| (path, prefix.to_vec()))
}

/// The rows of a JSON listing; `None` when it is none.
pub(super) fn segments(json: &[u8]) -> Option<Vec<Segment>> {
    let Value::Array(rows) = serde_json::from_slice(json).ok()? else { return None };
    let segment = |row: &Value| {
        let name = row.get("name")?.as_str()?.to_owned();
        let etag = row.get("hash")?.as_str()?.trim_matches('"').to_owned();
        Some(Segment { name, bytes: row.get("bytes")?.as_u64()?, etag })
    };
    rows.iter().map(segment).collect()
}
