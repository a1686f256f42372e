//! Core: some objects that lie next to each other in the index, as one value. No I/O, no clock, no async.
//!
//! ```text
//!  key     policy u16 BE | the first bytes of a hash, or none of them
//!  value   crc32c u32 of key and what follows up to the objects | bytes that all hashes begin with u8 | these bytes
//!          | sections u8 | section … | objects …
//!  section crc32c u32 of its objects | where they end u16 | the first bytes of the rest of its first hash, u32 BE
//!  object  the rest of its hash | entry (see `entry::bytes`)
//! ```
//!
//! A section is sixteen objects, the last one what is left: who looks for one object reads the sections' heads and one of them, some 600 bytes of
//! a page, and verifies those.
//!
//! An object is in the last bucket whose key is not above its policy and hash. A pair of LMDB costs ten bytes and a key, each time: alone
//! an object would take 50 bytes, in a bucket it takes 30. LMDB has no checksums of its own: a value that was not written is found by its own.
//!
//! A bucket fills a page of LMDB and has it to itself. Of pages that LMDB shares out among values it fills two thirds, as values come in any
//! order; here it is for `Pieces` and who divides them (`index::buckets`) how full they are.
//!
//! # Invariants
//!
//! - The objects of a bucket are of one policy, ascend, and none is below the bucket's key. None is without anything to say.
//! - A bucket has at most `BYTES_MAX` bytes. What grows beyond that is divided evenly; a bucket without objects leaves the index.
//! - The key of a new bucket is the shortest that lies between the objects on both sides of it.

use super::entry::{ENTRY_BYTES_MAX, Entry, Key};
use super::record::{Damage, Input};
use base::checksum::{crc32c, crc32c_append};
use base::hash_path::NameHash;
use std::cmp::Ordering;
use std::ops::Range;

/// The most bytes of a value: a page of LMDB, which keeps 16 for itself. What is more than half of that is on pages of its own.
pub const BYTES_MAX: usize = 4096 - 16;
/// Divided buckets get no fuller, so that the next object still fits.
const DIVIDED_BYTES_MAX: usize = BYTES_MAX - BYTES_MAX / 32;
/// Checksum, the length of what is shared, and the number of sections.
const FIXED: usize = 6;
const HASH_BYTES: usize = 16;
/// Objects that are verified and looked through together.
const SECTION_OBJECTS: usize = 16;
/// What a bucket says of a section.
const SECTION_BYTES: usize = 10;

const _: () =
    assert!(FIXED + SECTION_BYTES + 2 * (HASH_BYTES + ENTRY_BYTES_MAX) <= BYTES_MAX, "two objects fit any bucket");

/// An object of a bucket.
pub type Object = (Key, Entry);

/// Bytes of the policy in a key.
const POLICY_BYTES: usize = 2;

/// The key of the first bucket of a policy.
pub fn first_name(key: &Key) -> Vec<u8> {
    policy_of(key.bytes()).to_vec()
}

/// The policy in the key of an object or a bucket.
pub fn policy_of(name: &[u8]) -> &[u8] {
    name.get(..POLICY_BYTES).unwrap_or(name)
}

/// The key of a bucket that begins with `next` where the one before ends with `last`.
pub fn name_between(last: &Key, next: &Key) -> Vec<u8> {
    let same = last.bytes().iter().zip(next.bytes()).take_while(|(one, other)| one == other).count();
    let length = (same + 1).clamp(POLICY_BYTES, next.bytes().len());
    next.bytes().iter().take(length).copied().collect()
}

/// The buckets of these objects, each with its key, of which the first is `name`; none of no objects.
pub fn divide(name: Vec<u8>, objects: &[Object]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pieces = Pieces::default();
    objects.iter().for_each(|(key, entry)| pieces.put(*key, entry));
    pieces.divide(name)
}

/// Objects of one bucket, or of several that follow one another, their entries as bytes: who changes a few of them leaves the others as
/// they are.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// Ascending, and where in `bytes` each entry is.
    objects: Vec<(Key, Range<usize>)>,
    /// Of the entries of `objects`.
    entry_bytes: usize,
}

impl Pieces {
    /// Adds the objects of the bucket that follows.
    pub fn read(&mut self, name: &[u8], value: &[u8]) -> Result<(), Damage> {
        let reading = Reading::new(name, value)?;
        for section in reading.sections() {
            let mut objects = section?.objects(&reading)?;
            // Ends: each turn takes an object off the bytes.
            while let Some(key) = objects.next_key()? {
                if self.objects.last().is_some_and(|(last, _)| *last >= key) {
                    return Err(damage("its objects do not ascend"));
                }
                let before = objects.input.0;
                Entry::skip(&mut objects.input)?;
                let taken = before.len() - objects.input.0.len();
                self.bytes.extend_from_slice(before.get(..taken).unwrap_or_default());
                self.entry_bytes += taken;
                self.objects.push((key, self.bytes.len() - taken..self.bytes.len()));
            }
        }
        Ok(())
    }

