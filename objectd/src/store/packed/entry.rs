//! Core: what the index knows of one object, and how a change alters it. No I/O, no clock, no async.
//!
//! ```text
//!  key     policy u16 BE | hash 16
//!  value   crc32c u32 of key and the rest | dead u32 | count u8 | versions …
//!  version flags u8 | timestamp u64 [| offset u64] [| content type u64 [| offset u64]] [| volume u32 | place u32 | length u32]
//!          flags: bits 0-1 data, meta, tombstone; bits 2-3 volume, large, stock, lost; bit 4 the timestamp has an offset; bit 5 a content
//!          type's time follows; bit 6 that one has an offset
//! ```
//!
//! Little-endian but for the policy, which orders. LMDB has no checksums of its own: a value that was not written is found by its own.
//!
//! # Invariants
//!
//! - What counts is decided by `Listing`, from the names the versions would have as stock files: both layouts choose alike.
//! - The order in which versions arrive does not matter. Each change is applied once: a checkpoint covers the log up to a position.
//! - A version that was damaged is known on (`Place::Lost`): like a tombstone it keeps out what is older, until the same version comes again
//!   or a newer one, or nothing that it has to keep out is left.
//! - `dead` is the number of records of this object in volumes that count no more. Only an object without any may be forgotten: the
//!   volumes alone would bring older bytes back.

use super::record::Damage;
use crate::store::diskfile::Version;
use crate::store::listing::Listing;
use base::checksum::crc32c;
use base::hash_path::NameHash;
use base::timestamp::Timestamp;

/// Policy and hash of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 18]);

impl Key {
    /// Of an object; policies are numbered below 65,536 by the configuration.
    pub fn new(policy: u32, hash: NameHash) -> Self {
        let mut bytes = [0; 18];
        let policy = u16::try_from(policy).expect("the configuration bounds policies").to_be_bytes();
        for (target, source) in bytes.iter_mut().zip(policy.iter().chain(&hash.0)) {
            *target = *source;
        }
        Key(bytes)
    }
    /// From a key of the index.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Key)
    }
    /// As the index stores it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
    /// Index of the policy.
    pub fn policy(&self) -> u32 {
        let [high, low, ..] = self.0;
        u32::from(u16::from_be_bytes([high, low]))
    }
    /// Of the name.
    pub fn hash(&self) -> NameHash {
        let mut hash = [0; 16];
        for (target, source) in hash.iter_mut().zip(self.0.iter().skip(2)) {
            *target = *source;
        }
        NameHash(hash)
    }
}

/// Where a record is. Later records are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Number of the volume.
    pub volume: u32,
    /// Byte of the volume.
    pub offset: u64,
    /// Bytes of head and body.
    pub length: u32,
}

/// Where a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it in a record.
    Volume(At),
    /// Metadata and checksums in a record, the bytes in the stock file of the version's name.
    Large(At),
    /// In a stock file alone, from before the device was packed.
    Stock,
    /// It is damaged and cannot be had; this is the record that says so.
    Lost(At),
}

impl Place {
    /// The record, if there is one.
    pub fn at(self) -> Option<At> {
        match self {
            Place::Volume(at) | Place::Large(at) | Place::Lost(at) => Some(at),
            Place::Stock => None,
        }
    }
    /// Whether a stock file belongs to it.
    pub fn has_file(self) -> bool {
        matches!(self, Place::Large(_) | Place::Stock)
    }
    /// Whether it is damaged.
    pub fn is_lost(self) -> bool {
        matches!(self, Place::Lost(_))
    }
}

/// A version and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Kind and times.
    pub version: Version,
    /// Where.
    pub place: Place,
}

/// One step of an object's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A version was written, moved or adopted.
    Insert(Held),
    /// A version at this place is damaged: the record at `by` says so.
    Lose {
        /// The version, where it was.
        gone: Held,
        /// The record that takes it out of use.
        by: At,
    },
    /// A version at this place is not there any more, whatever else is.
    Remove(Held),
    /// There is a record that never counted: of a large object whose file has no name, or of a batch that was cut off.
    Dead,
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The versions that count; at most data or tombstone, newest POST, POST of the content type.
    pub held: Vec<Held>,
    /// Records in volumes that count no more.
    pub dead: u32,
}

/// What reading means by the versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The object is deleted.
    pub tombstone: Option<Held>,
    /// Its bytes.
    pub data: Option<Held>,
    /// Its newest POST.
    pub meta: Option<Held>,
    /// The POST that set the content type, and when.
    pub content_type: Option<(Held, Timestamp)>,
}

/// Versions an entry may hold: data or tombstone, two POSTs, and one more while they are being replaced.
const HELD_MAX: usize = 4;

