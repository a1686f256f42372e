//! Core: the HTML of listings. Ids and classes are Swift's, for style sheets and scripts that know them.

use base::quote::{Query, quote};
use serde_json::Value;

/// One row of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Folder(String),
    Object { name: String, bytes: u64, content_type: String, modified: String },
}

/// Reads a page of JSON; `None` when it is none.
pub(super) fn rows(body: &[u8]) -> Option<Vec<Row>> {
    let rows: Vec<Value> = serde_json::from_slice(body).ok()?;
    let row = |row: &Value| {
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(folder) = text("subdir") {
            return Some(Row::Folder(folder));
        }
        let bytes = row.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        Some(Row::Object {
            name: text("name")?,
            bytes,
            content_type: text("content_type").unwrap_or_default(),
            modified: text("last_modified").unwrap_or_default(),
        })
    };
    rows.iter().map(row).collect()
}

/// What links of the page carry on: the signature that let the visitor in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    query: String,
    prefix: String,
}

impl Links {
    pub(super) fn of(query: &Query, is_signed: bool) -> Links {
        let text = |name: &str| query.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let (Some(prefix), true) = (text("temp_url_prefix"), is_signed) else { return Links::default() };
        let mut parts = vec![format!("temp_url_prefix={}", quote(prefix.as_bytes()))];
        for name in ["temp_url_expires", "temp_url_sig", "temp_url_ip_range"] {
            if let Some(value) = text(name) {
                parts.push(format!("{name}={}", quote(value.as_bytes())));
            }
        }
        if query.get("inline").is_some() {
            parts.push("inline".to_owned());
        }
        Links { query: format!("?{}", parts.join("&amp;")), prefix }
    }
}

/// The listing of `prefix`.
pub(super) fn listing(label: &str, css: &str, prefix: &str, rows: &[Row], links: &Links) -> String {
    let mut page = head(label, css);
    page.push_str(&format!("<h1 id=\"title\">Listing of {}</h1>\n<table id=\"listing\">\n", escape(label)));
    page.push_str("<tr id=\"heading\"><th class=\"colname\">Name</th><th class=\"colsize\">Size</th>");
    page.push_str("<th class=\"coldate\">Date</th></tr>\n");
    if prefix.len() > links.prefix.len() {
        page.push_str(&line("id=\"parent\" class=\"item\"", &format!("../{}", links.query), "../", "&nbsp;", "&nbsp;"));
    }
    let own = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    // A dot at the beginning would mean a folder to browsers.
    let target = |name: &str| format!("./{}{}", quote(name.as_bytes()).replace('.', "%2E"), links.query);
    for row in rows {
        if let Row::Folder(name) = row {
            let name = own(name);
            page.push_str(&line("class=\"item subdir\"", &target(&name), &escape(&name), "&nbsp;", "&nbsp;"));
        }
    }
    for row in rows {
        if let Row::Object { name, bytes, content_type, modified } = row {
            let name = own(name);
            let types: Vec<String> =
                content_type.split('/').map(|part| format!("type-{}", escape(&part.to_lowercase()))).collect();
            let modified = modified.split('.').next().unwrap_or_default().replace('T', " ");
            let class = format!("class=\"item {}\"", types.join(" "));
            page.push_str(&line(&class, &target(&name), &escape(&name), &readable(*bytes), &escape(&modified)));
        }
    }
    page.push_str("</table>\n</body>\n</html>\n");
    page
}

/// Instead of a listing that the owner does not want.
pub(super) fn disabled(label: &str, css: &str, index: &str) -> String {
    let mut page = head(label, css);
    page.push_str("<h1>Web Listing Disabled</h1>\n<p>The owner of this site does not show listings.</p>\n");
    page.push_str("<p>If you are the owner: X-Container-Meta-Web-Listings turns them on.</p>\n");
    if !index.is_empty() {
        page.push_str(&format!(
            "<h1>Index File Not Found</h1>\n<p>The index page <b>{}</b> is not there.</p>\n",
            escape(index)
        ));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn head(label: &str, css: &str) -> String {
    let style = if css.is_empty() {
        "<style type=\"text/css\">h1 {font-size: 1em} th, td {text-align: left; padding: 0 1em} a {text-decoration: none}</style>"
            .to_owned()
    } else {
        format!("<link rel=\"stylesheet\" type=\"text/css\" href=\"{}\" />", escape(css))
    };
    let label = escape(label);
    format!("<!DOCTYPE html>\n<html>\n<head>\n<title>Listing of {label}</title>\n{style}\n</head>\n<body>\n")
}

fn line(attributes: &str, target: &str, name: &str, size: &str, date: &str) -> String {
    format!(
        "<tr {attributes}><td class=\"colname\"><a href=\"{target}\">{name}</a></td><td class=\"colsize\">{size}</td>\
         <td class=\"coldate\">{date}</td></tr>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#x27;")
}

/// `12`, `1Ki`, `4Mi`: rounded to whole units of 1,024.
fn readable(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter().peekable();
    while let Some(unit) = units.next() {
        if value.round() < 1024.0 || units.peek().is_none() {
            return format!("{}{unit}", value.round());
        }
        value /= 1024.0;
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_units() {
        for (bytes, text) in
            [(0, "0"), (1023, "1023"), (1024, "1Ki"), (1536, "2Ki"), (1 << 20, "1Mi"), (u64::MAX, "16Ei")]
        {
            assert_eq!(readable(bytes), text);
        }
    }

    #[test]
    fn names_are_escaped_and_folders_come_first() {
        let rows = [
            Row::Object {
                name: "d/<b>.txt".into(),
                bytes: 5,
                content_type: "text/plain".into(),
                modified: "2026-01-02T03:04:05.6".into(),
            },
            Row::Folder("d/x/".into()),
        ];
        let page = listing("/v1/a/c/d/", "", "d/", &rows, &Links::default());
        assert!(page.contains("<a href=\"./%3Cb%3E%2Etxt\">&lt;b&gt;.txt</a>"), "{page}");
        assert!(page.contains("2026-01-02 03:04:05"));
        assert!(page.find("item subdir") < page.find("type-text type-plain"));
        assert!(page.contains("id=\"parent\""));
    }
}
