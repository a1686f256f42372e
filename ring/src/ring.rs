//! Core: a loaded ring: which devices hold a partition (specs: ring §1 to §4).

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

/// A ring as daemons use it.
#[derive(Clone, Debug)]
pub struct Ring {}

impl Ring {
    /// Reads a `.ring.gz` of version 1 or 2.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Ring, RingError> {
        todo!()
    }
    /// The partition of a name hash.
    pub fn partition(&self, _hash: &[u8; 16]) -> u32 {
        todo!()
    }
    /// 2^part_power.
    pub fn partitions(&self) -> u32 {
        todo!()
    }
    /// Number of assignment rows (a short last row counts as one).
    pub fn replicas(&self) -> usize {
        todo!()
    }
    /// The primaries of a partition, duplicates dropped; a node's `index` is its place here.
    pub fn primaries(&self, _partition: u32) -> Vec<&Device> {
        todo!()
    }
    /// Handoffs of a partition in Swift's order, computed lazily.
    pub fn handoffs(&self, _partition: u32) -> impl Iterator<Item = &Device> {
        std::iter::empty()
    }
    /// All devices, holes left out.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        std::iter::empty()
    }
}
