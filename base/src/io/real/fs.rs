//! Files and directories of the real backend.
//!
//! Reads, and looks at what a path is, go through the ring, where a cold page costs no thread and no core has to wake one; what else
//! there is goes as one closure per operation to the core's blocking threads (`disk` has the closures). In epoll mode all of it does.

#![expect(unsafe_code, reason = "descriptors are borrowed from handles of the runtime, which does not lend them")]

use super::blocking::End;
use super::buffers::{Out, Spare};
use super::disk::{self, TempPlace};
use super::lane::Lane;
use super::{core, lane_of};

use crate::io::fs::{Entry, Metadata, Space};
use bytes::{Bytes, BytesMut};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File as StdFile;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

pub(in crate::io) struct File {
    handle: Handle,
    length: u64,
}

enum Handle {
    Ring(monoio::fs::File),
    Threads(Arc<StdFile>, Rc<Lane>),
}

impl File {
    pub(in crate::io) async fn open(path: &Path) -> io::Result<File> {
        let path = path.to_owned();
        if core().epoll {
            let lane = lane_of(&path);
            let (file, length) = lane.pool.run(move || disk::open(&path)).await?;
            return Ok(File { handle: Handle::Threads(Arc::new(file), lane), length });
        }
        // In a task of its own: an open whose waiter is dropped would leak its descriptor.
        let opening = super::task::spawn(async move { monoio::fs::File::open(path).await });
        let file = opening.await.ok_or_else(|| io::Error::other("open panicked"))??;
        // The inode is in memory now, so this does not wait.
        let length = disk::length(borrow(&file))?;
        Ok(File { handle: Handle::Ring(file), length })
    }

    pub(in crate::io) fn len(&self) -> u64 {
        self.length
    }

    pub(in crate::io) async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match &self.handle {
            Handle::Ring(file) => ring_read(file, offset, length).await,
            Handle::Threads(file, lane) => {
                let file = file.clone();
                lane.pool.run(move || disk::read_at(&file, offset, length)).await
            }
        }
    }

    /// Inline: the attribute came with the inode or lies in one block beside it.
    pub(in crate::io) async fn xattr(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match &self.handle {
            Handle::Ring(file) => disk::xattr(borrow(file), name),
            Handle::Threads(file, _) => disk::xattr(file.as_fd(), name),
        }
    }
}

pub(super) fn borrow(file: &monoio::fs::File) -> BorrowedFd<'_> {
    // SAFETY: the file keeps its descriptor open, and the result cannot outlive the borrow of the file.
    unsafe { BorrowedFd::borrow_raw(file.as_raw_fd()) }
}

/// Opens the same file once more, in another way. Its inode is in memory, so this does not wait for the disk.
pub(super) fn once_more(file: BorrowedFd<'_>, flags: OFlags) -> io::Result<monoio::fs::File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let file = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?;
    monoio::fs::File::from_std(StdFile::from(file))
}

