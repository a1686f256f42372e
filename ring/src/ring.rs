//! Core: a loaded ring: which devices hold a partition.
//!
//! # Invariants
//!
//! - All rows have 2^part_power entries, except that the last may be shorter (fractional replicas).
//! - A device's id is its place in the list; a removed device leaves a hole. Ids without a device are skipped.
//! - `domains` numbers regions, zones and addresses densely, so that looking for handoffs compares small integers.

use crate::file::{self, FormatVersion};
use crate::handoffs::Handoffs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// A device of a ring: one disk of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Index in the ring's list.
    pub id: u32,
    /// Failure domain, largest.
    pub region: u32,
    /// Failure domain inside the region.
    pub zone: u32,
    /// Address of the server (of the core that owns the device).
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// Address for background traffic.
    pub replication_ip: String,
    /// Its port.
    pub replication_port: u16,
    /// Directory name under `devices`.
    pub device: String,
    /// Share of data.
    pub weight: f64,
    /// The operator's note.
    pub meta: String,
}

/// Why bytes are no ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingError {
    /// One sentence.
    pub message: String,
}

impl RingError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RingError {}

/// A ring as daemons use it.
#[derive(Clone, Debug)]
pub struct Ring {
    pub(crate) contents: Contents,
    devices: Vec<Option<Device>>,
    /// By device id; `None` for holes.
    pub(crate) domains: Vec<Option<Domains>>,
    /// How many regions, zones, addresses and devices own a partition.
    pub(crate) totals: Totals,
}

/// Equal rings place alike, whatever version they were read from.
impl PartialEq for Ring {
    fn eq(&self, other: &Ring) -> bool {
        self.contents == other.contents
    }
}

/// What a ring file holds, whatever its version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    /// As in the file, unknown fields included; `null` for holes.
    pub(crate) devices: Vec<Value>,
    pub(crate) rows: Rows,
    pub(crate) part_shift: u32,
    pub(crate) version: Option<i64>,
    pub(crate) next_part_power: Option<u32>,
}

/// Assignment rows, in the width the ring was written with: rings are large and every core has its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rows {
    Two(Vec<Vec<u16>>),
    Four(Vec<Vec<u32>>),
}

/// The failure domains of a device, numbered densely over the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Domains {
    pub(crate) region: usize,
    pub(crate) zone: usize,
    pub(crate) ip: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) regions: usize,
    pub(crate) zones: usize,
    pub(crate) ips: usize,
    pub(crate) devices: usize,
}

impl Ring {
    /// Reads a `.ring.gz` of version 1 or 2.
    pub fn from_bytes(bytes: &[u8]) -> Result<Ring, RingError> {
        Ring::from_contents(file::read(bytes)?)
    }
    /// The bytes of a `.ring.gz`, the same that Swift would write. `file_name` ends up in the gzip header.
    pub fn to_bytes(&self, file_name: &str, version: FormatVersion) -> Result<Vec<u8>, RingError> {
        file::write(&self.contents, file_name, version)
    }
    /// The partition of a name hash.
    pub fn partition(&self, hash: &[u8; 16]) -> u32 {
        let [a, b, c, d, ..] = *hash;
        u32::from_be_bytes([a, b, c, d]).checked_shr(self.contents.part_shift).unwrap_or(0)
    }
    /// 2^part_power.
    pub fn partitions(&self) -> u32 {
        1 << (32 - self.contents.part_shift)
    }
    /// Number of assignment rows (a short last row counts as one).
    pub fn replicas(&self) -> usize {
        self.contents.rows.len()
    }
    /// The same with a short last row as its fraction: 2.25.
    pub fn replica_count(&self) -> f64 {
        self.contents.rows.replica_count()
    }
    /// The builder's change counter.
    pub fn version(&self) -> Option<i64> {
        self.contents.version
    }
    /// Bytes of a device id in the rows: 2, or 4 in rings of very many devices.
    pub fn device_id_bytes(&self) -> u32 {
        match self.contents.rows {
            Rows::Two(_) => 2,
            Rows::Four(_) => 4,
        }
    }
    /// Set while the partition power is being increased.
    pub fn next_part_power(&self) -> Option<u32> {
        self.contents.next_part_power
    }
    /// The primaries of a partition, duplicates dropped; a node's `index` is its place here.
    pub fn primaries(&self, partition: u32) -> Vec<&Device> {
        let mut primaries = Vec::with_capacity(self.replicas());
        self.primaries_into(partition, &mut primaries);
        primaries
    }
    /// The same into a vector of the caller, which is emptied first.
    pub fn primaries_into<'a>(&'a self, partition: u32, primaries: &mut Vec<&'a Device>) {
        primaries.clear();
        for row in 0..self.replicas() {
            let device = self.assigned(row, partition).and_then(|id| self.device(id));
            if let Some(device) = device.filter(|device| !primaries.iter().any(|other| other.id == device.id)) {
                primaries.push(device);
            }
        }
    }
    /// Their ids, each once.
    pub fn primary_ids(&self, partition: u32) -> impl Iterator<Item = u32> + '_ {
        let assigned = move |row: usize| self.assigned(row, partition);
        (0..self.replicas()).filter_map(move |row| {
            let id = self.device(assigned(row)?)?.id;
            (0..row).all(|before| assigned(before) != Some(id)).then_some(id)
        })
    }
    /// Handoffs of a partition in Swift's order, computed lazily.
    pub fn handoffs(&self, partition: u32) -> Handoffs<'_> {
        Handoffs::new(self, partition)
    }
    /// A device by its id.
    pub fn device(&self, id: u32) -> Option<&Device> {
        self.devices.get(id as usize)?.as_ref()
    }
    /// All devices, holes left out.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().flatten()
    }

    /// The device id that a row gives a partition; `None` where the row is too short.
    pub(crate) fn assigned(&self, row: usize, partition: u32) -> Option<u32> {
        self.contents.rows.get(row, partition)
    }

    pub(crate) fn from_contents(contents: Contents) -> Result<Ring, RingError> {
        let devices = contents
            .devices
            .iter()
            .enumerate()
            .map(|(at, value)| if value.is_null() { Ok(None) } else { Device::from_json(at, value).map(Some) })
            .collect::<Result<Vec<_>, _>>()?;
        let domains = number_domains(&devices);
        let totals = count_owners(&contents.rows, &domains);
        Ok(Ring { contents, devices, domains, totals })
    }
}

