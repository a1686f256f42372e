//! CPU time of the servers, from `/proc`.

use std::path::Path;

/// The processes to count: those named, and those of a cluster folder (`run/*.pid`).
#[expect(clippy::disallowed_methods, reason = "read before the load starts")]
pub(crate) fn pids(named: &[u32], cluster: Option<&Path>) -> Result<Vec<u32>, String> {
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
#[expect(clippy::disallowed_methods, reason = "read between two workloads, when nothing is in flight")]
pub(crate) fn run_time_nanos(pids: &[u32]) -> u64 {
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
