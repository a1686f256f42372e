//! Core: the nodes of a partition in the order to try: primaries, then handoffs, up to a number of tries.
//!
//! # Invariants
//!
//! - No node is given twice, and none that is error-limited.
//! - Every primary that can be asked comes before the first handoff, unless others are preferred for a write (`affinity`).
//! - Left-out primaries do not use up tries: another node takes the place.

use super::hedge::Hedge;
use ring::{Device, Ring};
use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// One device of one node, as a target of requests. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Index in the ring's list.
    pub id: u32,
    /// Failure domains, the larger one first.
    pub region: u32,
    /// Inside the region.
    pub zone: u32,
    /// Where it listens.
    pub address: SocketAddr,
    /// The device's directory name.
    pub device: Rc<str>,
    /// True for a primary.
    pub primary: bool,
    /// `ip:port/device`, the name under which failures are counted.
    pub name: Rc<str>,
}

impl Node {
    /// From a ring's device, as a primary; `None` when its address is no IP address.
    fn new(device: &Device) -> Option<Node> {
        let address = SocketAddr::new(device.ip.parse::<IpAddr>().ok()?, device.port);
        let name = format!("{address}/{}", device.device).into();
        let (id, region, zone) = (device.id, device.region, device.zone);
        Some(Node { id, region, zone, address, device: device.device.as_str().into(), primary: true, name })
    }
}

/// A ring whose devices are targets already: made once when it is loaded, not for every request.
#[derive(Debug)]
pub struct Nodes {
    ring: Ring,
    /// By the id of the device.
    nodes: Vec<Option<Node>>,
    /// What this core has seen of their answers.
    hedge: RefCell<Hedge>,
    /// Empty lists of primaries for the requests to come.
    lists: RefCell<Vec<VecDeque<Node>>>,
}

/// Lists that are kept: enough for the requests that one core has under way.
const LISTS_MAX: usize = 64;

impl Nodes {
    /// Of a ring.
    pub fn new(ring: Ring) -> Nodes {
        let mut nodes = Vec::new();
        for device in ring.devices() {
            let place = device.id as usize;
            nodes.resize(nodes.len().max(place + 1), None);
            if let Some(known) = nodes.get_mut(place) {
                *known = Node::new(device);
            }
        }
        Nodes { ring, nodes, hedge: RefCell::default(), lists: RefCell::default() }
    }

    /// The partition of a name's hash.
    pub fn partition(&self, hash: &[u8; 16]) -> u32 {
        self.ring.partition(hash)
    }

    /// How many primaries a partition has, if there are so many devices.
    pub fn replicas(&self) -> usize {
        self.ring.replicas()
    }

    /// Those of a partition, in the ring's order.
    pub fn primaries(&self, partition: u32) -> impl Iterator<Item = Node> + '_ {
        self.ring.primary_ids(partition).filter_map(|id| self.nodes.get(id as usize)?.clone())
    }

    /// The others, in the order to try.
    pub fn handoffs(&self, partition: u32) -> impl Iterator<Item = Node> + '_ {
        self.ring.handoffs(partition).filter_map(|device| Some(Node { primary: false, ..self.node(device)? }))
    }

    /// What is known of their answers. Never held over an await.
    pub(super) fn hedge(&self) -> Ref<'_, Hedge> {
        self.hedge.borrow()
    }

    /// To be added to.
    pub(super) fn hedge_mut(&self) -> RefMut<'_, Hedge> {
        self.hedge.borrow_mut()
    }

    /// The primaries in a list that a request before this one may have had.
    fn list(&self, partition: u32) -> VecDeque<Node> {
        let mut list = self.lists.borrow_mut().pop().unwrap_or_else(|| VecDeque::with_capacity(self.replicas()));
        list.extend(self.primaries(partition));
        list
    }

    fn take_back(&self, mut list: VecDeque<Node>) {
        list.clear();
        let mut lists = self.lists.borrow_mut();
        if lists.len() < LISTS_MAX {
            lists.push(list);
        }
    }

    fn node(&self, device: &Device) -> Option<Node> {
        self.nodes.get(device.id as usize)?.clone()
    }
}

/// The nodes still to be tried for one request.
#[derive(Debug)]
pub struct Candidates {
    ring: Rc<Nodes>,
    partition: u32,
    primaries: VecDeque<Node>,
    handoffs: Option<VecDeque<Node>>,
    tries_left: usize,
    replicas: usize,
    handoffs_given: usize,
    handoffs_expected: usize,
}

impl Candidates {
    /// For one partition; `tries` nodes at most (`None`: twice the replicas). `random` shuffles the primaries, then `sort` has
    /// its say. `preferred` nodes, handoffs too, come first; where there are none, the primaries do.
    pub fn new(
        ring: Rc<Nodes>,
        partition: u32,
        tries: Option<usize>,
        mut random: impl FnMut() -> u64,
        sort: impl FnOnce(&mut [Node]),
        preferred: Vec<Node>,
    ) -> Candidates {
        let mut primaries = ring.list(partition);
        let replicas = primaries.len();
        let tries_left = tries.unwrap_or(2 * replicas).max(replicas);
        let mut handoffs = None;
        if !preferred.is_empty() {
            let is_other = |node: &Node| preferred.iter().all(|preferred| preferred.id != node.id);
            let others = primaries.into_iter().chain(ring.handoffs(partition)).filter(is_other);
            let others: Vec<Node> = others.take(replicas + tries_left + MAX_LIMITED_HANDOFFS).collect();
            let mut ordered: VecDeque<Node> = preferred.into_iter().chain(others).collect();
            handoffs = Some(ordered.split_off(replicas.min(ordered.len())));
            primaries = ordered;
        }
        for place in (1..primaries.len()).rev() {
            let other = usize::try_from(random() % (place as u64 + 1)).unwrap_or(0);
            primaries.swap(place, other);
        }
        sort(primaries.make_contiguous());
        let (handoffs_given, handoffs_expected) = (0, tries_left - replicas);
        Candidates { ring, partition, primaries, handoffs, tries_left, replicas, handoffs_given, handoffs_expected }
    }

