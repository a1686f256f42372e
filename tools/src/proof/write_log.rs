//! The log of all writes to a block device, as QEMU's `blklogwrites` keeps it, and the disks that power cuts would have left.
//!
//! ```text
//!  super, 512 bytes    magic u64 | version u64 | entries u64 | sector size u32
//!  entry, one sector   sector u64 | sectors u64 | flags u64 | data length u64; then the data, none for a discard
//! ```
//!
//! Little-endian. The number of entries in the super is rewritten at each flush, so an acknowledgement that was made durable by a flush is
//! within the number that is read behind it.
//!
//! A power cut at an entry: all up to the last flush before it is on the disk. Of what came after, each write is there, or (half of them)
//! is not, or only its first sectors are.

#![expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]

use base::io::sim::Random;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Error};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const SUPER_BYTES: u64 = 512;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;
/// What a disk is cut from, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Entries before the power cut.
    pub point: u64,
    /// What is lost and torn.
    pub seed: u64,
    /// Bytes that the disk writes wholly or not at all.
    pub tear: usize,
}

/// Tells how many entries a growing log has.
pub struct Counter(File);

impl Counter {
    /// Of the log at `path`.
    pub fn open(path: &Path) -> io::Result<Counter> {
        File::open(path).map(Counter)
    }
    /// Up to the last flush.
    pub fn entries(&self) -> io::Result<u64> {
        number(&self.0, 16)
    }
}

/// A log that is complete.
pub struct WriteLog {
    file: File,
    entries: Vec<Entry>,
}

struct Entry {
    /// Byte of the device.
    offset: u64,
    length: usize,
    flags: u64,
    /// Byte of the log.
    data: u64,
}

/// What was done to make a disk.
pub struct Cut {
    flushed: usize,
    tail: usize,
    dropped: usize,
    torn: usize,
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { flushed, tail, dropped, torn } = self;
        write!(formatter, "{flushed} entries flushed, {tail} behind them, {dropped} of these dropped, {torn} torn")
    }
}

impl WriteLog {
    /// Reads the heads of all entries.
    pub fn open(path: &Path) -> io::Result<WriteLog> {
        let file = File::open(path)?;
        let sector = number(&file, 24)? & u64::from(u32::MAX);
        if number(&file, 0)? != MAGIC || sector == 0 {
            return Err(Error::other(format!("{}: no log of writes", path.display())));
        }
        let count = number(&file, 16)?;
        let mut entries = Vec::new();
        let mut at = SUPER_BYTES.max(sector);
        for _ in 0..count {
            let flags = number(&file, at + 16)?;
            let (offset, bytes) = (number(&file, at)? * sector, number(&file, at + 8)? * sector);
            let data = at + sector;
            at = data + if flags & DISCARD == 0 { bytes } else { 0 };
            let length = usize::try_from(bytes).map_err(Error::other)?;
            entries.push(Entry { offset, length, flags, data });
        }
        Ok(WriteLog { file, entries })
    }

    /// How many there are.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// How many of them are flushes.
    pub fn flushes(&self) -> usize {
        self.entries.iter().filter(|entry| entry.flags & FLUSH != 0).count()
    }

    /// Brings `base` up to the last flush before `point` and makes `image` from it. How far `base` is stands in a file beside it.
    pub fn rebuild(&self, base: &Path, image: &Path, plan: Plan) -> io::Result<Cut> {
        let Plan { point, seed, tear } = plan;
        let before = self.entries.get(..usize::try_from(point).unwrap_or(usize::MAX).min(self.entries.len()));
        let before = before.unwrap_or_default();
        let flushed = before.iter().rposition(|entry| entry.flags & FLUSH != 0).map_or(0, |last| last + 1);
        let done = Done(base.with_extension("done"));
        let applied = done.read()?;
        if applied > flushed {
            return Err(Error::other("the base image is newer than this point"));
        }
        let target = OpenOptions::new().write(true).open(base)?;
        for entry in before.get(applied..flushed).unwrap_or_default() {
            self.apply(&target, entry, entry.length)?;
        }
        done.write(flushed)?;
        copy_sparse(base, image)?;
        let target = OpenOptions::new().write(true).open(image)?;
        let mut random = Random::new(seed ^ point << 20);
        let mut cut = Cut { flushed, tail: before.len() - flushed, dropped: 0, torn: 0 };
        for entry in before.get(flushed..).unwrap_or_default() {
            let kept = match random.below(4) {
                0 => 0,
                1 => random.index(entry.length / tear + 1) * tear,
                _ => entry.length,
            };
            cut.dropped += usize::from(kept == 0 && entry.length > 0);
            cut.torn += usize::from(kept > 0 && kept < entry.length);
            self.apply(&target, entry, kept)?;
        }
        Ok(cut)
    }

    fn apply(&self, target: &File, entry: &Entry, kept: usize) -> io::Result<()> {
        // What a discard leaves is anything; here it leaves what was there.
        if kept == 0 || entry.flags & DISCARD != 0 {
            return Ok(());
        }
        let mut data = vec![0; kept];
        self.file.read_exact_at(&mut data, entry.data)?;
        target.write_all_at(&data, entry.offset)
    }
}

/// How many entries a base image has.
struct Done(PathBuf);

impl Done {
    fn read(&self) -> io::Result<usize> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => text.trim().parse().map_err(Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
    fn write(&self, entries: usize) -> io::Result<()> {
        std::fs::write(&self.0, entries.to_string())
    }
}

/// `cp` knows holes and, where the file system has them, shared extents.
fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let status =
        std::process::Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(Error::other(format!("cp to {} failed", to.display()))) }
}

fn number(file: &File, at: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_is_there_and_the_rest_is_kept_dropped_or_torn() {
        let folder = tempfile::tempdir().unwrap();
        let [log, base, image] = ["log", "base", "image"].map(|name| folder.path().join(name));
        let mut bytes = [MAGIC, 1, 3, 512].map(u64::to_le_bytes).concat();
        bytes.resize(512, 0);
        for (sector, fill, flags) in [(0_u64, 1_u8, 0_u64), (0, 0, FLUSH), (8, 2, 0)] {
            let sectors = u64::from(fill != 0) * 8;
            bytes.extend([sector, sectors, flags, 0].map(u64::to_le_bytes).concat());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            bytes.extend(vec![fill; usize::try_from(sectors * 512).unwrap()]);
        }
        std::fs::write(&log, bytes).unwrap();
        File::create(&base).unwrap().set_len(8192).unwrap();
        let log = WriteLog::open(&log).unwrap();
        assert_eq!((log.entries(), log.flushes()), (3, 1));
        let mut kept = Vec::new();
        for seed in 0..40 {
            log.rebuild(&base, &image, Plan { point: 3, seed, tear: 512 }).unwrap();
            let found = std::fs::read(&image).unwrap();
            assert!(found[..4096].iter().all(|&byte| byte == 1), "it was flushed");
            kept.push(found[4096..].iter().filter(|&&byte| byte == 2).count());
        }
        assert!(kept.contains(&0) && kept.contains(&4096) && kept.iter().any(|&kept| kept % 4096 != 0), "{kept:?}");
        assert!(
            log.rebuild(&base, &image, Plan { point: 1, seed: 0, tear: 512 }).is_err(),
            "the base has the flush already"
        );
    }
}
