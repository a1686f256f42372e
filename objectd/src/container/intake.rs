//! Rows of objects on their way into the database of a device: what comes while a batch is written goes into the next: into the journal, or in one
//! transaction, the rows of one container together. Those of the owning core and those that other cores send wait in one line, or the batches of the one would
//! alternate with those of the others and be half as large.
//!
//! # Invariants
//!
//! - A row is `Ok` only after it is durable: in the journal, or with the commit that holds it.
//! - A row that cannot be merged does not fail its neighbours: the batch is taken apart and each is tried alone.

use super::journal::{Bounds, Hold, Journal, Outcome};
use crate::batches::Batches;
use crate::db::lifecycle::{self, Change};
use crate::db::object_row::ObjectUpdate;
use base::hash_path::NameHash;
use base::io;
use base::io::kv::{Kv, WriteTxn};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// A row and where it belongs.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Of the container.
    pub(crate) hash: NameHash,
    /// The container that comes into being when there is none.
    pub(crate) create: Option<Box<Change>>,
    /// The row.
    pub(crate) update: ObjectUpdate,
}

/// What became of a row: whether there is such a container, or why the database failed.
pub(crate) type Taken = Result<bool, String>;

/// The way into one database. One per device, on the core that owns it.
pub(crate) struct Intake {
    goal: Goal,
    batches: Rc<Batches<Row, Taken>>,
}

#[derive(Clone)]
struct Goal {
    rows: Kv,
    journal: Option<Rc<Journal>>,
}

impl Intake {
    /// Straight into the database.
    #[cfg(test)]
    pub(crate) fn new(rows: Kv) -> Intake {
        Intake { goal: Goal { rows, journal: None }, batches: Rc::default() }
    }

    /// With a journal in the file `path`; what waits in it is in the database when this answers.
    pub(crate) async fn open(rows: Kv, path: PathBuf) -> std::io::Result<Intake> {
        Intake::open_bounded(rows, path, Bounds::default()).await
    }

    pub(super) async fn open_bounded(rows: Kv, path: PathBuf, bounds: Bounds) -> std::io::Result<Intake> {
        let journal = Some(Journal::open(rows.clone(), path, bounds).await?);
        Ok(Intake { goal: Goal { rows, journal }, batches: Rc::default() })
    }

    /// Merges a row: durable when it answers `Ok(true)`, and in the database as soon as it is asked for (`settle`).
    pub(crate) async fn merge(&self, row: Row) -> Taken {
        let goal = self.goal.clone();
        let taken = self.batches.add(row, move |batch| merge(goal.clone(), batch)).await;
        taken.unwrap_or_else(too_many)
    }

    /// Merges those that came together.
    pub(crate) async fn merge_all(&self, batch: Vec<Row>) -> Vec<Taken> {
        let goal = self.goal.clone();
        let taken = self.batches.add_all(batch, move |batch| merge(goal.clone(), batch)).await;
        taken.into_iter().map(|taken| taken.unwrap_or_else(too_many)).collect()
    }

    /// Whoever looks at a container calls this first: rows of it that were merged before are in the database when it answers `Ok`.
    pub(crate) async fn settle(&self, hash: &NameHash) -> Result<(), String> {
        match &self.goal.journal {
            Some(journal) => journal.settle(hash).await,
            None => Ok(()),
        }
    }

    /// The same for whoever looks at all of them.
    pub(crate) async fn settle_all(&self) -> Result<(), String> {
        match &self.goal.journal {
            Some(journal) => journal.settle_all().await,
            None => Ok(()),
        }
    }

    /// Whoever makes the database forget containers holds this meanwhile.
    pub(crate) async fn hold(&self) -> Result<Option<Hold>, String> {
        match &self.goal.journal {
            Some(journal) => journal.hold().await.map(Some),
            None => Ok(None),
        }
    }
}

fn too_many() -> Taken {
    Err("too many rows wait for the database".to_owned())
}

/// Rows of one container.
struct Group {
    hash: NameHash,
    create: Option<Box<Change>>,
    updates: Vec<ObjectUpdate>,
    /// Of each in the batch.
    places: Vec<usize>,
}

async fn merge(goal: Goal, batch: Vec<Row>) -> Vec<Taken> {
    let count = batch.len();
    let Some(journal) = &goal.journal else { return merge_now(&goal.rows, &Arc::new(grouped(batch)), count).await };
    let batch = match journal.append(batch).await {
        Outcome::Taken => return vec![Ok(true); count],
        Outcome::Failed(why) => return vec![Err(why); count],
        Outcome::Refused(batch) => batch,
    };
    let epoch = journal.epoch();
    let groups = Arc::new(grouped(batch));
    let taken = merge_now(&goal.rows, &groups, count).await;
    for group in groups.iter() {
        let is_there = |place: &usize| matches!(taken.get(*place), Some(Ok(true)));
        let merged = group.places.iter().filter(|place| is_there(place)).count();
        if merged > 0 {
            journal.learn(&group.hash, merged, epoch);
        }
    }
    taken
}

