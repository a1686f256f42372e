//! Core: JSON as Python's `json.dumps(…, sort_keys=True)` writes it, byte for byte: rings are compared by checksum.
//!
//! `", "` and `": "` separate, everything beyond ASCII is escaped, numbers with a fraction look like `repr(float)`.

use serde_json::Value;
use std::collections::BTreeMap;

/// One value, on one line.
pub(crate) fn dumps(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) if number.is_f64() => {
            text.push_str(&float_repr(number.as_f64().expect("is_f64 said so")));
        }
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            text.push('{');
            for (at, (name, field)) in sorted.into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                write_string(name, text);
                text.push_str(": ");
                write_value(field, text);
            }
            text.push('}');
        }
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text.push('"');
}

/// Python's `repr` of a finite float: shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
pub(crate) fn float_repr(number: f64) -> String {
    let shortest = format!("{number:e}");
    let exponent = shortest.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let digits = shortest.split_once('e').map_or("", |(digits, _)| digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = number.to_string();
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_like_python() {
        for (number, text) in [
            (100.0, "100.0"),
            (0.0, "0.0"),
            (2.25, "2.25"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (-1.1, "-1.1"),
            (1e15, "1000000000000000.0"),
        ] {
            assert_eq!(float_repr(number), text);
        }
    }

    #[test]
    fn text_beyond_ascii_is_escaped() {
        let value: Value = serde_json::from_str(r#"{"b": [1, null, true], "a": "é😀\n\u007f\"/"}"#).unwrap();
        assert_eq!(dumps(&value), r#"{"a": "\u00e9\ud83d\ude00\n\u007f\"/", "b": [1, null, true]}"#);
    }
}