    /// Adds objects that are all above these.
    pub fn append(&mut self, others: &Pieces) {
        for (key, place) in &others.objects {
            let entry = others.entry(place);
            self.bytes.extend_from_slice(entry);
            self.entry_bytes += entry.len();
            self.objects.push((*key, self.bytes.len() - entry.len()..self.bytes.len()));
        }
    }

    /// What is known of an object.
    pub fn get(&self, key: &Key) -> Result<Entry, Damage> {
        match self.position(key).ok().and_then(|position| self.objects.get(position)) {
            Some((_, place)) => Entry::decode(&mut Input(self.entry(place))),
            None => Ok(Entry::default()),
        }
    }

    /// What is to be known of it; an entry without anything to say leaves.
    pub fn put(&mut self, key: Key, entry: &Entry) {
        let position = self.position(&key);
        if entry.is_empty() {
            if let Ok(position) = position {
                self.entry_bytes -= self.objects.remove(position).1.len();
            }
            return;
        }
        let from = self.bytes.len();
        entry.encode(&mut self.bytes);
        let place = from..self.bytes.len();
        self.entry_bytes += place.len();
        match position {
            Ok(position) => {
                if let Some((_, known)) = self.objects.get_mut(position) {
                    self.entry_bytes -= std::mem::replace(known, place).len();
                }
            }
            Err(position) => self.objects.insert(position, (key, place)),
        }
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Bytes of them as one bucket, were there room for it.
    pub fn bytes(&self) -> usize {
        match (self.objects.first(), self.objects.last()) {
            (Some((first, _)), Some((last, _))) => packed_bytes(first, last, self.objects.len(), self.entry_bytes),
            _ => 0,
        }
    }

    /// The buckets of these objects, each with its key, of which the first is `name`; none of no objects.
    pub fn divide(&self, name: Vec<u8>) -> Vec<(Vec<u8>, Vec<u8>)> {
        if self.objects.is_empty() {
            return Vec::new();
        }
        let bytes = self.bytes();
        let target = if bytes <= BYTES_MAX { bytes } else { bytes / divided_count(bytes) };
        let (mut packer, mut buckets) = (Packer::new(name), Vec::new());
        for (key, place) in &self.objects {
            if let Some(last) = packer.last
                && (packer.bytes() >= target || !packer.has_room(*key, place.len()))
            {
                let next = Packer::new(name_between(&last, key));
                buckets.push(std::mem::replace(&mut packer, next).finish());
            }
            packer.add(*key, self.entry(place));
        }
        buckets.push(packer.finish());
        buckets
    }

    fn position(&self, key: &Key) -> Result<usize, usize> {
        self.objects.binary_search_by_key(key, |(key, _)| *key)
    }

    fn entry(&self, place: &Range<usize>) -> &[u8] {
        self.bytes.get(place.clone()).unwrap_or_default()
    }
}

/// Buckets that objects of so many bytes are divided into.
pub fn divided_count(bytes: usize) -> usize {
    bytes.div_ceil(DIVIDED_BYTES_MAX)
}

/// A bucket while it is filled.
pub struct Packer {
    name: Vec<u8>,
    first: Option<Key>,
    /// The object added last.
    pub last: Option<Key>,
    /// Ends of the entries in `entries`, and whose they are.
    objects: Vec<(Key, usize)>,
    entries: Vec<u8>,
}

impl Packer {
    /// An empty one with this key.
    pub fn new(name: Vec<u8>) -> Self {
        Packer { name, first: None, last: None, objects: Vec::new(), entries: Vec::new() }
    }

    /// Whether the next object fits, its entry of so many bytes.
    pub fn has_room(&self, key: Key, entry_bytes: usize) -> bool {
        let first = self.first.unwrap_or(key);
        packed_bytes(&first, &key, self.objects.len() + 1, self.entries.len() + entry_bytes) <= BYTES_MAX
    }

    /// Adds an object, above all others of it and of their policy, and the bytes of its entry.
    pub fn add(&mut self, key: Key, entry: &[u8]) {
        assert!(
            self.last.is_none_or(|last| last < key && last.policy() == key.policy()),
            "the objects of a bucket ascend"
        );
        self.entries.extend_from_slice(entry);
        self.objects.push((key, self.entries.len()));
        self.first = self.first.or(Some(key));
        self.last = Some(key);
    }

    /// Bytes of its value.
    fn bytes(&self) -> usize {
        match (&self.first, &self.last) {
            (Some(first), Some(last)) => packed_bytes(first, last, self.objects.len(), self.entries.len()),
            _ => FIXED,
        }
    }

