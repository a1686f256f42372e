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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Key::new(3, NameHash([7; 16]))
    }

    fn time(raw: u64) -> Timestamp {
        Timestamp::from_raw(raw, raw % 3)
    }

    fn any_version() -> impl Strategy<Value = Version> {
        (0_u8..3, 1_u64..9, proptest::option::of(1_u64..9)).prop_map(|(kind, raw, content_type)| match kind {
            0 => Version::Data(time(raw)),
            1 => {
                // A POST's content type is never newer than the POST (specs: object server §4).
                let content_type = content_type.filter(|content_type| *content_type <= raw).map(time);
                Version::Meta { timestamp: time(raw), content_type }
            }
            _ => Version::Tombstone(time(raw)),
        })
    }

    fn entry_of(changes: &[Change]) -> Entry {
        let mut entry = Entry::default();
        for change in changes {
            entry.apply(*change, &mut Vec::new());
        }
        entry.held.sort_by_key(|held| held.version.file_name());
        entry
    }

    proptest! {
        #[test]
        fn values_are_read_back_and_a_flipped_bit_is_noticed(
            versions in proptest::collection::vec(any_version(), 0..5), dead in any::<u32>(), bit in any::<prop::sample::Index>(),
        ) {
            let at = At { volume: 7, offset: 64 * 99, length: 4711 };
            let places = [Place::Volume(at), Place::Large(at), Place::Stock, Place::Lost(at)];
            let held = versions.into_iter().zip(places.into_iter().cycle());
            let entry = Entry { held: held.map(|(version, place)| Held { version, place }).collect(), dead };
            let mut value = entry.encode(&key());
            prop_assert_eq!(Entry::decode(&key(), &value), Ok(entry));
            let bit = bit.index(value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Entry::decode(&key(), &value).is_err());
        }

        #[test]
        fn the_order_of_changes_does_not_matter(
            versions in proptest::collection::vec(any_version(), 1..7), seed in any::<u64>(),
        ) {
            let changes: Vec<Change> = versions
                .iter()
                .enumerate()
                .map(|(index, version)| {
                    let at = At { volume: 1, offset: 64 * index as u64, length: 100 };
                    Change::Insert(Held { version: *version, place: Place::Volume(at) })
                })
                .collect();
            let forward = entry_of(&changes);
            let mut shuffled = changes.clone();
            let length = shuffled.len();
            for index in 0..length {
                shuffled.swap(index, usize::try_from(seed >> (index * 8)).unwrap() % length);
            }
            let backward = entry_of(&shuffled);
            prop_assert_eq!(&forward.held, &backward.held);
            prop_assert_eq!(forward.dead, backward.dead);
            let names: Vec<String> = versions.iter().map(|version| version.file_name()).collect();
            let listing = Listing::choose(names.iter().map(String::as_str));
            let chosen = forward.choose();
            let name = |held: Option<Held>| held.map(|held| held.version.file_name());
            prop_assert_eq!(name(chosen.data), listing.data.map(|chosen| chosen.name));
            prop_assert_eq!(name(chosen.tombstone), listing.tombstone.map(|chosen| chosen.name));
            prop_assert_eq!(name(chosen.meta), listing.meta.map(|chosen| chosen.name));
        }
    }

    #[test]
    fn a_moved_record_leaves_a_dead_one() {
        let place = |offset| Place::Volume(At { volume: 1, offset, length: 64 });
        let version = Version::Data(time(3));
        let mut displaced = Vec::new();
        let mut entry = Entry::default();
        for offset in [64, 128, 64, 128] {
            entry.apply(Change::Insert(Held { version, place: place(offset) }), &mut displaced);
        }
        assert_eq!(entry.held, [Held { version, place: place(128) }]);
        assert_eq!(displaced.first(), Some(&Held { version, place: place(64) }));
        entry.apply(Change::Remove(Held { version, place: place(64) }), &mut displaced);
        assert_eq!(entry.held.len(), 1, "only the version at that place is damaged");
    }

    fn record(offset: u64) -> At {
        At { volume: 1, offset, length: 64 }
    }

    fn data(raw: u64, offset: u64) -> Held {
        Held { version: Version::Data(time(raw)), place: Place::Volume(record(offset)) }
    }

    #[test]
    fn a_lost_version_keeps_out_what_is_older_until_it_is_healed() {
        let (old, damaged) = (data(3, 64), data(6, 128));
        let lose = Change::Lose { gone: damaged, by: record(192) };
        let lost = Held { version: damaged.version, place: Place::Lost(record(192)) };
        for history in [
            vec![Change::Insert(old), Change::Insert(damaged), lose],
            // Its record cannot be read any more, and the older one can.
            vec![Change::Insert(old), lose],
            // An older write comes later.
            vec![Change::Insert(damaged), lose, Change::Insert(data(3, 256))],
        ] {
            let dead = u32::try_from(history.len() - 1).unwrap();
            let entry = entry_of(&history);
            assert_eq!((entry.held.as_slice(), entry.dead), ([lost].as_slice(), dead), "{history:?}");
            assert_eq!(entry.choose().data, Some(lost));
            let mut newer = vec![Change::Insert(data(6, 320)), Change::Insert(data(9, 320))];
            for healing in newer.drain(..) {
                let healed = entry_of(&[history.as_slice(), &[healing]].concat());
                let Change::Insert(expected) = healing else { unreachable!() };
                assert_eq!((healed.held.as_slice(), healed.dead), ([expected].as_slice(), dead + 1));
            }
        }
    }

    #[test]
    fn a_version_is_lost_where_it_was_damaged_and_nowhere_else() {
        let (damaged, moved, lose) = (data(6, 64), data(6, 128), Change::Lose { gone: data(6, 64), by: record(192) });
        // Moved by a compaction while a reader found the old place damaged.
        let entry = entry_of(&[Change::Insert(damaged), Change::Insert(moved), lose]);
        assert_eq!((entry.held, entry.dead), (vec![moved], 2));
        // The record that says so is moved while a replica heals.
        let again = Change::Lose { gone: damaged, by: record(320) };
        let entry = entry_of(&[Change::Insert(damaged), lose, Change::Insert(data(6, 256)), again]);
        assert_eq!((entry.held, entry.dead), (vec![data(6, 256)], 3));
        // It is moved, and nothing else happens.
        let entry = entry_of(&[Change::Insert(damaged), lose, again]);
        let lost = Held { version: damaged.version, place: Place::Lost(record(320)) };
        assert_eq!((entry.held, entry.dead), (vec![lost], 2));
        // A newer one is there.
        let entry = entry_of(&[Change::Insert(damaged), Change::Insert(data(9, 128)), lose]);
        assert_eq!((entry.held, entry.dead), (vec![data(9, 128)], 2));
    }
}
