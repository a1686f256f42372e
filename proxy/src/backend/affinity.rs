//! Core: which nodes of a partition an operator prefers: `sorting_method`, `read_affinity`, `write_affinity` and what belongs to
//! them, for all policies or for one.
//!
//! - Reads: the primaries are shuffled, then sorted by what is preferred; among equals chance goes on deciding.
//! - PUT: so many local nodes first, be they primaries or handoffs; no node is left out.
//! - DELETE: the primaries, and beside them the local handoffs that a PUT may have gone to.

use super::hedge::Hedging;
use super::nodes::Node;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// How the primaries of a read are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sorting {
    /// By chance alone.
    #[default]
    Shuffle,
    /// By how fast the node answered last.
    Timing,
    /// By `read_affinity`.
    Affinity,
}

/// `r1` or `r1z2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    region: u32,
    zone: Option<u32>,
}

impl Place {
    fn parse(text: &str) -> Option<Place> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let rest = text.strip_prefix('r')?;
        match rest.split_once('z') {
            Some((region, zone)) => Some(Place { region: number(region)?, zone: Some(number(zone)?) }),
            None => Some(Place { region: number(rest)?, zone: None }),
        }
    }

    fn has(&self, node: &Node) -> bool {
        self.region == node.region && self.zone.is_none_or(|zone| zone == node.zone)
    }
}

/// `read_affinity`: places with priorities, lower ones first.
pub fn parse_read(text: &str) -> Option<Vec<(Place, u32)>> {
    let piece = |piece: &str| {
        let (place, priority) = piece.split_once('=')?;
        Some((Place::parse(place)?, priority.parse().ok()?))
    };
    words(text).map(piece).collect()
}

/// `write_affinity`: the places that are local.
pub fn parse_write(text: &str) -> Option<Vec<Place>> {
    words(text).map(Place::parse).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// A number of nodes, or of nodes for each replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Nodes(usize),
    /// So many times the replicas.
    PerReplica(usize),
}

impl Count {
    /// For a ring of so many replicas.
    pub fn of(self, replicas: usize) -> usize {
        match self {
            Count::Nodes(count) => count,
            Count::PerReplica(count) => count.saturating_mul(replicas),
        }
    }
}

/// What is preferred for one policy, or for all that have nothing of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// `sorting_method`
    pub sorting: Sorting,
    /// `read_affinity`
    pub read: Vec<(Place, u32)>,
    /// `write_affinity`; empty: none is local.
    pub write: Vec<Place>,
    /// `write_affinity_node_count`
    pub write_node_count: Count,
    /// `write_affinity_handoff_delete_count`; `None`: as many as primaries are elsewhere.
    pub handoff_delete_count: Option<usize>,
    /// `concurrent_gets` and `concurrency_timeout`
    pub hedging: Hedging,
    /// `rebalance_missing_suppression_count`: so many primaries that know nothing of a name do not count; one that a rebalance has just
    /// given the partition has nothing yet. Below the number of replicas.
    pub missing_left_out: usize,
}

impl Default for Preference {
    fn default() -> Self {
        Preference {
            sorting: Sorting::Shuffle,
            read: Vec::new(),
            write: Vec::new(),
            write_node_count: Count::PerReplica(2),
            handoff_delete_count: None,
            hedging: Hedging::Measured,
            missing_left_out: 1,
        }
    }
}

impl Preference {
    /// The lowest priority number of a place that the device is in; behind all others where there is none.
    fn priority(&self, node: &Node) -> u64 {
        let own = self.read.iter().filter(|(place, _)| place.has(node)).map(|(_, priority)| u64::from(*priority));
        own.min().unwrap_or(u64::MAX)
    }

    fn is_local(&self, node: &Node) -> bool {
        self.write.iter().any(|place| place.has(node))
    }

    /// Sorts the nodes of a read, which come shuffled.
    pub fn sort(&self, nodes: &mut [Node], timings: &Timings, now: impl FnOnce() -> Duration) {
        match self.sorting {
            Sorting::Shuffle => {}
            Sorting::Timing => {
                let now = now();
                nodes.sort_by_key(|node| timings.get(node.address.ip(), now));
            }
            Sorting::Affinity => nodes.sort_by_key(|node| self.priority(node)),
        }
    }

    /// The nodes that a PUT goes to first.
    pub fn first_for_put(&self, primaries: &[Node], handoffs: impl Iterator<Item = Node>) -> Vec<Node> {
        if self.write.is_empty() {
            return Vec::new();
        }
        let count = self.write_node_count.of(primaries.len());
        primaries.iter().cloned().chain(handoffs).filter(|node| self.is_local(node)).take(count).collect()
    }

    /// How many handoffs a DELETE asks beside the primaries.
    pub fn handoffs_of_delete(&self, primaries: &[Node]) -> usize {
        if self.write.is_empty() {
            return 0;
        }
        let elsewhere = primaries.iter().filter(|node| !self.is_local(node)).count();
        self.handoff_delete_count.unwrap_or(elsewhere)
    }

