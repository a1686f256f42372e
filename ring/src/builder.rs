//! Core: the ring builder: devices and weights in, assignments out.
//!
//! The builder is the operator's side of placement: it knows the devices and their weights, remembers when each
//! partition moved last, and changes the rows so that every device holds its share and every failure domain as few
//! replicas of a partition as possible.
//!
//! - `tree`: regions, zones, addresses and devices as one tree, walked in Swift's order.
//! - `plan`: how many replicas each failure domain should hold.
//! - `rebalance`: moves replicas towards the plan.
//! - `pickle` and `state`: the `.builder` file, shared with Swift's own tool.
//!
//! # Invariants
//!
//! - At most one replica of a partition moves per `min_part_hours`; replicas of removed devices always move.
//! - No replica is placed where the plan's maximum of a failure domain would be exceeded, and never two on one device
//!   while devices suffice.
//! - The result depends on the builder's state, the clock's hours and the seed, on nothing else.

mod pickle;
mod plan;
mod random;
mod rebalance;
mod state;
mod tree;

pub use plan::{Plan, PlanTier};
pub use rebalance::Rebalanced;

use crate::ring::{Contents, Device, Ring, RingError, Rows};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The state of a `.builder` file.
#[derive(Clone, Debug, PartialEq)]
pub struct Builder {
    /// Partitions are 2^part_power.
    pub part_power: u32,
    /// Set while the partition power is being increased.
    pub next_part_power: Option<u32>,
    /// Replicas per partition, perhaps with a fraction.
    pub replicas: f64,
    /// Hours before a partition may move again.
    pub min_part_hours: u64,
    /// By id; `None` where a device was removed.
    pub devices: Vec<Option<BuilderDevice>>,
    /// Devices or replicas changed since the last rebalance.
    pub devices_changed: bool,
    /// Counts changes.
    pub version: i64,
    /// How far devices may be filled beyond their weight for the sake of dispersion: 0.1 is 10 %.
    pub overload: f64,
    /// Share of replicas that are not as dispersed as possible, in per cent; as of the last rebalance.
    pub dispersion: f64,
    /// 32 hex digits, given by whoever saves first.
    pub id: Option<String>,
    /// Unassigned entries are [`NONE`].
    pub(crate) rows: Vec<Vec<u32>>,
    /// Hours since each partition moved, as of `last_moves_epoch`.
    pub(crate) last_moves: Vec<u8>,
    pub(crate) last_moves_epoch: u64,
    pub(crate) ever_rebalanced: bool,
    /// Removed devices, gone with the next rebalance.
    pub(crate) removed: Vec<u32>,
    /// Tier → number of partitions with 0, 1, 2 … replicas there.
    pub(crate) graph: BTreeMap<Vec<TierName>, Vec<u64>>,
}

/// A device with the builder's books.
#[derive(Clone, Debug, PartialEq)]
pub struct BuilderDevice {
    /// As the ring shows it.
    pub device: Device,
    /// Replicas it holds.
    pub parts: u64,
    /// Replicas it lacks (or has too many, below 0), as of the last rebalance.
    pub parts_wanted: i64,
    /// Fields that we do not know, kept.
    pub(crate) unknown: Map<String, Value>,
}

/// One step of a tier: `(region, zone, ip, id)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TierName {
    /// A region, a zone or a device's id.
    Number(u32),
    /// A server's address.
    Ip(String),
}

/// Why a builder refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderError {
    /// One sentence.
    pub message: String,
}

impl BuilderError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl std::fmt::Display for BuilderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BuilderError {}

impl From<RingError> for BuilderError {
    fn from(error: RingError) -> Self {
        Self { message: error.message }
    }
}

