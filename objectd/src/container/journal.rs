//! Driver: the journal of rows: what makes rows of objects durable for less than a commit of the database costs.
//!
//! A commit of LMDB writes a page for each leaf that a row touches, the pages above it, and syncs twice; a row touches up to five leaves. So the rows
//! of a batch go into a file of the device first, one write and one sync, and wait in memory; thousands of them go into the database in one
//! transaction, a second later at most. Whoever looks at a container before that has its rows moved first: the database is all that is ever read.
//! (Swift's `.pending` files are the same idea without the sync.)
//!
//! # Invariants
//!
//! - A row that was taken is on stable storage: in the journal, or in the database. The transaction that moves rows also notes the number of the last
//!   batch they came from, so that each is moved once, whatever happens in between. A start moves what the note does not cover.
//! - Only rows of containers that are known to be there are taken; where a container may be forgotten (`hold`) none are.
//! - Whatever is unusual goes straight into the database, as if there were no journal: a container not known well, or read a moment ago; no room; an error.
//! - Rows that cannot be moved stay in the file, and nothing is written over them: the next start tries again. Until then no row is taken, and no
//!   tombstone is forgotten, or a row that is moved a second time could come back behind it.
//! - Rows that wait are bounded, in memory and in the file.

mod batch;
mod halves;
mod state;
#[cfg(test)]
mod tests;

use super::intake::Row;
use crate::batches::Batches;
use crate::db::codec::corrupt;
use crate::db::{JOURNAL, lifecycle};
use base::hash_path::NameHash;
use base::io;
use base::io::fs::{self, Volume};
use base::io::kv::{Kv, Read, WriteTxn};
use bytes::Bytes;
use state::{Rows, State};
use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(in crate::container) use state::Bounds;

/// Bytes of one read at the start.
const READ_BYTES: usize = 1024 * 1024;
/// Key of the number of the last batch whose rows are in the database.
const MOVED: &[u8] = b"moved";

type Moved = Result<(), String>;

/// The journal of one device. One per device, on the core that owns it.
pub(crate) struct Journal {
    rows: Kv,
    path: PathBuf,
    /// Once there was a batch.
    file: RefCell<Option<Rc<Volume>>>,
    state: RefCell<State>,
    moves: Rc<Batches<(), Moved>>,
}

/// What became of a batch.
pub(super) enum Outcome {
    /// Durable.
    Taken,
    /// It goes into the database.
    Refused(Vec<Row>),
    /// Neither the journal nor the database took it.
    Failed(String),
}