    /// The primaries and these handoffs.
    pub fn first_for_delete(&self, primaries: &[Node], handoffs: impl Iterator<Item = Node>) -> Vec<Node> {
        let count = self.handoffs_of_delete(primaries);
        let local = handoffs.filter(|node| self.is_local(node)).take(count);
        primaries.iter().cloned().chain(local).collect()
    }
}

/// How fast nodes answered, by address. Bounded by the nodes of the rings.
#[derive(Debug, Default)]
pub struct Timings {
    known: BTreeMap<IpAddr, (u64, Duration)>,
}

impl Timings {
    /// Takes down an answer, to the millisecond, for so long.
    pub fn set(&mut self, ip: IpAddr, took: Duration, now: Duration, expiry: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX - 1);
        self.known.insert(ip, (milliseconds + 1, now + expiry));
    }

    /// Who is not known, or was long ago, is tried first.
    fn get(&self, ip: IpAddr, now: Duration) -> u64 {
        self.known.get(&ip).filter(|(_, until)| *until > now).map_or(0, |(took, _)| *took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, region: u32, zone: u32) -> Node {
        let address = format!("10.0.0.{id}:6200").parse().unwrap();
        Node { id, region, zone, address, device: "d".into(), primary: true, name: "n".into() }
    }

    fn nodes() -> Vec<Node> {
        vec![node(0, 1, 1), node(1, 1, 2), node(2, 2, 1), node(3, 1, 1), node(4, 2, 2), node(5, 3, 1)]
    }

    fn ids(nodes: &[Node]) -> Vec<u32> {
        nodes.iter().map(|node| node.id).collect()
    }

    #[test]
    fn descriptors_are_read_as_swift_writes_them() {
        assert_eq!(parse_read("r1z1=100, r1z2=200,r2=300").unwrap().len(), 3);
        assert_eq!(parse_write(" r1 , r2z3 ").unwrap().len(), 2);
        assert_eq!((parse_read(""), parse_write("")), (Some(Vec::new()), Some(Vec::new())));
        for bad in ["r1", "r=1", "rz1=1", "r1z=1", "x1=1", "r1=", "r1=-1", "r1z1z2=3", "r+1=2"] {
            assert_eq!(parse_read(bad), None, "{bad}");
        }
        for bad in ["r1=1", "1", "r", "rz", "r1z"] {
            assert_eq!(parse_write(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_go_to_what_is_preferred_and_chance_decides_among_equals() {
        let all = nodes();
        let preference = Preference {
            sorting: Sorting::Affinity,
            read: parse_read("r1z1=100, r1=200, r2=300").unwrap(),
            ..Preference::default()
        };
        let sorted = |order: [usize; 6]| {
            let mut nodes: Vec<Node> = order.iter().map(|&at| all[at].clone()).collect();
            preference.sort(&mut nodes, &Timings::default(), || Duration::ZERO);
            ids(&nodes)
        };
        assert_eq!(sorted([0, 1, 2, 3, 4, 5]), [0, 3, 1, 2, 4, 5]);
        assert_eq!(sorted([5, 4, 3, 2, 1, 0]), [3, 0, 1, 4, 2, 5]);
    }

    #[test]
    fn the_fastest_is_asked_first_until_its_time_is_old() {
        let all = nodes();
        let preference = Preference { sorting: Sorting::Timing, ..Preference::default() };
        let seconds = Duration::from_secs;
        let mut timings = Timings::default();
        timings.set(all[0].address.ip(), Duration::from_millis(9), seconds(1), seconds(300));
        timings.set(all[1].address.ip(), Duration::from_millis(3), seconds(1), seconds(10));
        let first = |now: Duration| {
            let mut nodes: Vec<Node> = all.iter().take(2).cloned().collect();
            preference.sort(&mut nodes, &timings, || now);
            nodes[0].id
        };
        assert_eq!(first(seconds(2)), 1);
        // Both are old: the order stays.
        assert_eq!(first(seconds(500)), 0);
    }

    #[test]
    fn a_put_goes_to_local_nodes_first_and_a_delete_to_those_it_may_have_gone_to() {
        let all = nodes();
        let pick = |places: [usize; 3]| places.map(|at| all[at].clone()).to_vec();
        let (primaries, handoffs) = (pick([0, 2, 4]), pick([5, 1, 3]));
        let local = Preference { write: parse_write("r1").unwrap(), ..Preference::default() };
        let of = |preference: &Preference| {
            (
                ids(&preference.first_for_put(&primaries, handoffs.iter().cloned())),
                ids(&preference.first_for_delete(&primaries, handoffs.iter().cloned())),
                preference.handoffs_of_delete(&primaries),
            )
        };
        assert_eq!(of(&local), (vec![0, 1, 3], vec![0, 2, 4, 1, 3], 2));
        let fewer = Preference { write_node_count: Count::Nodes(2), handoff_delete_count: Some(1), ..local };
        assert_eq!(of(&fewer), (vec![0, 1], vec![0, 2, 4, 1], 1));
        assert_eq!(of(&Preference::default()), (vec![], vec![0, 2, 4], 0));
    }
}
