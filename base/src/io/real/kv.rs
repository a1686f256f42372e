//! Ordered key-value environments of the real backend: LMDB.
//!
//! One writer thread per environment takes everything that is queued, runs it in one transaction, commits (which syncs) and
//! answers all: while it commits, the next batch gathers. Reads run on the core's blocking threads.
//!
//! # Invariants
//!
//! - A write that failed leaves nothing behind and does not fail its neighbours: if it had changed something, the batch is run
//!   again without it.
//! - The map is only resized while no transaction is open in this process: readers hold `map` shared, the resize alone.
//! - A write is answered `Ok` only after the commit that holds it.
//! - A page that the disk cannot give ends the environment, not the process (`mapped`): from then on every read and write fails, and
//!   nothing is answered that came from the page put in its place. What was being written is not committed; its thread may be stopped, so
//!   who waits for it looks at times whether that has happened. A write's body must not hold a lock of the process, nor log, while it
//!   looks at borrowed bytes.
//! - A commit that the disk has no room for is undone as a whole (LMDB writes pages that nothing leads to yet, and the page that
//!   leads to them last and in place), and its writes are tried one by one, so that a small one is not refused for a large one.

#![expect(
    clippy::disallowed_types,
    reason = "between the environment's own threads; the core tries this lock and never waits for it"
)]

mod batch;
mod beside;
mod reserve;
mod waits;

use super::lane::Lane;
use super::lane_of;
use super::mapped::{self, Watch, Writing};
use super::oneshot::oneshot;
use crate::io::kv::{self, Pair, Table};
use crate::io::{monotonic, timeout};
use batch::{Job, Write};
use beside::Door;
use heed::types::Bytes;
use heed::{
    CommitOrAbort, CommitToken, Database, Env, EnvOpenOptions, MdbError, OnCommit, PutFlags, RoTxn, RwTxn, WithTls,
};
use reserve::Reserve;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::Duration;
use waits::Waits;

/// Address space, not memory and not disk: large enough that growth is rare.
const MAP_BYTES: usize = 256 * 1024 * 1024;

/// LMDB's limit with long keys is near two thousand; the door promises this much.
const KEY_BYTES_MAX: usize = 1900;

/// Threads of all cores that may read one environment at a time.
const READERS_MAX: u32 = 256;

#[derive(Clone)]
pub(in crate::io) struct Kv(Rc<Handle>);

struct Handle {
    lane: Rc<Lane>,
    store: Option<Arc<Store>>,
    queue: mpsc::Sender<Box<dyn Job>>,
    /// Whether look-ups find their pages in memory.
    waits: Waits,
}

/// Between two looks whether the writer of an environment was stopped: later than any commit should end.
const LOOK_AFTER: Duration = Duration::from_secs(1);

impl Kv {
    pub(in crate::io) async fn open(path: &Path, tables: &'static [&'static str], reserve: u64) -> io::Result<Kv> {
        Kv::open_sized(path, tables, reserve, MAP_BYTES, true).await
    }

    async fn open_sized(
        path: &Path,
        tables: &'static [&'static str],
        reserve: u64,
        map_bytes: usize,
        is_watched: bool,
    ) -> io::Result<Kv> {
        let (path, lane) = (path.to_owned(), lane_of(path));
        let disk = lane.pool.disk();
        let open = move || {
            let store = Arc::new(Store::open(&path, tables, reserve, map_bytes, is_watched)?);
            let (queue, inbox) = mpsc::channel();
            let writer = store.clone();
            std::thread::Builder::new()
                .name("kv-writer".to_owned())
                .spawn(move || batch::write_batches(&writer, &inbox, &disk))?;
            Ok((store, queue))
        };
        let (store, queue) = lane.pool.run(open).await?;
        Ok(Kv(Rc::new(Handle { lane, store: Some(store), queue, waits: Waits::new() })))
    }

    pub(in crate::io) async fn read<T, F>(&self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&kv::ReadTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        let store = self.0.store.clone().expect("there until dropped");
        self.0.lane.pool.run(move || store.read(body)).await
    }

    /// On the core itself while the pages are in memory, which is ten times cheaper than a thread; on the threads otherwise.
    pub(in crate::io) async fn look_up<T, F>(&self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&kv::ReadTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        let store = self.0.store.as_ref().expect("there until dropped");
        let start = monotonic();
        if self.0.waits.is_warm(start)
            && let Ok(_map) = store.map.try_read()
        {
            let result = store.read_held(body);
            self.0.waits.ended(start);
            return result;
        }
        // Boxed: rare, and large beside the rest.
        Box::pin(self.read(body)).await
    }

    pub(in crate::io) async fn write<T, F>(&self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut kv::WriteTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        let (answer, mut answered) = oneshot();
        let gone = || io::Error::other("the writer thread went away");
        let store = self.0.store.as_ref().expect("there until dropped");
        store.check()?;
        self.0.queue.send(Box::new(Write::new(body, answer))).map_err(|_| gone())?;
        // Ends: with the commit, or when the environment is lost.
        loop {
            match timeout(LOOK_AFTER, &mut answered).await {
                Ok(answer) => return answer.unwrap_or_else(|| Err(gone())),
                Err(_) => store.check()?,
            }
        }
    }

    /// Why nothing can be read or written any more, if so.
    pub(in crate::io) fn failed(&self) -> Option<io::Error> {
        self.0.store.as_ref().and_then(|store| store.check().err())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The last owner unmaps, which may wait for a disk.
        if let Some(store) = self.store.take() {
            drop(self.lane.pool.start(move || {
                drop(store);
                Ok(())
            }));
        }
    }
}