impl Entry {
    /// Nothing is left to know.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.dead == 0
    }

    /// Applies a change; what it put out of use is appended to `displaced`.
    pub fn apply(&mut self, change: Change, displaced: &mut Vec<Held>) {
        let before = displaced.len();
        match change {
            Change::Insert(new) => self.insert(new, displaced),
            Change::Lose { gone, by } => self.lose(gone, by, displaced),
            Change::Remove(gone) => self.remove(gone, displaced),
            Change::Dead => self.dead = self.dead.saturating_add(1),
        }
        let records = displaced.iter().skip(before).filter(|held| held.place.at().is_some()).count();
        self.dead = self.dead.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
    }

    fn remove(&mut self, gone: Held, displaced: &mut Vec<Held>) {
        if let Some(position) = self.held.iter().position(|held| *held == gone) {
            displaced.push(self.held.remove(position));
        }
    }

    fn lose(&mut self, gone: Held, by: At, displaced: &mut Vec<Held>) {
        let lost = Held { version: gone.version, place: Place::Lost(by) };
        match self.held.iter_mut().find(|held| held.version == gone.version) {
            // The same version at another place is another copy, which is good: moved by a compaction, or healed by a replica.
            Some(known) if *known != gone && !known.place.is_lost() => displaced.push(lost),
            Some(known) if known.place.at() > Some(by) => displaced.push(lost),
            Some(known) => displaced.push(std::mem::replace(known, lost)),
            // A replay did not find it: its file was moved away, its record cannot be read or its volume is gone.
            None => self.insert(lost, displaced),
        }
    }

    fn insert(&mut self, new: Held, displaced: &mut Vec<Held>) {
        if let Some(known) = self.held.iter_mut().find(|held| held.version == new.version) {
            // The same version again: a record moved, or a file that a record knows of, or it was damaged and is healed. The later record is
            // the one that stays. (A stock file beside a lost version may be the one that was damaged: it is left to the operator.)
            if *known != new {
                let is_later = new.place.at() > known.place.at();
                let loser = if is_later { std::mem::replace(known, new) } else { new };
                match loser.place {
                    // One file, known of twice: it stays, only the record is out of use.
                    Place::Large(at) if known.place.has_file() => {
                        displaced.push(Held { place: Place::Volume(at), ..loser });
                    }
                    Place::Stock if known.place.has_file() || known.place.is_lost() => {}
                    _ => displaced.push(loser),
                }
            }
            return;
        }
        self.held.push(new);
        if self.held.len() > 1 {
            self.drop_obsolete(displaced);
        }
        debug_assert!(self.held.len() < HELD_MAX, "{:?}", self.held);
    }

    fn drop_obsolete(&mut self, displaced: &mut Vec<Held>) {
        let names: Vec<String> = self.held.iter().map(|held| held.version.file_name()).collect();
        let listing = Listing::choose(names.iter().map(String::as_str));
        let base = listing.timestamp();
        let posts = self.held.iter().filter(|held| matches!(held.version, Version::Meta { .. }));
        let newest_post = posts.map(|held| held.version.timestamp()).max();
        // An older POST is there for its content type alone: it goes as soon as that is older than the data. (A directory keeps it
        // or not, as its clean-ups come; the entry must not depend on the order.)
        let is_useless = |version: Version| match version {
            Version::Meta { timestamp, content_type } => {
                Some(timestamp) < newest_post && base.is_some() && content_type.is_none_or(|at| Some(at) <= base)
            }
            Version::Data(_) | Version::Tombstone(_) => false,
        };
        let mut position = 0;
        self.held.retain(|held| {
            let is_obsolete = names.get(position).is_some_and(|name| listing.obsolete.contains(name));
            position += 1;
            let goes = is_obsolete || is_useless(held.version);
            if goes {
                displaced.push(*held);
            }
            !goes
        });
    }

    /// The versions by their use.
    pub fn choose(&self) -> Chosen {
        // Nearly all objects are one version, and no listing need be asked.
        if let [only] = self.held.as_slice() {
            return match only.version {
                Version::Data(_) => Chosen { data: Some(*only), ..Chosen::default() },
                Version::Tombstone(_) => Chosen { tombstone: Some(*only), ..Chosen::default() },
                Version::Meta { .. } => Chosen::default(),
            };
        }
        let names: Vec<String> = self.held.iter().map(|held| held.version.file_name()).collect();
        let listing = Listing::choose(names.iter().map(String::as_str));
        let held = |name: &str| names.iter().zip(&self.held).find(|(known, _)| *known == name).map(|(_, held)| *held);
        Chosen {
            tombstone: listing.tombstone.and_then(|chosen| held(&chosen.name)),
            data: listing.data.and_then(|chosen| held(&chosen.name)),
            meta: listing.meta.and_then(|chosen| held(&chosen.name)),
            content_type: listing.content_type.and_then(|chosen| Some((held(&chosen.name)?, chosen.timestamp))),
        }
    }

    /// The value of the index.
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let mut rest = Vec::with_capacity(32);
        rest.extend_from_slice(&self.dead.to_le_bytes());
        rest.push(u8::try_from(self.held.len()).expect("at most HELD_MAX"));
        for held in &self.held {
            encode_held(held, &mut rest);
        }
        let mut value = checksum(key, &rest).to_le_bytes().to_vec();
        value.append(&mut rest);
        value
    }

    /// Reads a value.
    pub fn decode(key: &Key, value: &[u8]) -> Result<Entry, Damage> {
        let mut input = Input(value);
        let stored = input.u32()?;
        if stored != checksum(key, input.0) {
            return Err(damage("its checksum does not fit"));
        }
        let dead = input.u32()?;
        let count = usize::from(input.u8()?);
        if count > HELD_MAX {
            return Err(damage("too many versions"));
        }
        let mut held = Vec::with_capacity(count);
        for _ in 0..count {
            held.push(decode_held(&mut input)?);
        }
        if !input.0.is_empty() {
            return Err(damage("bytes behind the last version"));
        }
        Ok(Entry { held, dead })
    }
}

