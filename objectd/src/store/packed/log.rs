//! The log of a packed device: appends, one flush for all who wait.
//!
//! While a flush is in flight the next batch gathers, without a timer: one writer alone waits for one flush, sixty-four share it. A batch is
//! one aligned write and one sync; the next is not written before that sync succeeded, which is what tells a torn write from a lost
//! one (`volume`). The task that flushes lives as long as somebody waits.
//!
//! # What is durable when
//!
//! - `append` answers `Ok` after the record is on stable storage and in the memory table.
//! - A write or sync that fails ends the log: no retry, every append from then on fails with the same error.
//! - A caller that goes away does not stop its record: it is written all the same.
//!
//! The queue needs no bound of its own: each waiting record belongs to a request that is under way.

use super::entry::{At, Change, Held, Key, Place};
use super::memory::{Memory, Position};
use super::record::{BATCH_ALIGNMENT, Encoded, Head, Kind, RECORD_ALIGNMENT, Spot};
use super::spare::Spare;
use super::volume::{HEADER_BYTES, Header, file_name, parse_file_name};
use base::io::{self, fs};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Bytes of one flush: large enough that a disk writes at full speed, small enough that a waiter in the next batch hardly notices.
pub(super) const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Volumes kept open beside the active one; more are opened again when they are read.
const OPEN_VOLUMES_MAX: usize = 1024;

/// The log of one device. One per device, on the core that owns it.
pub(super) struct Log {
    directory: PathBuf,
    /// Number of the store, in every volume's header.
    store: u64,
    spare: Rc<Spare>,
    memory: Rc<RefCell<Memory>>,
    state: RefCell<State>,
    /// Batches flushed since the start.
    flushes: Cell<u64>,
}

struct State {
    queue: VecDeque<Item>,
    is_flushing: bool,
    failed: Option<Failure>,
    active: Option<Active>,
    /// Of the next batch.
    sequence: u64,
    /// Highest number of a volume so far; zero when there is none.
    last_volume: u32,
    /// Where the log ends in the volume before the next one.
    previous_end: u64,
    /// Batches below this were acknowledged: all, except behind a crash that left some records of a torn batch.
    acknowledged: u64,
    open: BTreeMap<u32, Rc<fs::Volume>>,
    /// Volumes unlinked since the start: a number for each volume's worth of garbage.
    unlinked: BTreeSet<u32>,
}

/// The volume that is written.
#[derive(Clone)]
struct Active {
    number: u32,
    volume: Rc<fs::Volume>,
    offset: u64,
    /// It was the reserve: only what frees space may go there.
    is_reserve: bool,
}

/// An error that several waiters are told.
#[derive(Clone, Copy)]
struct Failure {
    kind: ErrorKind,
    code: Option<i32>,
}

impl Failure {
    fn of(error: &Error) -> Failure {
        Failure { kind: error.kind(), code: error.raw_os_error() }
    }
    fn error(self) -> Error {
        self.code.map_or_else(|| self.kind.into(), Error::from_raw_os_error)
    }
}

/// Where the log goes on after a start.
pub(super) struct Tail {
    /// Behind the last good batch.
    pub end: Position,
    /// Batches below this were acknowledged.
    pub acknowledged: u64,
    /// The volume of `end`, when the next batch may go there; `None` when its tail was torn or there is no volume.
    pub volume: Option<Rc<fs::Volume>>,
    /// Highest number of a volume; zero when there is none.
    pub last_volume: u32,
}

/// What the memory table learns when the record is durable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    /// The version is at the record.
    Insert,
    /// Nothing yet: the stock file of a large object gets its name first.
    Later,
    /// That version is damaged.
    Lose(Held),
}

/// A record on its way.
pub(super) struct Append {
    /// Head; its body lengths must fit `body`.
    pub head: Head,
    /// The bytes, in pieces.
    pub body: Vec<Bytes>,
    /// See there.
    pub effect: Effect,
    /// May use the reserve of a full disk.
    pub may_use_reserve: bool,
    /// Nobody will soon ask for it: it needs no place in the page cache.
    pub is_cold: bool,
}