    /// Allows `more` tries: a write that has more requests than replicas.
    #[must_use]
    pub fn with_more(mut self, more: usize) -> Candidates {
        self.tries_left += more;
        self
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
            self.ring.handoffs(self.partition).take(self.tries_left + MAX_LIMITED_HANDOFFS).collect()
        });
        while let Some(node) = handoffs.pop_front() {
            if !is_limited(&node) {
                self.handoffs_given += 1;
                return Some(node);
            }
        }
        None
    }

    /// How many handoffs were given, when they are more than there would be with all primaries well (`log_handoffs`).
    pub fn unexpected_handoffs(&self) -> Option<usize> {
        Some(self.handoffs_given).filter(|given| *given > self.handoffs_expected)
    }
}

impl Drop for Candidates {
    fn drop(&mut self) {
        self.ring.take_back(std::mem::take(&mut self.primaries));
    }
}

/// Error-limited handoffs skipped before giving up; bounds the work of one request in a ring of thousands of devices.
const MAX_LIMITED_HANDOFFS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ring;

    fn candidates(tries: Option<usize>) -> Candidates {
        let ring = Rc::new(Nodes::new(Ring::from_bytes(&ring()).unwrap()));
        let mut random = 0;
        let random = move || {
            random += 1;
            random
        };
        Candidates::new(ring, 2, tries, random, |_| {}, Vec::new())
    }

    fn all(mut candidates: Candidates, is_limited: impl Fn(&Node) -> bool) -> Vec<Node> {
        std::iter::from_fn(|| candidates.next(&is_limited)).collect()
    }

    #[test]
    fn primaries_come_first_and_nobody_twice() {
        let nodes = all(candidates(None), |_| false);
        assert_eq!(nodes.iter().map(|node| node.primary).collect::<Vec<_>>(), [true, true, true, false, false, false]);
        let mut devices: Vec<&str> = nodes.iter().map(|node| &*node.device).collect();
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
        let nodes = all(candidates(Some(3)), |node| &*node.device == "d3");
        assert_eq!(nodes.len(), 3);
        assert!(nodes.iter().all(|node| &*node.device != "d3"));
        let unexpected = |tries, limited: &str| {
            let mut candidates = candidates(tries);
            while candidates.next(|node| &*node.device == limited).is_some() {}
            candidates.unexpected_handoffs()
        };
        assert_eq!(
            (unexpected(Some(3), ""), unexpected(Some(3), "d3"), unexpected(Some(4), "d3")),
            (None, Some(1), Some(2))
        );
        assert_eq!(nodes.iter().filter(|node| node.primary).count(), 2);
        assert!(all(candidates(None), |_| true).is_empty());
    }

    #[test]
    fn a_list_that_comes_back_half_used_is_a_new_one_for_the_next() {
        let ring = Rc::new(Nodes::new(Ring::from_bytes(&ring()).unwrap()));
        let of = |partition| Candidates::new(ring.clone(), partition, None, || 0, |_| {}, Vec::new());
        let expected: Vec<u32> = all(of(5), |_| false).iter().map(|node| node.id).collect();
        for used in 0..3 {
            let mut first = of(2);
            (0..used).for_each(|_| drop(first.next(|_| false)));
            drop(first);
            assert_eq!(ring.lists.borrow().len(), 1);
            assert_eq!(all(of(5), |_| false).iter().map(|node| node.id).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn preferred_nodes_come_first_and_nobody_is_left_out_or_asked_twice() {
        let ring = Rc::new(Nodes::new(Ring::from_bytes(&ring()).unwrap()));
        let handoffs: Vec<Node> = ring.handoffs(2).collect();
        let primaries: Vec<Node> = ring.primaries(2).collect();
        // More than the first three: the rest of them come next.
        let preferred = vec![handoffs[1].clone(), primaries[0].clone(), handoffs[2].clone(), handoffs[0].clone()];
        let mut expected: Vec<u32> = preferred[..3].iter().map(|node| node.id).collect();
        expected.sort_unstable();
        let nodes = all(Candidates::new(ring, 2, None, || 0, |_| {}, preferred), |_| false);
        let mut first: Vec<u32> = nodes[..3].iter().map(|node| node.id).collect();
        first.sort_unstable();
        assert_eq!((first, nodes[3].id), (expected, handoffs[0].id));
        let mut everybody: Vec<u32> = nodes.iter().map(|node| node.id).collect();
        everybody.sort_unstable();
        everybody.dedup();
        assert_eq!(everybody.len(), 6);
        assert_eq!(nodes.iter().filter(|node| node.primary).count(), 3);
    }
}
