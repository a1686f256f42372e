//! Files and directories, real or simulated.
//!
//! The simulator keeps for every file and directory entry what is volatile and what was synced; a crash drops or tears
//! the volatile part. Paths are absolute.

mod lane;
mod volume;

pub use lane::Lane;
pub use volume::Volume;

use super::{real, sim, simulated};
use bytes::Bytes;
use std::io;
use std::path::Path;

/// An open file, for reading.
pub struct File(FileInner);

enum FileInner {
    Real(real::fs::File),
    Sim(sim::disk::File),
}

impl File {
    /// Opens for reading.
    pub async fn open(path: &Path) -> io::Result<File> {
        Ok(File(if simulated() {
            FileInner::Sim(sim::disk::File::open(path).await?)
        } else {
            FileInner::Real(real::fs::File::open(path).await?)
        }))
    }
    /// Bytes in the file.
    pub fn len(&self) -> u64 {
        match &self.0 {
            FileInner::Real(file) => file.len(),
            FileInner::Sim(file) => file.len(),
        }
    }
    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads exactly `length` bytes from `offset`, fewer only at the end of the file.
    pub async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match &self.0 {
            FileInner::Real(file) => file.read_at(offset, length).await,
            FileInner::Sim(file) => file.read_at(offset, length).await,
        }
    }
    /// The extended attribute `name`; `None` when there is none. `Unsupported` if the file system has no xattrs.
    pub async fn xattr(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match &self.0 {
            FileInner::Real(file) => file.xattr(name).await,
            FileInner::Sim(file) => file.xattr(name).await,
        }
    }
}

/// A file that has no name yet. Dropped unpublished, nothing of it is left (O_TMPFILE where the file system has it).
pub struct TempFile(TempInner);

enum TempInner {
    Real(real::fs::TempFile),
    Sim(sim::disk::TempFile),
}

impl TempFile {
    /// Creates it in the directory `dir` (which must exist; the target's file system).
    pub async fn create(dir: &Path) -> io::Result<TempFile> {
        Ok(TempFile(if simulated() {
            TempInner::Sim(sim::disk::TempFile::create(dir).await?)
        } else {
            TempInner::Real(real::fs::TempFile::create(dir).await?)
        }))
    }
    /// Creates it in the directory `dir`, which is made durably if it is missing, with `reserve` bytes as by `allocate`.
    pub async fn create_within(dir: &Path, reserve: u64) -> io::Result<TempFile> {
        Ok(TempFile(if simulated() {
            TempInner::Sim(sim::disk::TempFile::create_within(dir, reserve).await?)
        } else {
            TempInner::Real(real::fs::TempFile::create_within(dir, reserve).await?)
        }))
    }
    /// Reserves `length` bytes; `StorageFull` when they are not there.
    pub async fn allocate(&mut self, length: u64) -> io::Result<()> {
        match &mut self.0 {
            TempInner::Real(file) => file.allocate(length).await,
            TempInner::Sim(file) => file.allocate(length).await,
        }
    }
    /// Appends. After it returns the bytes are in memory, not durable.
    pub async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        match &mut self.0 {
            TempInner::Real(file) => file.append(bytes).await,
            TempInner::Sim(file) => file.append(bytes).await,
        }
    }
    /// Bytes appended so far.
    pub fn len(&self) -> u64 {
        match &self.0 {
            TempInner::Real(file) => file.len(),
            TempInner::Sim(file) => file.len(),
        }
    }
    /// True before the first append.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// fdatasync.
    pub async fn sync_data(&mut self) -> io::Result<()> {
        match &mut self.0 {
            TempInner::Real(file) => file.sync_data().await,
            TempInner::Sim(file) => file.sync_data().await,
        }
    }
    /// Sets the xattrs and syncs the file, which still has no name; `publish` without further xattrs then only gives the name and
    /// syncs the directory. Safe to give up: what comes next waits for it.
    pub async fn prepare(&mut self, xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        match &mut self.0 {
            TempInner::Real(file) => file.prepare(xattrs).await,
            TempInner::Sim(file) => file.prepare(xattrs).await,
        }
    }
    /// Sets the xattrs, syncs the file, gives it the name `target` (replacing what has it) and syncs the directory.
    /// When it returns Ok all of it survives power loss; on Err the name may or may not be there.
    /// Runs to its end even if the future is dropped.
    pub async fn publish(self, target: &Path, xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        match self.0 {
            TempInner::Real(file) => file.publish(target, xattrs).await,
            TempInner::Sim(file) => file.publish(target, xattrs).await,
        }
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name (names that are not UTF-8 are left out of listings).
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What `metadata` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Bytes.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Device number; a mount point differs from its parent.
    pub device: u64,
    /// Modification time, nanoseconds since 1970; compared for inequality only.
    pub modified_nanos: i128,
}

