//! Core: the keys of all tables. Integers in keys are big-endian, so that byte order is their order.
//!
//! ```text
//! info     | kind 1 | hash 16 |
//! rows     | hash 16 | state 1 | policy 4 | name … |
//! order    | hash 16 | row id 8 |
//! pending  | hash 16 |
//! graves   | time 8 | tag 1 | rows key …  (tag 0)   or   info key (tag 1) |
//! ```
//!
//! Live rows and tombstones lie in different ranges (`state`), so a listing never walks over what was deleted.

use base::hash_path::NameHash;
use std::io;

/// Longest row name in bytes: an expirer task names account, container and object (11 + 256 + 256 + 1,024 + slashes), and
/// the whole key must stay below the environment's 1,900.
pub const NAME_BYTES_MAX: usize = 1_800;
const _: () = assert!(NAME_BYTES_MAX + 8 + 1 + ROW_PREFIX <= 1_900, "a grave's key fits into the environment's bound");

/// Bytes in front of the name in a key of `rows`.
pub const ROW_PREFIX: usize = 16 + 1 + 4;

/// Which kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An account: its rows are containers.
    Account,
    /// A container: its rows are objects.
    Container,
}

impl Kind {
    /// Its byte in keys.
    pub fn byte(self) -> u8 {
        match self {
            Kind::Account => b'a',
            Kind::Container => b'c',
        }
    }
}

/// Whether a row is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In listings.
    Live,
    /// A tombstone: it only remembers when the row was deleted.
    Dead,
}

impl State {
    fn byte(self) -> u8 {
        match self {
            State::Live => 1,
            State::Dead => 2,
        }
    }
}

/// Of the info record.
pub fn info(kind: Kind, hash: &NameHash) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(kind.byte());
    key.extend_from_slice(&hash.0);
    key
}

/// What stands in front of the names of one range of rows.
pub fn row_prefix(hash: &NameHash, state: State, policy: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(ROW_PREFIX + 64);
    key.extend_from_slice(&hash.0);
    key.push(state.byte());
    key.extend_from_slice(&policy.to_be_bytes());
    key
}

/// Of a row.
pub fn row(hash: &NameHash, state: State, policy: u32, name: &str) -> io::Result<Vec<u8>> {
    if name.len() > NAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name of a row is too long"));
    }
    let mut key = row_prefix(hash, state, policy);
    key.extend_from_slice(name.as_bytes());
    Ok(key)
}

/// Of a row in the order of changes.
pub fn order(hash: &NameHash, row_id: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    key.extend_from_slice(&hash.0);
    key.extend_from_slice(&row_id.to_be_bytes());
    key
}

/// Of a tombstone in the order of time; `row_key` is its key in `rows`.
pub fn grave_of_row(raw_time: u64, row_key: &[u8]) -> Vec<u8> {
    grave(raw_time, 0, row_key)
}

/// Of a deleted database in the order of time; `info_key` is its key in `info`.
pub fn grave_of_database(raw_time: u64, info_key: &[u8]) -> Vec<u8> {
    grave(raw_time, 1, info_key)
}

fn grave(raw_time: u64, tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + rest.len());
    key.extend_from_slice(&raw_time.to_be_bytes());
    key.push(tag);
    key.extend_from_slice(rest);
    key
}

/// The smallest key that is greater than every key beginning with `prefix`; `None` when there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_behind_everything_with_the_prefix() {
        assert_eq!(successor(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(successor(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff\xff"), None);
        assert_eq!(successor(b""), None);
    }
}
