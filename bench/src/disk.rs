//! What a block device did, from `/sys/dev/block/MAJOR:MINOR/stat`.
//!
//! The counters are the whole device's: on one that others use they count the others' work as well. A file system of its own (a loop
//! device over an image) is what makes them exact.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Counters of a device since it was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Reads that the device was given, after merging.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes that the device was given, after merging.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Milliseconds that requests were under way, added up: over a span, its mean number of requests at a time.
    pub busy_ms: u64,
}

/// The device under a folder.
#[derive(Clone, Debug)]
pub struct Disk {
    stat: PathBuf,
}

impl Disk {
    /// The number, `MAJOR:MINOR`, of the device that the file system of `folder` is on.
    pub fn number_under(folder: &Path) -> Result<String, String> {
        let metadata = folder.metadata().map_err(|error| format!("{}: {error}", folder.display()))?;
        let device = metadata.dev();
        Ok(format!("{}:{}", major(device), minor(device)))
    }

    /// The device that the file system of `folder` is on.
    pub fn under(folder: &Path) -> Result<Disk, String> {
        let stat = PathBuf::from(format!("/sys/dev/block/{}/stat", Disk::number_under(folder)?));
        match stat.exists() {
            true => Ok(Disk { stat }),
            false => Err(format!("{} is not on a block device whose work can be counted", folder.display())),
        }
    }

    /// Its counters now; zeros when they cannot be read.
    pub fn work(&self) -> Work {
        let text = std::fs::read_to_string(&self.stat).unwrap_or_default();
        let fields: Vec<u64> = text.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or(0);
        Work {
            reads: field(0),
            read_bytes: field(2) * 512,
            writes: field(4),
            written_bytes: field(6) * 512,
            busy_ms: field(10),
        }
    }
}

impl Work {
    /// Mean number of requests under way over a span of this length.
    pub fn depth(self, span: Duration) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
        let busy = self.busy_ms as f64 / 1000.0;
        busy / span.as_secs_f64().max(1e-9)
    }

    /// What was done since `earlier`.
    pub fn since(self, earlier: Work) -> Work {
        Work {
            reads: self.reads.saturating_sub(earlier.reads),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            writes: self.writes.saturating_sub(earlier.writes),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
            busy_ms: self.busy_ms.saturating_sub(earlier.busy_ms),
        }
    }
}

/// As `makedev(3)` puts them together.
fn major(device: u64) -> u64 {
    (device >> 8 & 0xfff) | (device >> 32 & !0xfff)
}

fn minor(device: u64) -> u64 {
    (device & 0xff) | (device >> 12 & !0xff & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_taken_apart_as_the_system_puts_them_together() {
        for (major_number, minor_number) in [(254_u64, 0_u64), (8, 1), (7, 12), (0x1_2345, 0x6_789a)] {
            let low = (major_number & 0xfff) << 8 | minor_number & 0xff;
            let high = (major_number & !0xfff) << 32 | (minor_number & !0xff) << 12;
            assert_eq!((major(low | high), minor(low | high)), (major_number, minor_number));
        }
        assert_eq!((major(0x0801), minor(0x0801)), (8, 1));
    }
}
