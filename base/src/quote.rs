//! Core: percent-encoding as Swift does it, and query strings.
//!
//! Python's `quote` and `unquote_to_bytes` decide what a path looks like on the wire between the daemons, so both are
//! followed to the letter, broken escapes included.

use bytes::BytesMut;
use std::borrow::Cow;

/// Encodes everything but unreserved characters and `/` (Python's `quote`).
pub fn quote(text: &[u8]) -> String {
    let mut quoted = String::with_capacity(text.len() + text.len() / 4);
    match std::str::from_utf8(text) {
        Ok(plain) if is_plain(text) => quoted.push_str(plain),
        _ => quoted.extend(quoted_bytes(text).map(char::from)),
    }
    quoted
}

/// The same, appended.
pub fn quote_into(out: &mut BytesMut, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        out.extend(quoted_bytes(text));
    }
}

fn quoted_bytes(text: &[u8]) -> impl Iterator<Item = u8> {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    text.iter()
        .flat_map(move |&byte| match is_unreserved(byte) {
            true => [Some(byte), None, None],
            false => [Some(b'%'), Some(digit(byte >> 4)), Some(digit(byte & 15))],
        })
        .flatten()
}

/// Whether this is what `quote` makes of it and what `unquote` makes of it.
pub fn is_plain(text: &[u8]) -> bool {
    // All of them are looked at, whatever is found: so the compiler can take many at once.
    text.iter().fold(true, |plain, &byte| plain & is_unreserved(byte))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~' | b'/')
}

/// Decodes `%XX`; a broken escape stays as it is (Python's `unquote_to_bytes`). `+` is not a blank.
pub fn unquote(text: &[u8]) -> Vec<u8> {
    unquoted(text).into_owned()
}

/// The same; a text without escapes is not copied.
pub fn unquoted(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        match (byte, behind) {
            (b'%', [high, low, behind @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                plain.push(nibble(*high) << 4 | nibble(*low));
                rest = behind;
            }
            _ => {
                plain.push(byte);
                rest = behind;
            }
        }
    }
    Cow::Owned(plain)
}

/// Query parameters in order, decoded, `+` as blank; the last of a name wins on `get`, as in Swift.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Query {
    /// Parses at most 1,000 parameters; the rest is ignored.
    pub fn parse(query: &[u8]) -> Query {
        let decode = |part: &[u8]| {
            let blanks: Vec<u8> = part.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
            unquote(&blanks)
        };
        let pairs = query.split(|&b| b == b'&').filter(|pair| !pair.is_empty()).take(PARAMETERS_MAX).map(|pair| {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let name = halves.next().unwrap_or_default();
            (decode(name), decode(halves.next().unwrap_or_default()))
        });
        Query { pairs: pairs.collect() }
    }
    /// Value of `name`, raw bytes.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs.iter().rev().find(|(n, _)| n == name.as_bytes()).map(|(_, v)| v.as_slice())
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(n, v)| (n.as_slice(), v.as_slice()))
    }
}

fn nibble(digit: u8) -> u8 {
    char::from(digit).to_digit(16).map_or(0, |d| d as u8)
}

/// More than any client sends; keeps a hostile query from costing a million small allocations.
const PARAMETERS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quoting_keeps_what_python_keeps() {
        assert_eq!(quote("a/b c~_.-é+%".as_bytes()), "a/b%20c~_.-%C3%A9%2B%25");
        assert!(is_plain(b"/v1/AUTH_a/b~c.d-e") && !is_plain(b"a%20") && !is_plain(b"a+b"));
    }

    #[test]
    fn a_broken_escape_stays() {
        assert_eq!(unquote(b"%zz%4%41+%"), b"%zz%4A+%");
    }

    #[test]
    fn of_two_equal_names_the_last_wins() {
        let query = Query::parse(b"prefix=a%26b&&limit=1&marker&limit=2&x=1+2=3");
        assert_eq!(query.get("prefix"), Some(&b"a&b"[..]));
        assert_eq!(query.get("limit"), Some(&b"2"[..]));
        assert_eq!(query.get("marker"), Some(&b""[..]));
        assert_eq!(query.get("x"), Some(&b"1 2=3"[..]));
        assert_eq!(query.get("missing"), None);
        assert_eq!(query.iter().count(), 5);
    }

    #[test]
    fn a_query_is_bounded() {
        assert_eq!(Query::parse("a&".repeat(5_000).as_bytes()).iter().count(), PARAMETERS_MAX);
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_unquoting(bytes: Vec<u8>) {
            prop_assert_eq!(unquote(quote(&bytes).as_bytes()), bytes);
        }
    }
}
