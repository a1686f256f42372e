//! A whole cluster that a tool starts for itself, measures and removes: `martlet up` in a process of its own.

#![expect(clippy::disallowed_methods, reason = "a tool that starts daemons and waits for them, outside of any core")]

use crate::proof::node::free_address;
use base::io::real;
use bench::processes::{self, Server};
use bench::target::Target;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One cluster; ended and removed when dropped.
pub(crate) struct Cluster {
    target: Target,
    servers: Vec<Server>,
    // Dropped in this order.
    up: Process,
    folder: Folder,
}

/// A proxy beside the one a cluster has; ended when dropped.
pub(crate) struct SecondProxy {
    process: Process,
    target: Target,
}

/// Ended when dropped.
struct Process(Child);

/// Removed when dropped.
struct Folder(PathBuf);

impl Cluster {
    /// Starts it in the folder `dir`, which is made, with further words of `martlet up`.
    pub(crate) fn create(dir: &Path, words: &[&str]) -> Result<Cluster, String> {
        let folder = Folder(dir.to_owned());
        let (up, target) = start(dir, &[&["--port", "0"], words].concat())?;
        let servers = processes::servers(&[], Some(dir))?;
        Ok(Cluster { target, servers, up, folder })
    }

    /// Ends it, lets its folder be changed, starts it again.
    pub(crate) fn restart(&mut self, change: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
        self.up.end();
        change(self.dir())?;
        (self.up, self.target) = start(self.dir(), &[])?;
        self.servers = processes::servers(&[], Some(self.dir()))?;
        Ok(())
    }

    /// Where its requests go.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Its processes: proxy, objectd.
    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.folder.0
    }

    /// Process ids of all its servers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.servers.iter().flat_map(Server::pids).collect()
    }

    /// A second proxy of it, with these lines in its configuration's `[DEFAULT]`.
    pub(crate) fn second_proxy(&self, lines: &[&str]) -> Result<SecondProxy, String> {
        let address = free_address().map_err(|error| error.to_string())?;
        let said = |error: std::io::Error| format!("cannot start a second proxy: {error}");
        let etc = self.dir().join("etc");
        let text = std::fs::read(etc.join("proxy.conf")).map_err(said)?;
        let text = String::from_utf8_lossy(&text);
        let port = format!("bind_port = {}", address.port());
        let conf: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("bind_port") && !line.starts_with("metrics_bind"))
            .flat_map(|line| if line == "[DEFAULT]" { [&["[DEFAULT]", &port], lines].concat() } else { vec![line] })
            .collect();
        let file = etc.join("second-proxy.conf");
        std::fs::write(&file, conf.join("\n")).map_err(said)?;
        let log = std::fs::File::create(self.dir().join("log/second-proxy.log")).map_err(said)?;
        let mut command = Command::new(std::env::current_exe().map_err(said)?);
        command.arg("proxy").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Process(command.spawn().map_err(said)?);
        for _ in 0..500 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(SecondProxy { process, target: self.target.at(address) });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the second proxy does not answer".to_owned())
    }
}

impl SecondProxy {
    /// Where its requests go.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Its process.
    pub(crate) fn server(&self) -> Server {
        Server::of(self.process.0.id())
    }
}

/// Starts `martlet up` and makes a container for what it will be asked for.
fn start(dir: &Path, words: &[&str]) -> Result<(Process, Target), String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(program);
    command.arg("up").arg(dir).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut up = Process(command.spawn().map_err(|error| format!("cannot start a cluster: {error}"))?);
    let said = up.0.stdout.take().map(|output| announced(BufReader::new(output))).unwrap_or_default();
    let [auth, user, key] = said.as_slice() else {
        return Err(format!("the cluster did not start; see the logs below {}", dir.display()));
    };
    let target = real::run(real::CoreOptions::default(), || async {
        let target = Target::authenticate(auth, user, key).await?;
        target.prepare().await.map(|()| target)
    });
    Ok((up, target.map_err(|error| error.to_string())??))
}

impl Process {
    /// As Ctrl-C does: a cluster ends its daemons.
    fn end(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.0.try_wait()) {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
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
