//! What a cluster folder holds and who listens where: decided on the first run, kept in `etc/cluster.json`.
//!
//! # Invariants
//!
//! - Devices, replicas, nodes and secrets never change once made: they decide where data lies.
//! - Ports may change between runs; the rings are written anew with the same assignments when they do.

use super::{Options, Profile};
use crate::Failure;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The one account `up` makes.
pub const ACCOUNT: &str = "test";
/// Its administrator.
const USER: &str = "tester";
/// Where ports of the daemons among themselves are looked for: below the range from which the kernel takes ports of
/// outgoing connections, so that none of those can be in the way on the next run.
const INTERNAL_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A cluster folder.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Absolute path of the folder.
    pub dir: PathBuf,
    /// Address of the Swift API.
    pub bind: IpAddr,
    /// Its port.
    pub port: u16,
    /// Port of the proxy's metrics, on loopback.
    pub metrics_port: u16,
    /// Memcached servers and the number of connections, as asked for in this run.
    pub memcached: Option<(String, Option<usize>)>,
    /// Copies of every object.
    pub replicas: usize,
    /// Cores of each daemon.
    pub cores: usize,
    /// What the folder is made for.
    pub profile: Profile,
    /// Key of the user.
    pub key: String,
    /// `swift_hash_path_suffix`.
    pub hash_suffix: String,
    /// Signs tokens.
    pub token_secret: String,
    /// The storage nodes.
    pub nodes: Vec<Node>,
    lock: Option<std::sync::Arc<std::fs::File>>,
}

/// One storage node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Per core: object, container and account port.
    pub ports: Vec<[u16; 3]>,
    /// Names of its devices; device i belongs to core i modulo cores.
    pub devices: Vec<String>,
}

impl Layout {
    /// Opens the folder, or makes it with the options given.
    pub fn open_or_create(options: &Options) -> Result<Layout, Failure> {
        let dir = std::path::absolute(&options.dir)
            .map_err(|error| Failure::usage(format!("{}: {error}", options.dir.display())))?;
        let mut layout = if description(&dir).exists() {
            let layout = Layout::open(&dir)?;
            layout.refuse_changes(options)?;
            layout
        } else {
            Layout::create(dir, options)?
        };
        layout.memcached = options.memcached.clone().map(|servers| (servers, options.max_memcache_connections));
        layout.port = options.port.unwrap_or(layout.port);
        layout.bind = options.bind.unwrap_or(layout.bind);
        Ok(layout)
    }

    /// Opens a folder made before.
    #[expect(clippy::disallowed_methods, reason = "the dev cluster's own files, read before any core exists")]
    pub fn open(dir: &Path) -> Result<Layout, Failure> {
        let file = description(dir);
        let text = std::fs::read(&file).map_err(|error| {
            Failure::usage(format!("{} is no cluster folder ({error}); `martlet up` makes one", dir.display()))
        })?;
        let value: Value = serde_json::from_slice(&text).map_err(|error| unreadable(&file, &error.to_string()))?;
        let dir = std::path::absolute(dir).map_err(|error| unreadable(&file, &error.to_string()))?;
        from_json(dir, &value).ok_or_else(|| unreadable(&file, "an entry is missing or has the wrong type"))
    }

    fn create(dir: PathBuf, options: &Options) -> Result<Layout, Failure> {
        let nodes = options.nodes.unwrap_or(1);
        let devices = options.devices.unwrap_or(4);
        let replicas = options.replicas.unwrap_or(3);
        let machine = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = options.cores.unwrap_or(machine.min(4));
        let profile = options.profile.unwrap_or(Profile::Plain);
        check_counts(nodes, devices, replicas, cores)?;
        // A core without a device would own nothing.
        let cores_per_node = cores.min(devices / nodes).max(1);
        let names: Vec<String> = (1..=devices).map(|number| format!("d{number}")).collect();
        let nodes = (0..nodes)
            .map(|node| Node {
                ports: vec![[0; 3]; cores_per_node],
                devices: names.iter().skip(node).step_by(nodes).cloned().collect(),
            })
            .collect();
        Ok(Layout {
            dir,
            bind: options.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: options.port.unwrap_or(8080),
            metrics_port: 0,
            memcached: None,
            replicas,
            cores,
            profile,
            key: if profile == Profile::Conformance { "testing".to_owned() } else { secret()? },
            hash_suffix: secret()?,
            token_secret: secret()?,
            nodes,
            lock: None,
        })
    }

