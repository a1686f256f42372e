//! What blocks: the file operations of the real backend as plain functions for the blocking threads.
//!
//! # The order that makes `publish` safe
//!
//! Attributes, then fsync of the file, then the name, then fsync of the directory. A crash before the name leaves nothing; after
//! it, a name whose content is already stable. Replacing goes through a second name and a rename, so `target` always has one
//! whole version.

#![expect(clippy::disallowed_methods, reason = "this is what the door opens to")]

use super::clock::random_u64;
use crate::io::fs::{Entry, Metadata, Space};
use bytes::{Buf, Bytes};
use rustix::fs::{AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags, StatVfs, XattrFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Parts of one pwritev (UIO_MAXIOV).
const PARTS_MAX: usize = 1024;

/// Enough for the metadata of nearly every object in one call.
const XATTR_GUESS: usize = 1024;

/// Random names tried before giving up; two equal ones are already a miracle.
const NAME_TRIES: u32 = 16;

pub(super) fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

pub(super) fn length(file: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0))
}

pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = Vec::with_capacity(length);
    // Ends: every turn reads at least a byte, or the end of the file was reached.
    while buffer.len() < length {
        let at = offset + buffer.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut buffer), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    buffer.truncate(length);
    Ok(buffer.into())
}

pub(super) fn xattr(file: BorrowedFd<'_>, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::with_capacity(XATTR_GUESS);
    let result = match rustix::fs::fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value)) {
        Err(Errno::RANGE) => {
            // The kernel's bound on a value; nothing can be larger.
            value.reserve(64 * 1024);
            rustix::fs::fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value))
        }
        other => other,
    };
    match result {
        Ok(_) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(Errno::NOTSUP) => Err(no_xattrs()),
        Err(error) => Err(error.into()),
    }
}

fn no_xattrs() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the file system has no extended attributes")
}

/// A file on its way to a name.
pub(super) struct TempPlace {
    file: OwnedFd,
    /// Its temporary name, where the file system has no O_TMPFILE.
    name: Option<PathBuf>,
    /// Whether that name became the target; otherwise it goes with this value.
    published: AtomicBool,
}

impl Drop for TempPlace {
    fn drop(&mut self) {
        if let (Some(name), false) = (&self.name, *self.published.get_mut()) {
            let _ = fs::remove_file(name);
        }
    }
}

impl TempPlace {
    pub(super) fn create(dir: &Path) -> io::Result<TempPlace> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(dir, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => Ok(TempPlace::new(file, None)),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Self::create_named(dir),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn create_named(dir: &Path) -> io::Result<TempPlace> {
        let (file, name) = with_random_name(dir, "tmp", |path| {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))
        })?;
        Ok(TempPlace::new(file, Some(name)))
    }

    fn new(file: OwnedFd, name: Option<PathBuf>) -> TempPlace {
        TempPlace { file, name, published: AtomicBool::new(false) }
    }

    pub(super) fn allocate(&self, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        must_have(&rustix::fs::fstatvfs(&self.file)?, length)?;
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, length) {
            // No reservation to be had here; the writes will tell.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn write_at(&self, parts: &[Bytes], offset: u64) -> io::Result<()> {
        write_at(self.file.as_fd(), parts, offset)
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    /// Attributes and sync: the first half of `publish`.
    pub(super) fn prepare(&self, xattrs: &[(String, Vec<u8>)]) -> io::Result<()> {
        for (name, value) in xattrs {
            rustix::fs::fsetxattr(&self.file, name.as_str(), value, XattrFlags::empty()).map_err(
                |error| match error {
                    Errno::NOTSUP => no_xattrs(),
                    error => error.into(),
                },
            )?;
        }
        Ok(rustix::fs::fsync(&self.file)?)
    }

    /// The name and its sync: the second half. See the top of the file.
    pub(super) fn name(&self, target: &Path) -> io::Result<()> {
        let dir = parent(target)?;
        match &self.name {
            Some(name) => {
                fs::rename(name, target)?;
                self.published.store(true, Ordering::Relaxed);
            }
            None => match self.link(target) {
                Ok(()) => {}
                Err(Errno::EXIST) => {
                    let ((), name) = with_random_name(dir, "tmp", |path| self.link(path))?;
                    if let Err(error) = fs::rename(&name, target) {
                        let _ = fs::remove_file(&name);
                        return Err(error);
                    }
                }
                Err(error) => return Err(error.into()),
            },
        }
        sync_dir(dir)
    }

    /// Through /proc: linking an open file by its descriptor alone takes a privilege.
    fn link(&self, target: &Path) -> Result<(), Errno> {
        let file = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, file, CWD, target, AtFlags::SYMLINK_FOLLOW)
    }
}

/// Refuses what cannot fit: a file system may hand out all it has before it does so itself, and meanwhile refuse others.
pub(super) fn must_have(found: &StatVfs, length: u64) -> io::Result<()> {
    match found.f_bavail.saturating_mul(found.f_frsize) < length {
        true => Err(Errno::NOSPC.into()),
        false => Ok(()),
    }
}

