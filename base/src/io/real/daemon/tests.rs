//! A daemon is a process: these tests start this test program again as one.

use super::daemon;
use crate::io::{Shutdown, sleep};
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROLE: &str = "MARTLET_TEST_DAEMON";

/// Not a test of its own: what the child process runs.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let result = daemon(2, "child", move |core, shutdown: Shutdown| {
        let role = role.clone();
        async move {
            println!("up {core}");
            if role == "fails" && core == 1 {
                return Err(io::Error::other("on purpose"));
            }
            assert!(role != "panics" || core != 1, "on purpose");
            shutdown.requested().await;
            if role == "hangs" {
                sleep(Duration::from_secs(30)).await;
            }
            println!("down {core}");
            Ok(())
        }
    });
    match result {
        Ok(()) => println!("ended well"),
        Err(error) => println!("ended with {error}"),
    }
}

struct Running(Child, BufReader<std::process::ChildStdout>);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(role: &str, epoll: bool) -> Running {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "io::real::daemon::tests::child", "--nocapture"]);
        command.env(ROLE, role).env("MARTLET_NO_IO_URING", if epoll { "1" } else { "0" });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Running(child, output)
    }

    /// Reads lines until one contains `text`.
    fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        for _ in 0..100 {
            line.clear();
            assert_ne!(self.1.read_line(&mut line).unwrap(), 0, "ended before {text:?}");
            if line.contains(text) {
                return;
            }
        }
        panic!("{text:?} never came");
    }

    fn terminate(&self) {
        let process = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    }
}

#[test]
fn a_signal_ends_every_core() {
    for epoll in [false, true] {
        let mut child = Running::start("waits", epoll);
        child.wait_for("up");
        child.wait_for("up");
        child.terminate();
        child.wait_for("down");
        child.wait_for("down");
        child.wait_for("ended well");
        assert!(child.0.wait().unwrap().success());
    }
}

#[test]
fn a_core_that_fails_or_panics_ends_the_others() {
    for role in ["fails", "panics"] {
        let mut child = Running::start(role, false);
        child.wait_for("down 0");
        child.wait_for("ended with");
        child.0.wait().unwrap();
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut child = Running::start("hangs", false);
    child.wait_for("up");
    child.wait_for("up");
    child.terminate();
    // Two signals at the same time are one to the kernel.
    #[expect(clippy::disallowed_methods, reason = "a test outside any core")]
    std::thread::sleep(Duration::from_millis(200));
    child.terminate();
    assert_eq!(child.0.wait().unwrap().code(), Some(130));
}

#[test]
fn a_server_refuses_huge_pages() {
    super::refuse_huge_pages();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    // Kernels before 5.0 do not say.
    let said = status.lines().find(|line| line.starts_with("THP_enabled:"));
    assert!(said.is_none_or(|line| line.ends_with('0')), "{said:?}");
}
