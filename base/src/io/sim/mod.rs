//! The simulator: one thread, one seed. It picks the next ready task by its random generator, moves time only when nothing
//! is ready, and injects faults.
