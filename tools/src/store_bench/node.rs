//! A storage node under measurement: a process of its own with one device, and what a load on it cost.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool that starts daemons and waits for them, outside of any core"
)]

use crate::proof::node;
use base::io::real;
use bench::disk::{Disk, Work};
use bench::load::{Load, Objects, Seen, Until, Verb};
use bench::processes;
use bench::target::Target;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the first answer.
const READY: Duration = Duration::from_secs(60);
/// Longest wait for a volume to be compacted.
const COMPACTED: Duration = Duration::from_secs(60);
/// Name of the one device.
pub(crate) const DEVICE: &str = "d1";

/// One node; ended when dropped.
pub(crate) struct Node {
    dir: PathBuf,
    address: SocketAddr,
    child: Child,
    disk: Disk,
}

/// What a load saw, and what it cost.
pub(crate) struct Measured {
    pub(crate) seen: Seen,
    /// CPU time of the servers for each good request, in microseconds.
    pub(crate) cpu_us: f64,
    /// What the disk did.
    pub(crate) work: Work,
}

impl Node {
    /// Makes and starts a node below `dir`, with further lines of its configuration.
    pub(crate) fn create(dir: &Path, options: &[&str]) -> Result<Node, String> {
        let address = node::free_address().map_err(|error| error.to_string())?;
        let options: Vec<String> = options.iter().map(|line| (*line).to_owned()).collect();
        node::make(dir, address, &options).map_err(|error| format!("{}: {error}", dir.display()))?;
        let disk = Disk::under(dir)?;
        let child = start(dir)?;
        let node = Node { dir: dir.to_owned(), address, child, disk };
        node.wait_for("/healthcheck")?;
        Ok(node)
    }

    /// Ends it (as an operator does, or at once) and starts it again; the time until it answered a GET of `object`.
    pub(crate) fn restart(&mut self, signal: Signal, object: &str) -> Result<Duration, String> {
        self.end(signal);
        let begun = Instant::now();
        self.child = start(&self.dir)?;
        self.wait_for(&format!("/{DEVICE}/0/bench/bench/{object}"))?;
        Ok(begun.elapsed())
    }

    /// Directory of the device.
    pub(crate) fn device(&self) -> PathBuf {
        self.dir.join("srv").join(DEVICE)
    }

    /// Its configuration file.
    pub(crate) fn conf(&self) -> PathBuf {
        node::conf(&self.dir)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Where its requests go.
    pub(crate) fn target(&self) -> Target {
        Target::node(self.address, DEVICE)
    }

    /// A load on this node over 64 connections.
    pub(crate) fn load(&self, verb: Verb, bytes: usize, objects: Objects, until: Until) -> Load {
        Load { connections: 64, until, ..Load::new(self.target(), verb, bytes, objects) }
    }

    /// Stores objects; fails when one is not stored.
    pub(crate) fn fill(&self, bytes: usize, objects: Objects) -> Result<Measured, String> {
        let filled = self.measure(self.load(Verb::Put, bytes, objects, Until::Requests(objects.count)))?;
        filled.without_failures()
    }

    /// Runs a load and counts what it costs.
    pub(crate) fn measure(&self, load: Load) -> Result<Measured, String> {
        Measured::of(&[self.pid()], &self.disk, load)
    }

    /// Tells the kernel to forget what it keeps of the volumes; of nothing else, so that the index stays warm.
    pub(crate) fn cool_volumes(&self) -> Result<(), String> {
        for volume in self.volumes()? {
            let file = std::fs::File::open(&volume).map_err(|error| format!("{}: {error}", volume.display()))?;
            rustix::fs::fdatasync(&file)
                .and_then(|()| rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed))
                .map_err(|error| format!("{}: {error}", volume.display()))?;
        }
        Ok(())
    }

    /// The files of the log, ascending.
    pub(crate) fn volumes(&self) -> Result<Vec<PathBuf>, String> {
        let folder = self.device().join("martlet-store/volumes");
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut volumes: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        volumes.retain(|path| path.extension().is_some_and(|end| end == "volume"));
        volumes.sort();
        Ok(volumes)
    }

    /// Waits until a volume that is there now was compacted; the volumes that are there now.
    pub(crate) fn wait_until_a_volume_goes(&self) -> Result<Vec<PathBuf>, String> {
        let (before, begun) = (self.volumes()?, Instant::now());
        while begun.elapsed() < COMPACTED {
            let now = self.volumes()?;
            if before.iter().any(|volume| !now.contains(volume)) {
                return Ok(before);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("no volume was compacted".to_owned())
    }

    /// Stops the process, all its threads with it, until what is returned is dropped.
    pub(crate) fn stand_still(&self) -> Still<'_> {
        self.signal(Signal::STOP);
        Still(self)
    }

    /// Ends the process and waits for it.
    pub(crate) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    fn wait_for(&self, path: &str) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if answers(self.address, path) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!("the node below {} does not answer; see its log there", self.dir.display()))
    }
}

/// A node that stands still meanwhile.
pub(crate) struct Still<'a>(&'a Node);

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Measured {
    /// Runs a load and counts what it costs these processes and the disk.
    pub(crate) fn of(pids: &[u32], disk: &Disk, load: Load) -> Result<Measured, String> {
        let (before, work) = (processes::run_time_nanos(pids), disk.work());
        let seen = real::run(real::CoreOptions::default(), || load.run()).map_err(|error| error.to_string())?;
        let nanos = processes::run_time_nanos(pids).saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run, far below 2^52")]
        let cpu_us = nanos as f64 / 1000.0 / seen.requests().max(1) as f64;
        Ok(Measured { cpu_us, work: disk.work().since(work), seen })
    }

    /// Itself when all requests were answered as they should be.
    pub(crate) fn without_failures(self) -> Result<Measured, String> {
        let seen = self.seen.without_failures()?;
        Ok(Measured { seen, ..self })
    }

    /// A count of the disk for each request.
    pub(crate) fn each(&self, count: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counters of a run, far below 2^52")]
        let each = count as f64 / self.seen.requests().max(1) as f64;
        each
    }
}

fn start(dir: &Path) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log"));
    let log = log.map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut command = Command::new(program);
    command.arg("objectd").arg(node::conf(dir)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|error| format!("cannot start objectd: {error}"))
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
