//! The background of packed devices: checkpoints, the reserve, adoption, compaction, reclaiming.
//!
//! Two loops for each device, on the core that owns it. One keeps the replay after a crash short and unlinks what is out of use; the other does
//! the long works one after the other. All of it may be cut off at any moment.

use super::compact::{Turns, compact, finish_drops};
use super::reclaim::reclaim;
use super::store::Store;
use super::victim::{self, Candidate};
use super::{adopt, pace::Pace};
use crate::config::Config;
use crate::node::Node;
use base::http::server::Drain;
use base::io::maintenance::Reader;
use base::io::{self, fs};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

/// Between two looks for new devices, and for work.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between two checkpoints, when anything waits: bounds the replay after a crash.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// Between two walks for deletions to forget, and for what could not be done before.
const WALK_EVERY: Duration = Duration::from_secs(3600);
/// Between two steps of such a walk.
const WALK_PAUSE: Duration = Duration::from_millis(5);
/// A disk is nearly full when fewer volumes than these fit.
const VOLUMES_LEFT: u64 = 2;
/// What one step of the adoption's walk takes of a disk.
const ADOPTION_STEP: Duration = Duration::from_millis(5);

/// Runs beside the services of a core until they are drained.
pub async fn run(node: Rc<Node>, drain: Drain) {
    let reader = match node.config.maintenance_executor {
        true => Reader::new(&format!("objectd-maintenance-{}", node.core)),
        false => Reader::without_executor(),
    };
    let mut known = BTreeSet::new();
    while !drain.is_started() {
        for device in node.devices() {
            if let Some(store) = device.packed.clone()
                && known.insert(device.name.clone())
            {
                let work = Work::new(store, reader.clone(), node.config.clone(), drain.clone());
                io::spawn(work.clone().keep_up());
                io::spawn(work.run());
            }
        }
        io::sleep(LOOK_EVERY).await;
    }
}

/// A last checkpoint of each device, so that the next start has nothing to replay.
pub async fn finish(node: &Node) {
    for store in node.devices().iter().filter_map(|device| device.packed.clone()) {
        if store.failed().is_none()
            && let Err(error) = store.checkpoint_at_once().await
        {
            tracing::warn!(root = %store.root.display(), %error, "no last checkpoint: the next start replays what it lacks");
        }
    }
}

/// The background of one device.
pub struct Work {
    store: Rc<Store>,
    reader: Reader,
    config: Rc<Config>,
    drain: Drain,
    /// Bytes of each volume's file.
    lengths: RefCell<BTreeMap<u32, u64>>,
    /// Volumes that could not be compacted.
    shunned: RefCell<BTreeSet<u32>>,
}

impl Work {
    /// On a store, until `drain` starts.
    pub fn new(store: Rc<Store>, reader: Reader, config: Rc<Config>, drain: Drain) -> Rc<Work> {
        Rc::new(Work { store, reader, config, drain, lengths: RefCell::default(), shunned: RefCell::default() })
    }

    fn is_ending(&self) -> bool {
        self.drain.is_started() || self.store.failed().is_some()
    }

    async fn keep_up(self: Rc<Self>) {
        let root = self.store.root.display();
        while !self.is_ending() {
            let is_settled = self.store.memory.borrow().is_settled();
            if !is_settled && let Err(error) = self.store.checkpoint().await {
                tracing::error!(%root, %error, "the index could not be brought up to date");
            }
            if let Err(error) = self.store.log.spare().lay_reserve_aside().await {
                tracing::debug!(%root, %error, "no space for the reserve yet");
            }
            io::sleep(CHECKPOINT_EVERY).await;
        }
    }

    async fn run(self: Rc<Self>) {
        let root = self.store.root.display();
        let mut next_walk = io::monotonic();
        while !self.is_ending() {
            let is_walk_due = io::monotonic() >= next_walk;
            if is_walk_due {
                next_walk = io::monotonic().after(WALK_EVERY);
                self.shunned.borrow_mut().clear();
            }
            let result = match is_walk_due {
                true => self.walk().await,
                false => Ok(()),
            };
            match result.and(self.make_room().await.map(drop)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    tracing::warn!(%root, %error, "background work was given up, it is tried again");
                }
                _ => {}
            }
            io::sleep(LOOK_EVERY).await;
        }
    }

    /// What looks at everything on the device.
    async fn walk(&self) -> std::io::Result<()> {
        let pace = RefCell::new(Pace::default());
        let rest = || {
            let now = io::monotonic().as_nanos();
            pace.borrow_mut().rest(&self.store.foreground(), now, ADOPTION_STEP, false)
        };
        adopt::walk(&self.store, &self.reader, &rest).await?;
        let forgotten = reclaim(&self.store, self.config.reclaim_age, WALK_PAUSE).await?;
        if forgotten > 0 {
            tracing::info!(root = %self.store.root.display(), forgotten, "old deletions forgotten");
        }
        Ok(())
    }

    /// Finishes drops and compacts as long as there is something to gain. Answers how many volumes went.
    pub async fn make_room(&self) -> std::io::Result<u64> {
        let is_ending = || self.is_ending();
        finish_drops(&self.store, &self.reader, &mut Turns::new(&self.store, true, &is_ending)).await?;
        let mut compacted = 0;
        // Ends: every turn takes a volume out of the store or out of the choice, and what is moved is dense.
        while !self.is_ending() {
            let is_nearly_full = self.is_nearly_full().await?;
            let Some(volume) = self.choose(is_nearly_full).await? else { break };
            let mut turns = Turns::new(&self.store, is_nearly_full, &is_ending);
            match compact(&self.store, &self.reader, volume, &mut turns).await {
                Ok(done) => {
                    tracing::info!(root = %self.store.root.display(), volume, ?done, "volume compacted");
                    compacted += 1;
                }
                Err(error) => {
                    if !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::StorageFull) {
                        self.shunned.borrow_mut().insert(volume);
                    }
                    return Err(error);
                }
            }
        }
        Ok(compacted)
    }

    async fn is_nearly_full(&self) -> std::io::Result<bool> {
        let space = fs::space(&self.store.root).await?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of bytes; the last digits do not matter"
        )]
        let reserved = (space.total as f64 * self.config.fallocate_reserve) as u64;
        Ok(space.available < reserved.saturating_add(VOLUMES_LEFT * self.config.volume_bytes))
    }

    /// The volume to be compacted next, by the last checkpoint.
    async fn choose(&self, is_nearly_full: bool) -> std::io::Result<Option<u32>> {
        let end = self.store.memory.borrow().end().volume;
        let usages = self.store.usages().await?;
        let numbers = self.store.log.numbers().await?;
        self.lengths.borrow_mut().retain(|number, _| numbers.contains(number));
        let mut candidates = Vec::new();
        for volume in numbers.into_iter().filter(|number| *number < end) {
            if self.shunned.borrow().contains(&volume) {
                continue;
            }
            let known = self.lengths.borrow().get(&volume).copied();
            let bytes = match known {
                Some(bytes) => bytes,
                None => {
                    let bytes = fs::metadata(&self.store.log.path(volume)).await?.len;
                    self.lengths.borrow_mut().insert(volume, bytes);
                    bytes
                }
            };
            let usage = usages.get(&volume).copied().unwrap_or_default();
            let (live_bytes, live_records) = (usage.live_bytes, usage.live_records);
            candidates.push(Candidate { volume, bytes, live_bytes, live_records });
        }
        Ok(victim::choose(&candidates, is_nearly_full))
    }
}
