//! Reads of packed objects: one look-up, one read, and every block verified before it is given away. What is small and read again and again
//! is kept (`hot`), and a look-up is all that is left of its read.
//!
//! The record says whose it is: one of another object, version or length than the index says was misdirected and is damage.

use super::Files;
use super::entry::{At, Chosen, Held, Place};
use super::record::{self, BLOCK_BYTES, Head, Lengths, Spot};
use crate::store::diskfile::{self, Object, OpenError, Stored, Version, Want};
use crate::store::metadata::Metadata;
use crate::store::stock::FileError;
use base::io::{self, fs};
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

/// Bytes read when only the head of a record is asked for: nearly all heads fit, and the disk reads a page at least.
const HEAD_BYTES: u32 = 4096;
/// Turns of a look-up that compaction may disturb.
const ATTEMPTS: usize = 4;

/// The bytes of an object in a volume or, when it is large, in a stock file with block checksums.
pub struct Body {
    /// What the index said.
    pub(super) held: Held,
    length: u64,
    checksums: Checksums,
    source: Source,
}

/// A record whose head was verified, with its body.
pub(super) struct Whole {
    held: Held,
    head: Head,
    body: Bytes,
}

/// Of the blocks of a body.
enum Checksums {
    Own(Vec<u32>),
    /// Of a record that is kept.
    Kept(Rc<Whole>),
}

impl Checksums {
    fn list(&self) -> &[u32] {
        match self {
            Checksums::Own(list) => list,
            Checksums::Kept(whole) => &whole.head.checksums,
        }
    }
}

enum Source {
    /// Read with the head.
    Memory(Bytes),
    /// Behind the head.
    Volume { volume: Rc<fs::Volume>, offset: u64 },
    /// A file of its own.
    File(fs::File),
}

impl Whole {
    /// What a reader gets of it.
    fn open(self: Rc<Self>) -> (diskfile::Body, Metadata) {
        let (held, length, metadata) = (self.held, self.head.body_bytes, self.head.metadata.clone());
        let source = Source::Memory(self.body.clone());
        let body = Body { held, length, checksums: Checksums::Kept(self), source };
        (diskfile::Body::Packed(body), metadata)
    }
}

impl Body {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// True for an object without bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly `length` bytes, verified. `InvalidData` when they are damaged.
    pub async fn read(&self, from: u64, length: usize) -> std::io::Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let block = BLOCK_BYTES as u64;
        let end = from + length as u64;
        let start = from / block * block;
        let stop = end.next_multiple_of(block).min(self.length);
        if end > self.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let wanted = usize::try_from(stop - start).map_err(|_| ErrorKind::InvalidInput)?;
        let blocks = match &self.source {
            Source::Memory(bytes) => bytes.slice(position(start)..position(stop)),
            Source::Volume { volume, offset } => volume.read(offset + start, wanted).await?,
            Source::File(file) => file.read_at(start, wanted).await?,
        };
        if blocks.len() != wanted {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        record::verify_blocks(self.checksums.list(), position(start / block), &blocks)
            .map_err(|damage| Error::new(ErrorKind::InvalidData, damage.message))?;
        let skipped = position(from - start);
        Ok(blocks.slice(skipped..skipped + length))
    }
}

/// Positions in memory: bodies read at once are far below the bounds of `usize`.
fn position(bytes: u64) -> usize {
    usize::try_from(bytes).expect("64 bits")
}

/// Why a version could not be used.
enum LoadError {
    /// It moved or was replaced meanwhile: look again.
    Gone,
    /// It is not what was written.
    Damaged(Held, String),
    Other(OpenError),
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        LoadError::Other(error.into())
    }
}

