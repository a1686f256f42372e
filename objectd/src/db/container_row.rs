//! Core: one row of an account: a container as its listing shows it.
//!
//! ```text
//! | version 1 | deleted flag 1 | row id 8 | policy 4 | objects 8 | bytes 8 | put | delete |   (texts: length 4, bytes)
//! ```
//!
//! Little-endian; nothing may follow. The name is in the key. Times are kept as the text that came (`0` included),
//! because the database's hash is made of that text.

use super::codec::{Reader, Writer};
use base::timestamp::Timestamp;
use std::io;

const VERSION: u8 = 1;

/// A row without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRow<T> {
    /// Place in the order of changes.
    pub row_id: u64,
    /// A tombstone.
    pub deleted: bool,
    /// The container's policy.
    pub policy: u32,
    /// Objects in it.
    pub objects: i64,
    /// Their bytes.
    pub bytes: i64,
    /// put_timestamp
    pub put: T,
    /// delete_timestamp
    pub delete: T,
}

/// An update of a row as it arrives. `None` keeps what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUpdate {
    /// The container.
    pub name: String,
    /// put_timestamp
    pub put: Option<String>,
    /// delete_timestamp
    pub delete: Option<String>,
    /// Objects in it.
    pub objects: Option<i64>,
    /// Their bytes.
    pub bytes: Option<i64>,
    /// Its policy.
    pub policy: Option<u32>,
}

impl<T: AsRef<str>> ContainerRow<T> {
    /// The value.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(80);
        to.u8(VERSION).u8(u8::from(self.deleted)).u64(self.row_id).u32(self.policy).i64(self.objects).i64(self.bytes);
        to.text(self.put.as_ref()).text(self.delete.as_ref());
        to.finish()
    }

    /// What the account's hash is made of.
    pub fn hashed(&self) -> String {
        format!("{}-{}-{}-{}", self.put.as_ref(), self.delete.as_ref(), self.objects, self.bytes)
    }
}

impl<'a> ContainerRow<&'a str> {
    /// Reads it back; anything `encode` could not have written is refused.
    pub fn decode(bytes: &'a [u8]) -> io::Result<Self> {
        let mut from = Reader::new(bytes, "container row");
        from.version(VERSION)?;
        let row = ContainerRow {
            deleted: from.flag()?,
            row_id: from.u64()?,
            policy: from.u32()?,
            objects: from.i64()?,
            bytes: from.i64()?,
            put: from.text()?,
            delete: from.text()?,
        };
        from.end()?;
        Ok(row)
    }
}

impl ContainerUpdate {
    /// Merges into the stored row (specs §3.2): times are maxima, counts and policy are those of the record that came
    /// last, whatever its times. The row id is set by the caller.
    pub fn merge(&self, stored: Option<&ContainerRow<&str>>) -> ContainerRow<String> {
        let put = newest(self.put.as_deref(), stored.map(|row| row.put));
        let delete = newest(self.delete.as_deref(), stored.map(|row| row.delete));
        let objects = self.objects.or(stored.map(|row| row.objects)).unwrap_or(0);
        ContainerRow {
            row_id: 0,
            deleted: value(&delete) > value(&put) && objects == 0,
            policy: self.policy.or(stored.map(|row| row.policy)).unwrap_or(0),
            objects,
            bytes: self.bytes.or(stored.map(|row| row.bytes)).unwrap_or(0),
            put,
            delete,
        }
    }
}

fn newest(new: Option<&str>, stored: Option<&str>) -> String {
    match (new, stored) {
        (Some(new), Some(stored)) if value(stored) > value(new) => stored,
        (Some(new), _) => new,
        (None, Some(stored)) => stored,
        (None, None) => "0",
    }
    .to_owned()
}

/// The time a text stands for; what is no time is older than everything.
pub fn value(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or(Timestamp::ZERO)
}
