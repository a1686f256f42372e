//! Steps of a simulated disk: every change of it is one, numbered from 1 on over all lives of its node, so that a test can try a
//! crash or a failure at each of them in turn.
//!
//! What a crash at a step means: a change of bytes or names is made and, like everything that was not synced, kept, dropped or
//! torn; a sync or a commit happened as a whole or not at all (a failed or unfinished sync may have written any part before).

use super::NodeId;
use super::disk::{INPUT_OUTPUT_ERROR, take_time};
use super::random::Random;
use super::world::{World, current};
use std::collections::BTreeMap;
use std::io;

/// Linux's number for a full device.
const NO_SPACE: i32 = 28;

/// What a test wants to happen at one step of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planned {
    /// The node loses its power at this step.
    Crash,
    /// The step fails with EIO; a write may have been done in part, and what a sync did not write is lost for good.
    InputOutputError,
    /// The step fails with ENOSPC.
    StorageFull,
}

/// Defects of a whole disk, for runs that must find them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// Syncs of files answer Ok and do nothing.
    pub skip_file_syncs: bool,
    /// Syncs of directories answer Ok and do nothing.
    pub skip_dir_syncs: bool,
}

/// What the disk of one node counts and plans.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) taken: u64,
    pub(crate) planned: BTreeMap<u64, Planned>,
    pub(crate) defects: Defects,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Makes a file or takes space for it, to no effect that a crash would leave.
    Allocate,
    /// Content or attributes.
    Write,
    SyncFile,
    /// A new name, or another one.
    Name,
    Unlink,
    SyncDir,
    Commit,
}

impl Kind {
    /// How often it fails without being planned to.
    fn error_chance(self, world: &World) -> f64 {
        match self {
            Kind::Allocate | Kind::Write | Kind::Name => world.options.write_error_chance,
            Kind::SyncFile | Kind::SyncDir => world.options.sync_error_chance,
            Kind::Commit => world.options.commit_error_chance,
            Kind::Unlink => 0.0,
        }
    }

    /// Whether it makes something durable, so that a crash in it finds all of it done or not.
    fn is_barrier(self) -> bool {
        matches!(self, Kind::SyncFile | Kind::SyncDir | Kind::Commit)
    }
}

/// Takes one step on the node that runs now: its time, its number, and what was planned for it or comes by chance.
/// `spoil` does what a failing step leaves behind.
pub(super) async fn step<T>(
    kind: Kind,
    apply: impl FnOnce() -> io::Result<T>,
    spoil: impl FnOnce(&mut Random),
) -> io::Result<T> {
    take_time().await;
    let world = current();
    let node = world.node();
    match fate(&world, node, kind) {
        Fate::Goes => apply(),
        Fate::Meets(Planned::StorageFull) => Err(io::Error::from_raw_os_error(NO_SPACE)),
        Fate::Meets(Planned::InputOutputError) => {
            world.with_random(spoil);
            Err(io::Error::from_raw_os_error(INPUT_OUTPUT_ERROR))
        }
        Fate::Meets(Planned::Crash) => {
            if !kind.is_barrier() || world.with_random(|random| random.chance(0.5)) {
                let _ = apply();
            }
            world.doom(node);
            std::future::pending().await
        }
        Fate::IsOver => std::future::pending().await,
    }
}

/// `step` of what leaves nothing behind when it fails.
pub(super) async fn clean_step<T>(kind: Kind, apply: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    step(kind, apply, |_| {}).await
}

/// What becomes of a step.
enum Fate {
    Goes,
    Meets(Planned),
    /// The node lost its power in another step of this very turn.
    IsOver,
}

fn fate(world: &World, node: NodeId, kind: Kind) -> Fate {
    if world.is_doomed(node) {
        return Fate::IsOver;
    }
    let planned = {
        let mut nodes = world.nodes.borrow_mut();
        let Some(state) = nodes.get_mut(node.0) else { return Fate::IsOver };
        state.steps.taken += 1;
        let taken = state.steps.taken;
        world.say(|| format!("disk step {taken} of {}: {kind:?}", state.name));
        state.steps.planned.remove(&taken)
    };
    if let Some(planned) = planned {
        world.note("planned disk fault", super::as_u64(node), 0);
        return Fate::Meets(planned);
    }
    match world.fault(kind.error_chance(world)) {
        true => {
            world.note("disk error", 0, 0);
            Fate::Meets(Planned::InputOutputError)
        }
        false => Fate::Goes,
    }
}

/// What is wrong with the disk of the node that runs now.
pub(super) fn defects() -> Defects {
    let world = current();
    let nodes = world.nodes.borrow();
    nodes.get(world.node().0).map_or_else(Defects::default, |node| node.steps.defects)
}
