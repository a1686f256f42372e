//! Core: listings as bytes: plain, JSON as Python writes it, XML as Swift's two servers write it.

use super::container_row::{self, ContainerRow};
use super::content_type::split_shown;
use super::listing::Entry;
use super::object_row::ObjectRow;
use super::policies::Policies;
use base::digits;
use base::timestamp::Timestamp;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Names, one per line.
    Plain,
    /// `application/json`
    Json,
    /// `application/xml`
    Xml,
    /// The same as `text/xml`.
    TextXml,
}

impl Format {
    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Plain => "text/plain; charset=utf-8",
            Format::Json => "application/json; charset=utf-8",
            Format::Xml => "application/xml; charset=utf-8",
            Format::TextXml => "text/xml; charset=utf-8",
        }
    }
}

/// What is listed.
#[derive(Clone, Debug)]
pub enum Listing {
    /// Objects of the container of this name.
    Objects(String),
    /// Containers of the account of this name.
    Containers(String, Policies),
}

/// Writes a listing entry by entry.
#[derive(Clone, Debug)]
pub struct Renderer {
    listing: Listing,
    format: Format,
    out: String,
    entries: usize,
}

impl Renderer {
    /// An empty one.
    pub fn new(listing: Listing, format: Format) -> Self {
        let out = if format == Format::Json { "[".to_owned() } else { String::new() };
        Self { listing, format, out, entries: 0 }
    }

    /// Adds an entry.
    pub fn entry(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let out = &mut self.out;
        if self.format == Format::Json && self.entries > 0 {
            out.push_str(", ");
        }
        self.entries += 1;
        match (self.format, entry, &self.listing) {
            (Format::Plain, Entry::Row(name, _) | Entry::Subdir(name), _) => {
                out.push_str(name);
                out.push('\n');
            }
            (Format::Json, Entry::Subdir(name), _) => {
                out.push_str("{\"subdir\": ");
                json_text(out, name);
                out.push('}');
            }
            (Format::Json, Entry::Row(name, value), Listing::Objects(_)) => object_json(out, name, value)?,
            (Format::Json, Entry::Row(name, value), Listing::Containers(_, policies)) => {
                container_json(out, name, value, policies)?;
            }
            (_, Entry::Subdir(name), Listing::Objects(_)) => {
                out.push_str("<subdir name=\"");
                xml_attribute(out, name);
                out.push_str("\"><name>");
                xml_text(out, name);
                out.push_str("</name></subdir>");
            }
            (_, Entry::Subdir(name), Listing::Containers(..)) => {
                out.push_str("<subdir name=");
                quoted_attribute(out, name);
                out.push_str(" />\n");
            }
            (_, Entry::Row(name, value), Listing::Objects(_)) => object_xml(out, name, value)?,
            (_, Entry::Row(name, value), Listing::Containers(_, policies)) => {
                container_xml(out, name, value, policies)?
            }
        }
        Ok(())
    }

    /// The whole body.
    pub fn finish(self) -> String {
        let mut out = String::new();
        match (self.format, &self.listing) {
            (Format::Plain, _) => return self.out,
            (Format::Json, _) => return self.out + "]",
            (_, Listing::Objects(container)) => {
                out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container name=\"");
                xml_attribute(&mut out, container);
                if self.entries == 0 {
                    return out + "\" />";
                }
                out.push_str("\">");
                out.push_str(&self.out);
                out.push_str("</container>");
            }
            (_, Listing::Containers(account, _)) => {
                out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<account name=");
                quoted_attribute(&mut out, account);
                out.push_str(">\n");
                out.push_str(&self.out);
                out.push_str("</account>");
            }
        }
        out
    }
}

/// What an object's entry shows: size, content type, metadata time.
fn shown<'a>(row: &ObjectRow<&'a str>) -> io::Result<(i64, Cow<'a, str>, Timestamp)> {
    let (content_type, swift_bytes) = split_shown(row.content_type);
    let size = swift_bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(row.size);
    let [_, _, metadata] = row.times()?;
    Ok((size, content_type, metadata))
}

fn number(out: &mut String, number: i64) {
    if number < 0 {
        out.push('-');
    }
    out.extend(digits::all(number.unsigned_abs()).map(char::from));
}

fn object_json(out: &mut String, name: &str, value: &[u8]) -> io::Result<()> {
    let row = ObjectRow::decode(value)?;
    let (size, content_type, modified) = shown(&row)?;
    out.push_str("{\"bytes\": ");
    number(out, size);
    out.push_str(", \"hash\": ");
    json_text(out, row.etag);
    out.push_str(", \"name\": ");
    json_text(out, name);
    out.push_str(", \"content_type\": ");
    json_text(out, &content_type);
    out.push_str(", \"last_modified\": \"");
    modified.push_isoformat(out);
    out.push_str("\"}");
    Ok(())
}

fn object_xml(out: &mut String, name: &str, value: &[u8]) -> io::Result<()> {
    let row = ObjectRow::decode(value)?;
    let (size, content_type, modified) = shown(&row)?;
    out.push_str("<object><name>");
    xml_text(out, name);
    out.push_str("</name><hash>");
    xml_text(out, row.etag);
    out.push_str("</hash><bytes>");
    number(out, size);
    out.push_str("</bytes><content_type>");
    xml_text(out, &content_type);
    out.push_str("</content_type><last_modified>");
    modified.push_isoformat(out);
    out.push_str("</last_modified></object>");
    Ok(())
}

fn container_json(out: &mut String, name: &str, value: &[u8], policies: &Policies) -> io::Result<()> {
    let row = ContainerRow::decode(value)?;
    out.push_str("{\"name\": ");
    json_text(out, name);
    let modified = container_row::value(row.put).isoformat();
    let _ = write!(out, ", \"count\": {}, \"bytes\": {}, \"last_modified\": \"{modified}\"", row.objects, row.bytes);
    if let Some(policy) = policies.name(row.policy) {
        out.push_str(", \"storage_policy\": ");
        json_text(out, policy);
    }
    out.push('}');
    Ok(())
}

fn container_xml(out: &mut String, name: &str, value: &[u8], policies: &Policies) -> io::Result<()> {
    let row = ContainerRow::decode(value)?;
    out.push_str("<container><name>");
    xml_text(out, name);
    let modified = container_row::value(row.put).isoformat();
    let _ = write!(
        out,
        "</name><count>{}</count><bytes>{}</bytes><last_modified>{modified}</last_modified>",
        row.objects, row.bytes
    );
    if let Some(policy) = policies.name(row.policy) {
        out.push_str("<storage_policy>");
        xml_text(out, policy);
        out.push_str("</storage_policy>");
    }
    out.push_str("</container>\n");
    Ok(())
}

/// A JSON string of ASCII only, with Python's choice of escapes.
pub fn json_text(out: &mut String, text: &str) {
    out.push('"');
    // Nearly all texts are plain to their end.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let plain = text.bytes().position(|byte| !is_plain(&byte)).unwrap_or(text.len());
    let (plain, rest) = text.split_at(plain);
    out.push_str(plain);
    for character in rest.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

fn xml_text(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ => out.push(character),
        }
    }
}

/// Inside double quotes.
fn xml_attribute(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#09;"),
            _ => out.push(character),
        }
    }
}

/// With the quotes that need least escaping: the account server's habit.
fn quoted_attribute(out: &mut String, text: &str) {
    let quote = if text.contains('"') && !text.contains('\'') { '\'' } else { '"' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if quote == '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            _ => out.push(character),
        }
    }
    out.push(quote);
}
