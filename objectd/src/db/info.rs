//! Core: the info record of a database: times, policy, metadata, statistics.
//!
//! ```text
//! | version 1 | kind 1 | account | container | id            (texts: length 4, bytes)
//! | created_at 16 | put 16 | delete 16 | status_changed_at 16 | deleted flag 1
//! | policy 4 | hash 16 | max row id 8
//! | reported put 16 | reported delete 16 | reported objects 8 | reported bytes 8
//! | sync point 8 | sync point 8 | reconciler sync point 8
//! | policies 4 | { policy 4 | containers 8 | objects 8 | bytes 8 } …
//! | items 4    | { name | value | time 16 } …
//! ```
//!
//! Little-endian; nothing may follow. Drawn again in `docs/formats/rows.md`.
//!
//! # Invariants
//!
//! - Statistics are the sums over the rows: only `merge` and `reclaim` change them, with the row, in one transaction.
//! - A container is in `pending` exactly while it differs from what its account was told.
//! - A deleted database lies in `graves` under its delete time; so does nothing else of tag 1.

use super::codec::{Reader, Writer, corrupt};
use super::key::{self, Kind};
use super::{GRAVES, INFO, PENDING, Write};
use base::hash_path::NameHash;
use base::io::kv::Read;
use base::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::io;

const VERSION: u8 = 1;

/// Counts of one policy. In an account `containers` counts live rows, the others sum over all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live rows of containers (accounts only).
    pub containers: i64,
    /// Objects.
    pub objects: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// What an account was last told about a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// put_timestamp
    pub put: Timestamp,
    /// delete_timestamp
    pub delete: Timestamp,
    /// object_count
    pub objects: i64,
    /// bytes_used
    pub bytes: i64,
}

/// One item of metadata; an empty value is a deletion that is still remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The header's value.
    pub value: String,
    /// When it was set.
    pub time: Timestamp,
}

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Account or container.
    pub kind: Kind,
    /// The account.
    pub account: String,
    /// The container; empty for an account.
    pub container: String,
    /// A UUID and the device's name: tells replicas apart.
    pub id: String,
    /// Wall clock of the creation here.
    pub created_at: Timestamp,
    /// Newest PUT.
    pub put: Timestamp,
    /// Newest DELETE.
    pub delete: Timestamp,
    /// When it was last created, deleted or got its policy.
    pub status_changed_at: Timestamp,
    /// Swift's status `DELETED`.
    pub marked_deleted: bool,
    /// Storage policy of a container.
    pub policy: u32,
    /// Running hash over the rows.
    pub hash: [u8; 16],
    /// Largest row id given out.
    pub max_row: u64,
    /// What the account knows.
    pub reported: Report,
    /// Container sync and the reconciler: how far they have come.
    pub sync_points: [i64; 3],
    /// Per policy.
    pub stats: BTreeMap<u32, Stats>,
    /// By title-cased header name.
    pub metadata: BTreeMap<String, Item>,
}

impl Info {
    /// A new database.
    pub fn new(kind: Kind, account: &str, container: &str, id: String, created_at: Timestamp, put: Timestamp) -> Info {
        Info {
            kind,
            account: account.to_owned(),
            container: container.to_owned(),
            id,
            created_at,
            put,
            delete: Timestamp::ZERO,
            status_changed_at: put,
            marked_deleted: false,
            policy: 0,
            hash: [0; 16],
            max_row: 0,
            reported: Report::default(),
            sync_points: [-1; 3],
            stats: BTreeMap::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// Counts of one policy, zero when it has none.
    pub fn stats_of(&self, policy: u32) -> Stats {
        self.stats.get(&policy).copied().unwrap_or_default()
    }

    /// Counts over all policies.
    pub fn total(&self) -> Stats {
        self.stats.values().fold(Stats::default(), |sum, stats| Stats {
            containers: sum.containers.saturating_add(stats.containers),
            objects: sum.objects.saturating_add(stats.objects),
            bytes: sum.bytes.saturating_add(stats.bytes),
        })
    }

    /// Whether it counts as deleted (specs §3.3).
    pub fn is_deleted(&self) -> bool {
        match self.kind {
            Kind::Container => self.stats_of(self.policy).objects == 0 && self.delete > self.put,
            Kind::Account => self.marked_deleted || (self.total().containers == 0 && self.delete > self.put),
        }
    }

    /// No row is shown in any policy.
    pub fn is_empty(&self) -> bool {
        match self.kind {
            Kind::Container => self.stats.values().all(|stats| stats.objects == 0),
            Kind::Account => self.total().containers == 0,
        }
    }

    /// What the account should know.
    pub fn report(&self) -> Report {
        let stats = self.stats_of(self.policy);
        Report { put: self.put, delete: self.delete, objects: stats.objects, bytes: stats.bytes }
    }

    /// Whether the account has to be told.
    fn needs_report(&self) -> bool {
        self.kind == Kind::Container && self.put > Timestamp::ZERO && self.report() != self.reported
    }

    /// Items that are set.
    pub fn shown_metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata
            .iter()
            .filter(|(_, item)| !item.value.is_empty())
            .map(|(name, item)| (name.as_str(), item.value.as_str()))
    }

    /// The value.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(384);
        to.u8(VERSION).u8(self.kind.byte()).text(&self.account).text(&self.container).text(&self.id);
        to.time(self.created_at).time(self.put).time(self.delete).time(self.status_changed_at);
        to.u8(u8::from(self.marked_deleted)).u32(self.policy).bytes(&self.hash).u64(self.max_row);
        to.time(self.reported.put).time(self.reported.delete).i64(self.reported.objects).i64(self.reported.bytes);
        for point in self.sync_points {
            to.i64(point);
        }
        to.u32(count(self.stats.len()));
        for (policy, stats) in &self.stats {
            to.u32(*policy).i64(stats.containers).i64(stats.objects).i64(stats.bytes);
        }
        to.u32(count(self.metadata.len()));
        for (name, item) in &self.metadata {
            to.text(name).text(&item.value).time(item.time);
        }
        to.finish()
    }

