//! Core: name_check: refuses paths with characters, parts or a length that the operator does not want, whoever asks.
//!
//! The decoded path is judged as bytes, version and account included. The pattern is matched by the `regex` crate, whose time is
//! linear in the path whatever the pattern: no client can make it backtrack. What only a backtracking matcher knows (looking
//! around, references back) refuses the configuration.

use crate::respond;
use base::http::Status;
use base::http::server::Response;
use base::quote::unquote;
use regex::bytes::Regex;

/// Swift's defaults.
pub(crate) const FORBIDDEN_CHARS: &str = "'\"`<>";
/// See above.
pub(crate) const FORBIDDEN_REGEXP: &str = r"/\./|/\.\./|/\.$|/\.\.$";

/// Settings of the member.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `forbidden_chars`: none of these.
    pub forbidden_chars: String,
    /// `maximum_length`, in bytes.
    pub maximum_length: usize,
    /// `forbidden_regexp`; `None` when it was set to nothing.
    pub forbidden_regexp: Option<Pattern>,
}

/// A pattern, ready to be searched for.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    compiled: Regex,
}

impl Pattern {
    /// The error says what is wrong with it.
    pub fn new(text: &str) -> Result<Pattern, String> {
        let compiled = Regex::new(text).map_err(|error| error.to_string())?;
        Ok(Pattern { text: text.to_owned(), compiled })
    }

    /// Python's `$` also stands before a line end that ends the text.
    fn is_in(&self, path: &[u8]) -> bool {
        self.compiled.is_match(path) || path.strip_suffix(b"\n").is_some_and(|path| self.compiled.is_match(path))
    }
}

impl Clone for Pattern {
    /// Compiled anew: matching needs scratch memory, which a pattern keeps in a pool that all its clones would share. Each core
    /// clones the configuration, and cores share nothing.
    fn clone(&self) -> Self {
        let compiled = Regex::new(&self.text).expect("it was compiled before");
        Pattern { text: self.text.clone(), compiled }
    }
}

/// The refusal of a path, still percent-encoded.
pub(crate) fn refuse(settings: &Settings, encoded: &[u8]) -> Option<Response> {
    let path = unquote(encoded);
    let has = |character: char| {
        let mut bytes = [0; 4];
        let wanted = character.encode_utf8(&mut bytes).as_bytes();
        path.windows(wanted.len()).any(|part| part == wanted)
    };
    let said = "Object/Container/Account name";
    let text = if settings.forbidden_chars.chars().any(has) {
        format!("{said} contains forbidden chars from {}", settings.forbidden_chars)
    } else if path.len() > settings.maximum_length {
        format!("{said} longer than the allowed maximum {}", settings.maximum_length)
    } else {
        let pattern = settings.forbidden_regexp.as_ref().filter(|pattern| pattern.is_in(&path))?;
        format!("{said} contains a forbidden substring from regular expression {}", pattern.text)
    };
    Some(respond::told(Status(400), text))
}

/// For `/info`.
pub(crate) fn document(settings: &Settings) -> serde_json::Value {
    serde_json::json!({
        "forbidden_chars": settings.forbidden_chars,
        "maximum_length": settings.maximum_length,
        "forbidden_regexp": settings.forbidden_regexp.as_ref().map_or("", |pattern| pattern.text.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::http::server::ResponseBody;

    fn settings(regexp: &str) -> Settings {
        Settings {
            forbidden_chars: FORBIDDEN_CHARS.to_owned(),
            maximum_length: 40,
            forbidden_regexp: Some(Pattern::new(regexp).unwrap()),
        }
    }

    fn sentence(settings: &Settings, path: &str) -> Option<String> {
        refuse(settings, path.as_bytes()).map(|response| match response.body {
            ResponseBody::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => panic!("a sentence"),
        })
    }

    #[test]
    fn characters_lengths_and_parts_are_refused_in_this_order() {
        let settings = settings(FORBIDDEN_REGEXP);
        let check = |path: &str, expected: Option<&str>| {
            let told = sentence(&settings, path);
            assert_eq!(told.is_some(), expected.is_some(), "{path}");
            assert!(told.unwrap_or_default().ends_with(expected.unwrap_or_default()), "{path}");
        };
        check("/v1/AUTH_test/c/o", None);
        check("/v1/AUTH_test/c/.hidden/...", None);
        check("/v1/AUTH_test/c/%3Co%3E", Some("contains forbidden chars from '\"`<>"));
        check("/v1/AUTH_test/c/it's", Some("contains forbidden chars from '\"`<>"));
        check(&format!("/v1/AUTH_test/c/{}", "o".repeat(24)), None);
        check(&format!("/v1/AUTH_test/c/{}", "o".repeat(25)), Some("longer than the allowed maximum 40"));
        check(&format!("/v1/AUTH_test/c/{}", "%C3%A9".repeat(13)), Some("longer than the allowed maximum 40"));
        let forbidden = format!("contains a forbidden substring from regular expression {FORBIDDEN_REGEXP}");
        for path in ["/v1/a/c/./o", "/v1/a/c/%2E%2e/o", "/v1/a/c/.", "/v1/a/c/..", "/v1/a/c/.%0A"] {
            check(path, Some(&forbidden));
        }
    }

    #[test]
    fn a_character_outside_ascii_is_found_whole() {
        let settings = Settings { forbidden_chars: "é".into(), ..settings("x^") };
        assert!(refuse(&settings, b"/v1/a/caf%C3%A9").is_some());
        assert!(refuse(&settings, b"/v1/a/%C3%A8").is_none());
    }

    #[test]
    fn a_pattern_that_makes_others_backtrack_takes_no_time() {
        let settings = Settings { maximum_length: 8192, ..settings("(a*)*(a*)*(a*)*b$") };
        assert!(refuse(&settings, format!("/{}", "a".repeat(8000)).as_bytes()).is_none());
    }

    #[test]
    fn what_needs_backtracking_is_no_pattern() {
        for text in [r"(?=x)", r"(a)\1", "("] {
            assert!(Pattern::new(text).is_err(), "{text}");
        }
    }
}
