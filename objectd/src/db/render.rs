//! Core: listings as bytes: plain, JSON as Python writes it, XML as Swift's two servers write it.

mod xml;

use super::codec::corrupt;
use super::container_row::{self, ContainerRow};
use super::content_type::split_shown;
use super::listing::Entry;
use super::object_row::ObjectRow;
use super::pen::Pen;
use super::policies::Policies;
use base::json;
use base::timestamp::IsoForm;
use std::io;

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    out: Pen,
    has_entries: bool,
    times: IsoForm,
    types: LastType,
}

impl Renderer {
    /// An empty one.
    pub fn new(listing: Listing, format: Format) -> Self {
        Self {
            listing,
            format,
            out: Pen::default(),
            has_entries: false,
            times: IsoForm::default(),
            types: LastType::default(),
        }
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Makes space for so many bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Bytes written and not taken.
    pub fn written(&self) -> usize {
        self.out.written()
    }

    /// Takes what was written. What comes later stands behind it.
    pub fn take(&mut self) -> Vec<u8> {
        self.out.take()
    }

    /// Adds an entry.
    pub fn entry(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let out = &mut self.out;
        match (std::mem::replace(&mut self.has_entries, true), self.format) {
            (true, Format::Json) => out.constant(b", "),
            (true, _) => {}
            (false, format) => open(out, format, &self.listing),
        }
        match (self.format, entry, &self.listing) {
            (Format::Plain, Entry::Row(name, _) | Entry::Subdir(name), _) => {
                out.text(text(name)?);
                out.constant(b"\n");
                Ok(())
            }
            (Format::Json, Entry::Subdir(name), _) => {
                out.constant(b"{\"subdir\": ");
                json_text(out, name)?;
                out.constant(b"}");
                Ok(())
            }
            (Format::Json, Entry::Row(name, value), Listing::Objects(_)) => {
                object_json(out, name, value, &mut self.times, &mut self.types)
            }
            (Format::Json, Entry::Row(name, value), Listing::Containers(_, policies)) => {
                container_json(out, name, value, policies, &mut self.times)
            }
            (_, Entry::Subdir(name), listing) => {
                xml::subdir(out, text(name)?, listing);
                Ok(())
            }
            (_, Entry::Row(name, value), Listing::Objects(_)) => xml::object(out, text(name)?, value, &mut self.times),
            (_, Entry::Row(name, value), Listing::Containers(_, policies)) => {
                xml::container(out, text(name)?, value, policies, &mut self.times)
            }
        }
    }

    /// The end of the body, behind what was taken before; all of it when nothing was.
    pub fn finish(mut self) -> Vec<u8> {
        let out = &mut self.out;
        match self.format {
            Format::Plain => {}
            Format::Json => out.text(if self.has_entries { "]" } else { "[]" }),
            Format::Xml | Format::TextXml => xml::close(out, &self.listing, self.has_entries),
        }
        self.out.take()
    }
}

/// What stands before the first entry.
fn open(out: &mut Pen, format: Format, listing: &Listing) {
    match format {
        Format::Plain => {}
        Format::Json => out.constant(b"["),
        Format::Xml | Format::TextXml => xml::open(out, listing),
    }
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| corrupt("text of a row"))
}

/// The content type of the last row, and what became of it: most rows have that of the row before.
#[derive(Clone, Debug, Default)]
struct LastType {
    stored: Vec<u8>,
    shown: Vec<u8>,
    /// Shown as the size of a row, instead of its own.
    size: Option<i64>,
}

impl LastType {
    fn of(&mut self, stored: &[u8]) -> io::Result<&LastType> {
        if self.shown.is_empty() || self.stored != stored {
            let (content_type, swift_bytes) = split_shown(text(stored)?);
            let mut shown = Pen::default();
            json_text(&mut shown, content_type.as_bytes())?;
            let size = swift_bytes.and_then(|bytes| bytes.parse().ok());
            *self = LastType { stored: stored.to_vec(), shown: shown.take(), size };
        }
        Ok(self)
    }
}

fn object_json(out: &mut Pen, name: &[u8], value: &[u8], times: &mut IsoForm, types: &mut LastType) -> io::Result<()> {
    let row = ObjectRow::take_apart(value)?;
    let content_type = types.of(row.content_type)?;
    let modified = row.metadata_time()?;
    out.constant(b"{\"bytes\": ");
    out.number(content_type.size.unwrap_or(row.size));
    out.constant(b", \"hash\": ");
    json_text(out, row.etag)?;
    out.constant(b", \"name\": ");
    json_text(out, name)?;
    out.constant(b", \"content_type\": ");
    out.bytes(&content_type.shown);
    out.constant(b", \"last_modified\": \"");
    out.constant(times.of(modified));
    out.constant(b"\"}");
    Ok(())
}

fn container_json(
    out: &mut Pen,
    name: &[u8],
    value: &[u8],
    policies: &Policies,
    times: &mut IsoForm,
) -> io::Result<()> {
    let row = ContainerRow::decode(value)?;
    out.text("{\"name\": ");
    json_text(out, name)?;
    out.text(", \"count\": ");
    out.number(row.objects);
    out.text(", \"bytes\": ");
    out.number(row.bytes);
    out.text(", \"last_modified\": \"");
    out.constant(times.of(container_row::value(row.put)));
    out.text("\"");
    if let Some(policy) = policies.name(row.policy) {
        out.text(", \"storage_policy\": ");
        json_text(out, policy.as_bytes())?;
    }
    out.text("}");
    Ok(())
}

/// A JSON string of ASCII only, with Python's choice of escapes.
fn json_text(out: &mut Pen, bytes: &[u8]) -> io::Result<()> {
    out.constant(b"\"");
    // Nearly all texts are plain to their end.
    if is_plain(bytes) {
        out.bytes(bytes);
    } else {
        json::escape(text(bytes)?, |part| out.text(part));
    }
    out.constant(b"\"");
    Ok(())
}

/// Whether all are printable ASCII that JSON does not escape. Eight at a time: texts are too short for more.
fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // Of a word, its bytes that are escaped have their highest bit set in the result; those above them may have it as well.
    let escaped = |word: u64| {
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let high = word | word.wrapping_add(ONES);
        control | high | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')))
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        found |= escaped(u64::from_le_bytes(*word));
    }
    let mut last = u64::from_le_bytes([b' '; 8]);
    for byte in rest {
        last = last << 8 | u64::from(*byte);
    }
    (found | escaped(last)) & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_plain_when_json_has_nothing_to_escape_in_it() {
        for length in 0..20 {
            for byte in 0..=u8::MAX {
                for place in 0..length {
                    let mut bytes = vec![b'~'; length];
                    bytes[place] = byte;
                    let expected = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
                    assert_eq!(is_plain(&bytes), expected, "{byte} at {place} of {length}");
                }
            }
        }
    }
}
