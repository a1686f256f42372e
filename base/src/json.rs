//! Core: JSON text as Python's `json.dumps` writes it: ASCII, with `", "` and `": "` between its parts.
//!
//! What is stored beside Python daemons (manifests, values in memcached) is written so. Reading takes any JSON.

use serde_json::Value;

/// A string in quotes, what is not ASCII as `\u` escapes.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for part in Value::from(text).to_string().chars() {
        if part.is_ascii() && part != '\u{7f}' {
            quoted.push(part);
        } else {
            let mut units = [0; 2];
            for unit in part.encode_utf16(&mut units) {
                quoted.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    quoted
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
    fn members_keep_their_order() {
        let mut object = Object::default();
        object.add("b", &json!("1")).add("a", &Value::Null);
        assert_eq!(object.finish(), r#"{"b": "1", "a": null}"#);
        assert_eq!(Object::default().finish(), "{}");
    }
}
