//! Core: JSON text as Python's `json.dumps` writes it: ASCII, with `", "` and `": "` between its parts.
//!
//! What is stored beside Python daemons (manifests, values in memcached) is written so. Reading takes any JSON.

use crate::digits::last_hex;
use serde_json::Value;

/// A string in quotes, what is not ASCII as `\u` escapes.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    escape(text, |part| quoted.push_str(part));
    quoted.push('"');
    quoted
}

/// Gives what stands between the quotes of a string to `out`, part by part.
pub fn escape(text: &str, mut out: impl FnMut(&str)) {
    for character in text.chars() {
        match character {
            '"' => out("\\\""),
            '\\' => out("\\\\"),
            '\n' => out("\\n"),
            '\r' => out("\\r"),
            '\t' => out("\\t"),
            '\u{8}' => out("\\b"),
            '\u{c}' => out("\\f"),
            ' '..='~' => out(character.encode_utf8(&mut [0; 4])),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let mut space = *b"\\u0000";
                    space.iter_mut().skip(2).zip(last_hex((*unit).into(), 4)).for_each(|(place, digit)| *place = digit);
                    out(std::str::from_utf8(&space).unwrap_or_default());
                }
            }
        }
    }
}

/// Any value.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(string) => quoted(string),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let mut object = Object::default();
            for (name, value) in members {
                object.add(name, value);
            }
            object.finish()
        }
    }
}

/// An object whose members stay in the order they are added.
#[derive(Default)]
pub struct Object(String);

impl Object {
    /// One member.
    pub fn add(&mut self, name: &str, value: &Value) -> &mut Self {
        self.add_text(name, &text(value))
    }

    /// One member whose value is JSON text already.
    pub fn add_text(&mut self, name: &str, value: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        self.0.push_str(&quoted(name));
        self.0.push_str(": ");
        self.0.push_str(value);
        self
    }

    /// The text.
    pub fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_what_python_writes() {
        // Made by Python: json.dumps([1, -2.5, None, True, "a\"\u00fc\U0001f600\x7f\n", {"b": [], "c": {}}]).
        let value = json!([1, -2.5, null, true, "a\"\u{fc}\u{1f600}\u{7f}\n", {"b": [], "c": {}}]);
        let written = r#"[1, -2.5, null, true, "a\"\u00fc\ud83d\ude00\u007f\n", {"b": [], "c": {}}]"#;
        assert_eq!(text(&value), written);
        assert_eq!(serde_json::from_str::<Value>(written).unwrap(), value);
    }

    #[test]
    fn every_character_is_read_back_and_what_is_written_is_printable() {
        let all: String = ('\0'..='\u{ff}').chain(['\u{20ac}', '\u{1f600}']).collect();
        let quoted = quoted(&all);
        assert!(quoted.chars().all(|character| matches!(character, ' '..='~')), "{quoted}");
        assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), all);
        assert!(
            quoted.contains(r#"\b\t\n\u000b\f\r"#) && quoted.contains(r#"[\\]"#) && quoted.contains("!\\\"#"),
            "{quoted}"
        );
    }

    #[test]
    fn members_keep_their_order() {
        let mut object = Object::default();
        object.add("b", &json!("1")).add("a", &Value::Null);
        assert_eq!(object.finish(), r#"{"b": "1", "a": null}"#);
        assert_eq!(Object::default().finish(), "{}");
    }
}
