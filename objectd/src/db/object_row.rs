//! Core: one row of a container: an object as its listing shows it.
//!
//! ```text
//! | version 1 | deleted flag 1 | row id 8 | size 8 | created_at | content type | etag |   (texts: length 4, bytes)
//! ```
//!
//! Little-endian; nothing may follow. Name and policy are in the key. `created_at` holds up to three times (data, content
//! type, metadata) in Swift's encoding and is kept as text, because the database's hash is made of that text.

use super::codec::{Writer, corrupt};
use super::content_type::{join_swift_bytes, split_swift_bytes};
use base::timestamp::{self, Timestamp};
use std::io;

const VERSION: u8 = 1;
const WHAT: &str = "object row";

/// A row without its name and policy, borrowed from the environment or made by a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow<T> {
    /// Place in the order of changes.
    pub row_id: u64,
    /// A tombstone.
    pub deleted: bool,
    /// Bytes.
    pub size: i64,
    /// Encoded times.
    pub created_at: T,
    /// With `;swift_bytes=N` where the size to list differs.
    pub content_type: T,
    /// As the object server said, parameters included.
    pub etag: T,
}

/// An update of a row as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectUpdate {
    /// The object.
    pub name: String,
    /// Its policy.
    pub policy: u32,
    /// Data time, or three times encoded.
    pub created_at: String,
    /// Bytes.
    pub size: i64,
    /// Content type.
    pub content_type: String,
    /// ETag.
    pub etag: String,
    /// A deletion.
    pub deleted: bool,
    /// Sets the content-type time and the metadata time.
    pub content_type_time: Option<Timestamp>,
    /// Sets the metadata time.
    pub metadata_time: Option<Timestamp>,
}

impl<T: AsRef<str>> ObjectRow<T> {
    /// The value.
    pub fn encode(&self) -> Vec<u8> {
        let (created_at, content_type, etag) =
            (self.created_at.as_ref(), self.content_type.as_ref(), self.etag.as_ref());
        let mut to = Writer::with_capacity(30 + created_at.len() + content_type.len() + etag.len());
        to.u8(VERSION).u8(u8::from(self.deleted)).u64(self.row_id).i64(self.size);
        to.text(created_at).text(content_type).text(etag);
        to.finish()
    }

    /// The same row, borrowed.
    pub fn borrowed(&self) -> ObjectRow<&str> {
        ObjectRow {
            row_id: self.row_id,
            deleted: self.deleted,
            size: self.size,
            created_at: self.created_at.as_ref(),
            content_type: self.content_type.as_ref(),
            etag: self.etag.as_ref(),
        }
    }

    /// The three times.
    pub fn times(&self) -> io::Result<[Timestamp; 3]> {
        times(self.created_at.as_ref())
    }
}

impl<'a> ObjectRow<&'a str> {
    /// Reads it back; anything `encode` could not have written is refused.
    pub fn decode(bytes: &'a [u8]) -> io::Result<Self> {
        let ObjectRow { row_id, deleted, size, created_at, content_type, etag } = ObjectRow::take_apart(bytes)?;
        let text = |text| std::str::from_utf8(text).map_err(|_| corrupt(WHAT));
        let (created_at, content_type, etag) = (text(created_at)?, text(content_type)?, text(etag)?);
        Ok(ObjectRow { row_id, deleted, size, created_at, content_type, etag })
    }
}

impl<'a> ObjectRow<&'a [u8]> {
    /// As `decode`, but nobody has looked whether its texts are texts.
    pub fn take_apart(bytes: &'a [u8]) -> io::Result<Self> {
        parts(bytes).ok_or_else(|| corrupt(WHAT))
    }

    /// When its metadata was written.
    pub fn metadata_time(&self) -> io::Result<Timestamp> {
        // Nearly all objects have one time.
        if let Some(time) = Timestamp::parse_normal(self.created_at) {
            return Ok(time);
        }
        let text = std::str::from_utf8(self.created_at).map_err(|_| corrupt(WHAT))?;
        times(text).map(|[_, _, metadata]| metadata)
    }
}