/// Into the database.
async fn merge_now(rows: &Kv, groups: &Arc<Vec<Group>>, count: usize) -> Vec<Taken> {
    match write(rows, groups.clone(), count).await {
        Ok(taken) => taken.into_iter().map(Ok).collect(),
        Err(error) if count == 1 => vec![Err(error.to_string())],
        Err(_) => merge_each(rows, groups, count).await,
    }
}

/// All at once, each a write of its own.
async fn merge_each(rows: &Kv, groups: &[Group], count: usize) -> Vec<Taken> {
    let mut writes = Vec::with_capacity(count);
    for group in groups {
        for (update, place) in group.updates.iter().zip(&group.places) {
            let alone = Group {
                hash: group.hash,
                create: group.create.clone(),
                updates: vec![update.clone()],
                places: vec![0],
            };
            let rows = rows.clone();
            let write = io::spawn(async move { write(&rows, Arc::new(vec![alone]), 1).await });
            writes.push((*place, write));
        }
    }
    let mut taken = vec![Err(String::new()); count];
    for (place, write) in writes {
        let outcome = write.await.unwrap_or_else(|| Err(std::io::Error::other("the write panicked")));
        if let Some(taken) = taken.get_mut(place) {
            *taken = outcome.map(|list| list.first().copied().unwrap_or(false)).map_err(|error| error.to_string());
        }
    }
    taken
}

/// By container, in the order of arrival. (Whether a container may come into being by a row is the same for all of its rows.)
fn grouped(batch: Vec<Row>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut indexes = BTreeMap::new();
    for (place, Row { hash, create, update }) in batch.into_iter().enumerate() {
        let index = *indexes.entry((hash.0, create.is_some())).or_insert(groups.len());
        if index == groups.len() {
            groups.push(Group { hash, create, updates: Vec::new(), places: Vec::new() });
        }
        if let Some(group) = groups.get_mut(index) {
            group.updates.push(update);
            group.places.push(place);
        }
    }
    groups
}

async fn write(rows: &Kv, groups: Arc<Vec<Group>>, count: usize) -> std::io::Result<Vec<bool>> {
    let body = move |write: &mut WriteTxn<'_>| {
        let mut taken = vec![false; count];
        for group in groups.iter() {
            let is_there = lifecycle::merge_objects(write, &group.hash, group.create.as_deref(), &group.updates)?;
            for place in &group.places {
                if let Some(taken) = taken.get_mut(*place) {
                    *taken = is_there;
                }
            }
        }
        Ok(taken)
    };
    rows.write(body).await
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::db::key::{Kind, State};
    use crate::db::{TABLES, info, merge};
    use base::io::sim::{Sim, SimOptions};
    use base::limits::Constraints;
    use base::timestamp::Timestamp;
    use std::path::Path;

    pub(in crate::container) const THERE: NameHash = NameHash([1; 16]);
    const NOWHERE: NameHash = NameHash([2; 16]);

    pub(in crate::container) fn time(raw: u64) -> Timestamp {
        Timestamp::from_raw(raw, 0)
    }

    /// A container that comes into being.
    pub(in crate::container) fn creation(hash: NameHash) -> Change {
        Change {
            kind: Kind::Container,
            hash,
            account: "a".to_owned(),
            container: "c".to_owned(),
            time: time(1),
            now: time(1),
            id: "id".to_owned(),
            policy: Some(0),
            default_policy: 0,
            metadata: Vec::new(),
            constraints: Constraints::default(),
            forget_before: Timestamp::ZERO,
        }
    }

    fn row(hash: NameHash, name: &str) -> Row {
        let update = ObjectUpdate { deleted: false, size: 1, ..ObjectUpdate::deletion(name, 0, time(2)) };
        Row { hash, create: None, update }
    }

    #[test]
    fn a_row_that_cannot_be_merged_does_not_fail_those_that_came_with_it() {
        Sim::new(1, SimOptions::default()).run(async {
            let rows = Kv::open(Path::new("/rows"), TABLES).await.unwrap();
            rows.write(|write| lifecycle::put_container(write, &creation(THERE))).await.unwrap();
            let mut bad = row(THERE, "bad");
            bad.update.created_at = "no time".to_owned();
            let new = Row { create: Some(Box::new(creation(NOWHERE))), ..row(NOWHERE, "first") };
            let batch = vec![row(THERE, "b"), row(NOWHERE, "b"), row(THERE, "a"), new, row(THERE, "a")];
            let intake = Intake::new(rows.clone());
            let taken = intake.merge_all(batch.clone()).await;
            assert_eq!(taken, [Ok(true), Ok(false), Ok(true), Ok(true), Ok(true)]);
            let taken = intake.merge_all([&batch[..1], &[bad], &[row(THERE, "z")]].concat()).await;
            assert!(taken[0] == Ok(true) && taken[1].is_err() && taken[2] == Ok(true), "{taken:?}");
            let found = rows.read(|read| {
                let names = ["a", "b", "bad", "z"].map(|name| merge::find(read, &THERE, 0, name));
                let info = info::load(read, Kind::Container, &THERE)?.expect("it is there");
                Ok((names.map(|found| found.ok().flatten().map(|(state, _)| state)), info.stats_of(0).objects))
            });
            let live = Some(State::Live);
            assert_eq!(found.await.unwrap(), ([live, live, None, live], 3));
        });
    }
}
