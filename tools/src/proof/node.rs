//! A storage node to be tried: one core, few devices, rings and configuration in one folder.

#![expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]

use ring::builder::Builder;
use std::io::{self, Error};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where the configuration of a node made in `dir` is.
pub fn conf(dir: &Path) -> PathBuf {
    dir.join("etc/objectd.conf")
}

/// Three ports in a row that are free now and stay so while a node is down: below the range from which the system gives ports to outgoing
/// connections, and never given twice by this process.
pub fn free_address() -> io::Result<SocketAddr> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1000).unwrap_or(0) * 9;
    for _ in 0..1000 {
        let first = 20_000 + (start + 3 * GIVEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if [0, 1, 2].iter().all(|more| TcpListener::bind((Ipv4Addr::LOCALHOST, first + more)).is_ok()) {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, first)));
        }
    }
    Err(Error::other("no three free ports in a row"))
}

/// Writes rings and configuration below `dir/etc`, and makes `dir/srv/d1`. `options` are further lines of objectd.conf.
pub fn make(dir: &Path, address: SocketAddr, options: &[String]) -> io::Result<()> {
    make_with(dir, address, &["d1"], options)
}

/// The same with several devices.
pub fn make_with(dir: &Path, address: SocketAddr, names: &[&str], options: &[String]) -> io::Result<()> {
    let (etc, devices) = (dir.join("etc"), dir.join("srv"));
    std::fs::create_dir_all(&etc)?;
    for name in names {
        std::fs::create_dir_all(devices.join(name))?;
    }
    let port = address.port();
    let last = port.checked_add(2).ok_or_else(|| Error::other("no ports behind the object service's"))?;
    for (name, port) in ["object", "container", "account"].into_iter().zip(port..=last) {
        let file = format!("{name}.ring.gz");
        let bytes = ring_bytes(&file, address, port, names).map_err(Error::other)?;
        std::fs::write(etc.join(file), bytes)?;
    }
    std::fs::write(etc.join("swift.conf"), "[swift-hash]\nswift_hash_path_suffix = proof\n")?;
    let text = format!(
        "[DEFAULT]\nswift_dir = {}\ndevices = {}\nbind_ip = {}\nmount_check = false\nfallocate_reserve = 0\n\
         object_ports = {port}\ncontainer_ports = {}\naccount_ports = {last}\n{}\n",
        etc.display(),
        devices.display(),
        address.ip(),
        port + 1,
        options.join("\n"),
    );
    std::fs::write(conf(dir), text)
}

fn ring_bytes(file: &str, address: SocketAddr, port: u16, names: &[&str]) -> Result<Vec<u8>, String> {
    let ip = address.ip().to_string();
    let mut builder = Builder::new(4, 1.0, 1).map_err(|error| error.message)?;
    for (id, name) in (0..).zip(names) {
        let device = ring::Device {
            id,
            region: 1,
            zone: id + 1,
            ip: ip.clone(),
            port,
            replication_ip: ip.clone(),
            replication_port: port,
            device: (*name).to_owned(),
            weight: 100.0,
            meta: String::new(),
        };
        builder.add_device(device).map_err(|error| error.message)?;
    }
    builder.rebalance(b"1", 0).map_err(|error| error.message)?;
    let ring = builder.ring().map_err(|error| error.message)?;
    ring.to_bytes(file, ring::FormatVersion::V1).map_err(|error| error.message)
}
