//! Driver: system calls of servers while a load runs, counted by `perf stat` (the kernel's own counters, which cost a call some 0.1 us) or, where
//! there is none or it may not, by `strace -c`, which stops each call for some 20 us: then more requests share a call than without it.
//!
//! A run that is counted is another one than the run whose time is measured.

#![expect(clippy::disallowed_methods, reason = "started and ended between two loads")]

use crate::processes::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What was counted of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// All system calls.
    pub all: u64,
    /// Those of them that are `futex`: waits of threads for each other.
    pub futex: u64,
    /// Those of them that are `io_uring_enter`: one for all that a core has to do, so the busier it is the fewer for each request.
    pub ring: u64,
}

/// The means of counting, named in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// `perf stat` on the kernel's trace points.
    Perf,
    /// `strace -f -c`.
    Strace,
}

impl Means {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Means::Perf => "perf",
            Means::Strace => "strace",
        }
    }
}

/// Counters of some servers, one process of `perf` or `strace` for each. Ended when dropped.
pub struct Counting(Vec<Counter>);

struct Counter {
    means: Means,
    child: Child,
    said: Option<BufReader<ChildStdout>>,
}

/// Longest wait for strace to hold all threads; it does not say when it does.
const ATTACHED: Duration = Duration::from_millis(700);
const EVENTS: &str = "raw_syscalls:sys_enter,syscalls:sys_enter_futex,syscalls:sys_enter_io_uring_enter";

/// The best means that works here.
pub fn means() -> Option<Means> {
    let own = Server::of(std::process::id());
    [Means::Perf, Means::Strace].into_iter().find(|&means| match means {
        Means::Perf => Counting::start(means, std::slice::from_ref(&own)).is_ok_and(|counting| counting.stop().is_ok()),
        Means::Strace => runs(&["strace", "-c", "-o", "/dev/null", "true"]),
    })
}

fn runs(words: &[&str]) -> bool {
    let Some((program, words)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Counting {
    /// Starts to count; what is started is complete when this returns.
    pub fn start(means: Means, servers: &[Server]) -> Result<Counting, String> {
        let counters = servers.iter().map(|server| Counter::start(means, &server.pids()));
        let mut counting = Counting(counters.collect::<Result<_, _>>()?);
        match means {
            Means::Perf => counting.0.iter_mut().try_for_each(|counter| counter.tell("enable"))?,
            Means::Strace => std::thread::sleep(ATTACHED),
        }
        Ok(counting)
    }

    /// Ends it; what was counted, in the order of the servers.
    pub fn stop(mut self) -> Result<Vec<Calls>, String> {
        for counter in &mut self.0 {
            if counter.means == Means::Perf {
                counter.tell("disable")?;
            }
        }
        self.0.iter_mut().map(Counter::stop).collect()
    }
}

impl Counter {
    fn start(means: Means, pids: &[u32]) -> Result<Counter, String> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut command = match means {
            Means::Perf => Command::new("perf"),
            Means::Strace => Command::new("strace"),
        };
        match means {
            // Events begin disabled; orders are read from the standard input and acknowledged on the standard output.
            Means::Perf => command.args(["stat", "-x", ",", "-e", EVENTS, "-D", "-1", "--control", "fd:0,1", "-p"]),
            Means::Strace => command.args(["-f", "-c", "-U", "name,calls", "-p"]),
        };
        command.arg(pids.join(","));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{means:?}: {error}"))?;
        let said = child.stdout.take().map(BufReader::new);
        Ok(Counter { means, child, said })
    }

    /// Gives perf an order and waits until it is carried out.
    fn tell(&mut self, order: &str) -> Result<(), String> {
        let told = self.child.stdin.as_mut().is_some_and(|input| writeln!(input, "{order}").is_ok());
        let mut answer = Vec::new();
        let heard = self.said.as_mut().is_some_and(|said| said.read_until(b'\n', &mut answer).is_ok());
        // Some versions end their answers with a zero.
        let is_ack = answer.iter().filter(|&&byte| byte != 0).eq(b"ack\n".iter());
        if told && heard && is_ack { Ok(()) } else { Err(format!("perf stat does not {order}")) }
    }

    fn stop(&mut self) -> Result<Calls, String> {
        let pid = self.child.id().to_string();
        if !runs(&["kill", "-INT", &pid]) {
            return Err(format!("{:?} ended too early", self.means));
        }
        let mut report = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut report).map_err(|error| error.to_string())?;
        }
        let _ = self.child.wait();
        let calls = match self.means {
            Means::Perf => of_perf(&report),
            Means::Strace => of_strace(&report),
        };
        calls.ok_or_else(|| format!("{:?} said: {report}", self.means))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // Both leave the processes they look at as they were.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `COUNT,,EVENT,…` a line; `<not counted>` where nothing happened.
fn of_perf(report: &str) -> Option<Calls> {
    let count = |event: &str| {
        let line = report.lines().find(|line| line.split(',').nth(2) == Some(event))?;
        let count = line.split(',').next()?;
        if count.starts_with("<not counted") { Some(0) } else { count.parse().ok() }
    };
    Some(Calls {
        all: count("raw_syscalls:sys_enter")?,
        futex: count("syscalls:sys_enter_futex")?,
        ring: count("syscalls:sys_enter_io_uring_enter")?,
    })
}

/// `NAME CALLS` a line, the last one `total`; nothing at all where nothing happened.
fn of_strace(report: &str) -> Option<Calls> {
    let count = |name: &str| {
        report.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next()? == name).then_some(words.next()?.parse().ok()?)
        })
    };
    let count = |name: &str| count(name).unwrap_or(0);
    Some(Calls { all: count("total"), futex: count("futex"), ring: count("io_uring_enter") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_both_means_are_read() {
        let perf = "Events disabled\nEvents enabled\n699897,,raw_syscalls:sys_enter,282090689,100.00,,\n<not counted>,,syscalls:sys_enter_futex,0,0.00,,\n12,,syscalls:sys_enter_io_uring_enter,282090689,100.00,,\n";
        assert_eq!(of_perf(perf), Some(Calls { all: 699_897, futex: 0, ring: 12 }));
        assert_eq!(of_perf("event syntax error\n"), None);
        let strace = "strace: Process 1 attached\nsyscall              calls\n---------------- ---------\nfutex                     4\ngetppid               28783\n---------------- ---------\ntotal                 28787\n";
        assert_eq!(of_strace(strace), Some(Calls { all: 28_787, futex: 4, ring: 0 }));
    }

    #[test]
    fn calls_of_a_busy_process_are_counted() {
        let Some(means) = means() else {
            println!("neither perf nor strace works here");
            return;
        };
        let script = "i=0; while [ $i -lt 100000000 ]; do i=$((i+1)); echo x > /dev/null; done";
        let mut busy = Command::new("sh").args(["-c", script]).spawn().expect("sh");
        let counting = Counting::start(means, &[Server::of(busy.id())]).expect("starts");
        std::thread::sleep(Duration::from_millis(300));
        let calls = counting.stop();
        busy.kill().expect("kill");
        busy.wait().expect("wait");
        assert!(calls.expect("counted")[0].all > 100, "a loop of writes");
    }
}
