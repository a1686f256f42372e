//! What server processes used, from `/proc`: CPU time of all their threads, io_uring workers among them, and resident memory.

#![expect(clippy::disallowed_methods, reason = "read between two loads, when nothing is in flight")]

use std::path::Path;

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Its own: heap and stacks.
    pub own: u64,
    /// Pages of files that it has mapped, the program itself among them.
    pub mapped: u64,
}

/// The processes to count: those named, and those of a cluster folder (`run/*.pid`).
pub fn pids(named: &[u32], cluster: Option<&Path>) -> Result<Vec<u32>, String> {
    let mut pids = named.to_vec();
    let Some(cluster) = cluster else { return Ok(pids) };
    let run = cluster.join("run");
    let entries = std::fs::read_dir(&run).map_err(|error| format!("cannot read {}: {error}", run.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "pid")) {
        let text = std::fs::read(entry.path()).unwrap_or_default();
        pids.extend(String::from_utf8_lossy(&text).trim().parse::<u32>());
    }
    if pids.is_empty() { Err(format!("no server runs for {}", cluster.display())) } else { Ok(pids) }
}

/// Nanoseconds that all threads of these processes have run. A process that is gone counts nothing.
pub fn run_time_nanos(pids: &[u32]) -> u64 {
    let mut nanos: u64 = 0;
    for pid in pids {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = std::fs::read(task.path().join("schedstat")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let ran = text.split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            nanos = nanos.saturating_add(ran.unwrap_or(0));
        }
    }
    nanos
}

/// Resident memory of a process; nothing for one that is gone.
pub fn resident(pid: u32) -> Resident {
    let text = std::fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let kibibytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Resident { own: kibibytes("RssAnon:") * 1024, mapped: (kibibytes("RssFile:") + kibibytes("RssShmem:")) * 1024 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_run_and_is_resident() {
        let pid = std::process::id();
        assert!(run_time_nanos(&[pid]) > 0);
        assert!(resident(pid).own > 0);
        assert_eq!(resident(u32::MAX), Resident::default());
    }
}
