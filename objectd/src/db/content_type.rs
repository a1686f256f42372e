//! Core: the content type of a row, which may carry the size to list as a parameter (`;swift_bytes=N`).

use std::borrow::Cow;

/// As [`split_swift_bytes`], without a copy where there are no parameters.
pub fn split_shown(content_type: &str) -> (Cow<'_, str>, Option<String>) {
    if !content_type.contains(';') {
        return (Cow::Borrowed(content_type), None);
    }
    let (joined, swift_bytes) = split_swift_bytes(content_type);
    (Cow::Owned(joined), swift_bytes)
}

/// Takes `swift_bytes` out of a content type. The other parameters are joined again with `;` and no blank, as Swift does.
pub fn split_swift_bytes(content_type: &str) -> (String, Option<String>) {
    let mut pieces = pieces(content_type).into_iter();
    let mut joined = pieces.next().unwrap_or_default().to_owned();
    let mut swift_bytes = None;
    for piece in pieces {
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (key, value) = (key.trim(), value.trim());
        match key {
            "" => {}
            "swift_bytes" => swift_bytes = Some(value.to_owned()),
            _ => {
                joined.push(';');
                joined.push_str(key);
                joined.push('=');
                joined.push_str(value);
            }
        }
    }
    (joined, swift_bytes)
}

/// Puts it back.
pub fn join_swift_bytes(mut content_type: String, swift_bytes: Option<&str>) -> String {
    if let Some(value) = swift_bytes.filter(|value| !value.is_empty()) {
        content_type.push_str(";swift_bytes=");
        content_type.push_str(value);
    }
    content_type
}

/// Cuts at semicolons outside of quotes.
fn pieces(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let cuts = character == ';' && !quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        cuts
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_without_blanks() {
        let check = |text: &str, joined: &str, bytes: Option<&str>| {
            assert_eq!(split_swift_bytes(text), (joined.to_owned(), bytes.map(str::to_owned)), "{text}");
            assert_eq!(split_shown(text), (joined.into(), bytes.map(str::to_owned)), "{text}");
        };
        check("text/plain", "text/plain", None);
        check("application/x; charset=utf-8; swift_bytes=777", "application/x;charset=utf-8", Some("777"));
        check("a/b;swift_bytes=10", "a/b", Some("10"));
        check("a/b; n=\"x;y\" ;swift_bytes=1", "a/b;n=\"x;y\"", Some("1"));
        check("", "", None);
        assert_eq!(join_swift_bytes("a/b".to_owned(), Some("5")), "a/b;swift_bytes=5");
        assert_eq!(join_swift_bytes("a/b".to_owned(), Some("")), "a/b");
    }
}
