//! Core: changes that the log holds and the index does not yet. No I/O, no clock, no async.
//!
//! Two tables: the active one takes changes, the frozen one is on its way to the index. A look-up applies to what the index says
//! first the frozen changes, then the active ones; a frozen table stays until the index has it, so no change is ever in neither.

use super::entry::{At, Change, Entry, Held, Key, Place};
use super::record::RECORD_ALIGNMENT;
use crate::store::diskfile::Version;
use base::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The end of the log: what is before it is in the table or in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Number of the volume.
    pub volume: u32,
    /// Where its next batch begins.
    pub offset: u64,
    /// Number of the next batch.
    pub sequence: u64,
}

/// Changes of a stretch of the log.
#[derive(Debug, Default)]
pub(super) struct Table {
    changes: Changes,
    /// The end of the stretch.
    pub end: Position,
}

/// By object, then in the order in which they came.
#[derive(Debug)]
enum Changes {
    /// One entry each: lists would waste most of their memory on objects that change once.
    Tree(BTreeMap<(Key, u32), Small>),
    /// Of a table that nobody looks up in.
    Sorted(Vec<(Key, Small)>),
}

impl Default for Changes {
    fn default() -> Self {
        Changes::Tree(BTreeMap::new())
    }
}

/// A change as the tables hold it: nearly all are the insertion of a packed version, which takes a quarter of what the largest takes.
#[derive(Debug)]
enum Small {
    Packed { timestamp: u64, volume: u32, slot: u32, length: u32 },
    Other(Box<Change>),
}

const _: () = assert!(size_of::<Small>() == 24, "it is small");

impl From<Change> for Small {
    fn from(change: Change) -> Self {
        match change {
            Change::Insert(Held { version: Version::Data(time), place: Place::Volume(at) }) if time.offset() == 0 => {
                let slot = u32::try_from(at.offset / RECORD_ALIGNMENT).expect("volumes are below 256 GiB");
                Small::Packed { timestamp: time.raw(), volume: at.volume, slot, length: at.length }
            }
            change => Small::Other(Box::new(change)),
        }
    }
}

impl From<&Small> for Change {
    fn from(small: &Small) -> Self {
        match small {
            Small::Packed { timestamp, volume, slot, length } => {
                let at = At { volume: *volume, offset: u64::from(*slot) * RECORD_ALIGNMENT, length: *length };
                let version = Version::Data(Timestamp::from_raw(*timestamp, 0));
                Change::Insert(Held { version, place: Place::Volume(at) })
            }
            Small::Other(change) => **change,
        }
    }
}

/// Changes in the order in which they came: a quarter of the table's cost, for who only wants to sort them once.
#[derive(Debug, Default)]
pub(super) struct ChangeList(Vec<(Key, Small)>);

impl ChangeList {
    /// Adds one.
    pub(super) fn push(&mut self, key: Key, change: Change) {
        self.0.push((key, change.into()));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Table {
    /// An empty one.
    pub(super) fn until(end: Position) -> Table {
        Table { end, ..Table::default() }
    }

    /// The changes of a list, up to `end`. It takes a moment for each million: not for a core that serves.
    pub(super) fn sorted(list: ChangeList, end: Position) -> Table {
        let mut list = list.0;
        // Stable: those of one object stay in their order.
        list.sort_by_key(|(key, _)| *key);
        Table { changes: Changes::Sorted(list), end }
    }

    /// Adds a change.
    pub(super) fn add(&mut self, key: Key, change: Change) {
        match &mut self.changes {
            Changes::Tree(tree) => {
                let number = u32::try_from(tree.len()).expect("a checkpoint comes long before");
                tree.insert((key, number), change.into());
            }
            Changes::Sorted(_) => unreachable!("a sorted table is made at once"),
        }
    }

    /// How many there are.
    fn len(&self) -> usize {
        match &self.changes {
            Changes::Tree(tree) => tree.len(),
            Changes::Sorted(list) => list.len(),
        }
    }

    /// Those of objects behind `done`, in the order of their keys.
    pub(super) fn behind(&self, done: Option<Key>) -> impl Iterator<Item = (Key, Change)> {
        let (tree, list) = match &self.changes {
            Changes::Tree(tree) => (Some(tree), None),
            Changes::Sorted(list) => {
                let start = done.map_or(0, |done| list.partition_point(|(key, _)| *key <= done));
                (None, list.get(start..))
            }
        };
        let from = done.map_or(Bound::Unbounded, |key| Bound::Excluded((key, u32::MAX)));
        let tree = tree.into_iter().flat_map(move |tree| tree.range((from, Bound::Unbounded)));
        let tree = tree.map(|((key, _), change)| (*key, change.into()));
        tree.chain(list.into_iter().flatten().map(|(key, change)| (*key, change.into())))
    }

    fn of(&self, key: &Key) -> impl Iterator<Item = Change> {
        let tree = match &self.changes {
            Changes::Tree(tree) => Some(tree),
            Changes::Sorted(_) => None,
        };
        debug_assert!(tree.is_some(), "nobody looks up in a sorted table");
        let range = (*key, 0)..=(*key, u32::MAX);
        tree.into_iter().flat_map(move |tree| tree.range(range.clone())).map(|(_, change)| change.into())
    }
}

/// Both tables of a device.
#[derive(Debug, Default)]
pub(super) struct Memory {
    active: Table,
    /// Shared with the thread that writes it into the index; nobody changes it any more.
    frozen: Option<Arc<Table>>,
    /// Frozen tables that left.
    checkpoints: u64,
}

impl Memory {
    /// An empty table behind what the index covers.
    pub(super) fn new(end: Position) -> Self {
        Memory { active: Table::until(end), frozen: None, checkpoints: 0 }
    }

    /// Adds a change.
    pub(super) fn add(&mut self, key: Key, change: Change) {
        self.active.add(key, change);
    }

    /// All records before `end` were added.
    pub(super) fn covers(&mut self, end: Position) {
        debug_assert!(end >= self.active.end, "the log only grows");
        self.active.end = end;
    }

    /// Whether a change of the object is in a table.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.frozen.as_deref().into_iter().chain([&self.active]).any(|table| table.of(key).next().is_some())
    }

    /// Changes that wait for the next checkpoint.
    pub(super) fn waiting(&self) -> usize {
        self.active.len()
    }

    /// The index has everything.
    pub(super) fn is_settled(&self) -> bool {
        self.frozen.is_none() && self.active.len() == 0
    }

    /// Checkpoints that ended.
    pub(super) fn checkpoints(&self) -> u64 {
        self.checkpoints
    }

    /// Where the log ends that both tables know of.
    pub(super) fn end(&self) -> Position {
        self.active.end
    }

    /// Brings what the index said up to date.
    pub(super) fn overlay(&self, key: &Key, entry: &mut Entry) {
        let mut displaced = Vec::new();
        let tables = self.frozen.as_deref().into_iter().chain([&self.active]);
        for change in tables.flat_map(|table| table.of(key)) {
            entry.apply(change, &mut displaced);
        }
    }

    /// Starts a checkpoint, or gives again the one that failed; `None` when nothing changed.
    pub(super) fn freeze(&mut self) -> Option<Arc<Table>> {
        if self.frozen.is_some() {
            return self.frozen.clone();
        }
        if self.active.len() == 0 {
            return None;
        }
        let end = self.active.end;
        let table = Arc::new(std::mem::replace(&mut self.active, Table::until(end)));
        self.frozen = Some(table.clone());
        Some(table)
    }

    /// The index has the frozen table.
    pub(super) fn thaw(&mut self) {
        self.frozen = None;
        self.checkpoints += 1;
    }
}