pub(super) async fn ring_read(file: &monoio::fs::File, mut offset: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = BytesMut::with_capacity(length);
    // Ends: every turn reads at least a byte, or the end of the file was reached.
    while buffer.len() < length {
        let (result, spare) = file.read_at(Spare::new(buffer), offset).await;
        buffer = spare.buffer;
        match result {
            Ok(0) => break,
            Ok(read) => offset += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // The capacity may be larger than what was asked for, and the kernel fills what it is given.
    buffer.truncate(length);
    Ok(buffer.freeze())
}

/// Content gathered in memory before it goes to a thread: large enough that the hand-over is small beside the write.
const FLUSH_BYTES: usize = 256 * 1024;

pub(in crate::io) struct TempFile {
    lane: Rc<Lane>,
    place: Option<Arc<TempPlace>>,
    /// Appended but not yet on its way, starting at `written`.
    pending: Vec<Bytes>,
    pending_bytes: usize,
    written: u64,
    /// The one write under way; the next waits for it, so an upload holds at most two batches.
    flushing: Option<super::blocking::Running<()>>,
    /// Nothing changed since `prepare`: all of it is stable, only the name is missing.
    prepared: bool,
}

impl TempFile {
    pub(in crate::io) async fn create(dir: &Path) -> io::Result<TempFile> {
        let path = dir.to_owned();
        let place = lane_of(dir).pool.run_disk(End::Unclear, move || TempPlace::create(&path)).await;
        place.map(|place| TempFile::new(dir, place))
    }

    /// All in one go on a thread.
    pub(in crate::io) async fn create_within(dir: &Path, reserve: u64) -> io::Result<TempFile> {
        let path = dir.to_owned();
        let create = move || {
            disk::create_dir_all(&path)?;
            let place = TempPlace::create(&path)?;
            place.allocate(reserve)?;
            Ok(place)
        };
        lane_of(dir).pool.run_disk(End::Unclear, create).await.map(|place| TempFile::new(dir, place))
    }

    fn new(dir: &Path, place: TempPlace) -> TempFile {
        TempFile {
            lane: lane_of(dir),
            place: Some(Arc::new(place)),
            pending: Vec::new(),
            pending_bytes: 0,
            written: 0,
            flushing: None,
            prepared: false,
        }
    }

    fn place(&self) -> Arc<TempPlace> {
        self.place.clone().expect("there until published or dropped")
    }

    pub(in crate::io) async fn allocate(&mut self, length: u64) -> io::Result<()> {
        let place = self.place();
        self.lane.pool.run(move || place.allocate(length)).await
    }

    pub(in crate::io) async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        self.prepared = false;
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes >= FLUSH_BYTES {
            self.settle().await?;
            self.flush();
        }
        Ok(())
    }

    /// Waits for the write under way. Dropped while it waits, it can be called again.
    async fn settle(&mut self) -> io::Result<()> {
        if let Some(flushing) = &mut self.flushing {
            let result = flushing.await;
            self.flushing = None;
            result?;
        }
        Ok(())
    }

    fn flush(&mut self) {
        let (place, parts, offset) = (self.place(), std::mem::take(&mut self.pending), self.written);
        self.written += self.pending_bytes as u64;
        self.pending_bytes = 0;
        self.flushing = Some(self.lane.pool.start(move || place.write_at(&parts, offset)));
    }

    pub(in crate::io) fn len(&self) -> u64 {
        self.written + self.pending_bytes as u64
    }

    pub(in crate::io) async fn sync_data(&mut self) -> io::Result<()> {
        self.settle().await?;
        self.flush();
        self.settle().await?;
        let place = self.place();
        self.lane.pool.run_disk(End::Heard, move || place.sync_data()).await
    }

    pub(in crate::io) async fn prepare(&mut self, xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        self.settle().await?;
        let (place, parts, offset) = (self.place(), std::mem::take(&mut self.pending), self.written);
        self.written += self.pending_bytes as u64;
        self.pending_bytes = 0;
        // Kept as the write under way: given up while it runs, whatever comes next waits for it and learns of its failure.
        self.flushing = Some(self.lane.pool.start_disk(End::Heard, move || {
            place.write_at(&parts, offset)?;
            place.prepare(&xattrs)
        }));
        self.settle().await?;
        self.prepared = true;
        Ok(())
    }

    pub(in crate::io) async fn publish(mut self, target: &Path, xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        self.settle().await?;
        let place = self.place.take().expect("there until published or dropped");
        let (parts, offset, target) = (std::mem::take(&mut self.pending), self.written, target.to_owned());
        let is_stable = self.prepared && xattrs.is_empty();
        let publish = move || {
            if !is_stable {
                place.write_at(&parts, offset)?;
                place.prepare(&xattrs)?;
            }
            place.name(&target)
        };
        self.lane.pool.start_disk(End::Heard, publish).await
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // Closing a large nameless file deletes it, which may take milliseconds; a named one is unlinked.
        if let Some(place) = self.place.take() {
            drop(self.lane.pool.start(move || {
                drop(place);
                Ok(())
            }));
        }
    }
}

pub(in crate::io) async fn read_dir(path: &Path) -> io::Result<Vec<Entry>> {
    with_path(path, disk::read_dir).await
}

pub(in crate::io) async fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    with_path(path, move |path| disk::read(path, max)).await
}

pub(in crate::io) async fn write_atomic(path: &Path, bytes: Vec<u8>, mode: u32) -> io::Result<()> {
    let path = path.to_owned();
    // Not given up half way: started, it ends with the old file or the new one.
    lane_of(&path).pool.start_disk(End::Heard, move || disk::write_atomic(&path, &bytes, mode)).await
}

pub(in crate::io) async fn append_locked(path: &Path, lock: &Path, bytes: Vec<u8>) -> io::Result<()> {
    let (path, lock) = (path.to_owned(), lock.to_owned());
    lane_of(&path).pool.start(move || disk::append_locked(&path, &lock, &bytes)).await
}

pub(in crate::io) async fn create_dir_all(path: &Path) -> io::Result<()> {
    with_path(path, disk::create_dir_all).await
}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub(in crate::io) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let to = to.to_owned();
    with_path(from, move |from| std::fs::rename(from, to)).await
}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub(in crate::io) async fn remove_file(path: &Path) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_file(path)).await
}

pub(in crate::io) async fn remove_dir(path: &Path) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_dir(path)).await
}

pub(in crate::io) async fn sync_dir(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    lane_of(&path).pool.run_disk(End::Heard, move || disk::sync_dir(&path)).await
}

pub(in crate::io) async fn metadata(path: &Path) -> io::Result<Metadata> {
    if core().epoll {
        return with_path(path, disk::metadata).await;
    }
    let (path, out) = (path.to_owned(), Out::new());
    // In a task of its own: the kernel writes to what the operation holds, and `out` says so until it has, whoever went away.
    let looking = super::task::spawn(async move {
        let found = monoio::fs::metadata(path).await;
        drop(out);
        found.map(|found| disk::described(&found, found.is_dir()))
    });
    looking.await.unwrap_or_else(|| Err(io::Error::other("a look at a path panicked")))
}

pub(in crate::io) async fn space(path: &Path) -> io::Result<Space> {
    with_path(path, disk::space).await
}

pub(in crate::io) async fn is_mount(path: &Path) -> io::Result<bool> {
    with_path(path, disk::is_mount).await
}

/// Holds the lock with its descriptor.
pub(in crate::io) struct Lock(#[expect(dead_code, reason = "closing it releases the lock")] StdFile);

pub(in crate::io) async fn lock(path: &Path) -> io::Result<Lock> {
    with_path(path, disk::lock).await.map(Lock).map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::WOULDBLOCK.raw_os_error() => {
            io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock")
        }
        _ => error,
    })
}

async fn with_path<T: Send + 'static>(
    path: &Path,
    body: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.to_owned();
    lane_of(&path).pool.run(move || body(&path)).await
}