impl Builder {
    /// A builder without devices.
    pub fn new(part_power: u32, replicas: f64, min_part_hours: u64) -> Result<Builder, BuilderError> {
        if part_power > PART_POWER_MAX {
            return Err(BuilderError::new(format!("part_power must be at most {PART_POWER_MAX} (was {part_power})")));
        }
        if !(1.0..=REPLICAS_MAX).contains(&replicas) {
            return Err(BuilderError::new(format!("replicas must be at least 1 (was {replicas:.6})")));
        }
        Ok(Builder {
            part_power,
            next_part_power: None,
            replicas,
            min_part_hours,
            devices: Vec::new(),
            devices_changed: false,
            version: 0,
            overload: 0.0,
            dispersion: 0.0,
            id: None,
            rows: Vec::new(),
            last_moves: vec![0; 1 << part_power],
            last_moves_epoch: 0,
            ever_rebalanced: false,
            removed: Vec::new(),
            graph: BTreeMap::new(),
        })
    }
    /// Reads a `.builder` file, ours or Swift's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Builder, BuilderError> {
        state::read(bytes)
    }
    /// The bytes of a `.builder` file that Swift's tool reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        state::write(self)
    }
    /// 2^part_power.
    pub fn parts(&self) -> u64 {
        1 << self.part_power
    }
    /// Whether assignments exist.
    pub fn ever_rebalanced(&self) -> bool {
        self.ever_rebalanced
    }
    /// Devices that are there, removed ones included until the next rebalance.
    pub fn iter(&self) -> impl Iterator<Item = &BuilderDevice> {
        self.devices.iter().flatten()
    }
    /// Whether a device goes with the next rebalance.
    pub fn is_removed(&self, id: u32) -> bool {
        self.removed.contains(&id)
    }
    /// A device by its id.
    pub fn device(&self, id: u32) -> Option<&BuilderDevice> {
        self.devices.get(id as usize)?.as_ref()
    }
    /// The same, to change its books; call [`changed`](Self::changed) after changing a weight or a place.
    pub fn device_mut(&mut self, id: u32) -> Option<&mut BuilderDevice> {
        self.devices.get_mut(id as usize)?.as_mut()
    }
    /// Adds a device behind the last one; its `id` is set and returned.
    pub fn add_device(&mut self, mut device: Device) -> Result<u32, BuilderError> {
        self.refuse_during_increase("add")?;
        let id = u32::try_from(self.devices.len()).map_err(|_| BuilderError::new("there are too many devices"))?;
        device.id = id;
        self.devices.push(Some(BuilderDevice { device, parts: 0, parts_wanted: 0, unknown: Map::new() }));
        self.changed();
        Ok(id)
    }
    /// Removes a device: its weight is 0 now, its replicas move with the next rebalance.
    pub fn remove_device(&mut self, id: u32) -> Result<(), BuilderError> {
        self.refuse_during_increase("remove")?;
        let device = self.device_mut(id).ok_or_else(|| BuilderError::new(format!("there is no device {id}")))?;
        device.device.weight = 0.0;
        if !self.removed.contains(&id) {
            self.removed.push(id);
        }
        self.changed();
        Ok(())
    }
    /// Sets a weight; removed devices keep theirs.
    pub fn set_weight(&mut self, id: u32, weight: f64) -> Result<(), BuilderError> {
        if self.removed.contains(&id) {
            let message = format!("Cannot set weight of dev_id {id} because it is marked for removal");
            return Err(BuilderError::new(message));
        }
        if !weight.is_finite() || weight < 0.0 {
            return Err(BuilderError::new(format!("a weight of {weight} is not possible")));
        }
        let device = self.device_mut(id).ok_or_else(|| BuilderError::new(format!("there is no device {id}")))?;
        device.device.weight = weight;
        self.changed();
        Ok(())
    }
    /// Changes the number of replicas, with the next rebalance.
    pub fn set_replicas(&mut self, replicas: f64) -> Result<(), BuilderError> {
        if !(1.0..=REPLICAS_MAX).contains(&replicas) {
            return Err(BuilderError::new("Replica count must be at least 1."));
        }
        if self.slots() != slots(self.parts(), replicas) {
            self.devices_changed = true;
        }
        self.replicas = replicas;
        Ok(())
    }
    /// Notes that devices changed.
    pub fn changed(&mut self) {
        self.devices_changed = true;
        self.version += 1;
    }
    /// Every partition may move again.
    pub fn pretend_min_part_hours_passed(&mut self) {
        self.last_moves.fill(u8::MAX);
        self.last_moves_epoch = 0;
    }
    /// Seconds until partitions may move again.
    pub fn min_part_seconds_left(&self, now: u64) -> u64 {
        (self.min_part_hours.saturating_mul(3600)).saturating_sub(now.saturating_sub(self.last_moves_epoch))
    }
    /// The ring to hand out: Swift's tool drops the books and shows holes as null.
    pub fn ring(&self) -> Result<Ring, BuilderError> {
        let devices = self.devices.iter();
        let devices = devices.map(|device| device.as_ref().map_or(Value::Null, BuilderDevice::to_json)).collect();
        let rows = match self.device_id_bytes() {
            2 => Rows::Two(self.rows.iter().map(|row| row.iter().map(|id| *id as u16).collect()).collect()),
            _ => Rows::Four(self.rows.clone()),
        };
        let next_part_power = self.next_part_power.filter(|_| self.ever_rebalanced);
        let part_shift = 32 - self.part_power;
        let version = Some(self.version);
        Ok(Ring::from_contents(Contents { devices, rows, part_shift, version, next_part_power })?)
    }
    /// 2 unless ids do not fit.
    pub fn device_id_bytes(&self) -> u32 {
        // 0xFFFF means "none".
        if self.devices.len() <= usize::from(u16::MAX) { 2 } else { 4 }
    }
    /// Weight that deserves one replica of one partition; 0 without weights.
    pub fn weight_of_one_part(&self) -> Option<f64> {
        let total: f64 = self.iter().map(|device| device.device.weight).sum();
        (total > 0.0).then(|| self.parts() as f64 * self.replicas / total)
    }
    /// How much a device holds more than its share, in per cent.
    pub fn balance_of(&self, device: &BuilderDevice) -> f64 {
        match self.weight_of_one_part() {
            Some(one) if device.device.weight > 0.0 => {
                100.0 * device.parts as f64 / (device.device.weight * one) - 100.0
            }
            _ if device.parts > 0 => BALANCE_OF_WEIGHTLESS,
            _ => 0.0,
        }
    }
    /// The worst of all devices.
    pub fn balance(&self) -> f64 {
        self.iter().map(|device| self.balance_of(device).abs()).fold(0.0, f64::max)
    }
    /// The device that holds a replica, if assigned.
    pub fn assigned(&self, row: usize, part: u64) -> Option<u32> {
        self.rows.get(row)?.get(part as usize).copied().filter(|id| *id != NONE)
    }
    /// Assignment rows.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }
    /// Partitions with 0, 1, 2 … replicas in each failure domain, as of the last rebalance.
    pub fn dispersion_graph(&self) -> impl Iterator<Item = (&[TierName], &[u64])> {
        self.graph.iter().map(|(tier, counts)| (tier.as_slice(), counts.as_slice()))
    }
    /// What must hold for the ring to be used; the sentence of what does not.
    pub fn validate(&self) -> Result<(), BuilderError> {
        let lengths = row_lengths(self.parts(), self.replicas);
        if !self.rows.iter().map(Vec::len).eq(lengths.iter().copied()) {
            return Err(BuilderError::new("the rows are not as long as the number of replicas wants; rebalance"));
        }
        let mut counted: BTreeMap<u32, u64> = BTreeMap::new();
        for part in 0..self.parts() as usize {
            let mut ids: Vec<u32> = self.rows.iter().filter_map(|row| row.get(part)).copied().collect();
            ids.sort_unstable();
            if let Some(id) = ids.iter().find(|id| self.device(**id).is_none()) {
                return Err(BuilderError::new(format!(
                    "partition {part} is assigned to device {id}, which is not there"
                )));
            }
            for id in &ids {
                *counted.entry(*id).or_default() += 1;
            }
            ids.dedup();
            let replicas = self.rows.iter().filter(|row| row.len() > part).count();
            if ids.len() != replicas {
                return Err(BuilderError::new(format!(
                    "The partition {part} has been assigned to duplicate devices {ids:?}"
                )));
            }
        }
        for device in self.iter() {
            let held = counted.get(&device.device.id).copied().unwrap_or(0);
            if held != device.parts {
                let message = format!("device {} holds {held} parts, its books say {}", device.device.id, device.parts);
                return Err(BuilderError::new(message));
            }
        }
        Ok(())
    }

    pub(crate) fn slots(&self) -> u64 {
        slots(self.parts(), self.replicas)
    }

    fn refuse_during_increase(&self, what: &str) -> Result<(), BuilderError> {
        match self.next_part_power {
            None => Ok(()),
            Some(_) => Err(BuilderError::new(format!(
                "devices cannot be {what}ed while the partition power is being increased: {what} later"
            ))),
        }
    }
}