    /// Reads it back; anything `encode` could not have written is refused.
    pub fn decode(bytes: &[u8]) -> io::Result<Info> {
        let mut from = Reader::new(bytes, "info record");
        from.version(VERSION)?;
        let kind = match from.u8()? {
            byte if byte == Kind::Account.byte() => Kind::Account,
            byte if byte == Kind::Container.byte() => Kind::Container,
            _ => return Err(corrupt("info record")),
        };
        let (account, container, id) = (from.text()?, from.text()?, from.text()?.to_owned());
        let mut info = Info::new(kind, account, container, id, from.time()?, from.time()?);
        (info.delete, info.status_changed_at, info.marked_deleted) = (from.time()?, from.time()?, from.flag()?);
        (info.policy, info.hash, info.max_row) = (from.u32()?, from.digest()?, from.u64()?);
        info.reported = Report { put: from.time()?, delete: from.time()?, objects: from.i64()?, bytes: from.i64()? };
        info.sync_points = [from.i64()?, from.i64()?, from.i64()?];
        for _ in 0..from.u32()? {
            let policy = from.u32()?;
            info.stats.insert(policy, Stats { containers: from.i64()?, objects: from.i64()?, bytes: from.i64()? });
        }
        for _ in 0..from.u32()? {
            let name = from.text()?.to_owned();
            info.metadata.insert(name, Item { value: from.text()?.to_owned(), time: from.time()? });
        }
        from.end()?;
        Ok(info)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("policies and metadata items are bounded far below 2^32")
}

/// The record of a database, if there is one.
pub fn load(read: &impl Read, kind: Kind, hash: &NameHash) -> io::Result<Option<Info>> {
    stored(read, kind, hash)?.map(Info::decode).transpose()
}

/// The same as it is stored.
pub fn stored<'r>(read: &'r impl Read, kind: Kind, hash: &NameHash) -> io::Result<Option<&'r [u8]>> {
    read.get(INFO, &key::info(kind, hash))
}

/// Writes `now` and keeps `pending` and `graves` in step with it; `before` is what was loaded in this transaction.
pub fn store(write: &mut impl Write, hash: &NameHash, before: Option<&Info>, now: &Info) -> io::Result<()> {
    let info_key = key::info(now.kind, hash);
    write.put(INFO, &info_key, &now.encode())?;
    let (needed, needs) = (before.is_some_and(Info::needs_report), now.needs_report());
    if needs && !needed {
        write.put(PENDING, &hash.0, &[])?;
    } else if needed && !needs {
        write.delete(PENDING, &hash.0)?;
    }
    let (was, is) = (before.and_then(grave_time), grave_time(now));
    if was != is {
        if let Some(raw) = was {
            write.delete(GRAVES, &key::grave_of_database(raw, &info_key))?;
        }
        if let Some(raw) = is {
            write.put(GRAVES, &key::grave_of_database(raw, &info_key), &[])?;
        }
    }
    Ok(())
}

/// When a deleted database was deleted.
pub fn grave_time(info: &Info) -> Option<u64> {
    info.is_deleted().then(|| info.delete.raw())
}