// Not with a `Reader`: ten thousand times for one page of a listing.
fn parts(bytes: &[u8]) -> Option<ObjectRow<&[u8]>> {
    let ([version, deleted], rest) = bytes.split_first_chunk()?;
    let (row_id, rest) = rest.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (created_at, rest) = text(rest)?;
    let (content_type, rest) = text(rest)?;
    let (etag, rest) = text(rest)?;
    let is_ours = *version == VERSION && *deleted <= 1 && rest.is_empty();
    let (row_id, deleted, size) = (u64::from_le_bytes(*row_id), *deleted == 1, i64::from_le_bytes(*size));
    is_ours.then_some(ObjectRow { row_id, deleted, size, created_at, content_type, etag })
}

#[inline]
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

impl ObjectUpdate {
    /// A deletion at `time`.
    pub fn deletion(name: &str, policy: u32, time: Timestamp) -> Self {
        ObjectUpdate {
            name: name.to_owned(),
            policy,
            created_at: time.internal(),
            size: 0,
            content_type: "application/deleted".to_owned(),
            etag: "noetag".to_owned(),
            deleted: true,
            content_type_time: None,
            metadata_time: None,
        }
    }

    /// Merges into the stored row of the same name and policy (specs §3.3): data, content type and metadata time are
    /// compared each for itself, on equality the stored part stays. `None` when nothing was newer. The row id is set by
    /// the caller.
    pub fn merge(&self, stored: Option<&ObjectRow<&str>>) -> io::Result<Option<ObjectRow<String>>> {
        let [data, mut content, mut metadata] = times(&self.created_at)?;
        if let Some(time) = self.content_type_time {
            (content, metadata) = (time, time);
        }
        if let Some(time) = self.metadata_time {
            metadata = time;
        }
        let mut row = ObjectRow {
            row_id: 0,
            deleted: self.deleted,
            size: self.size,
            created_at: String::new(),
            content_type: self.content_type.clone(),
            etag: self.etag.clone(),
        };
        let newest = match stored {
            None => [data, content, metadata],
            Some(stored) => match merge_parts(&mut row, stored, [data, content, metadata])? {
                Some(newest) => newest,
                None => return Ok(None),
            },
        };
        row.created_at = timestamp::encode(newest[0], Some(newest[1]), Some(newest[2]), false);
        Ok(Some(row))
    }
}

/// Takes the parts of `stored` that are not older into `row`; gives the newest times, `None` when all are stored ones.
fn merge_parts(
    row: &mut ObjectRow<String>,
    stored: &ObjectRow<&str>,
    new: [Timestamp; 3],
) -> io::Result<Option<[Timestamp; 3]>> {
    let old = stored.times()?;
    if old.iter().zip(&new).all(|(old, new)| old >= new) {
        return Ok(None);
    }
    let [old_data, old_content, old_metadata] = old;
    let [data, content, metadata] = new;
    let (mut content_type, mut swift_bytes) = split_swift_bytes(&row.content_type);
    let (stored_type, stored_bytes) = split_swift_bytes(stored.content_type);
    if old_data >= data {
        (row.size, row.deleted, row.etag) = (stored.size, stored.deleted, stored.etag.to_owned());
        swift_bytes = stored_bytes;
    }
    if old_content >= content {
        content_type = stored_type;
    }
    row.content_type = join_swift_bytes(content_type, swift_bytes.as_deref());
    Ok(Some([old_data.max(data), old_content.max(content), old_metadata.max(metadata)]))
}

fn times(encoded: &str) -> io::Result<[Timestamp; 3]> {
    let (data, content, metadata) = timestamp::decode(encoded, false).map_err(|_| corrupt("times of an object row"))?;
    let content = content.unwrap_or(data);
    Ok([data, content, metadata.unwrap_or(content)])
}