impl Files {
    /// Looks what is there; what cannot be what was written is quarantined.
    pub async fn open(&self, want: Want) -> Result<Stored, OpenError> {
        let begun = io::monotonic();
        for _ in 0..ATTEMPTS {
            let chosen = self.entry().await?.choose();
            match self.load(&chosen, want).await {
                Ok(stored) => {
                    self.store.has_read(begun);
                    return Ok(stored);
                }
                Err(LoadError::Gone) => {}
                Err(LoadError::Damaged(held, why)) => {
                    self.quarantine_held(held, &why).await;
                    if let Version::Data(timestamp) = held.version {
                        return Ok(Stored::Lost(timestamp));
                    }
                }
                Err(LoadError::Other(error)) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::ResourceBusy, "the object moves faster than it can be read").into())
    }

    async fn load(&self, chosen: &Chosen, want: Want) -> Result<Stored, LoadError> {
        if let Some(tombstone) = chosen.tombstone {
            return Ok(Stored::Deleted(tombstone.version.timestamp()));
        }
        let Some(data) = chosen.data else { return Ok(Stored::Nothing) };
        if data.place.is_lost() {
            return Ok(Stored::Lost(data.version.timestamp()));
        }
        let (body, metadata) = self.load_data(data, want).await?;
        let content_type_held = chosen.content_type.map(|(held, _)| held);
        let lost = chosen.meta.into_iter().chain(content_type_held).find(|held| held.place.is_lost());
        let mut posted = None;
        if let Some(meta) = chosen.meta.filter(|meta| !meta.place.is_lost()) {
            posted = Some((self.load_metadata(meta).await?, meta.version.timestamp()));
        }
        let mut content_type = None;
        if let Some((held, timestamp)) = chosen.content_type.filter(|(held, _)| !held.place.is_lost()) {
            let value = match (&posted, chosen.meta) {
                (Some((metadata, _)), Some(meta)) if meta == held => metadata.get("Content-Type").cloned(),
                _ => self.load_metadata(held).await?.get("Content-Type").cloned(),
            };
            content_type = value.map(|value| (value, timestamp));
        }
        let data: (Metadata, Timestamp) = (metadata, data.version.timestamp());
        let mut object = Box::new(Object::assemble(body, data, posted, content_type));
        object.lost_post = lost.map(|held| held.version.timestamp());
        Ok(Stored::Object(object))
    }