    /// Key and value. There is an object at least.
    pub fn finish(self) -> (Vec<u8>, Vec<u8>) {
        let (first, last) = self.first.zip(self.last).expect("an empty bucket leaves the index");
        let shared = shared(&first, &last);
        let mut value = Vec::with_capacity(self.bytes());
        value.extend_from_slice(&[0; 4]);
        value.push(u8::try_from(shared).expect("a hash has 16 bytes"));
        value.extend(first.hash().0.iter().take(shared));
        let sections = self.objects.len().div_ceil(SECTION_OBJECTS);
        value.push(u8::try_from(sections).expect("a page of objects"));
        let (mut objects, mut from) = (Vec::with_capacity(self.bytes()), 0);
        for section in self.objects.chunks(SECTION_OBJECTS) {
            let start = objects.len();
            for (key, to) in section {
                objects.extend_from_slice(key.hash().0.get(shared..).unwrap_or_default());
                objects.extend_from_slice(self.entries.get(from..*to).unwrap_or_default());
                from = *to;
            }
            let bytes = objects.get(start..).unwrap_or_default();
            value.extend_from_slice(&crc32c(bytes).to_le_bytes());
            value.extend_from_slice(&u16::try_from(objects.len()).expect("less than a page").to_le_bytes());
            let lead = section.first().map_or(0, |(key, _)| leading(key.hash().0.get(shared..).unwrap_or_default()));
            value.extend_from_slice(&lead.to_be_bytes());
        }
        let sum = checksum(&self.name, value.get(4..).unwrap_or_default()).to_le_bytes();
        value.splice(..4, sum);
        value.append(&mut objects);
        (self.name, value)
    }
}

fn packed_bytes(first: &Key, last: &Key, objects: usize, entries: usize) -> usize {
    let shared = shared(first, last);
    FIXED + shared + objects.div_ceil(SECTION_OBJECTS) * SECTION_BYTES + objects * (HASH_BYTES - shared) + entries
}

/// Bytes that two hashes begin with, and so all between them.
fn shared(first: &Key, last: &Key) -> usize {
    first.hash().0.iter().zip(&last.hash().0).take_while(|(one, other)| one == other).count()
}

/// What a bucket says of an object.
pub fn find(name: &[u8], value: &[u8], key: &Key) -> Result<Option<Entry>, Damage> {
    let reading = Reading::new(name, value)?;
    let wanted = key.hash().0;
    let (front, rest) = wanted.split_at(reading.shared);
    if key.policy() != reading.policy || !reading.hash.starts_with(front) {
        return Ok(None);
    }
    let lead = leading(rest);
    let mut sections = reading.sections().peekable();
    while let Some(section) = sections.next() {
        let section = section?;
        if section.lead > lead {
            break;
        }
        // Where the next one begins with the same bytes, it may be in either.
        if sections.peek().is_some_and(|next| next.as_ref().is_ok_and(|next| next.lead < lead)) {
            continue;
        }
        let mut input = section.verified()?;
        // Ends: each turn takes an object off the bytes.
        while !input.0.is_empty() {
            let other = input.slice(rest.len())?;
            match leading(other).cmp(&lead).then_with(|| other.cmp(rest)) {
                Ordering::Less => Entry::skip(&mut input)?,
                Ordering::Equal => return Entry::decode(&mut input).map(Some),
                Ordering::Greater => return Ok(None),
            }
        }
    }
    Ok(None)
}

/// The first bytes as one number, by which hashes are told apart nearly always.
fn leading(rest: &[u8]) -> u32 {
    rest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Reads a bucket. Any byte that could not have been written is damage.
pub fn decode(name: &[u8], value: &[u8]) -> Result<Vec<Object>, Damage> {
    let reading = Reading::new(name, value)?;
    let mut objects: Vec<Object> = Vec::with_capacity(value.len() / 24);
    let mut sections = reading.sections().peekable();
    while let Some(section) = sections.next() {
        let section = section?;
        let (mut inside, before) = (section.objects(&reading)?, objects.len());
        // Ends: each turn takes an object off the bytes.
        while let Some(key) = inside.next_key()? {
            let is_in_order = match objects.last() {
                Some((last, _)) => *last < key,
                None => key.bytes() >= name,
            };
            if !is_in_order {
                return Err(damage("its objects do not ascend"));
            }
            if objects.len() == before && section.lead != leading(inside.rest()) {
                return Err(damage("a section begins with another object than it says"));
            }
            objects.push((key, Entry::decode(&mut inside.input)?));
        }
        let count = objects.len() - before;
        if count != SECTION_OBJECTS && (sections.peek().is_some() || !(1..SECTION_OBJECTS).contains(&count)) {
            return Err(damage("a section of another size"));
        }
    }
    let (first, last) = objects.first().zip(objects.last()).ok_or_else(|| damage("there is no object in it"))?;
    if shared(&first.0, &last.0) != reading.shared {
        return Err(damage("its hashes share more than it says"));
    }
    Ok(objects)
}

/// A bucket; what it says of all objects is verified.
struct Reading<'a> {
    policy: u32,
    /// Its first `shared` bytes are those of all hashes.
    hash: [u8; HASH_BYTES],
    shared: usize,
    sections: &'a [[u8; SECTION_BYTES]],
    objects: &'a [u8],
}

impl<'a> Reading<'a> {
    fn new(name: &[u8], value: &'a [u8]) -> Result<Self, Damage> {
        if value.len() > BYTES_MAX {
            return Err(damage("it is longer than any"));
        }
        let mut input = Input(value);
        let sum = input.u32()?;
        let rest = input.0;
        let [shared] = input.take()?;
        let shared = usize::from(shared);
        let mut hash = [0; HASH_BYTES];
        let front = hash.get_mut(..shared).ok_or_else(|| damage("a hash is not so long"))?;
        front.copy_from_slice(input.slice(shared)?);
        let [count] = input.take()?;
        let (sections, _) = input.slice(usize::from(count) * SECTION_BYTES)?.as_chunks();
        let objects = input.0;
        if sum != checksum(name, rest.get(..rest.len() - objects.len()).unwrap_or_default()) {
            return Err(damage("its checksum does not fit"));
        }
        let policy = name.first_chunk().ok_or_else(|| damage("its key is no policy"))?;
        let policy = u32::from(u16::from_be_bytes(*policy));
        let reading = Reading { policy, hash, shared, sections, objects };
        match sections.last().map(|last| usize::from(Section::end(last))) {
            Some(end) if end == objects.len() => Ok(reading),
            _ => Err(damage("its sections are not its objects")),
        }
    }