fn checksum(key: &Key, rest: &[u8]) -> u32 {
    // The key takes part: a value that LMDB gives for another key is no value.
    crc32c(key.bytes()) ^ crc32c(rest).rotate_left(1)
}

const OFFSET: u8 = 1 << 4;
const CONTENT_TYPE: u8 = 1 << 5;
const CONTENT_TYPE_OFFSET: u8 = 1 << 6;

pub(super) fn encode_held(held: &Held, output: &mut Vec<u8>) {
    let (kind, timestamp, content_type) = match held.version {
        Version::Data(timestamp) => (0, timestamp, None),
        Version::Meta { timestamp, content_type } => (1, timestamp, content_type),
        Version::Tombstone(timestamp) => (2, timestamp, None),
    };
    let place = match held.place {
        Place::Volume(_) => 0,
        Place::Large(_) => 1,
        Place::Stock => 2,
        Place::Lost(_) => 3,
    };
    let mut flags = kind | place << 2;
    if timestamp.offset() > 0 {
        flags |= OFFSET;
    }
    if let Some(content_type) = content_type {
        flags |= CONTENT_TYPE;
        if content_type.offset() > 0 {
            flags |= CONTENT_TYPE_OFFSET;
        }
    }
    output.push(flags);
    for time in [Some(timestamp), content_type].into_iter().flatten() {
        output.extend_from_slice(&time.raw().to_le_bytes());
        if time.offset() > 0 {
            output.extend_from_slice(&time.offset().to_le_bytes());
        }
    }
    if let Some(at) = held.place.at() {
        output.extend_from_slice(&at.volume.to_le_bytes());
        let slot = u32::try_from(at.offset / super::record::RECORD_ALIGNMENT).expect("volumes are below 256 GiB");
        output.extend_from_slice(&slot.to_le_bytes());
        output.extend_from_slice(&at.length.to_le_bytes());
    }
}

/// Reads one version and nothing behind it.
pub(super) fn decode_held_bytes(bytes: &[u8]) -> Result<Held, Damage> {
    let mut input = Input(bytes);
    let held = decode_held(&mut input)?;
    if input.0.is_empty() { Ok(held) } else { Err(damage("bytes behind the version")) }
}

fn decode_held(input: &mut Input<'_>) -> Result<Held, Damage> {
    let flags = input.u8()?;
    let has_content_type = flags & CONTENT_TYPE != 0;
    if flags >> 7 != 0 || (flags & CONTENT_TYPE_OFFSET != 0 && !has_content_type) {
        return Err(damage("no flags of a version"));
    }
    let mut time = |has_offset: bool| -> Result<Timestamp, Damage> {
        let raw = input.u64()?;
        let offset = if has_offset { input.u64()? } else { 0 };
        // It is not written when there is none.
        if has_offset && offset == 0 {
            return Err(damage("an offset of zero"));
        }
        Ok(Timestamp::from_raw(raw, offset))
    };
    let timestamp = time(flags & OFFSET != 0)?;
    let content_type = if has_content_type { Some(time(flags & CONTENT_TYPE_OFFSET != 0)?) } else { None };
    let version = match (flags & 3, content_type) {
        (0, None) => Version::Data(timestamp),
        (1, content_type) => Version::Meta { timestamp, content_type },
        (2, None) => Version::Tombstone(timestamp),
        _ => return Err(damage("no kind of version")),
    };
    let place = match flags >> 2 & 3 {
        0 => Place::Volume(at(input)?),
        1 => Place::Large(at(input)?),
        2 => Place::Stock,
        _ => Place::Lost(at(input)?),
    };
    Ok(Held { version, place })
}

fn at(input: &mut Input<'_>) -> Result<At, Damage> {
    let volume = input.u32()?;
    let offset = u64::from(input.u32()?) * super::record::RECORD_ALIGNMENT;
    Ok(At { volume, offset, length: input.u32()? })
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| damage("it ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }
    fn u8(&mut self) -> Result<u8, Damage> {
        self.take::<1>().map(|[byte]| byte)
    }
    fn u32(&mut self) -> Result<u32, Damage> {
        self.take().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Result<u64, Damage> {
        self.take().map(u64::from_le_bytes)
    }
}

fn damage(message: &str) -> Damage {
    Damage { message: format!("a value of the index: {message}") }
}

#[cfg(test)]
mod tests;