    async fn load_data(&self, held: Held, want: Want) -> Result<(diskfile::Body, Metadata), LoadError> {
        let (head, source) = match held.place {
            Place::Stock => return self.load_stock(held).await,
            Place::Lost(_) => return Err(LoadError::Gone),
            Place::Volume(at) => {
                if let Some(kept) = self.kept(held, at) {
                    return Ok(kept);
                }
                let (head, lengths, volume, bytes) = self.read_record(held, at, want).await?;
                let behind = position(u64::from(lengths.head));
                if bytes.len() != position(u64::from(at.length)) {
                    (head, Source::Volume { volume, offset: at.offset + u64::from(lengths.head) })
                } else if self.store.hot.borrow_mut().wants(at, bytes.len()) {
                    let whole = Rc::new(Whole { held, head, body: bytes.slice(behind..) });
                    self.store.hot.borrow_mut().keep(at, whole.clone(), bytes.len());
                    return Ok(whole.open());
                } else {
                    (head, Source::Memory(bytes.slice(behind..)))
                }
            }
            Place::Large(at) => {
                let (head, ..) = self.read_record(held, at, Want::Metadata).await?;
                let file = match fs::File::open(&self.stock.path(&held.version.file_name())).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        return Err(self.gone(held).await?);
                    }
                    file => file?,
                };
                if file.len() != head.body_bytes {
                    let why = format!("{} bytes where {} were written", file.len(), head.body_bytes);
                    return Err(LoadError::Damaged(held, why));
                }
                (head, Source::File(file))
            }
        };
        let checksums = Checksums::Own(head.checksums);
        let body = Body { held, length: head.body_bytes, checksums, source };
        Ok((diskfile::Body::Packed(body), head.metadata))
    }

    /// The record at this place, if it is kept and the one that is meant.
    fn kept(&self, held: Held, at: At) -> Option<(diskfile::Body, Metadata)> {
        let whole = self.store.hot.borrow_mut().get(at)?;
        let identity = &whole.head.identity;
        // What does not fit is told by a read of the volume.
        let is_meant = whole.held == held
            && identity.policy == self.policy
            && identity.hash == self.hash
            && identity.name == *self.stock.name;
        is_meant.then(|| whole.open())
    }

    async fn load_stock(&self, held: Held) -> Result<(diskfile::Body, Metadata), LoadError> {
        let (file, metadata) = self.load_file(held).await?;
        let body = self.stock.body(file, &metadata).map_err(|why| LoadError::Damaged(held, why))?;
        Ok((diskfile::Body::Stock(body), metadata))
    }

    async fn load_metadata(&self, held: Held) -> Result<Metadata, LoadError> {
        match held.place {
            Place::Stock => self.load_file(held).await.map(|(_, metadata)| metadata),
            Place::Lost(_) => Err(LoadError::Gone),
            Place::Volume(at) | Place::Large(at) => {
                self.read_record(held, at, Want::Metadata).await.map(|(head, ..)| head.metadata)
            }
        }
    }

    async fn load_file(&self, held: Held) -> Result<(fs::File, Metadata), LoadError> {
        match self.stock.read_file(&held.version.file_name()).await {
            Ok(read) => Ok(read),
            Err(FileError::Gone) => Err(self.gone(held).await?),
            Err(FileError::Corrupt(why)) => Err(LoadError::Damaged(held, why)),
            Err(FileError::Other(error)) => Err(LoadError::Other(error)),
        }
    }

    /// What it means that a version's file is not there: it was replaced meanwhile, or it is lost.
    async fn gone(&self, held: Held) -> std::io::Result<LoadError> {
        let still_there = self.entry().await?.held.contains(&held);
        Ok(if still_there { LoadError::Damaged(held, "its file is gone".to_owned()) } else { LoadError::Gone })
    }

    /// The record of a version: all of it, or its head.
    async fn read_record(
        &self,
        held: Held,
        at: At,
        want: Want,
    ) -> Result<(Head, Lengths, Rc<fs::Volume>, Bytes), LoadError> {
        let volume = self.store.log.volume(at.volume).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => LoadError::Gone,
            _ => error.into(),
        })?;
        let damaged = |message: &str| LoadError::Damaged(held, format!("{at:?}: {message}"));
        let wanted = if want == Want::Bytes { at.length } else { at.length.min(HEAD_BYTES) };
        let read = async |length: u32| {
            let read = volume.read(at.offset, position(u64::from(length))).await;
            read.map_err(|error| match diskfile::is_unreadable(&error) {
                true => damaged("it cannot be read"),
                false => error.into(),
            })
        };
        let mut bytes = read(wanted).await?;
        let fixed = bytes.first_chunk().ok_or_else(|| damaged("it ends early"))?;
        let spot = Spot { store: self.store.log.store(), volume: at.volume, offset: at.offset };
        let lengths = match Lengths::decode(fixed, spot) {
            Ok(Some(lengths)) if lengths.total() == u64::from(at.length) => lengths,
            Ok(_) => return Err(damaged("another record than the index says")),
            Err(damage) => return Err(damaged(&damage.message)),
        };
        if position(u64::from(lengths.head)) > bytes.len() {
            bytes = read(lengths.head).await?;
        }
        let (head, _) = Head::decode_slices(&bytes, spot).map_err(|damage| damaged(&damage.message))?;
        let identity = &head.identity;
        if identity.policy != self.policy || identity.hash != self.hash || head.version != held.version {
            return Err(damaged("the record of another object or version"));
        }
        if identity.name != *self.stock.name {
            return Err(LoadError::Other(OpenError::Collision));
        }
        Ok((head, lengths, volume, bytes))
    }
}

#[cfg(test)]
mod tests;
