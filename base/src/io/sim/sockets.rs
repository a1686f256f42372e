//! The simulated network: listeners, connections, and what travels between their ends.
//!
//! A connection has two ends; each end has a queue of what comes in: segments in flight, with their time of arrival, and
//! bytes that arrived. What is in flight and unread is bounded, so a writer waits for a slow reader.
//!
//! # Invariants
//!
//! - Bytes arrive in order or not at all; a byte that arrived once never arrives again.
//! - A blocked direction (partition, lost packets) delivers nothing; what it held arrives after it is unblocked.
//! - An end whose node crashed never reads or writes again. A loud crash resets the peer. After a silent one the peer learns
//!   it only by its own deadline, or when it sends to the node after that is back.

use super::NodeId;
use super::datagram::Mailbox;
use super::world::{Timer, World};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::task::Waker;

/// All sockets of a simulation.
pub(crate) struct Sockets {
    pub(crate) listeners: BTreeMap<u64, Listening>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    /// UDP.
    pub(crate) mailboxes: BTreeMap<u64, Mailbox>,
    /// Pairs of nodes that cannot reach each other, the lower one first.
    pub(crate) partitions: BTreeSet<(NodeId, NodeId)>,
    /// Pairs of nodes whose packets are never lost, the lower one first.
    pub(crate) reliable: BTreeSet<(NodeId, NodeId)>,
    pub(crate) buffer: usize,
    /// By the address connected to: the most connections that were open at one time on the connecting side.
    pub(crate) most_open: BTreeMap<SocketAddr, usize>,
}

/// A listening socket.
pub(crate) struct Listening {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) shared: bool,
    /// Connections nobody accepted yet.
    pub(crate) backlog: VecDeque<u64>,
    pub(crate) waker: Option<Waker>,
}

/// One connection; end 0 connected, end 1 accepted.
pub(crate) struct Connection {
    pub(crate) ends: [End; 2],
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) node: NodeId,
    pub(crate) life: u64,
    pub(crate) address: SocketAddr,
    /// Somebody holds a handle, or it waits in a backlog.
    pub(crate) is_open: bool,
    /// `shutdown` was called here.
    pub(crate) is_shut: bool,
    /// A FIN was sent from here.
    pub(crate) has_sent_end: bool,
    pub(crate) is_reset: bool,
    /// The peer's FIN arrived here.
    pub(crate) is_at_end: bool,
    /// A read or write was dropped unfinished.
    pub(crate) is_broken: bool,
    pub(crate) arrived: VecDeque<Bytes>,
    pub(crate) arrived_bytes: usize,
    flight: VecDeque<(u64, Segment)>,
    flight_bytes: usize,
    /// What comes in stands still until retransmitted; for ever when `is_lost`.
    is_stalled: bool,
    is_lost: bool,
    pub(crate) reader: Option<Waker>,
    /// Who waits for room in the queue of the *other* end.
    pub(crate) writer: Option<Waker>,
}

/// What travels.
pub(crate) enum Segment {
    Data(Bytes),
    Fin,
    Reset,
}

impl Sockets {
    pub(crate) fn new(buffer: usize) -> Self {
        Self {
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            partitions: BTreeSet::new(),
            reliable: BTreeSet::new(),
            buffer,
            most_open: BTreeMap::new(),
        }
    }

    /// Connections to `address` whose connecting side is open.
    pub(crate) fn open_to(&self, address: SocketAddr) -> usize {
        let is_open = |connection: &&Connection| {
            let [connecting, accepting] = &connection.ends;
            connecting.is_open && accepting.address == address
        };
        self.connections.values().filter(is_open).count()
    }

    /// Remembers how many are open to `address` now.
    pub(crate) fn note_open(&mut self, address: SocketAddr) {
        let open = self.open_to(address);
        let most = self.most_open.entry(address).or_default();
        *most = open.max(*most);
    }

    pub(crate) fn is_partitioned(&self, a: NodeId, b: NodeId) -> bool {
        self.partitions.contains(&(a.min(b), a.max(b)))
    }

    /// Whether packets between the two may be lost: never inside a node.
    pub(crate) fn loses_packets(&self, a: NodeId, b: NodeId) -> bool {
        a != b && !self.reliable.contains(&(a.min(b), a.max(b)))
    }