impl Journal {
    /// The journal in the file `path`, which comes into being with the first batch; moves into `rows` what waits in it.
    pub(super) async fn open(rows: Kv, path: PathBuf, bounds: Bounds) -> std::io::Result<Rc<Journal>> {
        let moved = rows.read(|read| Ok(read.get(JOURNAL, MOVED)?.map(<[u8]>::to_vec))).await?;
        let moved = match moved {
            Some(note) => u64::from_le_bytes(note.try_into().map_err(|_| corrupt("note of the journal"))?),
            None => 0,
        };
        let file = match Volume::open(&path).await {
            Ok(file) => Some(Rc::new(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let found = match &file {
            Some(file) => batch::find(&read_all(file).await?, moved)?,
            None => Vec::new(),
        };
        let sequence = found.last().map_or(moved, |last| last.sequence);
        if sequence - moved != found.len() as u64 {
            tracing::error!(path = %path.display(), moved, sequence, "a batch is missing in the journal of rows");
        }
        let mut state = State::new(bounds, sequence, moved);
        for (hash, update) in found.into_iter().flat_map(|batch| batch.rows) {
            state.wait(hash, update);
        }
        let count = state.waiting_count();
        // One of another length was cut off while it was made: it holds nothing and is made anew.
        let file = RefCell::new(file.filter(|file| file.len() == bounds.file_bytes()));
        let journal = Rc::new(Journal { rows, path, file, state: RefCell::new(state), moves: Rc::default() });
        if count > 0 {
            let result = journal.settle_all().await;
            tracing::info!(path = %journal.path.display(), rows = count, ?result, "rows of the journal moved into the database");
        }
        Ok(journal)
    }

    /// Takes a batch when it can take all of it: a commit for the others would cost the same with all of them.
    pub(super) async fn append(self: &Rc<Self>, batch: Vec<Row>) -> Outcome {
        if !self.state.borrow().takes(&batch) {
            return Outcome::Refused(batch);
        }
        let file = match self.file().await {
            Ok(file) => file,
            Err(error) => {
                self.turn_off(&error);
                return Outcome::Refused(batch);
            }
        };
        let Some((offset, bytes)) = self.state.borrow_mut().place(&batch) else {
            self.start_move();
            return Outcome::Refused(batch);
        };
        // Before they are durable: then a move finds them, and what it notes covers them.
        let is_first = self.state.borrow_mut().wait_all(batch);
        if is_first {
            self.move_in_time();
        }
        if let Err(error) = file.write_past(offset, vec![Bytes::from(bytes)]).await {
            self.turn_off(&error);
            return self.settle_all().await.map_or_else(Outcome::Failed, |()| Outcome::Taken);
        }
        let is_full = self.state.borrow().is_full();
        if is_full {
            self.start_move();
        }
        Outcome::Taken
    }

    /// The file, made when it is not there.
    async fn file(&self) -> std::io::Result<Rc<Volume>> {
        if let Some(file) = &*self.file.borrow() {
            return Ok(file.clone());
        }
        match fs::remove_file(&self.path).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let length = self.state.borrow().bounds().file_bytes();
        let file = Rc::new(Volume::create(&self.path, length).await?);
        // Without it the file is only slower.
        let _ = file.prewrite(Duration::ZERO).await;
        *self.file.borrow_mut() = Some(file.clone());
        Ok(file)
    }

    fn turn_off(&self, error: &std::io::Error) {
        self.state.borrow_mut().turn_off();
        tracing::error!(path = %self.path.display(), %error, "the journal of rows is out of use until a restart; rows go into the database");
    }

    /// Of now; see [`learn`](Self::learn).
    pub(super) fn epoch(&self) -> u64 {
        self.state.borrow().epoch()
    }

    /// So many rows of a container were merged into the database, which was asked at this `epoch`.
    pub(super) fn learn(&self, hash: &NameHash, count: usize, epoch: u64) {
        self.state.borrow_mut().learn(hash, count, epoch);
    }

    /// Has the rows of one container moved: when it answers `Ok`, every row of it that was taken before is in the database.
    pub(super) async fn settle(self: &Rc<Self>, hash: &NameHash) -> Moved {
        if self.state.borrow_mut().is_looked_at(hash) {
            self.move_now().await?;
        }
        self.none_stuck(Some(hash))
    }

    /// The same for all containers.
    pub(super) async fn settle_all(self: &Rc<Self>) -> Moved {
        if !self.state.borrow().is_settled() {
            self.move_now().await?;
        }
        self.none_stuck(None)
    }

    fn none_stuck(&self, hash: Option<&NameHash>) -> Moved {
        match self.state.borrow().has_stuck(hash) {
            true => Err("rows that cannot be moved stay in the journal".to_owned()),
            false => Ok(()),
        }
    }

    async fn move_now(self: &Rc<Self>) -> Moved {
        let journal = self.clone();
        let moved = self.moves.add((), move |asked| move_for(journal.clone(), asked.len())).await;
        moved.unwrap_or_else(|| Err("rows of the journal were not moved".to_owned()))
    }

    /// No rows are taken while the answer lives, and those taken before are in the database: containers may be forgotten.
    pub(super) async fn hold(self: &Rc<Self>) -> Result<Hold, String> {
        let hold = Hold::new(self.clone());
        self.settle_all().await?;
        Ok(hold)
    }

    fn start_move(self: &Rc<Self>) {
        if self.moves.is_idle() {
            let journal = self.clone();
            io::spawn(async move { journal.settle_all().await });
        }
    }

    /// What waits now is moved when its time has come.
    fn move_in_time(self: &Rc<Self>) {
        let (journal, age) = (Rc::downgrade(self), self.state.borrow().bounds().age);
        io::spawn(async move {
            io::sleep(age).await;
            if let Some(journal) = journal.upgrade() {
                journal.state.borrow_mut().is_due_no_more();
                // What cannot be moved is told by the move; it is tried again with what comes next, or for who asks.
                let _ = journal.settle_all().await;
            }
        });
    }

    /// Moves all that waits: at once, or where that fails row by row, so that one that cannot be merged, or a disk without room for all of them,
    /// does not keep the others.
    async fn move_rows(&self) -> Moved {
        let Some((rows, upto)) = self.state.borrow_mut().begin_move() else { return Ok(()) };
        let Err(error) = write(&self.rows, rows.clone(), upto).await else {
            self.state.borrow_mut().moved(upto);
            return Ok(());
        };
        tracing::warn!(path = %self.path.display(), %error, "rows of the journal are moved one by one");
        let left = self.move_each(&rows).await;
        let noted = match left.is_empty() {
            true => write(&self.rows, Arc::default(), upto).await,
            false => Err(error),
        };
        let mut state = self.state.borrow_mut();
        match noted {
            Ok(()) => {
                state.moved(upto);
                Ok(())
            }
            Err(error) => {
                let is_full = error.kind() == ErrorKind::StorageFull || left.is_empty();
                tracing::error!(path = %self.path.display(), %error, is_full, "rows stay in the journal");
                match is_full {
                    true => state.give_back(left),
                    // No batch is written over theirs: a restart tries again.
                    false => state.stuck(left),
                }
                Err(error.to_string())
            }
        }
    }

    /// Each alone; answers those that failed.
    async fn move_each(&self, rows: &Rows) -> Rows {
        let mut left = Rows::new();
        for (hash, updates) in rows {
            for update in updates {
                let one = Rows::from([(*hash, vec![update.clone()])]);
                if let Err(error) = write(&self.rows, Arc::new(one), None).await {
                    tracing::debug!(object = update.name, %error, "a row stays in the journal");
                    left.entry(*hash).or_default().push(update.clone());
                }
            }
        }
        left
    }
}

async fn move_for(journal: Rc<Journal>, asked: usize) -> Vec<Moved> {
    let moved = journal.move_rows().await;
    vec![moved; asked]
}

/// Merges rows in one transaction, with the note that batches up to this are in the database.
async fn write(kv: &Kv, rows: Arc<Rows>, upto: Option<u64>) -> std::io::Result<()> {
    let body = move |write: &mut WriteTxn<'_>| {
        let mut strays = 0;
        for (hash, updates) in rows.iter() {
            if !lifecycle::merge_objects(write, &NameHash(*hash), None, updates)? {
                strays += updates.len();
            }
        }
        if let Some(upto) = upto {
            write.put(JOURNAL, MOVED, &upto.to_le_bytes())?;
        }
        Ok(strays)
    };
    let strays = kv.write(body).await?;
    if strays > 0 {
        tracing::error!(rows = strays, "rows of the journal belong to containers that are not in the database");
    }
    Ok(())
}

async fn read_all(file: &Volume) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Ends: with the file, as every turn reads something of it.
    loop {
        let read = file.read(bytes.len() as u64, READ_BYTES).await?;
        if read.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&read);
    }
}

/// Keeps the journal from taking rows.
pub(crate) struct Hold(Rc<Journal>);

impl Hold {
    fn new(journal: Rc<Journal>) -> Hold {
        journal.state.borrow_mut().hold();
        Hold(journal)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.state.borrow_mut().release();
    }
}
