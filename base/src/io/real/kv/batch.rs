//! The writer thread: batches of writes, one commit each.

use super::{Full, Store, WriteTxn, error, full};
use crate::io::kv;
use crate::io::real::blocking::{Disk, End, panicked};
use crate::io::real::oneshot::Sender;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

/// Writes of one commit: enough that the sync costs little a write, few enough that the first does not wait long.
const BATCH_MAX: usize = 256;

/// Runs again after which a batch is taken apart: one bad write is cheap to leave out, many are not.
const RERUNS_MAX: u32 = 4;

/// One write on its way through the writer thread.
pub(super) trait Job: Send {
    /// Runs the body and keeps what it gave. May be called again after an undone transaction.
    fn attempt(&mut self, txn: &mut kv::WriteTxn<'_>) -> Result<(), ()>;
    /// Answers with what the body gave, or with why it is not on stable storage.
    fn answer(self: Box<Self>, committed: io::Result<()>);
}

/// A write with its body and the one who waits for it.
pub(super) struct Write<T, F> {
    body: F,
    result: Option<io::Result<T>>,
    answer: Sender<io::Result<T>>,
}

impl<T, F> Write<T, F> {
    pub(super) fn new(body: F, answer: Sender<io::Result<T>>) -> Self {
        Write { body, result: None, answer }
    }
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnMut(&mut kv::WriteTxn<'_>) -> io::Result<T> + Send,
{
    fn attempt(&mut self, txn: &mut kv::WriteTxn<'_>) -> Result<(), ()> {
        let caught = catch_unwind(AssertUnwindSafe(|| (self.body)(txn)));
        let result = caught.unwrap_or_else(|panic| Err(panicked(&*panic)));
        let outcome = result.as_ref().map(drop).map_err(drop);
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, committed: io::Result<()>) {
        let not_run = || Err(io::Error::other("the write was not run"));
        let Write { result, answer, .. } = *self;
        answer.send(committed.and_then(|()| result.unwrap_or_else(not_run)));
    }
}

/// The thread's life. Ends: when the last handle is gone and the queue is empty.
pub(super) fn write_batches(store: &Store, inbox: &mpsc::Receiver<Box<dyn Job>>, disk: &Disk) {
    while let Ok(first) = inbox.recv() {
        let mut batch = vec![first];
        batch.extend(inbox.try_iter().take(BATCH_MAX - 1));
        disk.wait_for(End::Heard, || write_batch(store, batch));
    }
}

/// Runs, commits and answers one batch.
fn write_batch(store: &Store, mut batch: Vec<Box<dyn Job>>) {
    let mut reruns = 0;
    // Ends: every turn but the last grows the map (doubling, so a bounded number of times), drops a job, or takes the batch
    // apart.
    while !batch.is_empty() {
        match run_once(store, &mut batch) {
            Ok(()) => {
                answer_all(batch, &Ok(()));
                return store.reserve.keep();
            }
            Err(Undone::Full(Full::Map)) => {
                if let Err(error) = store.grow() {
                    return answer_all(batch, &Err(error));
                }
            }
            Err(Undone::Full(Full::Txn)) if batch.len() == 1 => {
                return answer_all(batch, &Err(io::Error::other("the write is too large for one transaction")));
            }
            Err(Undone::Failed(index)) => {
                batch.remove(index).answer(Ok(()));
                reruns += 1;
            }
            Err(Undone::Full(Full::Txn)) => reruns = RERUNS_MAX,
            // One that fits need not go down with the others.
            Err(Undone::Broken(error)) if error.kind() == io::ErrorKind::StorageFull && batch.len() > 1 => {
                reruns = RERUNS_MAX;
            }
            Err(Undone::Broken(error)) => return answer_all(batch, &Err(error)),
        }
        if reruns >= RERUNS_MAX && batch.len() > 1 {
            return batch.into_iter().for_each(|job| write_batch(store, vec![job]));
        }
    }
}

/// Why a transaction was undone.
enum Undone {
    Full(Full),
    /// This job failed after it had changed something.
    Failed(usize),
    /// The environment itself failed.
    Broken(io::Error),
}

/// One transaction over the batch. Jobs that failed without a trace are answered and taken out as it goes.
fn run_once(store: &Store, batch: &mut Vec<Box<dyn Job>>) -> Result<(), Undone> {
    store.check().map_err(Undone::Broken)?;
    let _writing = store.writing();
    let txn = store.env.write_txn().map_err(|failure| Undone::Broken(error(failure)))?;
    let mut txn = kv::WriteTxn::from_real(WriteTxn { store, txn, changed: false, full: None });
    let mut index = 0;
    // Ends: every turn moves on or takes a job out.
    while let Some(job) = batch.get_mut(index) {
        txn.real().changed = false;
        let outcome = job.attempt(&mut txn);
        if let Some(full) = txn.real().full {
            return Err(Undone::Full(full));
        }
        match outcome {
            Ok(()) => index += 1,
            Err(()) if txn.real().changed => return Err(Undone::Failed(index)),
            Err(()) => batch.remove(index).answer(Ok(())),
        }
    }
    // A reader may have put a page of ours in place of a lost one before this thread came to it.
    store.check().map_err(Undone::Broken)?;
    txn.into_real().txn.commit().map_err(|failure| match full(&failure) {
        Some(full) => Undone::Full(full),
        None => Undone::Broken(store.reserve.explain(error(failure))),
    })
}

fn answer_all(batch: Vec<Box<dyn Job>>, committed: &io::Result<()>) {
    for job in batch {
        // An error cannot be cloned; its kind is what callers react to.
        job.answer(match committed {
            Ok(()) => Ok(()),
            Err(error) => Err(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            }),
        });
    }
}