    pub(crate) fn end(&mut self, connection: u64, side: usize) -> Option<&mut End> {
        self.connections.get_mut(&connection).and_then(|connection| connection.ends.get_mut(side))
    }

    /// Room in the queue towards the end `side`.
    pub(crate) fn room(&mut self, connection: u64, side: usize) -> usize {
        let buffer = self.buffer;
        self.end(connection, side).map_or(0, |end| buffer.saturating_sub(end.arrived_bytes + end.flight_bytes))
    }
}

impl End {
    pub(crate) fn new(node: NodeId, life: u64, address: SocketAddr) -> Self {
        Self {
            node,
            life,
            address,
            is_open: true,
            is_shut: false,
            has_sent_end: false,
            is_reset: false,
            is_at_end: false,
            is_broken: false,
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            flight: VecDeque::new(),
            flight_bytes: 0,
            is_stalled: false,
            is_lost: false,
            reader: None,
            writer: None,
        }
    }
    pub(crate) fn wake_both(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
    /// Ends it: nothing can be read or written here any more.
    pub(crate) fn reset(&mut self, keep_arrived: bool) {
        self.is_reset = true;
        if !keep_arrived {
            self.arrived.clear();
            self.arrived_bytes = 0;
        }
        self.wake_both();
    }
}

/// Time a segment takes from one node to another.
pub(crate) fn latency(world: &World, from: NodeId, to: NodeId) -> u64 {
    let options = &world.options;
    let (low, high) = (nanos(options.latency.0), nanos(options.latency.1));
    let base = world.with_random(|random| random.between(low, high));
    let base = if from == to { base / 10 } else { base };
    // One in a hundred meets a full queue somewhere.
    if world.fault(0.01) { base * 20 } else { base }
}

pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Sends a segment to the end `side`: it arrives later, in order; or is lost, as the options say.
pub(crate) fn send(world: &World, connection: u64, side: usize, segment: Segment) {
    let (from, to) = {
        let mut net = world.net.borrow_mut();
        let Some(from) = net.end(connection, 1 - side).map(|end| end.node) else { return };
        let Some(to) = net.end(connection, side).map(|end| end.node) else { return };
        (from, to)
    };
    let arrival = world.now() + latency(world, from, to);
    let options = &world.options;
    let loses = world.net.borrow().loses_packets(from, to);
    let stall = if loses && world.fault(options.stall_chance) {
        let (low, high) = (nanos(options.stall.0), nanos(options.stall.1));
        Some(world.with_random(|random| random.between(low, high)))
    } else {
        None
    };
    let is_lost = loses && world.fault(options.lost_chance);
    let is_reset = loses && world.fault(options.reset_chance);
    let mut net = world.net.borrow_mut();
    let Some(end) = net.end(connection, side) else { return };
    if let Some(stall) = stall {
        end.is_stalled = true;
        world.note("stall", connection, stall);
        world.at(world.now() + stall, Timer::Unstall { connection, side });
    }
    if is_lost {
        end.is_lost = true;
        world.note("lost", connection, 0);
    }
    let arrival = end.flight.back().map_or(arrival, |(last, _)| arrival.max(*last));
    let segment = if is_reset { Segment::Reset } else { segment };
    if let Segment::Data(bytes) = &segment {
        end.flight_bytes += bytes.len();
    }
    end.flight.push_back((arrival, segment));
    drop(net);
    world.at(arrival, Timer::Deliver { connection, side });
}

/// Moves what is due from flight to the end `side`.
pub(crate) fn deliver(world: &World, connection: u64, side: usize) {
    let mut back = false;
    {
        let mut net = world.net.borrow_mut();
        let Some(nodes) = net.connections.get(&connection).map(|found| {
            let [a, b] = &found.ends;
            (a.node, b.node)
        }) else {
            return;
        };
        let is_partitioned = net.is_partitioned(nodes.0, nodes.1);
        let Some(end) = net.end(connection, side) else { return };
        if is_partitioned || end.is_stalled || end.is_lost {
            return;
        }
        // A crashed machine that is not back answers nothing: what was sent stays unacknowledged.
        let is_alive = world.is_alive(end.node, end.life);
        if !is_alive && world.life(end.node).is_none() {
            return;
        }
        // Ends: takes one segment a turn.
        while end.flight.front().is_some_and(|(time, _)| *time <= world.now()) {
            let Some((_, segment)) = end.flight.pop_front() else { break };
            world.note("deliver", connection, u64::try_from(side).unwrap_or(0));
            if let Segment::Data(bytes) = &segment {
                end.flight_bytes -= bytes.len();
            }
            match segment {
                Segment::Reset => end.reset(world.with_random(|random| random.chance(0.5))),
                _ if !is_alive || !end.is_open || end.is_shut || end.is_reset => {
                    back |= matches!(segment, Segment::Data(_));
                }
                Segment::Data(bytes) => {
                    end.arrived_bytes += bytes.len();
                    end.arrived.push_back(bytes);
                }
                Segment::Fin => end.is_at_end = true,
            }
        }
        if let Some(reader) = end.reader.take() {
            reader.wake();
        }
        if back && let Some(writer) = net.end(connection, 1 - side).and_then(|end| end.writer.take()) {
            writer.wake();
        }
    }
    if back {
        send(world, connection, 1 - side, Segment::Reset);
    }
    forget_if_over(world, connection);
}

/// Retransmits what a stalled direction held.
pub(crate) fn unstall(world: &World, connection: u64, side: usize) {
    let found = world.net.borrow_mut().end(connection, side).map(|end| end.is_stalled = false);
    if found.is_some() {
        deliver(world, connection, side);
    }
}

/// After a partition ends, or a node is back: what was held between them arrives. `b` is `None` for all others.
pub(crate) fn unblock(world: &World, a: NodeId, b: Option<NodeId>) {
    let held: Vec<u64> = {
        let net = world.net.borrow();
        let between = |connection: &Connection| {
            let [first, second] = &connection.ends;
            match b {
                Some(b) => (first.node, second.node) == (a, b) || (first.node, second.node) == (b, a),
                None => first.node == a || second.node == a,
            }
        };
        net.connections.iter().filter(|(_, connection)| between(connection)).map(|(&id, _)| id).collect()
    };
    for connection in held {
        for side in [0, 1] {
            let time = world.now() + latency(world, a, b.unwrap_or(a));
            world.at(time, Timer::Deliver { connection, side });
        }
    }
}

/// The sockets of a node that crashed: listeners go; peers are reset, or hear nothing when it was `silent`.
pub(crate) fn crash(world: &World, node: NodeId, silent: bool) {
    let (mut broken, mut refused) = (Vec::new(), Vec::new());
    {
        let mut net = world.net.borrow_mut();
        net.listeners.retain(|_, listening| listening.node != node);
        net.mailboxes.retain(|_, mailbox| mailbox.node != node);
        for (&id, connection) in &mut net.connections {
            for (side, end) in connection.ends.iter_mut().enumerate().filter(|(_, end)| end.node == node) {
                if end.is_open {
                    broken.push((id, 1 - side));
                }
                end.is_open = false;
                end.reset(false);
                refused.push(id);
            }
        }
    }
    if !silent {
        broken.into_iter().for_each(|(id, side)| send(world, id, side, Segment::Reset));
    }
    refused.into_iter().for_each(|id| forget_if_over(world, id));
}

/// Closes the end `side`: what it wrote still arrives, then a FIN; unread bytes make it a reset, as in TCP.
pub(crate) fn close(world: &World, connection: u64, side: usize) {
    let farewell = {
        let mut net = world.net.borrow_mut();
        let Some(end) = net.end(connection, side) else { return };
        if !end.is_open {
            return;
        }
        end.is_open = false;
        end.reader = None;
        end.writer = None;
        let has_unread = end.arrived_bytes > 0;
        let has_sent_end = std::mem::replace(&mut end.has_sent_end, true);
        match (end.is_reset, has_unread, has_sent_end) {
            (true, _, _) | (false, false, true) => None,
            (false, true, _) => Some(Segment::Reset),
            (false, false, false) => Some(Segment::Fin),
        }
    };
    if let Some(segment) = farewell {
        send(world, connection, 1 - side, segment);
    }
    forget_if_over(world, connection);
}

/// Frees a connection that nobody can use any more.
fn forget_if_over(world: &World, connection: u64) {
    let mut net = world.net.borrow_mut();
    if net.connections.get(&connection).is_some_and(|found| found.ends.iter().all(|end| !end.is_open)) {
        net.connections.remove(&connection);
    }
}
