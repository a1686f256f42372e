//! Threads that work behind the cores: they get what of a processor nobody else wants, and next to nothing of one that others do.
//!
//! The lowest priority alone is not enough: the kernel lets whoever runs go on for a while (up to 3 ms here), and a core that has something to do
//! would wait for that. A thread of the policy SCHED_IDLE is stopped as soon as any other wakes up.

#![expect(unsafe_code, reason = "a system call that rustix does not have")]

/// For the kernels and places where the policy cannot be had.
const NICE: i32 = 19;

/// Puts the calling thread behind all others. That it cannot be had is no reason not to work.
pub(in crate::io) fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread of background work has the priority of its core");
    }
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: of the calling thread (0); the parameter outlives the call, which only reads it.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, "a thread of background work shares its processor with its core");
    }
}