impl BuilderDevice {
    /// The device as a ring shows it.
    pub(crate) fn to_json(&self) -> Value {
        let Device { id, region, zone, ip, port, replication_ip, replication_port, device, weight, meta } =
            &self.device;
        let known = json!({
            "id": id, "region": region, "zone": zone, "ip": ip, "port": port, "replication_ip": replication_ip,
            "replication_port": replication_port, "device": device, "weight": weight, "meta": meta,
        });
        let mut fields = self.unknown.clone();
        if let Value::Object(known) = known {
            fields.extend(known);
        }
        Value::Object(fields)
    }
}

pub(crate) fn slots(parts: u64, replicas: f64) -> u64 {
    (parts as f64 * replicas) as u64
}

/// Full rows, then one for the fraction.
pub(crate) fn row_lengths(parts: u64, replicas: f64) -> Vec<usize> {
    let mut lengths = vec![parts as usize; replicas as usize];
    let fraction = (parts as f64 * replicas.fract()) as usize;
    if fraction > 0 {
        lengths.push(fraction);
    }
    lengths
}

/// An entry without a device.
pub(crate) const NONE: u32 = u32::MAX;
/// A ring of more would not be read again.
const PART_POWER_MAX: u32 = 26;
const REPLICAS_MAX: f64 = 255.0;
/// Swift's stand-in for infinitely overfull.
const BALANCE_OF_WEIGHTLESS: f64 = 999.99;

#[cfg(test)]
mod tests;
