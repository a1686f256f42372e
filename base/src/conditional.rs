//! Core: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, as Swift evaluates them.
//!
//! Swift asks in this order, and the first that speaks decides: If-None-Match, If-Match, If-Modified-Since,
//! If-Unmodified-Since. Headers that are empty or hold no date are not there.

use crate::http::{Headers, date};

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
pub fn evaluate(headers: &Headers, etag: Option<&str>, last_modified: Option<u64>) -> Verdict {
    let named = |name| etag.and_then(|etag| headers.get(name).map(|value| matches(value, etag)));
    if named("If-None-Match") == Some(true) {
        return Verdict::NotModified;
    }
    if named("If-Match") == Some(false) {
        return Verdict::PreconditionFailed;
    }
    let since = |name| headers.get(name).and_then(|value| date::parse(value));
    let Some(last_modified) = last_modified else {
        return Verdict::Proceed;
    };
    if since("If-Modified-Since").is_some_and(|since| last_modified <= since) {
        return Verdict::NotModified;
    }
    if since("If-Unmodified-Since").is_some_and(|since| last_modified > since) {
        return Verdict::PreconditionFailed;
    }
    Verdict::Proceed
}

/// Whether an If-Match or If-None-Match value names this ETag (`*` names any).
pub fn matches(value: &[u8], etag: &str) -> bool {
    let wanted = unquoted(etag.as_bytes());
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()).any(|tag| {
        let tag = unquoted(tag);
        tag == b"*" || tag == wanted
    })
}

/// Without quotes, and without the mark of weakness that gateways add to what they compressed.
fn unquoted(tag: &[u8]) -> &[u8] {
    let strong = tag.strip_prefix(b"W/").filter(|rest| rest.starts_with(b"\"")).unwrap_or(tag);
    strong.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(strong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "437bba8e0bf58337674f4539e75186ac";
    const MODIFIED: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT

    #[track_caller]
    fn check(fields: &[(&'static str, &'static str)], expected: Verdict) {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(*name, *value);
        }
        assert_eq!(evaluate(&headers, Some(ETAG), Some(MODIFIED)), expected, "{fields:?}");
    }

    #[test]
    fn etags_are_named_quoted_bare_weak_in_lists_and_by_star() {
        for value in
            [ETAG, "\"437bba8e0bf58337674f4539e75186ac\"", "W/\"437bba8e0bf58337674f4539e75186ac\"", "*", "a, *"]
        {
            assert!(matches(value.as_bytes(), ETAG), "{value}");
        }
        assert!(matches(b" x ,\"y\",437bba8e0bf58337674f4539e75186ac", "\"437bba8e0bf58337674f4539e75186ac\""));
        for value in ["", ",", "x", "\"", "\"*", "437BBA8E0BF58337674F4539E75186AC"] {
            assert!(!matches(value.as_bytes(), ETAG), "{value}");
        }
    }

    #[test]
    fn each_condition_alone() {
        check(&[], Verdict::Proceed);
        check(&[("If-Match", ETAG)], Verdict::Proceed);
        check(&[("If-Match", "x")], Verdict::PreconditionFailed);
        // Names nothing, so the object is not among it.
        check(&[("If-Match", "")], Verdict::PreconditionFailed);
        check(&[("If-None-Match", "")], Verdict::Proceed);
        check(&[("If-None-Match", "x")], Verdict::Proceed);
        check(&[("If-None-Match", "*")], Verdict::NotModified);
        check(&[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")], Verdict::NotModified);
        check(&[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")], Verdict::Proceed);
        check(&[("If-Modified-Since", "yesterday")], Verdict::Proceed);
        check(&[("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")], Verdict::Proceed);
        check(&[("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")], Verdict::PreconditionFailed);
    }

    #[test]
    fn the_first_that_speaks_decides() {
        check(&[("If-Match", "x"), ("If-None-Match", ETAG)], Verdict::NotModified);
        check(
            &[("If-Match", "x"), ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            Verdict::PreconditionFailed,
        );
        check(
            &[
                ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT"),
                ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ],
            Verdict::NotModified,
        );
        check(&[("If-None-Match", "x"), ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")], Verdict::NotModified);
    }

    #[test]
    fn nothing_to_compare_with_proceeds() {
        let mut headers = Headers::new();
        headers.append("If-Match", "x");
        headers.append("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(evaluate(&headers, None, None), Verdict::Proceed);
    }
}
