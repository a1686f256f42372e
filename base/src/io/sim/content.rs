//! Core: the bytes and attributes of one simulated file: what is shown, and what a power loss would leave of it.
//!
//! # Invariants
//!
//! - Sectors that are not in `unsynced` are on the disk as they are shown.
//! - What a failed sync lost stays lost: the kernel holds those pages for clean, so a later sync that succeeds does not bring
//!   them back. Written again they can be synced again.

use super::random::Random;
use std::collections::BTreeMap;

/// The unit in which a disk keeps, drops or tears writes.
pub(super) const SECTOR_BYTES: usize = 512;

pub(crate) type Attributes = BTreeMap<String, Vec<u8>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FileContent {
    bytes: Vec<u8>,
    durable_length: usize,
    /// By number of the sector.
    unsynced: BTreeMap<usize, Unsynced>,
    pub(super) attributes: Attributes,
    durable_attributes: Attributes,
    pub(super) reserved: u64,
    /// Open handles: an unlinked file lives on while there are some.
    pub(super) handles: usize,
    /// Names that are shown, durable or not.
    pub(super) links: usize,
    pub(super) modified: u64,
}

/// A sector that was written and not synced.
#[derive(Debug)]
struct Unsynced {
    on_disk: [u8; SECTOR_BYTES],
    /// A sync of it failed: no later one writes it.
    is_lost: bool,
}

impl FileContent {
    /// An empty file that is open once.
    pub(super) fn with_handle() -> FileContent {
        FileContent { handles: 1, ..FileContent::default() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn length(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Bytes set aside or written.
    pub(super) fn space(&self) -> u64 {
        self.reserved.max(self.length())
    }

    /// Whether its space is its own: what has neither name nor handle is only kept for the crash that may bring it back.
    pub(super) fn is_held(&self) -> bool {
        self.links > 0 || self.handles > 0
    }

    /// Makes it longer, with zeros.
    pub(super) fn extend(&mut self, length: usize) {
        if self.bytes.is_empty() {
            // Fresh zeros cost no memory until they are written to, and volumes are mostly zeros.
            self.bytes = vec![0; length];
        } else if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset.saturating_add(bytes.len());
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let shown = sector_of(&self.bytes, sector);
            let fresh = || Unsynced { on_disk: shown, is_lost: false };
            self.unsynced.entry(sector).or_insert_with(fresh).is_lost = false;
        }
        self.extend(end);
        if let Some(place) = self.bytes.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
    }

    /// All of it survives from here on, save what an earlier sync lost.
    pub(super) fn sync(&mut self) {
        self.durable_length = self.bytes.len();
        self.unsynced.retain(|_, sector| sector.is_lost);
        self.durable_attributes.clone_from(&self.attributes);
    }

    /// A sync that fails: some sectors got there, the others never will.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.unsynced.retain(|_, sector| {
            let arrived = !sector.is_lost && random.chance(0.5);
            sector.is_lost = true;
            !arrived
        });
    }

    /// Power loss: each unsynced sector is kept with the probability `kept`, else dropped or torn; handles are gone.
    pub(super) fn crash(&mut self, kept: f64, random: &mut Random) {
        self.handles = 0;
        self.reserved = 0;
        if self.bytes.len() > self.durable_length {
            let volatile = self.bytes.len() - self.durable_length;
            let grown = if random.chance(kept) { volatile } else { random.index(volatile + 1) };
            self.bytes.truncate(self.durable_length + grown);
        }
        for (number, sector) in std::mem::take(&mut self.unsynced) {
            if !sector.is_lost && random.chance(kept) {
                continue;
            }
            let torn = !sector.is_lost && random.chance(TORN_CHANCE);
            let written = if torn { random.index(SECTOR_BYTES) } else { 0 };
            let start = number * SECTOR_BYTES;
            let end = (start + SECTOR_BYTES).min(self.bytes.len());
            if let Some(place) = self.bytes.get_mut(start..end) {
                place.iter_mut().zip(sector.on_disk).skip(written).for_each(|(shown, old)| *shown = old);
            }
        }
        self.durable_length = self.bytes.len();
        if self.attributes != self.durable_attributes {
            if random.chance(kept) {
                self.durable_attributes.clone_from(&self.attributes);
            } else {
                self.attributes.clone_from(&self.durable_attributes);
            }
        }
    }

    /// Flips the lowest bit of a byte, on the disk and in memory; false when the file has no such byte.
    pub(super) fn damage(&mut self, offset: usize) -> bool {
        let Some(byte) = self.bytes.get_mut(offset) else { return false };
        *byte ^= 1;
        if let Some(sector) = self.unsynced.get_mut(&(offset / SECTOR_BYTES))
            && let Some(byte) = sector.on_disk.get_mut(offset % SECTOR_BYTES)
        {
            *byte ^= 1;
        }
        true
    }
}

/// How often a sector that is not kept is a mixture of old and new instead: rare on real disks, and nothing may rely on it.
const TORN_CHANCE: f64 = 0.1;

fn sector_of(bytes: &[u8], number: usize) -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    let rest = bytes.get(number * SECTOR_BYTES..).unwrap_or_default();
    sector.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    sector
}
