//! Core: what was done with many objects, as text, JSON or XML: Swift's report of bulk operations.

use base::http::Status;
use serde_json::{Map, Value};
use std::fmt::Write;

/// A report.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    /// `Response Status` and the like, in the order of their names.
    pub(super) fields: Map<String, Value>,
    /// Names (percent-encoded) and what went wrong.
    pub(super) errors: Vec<(String, String)>,
}

impl Report {
    /// In this content type, below a root element of that name.
    pub(super) fn render(&self, content_type: &str, root: &str) -> String {
        match content_type {
            "application/json" => self.json(),
            kind if kind.ends_with("/xml") => self.xml(root),
            _ => self.text(),
        }
    }

    fn json(&self) -> String {
        let mut fields = self.fields.clone();
        let errors = self.errors.iter().map(|(name, status)| Value::from(vec![name.as_str(), status.as_str()]));
        fields.insert("Errors".into(), Value::Array(errors.collect()));
        Value::Object(fields).to_string()
    }

    fn xml(&self, root: &str) -> String {
        let mut text = format!("<{root}>\n");
        for (name, value) in &self.fields {
            let tag = name.replace(' ', "_").to_lowercase();
            let _ = writeln!(text, "<{tag}>{}</{tag}>", escape(&plain(value)));
        }
        text.push_str("<errors>\n");
        for (name, status) in &self.errors {
            let (name, status) = (escape(name), escape(status));
            let _ = writeln!(text, "<object><name>{name}</name><status>{status}</status></object>");
        }
        let _ = writeln!(text, "</errors>\n</{root}>");
        text
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.fields {
            let _ = writeln!(text, "{name}: {}", plain(value));
        }
        text.push_str("Errors:\n");
        for (name, status) in &self.errors {
            let _ = writeln!(text, "{name}, {status}");
        }
        text
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `404 Not Found`
pub(super) fn status_line(status: Status) -> String {
    format!("{} {}", status.0, status.reason())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_says_the_same() {
        let mut report = Report::default();
        report.fields.insert("Response Status".into(), "400 Bad Request".into());
        report.fields.insert("Number Deleted".into(), 2.into());
        report.errors.push(("/c/<o>".into(), "404 Not Found".into()));
        let text = "Number Deleted: 2\nResponse Status: 400 Bad Request\nErrors:\n/c/<o>, 404 Not Found\n";
        assert_eq!(report.render("text/plain", "delete"), text);
        let xml = "<delete>\n<number_deleted>2</number_deleted>\n<response_status>400 Bad Request</response_status>\n\
                   <errors>\n<object><name>/c/&lt;o&gt;</name><status>404 Not Found</status></object>\n</errors>\n</delete>\n";
        assert_eq!(report.render("text/xml", "delete"), xml);
        let json = r#"{"Errors":[["/c/<o>","404 Not Found"]],"Number Deleted":2,"Response Status":"400 Bad Request"}"#;
        assert_eq!(report.render("application/json", "delete"), json);
    }
}
