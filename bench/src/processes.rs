//! What server processes used, from `/proc`: CPU time of all their threads, io_uring workers among them, context switches, resident memory.
//!
//! A server is a process with all that it started: the workers of nginx and of the Python Swift count with their master.

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

/// A server: its name and the processes it was started as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `proxy`, `objectd`, `nginx`, …
    pub name: String,
    roots: Vec<u32>,
}

/// What a server has used since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time.
    pub cpu_nanos: u64,
    /// Context switches because it waited.
    pub voluntary: u64,
    /// Context switches because others were to run.
    pub involuntary: u64,
}

/// The servers with these process ids, named by what they run, and those that left their process ids in `folder/run/NAME.pid`.
pub fn servers(named: &[u32], folder: Option<&Path>) -> Result<Vec<Server>, String> {
    let mut servers = Vec::new();
    for &pid in named {
        join(&mut servers, name_of(pid, "server"), pid);
    }
    let Some(folder) = folder else { return Ok(servers) };
    let run = folder.join("run");
    let entries = std::fs::read_dir(&run).map_err(|error| format!("cannot read {}: {error}", run.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "pid")) {
        let Ok(pid) = read(file).trim().parse::<u32>() else { continue };
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        join(&mut servers, name_of(pid, &stem), pid);
    }
    if servers.is_empty() { Err(format!("no server runs for {}", folder.display())) } else { Ok(servers) }
}

/// Processes of one name are one server: the storage nodes of a cluster.
fn join(servers: &mut Vec<Server>, name: String, pid: u32) {
    match servers.iter_mut().find(|server| server.name == name) {
        Some(server) => server.roots.push(pid),
        None => servers.push(Server { name, roots: vec![pid] }),
    }
}

/// The subcommand of a process of ours; of another what its file of process ids is called, or its command.
fn name_of(pid: u32, called: &str) -> String {
    let command = read(format!("/proc/{pid}/cmdline"));
    let mut words = command.split('\0');
    let program = words.next().unwrap_or_default();
    match words.next() {
        Some(word @ ("proxy" | "objectd")) if program.ends_with("martlet") => word.to_owned(),
        _ if called != "server" => called.to_owned(),
        _ => Some(read(format!("/proc/{pid}/comm")).trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| called.to_owned()),
    }
}

impl Server {
    /// One process and what it starts.
    pub fn of(pid: u32) -> Server {
        Server { name: name_of(pid, "server"), roots: vec![pid] }
    }

    /// Its processes now: those it was started as and all that came of them.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = self.roots.clone();
        let mut next = 0;
        // Ends: a process has one parent, so none comes twice.
        while let Some(&pid) = pids.get(next) {
            next += 1;
            for task in tasks(pid) {
                pids.extend(read(task.join("children")).split_ascii_whitespace().flat_map(str::parse::<u32>));
            }
        }
        pids
    }

    /// What it has used so far.
    pub fn used(&self) -> Used {
        let pids = self.pids();
        let mut used = Used { cpu_nanos: run_time_nanos(&pids), ..Used::default() };
        for status in pids.iter().flat_map(|&pid| tasks(pid)).map(|task| read(task.join("status"))) {
            used.voluntary += field(&status, "voluntary_ctxt_switches:");
            used.involuntary += field(&status, "nonvoluntary_ctxt_switches:");
        }
        used
    }

    /// Its resident memory.
    pub fn resident_bytes(&self) -> u64 {
        self.pids().into_iter().map(resident).map(|resident| resident.own + resident.mapped).sum()
    }
}

impl Used {
    /// What was used since `earlier`.
    pub fn since(self, earlier: Used) -> Used {
        Used {
            cpu_nanos: self.cpu_nanos.saturating_sub(earlier.cpu_nanos),
            voluntary: self.voluntary.saturating_sub(earlier.voluntary),
            involuntary: self.involuntary.saturating_sub(earlier.involuntary),
        }
    }
}

/// Nanoseconds that all threads of these processes have run. A process that is gone counts nothing.
pub fn run_time_nanos(pids: &[u32]) -> u64 {
    let ran = |task: std::path::PathBuf| {
        let text = read(task.join("schedstat"));
        text.split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    pids.iter().flat_map(|&pid| tasks(pid)).map(ran).fold(0, u64::saturating_add)
}

/// Resident memory of a process; nothing for one that is gone.
pub fn resident(pid: u32) -> Resident {
    let status = read(format!("/proc/{pid}/status"));
    let kibibytes = |name: &str| field(&status, name);
    Resident { own: kibibytes("RssAnon:") * 1024, mapped: (kibibytes("RssFile:") + kibibytes("RssShmem:")) * 1024 }
}

/// The folders of a process's threads.
fn tasks(pid: u32) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The number in the line of a status file that begins with `name`; zero without one.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn read(path: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
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

    #[test]
    fn a_server_is_what_it_started_too() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let servers = servers(&[std::process::id()], None).expect("named");
        let pids = servers[0].pids();
        let used = servers[0].used();
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(pids.contains(&std::process::id()) && pids.contains(&child.id()), "{pids:?}");
        assert!(used.cpu_nanos > 0 && used.voluntary > 0, "{used:?}");
        assert_eq!(used.since(used), Used::default());
    }
}
