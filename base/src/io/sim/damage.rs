//! Damage that a test plans: a crash or an error at exactly one step of a disk, defects of a whole disk, a flipped bit, a
//! smaller disk.
//!
//! To try all steps of a workload, run it once with a seed and read `disk_steps`; then run it with the same seed again for each
//! number up to that, with a crash (or an error) planned there. Until that step the runs are the same.

use super::step::{Defects, Planned};
use super::world::Node;
use super::{CLIENT, NodeId, SimHandle, as_u64};
use std::io;
use std::path::Path;

impl SimHandle {
    /// Steps the disk of a node has taken in all its lives: writes, syncs, names, unlinks, allocations, commits.
    pub fn disk_steps(&self, node: NodeId) -> u64 {
        self.with_node(node, |node| node.steps.taken)
    }

    /// Plans what happens at the step with this number (the first has number 1; `disk_steps` is the last one taken). Not
    /// switched off by `set_faults(false)`. A crash is not for the client's node.
    pub fn plan_step(&self, node: NodeId, number: u64, planned: Planned) {
        assert!(planned != Planned::Crash || node != CLIENT, "the client does not crash");
        let taken = self.disk_steps(node);
        assert!(number > taken, "step {number} is past: {taken} are taken");
        self.with_node(node, |node| node.steps.planned.insert(number, planned));
    }

    /// Forgets what was planned for steps to come.
    pub fn forget_plans(&self, node: NodeId) {
        self.with_node(node, |node| node.steps.planned.clear());
    }

    /// Gives the disk of a node these defects from now on.
    pub fn set_defects(&self, node: NodeId, defects: Defects) {
        self.with_node(node, |node| node.steps.defects = defects);
    }

    /// Flips the lowest bit of the byte at `offset` of a file. Errors when there is no such file or byte.
    pub fn damage(&self, node: NodeId, path: &Path, offset: u64) -> io::Result<()> {
        self.world.note("damage", as_u64(node), offset);
        self.with_node(node, |node| node.disk.damage(path, offset))
    }

    /// Makes the disk of a node larger or smaller, to smaller than it is full even: then every new byte is refused.
    pub fn set_disk_capacity(&self, node: NodeId, bytes: u64) {
        self.with_node(node, |node| node.disk.set_capacity(bytes));
    }

    /// All bytes of the disk of a node, and those still free.
    pub fn disk_space(&self, node: NodeId) -> (u64, u64) {
        self.with_node(node, |node| node.disk.space())
    }

    fn with_node<T>(&self, node: NodeId, use_it: impl FnOnce(&mut Node) -> T) -> T {
        use_it(self.world.nodes.borrow_mut().get_mut(node.0).expect("a node of this simulation"))
    }
}