struct Item {
    key: Key,
    version: crate::store::diskfile::Version,
    kind: Kind,
    encoded: Encoded,
    body: Vec<Bytes>,
    length: u32,
    effect: Effect,
    may_use_reserve: bool,
    is_cold: bool,
    answer: Rc<Answer>,
}

#[derive(Default)]
struct Answer {
    outcome: Cell<Option<Result<At, Failure>>>,
    waiting: Cell<Option<Waker>>,
}

impl Answer {
    fn give(&self, outcome: Result<At, Failure>) {
        self.outcome.set(Some(outcome));
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

impl Log {
    /// A log that goes on behind what was recovered.
    pub(super) fn new(
        directory: PathBuf,
        store: u64,
        volume_bytes: u64,
        memory: Rc<RefCell<Memory>>,
        tail: Tail,
    ) -> Rc<Log> {
        let spare = Spare::new(directory.clone(), volume_bytes);
        let mut open = BTreeMap::new();
        let previous_end = tail.end.offset;
        let active = tail.volume.map(|volume| {
            open.insert(tail.end.volume, volume.clone());
            Active { number: tail.end.volume, volume, offset: tail.end.offset, is_reserve: false }
        });
        let state = State {
            queue: VecDeque::new(),
            is_flushing: false,
            failed: None,
            active,
            sequence: tail.end.sequence,
            last_volume: tail.last_volume,
            previous_end,
            acknowledged: tail.acknowledged,
            open,
            unlinked: BTreeSet::new(),
        };
        Rc::new(Log { directory, store, spare, memory, state: RefCell::new(state), flushes: Cell::new(0) })
    }

    /// Appends a record; gives its place once it is durable.
    pub(super) async fn append(self: &Rc<Self>, append: Append) -> std::io::Result<At> {
        let answer = Rc::new(Answer::default());
        {
            let mut state = self.state.borrow_mut();
            if let Some(failed) = state.failed {
                return Err(failed.error());
            }
            let head = &append.head;
            let key = Key::new(head.identity.policy, head.identity.hash);
            let encoded = head.encode()?;
            let body_bytes: usize = append.body.iter().map(Bytes::len).sum();
            let length = u32::try_from(encoded.len() + body_bytes).map_err(|_| ErrorKind::FileTooLarge)?;
            state.queue.push_back(Item {
                key,
                version: head.version,
                kind: head.kind,
                encoded,
                body: append.body,
                length,
                effect: append.effect,
                may_use_reserve: append.may_use_reserve,
                is_cold: append.is_cold,
                answer: answer.clone(),
            });
            if !std::mem::replace(&mut state.is_flushing, true) {
                io::spawn(flush(self.clone()));
            }
        }
        let outcome = poll_fn(|context| match answer.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                answer.waiting.set(Some(context.waker().clone()));
                Poll::Pending
            }
        });
        outcome.await.map_err(Failure::error)
    }

    /// A volume, opened when it is not.
    pub(super) async fn volume(&self, number: u32) -> std::io::Result<Rc<fs::Volume>> {
        if let Some(volume) = self.state.borrow().open.get(&number) {
            return Ok(volume.clone());
        }
        let volume = Rc::new(fs::Volume::open(&self.path(number)).await?);
        let mut state = self.state.borrow_mut();
        if state.unlinked.contains(&number) {
            // Kept open it would keep its space.
            return Ok(volume);
        }
        if state.open.len() >= OPEN_VOLUMES_MAX {
            // The oldest one is closed, whoever reads it keeps it until then.
            state.open.pop_first();
        }
        state.open.insert(number, volume.clone());
        Ok(volume)
    }

    /// Number of the store.
    pub(super) fn store(&self) -> u64 {
        self.store
    }

