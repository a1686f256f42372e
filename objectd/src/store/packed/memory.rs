//! Core: changes that the log holds and the index does not yet. No I/O, no clock, no async.
//!
//! Two tables: the active one takes changes, the frozen one is on its way to the index. A look-up applies to what the index says
//! first the frozen changes, then the active ones; a frozen table stays until the index has it, so no change is ever in neither.

use super::entry::{Change, Entry, Key};
use std::collections::BTreeMap;
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
    /// By object, then in the order in which they came. One entry each: lists would waste most of their memory on objects that change
    /// once.
    pub changes: BTreeMap<(Key, u32), Change>,
    /// The end of the stretch.
    pub end: Position,
}

/// Changes in the order in which they came: a quarter of the table's cost, for who only wants to sort them once.
pub(super) type ChangeList = Vec<(Key, Change)>;

impl Table {
    /// The changes of a list, up to `end`. It takes a moment for each million: not for a core that serves.
    pub(super) fn sorted(list: ChangeList, end: Position) -> Table {
        let numbered = list.into_iter().zip(0..).map(|((key, change), number)| ((key, number), change));
        Table { changes: numbered.collect(), end }
    }

    fn of(&self, key: &Key) -> impl Iterator<Item = (&(Key, u32), &Change)> {
        self.changes.range((*key, 0)..=(*key, u32::MAX))
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
        Memory { active: Table { end, ..Table::default() }, frozen: None, checkpoints: 0 }
    }

    /// Adds a change.
    pub(super) fn add(&mut self, key: Key, change: Change) {
        let number = u32::try_from(self.active.changes.len()).expect("a checkpoint comes long before");
        self.active.changes.insert((key, number), change);
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
        self.active.changes.len()
    }

    /// The index has everything.
    pub(super) fn is_settled(&self) -> bool {
        self.frozen.is_none() && self.active.changes.is_empty()
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
        for (_, change) in tables.flat_map(|table| table.of(key)) {
            entry.apply(*change, &mut displaced);
        }
    }

    /// Starts a checkpoint, or gives again the one that failed; `None` when nothing changed.
    pub(super) fn freeze(&mut self) -> Option<Arc<Table>> {
        if self.frozen.is_some() {
            return self.frozen.clone();
        }
        if self.active.changes.is_empty() {
            return None;
        }
        let end = self.active.end;
        let table = Arc::new(std::mem::replace(&mut self.active, Table { end, ..Table::default() }));
        self.frozen = Some(table.clone());
        Some(table)
    }

    /// The index has the frozen table.
    pub(super) fn thaw(&mut self) {
        self.frozen = None;
        self.checkpoints += 1;
    }
}
