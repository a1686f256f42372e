//! Simulated UDP: datagrams travel on their own, so they overtake each other; with faults on some are lost and some come twice.
//!
//! # Invariants
//!
//! - A datagram arrives whole or not at all, never at a node that is down or behind a partition when it would arrive.
//! - What waits at a socket is bounded: what finds no room is lost.

use super::super::lines;
use super::NodeId;
use super::net::{free_port, ip_of};
use super::sockets::latency;
use super::world::{Timer, World, current, try_current};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Poll, Waker};

/// Datagrams that wait at one socket.
const WAITING_MAX: usize = 64;

/// A bound socket.
pub(crate) struct Mailbox {
    pub(crate) node: NodeId,
    address: SocketAddr,
    /// Hears nobody else.
    peer: Option<SocketAddr>,
    arrived: VecDeque<(Bytes, SocketAddr)>,
    reader: Option<Waker>,
}

/// What travels.
pub(crate) struct Datagram {
    bytes: Bytes,
    from: NodeId,
    sender: SocketAddr,
    target: SocketAddr,
}

pub(in crate::io) struct Datagrams {
    id: u64,
    address: SocketAddr,
}

impl Datagrams {
    pub(in crate::io) fn bind(address: SocketAddr) -> io::Result<Datagrams> {
        Datagrams::new(address, None)
    }

    pub(in crate::io) fn connect(peer: SocketAddr) -> io::Result<Datagrams> {
        Datagrams::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), Some(peer))
    }

    fn new(address: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Datagrams> {
        let world = current();
        let node = world.node();
        let own_ip = ip_of(&world, node)?;
        if !address.ip().is_unspecified() && address.ip() != own_ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if address.port() == 0 { free_port(&world, node) } else { address.port() };
        let address = SocketAddr::new(own_ip, port);
        let mut net = world.net.borrow_mut();
        if net.mailboxes.values().any(|other| other.address == address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let id = world.number();
        world.note("bind", id, u64::from(port));
        net.mailboxes.insert(id, Mailbox { node, address, peer, arrived: VecDeque::new(), reader: None });
        Ok(Datagrams { id, address })
    }

    pub(in crate::io) fn local_address(&self) -> SocketAddr {
        self.address
    }

    pub(in crate::io) fn send(&self, bytes: &Bytes, target: SocketAddr) -> io::Result<()> {
        let world = current();
        let from = world.node();
        let known = world.net.borrow().mailboxes.get(&self.id).map(|mailbox| mailbox.peer);
        let peer = known.ok_or(io::ErrorKind::NotConnected)?;
        let target = peer.unwrap_or(target);
        let node = world.nodes.borrow().iter().position(|node| node.ip == target.ip()).map(NodeId);
        let Some(to) = node else { return Ok(()) };
        let loses = world.net.borrow().loses_packets(from, to);
        let chance = world.options.stall_chance + world.options.lost_chance;
        let copies = match (loses && world.fault(chance), loses && world.fault(chance)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        for _ in 0..copies {
            let datagram = Datagram { bytes: bytes.clone(), from, sender: self.address, target };
            let arrival = world.now() + latency(&world, from, to);
            world.at(arrival, Timer::Datagram(Box::new(datagram)));
        }
        Ok(())
    }

    pub(in crate::io) fn send_lines(&self, lines: &[u8], max: usize) {
        for datagram in lines::pieces(lines, max) {
            let datagram = datagram.strip_suffix(b"\n").unwrap_or(datagram);
            // Connected, so the peer is the target; what fails is lost as others are.
            let _ = self.send(&Bytes::copy_from_slice(datagram), self.address);
        }
    }

    pub(in crate::io) async fn receive(&self, max: usize) -> io::Result<(Bytes, SocketAddr)> {
        poll_fn(|context| {
            let world = current();
            let mut net = world.net.borrow_mut();
            let Some(mailbox) = net.mailboxes.get_mut(&self.id) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let Some((mut bytes, sender)) = mailbox.arrived.pop_front() else {
                mailbox.reader = Some(context.waker().clone());
                return Poll::Pending;
            };
            bytes.truncate(max);
            Poll::Ready(Ok((bytes, sender)))
        })
        .await
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        if let Some(world) = try_current() {
            world.net.borrow_mut().mailboxes.remove(&self.id);
        }
    }
}

/// Puts a datagram where it belongs, if anybody is there.
pub(crate) fn deliver(world: &World, datagram: Datagram) {
    let Datagram { bytes, from, sender, target } = datagram;
    let mut net = world.net.borrow_mut();
    let hears = |mailbox: &Mailbox| mailbox.address == target && mailbox.peer.is_none_or(|peer| peer == sender);
    let Some((&id, node)) = net.mailboxes.iter().find(|(_, mailbox)| hears(mailbox)).map(|(id, m)| (id, m.node)) else {
        return;
    };
    if net.is_partitioned(from, node) {
        return;
    }
    let Some(mailbox) = net.mailboxes.get_mut(&id) else { return };
    if mailbox.arrived.len() >= WAITING_MAX {
        return;
    }
    mailbox.arrived.push_back((bytes, sender));
    let reader = mailbox.reader.take();
    drop(net);
    world.note("datagram", id, u64::from(target.port()));
    if let Some(reader) = reader {
        reader.wake();
    }
}
