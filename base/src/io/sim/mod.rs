//! The simulator: one thread, one seed. It picks the next ready task by its random generator, moves time only when nothing
//! is ready, and injects faults.

pub(super) mod clock;
pub(super) mod disk;
pub(super) mod kv;
pub(super) mod net;
pub(super) mod task;