/// Writes all the parts, one after the other, from `offset` on.
pub(super) fn write_at(file: BorrowedFd<'_>, parts: &[Bytes], mut offset: u64) -> io::Result<()> {
    let mut rest: Vec<Bytes> = parts.iter().filter(|part| !part.is_empty()).cloned().collect();
    rest.reverse();
    // Ends: every turn writes at least a byte or fails.
    while !rest.is_empty() {
        let slices: Vec<IoSlice<'_>> = rest.iter().rev().take(PARTS_MAX).map(|part| IoSlice::new(part)).collect();
        let mut written = match rustix::io::pwritev(file, &slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        offset += written as u64;
        while let Some(part) = rest.last_mut() {
            if written < part.len() {
                part.advance(written);
                break;
            }
            written -= part.len();
            rest.pop();
        }
    }
    Ok(())
}

/// Calls `make` with fresh names in `dir` until one is not taken.
fn with_random_name<T>(
    dir: &Path,
    kind: &str,
    mut make: impl FnMut(&Path) -> Result<T, Errno>,
) -> io::Result<(T, PathBuf)> {
    for _ in 0..NAME_TRIES {
        let path = dir.join(format!(".martlet-{kind}-{:016x}", random_u64()));
        match make(&path) {
            Ok(made) => return Ok((made, path)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free temporary name"))
}

pub(super) fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no parent"))
}

pub(in crate::io) fn read_dir(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_dir = entry.file_type()?.is_dir();
        if let Ok(name) = entry.file_name().into_string() {
            entries.push(Entry { name, is_dir });
        }
    }
    entries.sort();
    Ok(entries)
}

pub(super) fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
    let (file, length) = open(path)?;
    let length = usize::try_from(length).ok().filter(|&length| length <= max).ok_or_else(too_large)?;
    let mut bytes = Vec::with_capacity(length);
    // Files under /proc have no length, and any file may grow meanwhile: the bound holds for what is read.
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max { Err(too_large()) } else { Ok(bytes) }
}

pub(super) fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = parent(path)?;
    let place = TempPlace::create_named(dir)?;
    place.write_at(&[Bytes::copy_from_slice(bytes)], 0)?;
    rustix::fs::fchmod(&place.file, Mode::from_raw_mode(mode))?;
    place.prepare(&[])?;
    place.name(path)
}

/// Longest wait for a lock that another process holds (Swift's own for the lists of a partition).
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The lock goes with its descriptor, when this returns.
pub(super) fn append_locked(path: &Path, lock_path: &Path, bytes: &[u8]) -> io::Result<()> {
    let open = |path: &Path, flags: OFlags| {
        rustix::fs::open(path, flags | OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
    };
    let lock = open(lock_path, OFlags::RDWR)?;
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_micros(100);
    // Ends: the pauses add up to `LOCK_WAIT`.
    while let Err(error) = rustix::fs::flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        if error != Errno::WOULDBLOCK && error != Errno::INTR {
            return Err(error.into());
        }
        if waited >= LOCK_WAIT {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock"));
        }
        std::thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    let file = open(path, OFlags::WRONLY | OFlags::APPEND)?;
    let mut rest = bytes;
    // Ends: every turn writes at least a byte or fails.
    while !rest.is_empty() {
        match rustix::io::write(&file, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rustix::fs::fdatasync(&file)?)
}

/// The lowest entry is synced first: where a sync takes all changes of the file system along, those above have nothing left to do.
pub(super) fn create_dir_all(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => return sync_dir(parent(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) if path.is_dir() => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut missing = vec![path];
    // Ends: the parent is shorter, and the root exists.
    loop {
        let above = parent(missing.last().copied().unwrap_or(path))?;
        match fs::create_dir(above) {
            Ok(()) => {
                missing.push(above);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(above),
            // Somebody else made it between the two calls.
            Err(_) if above.is_dir() => break,
            Err(error) => return Err(error),
        }
    }
    missing.iter().rev().try_for_each(|path| create_one(path))?;
    missing.iter().try_for_each(|path| sync_dir(parent(path)?))
}

fn create_one(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        // Somebody else made it between the two calls.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fsync(dir)?)
}

pub(super) fn metadata(path: &Path) -> io::Result<Metadata> {
    let found = fs::metadata(path)?;
    Ok(described(&found, found.is_dir()))
}

/// What the kernel said, whichever way it was asked.
pub(super) fn described(found: &impl MetadataExt, is_dir: bool) -> Metadata {
    let modified_nanos = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    Metadata { len: found.size(), is_dir, device: found.dev(), modified_nanos }
}

pub(super) fn space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Space {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        available: found.f_bavail.saturating_mul(found.f_frsize),
        inodes: (found.f_files, found.f_favail),
    })
}

pub(super) fn is_mount(path: &Path) -> io::Result<bool> {
    let (here, above) = (fs::metadata(path)?, fs::metadata(path.join(".."))?);
    // The root is its own parent.
    Ok(here.dev() != above.dev() || here.ino() == above.ino())
}

pub(super) fn lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
    rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive)?;
    let file = File::from(file);
    // Swift's recon files are locked themselves, and replaced under the lock: who waited has the lock of what is gone.
    let (locked, there) = (file.metadata()?, fs::metadata(path)?);
    if (locked.dev(), locked.ino()) != (there.dev(), there.ino()) {
        return Err(io::Error::new(io::ErrorKind::WouldBlock, "the file was replaced"));
    }
    Ok(file)
}