impl Device {
    /// From a ring's JSON; `at` is the place in the list, which is the id that rows mean.
    pub(crate) fn from_json(at: usize, value: &Value) -> Result<Device, RingError> {
        let missing = |name: &str| RingError::new(format!("device {at} of the ring has no usable {name:?}"));
        let fields =
            value.as_object().ok_or_else(|| RingError::new(format!("device {at} of the ring is no object")))?;
        let number = |name: &str| fields.get(name).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let port = |name: &str| number(name).and_then(|n| u16::try_from(n).ok());
        let (ip, main_port) = (text("ip").ok_or_else(|| missing("ip"))?, port("port").ok_or_else(|| missing("port"))?);
        Ok(Device {
            id: u32::try_from(at).map_err(|_| missing("id"))?,
            // Rings from before regions existed have one.
            region: number("region").unwrap_or(1),
            zone: number("zone").ok_or_else(|| missing("zone"))?,
            replication_ip: text("replication_ip").unwrap_or_else(|| ip.clone()),
            replication_port: port("replication_port").unwrap_or(main_port),
            ip,
            port: main_port,
            device: text("device").ok_or_else(|| missing("device"))?,
            weight: fields.get("weight").and_then(Value::as_f64).unwrap_or(0.0),
            meta: text("meta").unwrap_or_default(),
        })
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match self {
            Rows::Two(rows) => rows.len(),
            Rows::Four(rows) => rows.len(),
        }
    }

    pub(crate) fn get(&self, row: usize, partition: u32) -> Option<u32> {
        let at = partition as usize;
        match self {
            Rows::Two(rows) => rows.get(row)?.get(at).copied().map(u32::from),
            Rows::Four(rows) => rows.get(row)?.get(at).copied(),
        }
    }

    pub(crate) fn row_len(&self, row: usize) -> usize {
        match self {
            Rows::Two(rows) => rows.get(row).map_or(0, Vec::len),
            Rows::Four(rows) => rows.get(row).map_or(0, Vec::len),
        }
    }

    pub(crate) fn replica_count(&self) -> f64 {
        let (rows, parts) = (self.len(), self.row_len(0));
        if parts == 0 {
            return 0.0;
        }
        (rows - 1) as f64 + self.row_len(rows - 1) as f64 / parts as f64
    }
}

impl Default for Rows {
    fn default() -> Self {
        Rows::Two(Vec::new())
    }
}

fn number_domains(devices: &[Option<Device>]) -> Vec<Option<Domains>> {
    let (mut regions, mut zones, mut ips) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut number = |device: &Device| {
        let next = regions.len();
        let region = *regions.entry(device.region).or_insert(next);
        let next = zones.len();
        let zone = *zones.entry((device.region, device.zone)).or_insert(next);
        let next = ips.len();
        let ip = *ips.entry((device.region, device.zone, device.ip.clone())).or_insert(next);
        Domains { region, zone, ip }
    };
    devices.iter().map(|device| device.as_ref().map(&mut number)).collect()
}

/// Only what owns a partition counts: a device of weight 0 that holds nothing is never a handoff.
fn count_owners(rows: &Rows, domains: &[Option<Domains>]) -> Totals {
    let mut owns = vec![false; domains.len()];
    let mut mark = |id: usize| {
        if let Some(owner) = owns.get_mut(id) {
            *owner = true;
        }
    };
    match rows {
        Rows::Two(rows) => rows.iter().flatten().for_each(|&id| mark(usize::from(id))),
        Rows::Four(rows) => rows.iter().flatten().for_each(|&id| mark(id as usize)),
    }
    let mut seen = [vec![false; domains.len()], vec![false; domains.len()], vec![false; domains.len()]];
    let mut totals = Totals::default();
    for domain in domains.iter().zip(&owns).filter(|(_, owns)| **owns).filter_map(|(domain, _)| domain.as_ref()) {
        totals.devices += 1;
        let counts = [&mut totals.regions, &mut totals.zones, &mut totals.ips];
        for ((seen, at), count) in seen.iter_mut().zip([domain.region, domain.zone, domain.ip]).zip(counts) {
            if let Some(seen) = seen.get_mut(at).filter(|seen| !**seen) {
                *seen = true;
                *count += 1;
            }
        }
    }
    totals
}

#[cfg(test)]
mod tests;
