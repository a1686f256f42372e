//! Core: listings as XML, byte for byte as Swift writes them.

use serde_json::Value;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The containers of an account.
pub(super) fn account_xml(account: &str, rows: &[Value]) -> String {
    let mut xml = format!("{DECLARATION}<account name=\"{}\">\n", attribute(account));
    for row in rows {
        match subdir(row) {
            Some(prefix) => xml.push_str(&format!("<subdir name=\"{}\" />\n", attribute(prefix))),
            None => {
                xml.push_str("<container>");
                fields(&mut xml, row, &["name", "count", "bytes", "last_modified", "storage_policy"]);
                xml.push_str("</container>\n");
            }
        }
    }
    xml + "</account>"
}

/// The objects of a container.
pub(super) fn container_xml(container: &str, rows: &[Value]) -> String {
    let name = attribute(container);
    if rows.is_empty() {
        return format!("{DECLARATION}<container name=\"{name}\" />");
    }
    let mut xml = format!("{DECLARATION}<container name=\"{name}\">");
    for row in rows {
        match subdir(row) {
            Some(prefix) => {
                let (name, text) = (attribute(prefix), text(prefix));
                xml.push_str(&format!("<subdir name=\"{name}\"><name>{text}</name></subdir>"));
            }
            None => {
                xml.push_str("<object>");
                fields(&mut xml, row, &["name", "hash", "bytes", "content_type", "last_modified"]);
                xml.push_str("</object>");
            }
        }
    }
    xml + "</container>"
}

fn subdir(row: &Value) -> Option<&str> {
    row.get("subdir").and_then(Value::as_str)
}

fn fields(xml: &mut String, row: &Value, names: &[&str]) {
    for name in names {
        let shown = match row.get(name) {
            Some(Value::String(value)) => text(value),
            Some(value) => value.to_string(),
            None => continue,
        };
        xml.push_str(&format!("<{name}>{shown}</{name}>"));
    }
}

/// Text between tags. Control characters cannot stand in XML in any spelling; one object with such a name must not make the
/// listing unreadable, so they are shown as U+FFFD (JSON and plain listings have the true name).
fn text(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Text within quotes.
fn attribute(value: &str) -> String {
    let escaped = text(value).replace('"', "&quot;");
    escaped.replace('\r', "&#13;").replace('\n', "&#10;").replace('\t', "&#09;")
}
