//! Core: the metadata of an object's files: items of bytes, pickled into extended attributes (specs: diskfile §2).
//!
//! ```text
//!  user.swift.metadata            the pickle, bytes 0 to 65,535
//!  user.swift.metadata1, 2, …     the rest, 65,536 bytes each but the last
//!  user.swift.metadata_checksum   MD5 of the whole pickle, 32 hex digits (absent in files from before 2.16)
//! ```
//!
//! Swift on Python 3 writes text through a codec ("form A"), on Python 2 raw bytes ("form B"). Both are read; form B is
//! written: it is shorter and every release reads it. In memory an item is always the raw bytes of a header, and `name` the UTF-8 of
//! the path.

use super::pickle::{self, Value};
use base::checksum::md5_hex;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::sync::Arc;

/// Name of the attribute with the first chunk; the others have a number behind it.
pub const ATTRIBUTE: &str = "user.swift.metadata";
/// Name of the attribute with the checksum.
pub const CHECKSUM_ATTRIBUTE: &str = "user.swift.metadata_checksum";
/// Bytes of one chunk; XFS allows no more for one attribute.
pub const CHUNK: usize = 65536;
/// Form A shows within this many bytes.
const FORM_A_WITHIN: usize = 32;

/// Items in the order they were stored. Names are title-cased by the writer and compared exactly. Copies share them until one is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    items: Arc<Vec<(Bytes, Bytes)>>,
}

/// The bytes are no metadata: quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What is wrong.
    pub message: String,
}

impl Metadata {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }
    /// Of items in their order.
    pub(in crate::store) fn from_items(items: Vec<(Bytes, Bytes)>) -> Self {
        Self { items: Arc::new(items) }
    }
    /// A value.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.items.iter().find(|(item, _)| item == name.as_bytes()).map(|(_, value)| value)
    }
    /// A value, the name compared without case.
    pub fn get_any_case(&self, name: &[u8]) -> Option<&Bytes> {
        self.items.iter().find(|(item, _)| item.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
    /// A value that is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }
    /// A timestamp.
    pub fn timestamp(&self, name: &str) -> Option<Timestamp> {
        self.get_str(name).and_then(|text| Timestamp::parse(text).ok())
    }
    /// Adds or replaces, keeping the place of a replaced item.
    pub fn set(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (name, value) = (name.into(), value.into());
        let items = Arc::make_mut(&mut self.items);
        match items.iter_mut().find(|(item, _)| *item == name) {
            Some(item) => item.1 = value,
            None => items.push((name, value)),
        }
    }
    /// Removes.
    pub fn remove(&mut self, name: &str) {
        Arc::make_mut(&mut self.items).retain(|(item, _)| item != name.as_bytes());
    }
    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.items.iter().map(|(name, value)| (name, value))
    }

    /// Reads the joined chunks.
    pub fn decode(bytes: &[u8], checksum: Option<&[u8]>) -> Result<Metadata, Corrupt> {
        let corrupt = |message: &str| Corrupt { message: message.to_owned() };
        if checksum.is_some_and(|checksum| checksum != md5_hex(bytes).as_bytes()) {
            return Err(corrupt("the checksum of the metadata does not fit"));
        }
        let start = bytes.get(..FORM_A_WITHIN.min(bytes.len())).unwrap_or_default();
        let form_a = start.windows(b"_codecs\nencode".len()).any(|window| window == b"_codecs\nencode");
        let value =
            pickle::read(bytes).map_err(|error| corrupt(&format!("the metadata are no pickle: {}", error.message)))?;
        let Value::Dict(items) = value else { return Err(corrupt("the metadata are no dict")) };
        let mut metadata = Metadata::new();
        for (name, value) in items {
            let (Some(name), Some(value)) = (name.as_bytes(), value.as_bytes()) else {
                return Err(corrupt("the metadata hold something that is no string"));
            };
            // In form A the path is stored as it is, all others as the UTF-8 of their latin-1 decoding.
            let decoded = |bytes: &[u8]| match form_a.then(|| pickle::to_latin1(bytes)).flatten() {
                Some(raw) => Bytes::from(raw),
                None => Bytes::copy_from_slice(bytes),
            };
            match name {
                b"name" => metadata.set("name", Bytes::copy_from_slice(value)),
                _ => metadata.set(decoded(name), decoded(value)),
            }
        }
        Ok(metadata)
    }

    /// The pickle in form B.
    pub fn encode(&self) -> Vec<u8> {
        let bytes = |bytes: &Bytes| Value::Bytes(bytes.to_vec());
        pickle::write(&Value::Dict(self.items.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()))
    }

    /// The extended attributes that hold it.
    pub fn attributes(&self) -> Vec<(String, Vec<u8>)> {
        let pickle = self.encode();
        let checksum = md5_hex(&pickle).into_bytes();
        let mut attributes: Vec<_> =
            pickle.chunks(CHUNK).enumerate().map(|(index, chunk)| (attribute(index), chunk.to_vec())).collect();
        attributes.push((CHECKSUM_ATTRIBUTE.to_owned(), checksum));
        attributes
    }
}

/// Name of a chunk's attribute.
pub fn attribute(index: usize) -> String {
    if index == 0 { ATTRIBUTE.to_owned() } else { format!("{ATTRIBUTE}{index}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// The vector shows header bytes as latin-1 text, except the path, which is text.
    fn expected(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
        let raw = |text: &str| pickle::to_latin1(text.as_bytes()).unwrap();
        (raw(name), if name == "name" { value.as_bytes().to_vec() } else { raw(value) })
    }

    #[test]
    fn attributes_written_by_swift_are_read_and_written_back() {
        let cases: Json = serde_json::from_str(include_str!("vectors/xattrs.json")).unwrap();
        let mut seen = 0;
        for case in cases.as_array().unwrap() {
            let attributes = &case["xattrs_hex"];
            let mut pickle = Vec::new();
            for index in 0.. {
                let Some(chunk) = attributes[attribute(index).as_str()].as_str() else { break };
                pickle.extend(unhex(chunk));
            }
            let checksum = attributes[CHECKSUM_ATTRIBUTE].as_str().map(unhex);
            let metadata = Metadata::decode(&pickle, checksum.as_deref()).unwrap();
            let wanted = case["decoded_metadata_as_wsgi_strings"].as_object().unwrap();
            assert_eq!(metadata.iter().count(), wanted.len(), "{case}");
            for (name, value) in wanted {
                let (name, value) = expected(name, value.as_str().unwrap());
                let found = metadata.iter().find(|(item, _)| ***item == *name).map(|(_, value)| value.to_vec());
                assert_eq!(found, Some(value), "{case}");
            }
            assert_eq!(Metadata::decode(&metadata.encode(), None), Ok(metadata.clone()));
            assert!(Metadata::decode(&pickle, Some(b"00")).is_err());
            seen += 1;
        }
        assert!(seen > 10);
    }

    #[test]
    fn long_metadata_take_several_attributes() {
        let mut metadata = Metadata::new();
        metadata.set("X", vec![b'x'; 100_000]);
        let attributes = metadata.attributes();
        let names: Vec<_> = attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["user.swift.metadata", "user.swift.metadata1", "user.swift.metadata_checksum"]);
        assert_eq!(attributes[0].1.len(), CHUNK);
    }
}
