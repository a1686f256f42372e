//! Core: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, as Swift evaluates them.

use crate::http::Headers;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
}

/// Evaluates a GET or HEAD of an object with this ETag (unquoted) and Last-Modified second (ceil).
pub fn evaluate(_headers: &Headers, _etag: Option<&str>, _last_modified: Option<u64>) -> Verdict {
    todo!()
}
/// Whether an If-Match or If-None-Match value names this ETag (`*` names any).
pub fn matches(_value: &[u8], _etag: &str) -> bool {
    todo!()
}
