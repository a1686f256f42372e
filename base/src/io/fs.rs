//! Files and directories, real or simulated.
//!
//! The simulator keeps for every file and directory entry what is volatile and what was synced; a crash drops or tears
//! the volatile part. Paths are absolute.

use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};

/// An open file, for reading.
pub struct File {}

impl File {
    /// Opens for reading.
    pub async fn open(_path: &Path) -> io::Result<File> {
        todo!()
    }
    /// Bytes in the file.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads exactly `length` bytes from `offset`, fewer only at the end of the file.
    pub async fn read_at(&self, _offset: u64, _length: usize) -> io::Result<Bytes> {
        todo!()
    }
    /// The extended attribute `name`; `None` when there is none. `Unsupported` if the file system has no xattrs.
    pub async fn xattr(&self, _name: &str) -> io::Result<Option<Vec<u8>>> {
        todo!()
    }
}

/// A file that has no name yet. Dropped unpublished, nothing of it is left (O_TMPFILE where the file system has it).
pub struct TempFile {}

impl TempFile {
    /// Creates it in the directory `dir` (which must exist; the target's file system).
    pub async fn create(_dir: &Path) -> io::Result<TempFile> {
        todo!()
    }
    /// Reserves `length` bytes; `StorageFull` when they are not there.
    pub async fn allocate(&mut self, _length: u64) -> io::Result<()> {
        todo!()
    }
    /// Appends. After it returns the bytes are in memory, not durable.
    pub async fn append(&mut self, _bytes: Bytes) -> io::Result<()> {
        todo!()
    }
    /// Bytes appended so far.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// True before the first append.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// fdatasync.
    pub async fn sync_data(&mut self) -> io::Result<()> {
        todo!()
    }
    /// Sets the xattrs, syncs the file, gives it the name `target` (replacing what has it) and syncs the directory.
    /// When it returns Ok all of it survives power loss; on Err the name may or may not be there.
    /// Runs to its end even if the future is dropped.
    pub async fn publish(self, _target: &Path, _xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        todo!()
    }
    /// `publish` without any sync: the planted bug that the simulator's checker must find. Tests only.
    pub async fn publish_unsynced(self, _target: &Path, _xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        todo!()
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
pub async fn read_dir(_path: &Path) -> io::Result<Vec<Entry>> {
    todo!()
}
/// A whole file of at most `max` bytes; larger is `FileTooLarge`.
pub async fn read(_path: &Path, _max: usize) -> io::Result<Vec<u8>> {
    todo!()
}
/// Writes a file durably: temporary beside it, sync, rename, directory sync. `mode` as chmod takes it.
pub async fn write_atomic(_path: &Path, _bytes: Vec<u8>, _mode: u32) -> io::Result<()> {
    todo!()
}
/// Appends to a file, creating it (0644) in its directory, which must exist, and syncs its data; all of it while an exclusive
/// `flock` on the file `lock` beside it is held (created if missing, waited for at most 10 s, then `WouldBlock`). Swift's daemons
/// take the same lock. Runs to its end even if the future is dropped.
pub async fn append_locked(_path: &Path, _lock: &Path, _bytes: Vec<u8>) -> io::Result<()> {
    todo!()
}
/// Creates the directory and its missing parents; every new entry is synced.
pub async fn create_dir_all(_path: &Path) -> io::Result<()> {
    todo!()
}
/// Renames a file or a directory (not synced; see `sync_dir`).
pub async fn rename(_from: &Path, _to: &Path) -> io::Result<()> {
    todo!()
}
/// Unlinks a file. A missing one is `NotFound`.
pub async fn remove_file(_path: &Path) -> io::Result<()> {
    todo!()
}
/// Removes an empty directory.
pub async fn remove_dir(_path: &Path) -> io::Result<()> {
    todo!()
}
/// Syncs a directory's entries.
pub async fn sync_dir(_path: &Path) -> io::Result<()> {
    todo!()
}
/// What stands at `path`.
pub async fn metadata(_path: &Path) -> io::Result<Metadata> {
    todo!()
}
/// Space of the file system `path` is on.
pub async fn space(_path: &Path) -> io::Result<Space> {
    todo!()
}
/// Whether `path` is a mount point (its device differs from its parent's).
pub async fn is_mount(_path: &Path) -> io::Result<bool> {
    todo!()
}
/// Holds an exclusive lock file until dropped; `WouldBlock` when another process has it.
pub async fn lock(_path: &Path) -> io::Result<Lock> {
    todo!()
}

/// See [`lock`].
pub struct Lock {
    _path: PathBuf,
}
