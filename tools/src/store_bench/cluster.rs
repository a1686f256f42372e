//! A whole cluster under measurement: `martlet up` with one copy of every object, so that a GET costs one proxy and one node.

use super::node::Measured;
use base::io::real;
use bench::disk::Disk;
use bench::load::{Load, Objects, Until, Verb};
use bench::processes;
use bench::target::Target;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// One cluster; ended and removed when dropped.
pub(super) struct Cluster {
    dir: PathBuf,
    child: Child,
    target: Target,
    pids: Vec<u32>,
    disk: Disk,
}

impl Cluster {
    /// Starts it in the folder `dir`, which is made.
    pub(super) fn create(dir: &Path) -> Result<Cluster, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        command.arg("up").arg(dir).args(["--port", "0", "--devices", "1", "--replicas", "1", "--cores", "1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("cannot start a cluster: {error}"))?;
        let said = child.stdout.take().map(|output| announced(BufReader::new(output))).unwrap_or_default();
        // Ends it from here on, whatever fails.
        let stop = Stop(Some(child));
        let [auth, user, key] = said.as_slice() else { return Err("the cluster did not start".to_owned()) };
        let target = real::run(real::CoreOptions::default(), || async {
            let target = Target::authenticate(auth, user, key).await?;
            target.prepare().await.map(|()| target)
        });
        let target = target.map_err(|error| error.to_string())??;
        let pids = processes::pids(&[], Some(dir))?;
        let disk = Disk::under(dir)?;
        Ok(Cluster { dir: dir.to_owned(), child: stop.take()?, target, pids, disk })
    }

    /// A load on it over 16 connections.
    pub(super) fn load(&self, verb: Verb, bytes: usize, objects: Objects, until: Until) -> Load {
        Load { target: self.target.clone(), verb, bytes, prefix: "o", objects, connections: 16, until, rate: None }
    }

    /// Stores objects; fails when one is not stored.
    pub(super) fn fill(&self, bytes: usize, objects: Objects) -> Result<Measured, String> {
        self.measure(self.load(Verb::Put, bytes, objects, Until::Requests(objects.count)))?.without_failures()
    }

    /// Runs a load and counts what it costs all its processes.
    pub(super) fn measure(&self, load: Load) -> Result<Measured, String> {
        Measured::of(&self.pids, &self.disk, load)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        end(&mut self.child);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Ends a cluster that did not get as far as being one.
struct Stop(Option<Child>);

impl Stop {
    fn take(mut self) -> Result<Child, String> {
        self.0.take().ok_or_else(|| "the cluster is gone".to_owned())
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

/// As Ctrl-C does: it ends its daemons.
fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::INT);
    }
    let _ = child.wait();
}

/// Where to authenticate, user and key, as `martlet up` says them.
fn announced(output: impl BufRead) -> Vec<String> {
    let mut said = Vec::new();
    for line in output.lines().map_while(Result::ok) {
        let mut words = line.split_whitespace();
        if let (Some("auth" | "user" | "key"), Some(value)) = (words.next(), words.next()) {
            said.push(value.to_owned());
        }
        if line.starts_with("Ctrl-C") {
            break;
        }
    }
    said
}