    fn sections(&self) -> impl Iterator<Item = Result<Section<'a>, Damage>> + use<'a> {
        let (objects, mut start) = (self.objects, 0);
        self.sections.iter().map(move |fixed| {
            let end = usize::from(Section::end(fixed));
            let bytes = objects.get(start..end).ok_or_else(|| damage("its sections do not ascend"))?;
            start = end;
            let [a, b, c, d, _, _, lead @ ..] = *fixed;
            Ok(Section { sum: u32::from_le_bytes([a, b, c, d]), lead: u32::from_be_bytes(lead), bytes })
        })
    }
}

/// Objects of a bucket that are verified together.
struct Section<'a> {
    sum: u32,
    /// See `leading`: of the first.
    lead: u32,
    bytes: &'a [u8],
}

impl<'a> Section<'a> {
    fn end(&[_, _, _, _, low, high, ..]: &[u8; SECTION_BYTES]) -> u16 {
        u16::from_le_bytes([low, high])
    }

    fn verified(&self) -> Result<Input<'a>, Damage> {
        match crc32c(self.bytes) == self.sum {
            true => Ok(Input(self.bytes)),
            false => Err(damage("the checksum of a section does not fit")),
        }
    }

    fn objects(&self, of: &Reading<'a>) -> Result<Objects<'a>, Damage> {
        Ok(Objects { policy: of.policy, hash: of.hash, shared: of.shared, input: self.verified()? })
    }
}

/// The objects of a section, one after the other.
struct Objects<'a> {
    policy: u32,
    /// Of the one before, until there is a next.
    hash: [u8; HASH_BYTES],
    shared: usize,
    input: Input<'a>,
}

impl Objects<'_> {
    /// Whose entry comes next; `None` behind the last.
    fn next_key(&mut self) -> Result<Option<Key>, Damage> {
        if self.input.0.is_empty() {
            return Ok(None);
        }
        let rest = self.hash.get_mut(self.shared..).unwrap_or_default();
        rest.copy_from_slice(self.input.slice(rest.len())?);
        Ok(Some(Key::new(self.policy, NameHash(self.hash))))
    }

    /// What is not shared of its hash.
    fn rest(&self) -> &[u8] {
        self.hash.get(self.shared..).unwrap_or_default()
    }
}

/// Of a bucket with this key.
pub fn checksum(name: &[u8], rest: &[u8]) -> u32 {
    // The key takes part: a value that LMDB gives for another key is no value. (Its length too, or a byte could change sides.)
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    crc32c_append(crc32c_append(crc32c(&[length]), name), rest)
}

fn damage(message: &str) -> Damage {
    Damage { message: format!("a bucket of the index: {message}") }
}

#[cfg(test)]
mod tests;