type TableHandle = Database<'static, Bytes, Bytes>;

/// Tables whose creation is not committed yet.
struct Opened<'e>(Vec<Database<'e, Bytes, Bytes>>);

impl OnCommit for Opened<'_> {
    type Committed = Vec<TableHandle>;

    fn on_commit(self, token: &CommitToken) -> Vec<TableHandle> {
        self.0.into_iter().map(|table| table.on_commit(token)).collect()
    }
}

/// The environment, shared with its threads.
struct Store {
    /// Its directory, as the kernel names it.
    path: PathBuf,
    env: Env,
    tables: Vec<TableHandle>,
    map: RwLock<()>,
    reserve: Reserve,
    /// Dropped behind `env`, which unmaps. `None` when too many are watched: then a lost page ends the process.
    watch: Option<Watch>,
    /// That it is lost was told.
    is_told: AtomicBool,
}

impl Store {
    fn open(path: &Path, tables: &[&str], reserve: u64, map_bytes: usize, is_watched: bool) -> io::Result<Store> {
        super::disk::create_dir_all(path)?;
        let path = path.canonicalize()?;
        let env = open_env(&path, tables.len(), map_bytes)?;
        let reserve = Reserve::open(&path, reserve)?;
        reserve.keep();
        let watch = if is_watched { watch(&path, &env)? } else { None };
        let tables = create_tables(&env, tables, watch.as_ref())?;
        super::disk::sync_dir(&path)?;
        Ok(Store { path, env, tables, map: RwLock::new(()), reserve, watch, is_told: AtomicBool::new(false) })
    }

    /// Fails when a page was lost: then nothing that was read before may be believed.
    fn check(&self) -> io::Result<()> {
        if self.watch.as_ref().is_none_or(|watch| !watch.is_lost()) {
            return Ok(());
        }
        if !self.is_told.swap(true, Ordering::Relaxed) {
            let path = self.path.display();
            tracing::error!(%path, "a page of this environment cannot be read from the disk (SIGBUS); it is out of use until a restart");
        }
        Err(lost())
    }

    /// This thread writes while it lives.
    fn writing(&self) -> Option<Writing<'_>> {
        self.watch.as_ref().map(Watch::writing)
    }

    fn read<T>(&self, body: impl FnOnce(&kv::ReadTxn<'_>) -> io::Result<T>) -> io::Result<T> {
        let _map = self.hold_map();
        self.read_held(body)
    }

    /// `map` is held shared.
    fn read_held<T>(&self, body: impl FnOnce(&kv::ReadTxn<'_>) -> io::Result<T>) -> io::Result<T> {
        self.check()?;
        let result = match self.env.read_txn() {
            Ok(txn) => body(&kv::ReadTxn::from_real(ReadTxn { store: self, txn })),
            Err(failure) => Err(error(failure)),
        };
        // What it made of a page that was lost meanwhile is not what the disk has.
        self.check()?;
        result
    }

    fn hold_map(&self) -> RwLockReadGuard<'_, ()> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Doubles the map. No write transaction may be open.
    #[expect(unsafe_code, reason = "LMDB cannot see the transactions of other threads")]
    fn grow(&self) -> io::Result<()> {
        let _map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let size = self.env.info().map_size;
        let doubled = size.checked_mul(2).ok_or(io::ErrorKind::StorageFull)?;
        tracing::info!(path = %self.path.display(), bytes = doubled, "growing the map");
        // Where it was mapped something else may come to lie.
        if let Some(watch) = &self.watch {
            watch.cover_data(0..0, 0);
        }
        // SAFETY: readers hold `map` shared for the life of their transaction, so none is open now; the only writer is the
        // calling thread, which has ended its own.
        unsafe { self.env.resize(doubled) }.map_err(error)?;
        self.watch.as_ref().map_or(Ok(()), |watch| cover(&self.path, &self.env, watch))
    }

    fn table(&self, table: Table) -> io::Result<TableHandle> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "no such table");
        self.tables.get(table.0).copied().ok_or_else(unknown)
    }
}

