//! The three rings of a dev cluster. Builder files are kept beside the rings: when ports change, the same assignments are written
//! with the new ports.

use super::Profile;
use super::layout::{Layout, cannot, write_private};
use crate::Failure;
use ring::builder::{Builder, BuilderError};
use ring::{Device, FormatVersion};
use std::path::Path;

/// 2^10 partitions: enough for a few dozen devices on one machine.
const PART_POWER: u32 = 10;

/// Service, and the place of its port among the three of a core.
const SERVICES: [(&str, usize); 3] = [("object", 0), ("container", 1), ("account", 2)];
/// The second storage policy of the conformance profile: two copies.
const SILVER: (&str, usize, usize) = ("object-1", 0, 2);

/// Writes builder and ring of each service and storage policy.
pub(super) fn write(layout: &Layout) -> Result<(), Failure> {
    let silver = (layout.profile != Profile::Plain).then_some(SILVER);
    let services = SERVICES.into_iter().map(|(service, place)| (service, place, layout.replicas)).chain(silver);
    for (service, place, replicas) in services {
        let builder_file = layout.etc().join(format!("{service}.builder"));
        let devices = devices(layout, place);
        let builder = if builder_file.exists() {
            let mut builder = load(&builder_file)?;
            move_ports(&mut builder, &devices);
            builder
        } else {
            build(layout, devices, replicas).map_err(|error| refused(service, &error))?
        };
        let ring = builder.ring().map_err(|error| refused(service, &error))?;
        let name = format!("{service}.ring.gz");
        let bytes = ring
            .to_bytes(&format!("{service}.ring"), FormatVersion::V1)
            .map_err(|error| Failure::running(format!("the {service} ring cannot be written: {error}")))?;
        write_private(&builder_file, &builder.to_bytes())?;
        write_private(&layout.etc().join(name), &bytes)?;
    }
    Ok(())
}

/// Every device of the cluster, in the order of its ids: nodes are zones, device i of a node belongs to core i modulo cores.
fn devices(layout: &Layout, place: usize) -> Vec<Device> {
    let mut devices = Vec::new();
    for (zone, node) in layout.nodes.iter().enumerate() {
        for (index, name) in node.devices.iter().enumerate() {
            let core = index.checked_rem(node.ports.len()).unwrap_or(0);
            let port = node.ports.get(core).and_then(|ports| ports.get(place)).copied().unwrap_or(0);
            devices.push(Device {
                id: 0,
                region: 1,
                zone: u32::try_from(zone).unwrap_or(0).saturating_add(1),
                ip: "127.0.0.1".to_owned(),
                port,
                replication_ip: "127.0.0.1".to_owned(),
                replication_port: port,
                device: name.clone(),
                weight: 100.0,
                meta: String::new(),
            });
        }
    }
    devices
}

fn build(layout: &Layout, devices: Vec<Device>, replicas: usize) -> Result<Builder, BuilderError> {
    let replicas = u32::try_from(replicas.min(layout.replicas)).map_or(1.0, f64::from);
    let mut builder = Builder::new(PART_POWER, replicas, 1)?;
    for device in devices {
        builder.add_device(device)?;
    }
    // The seed is the cluster's own, so that a folder made twice with the same secrets is placed the same way.
    builder.rebalance(layout.hash_suffix.as_bytes(), 0)?;
    Ok(builder)
}

/// Device names are unique in a dev cluster, so they tell who is who.
fn move_ports(builder: &mut Builder, devices: &[Device]) {
    let ids: Vec<u32> = builder.iter().map(|device| device.device.id).collect();
    for id in ids {
        let Some(held) = builder.device_mut(id) else { continue };
        if let Some(now) = devices.iter().find(|device| device.device == held.device.device) {
            held.device.port = now.port;
            held.device.replication_port = now.replication_port;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the dev cluster's own files, read before any core exists")]
fn load(file: &Path) -> Result<Builder, Failure> {
    let bytes = std::fs::read(file).map_err(|error| cannot("read", file, &error))?;
    Builder::from_bytes(&bytes).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

fn refused(service: &str, error: &BuilderError) -> Failure {
    Failure::usage(format!("the {service} ring cannot be built: {error}"))
}
