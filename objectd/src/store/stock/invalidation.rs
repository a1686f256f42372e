//! Tells the replicators which suffixes of a partition changed: `hashes.invalid` (specs: diskfile §6).
//!
//! The list is appended to under the partition's lock and synced, before a change becomes visible. Writes to one partition share
//! that work: while an append is under way the next round gathers, as many suffixes as come, without a timer.

use crate::node::Device;
use base::io::{self, fs};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The rounds of a device's partitions. One per device.
#[derive(Default)]
pub(crate) struct Invalidations {
    /// A partition is here while a task works on it; the value is its next round.
    partitions: RefCell<BTreeMap<PathBuf, Option<Rc<Round>>>>,
}

/// One append to one list, and those who wait for it.
#[derive(Default)]
struct Round {
    suffixes: RefCell<BTreeSet<String>>,
    outcome: Cell<Option<Outcome>>,
    waiting: RefCell<Vec<Waker>>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Done,
    Failed { kind: ErrorKind, code: Option<i32> },
}

/// Invalidates a suffix; durable when it answers `Ok`. A partition that is not there has nothing to invalidate.
pub(crate) async fn invalidate(device: &Rc<Device>, partition: &Path, suffix: &str) -> std::io::Result<()> {
    let round = {
        let mut partitions = device.invalidations.partitions.borrow_mut();
        let is_idle = !partitions.contains_key(partition);
        let round = partitions.entry(partition.to_owned()).or_default().get_or_insert_default().clone();
        round.suffixes.borrow_mut().insert(suffix.to_owned());
        if is_idle {
            io::spawn(work(device.clone(), partition.to_owned()));
        }
        round
    };
    let outcome = poll_fn(|context| match round.outcome.get() {
        Some(outcome) => Poll::Ready(outcome),
        None => {
            round.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        }
    });
    match outcome.await {
        Outcome::Done => Ok(()),
        Outcome::Failed { code: Some(code), .. } => Err(Error::from_raw_os_error(code)),
        Outcome::Failed { kind, code: None } => Err(kind.into()),
    }
}

/// Appends round after round until none is left.
async fn work(device: Rc<Device>, partition: PathBuf) {
    // Ends: when nobody waits for another round.
    while let Some(round) = next(&device, &partition) {
        let text: String = round.suffixes.take().into_iter().map(|suffix| suffix + "\n").collect();
        let (list, lock) = (partition.join("hashes.invalid"), partition.join(".lock"));
        let outcome = match fs::append_locked(&list, &lock, text.into_bytes()).await {
            Ok(()) => Outcome::Done,
            Err(error) if error.kind() == ErrorKind::NotFound => Outcome::Done,
            Err(error) => Outcome::Failed { kind: error.kind(), code: error.raw_os_error() },
        };
        round.outcome.set(Some(outcome));
        round.waiting.take().into_iter().for_each(Waker::wake);
    }
}

fn next(device: &Device, partition: &Path) -> Option<Rc<Round>> {
    let mut partitions = device.invalidations.partitions.borrow_mut();
    let round = partitions.get_mut(partition).and_then(Option::take);
    if round.is_none() {
        partitions.remove(partition);
    }
    round
}
