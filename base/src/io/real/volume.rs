//! Volumes of the real backend: a write and its sync as one closure on a blocking thread, reads through the ring, the first one of what is
//! not in memory past the page cache (`cold`).

#![expect(clippy::disallowed_methods, reason = "this is the door")]

mod cold;
mod past;

use super::blocking::End;
use super::fs::{borrow, ring_read};
use super::lane::Lane;
use super::zeros::{self, Zeros};
use super::{core, disk, lane_of};
use bytes::Bytes;
use cold::Cold;
use past::Past;
use rustix::fs::{Advice, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often a first write looks whether the zeros under way have arrived.
const ZEROING_WAIT: Duration = Duration::from_millis(1);

pub(in crate::io) struct Volume {
    lane: Rc<Lane>,
    handle: Handle,
    length: u64,
    /// There may be something that zeros must not touch.
    written: Cell<bool>,
    /// Zeros are on their way to the disk: a write must not be overtaken by them.
    zeroing: Rc<Cell<bool>>,
    past: Past,
}

enum Handle {
    /// The ring's descriptor, and once there was a write, another for the threads: a write goes on when the volume is dropped.
    Ring(monoio::fs::File, OnceCell<Arc<File>>, Cold),
    Threads(Arc<File>),
}

impl Volume {
    pub(in crate::io) async fn create(path: &Path, length: u64) -> io::Result<Volume> {
        let (path, lane) = (path.to_owned(), lane_of(path));
        let file = lane.pool.run(move || create(&path, length)).await?;
        Volume::new(lane, file, length, false)
    }

    pub(in crate::io) async fn open(path: &Path) -> io::Result<Volume> {
        let (path, lane) = (path.to_owned(), lane_of(path));
        let (file, length) = lane.pool.run(move || open(&path)).await?;
        Volume::new(lane, file, length, true)
    }

    fn new(lane: Rc<Lane>, file: File, length: u64, may_hold_data: bool) -> io::Result<Volume> {
        let handle = match core().epoll {
            true => Handle::Threads(Arc::new(file)),
            false => Handle::Ring(monoio::fs::File::from_std(file)?, OnceCell::new(), Cold::new()),
        };
        Ok(Volume {
            lane,
            handle,
            length,
            written: Cell::new(may_hold_data),
            zeroing: Rc::default(),
            past: Past::default(),
        })
    }

    pub(in crate::io) fn len(&self) -> u64 {
        self.length
    }

    pub(in crate::io) async fn prewrite(&self, pause: Duration) -> io::Result<()> {
        let file = self.writer()?;
        let zeros = Arc::new(self.lane.pool.run(move || Zeros::open(&file)).await?);
        let mut offset = 0;
        // Ends: every turn moves on by a chunk.
        while offset < self.length && !self.written.get() && !self.zeroing.get() {
            let length = (self.length - offset).min(zeros::CHUNK_BYTES);
            self.zeroing.set(true);
            let (lane, zeros, zeroing) = (self.lane.clone(), zeros.clone(), self.zeroing.clone());
            // A task of its own: a write waits for its end even when this future is gone.
            let writing = super::task::spawn(async move {
                let result = lane.pool.start(move || zeros.write(offset, length)).await;
                zeroing.set(false);
                result
            });
            writing.await.unwrap_or_else(|| Err(io::Error::other("writing zeros panicked")))?;
            offset += length;
            super::timers::sleep(pause).await;
        }
        self.lane.pool.run(move || zeros.finish()).await
    }

    pub(in crate::io) async fn write(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        self.written.set(true);
        let file = self.writer()?;
        let write = move || {
            disk::write_at(file.as_fd(), &parts, offset)?;
            Ok(rustix::fs::fdatasync(&file)?)
        };
        if !self.zeroing.get() {
            return self.lane.pool.start_disk(End::Heard, write).await;
        }
        let (lane, zeroing) = (self.lane.clone(), self.zeroing.clone());
        // A task of its own: it goes on when the caller is dropped.
        let writing = super::task::spawn(async move {
            // Ends: with the one chunk under way, as no other starts.
            while zeroing.get() {
                super::timers::sleep(ZEROING_WAIT).await;
            }
            lane.pool.start_disk(End::Heard, write).await
        });
        writing.await.unwrap_or_else(|| Err(io::Error::other("the write panicked")))
    }

    pub(in crate::io) async fn write_past(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        if let (Handle::Ring(file, ..), false) = (&self.handle, self.zeroing.get()) {
            self.written.set(true);
            if let Some(result) = self.past.write(&self.lane, borrow(file), offset, &parts).await {
                return result;
            }
        }
        self.write(offset, parts).await
    }

    pub(in crate::io) fn is_cached(&self, offset: u64, length: u32) -> bool {
        let file = match &self.handle {
            Handle::Ring(file, ..) => borrow(file),
            Handle::Threads(file) => file.as_fd(),
        };
        cold::is_cached(file, offset, u64::from(length))
    }

    fn writer(&self) -> io::Result<Arc<File>> {
        match &self.handle {
            Handle::Threads(file) => Ok(file.clone()),
            Handle::Ring(file, writer, _) => {
                if let Some(writer) = writer.get() {
                    return Ok(writer.clone());
                }
                let other = File::from(borrow(file).try_clone_to_owned()?);
                Ok(writer.get_or_init(|| Arc::new(other)).clone())
            }
        }
    }

    pub(in crate::io) async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match &self.handle {
            Handle::Ring(file, _, cold) => match cold.read(&self.lane, borrow(file), offset, length).await {
                Some(result) => result,
                None => ring_read(file, offset, length).await,
            },
            Handle::Threads(file) => {
                let file = file.clone();
                self.lane.pool.run(move || disk::read_at(&file, offset, length)).await
            }
        }
    }
}

fn create(path: &Path, length: u64) -> io::Result<File> {
    disk::must_have(&rustix::fs::statvfs(disk::parent(path)?)?, length)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?);
    let filled = fill(&file, length).and_then(|()| disk::sync_dir(disk::parent(path)?));
    if let Err(error) = filled {
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

/// Space, length, and both on stable storage.
fn fill(file: &File, length: u64) -> io::Result<()> {
    if length > 0 {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length) {
            Ok(()) => {}
            // No reservation to be had here; the writes will tell.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(length)?,
            Err(error) => return Err(error.into()),
        }
    }
    rustix::fs::fsync(file)?;
    expect_random(file);
    Ok(())
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    expect_random(&file);
    Ok((file, length))
}

/// A record is asked for as a whole and its neighbours mean nothing: reading ahead would be work for nobody.
fn expect_random(file: &File) {
    // Only an advice; a file system that does not take it reads more than it must.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Random);
}

#[cfg(test)]
mod tests;
