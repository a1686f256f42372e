//! Core: Swift's order of handoff devices.
//!
//! The order is a pure function of ring and partition; every proxy and every replicator must agree on it. Four passes
//! walk over all partitions from a place that depends on the partition: the first yields devices of regions not in use
//! yet, the second of zones, the third of addresses, the fourth every device that is left.
//!
//! The walk is lazy: a request that needs one handoff pays for one.

use crate::ring::{Device, Domains, Ring};
use md5::{Digest, Md5};

/// Handoffs of one partition, in order; each device that owns a partition comes once, primaries never.
#[derive(Clone, Debug)]
pub struct Handoffs<'a> {
    ring: &'a Ring,
    used: Used,
    start: u64,
    step: u64,
    pass: Pass,
    /// The walk: next partition and row.
    partition: u64,
    row: usize,
    /// The part of the walk below `start` has begun.
    wrapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Regions,
    Zones,
    Ips,
    Devices,
    Done,
}

/// A set of small numbers that knows its size.
#[derive(Clone, Debug)]
struct Marks {
    marked: Vec<bool>,
    count: usize,
}

#[derive(Clone, Debug)]
struct Used {
    regions: Marks,
    zones: Marks,
    ips: Marks,
    devices: Marks,
}

impl<'a> Handoffs<'a> {
    pub(crate) fn new(ring: &'a Ring, partition: u32) -> Self {
        let marks = || Marks { marked: vec![false; ring.domains.len()], count: 0 };
        let mut used = Used { regions: marks(), zones: marks(), ips: marks(), devices: marks() };
        for row in 0..ring.replicas() {
            if let Some((id, domains)) = ring.assigned(row, partition).and_then(|id| found(ring, id)) {
                used.mark(id, domains);
            }
        }
        let hash: [u8; 16] = Md5::digest(partition.to_string()).into();
        let start = u64::from(ring.partition(&hash));
        let step = u64::from(ring.partitions() / 65_536).max(1);
        let pass = if ring.replicas() == 0 { Pass::Done } else { Pass::Regions };
        Handoffs { ring, used, start, step, pass, partition: start, row: 0, wrapped: false }
    }

    /// The next assigned device of the walk; `None` at its end.
    fn step(&mut self) -> Option<(usize, Domains)> {
        // Ends: each turn moves on by a row or a partition, and the walk has a last one.
        loop {
            let end = if self.wrapped { self.start } else { u64::from(self.ring.partitions()) };
            if self.partition >= end {
                if self.wrapped {
                    return None;
                }
                self.wrapped = true;
                // With a step of 1 this begins at partition 1 and never sees 0, unless the walk started there: what
                // Swift does, and all must do the same.
                self.partition = self.step - (end - self.start) % self.step;
                continue;
            }
            let (row, partition) = (self.row, self.partition as u32);
            self.row += 1;
            if self.row == self.ring.replicas() {
                self.row = 0;
                self.partition += self.step;
            }
            let assigned = self.ring.assigned(row, partition).and_then(|id| found(self.ring, id));
            if assigned.is_some() {
                return assigned;
            }
        }
    }

    fn next_pass(&mut self) {
        self.pass = match self.pass {
            Pass::Regions => Pass::Zones,
            Pass::Zones => Pass::Ips,
            Pass::Ips => Pass::Devices,
            Pass::Devices | Pass::Done => Pass::Done,
        };
        (self.partition, self.row, self.wrapped) = (self.start, 0, false);
    }

    /// Whether this pass can find nothing more.
    fn exhausted(&self) -> bool {
        let totals = &self.ring.totals;
        match self.pass {
            Pass::Regions => self.used.regions.count >= totals.regions,
            Pass::Zones => self.used.zones.count >= totals.zones,
            Pass::Ips => self.used.ips.count >= totals.ips,
            Pass::Devices => self.used.devices.count >= totals.devices,
            Pass::Done => true,
        }
    }

    fn is_new(&self, id: usize, domains: Domains) -> bool {
        match self.pass {
            Pass::Regions => !self.used.regions.has(domains.region),
            Pass::Zones => !self.used.zones.has(domains.zone),
            Pass::Ips => !self.used.ips.has(domains.ip),
            Pass::Devices => !self.used.devices.has(id),
            Pass::Done => false,
        }
    }
}

impl<'a> Iterator for Handoffs<'a> {
    type Item = &'a Device;

    fn next(&mut self) -> Option<&'a Device> {
        let ring = self.ring;
        while self.pass != Pass::Done {
            if self.exhausted() {
                self.next_pass();
                continue;
            }
            match self.step() {
                Some((id, domains)) if self.is_new(id, domains) => {
                    self.used.mark(id, domains);
                    return ring.device(id as u32);
                }
                Some(_) => {}
                None => self.next_pass(),
            }
        }
        None
    }
}

impl Used {
    fn mark(&mut self, id: usize, domains: Domains) {
        self.regions.mark(domains.region);
        self.zones.mark(domains.zone);
        self.ips.mark(domains.ip);
        self.devices.mark(id);
    }
}

impl Marks {
    fn has(&self, at: usize) -> bool {
        self.marked.get(at).copied().unwrap_or(true)
    }
    fn mark(&mut self, at: usize) {
        if let Some(mark) = self.marked.get_mut(at).filter(|mark| !**mark) {
            *mark = true;
            self.count += 1;
        }
    }
}

fn found(ring: &Ring, id: u32) -> Option<(usize, Domains)> {
    let domains = ring.domains.get(id as usize)?.as_ref()?;
    Some((id as usize, *domains))
}