fn lost() -> io::Error {
    io::Error::other("a page of the environment could not be read; it is out of use")
}

fn create_tables(env: &Env, tables: &[&str], watch: Option<&Watch>) -> io::Result<Vec<TableHandle>> {
    let txn = env.write_txn().map_err(error)?;
    let created = env.create_databases_and_commit(txn, |opener, txn| {
        let mut opened = Vec::with_capacity(tables.len());
        for table in tables {
            opened.push(opener.create_database(txn, Some(table))?);
        }
        let is_lost = watch.is_some_and(Watch::is_lost);
        Ok::<_, heed::Error>(if is_lost { CommitOrAbort::Abort(()) } else { CommitOrAbort::Commit(Opened(opened)) })
    });
    created.map_err(error)?.commit().ok_or_else(lost)
}

/// Puts the mappings of an environment under watch.
fn watch(path: &Path, env: &Env) -> io::Result<Option<Watch>> {
    let watch = Watch::new()?;
    match &watch {
        Some(watch) => cover(path, env, watch)?,
        None => {
            tracing::warn!(path = %path.display(), "too many environments: a page lost of this one ends the process")
        }
    }
    Ok(watch)
}

fn cover(path: &Path, env: &Env, watch: &Watch) -> io::Result<()> {
    let page = usize::try_from(env.unnamed_database_stat().page_size).unwrap_or_default();
    match mapped::mapped_at(&path.join("data.mdb"))? {
        Some(range) => watch.cover_data(range, page),
        None => {
            tracing::warn!(path = %path.display(), "its mapping is not to be found: a lost page ends the process")
        }
    }
    if let Some(range) = mapped::mapped_at(&path.join("lock.mdb"))? {
        watch.cover_lock(range);
    }
    Ok(())
}

/// A handle dropped a moment ago may still be closing; then this waits a little.
#[expect(clippy::disallowed_methods, reason = "on a blocking thread")]
fn open_env(path: &Path, tables: usize, map_bytes: usize) -> io::Result<Env> {
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let door = Door::make(path);
        let door = match &door {
            Ok(door) => door.path(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "its table of readers lies on the disk: should that fall silent, the core waits for it");
                path
            }
        };
        match try_open_env(door, tables, map_bytes) {
            Err(heed::Error::EnvAlreadyOpened) => std::thread::sleep(Duration::from_millis(20)),
            other => return other.map_err(error),
        }
    }
    Err(error(heed::Error::EnvAlreadyOpened))
}

#[expect(unsafe_code, reason = "a mapped file can be changed by others")]
fn try_open_env(path: &Path, tables: usize, map_bytes: usize) -> heed::Result<Env> {
    let mut options = EnvOpenOptions::new();
    options.map_size(map_bytes).max_dbs(u32::try_from(tables).unwrap_or(u32::MAX)).max_readers(READERS_MAX);
    // SAFETY: the file belongs to this program by its place under a device's directory, and to this process by the lock of the device;
    // nothing but LMDB writes to it.
    unsafe { options.open(path) }
}

pub(in crate::io) struct ReadTxn<'a> {
    store: &'a Store,
    txn: RoTxn<'a, WithTls>,
}

pub(in crate::io) struct WriteTxn<'a> {
    store: &'a Store,
    txn: RwTxn<'a>,
    /// Whether something changed since a job began; a failed job that changed nothing needs no undoing.
    changed: bool,
    /// The map or the transaction is full: whatever the job makes of it, its work does not count.
    full: Option<Full>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Full {
    Map,
    Txn,
}

