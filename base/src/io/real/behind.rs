//! Threads that work behind the cores: they get what of a processor nobody else wants, and a hundredth of one that others do.
//!
//! Not of the policy SCHED_IDLE: a thread that may come to nothing at all can be in line for a lock of the kernel (that of the process's
//! mappings, say) and keep the core waiting behind it.

/// The lowest priority.
const NICE: i32 = 19;

/// Puts the calling thread behind all others. That it cannot be had is no reason not to work.
pub(in crate::io) fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of background work has the priority of its core");
    }
}