/// Space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What an unprivileged writer may still take.
    pub available: u64,
    /// Inodes, all and free.
    pub inodes: (u64, u64),
}

/// The entries of a directory, sorted by name.
pub async fn read_dir(path: &Path) -> io::Result<Vec<Entry>> {
    if simulated() { sim::disk::read_dir(path).await } else { real::fs::read_dir(path).await }
}
/// A whole file of at most `max` bytes; larger is `FileTooLarge`.
pub async fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    if simulated() { sim::disk::read(path, max).await } else { real::fs::read(path, max).await }
}
/// Writes a file durably: temporary beside it, sync, rename, directory sync. `mode` as chmod takes it.
pub async fn write_atomic(path: &Path, bytes: Vec<u8>, mode: u32) -> io::Result<()> {
    if simulated() {
        sim::disk::write_atomic(path, bytes, mode).await
    } else {
        real::fs::write_atomic(path, bytes, mode).await
    }
}
/// Appends to a file, creating it (0644) in its directory, which must exist, and syncs its data; all of it while an exclusive
/// `flock` on the file `lock` beside it is held (created if missing, waited for at most 10 s, then `WouldBlock`). Swift's daemons
/// take the same lock. Runs to its end even if the future is dropped.
pub async fn append_locked(path: &Path, lock: &Path, bytes: Vec<u8>) -> io::Result<()> {
    if simulated() {
        sim::disk::append_locked(path, lock, bytes).await
    } else {
        real::fs::append_locked(path, lock, bytes).await
    }
}
/// Creates the directory and its missing parents; every new entry is synced.
pub async fn create_dir_all(path: &Path) -> io::Result<()> {
    if simulated() { sim::disk::create_dir_all(path).await } else { real::fs::create_dir_all(path).await }
}
/// Renames a file or a directory (not synced; see `sync_dir`).
pub async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if simulated() { sim::disk::rename(from, to).await } else { real::fs::rename(from, to).await }
}
/// Unlinks a file. A missing one is `NotFound`.
pub async fn remove_file(path: &Path) -> io::Result<()> {
    if simulated() { sim::disk::remove_file(path).await } else { real::fs::remove_file(path).await }
}
/// Removes an empty directory.
pub async fn remove_dir(path: &Path) -> io::Result<()> {
    if simulated() { sim::disk::remove_dir(path).await } else { real::fs::remove_dir(path).await }
}
/// Syncs a directory's entries.
pub async fn sync_dir(path: &Path) -> io::Result<()> {
    if simulated() { sim::disk::sync_dir(path).await } else { real::fs::sync_dir(path).await }
}
/// What stands at `path`.
pub async fn metadata(path: &Path) -> io::Result<Metadata> {
    if simulated() { sim::disk::metadata(path).await } else { real::fs::metadata(path).await }
}
/// Space of the file system `path` is on.
pub async fn space(path: &Path) -> io::Result<Space> {
    if simulated() { sim::disk::space(path).await } else { real::fs::space(path).await }
}
/// Whether `path` is a mount point (its device differs from its parent's).
pub async fn is_mount(path: &Path) -> io::Result<bool> {
    if simulated() { sim::disk::is_mount(path).await } else { real::fs::is_mount(path).await }
}
/// Holds an exclusive lock file until dropped; `WouldBlock` when another process has it.
pub async fn lock(path: &Path) -> io::Result<Lock> {
    let inner = if simulated() {
        LockInner::Sim(sim::disk::lock(path).await?)
    } else {
        LockInner::Real(real::fs::lock(path).await?)
    };
    Ok(Lock { _inner: inner })
}

/// See [`lock`].
pub struct Lock {
    _inner: LockInner,
}

#[expect(dead_code, reason = "held for what its drop releases")]
enum LockInner {
    Real(real::fs::Lock),
    Sim(sim::disk::Lock),
}
