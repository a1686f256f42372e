//! Core: what waits in the journal, and which rows it takes. No I/O, no clock, no async.

use super::super::intake::Row;
use super::batch;
use super::halves::Halves;
use crate::db::key::NAME_BYTES_MAX;
use crate::db::object_row::ObjectUpdate;
use base::hash_path::NameHash;
use base::timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Bounds of a journal.
#[derive(Clone, Copy, Debug)]
pub(in crate::container) struct Bounds {
    /// Bytes of one half of the file.
    pub(super) half_bytes: u64,
    /// Rows that wait before they are moved. Where moves fail, four times as many wait at most; those that come then go into the database.
    pub(super) rows: usize,
    /// How long a row waits, while the database can be written.
    pub(super) age: Duration,
}

impl Default for Bounds {
    /// Leaves are shared by many of so many rows, and a reader does not wait long. A half has room for a thousand batches of one block, so that it is
    /// moved for its rows and not for its bytes.
    fn default() -> Bounds {
        Bounds { half_bytes: 4 * 1024 * 1024, rows: 2048, age: Duration::from_secs(1) }
    }
}

impl Bounds {
    /// Of the file.
    pub(super) fn file_bytes(self) -> u64 {
        2 * self.half_bytes
    }
}

/// Rows that a container had merged into the database, without being read in between, before the journal takes its rows: where each row is
/// followed by a look at it the journal would only be one more write.
pub(super) const TRUSTED_AFTER: usize = 32;
/// Containers remembered.
const KNOWN_MAX: usize = 4096;

/// Rows by container, each in the order of arrival.
pub(super) type Rows = BTreeMap<[u8; 16], Vec<ObjectUpdate>>;

/// One per journal.
pub(super) struct State {
    bounds: Bounds,
    halves: Halves,
    /// Nothing is taken any more: the file or a row was found wanting.
    is_off: bool,
    /// Containers with rows that were taken and cannot be moved: they are in the file only.
    stuck: BTreeSet<[u8; 16]>,
    waiting: Rows,
    waiting_count: usize,
    /// On their way into the database.
    moving: Arc<Rows>,
    /// Containers that are there, and how many rows they had merged since they were read.
    known: BTreeMap<[u8; 16], usize>,
    /// What `known` says may cease to be true while there are any.
    holds: usize,
    /// Counts them, at their beginning and at their end.
    epoch: u64,
    /// Somebody will move what waits when its time has come.
    is_due: bool,
}

impl State {
    /// Behind a start that found batches up to `sequence`, those up to `moved` in the database.
    pub(super) fn new(bounds: Bounds, sequence: u64, moved: u64) -> State {
        State {
            bounds,
            halves: Halves::new(bounds.half_bytes, sequence, moved),
            is_off: false,
            stuck: BTreeSet::new(),
            waiting: Rows::new(),
            waiting_count: 0,
            moving: Arc::default(),
            known: BTreeMap::new(),
            holds: 0,
            epoch: 0,
            is_due: false,
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// Rows, of the container if one is named, cannot be moved.
    pub(super) fn has_stuck(&self, hash: Option<&NameHash>) -> bool {
        hash.map_or(!self.stuck.is_empty(), |hash| self.stuck.contains(&hash.0))
    }

    /// Every row that was taken is in the database, but for those that cannot be moved.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.moving.is_empty()
    }

    /// It is time to move what waits.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_count >= self.bounds.rows || self.halves.is_pressed()
    }

    /// Whether all rows of a batch may be taken.
    pub(super) fn takes(&self, batch: &[Row]) -> bool {
        let takes_row = |row: &Row| {
            let is_known = self.known.get(&row.hash.0).is_some_and(|rows| *rows >= TRUSTED_AFTER);
            row.create.is_none() && is_known && is_mergeable(&row.update)
        };
        let has_room = self.waiting_count + batch.len() <= 4 * self.bounds.rows;
        !self.is_off && self.holds == 0 && has_room && batch.iter().all(takes_row)
    }

    /// A place for the batch, and its bytes. `None` when there is none, or its rows may not be taken.
    pub(super) fn place(&mut self, batch: &[Row]) -> Option<(u64, Vec<u8>)> {
        if !self.takes(batch) {
            return None;
        }
        let bytes = batch::encode(self.halves.sequence() + 1, batch);
        let (_, offset) = self.halves.place(bytes.len() as u64)?;
        Some((offset, bytes))
    }

    /// These rows wait from now on. True when nobody is to move what waits yet: who asks has to.
    pub(super) fn wait_all(&mut self, batch: Vec<Row>) -> bool {
        batch.into_iter().for_each(|row| self.wait(row.hash, row.update));
        !std::mem::replace(&mut self.is_due, true)
    }

    pub(super) fn wait(&mut self, hash: NameHash, update: ObjectUpdate) {
        self.waiting.entry(hash.0).or_default().push(update);
        self.waiting_count += 1;
    }

    pub(super) fn is_due_no_more(&mut self) {
        self.is_due = false;
    }

    /// What waits, to be moved, and the last batch whose rows are in the database then, if that can be said; `None` when nothing waits.
    pub(super) fn begin_move(&mut self) -> Option<(Arc<Rows>, Option<u64>)> {
        if self.waiting.is_empty() {
            return None;
        }
        self.waiting_count = 0;
        self.moving = Arc::new(std::mem::take(&mut self.waiting));
        let upto = self.stuck.is_empty().then(|| self.halves.sequence());
        Some((self.moving.clone(), upto))
    }

    /// They are in the database, and so are the rows of batches up to this one.
    pub(super) fn moved(&mut self, upto: Option<u64>) {
        self.moving = Arc::default();
        upto.into_iter().for_each(|upto| self.halves.moved(upto));
    }

    /// These of them could not be moved now: in front of what came since.
    pub(super) fn give_back(&mut self, rows: Rows) {
        self.moving = Arc::default();
        for (hash, updates) in rows {
            self.waiting_count += updates.len();
            self.waiting.entry(hash).or_default().splice(0..0, updates);
        }
    }

    /// These of them cannot be moved: they stay in the file, and nothing is taken from now on.
    pub(super) fn stuck(&mut self, rows: Rows) {
        self.moving = Arc::default();
        self.stuck.extend(rows.into_keys());
        self.is_off = true;
    }

    /// Nothing is taken from now on.
    pub(super) fn turn_off(&mut self) {
        self.is_off = true;
    }

    /// So many rows of a container were merged into the database, which was asked at this `epoch`.
    pub(super) fn learn(&mut self, hash: &NameHash, count: usize, epoch: u64) {
        if self.holds > 0 || self.epoch != epoch {
            return;
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let known = self.known.entry(hash.0).or_default();
        *known = known.saturating_add(count);
    }

    /// Whether rows of the container wait or are moved. If so it is one that is looked at between writes: it must be learnt again.
    pub(super) fn is_looked_at(&mut self, hash: &NameHash) -> bool {
        let has_rows = self.waiting.contains_key(&hash.0) || self.moving.contains_key(&hash.0);
        if has_rows {
            self.known.remove(&hash.0);
        }
        has_rows
    }

    /// Nothing is taken, or learnt, until the release; what was known may be wrong by then.
    pub(super) fn hold(&mut self) {
        self.holds += 1;
        self.epoch += 1;
        self.known.clear();
    }

    pub(super) fn release(&mut self) {
        self.holds -= 1;
        self.epoch += 1;
    }
}

/// Whether the database will take it.
fn is_mergeable(update: &ObjectUpdate) -> bool {
    update.name.len() <= NAME_BYTES_MAX && timestamp::decode(&update.created_at, false).is_ok()
}
