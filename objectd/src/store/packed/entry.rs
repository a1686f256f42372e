//! Core: what the index knows of one object, and how a change alters it. No I/O, no clock, no async.
//!
//! `bytes` has how the index stores it, `bucket` how several objects lie together.
//!
//! # Invariants
//!
//! - What counts is decided by `Listing`, from the names the versions would have as stock files: both layouts choose alike.
//! - The order in which versions arrive does not matter. Each change is applied once: a checkpoint covers the log up to a position.
//! - A version that was damaged is known on (`Place::Lost`): like a tombstone it keeps out what is older, until the same version comes again
//!   or a newer one, or nothing that it has to keep out is left.
//! - `dead` is the number of records of this object in volumes that count no more. Only an object without any may be forgotten: the
//!   volumes alone would bring older bytes back.

pub(super) mod bytes;
mod versions;

use crate::store::diskfile::Version;
use crate::store::listing::Listing;
use base::hash_path::NameHash;
use base::timestamp::Timestamp;

pub(super) use bytes::ENTRY_BYTES_MAX;
pub use versions::Versions;

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
    /// From its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Key)
    }
    /// Policy and hash, in the order of the index.
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
    pub held: Versions,
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
pub(super) const HELD_MAX: usize = 4;

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
        // Nearly always one version replaces another, and no listing need be asked which is the older.
        if let [one, other] = &*self.held {
            let is_whole = |version| !matches!(version, Version::Meta { .. });
            let (before, after) = (one.version.timestamp(), other.version.timestamp());
            if is_whole(one.version) && is_whole(other.version) && before != after {
                displaced.push(self.held.remove(usize::from(before > after)));
                return;
            }
        }
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
        if let [only] = &*self.held {
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
}

#[cfg(test)]
mod tests;
