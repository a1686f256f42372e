//! The daemons of a dev cluster as child processes: started, waited for, watched and stopped.
//!
//! Each child is told our process id and ends when we do, however we end.

use super::layout::{Layout, cannot, make_dir};
use crate::Failure;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest wait for all daemons to answer.
const READY: Duration = Duration::from_secs(60);
/// Longest wait for a daemon to drain before it is killed; the daemons themselves give up earlier.
const STOP: Duration = Duration::from_secs(15);
/// Pause between two looks at a daemon.
const LOOK: Duration = Duration::from_millis(20);

/// The running daemons.
pub(super) struct Cluster {
    daemons: Vec<Daemon>,
    signals: Signals,
}

struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    pid_file: PathBuf,
    /// Addresses that answer `/healthcheck` once it is ready.
    addresses: Vec<SocketAddr>,
}

impl Cluster {
    /// Starts every storage node, then the proxy.
    pub(super) fn start(layout: &Layout) -> Result<Cluster, Failure> {
        make_dir(&layout.logs())?;
        make_dir(&layout.dir.join("run"))?;
        // Before the children exist, so that no signal is missed.
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD])
            .map_err(|error| Failure::running(format!("cannot watch signals: {error}")))?;
        let mut cluster = Cluster { daemons: Vec::new(), signals };
        for (number, node) in layout.nodes.iter().enumerate() {
            let name = format!("node{}", number.saturating_add(1));
            let ports = node.ports.iter().flatten();
            let addresses = ports.map(|&port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
            cluster.launch(layout, &name, "objectd", addresses)?;
        }
        let api = SocketAddr::new(layout.bind, layout.port);
        cluster.launch(layout, "proxy", "proxy", vec![api])?;
        Ok(cluster)
    }

    fn launch(
        &mut self,
        layout: &Layout,
        name: &str,
        subcommand: &str,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::running(format!("cannot find this executable: {error}")))?;
        let log = layout.logs().join(format!("{name}.log"));
        let output = append(&log)?;
        let conf = layout.etc().join(format!("{name}.conf"));
        let child = Command::new(program)
            .arg(subcommand)
            .arg(conf)
            .arg("--parent")
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|error| Failure::running(format!("cannot start {name}: {error}")))?;
        let pid_file = layout.dir.join("run").join(format!("{name}.pid"));
        super::layout::write_private(&pid_file, format!("{}\n", child.id()).as_bytes())?;
        self.daemons.push(Daemon { name: name.to_owned(), child, log, pid_file, addresses });
        Ok(())
    }

    /// Waits until every daemon answers on every port.
    pub(super) fn wait_until_ready(&mut self, layout: &Layout) -> Result<(), Failure> {
        let looks = READY.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if self.signals.pending().any(|signal| signal != SIGCHLD) {
                return Err(Failure::running("stopped before the cluster was ready"));
            }
            self.find_dead()?;
            if self.daemons.iter().all(|daemon| daemon.addresses.iter().all(|&address| answers(address))) {
                return Ok(());
            }
            pause();
        }
        Err(Failure::running(format!(
            "the daemons did not answer within {} s; see {}",
            READY.as_secs(),
            layout.logs().display()
        )))
    }

    /// Waits for Ctrl-C or SIGTERM (fine), or the end of a daemon. A storage node that dies is told of once and the
    /// cluster goes on without it, as a cluster does; without the proxy there is nothing to go on with.
    pub(super) fn wait_for_end(&mut self) -> Result<(), Failure> {
        loop {
            let signals: Vec<_> = self.signals.wait().collect();
            if signals.iter().any(|&signal| signal != SIGCHLD) {
                eprintln!("martlet: stopping");
                return Ok(());
            }
            let several = self.daemons.len() > 2;
            match self.find_dead() {
                Err(failure) if several && self.proxy_lives() => {
                    eprintln!("martlet: {}; the cluster goes on without it", failure.message);
                    self.forget_dead();
                }
                outcome => outcome?,
            }
        }
    }

    /// Ends every daemon: the proxy first, so that it drains over storage that is still there.
    pub(super) fn stop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            daemon.stop();
        }
        self.daemons.clear();
    }

    fn find_dead(&mut self) -> Result<(), Failure> {
        for daemon in &mut self.daemons {
            if let Ok(Some(status)) = daemon.child.try_wait() {
                let tail = tail(&daemon.log);
                return Err(Failure::running(format!("{} ended ({status}): {tail}", daemon.name)));
            }
        }
        Ok(())
    }

    fn proxy_lives(&mut self) -> bool {
        self.daemons
            .last_mut()
            .is_some_and(|daemon| daemon.name == "proxy" && matches!(daemon.child.try_wait(), Ok(None)))
    }

    fn forget_dead(&mut self) {
        self.daemons.retain_mut(|daemon| matches!(daemon.child.try_wait(), Ok(None)));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Daemon {
    fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid
            && matches!(self.child.try_wait(), Ok(None))
        {
            // It may have ended in between; its exit is collected below all the same.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for _ in 0..STOP.as_millis() / LOOK.as_millis() {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            pause();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        #[expect(clippy::disallowed_methods, reason = "the dev cluster's own file")]
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

/// Whether a daemon answers its health check.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address =
            if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address };
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// The last lines a daemon wrote, on one line; looks at the last 4 KiB of its log.
#[expect(clippy::disallowed_methods, reason = "the dev cluster's own log, read by the parent process")]
fn tail(log: &Path) -> String {
    use std::io::{Seek, SeekFrom};
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    let last = lines.into_iter().rev().collect::<Vec<_>>().join("; ");
    if last.is_empty() { format!("see {}", log.display()) } else { last }
}

fn append(log: &Path) -> Result<std::fs::File, Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(log);
    file.map_err(|error| cannot("write", log, &error))
}

#[expect(clippy::disallowed_methods, reason = "the parent process runs no core")]
fn pause() {
    std::thread::sleep(LOOK);
}
