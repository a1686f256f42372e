//! Where things of a cluster lie, as its rings say.

use crate::cluster::Cluster;
use crate::up::layout::Layout;
use base::hash_path::HashPath;
use ring::{Device, Ring};
use std::net::SocketAddr;

/// The rings of a cluster and the salt of its names.
pub(super) struct Placement {
    layout: Layout,
    hash: HashPath,
    rings: [Ring; 3],
}

impl Placement {
    /// Of a cluster that runs.
    #[expect(clippy::disallowed_methods, reason = "a tool, outside of any core")]
    pub(super) fn of(cluster: &Cluster) -> Result<Placement, String> {
        let layout = Layout::open(cluster.dir()).map_err(|failure| failure.message)?;
        let hash = HashPath::new("", layout.hash_suffix.as_str());
        let load = |service: &str| {
            let file = layout.etc().join(format!("{service}.ring.gz"));
            let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            Ring::from_bytes(&bytes).map_err(|error| format!("{}: {}", file.display(), error.message))
        };
        let rings = [load("account")?, load("container")?, load("object")?];
        Ok(Placement { layout, hash, rings })
    }

    /// All devices, by name.
    pub(super) fn devices(&self) -> Vec<String> {
        self.layout.nodes.iter().flat_map(|node| node.devices.clone()).collect()
    }

    /// Whether an account, a container in it, or an object in that lies on a device.
    pub(super) fn is_on(&self, device: &str, account: &str, container: Option<&str>, object: Option<&str>) -> bool {
        self.find(account, container, object)
            .is_some_and(|(_, devices)| devices.iter().any(|found| found.device == device))
    }

    /// Address of the container service that has a container, and its path there.
    pub(super) fn container(&self, account: &str, container: &str) -> Option<(SocketAddr, String)> {
        let (partition, devices) = self.find(account, Some(container), None)?;
        let device = devices.first()?;
        let address = format!("{}:{}", device.ip, device.port).parse().ok()?;
        Some((address, format!("/{}/{partition}/{account}/{container}", device.device)))
    }

    fn find(&self, account: &str, container: Option<&str>, object: Option<&str>) -> Option<(u32, Vec<&Device>)> {
        let ring = self.rings.get(usize::from(container.is_some()) + usize::from(object.is_some()))?;
        let partition = ring.partition(&self.hash.hash(account, container, object).0);
        Some((partition, ring.primaries(partition)))
    }
}