    /// Options that would move data are refused once the folder is made.
    fn refuse_changes(&self, options: &Options) -> Result<(), Failure> {
        let devices = self.nodes.iter().map(|node| node.devices.len()).sum();
        let fixed = [
            ("devices", options.devices, devices),
            ("replicas", options.replicas, self.replicas),
            ("nodes", options.nodes, self.nodes.len()),
            ("cores", options.cores, self.cores),
        ];
        for (name, asked, made) in fixed {
            if asked.is_some_and(|asked| asked != made) {
                return Err(self.made_with(name, &made.to_string()));
            }
        }
        if options.profile.is_some_and(|asked| asked != self.profile) {
            return Err(self.made_with("profile", self.profile.name()));
        }
        Ok(())
    }

    fn made_with(&self, name: &str, made: &str) -> Failure {
        Failure::usage(format!(
            "{} was made with --{name} {made}; leave --{name} out, or name another folder",
            self.dir.display()
        ))
    }

    /// Takes the folder for this process, finds ports, and writes the description: nothing is made when a port is taken.
    pub fn prepare(&mut self) -> Result<(), Failure> {
        if description(&self.dir).exists() {
            self.take_lock()?;
        }
        self.find_ports()?;
        make_dir(&self.dir)?;
        make_dir(&self.etc())?;
        if self.lock.is_none() {
            self.take_lock()?;
        }
        self.save()
    }

    /// Takes the folder for this process until it ends.
    #[expect(clippy::disallowed_methods, reason = "the dev cluster's own lock file")]
    fn take_lock(&mut self) -> Result<(), Failure> {
        let path = self.etc().join("lock");
        let file = std::fs::File::create(&path).map_err(|error| cannot("create", &path, &error))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Failure::running(format!(
                "another `martlet up` serves {}; stop it first, or name another folder",
                self.dir.display()
            ))
        })?;
        self.lock = Some(std::sync::Arc::new(file));
        Ok(())
    }

    /// Makes sure every port can be bound now; ports among the daemons are chosen again where they are taken.
    fn find_ports(&mut self) -> Result<(), Failure> {
        let api = SocketAddr::new(self.bind, self.port);
        let probe = bind(api).map_err(|error| {
            Failure::running(format!(
                "cannot listen on {api}: {error}; choose another port with --port, or end what listens there"
            ))
        })?;
        self.port = probe.local_addr().map_or(self.port, |address| address.port());
        let mut taken = vec![probe];
        let of_nodes = self.nodes.iter_mut().flat_map(|node| node.ports.iter_mut().flatten());
        for port in of_nodes.chain([&mut self.metrics_port]) {
            let listener = match loopback(*port) {
                Ok(listener) if *port != 0 => listener,
                _ => any_internal_port()?,
            };
            *port = listener.local_addr().map_or(0, |address| address.port());
            taken.push(listener);
        }
        Ok(())
    }

    /// Where configuration, rings and `swift.conf` are.
    pub fn etc(&self) -> PathBuf {
        self.dir.join("etc")
    }
    /// Where the daemons' stderr goes.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("log")
    }
    /// Parent of the devices of a node (counted from 0).
    pub fn devices(&self, node: usize) -> PathBuf {
        self.dir.join(format!("node{}", node.saturating_add(1)))
    }
    /// `http://127.0.0.1:8080`
    pub fn endpoint(&self) -> String {
        let host = if self.bind.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { self.bind };
        format!("http://{}", SocketAddr::new(host, self.port))
    }
    /// `http://127.0.0.1:21001/metrics`
    pub fn metrics(&self) -> String {
        format!("http://{}/metrics", self.metrics_address())
    }
    /// Where the proxy's metrics are.
    pub fn metrics_address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.metrics_port)
    }
    /// `test:tester`
    pub fn user(&self) -> String {
        format!("{ACCOUNT}:{USER}")
    }
    /// The user's name inside the account.
    pub fn user_name(&self) -> &'static str {
        USER
    }

    fn save(&self) -> Result<(), Failure> {
        let nodes: Vec<Value> =
            self.nodes.iter().map(|node| json!({"ports": node.ports, "devices": node.devices})).collect();
        let value = json!({
            "format": 1, "bind": self.bind.to_string(), "port": self.port, "metrics_port": self.metrics_port, "replicas": self.replicas, "cores": self.cores,
            "profile": self.profile.name(), "key": self.key, "hash_suffix": self.hash_suffix, "token_secret": self.token_secret, "nodes": nodes,
        });
        write_private(&description(&self.dir), format!("{value:#}\n").as_bytes())
    }
}

