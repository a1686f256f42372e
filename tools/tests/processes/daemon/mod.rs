//! A real storage node that a test starts, asks, ends and kills.

use base::io::real;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tools::proof::{load, node};

/// `martlet objectd` on a folder of `proof::node`, killed when dropped.
pub struct Daemon {
    child: Child,
    started: Instant,
    log: PathBuf,
}

impl Daemon {
    /// Starts it; its words go to the file `log`.
    pub fn start(folder: &Path) -> Daemon {
        let log = folder.join("log");
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_martlet"))
            .arg("objectd")
            .arg(node::conf(folder))
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        Daemon { child, started, log }
    }

    /// The last line it said.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().last().unwrap_or("(it said nothing)").to_owned()
    }

    /// Waits for the first 200.
    pub fn ready(&mut self, address: SocketAddr) -> Duration {
        for _ in 0..3000 {
            let asked = real::run(real::CoreOptions::default(), || async move {
                let head = base::http::RequestHead::new(base::http::Method::Get, "/healthcheck");
                load::Client::new(address).request(head, None).await
            });
            if matches!(asked.unwrap(), Ok((200, _))) {
                return self.started.elapsed();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the node ended by itself: {}", self.last_words());
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the node does not answer");
    }
}

impl Daemon {
    /// All it said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks it to end, as an operator does, and waits for that: its exit code.
    pub fn end(mut self) -> Option<i32> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        for _ in 0..6000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end: {}", self.last_words());
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Bytes of a [`SmallDisk`].
const DISK_BYTES: u64 = 160 << 20;

/// A file system in a file, unmounted when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Makes it in the file `image`; `None` where no file system may be mounted.
    pub fn mount(image: &Path, at: &Path) -> Option<SmallDisk> {
        std::fs::File::create(image).unwrap().set_len(DISK_BYTES).unwrap();
        let does = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let is_made = does(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image));
        let is_mounted = is_made && does(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at));
        is_mounted.then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
