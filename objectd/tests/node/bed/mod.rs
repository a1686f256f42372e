//! One simulated storage node and a client that speaks raw HTTP to it.

use base::hash_path::HashPath;
use base::http::server::Drain;
use base::io::sim::{NodeId, SimHandle};
use base::io::{self, Stream, fs};
use bytes::{Bytes, BytesMut};
use objectd::config::Config;
use ring::builder::Builder;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

pub const SWIFT_CONF: &str = "[swift-hash]\nswift_hash_path_prefix = specprefix\nswift_hash_path_suffix = specsuffix\n";
pub const ADDRESS: &str = "10.0.0.2";

pub fn conf(more: &str) -> Rc<Config> {
    let conf = format!(
        "[DEFAULT]\nswift_dir = /etc/swift\ndevices = /srv/node\nbind_ip = {ADDRESS}\nmount_check = false\nfallocate_reserve = 0\n{more}\n"
    );
    Rc::new(Config::parse("objectd.conf", &conf, SWIFT_CONF).unwrap())
}

pub fn ring_bytes(ip: &str, port: u16, devices: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(8, 1.0, 1).unwrap();
    for (zone, device) in devices.iter().enumerate() {
        builder
            .add_device(ring::Device {
                id: u32::try_from(zone).unwrap(),
                region: 1,
                zone: u32::try_from(zone).unwrap(),
                ip: ip.to_owned(),
                port,
                replication_ip: ip.to_owned(),
                replication_port: port,
                device: (*device).to_owned(),
                weight: 100.0,
                meta: String::new(),
            })
            .unwrap();
    }
    builder.rebalance(b"1", 1_700_000_000).unwrap();
    builder.ring().unwrap().to_bytes("x.ring", ring::FormatVersion::V1).unwrap()
}

/// Rings for one device and one core, and the directory of the device.
pub async fn prepare(swift_dir: &Path, devices: &Path, ip: &str, ports: [u16; 3]) {
    fs::create_dir_all(swift_dir).await.unwrap();
    for (name, port) in ["object", "container", "account"].into_iter().zip(ports) {
        let path = swift_dir.join(format!("{name}.ring.gz"));
        fs::write_atomic(&path, ring_bytes(ip, port, &["d1"]), 0o644).await.unwrap();
    }
    fs::create_dir_all(&devices.join("d1")).await.unwrap();
}

pub fn storage(sim: &SimHandle, config: Rc<Config>) -> NodeId {
    let node = sim.node("storage", ADDRESS.parse().unwrap());
    sim.start(node, move || async move {
        prepare(Path::new("/etc/swift"), Path::new("/srv/node"), ADDRESS, [6200, 6201, 6202]).await;
        objectd::server::run_core(config, 0, Drain::new()).await.unwrap();
    });
    node
}

pub async fn connect(port: u16) -> Stream {
    connect_to(SocketAddr::new(ADDRESS.parse().unwrap(), port)).await
}

pub async fn connect_to(address: SocketAddr) -> Stream {
    for _ in 0..200 {
        if let Ok(stream) = Stream::connect(address, Duration::from_secs(1)).await {
            return stream;
        }
        io::sleep(Duration::from_millis(50)).await;
    }
    panic!("the node does not listen");
}

pub async fn exchange(port: u16, request: &[u8]) -> Answer {
    exchange_with(SocketAddr::new(ADDRESS.parse().unwrap(), port), request).await
}

/// Sends raw bytes and reads to the end of the connection.
pub async fn exchange_with(address: SocketAddr, request: &[u8]) -> Answer {
    let stream = connect_to(address).await;
    stream.write_all(Bytes::copy_from_slice(request)).await.unwrap();
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(64 * 1024);
        let (result, back) = io::timeout(Duration::from_secs(30), stream.read(buffer)).await.expect("an answer");
        buffer = back;
        if result.unwrap() == 0 {
            return Answer::parse(&buffer);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Answer {
        let end =
            bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {bytes:?}"));
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Answer { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
    }

    /// Without what differs from run to run.
    pub fn settled(mut self) -> Answer {
        self.headers.remove("date");
        if let Some(content_type) = self.headers.get_mut("content-type")
            && let Some((kind, boundary)) = content_type.clone().split_once("boundary=")
        {
            *content_type = kind.to_owned();
            self.body = String::from_utf8(self.body).unwrap().replace(boundary, "X").into_bytes();
        }
        self
    }
}

pub fn hash_directory(account: &str, container: &str, object: &str, partition: &str) -> PathBuf {
    Path::new("/srv/node/d1").join(below_device(account, container, object, partition))
}

/// `objects/<partition>/<suffix>/<hash>`
pub fn below_device(account: &str, container: &str, object: &str, partition: &str) -> PathBuf {
    let hash = HashPath::new("specprefix", "specsuffix").hash(account, Some(container), Some(object));
    Path::new("objects").join(partition).join(hash.suffix()).join(hash.hex())
}

pub async fn files(sim: &SimHandle, node: NodeId, directory: PathBuf) -> Option<Vec<String>> {
    let listed = sim.run_on(node, async move { fs::read_dir(&directory).await }).await.unwrap();
    listed.ok().map(|entries| entries.into_iter().map(|entry| entry.name).collect())
}