impl ReadTxn<'_> {
    pub(in crate::io) fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        get(self.store, &self.txn, table, key)
    }

    pub(in crate::io) fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        scan(&self.store.table(table)?, &self.txn, (from, to), reverse, visit)
    }
}

impl WriteTxn<'_> {
    pub(in crate::io) fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        get(self.store, &self.txn, table, key)
    }

    pub(in crate::io) fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        scan(&self.store.table(table)?, &self.txn, (from, to), reverse, visit)
    }

    pub(in crate::io) fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        check_key(key)?;
        let table = self.store.table(table)?;
        self.changed = true;
        let result = table.put(&mut self.txn, key, value);
        result.map_err(|failure| self.note(failure))
    }

    pub(in crate::io) fn append(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        check_key(key)?;
        let table = self.store.table(table)?;
        self.changed = true;
        match table.put_with_flags(&mut self.txn, PutFlags::APPEND, key, value) {
            Err(heed::Error::Mdb(MdbError::KeyExist)) => Err(not_the_greatest()),
            result => result.map_err(|failure| self.note(failure)),
        }
    }

    pub(in crate::io) fn delete(&mut self, table: Table, key: &[u8]) -> io::Result<bool> {
        check_key(key)?;
        let table = self.store.table(table)?;
        self.changed = true;
        let result = table.delete(&mut self.txn, key);
        result.map_err(|failure| self.note(failure))
    }

    fn note(&mut self, failure: heed::Error) -> io::Error {
        self.full = self.full.or(full(&failure));
        error(failure)
    }
}

fn full(failure: &heed::Error) -> Option<Full> {
    match failure {
        heed::Error::Mdb(MdbError::MapFull) => Some(Full::Map),
        heed::Error::Mdb(MdbError::TxnFull) => Some(Full::Txn),
        _ => None,
    }
}

fn get<'t>(store: &Store, txn: &'t RoTxn<'_>, table: Table, key: &[u8]) -> io::Result<Option<&'t [u8]>> {
    check_key(key)?;
    store.table(table)?.get(txn, key).map_err(error)
}

pub(in crate::io) fn not_the_greatest() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "only a key greater than all others is appended")
}

fn check_key(key: &[u8]) -> io::Result<()> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "a key has 1 to 1900 bytes"))
}

fn scan(
    table: &TableHandle,
    txn: &RoTxn<'_>,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    reverse: bool,
    visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
) -> io::Result<()> {
    if is_empty(range) {
        return Ok(());
    }
    if reverse { scan_back(table, txn, range, visit) } else { walk(table.range(txn, &range).map_err(error)?, visit) }
}

/// Finds the last pair without the copies of the bounds that a walk makes: a look-up wants no more.
fn scan_back(
    table: &TableHandle,
    txn: &RoTxn<'_>,
    (from, to): (Bound<&[u8]>, Bound<&[u8]>),
    visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
) -> io::Result<()> {
    let last = match to {
        Bound::Included(to) => table.get_lower_than_or_equal_to(txn, to),
        Bound::Excluded(to) => table.get_lower_than(txn, to),
        Bound::Unbounded => table.last(txn),
    };
    let Some((key, value)) = last.map_err(error)? else { return Ok(()) };
    let is_within = match from {
        Bound::Included(from) => key >= from,
        Bound::Excluded(from) => key > from,
        Bound::Unbounded => true,
    };
    let rest = (from, Bound::Excluded(key));
    if !is_within || !visit((key, value))? || is_empty(rest) {
        return Ok(());
    }
    walk(table.rev_range(txn, &rest).map_err(error)?, visit)
}

/// LMDB refuses empty keys even as a place to seek, and what a range with crossed ends means is not for it to say.
fn is_empty((from, to): (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        _ => false,
    }
}

fn walk<'t>(
    pairs: impl Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>>,
    visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
) -> io::Result<()> {
    for pair in pairs {
        if !visit(pair.map_err(error)?)? {
            break;
        }
    }
    Ok(())
}

fn error(failure: heed::Error) -> io::Error {
    match failure {
        heed::Error::Io(error) => error,
        heed::Error::Mdb(MdbError::MapFull) => io::Error::new(io::ErrorKind::StorageFull, "the map is full"),
        heed::Error::Mdb(MdbError::BadValSize) => io::Error::new(io::ErrorKind::InvalidInput, "key or value too large"),
        heed::Error::Mdb(MdbError::Other(code)) => io::Error::from_raw_os_error(code),
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
