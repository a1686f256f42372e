//! A simulated cluster: one proxy and three storage nodes with two devices each, running the daemons' own `run_core`.
//!
//! Configuration and rings are files on the simulated disks, as on a real machine.

use base::http::server::Drain;
use base::io::fs;
use base::io::sim::{CLIENT, Defects, NodeId, SimHandle};
use proxy::facts::news::Letters;
use ring::builder::Builder;
use ring::{Device, FormatVersion};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;

/// Storage nodes: as many as replicas, so that every one holds a part of everything.
const STORAGE_NODES: u8 = 3;
/// Devices of each: handoffs need devices beyond the replicas.
const DEVICES: u8 = 2;
/// 2^4 partitions: every device holds some, and a ring file is quickly read.
const PART_POWER: u32 = 4;
const PROXY_PORT: u16 = 8080;
const SWIFT_CONF: &str = "[swift-hash]\nswift_hash_path_prefix = sim\nswift_hash_path_suffix = ulation\n";

/// The ring files, built once for many runs: object, container, account.
#[derive(Clone)]
pub struct RingFiles {
    files: [(&'static str, Vec<u8>); 3],
}

impl RingFiles {
    /// Builds them.
    pub fn build() -> Result<RingFiles, String> {
        let one = |file: &'static str, port: u16| -> Result<(&'static str, Vec<u8>), String> {
            let mut builder = Builder::new(PART_POWER, 3.0, 1).map_err(|error| error.message)?;
            for node in 1..=STORAGE_NODES {
                for disk in 1..=DEVICES {
                    builder.add_device(device(node, disk, port)).map_err(|error| error.message)?;
                }
            }
            builder.rebalance(b"1", 0).map_err(|error| error.message)?;
            let ring = builder.ring().map_err(|error| error.message)?;
            Ok((file, ring.to_bytes(file, FormatVersion::V1).map_err(|error| error.message)?))
        };
        Ok(RingFiles {
            files: [one("object.ring.gz", 6200)?, one("container.ring.gz", 6201)?, one("account.ring.gz", 6202)?],
        })
    }
}

fn device(node: u8, disk: u8, port: u16) -> Device {
    let ip = storage_ip(node).to_string();
    Device {
        id: 0,
        region: 1,
        zone: u32::from(node),
        ip: ip.clone(),
        port,
        replication_ip: ip,
        replication_port: port,
        device: format!("d{disk}"),
        weight: 100.0,
        meta: String::new(),
    }
}

fn storage_ip(node: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, node))
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Proxy,
    Storage,
}

/// One machine of the cluster.
pub(super) struct Member {
    /// Its node.
    pub(super) node: NodeId,
    role: Role,
    ip: IpAddr,
    /// Its daemon ended by itself.
    exited: Rc<Cell<bool>>,
}

/// The machines; the first is the proxy.
pub(super) struct Cluster {
    sim: SimHandle,
    members: Vec<Member>,
}

impl Cluster {
    /// Makes the machines, writes their files and starts their daemons. `skip_sync` plants the bug that a checker must find.
    pub(super) async fn set_up(sim: SimHandle, rings: &RingFiles, skip_sync: bool) -> Cluster {
        let proxy_ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let mut members = vec![(Role::Proxy, proxy_ip, "proxy".to_owned())];
        members.extend((1..=STORAGE_NODES).map(|node| (Role::Storage, storage_ip(node), format!("storage{node}"))));
        let members = members.into_iter().map(|(role, ip, name)| {
            let exited = Rc::new(Cell::new(false));
            Member { node: sim.node(&name, ip), role, ip, exited }
        });
        let cluster = Cluster { members: members.collect(), sim };
        for member in &cluster.members {
            // The client's requests reach a living proxy in the order they were sent: the checker counts on it.
            if member.role == Role::Proxy {
                cluster.sim.make_reliable(CLIENT, member.node);
            }
            cluster.sim.start(member.node, || async {});
            let files = write_files(rings.clone());
            cluster.sim.run_on(member.node, files).await.expect("nothing crashes yet").expect("the disks are good");
            let defects = Defects { skip_file_syncs: skip_sync, ..Defects::default() };
            cluster.sim.set_defects(member.node, defects);
            cluster.start(member);
        }
        cluster
    }

    /// Where the proxy listens.
    pub(super) fn proxy(&self) -> SocketAddr {
        let ip = self.members.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |member| member.ip);
        SocketAddr::new(ip, PROXY_PORT)
    }

    /// The machines.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Starts a machine's daemon.
    pub(super) fn start(&self, member: &Member) {
        member.exited.set(false);
        let exited = Rc::clone(&member.exited);
        let (sim, ip) = (self.sim.clone(), member.ip);
        let role = member.role;
        self.sim.start(member.node, move || async move {
            let ended = match role {
                Role::Proxy => run_proxy(ip).await,
                Role::Storage => run_storage(ip).await,
            };
            sim.say(|| format!("the daemon of {ip} ended: {ended:?}"));
            exited.set(true);
        });
    }

    /// Starts those that crashed or whose daemon ended.
    pub(super) fn start_all_that_are_down(&self) {
        for member in &self.members {
            if member.exited.get() {
                self.sim.crash(member.node);
            }
            if !self.sim.is_up(member.node) {
                self.start(member);
            }
        }
    }
}

async fn write_files(rings: RingFiles) -> std::io::Result<()> {
    fs::create_dir_all(Path::new("/etc/swift")).await?;
    for (name, bytes) in rings.files {
        fs::write_atomic(&Path::new("/etc/swift").join(name), bytes, 0o644).await?;
    }
    for disk in 1..=DEVICES {
        fs::create_dir_all(Path::new(&format!("/srv/node/d{disk}"))).await?;
    }
    Ok(())
}

async fn run_proxy(ip: IpAddr) -> std::io::Result<()> {
    // Short waits: a run should see many of them pass.
    let text = format!(
        "[DEFAULT]\nbind_ip = {ip}\nbind_port = {PROXY_PORT}\nswift_dir = /etc/swift\nclient_timeout = 20\n\
         [pipeline:main]\npipeline = catch_errors gatekeeper healthcheck listing_formats tempauth copy dlo proxy-server\n\
         [app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nnode_timeout = 3\nconn_timeout = 0.5\n\
         error_suppression_interval = 5\n\
         [filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = testing .admin\n\
         [object-expirer]\ninterval = 20\nconcurrency = 4\n"
    );
    let config = proxy::config::Config::parse("proxy-server.conf", &text, SWIFT_CONF)
        .map_err(|error| std::io::Error::other(error.message))?;
    let config = proxy::config::Config { cores: 1, ..config };
    proxy::server::run_core(Rc::new(config), 0, Letters::new(1), Drain::new()).await
}

async fn run_storage(ip: IpAddr) -> std::io::Result<()> {
    let text = format!(
        "[DEFAULT]\nswift_dir = /etc/swift\ndevices = /srv/node\nmount_check = false\nbind_ip = {ip}\n\
         object_ports = 6200\ncontainer_ports = 6201\naccount_ports = 6202\nupdater_interval = 10\n\
         volume_size = 8388608\n"
    );
    let config = objectd::config::Config::parse("objectd.conf", &text, SWIFT_CONF)
        .map_err(|error| std::io::Error::other(error.message))?;
    objectd::server::run_core(Rc::new(config), 0, Drain::new()).await
}
