//! Core: the nodes of a partition in the order to try: primaries, then handoffs, up to a number of tries.
//!
//! # Invariants
//!
//! - No node is given twice, and none that is error-limited.
//! - Every primary that can be asked comes before the first handoff.
//! - Left-out primaries do not use up tries: another node takes the place.

use ring::{Device, Ring};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// One device of one node, as a target of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// The device's directory name.
    pub device: String,
    /// True for a primary.
    pub primary: bool,
    /// `ip:port/device`, the name under which failures are counted.
    pub name: String,
}

impl Node {
    /// From a ring's device; `None` when its address is no IP address.
    pub fn new(device: &Device, primary: bool) -> Option<Node> {
        let address = SocketAddr::new(device.ip.parse::<IpAddr>().ok()?, device.port);
        Some(Node { address, device: device.device.clone(), primary, name: format!("{address}/{}", device.device) })
    }
}

/// The nodes still to be tried for one request.
#[derive(Debug)]
pub struct Candidates {
    ring: Rc<Ring>,
    partition: u32,
    primaries: VecDeque<Node>,
    handoffs: Option<VecDeque<Node>>,
    tries_left: usize,
    replicas: usize,
}

impl Candidates {
    /// For one partition; `tries` nodes at most (`None`: twice the replicas). `random` shuffles the primaries.
    pub fn new(ring: Rc<Ring>, partition: u32, tries: Option<usize>, mut random: impl FnMut() -> u64) -> Candidates {
        let mut primaries: VecDeque<Node> =
            ring.primaries(partition).into_iter().filter_map(|device| Node::new(device, true)).collect();
        let replicas = primaries.len();
        for place in (1..replicas).rev() {
            let other = usize::try_from(random() % (place as u64 + 1)).unwrap_or(0);
            primaries.swap(place, other);
        }
        let tries_left = tries.unwrap_or(2 * replicas).max(replicas);
        Candidates { ring, partition, primaries, handoffs: None, tries_left, replicas }
    }

    /// Number of primaries.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// The next node to try.
    pub fn next(&mut self, mut is_limited: impl FnMut(&Node) -> bool) -> Option<Node> {
        if self.tries_left == 0 {
            return None;
        }
        let node = self.next_of_all(&mut is_limited)?;
        self.tries_left -= 1;
        Some(node)
    }

    fn next_of_all(&mut self, is_limited: &mut impl FnMut(&Node) -> bool) -> Option<Node> {
        // Ends: every turn takes one node out of a finite list.
        while let Some(node) = self.primaries.pop_front() {
            if !is_limited(&node) {
                return Some(node);
            }
        }
        let handoffs = self.handoffs.get_or_insert_with(|| {
            self.ring
                .handoffs(self.partition)
                .filter_map(|device| Node::new(device, false))
                .take(self.tries_left + MAX_LIMITED_HANDOFFS)
                .collect()
        });
        while let Some(node) = handoffs.pop_front() {
            if !is_limited(&node) {
                return Some(node);
            }
        }
        None
    }
}

/// Error-limited handoffs skipped before giving up; bounds the work of one request in a ring of thousands of devices.
const MAX_LIMITED_HANDOFFS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ring;

    fn candidates(tries: Option<usize>) -> Candidates {
        let ring = Rc::new(Ring::from_bytes(&ring()).unwrap());
        let mut random = 0;
        Candidates::new(ring, 2, tries, move || {
            random += 1;
            random
        })
    }

    fn all(mut candidates: Candidates, is_limited: impl Fn(&Node) -> bool) -> Vec<Node> {
        std::iter::from_fn(|| candidates.next(&is_limited)).collect()
    }

    #[test]
    fn primaries_come_first_and_nobody_twice() {
        let nodes = all(candidates(None), |_| false);
        assert_eq!(nodes.iter().map(|node| node.primary).collect::<Vec<_>>(), [true, true, true, false, false, false]);
        let mut devices: Vec<&str> = nodes.iter().map(|node| node.device.as_str()).collect();
        devices.sort_unstable();
        devices.dedup();
        assert_eq!(devices.len(), 6);
    }

    #[test]
    fn tries_are_bounded_but_never_below_the_replicas() {
        assert_eq!(all(candidates(Some(4)), |_| false).len(), 4);
        assert_eq!(all(candidates(Some(1)), |_| false).len(), 3);
    }

    #[test]
    fn a_limited_primary_is_replaced_by_a_handoff() {
        let nodes = all(candidates(Some(3)), |node| node.device == "d3");
        assert_eq!(nodes.len(), 3);
        assert!(nodes.iter().all(|node| node.device != "d3"));
        assert_eq!(nodes.iter().filter(|node| node.primary).count(), 2);
        assert!(all(candidates(None), |_| true).is_empty());
    }
}