    /// Where a volume is.
    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.directory.join(file_name(number))
    }

    /// Batches flushed since the start.
    pub(super) fn flushes(&self) -> u64 {
        self.flushes.get()
    }

    /// Numbers of the volumes.
    pub(super) async fn numbers(&self) -> std::io::Result<BTreeSet<u32>> {
        let entries = fs::read_dir(&self.directory).await?;
        Ok(entries.iter().filter_map(|entry| parse_file_name(&entry.name)).collect())
    }

    /// Takes a volume out of use whose records are all dead: its file is unlinked. Readers that have it open go on.
    pub(super) async fn unlink(&self, number: u32) -> std::io::Result<()> {
        {
            let mut state = self.state.borrow_mut();
            state.open.remove(&number);
            state.unlinked.insert(number);
        }
        fs::remove_file(&self.path(number)).await?;
        fs::sync_dir(&self.directory).await
    }

    /// Ends the log: the device cannot be trusted.
    pub(super) fn fail(&self, error: &Error) {
        let mut state = self.state.borrow_mut();
        let failure = *state.failed.get_or_insert(Failure::of(error));
        for item in state.queue.drain(..) {
            item.answer.give(Err(failure));
        }
    }

    /// Why the log ended, if it did.
    pub(super) fn failed(&self) -> Option<Error> {
        self.state.borrow().failed.map(Failure::error)
    }

    /// Volumes laid aside.
    pub(super) fn spare(&self) -> &Rc<Spare> {
        &self.spare
    }

    /// The next batch, as many records as fit into one flush and into the active volume. `None` ends the task.
    fn next_batch(&self) -> Option<Vec<Item>> {
        let mut state = self.state.borrow_mut();
        let room = state.active.as_ref().map_or(0, |active| active.volume.len().saturating_sub(active.offset));
        let mut batch = Vec::new();
        let mut bytes = 0;
        // Ends: every turn takes a record or stops.
        while let Some(item) = state.queue.front() {
            let item_bytes = aligned(u64::from(item.length), RECORD_ALIGNMENT);
            let would_be = aligned(bytes + item_bytes, BATCH_ALIGNMENT);
            if !batch.is_empty() && (would_be > BATCH_BYTES_MAX || (bytes <= room && would_be > room)) {
                break;
            }
            bytes += item_bytes;
            batch.extend(state.queue.pop_front());
        }
        state.is_flushing = !batch.is_empty();
        state.is_flushing.then_some(batch)
    }

    async fn write(self: &Rc<Self>, mut batch: Vec<Item>) {
        let bytes = |batch: &[Item]| {
            let records = batch.iter().map(|item| aligned(u64::from(item.length), RECORD_ALIGNMENT)).sum();
            aligned(records, BATCH_ALIGNMENT)
        };
        let active = match self.room_for(bytes(&batch), &batch).await {
            Ok(active) => active,
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                return refuse(&mut batch, |_| true, ErrorKind::StorageFull);
            }
            Err(error) => {
                self.fail(&error);
                return refuse(&mut batch, |_| true, error.kind());
            }
        };
        if active.is_reserve {
            refuse(&mut batch, |item| !item.may_use_reserve, ErrorKind::StorageFull);
            if batch.is_empty() {
                return;
            }
        }
        let total = bytes(&batch);
        let sequence = self.state.borrow().sequence;
        let (parts, places) = self.lay_out(&mut batch, &active, sequence, total);
        let written = match batch.iter().all(|item| item.is_cold) {
            true => active.volume.write_past(active.offset, parts).await,
            false => active.volume.write(active.offset, parts).await,
        };
        if let Err(error) = written {
            let failure = Failure::of(&error);
            self.fail(&error);
            return batch.iter().for_each(|item| item.answer.give(Err(failure)));
        }
        self.flushes.set(self.flushes.get() + 1);
        let end = Position { volume: active.number, offset: active.offset + total, sequence: sequence + 1 };
        let mut memory = self.memory.borrow_mut();
        for (item, at) in batch.iter().zip(&places) {
            match item.effect {
                Effect::Insert => {
                    let place = if item.kind == Kind::Large { Place::Large(*at) } else { Place::Volume(*at) };
                    memory.add(item.key, Change::Insert(Held { version: item.version, place }));
                }
                Effect::Later => {}
                Effect::Lose(gone) => memory.add(item.key, Change::Lose { gone, by: *at }),
            }
        }
        memory.covers(end);
        drop(memory);
        let mut state = self.state.borrow_mut();
        state.sequence = end.sequence;
        state.previous_end = end.offset;
        state.acknowledged = end.sequence;
        if let Some(active) = &mut state.active {
            active.offset = end.offset;
        }
        drop(state);
        for (item, at) in batch.iter().zip(places) {
            item.answer.give(Ok(at));
        }
    }

    /// The volume that has room for `bytes`: the active one, a new one, or for what may use it the reserve.
    async fn room_for(&self, bytes: u64, batch: &[Item]) -> std::io::Result<Active> {
        let active = self.state.borrow().active.clone();
        let has_room = |active: &Active| active.offset + bytes <= active.volume.len();
        let only_reserve = batch.iter().all(|item| item.may_use_reserve);
        if let Some(active) = &active
            && has_room(active)
            && (!active.is_reserve || only_reserve)
        {
            return Ok(active.clone());
        }
        let path = self.path(self.next_number());
        match self.spare.take(&path).await {
            Ok(volume) => self.begin(volume, false).await,
            Err(error) if error.kind() == ErrorKind::StorageFull && batch.iter().any(|item| item.may_use_reserve) => {
                if let Some(active) = active.filter(|active| active.is_reserve && has_room(active)) {
                    return Ok(active);
                }
                let reserve = self.spare.take_reserve(&path).await.map_err(|_| error)?;
                self.begin(reserve, true).await
            }
            Err(error) => Err(error),
        }
    }

    fn next_number(&self) -> u32 {
        self.state.borrow().last_volume + 1
    }

    /// Writes the header of a new volume, which is the active one from then on.
    async fn begin(&self, volume: Rc<fs::Volume>, is_reserve: bool) -> std::io::Result<Active> {
        let number = self.next_number();
        let header = {
            let state = self.state.borrow();
            let (first_sequence, previous_end, acknowledged) = (state.sequence, state.previous_end, state.acknowledged);
            Header { volume: number, store: self.store, first_sequence, previous_end, acknowledged }
        };
        volume.write(0, vec![Bytes::from(header.encode())]).await?;
        let active = Active { number, volume, offset: HEADER_BYTES, is_reserve };
        let mut state = self.state.borrow_mut();
        state.last_volume = number;
        state.previous_end = active.offset;
        state.open.insert(number, active.volume.clone());
        state.active = Some(active.clone());
        drop(state);
        self.spare.prepare();
        Ok(active)
    }

    /// The pieces of the write, and where each record will be.
    fn lay_out(&self, batch: &mut [Item], active: &Active, sequence: u64, total: u64) -> (Vec<Bytes>, Vec<At>) {
        let mut parts = Vec::with_capacity(batch.len() * 3 + 1);
        let mut places = Vec::with_capacity(batch.len());
        let mut offset = active.offset;
        let padding = Bytes::from_static(&[0; BATCH_ALIGNMENT as usize]);
        let pad = |parts: &mut Vec<Bytes>, bytes: u64| {
            let bytes = usize::try_from(bytes).expect("less than a block");
            if bytes > 0 {
                parts.push(padding.slice(..bytes));
            }
        };
        let last = batch.len().saturating_sub(1);
        for (number, item) in batch.iter_mut().enumerate() {
            places.push(At { volume: active.number, offset, length: item.length });
            let spot = Spot { store: self.store, volume: active.number, offset };
            parts.push(Bytes::from(std::mem::take(&mut item.encoded).finish(sequence, spot, number == last)));
            parts.append(&mut item.body);
            let end = aligned(u64::from(item.length), RECORD_ALIGNMENT);
            pad(&mut parts, end - u64::from(item.length));
            offset += end;
        }
        pad(&mut parts, active.offset + total - offset);
        (parts, places)
    }
}

async fn flush(log: Rc<Log>) {
    // Ends: when nobody waits.
    while let Some(batch) = log.next_batch() {
        log.write(batch).await;
    }
}

/// Takes the records out of the batch that cannot be written, and tells their owners.
fn refuse(batch: &mut Vec<Item>, is_refused: impl Fn(&Item) -> bool, kind: ErrorKind) {
    batch.retain(|item| {
        let refused = is_refused(item);
        if refused {
            item.answer.give(Err(Failure { kind, code: None }));
        }
        !refused
    });
}

/// Rounded up to a multiple of `alignment`, a power of two.
fn aligned(bytes: u64, alignment: u64) -> u64 {
    bytes.next_multiple_of(alignment)
}
