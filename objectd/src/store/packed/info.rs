//! What an operator wants to know of a packed device.

use super::store::Store;
use base::io::fs;

/// What background work did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Volumes compacted.
    pub compactions: u64,
    /// Records written anew by that.
    pub moved_records: u64,
    /// Their bytes.
    pub moved_bytes: u64,
    /// Objects forgotten: old deletions, lone POSTs.
    pub forgotten: u64,
}

/// What is on the device, by the last checkpoint, and what this process did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Volumes.
    pub volumes: u64,
    /// Bytes of their files.
    pub volume_bytes: u64,
    /// Bytes of records that count.
    pub live_bytes: u64,
    /// Records that count.
    pub live_records: u64,
    /// Volumes without such a record.
    pub empty_volumes: u64,
    /// Space is laid aside for deletions on a full disk.
    pub has_reserve: bool,
    /// Stock files may be there that are not indexed yet.
    pub is_adopting: bool,
    /// Changes that wait for the next checkpoint.
    pub waiting_changes: u64,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// Batches flushed since the start.
    pub flushes: u64,
    /// Background work since the start.
    pub counts: Counts,
}

impl Info {
    /// Bytes of the volumes that are no record that counts: dead ones, padding, and what was not written yet.
    pub fn other_bytes(&self) -> u64 {
        self.volume_bytes.saturating_sub(self.live_bytes)
    }
}

/// Asks the index and the directory.
pub async fn info(store: &Store) -> std::io::Result<Info> {
    let usages = store.usages().await?;
    let mut info = Info {
        has_reserve: store.log.spare().has_reserve().await,
        is_adopting: store.is_adopting.get(),
        flushes: store.log.flushes(),
        counts: store.counts(),
        ..Info::default()
    };
    for number in store.log.numbers().await? {
        let usage = usages.get(&number).copied().unwrap_or_default();
        info.volumes += 1;
        info.volume_bytes += fs::metadata(&store.log.path(number)).await?.len;
        info.live_bytes += usage.live_bytes;
        info.live_records += usage.live_records;
        info.empty_volumes += u64::from(usage.live_records == 0);
    }
    let memory = store.memory.borrow();
    info.waiting_changes = memory.waiting() as u64;
    info.checkpoints = memory.checkpoints();
    Ok(info)
}
