//! Core: a manifest as it is stored, in Swift's JSON: written by a PUT, read by everything else.

use super::base64;
use super::elements::Elements;
use super::manifest::{Found, WholeEtag};
use base::config::is_true;
use base::json::quoted;
use bytes::Bytes;
use serde_json::{Map, Value};

/// One part, ready to be stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    /// As Python writes JSON: the sizes of containers count the manifest's bytes.
    text: String,
    etag: String,
    range: Option<(u64, u64)>,
    /// Bytes it stands for.
    pub(super) length: u64,
}

impl Stored {
    pub(super) fn object(name: String, found: &Found, range: Option<(u64, u64)>, modified: String) -> Stored {
        // Without parameters, as Swift keeps it.
        let content_type = found.content_type.split(';').next().unwrap_or_default().trim_end();
        let mut text = format!(
            "{{\"name\": {}, \"bytes\": {}, \"hash\": {}, \"content_type\": {}, \"last_modified\": {}",
            quoted(&name),
            found.bytes,
            quoted(&found.etag),
            quoted(content_type),
            quoted(&modified),
        );
        if let Some((first, last)) = range {
            text.push_str(&format!(", \"range\": \"{first}-{last}\""));
        }
        if found.is_manifest {
            text.push_str(", \"sub_slo\": true");
        }
        text.push('}');
        let length = range.map_or(found.bytes, |(first, last)| last - first + 1);
        Stored { text, etag: found.etag.clone(), range, length }
    }
}

/// The manifest being written.
pub(super) struct Writer {
    json: Vec<u8>,
    etag: WholeEtag,
    length: u64,
}

impl Writer {
    pub(super) fn new() -> Writer {
        Writer { json: vec![b'['], etag: WholeEtag::new(), length: 0 }
    }

    pub(super) fn add_data(&mut self, bytes: &[u8]) {
        self.etag.add_data(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
        // Nothing of base64 needs an escape.
        self.add(format!("{{\"data\": \"{}\"}}", base64::encode(bytes)).as_bytes());
    }

    pub(super) fn add_object(&mut self, part: &Stored) {
        self.etag.add_object(&part.etag, part.range);
        self.length = self.length.saturating_add(part.length);
        self.add(part.text.as_bytes());
    }

    fn add(&mut self, element: &[u8]) {
        if self.json.len() > 1 {
            self.json.extend_from_slice(b", ");
        }
        self.json.extend_from_slice(element);
    }

    /// The JSON, the ETag of the whole, and its length.
    pub(super) fn finish(mut self) -> (Vec<u8>, String, u64) {
        self.json.push(b']');
        (self.json, self.etag.finish(), self.length)
    }
}

/// One part of a manifest that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Bytes it stands for.
    pub(super) length: u64,
    pub(super) kind: Kind,
}

/// Where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data(Bytes),
    Object(Box<Referred>),
}

/// An object that a manifest refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referred {
    /// `/container/object`
    pub(super) name: String,
    pub(super) etag: String,
    /// The whole object's; of a manifest, the whole it stands for.
    pub(super) bytes: u64,
    /// Which bytes of it.
    pub(super) range: Option<(u64, u64)>,
    /// Another manifest.
    pub(super) is_manifest: bool,
}

/// The parts of a stored manifest; `None` when it is none.
pub(super) fn segments(json: &[u8]) -> Option<Vec<Segment>> {
    Elements::new(json).ok()?.map(|element| segment(element.ok()?.as_object()?)).collect()
}

fn segment(fields: &Map<String, Value>) -> Option<Segment> {
    if let Some(data) = fields.get("data") {
        let bytes = Bytes::from(base64::decode(data.as_str()?)?);
        return Some(Segment { length: bytes.len() as u64, kind: Kind::Data(bytes) });
    }
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let is_manifest = match fields.get("sub_slo") {
        Some(Value::Bool(is)) => *is,
        Some(Value::String(text)) => is_true(text),
        _ => false,
    };
    let mut bytes = number(fields.get("bytes")?)?;
    // Older Swift kept the size of a manifest's whole in its content type.
    if is_manifest && let Some((_, size)) = text("content_type").and_then(|kind| kind.split_once("swift_bytes=")) {
        bytes = size.split(';').next().and_then(|size| size.trim().parse().ok()).unwrap_or(bytes);
    }
    let range: Option<(u64, u64)> = match text("range") {
        Some(range) => {
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        }
        None => None,
    };
    let length = match range {
        Some((first, last)) => last.checked_sub(first)?.checked_add(1)?,
        None => bytes,
    };
    let (name, etag) = (text("name")?.to_owned(), text("hash")?.replace('"', ""));
    Some(Segment { length, kind: Kind::Object(Box::new(Referred { name, etag, bytes, range, is_manifest })) })
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// ETag and length of the whole, for manifests that do not say.
pub(super) fn whole(segments: &[Segment]) -> (String, u64) {
    let (mut etag, mut length) = (WholeEtag::new(), 0_u64);
    for segment in segments {
        length = length.saturating_add(segment.length);
        match &segment.kind {
            Kind::Data(bytes) => etag.add_data(bytes),
            Kind::Object(object) => etag.add_object(&object.etag, object.range),
        }
    }
    (etag.finish(), length)
}

/// The manifest as a client could send it again; `None` when it is none.
pub(super) fn raw(json: &[u8]) -> Option<Vec<u8>> {
    let mut text = vec![b'['];
    for element in Elements::new(json).ok()? {
        let Value::Object(mut fields) = element.ok()? else { return None };
        if !fields.contains_key("data") {
            for hidden in ["content_type", "last_modified", "sub_slo"] {
                fields.remove(hidden);
            }
            for (stored, sent) in [("name", "path"), ("bytes", "size_bytes"), ("hash", "etag")] {
                let value = fields.remove(stored).unwrap_or(Value::Null);
                fields.insert(sent.into(), value);
            }
        }
        if text.len() > 1 {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(Value::Object(fields).to_string().as_bytes());
    }
    text.push(b']');
    Some(text)
}
