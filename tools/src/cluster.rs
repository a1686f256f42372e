//! A whole cluster that a tool starts for itself, measures and removes: `martlet up` in a process of its own.

use base::io::real;
use bench::processes::{self, Server};
use bench::target::Target;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// One cluster; ended and removed when dropped.
pub(crate) struct Cluster {
    dir: PathBuf,
    child: Child,
    target: Target,
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts it in the folder `dir`, which is made, with further words of `martlet up`.
    pub(crate) fn create(dir: &Path, words: &[&str]) -> Result<Cluster, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        command.arg("up").arg(dir).args(["--port", "0"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("cannot start a cluster: {error}"))?;
        let said = child.stdout.take().map(|output| announced(BufReader::new(output))).unwrap_or_default();
        // Ends it from here on, whatever fails.
        let stop = Stop(Some(child));
        let [auth, user, key] = said.as_slice() else {
            return Err(format!("the cluster did not start; see the logs below {}", dir.display()));
        };
        let target = real::run(real::CoreOptions::default(), || async {
            let target = Target::authenticate(auth, user, key).await?;
            target.prepare().await.map(|()| target)
        });
        let target = target.map_err(|error| error.to_string())??;
        let servers = processes::servers(&[], Some(dir))?;
        Ok(Cluster { dir: dir.to_owned(), child: stop.take()?, target, servers })
    }

    /// Where its requests go.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Process ids of all its servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.servers.iter().flat_map(Server::pids).collect()
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