fn from_json(dir: PathBuf, value: &Value) -> Option<Layout> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let number = |name: &str| value.get(name)?.as_u64().and_then(|number| usize::try_from(number).ok());
    let mut nodes = Vec::new();
    for node in value.get("nodes")?.as_array()? {
        let mut ports = Vec::new();
        for core in node.get("ports")?.as_array()? {
            let mut three = [0; 3];
            for (place, port) in three.iter_mut().zip(core.as_array()?) {
                *place = u16::try_from(port.as_u64()?).ok()?;
            }
            ports.push(three);
        }
        let devices = node.get("devices")?.as_array()?;
        let devices = devices.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()?;
        nodes.push(Node { ports, devices });
    }
    Some(Layout {
        dir,
        bind: text("bind")?.parse().ok()?,
        port: u16::try_from(number("port")?).ok()?,
        // Folders of before there were metrics have no port for them; the next run finds one.
        metrics_port: number("metrics_port").and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        memcached: None,
        replicas: number("replicas")?,
        cores: number("cores")?,
        // Folders of before there were profiles name none.
        profile: text("profile").map_or(Some(Profile::Plain), |name| Profile::from_str(&name, false).ok())?,
        key: text("key")?,
        hash_suffix: text("hash_suffix")?,
        token_secret: text("token_secret")?,
        nodes,
        lock: None,
    })
}

fn check_counts(nodes: usize, devices: usize, replicas: usize, cores: usize) -> Result<(), Failure> {
    for (name, count, most) in
        [("nodes", nodes, 16), ("devices", devices, 256), ("replicas", replicas, 16), ("cores", cores, 256)]
    {
        if count == 0 || count > most {
            return Err(Failure::usage(format!("--{name} {count}: choose 1 to {most}")));
        }
    }
    if devices < replicas {
        return Err(Failure::usage(format!(
            "--devices {devices} cannot hold --replicas {replicas}: every copy needs a device of its own"
        )));
    }
    if devices < nodes {
        return Err(Failure::usage(format!(
            "--devices {devices} is less than --nodes {nodes}: every node needs a device"
        )));
    }
    Ok(())
}

/// 128 random bits as hex.
fn secret() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match got {
        Ok(16) => Ok(base::checksum::hex(&bytes)),
        _ => Err(Failure::running("the system gives no random bytes")),
    }
}

fn any_internal_port() -> Result<TcpListener, Failure> {
    let span = u64::from(INTERNAL_PORTS.end - INTERNAL_PORTS.start);
    for _ in 0..1000 {
        let random = u64::from_str_radix(secret()?.get(..8).unwrap_or("0"), 16).unwrap_or(0);
        let port = INTERNAL_PORTS.start + u16::try_from(random % span).unwrap_or(0);
        if let Ok(listener) = loopback(port) {
            return Ok(listener);
        }
    }
    Err(Failure::running("no free port between 20000 and 32000 on 127.0.0.1"))
}

fn loopback(port: u16) -> std::io::Result<TcpListener> {
    bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

#[expect(clippy::disallowed_methods, reason = "a probe before any core exists; closed again at once")]
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
}

fn description(dir: &Path) -> PathBuf {
    dir.join("etc").join("cluster.json")
}

/// Makes a directory that only its owner may enter.
pub(super) fn make_dir(path: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| cannot("create the folder", path, &error))
}

/// Writes a file that only its owner may read: beside it first, then renamed, so that a crash leaves the old one.
#[expect(clippy::disallowed_methods, reason = "the dev cluster's own files, written before any core exists")]
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| cannot("write", path, &error))
}

pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::running(format!("cannot {what} {}: {error}", path.display()))
}

fn unreadable(file: &Path, why: &str) -> Failure {
    Failure::usage(format!(
        "{} cannot be read: {why}; restore it from a backup: without its secrets the data cannot be found",
        file.display()
    ))
}
