//! A preallocated file, written at aligned offsets and read anywhere, that stays open.

use crate::io::{real, sim, simulated};
use bytes::Bytes;
use std::io;
use std::path::Path;
use std::time::Duration;

/// See the module. Belongs to the core that opened it; shared by readers as `Rc<Volume>`.
///
/// Held open it costs a descriptor (another once it was written to, another once it was read from the disk), no memory worth a word.
pub struct Volume(Inner);

enum Inner {
    Real(real::volume::Volume),
    Sim(sim::volume::Volume),
}

impl Volume {
    /// What `write` takes is a multiple of this.
    pub const ALIGNMENT: u64 = 4096;

    /// Makes the file, which must not be there (`AlreadyExists`), with `length` bytes of zeros reserved. When it returns Ok the
    /// file, its length and its name survive power loss. On an error, as `StorageFull`, no file is left; given up half way, one
    /// may be.
    pub async fn create(path: &Path, length: u64) -> io::Result<Volume> {
        Ok(Volume(if simulated() {
            Inner::Sim(sim::volume::Volume::create(path, length).await?)
        } else {
            Inner::Real(real::volume::Volume::create(path, length).await?)
        }))
    }

    /// Writes zeros over a volume that was not written to yet, a mebibyte at a time with `pause` after each, past the page cache
    /// and with the device's own command for it where there is one. Worth it: a file system must log, at the sync, that a reserved
    /// block is used for the first time. Write and sync of 4 KiB (64 KiB) took 440 (460) us into reserved blocks against 225 (240)
    /// us into written ones on XFS, and 590 (640) against 250 (265) us on ext4, both on a loop device over a virtual disk.
    ///
    /// Stops with Ok at the first `write`, which waits for the mebibyte under way; does nothing to a volume that was opened, as it
    /// may hold something. When it is given up, keep the handle: only it knows of the mebibyte under way. An error leaves a volume that is as good as
    /// before, only slower.
    pub async fn prewrite(&self, pause: Duration) -> io::Result<()> {
        match &self.0 {
            Inner::Real(volume) => volume.prewrite(pause).await,
            Inner::Sim(volume) => volume.prewrite(pause).await,
        }
    }

    /// Opens one for reading and writing.
    pub async fn open(path: &Path) -> io::Result<Volume> {
        Ok(Volume(if simulated() {
            Inner::Sim(sim::volume::Volume::open(path).await?)
        } else {
            Inner::Real(real::volume::Volume::open(path).await?)
        }))
    }

    /// Bytes of the file when it was opened or created.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Inner::Real(volume) => volume.len(),
            Inner::Sim(volume) => volume.len(),
        }
    }

    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the parts one after the other from `offset` on, then syncs (fdatasync). Offset and total are multiples of
    /// `ALIGNMENT`, else `InvalidInput` and nothing is written. Durable when it answers Ok; after an error any of it may or may
    /// not be on the disk, and the device should not be trusted further. Runs to its end even if the future is dropped. Two
    /// writes at once are fine when they do not overlap.
    pub async fn write(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        must_be_aligned(offset, &parts)?;
        match &self.0 {
            Inner::Real(volume) => volume.write(offset, parts).await,
            Inner::Sim(volume) => volume.write(offset, parts).await,
        }
    }

    /// As `write`, for what is not soon read: past the page cache where that can be, and then without a thread. Worth it on a volume that is
    /// written already (`prewrite`).
    pub async fn write_past(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        must_be_aligned(offset, &parts)?;
        match &self.0 {
            Inner::Real(volume) => volume.write_past(offset, parts).await,
            Inner::Sim(volume) => volume.write(offset, parts).await,
        }
    }

    /// Whether all of it is in memory: what was written a moment ago or is read again and again. Asks the kernel, and waits for nobody; true where it
    /// does not tell.
    pub fn is_cached(&self, offset: u64, length: u32) -> bool {
        match &self.0 {
            Inner::Real(volume) => volume.is_cached(offset, length),
            Inner::Sim(_) => sim::volume::Volume::is_cached(offset),
        }
    }

    /// Reads exactly `length` bytes from `offset`, fewer only at the end of the file. Nothing is read ahead: when it is not in
    /// memory, it is one read of the disk. Up to 64 KiB a first read takes only the sectors it needs and leaves the page cache alone; the
    /// second one stays in memory. Sees every write that was answered before.
    pub async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match &self.0 {
            Inner::Real(volume) => volume.read(offset, length).await,
            Inner::Sim(volume) => volume.read(offset, length).await,
        }
    }
}

fn must_be_aligned(offset: u64, parts: &[Bytes]) -> io::Result<()> {
    let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
    if !offset.is_multiple_of(Volume::ALIGNMENT) || !total.is_multiple_of(Volume::ALIGNMENT) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a write to a volume must be aligned"));
    }
    Ok(())
}
