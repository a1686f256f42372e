//! Sockets as tasks use them: binding, connecting, reading, writing.

use super::NodeId;
use super::clock::sleep;
use super::sockets::{self, Connection, End, Listening, Segment};
use super::world::{World, current, try_current};
use crate::io::task::yield_now;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// The first port given to those who do not ask for one.
const EPHEMERAL_PORT_FIRST: u16 = 32_768;
/// Connections that may wait to be accepted.
const BACKLOG_MAX: usize = 1024;

/// A listening socket of the node that bound it.
pub(in crate::io) struct Listener {
    id: u64,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address` on the current node; port 0 takes a free one, an unspecified ip the node's.
    pub(in crate::io) fn bind(address: SocketAddr, shared: bool) -> io::Result<Listener> {
        let world = current();
        let node = world.node();
        let own_ip = ip_of(&world, node)?;
        let ip = if address.ip().is_unspecified() { own_ip } else { address.ip() };
        if ip != own_ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if address.port() == 0 { free_port(&world, node) } else { address.port() };
        let address = SocketAddr::new(ip, port);
        let mut net = world.net.borrow_mut();
        if net.listeners.values().any(|other| other.address == address && !(other.shared && shared)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let id = world.number();
        world.note("listen", id, u64::from(port));
        net.listeners.insert(id, Listening { node, address, shared, backlog: VecDeque::new(), waker: None });
        Ok(Listener { id, address })
    }
    /// What was bound.
    pub(in crate::io) fn local_address(&self) -> SocketAddr {
        self.address
    }
    /// The next connection.
    pub(in crate::io) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        poll_fn(|context| {
            let world = current();
            let mut net = world.net.borrow_mut();
            let Some(listening) = net.listeners.get_mut(&self.id) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let Some(connection) = listening.backlog.pop_front() else {
                listening.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            let Some(peer) = net.end(connection, 0).map(|end| end.address) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            };
            drop(net);
            Poll::Ready(Ok((Stream::new(connection, 1, peer), peer)))
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(world) = try_current() else { return };
        let gone = world.net.borrow_mut().listeners.remove(&self.id);
        for connection in gone.into_iter().flat_map(|listening| listening.backlog) {
            sockets::send(&world, connection, 0, Segment::Reset);
            sockets::close(&world, connection, 1);
        }
    }
}

/// One connection; clones are the same one, which closes with the last.
#[derive(Clone)]
pub(in crate::io) struct Stream {
    handle: Rc<Handle>,
}

struct Handle {
    connection: u64,
    side: usize,
    peer: SocketAddr,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(world) = try_current() {
            sockets::close(&world, self.connection, self.side);
        }
    }
}

impl Stream {
    fn new(connection: u64, side: usize, peer: SocketAddr) -> Self {
        Self { handle: Rc::new(Handle { connection, side, peer }) }
    }

    /// Connects within `deadline`.
    pub(in crate::io) async fn connect(address: SocketAddr, deadline: Duration) -> io::Result<Stream> {
        let world = current();
        let node = world.node();
        let target = {
            let nodes = world.nodes.borrow();
            nodes.iter().position(|other| other.ip == address.ip()).map(NodeId)
        };
        let started = world.now();
        let way = sockets::latency(&world, node, target.unwrap_or(node));
        let loses = target.is_some_and(|target| world.net.borrow().loses_packets(node, target));
        let is_lost = loses && world.fault(world.options.lost_chance);
        sleep(Duration::from_nanos(way).min(deadline)).await;
        let is_up = target.is_some_and(|target| world.life(target).is_some());
        let is_silent = target.is_some_and(|target| {
            let is_partitioned = world.net.borrow().is_partitioned(node, target);
            let silent = world.nodes.borrow().get(target.0).is_some_and(|state| state.silent);
            is_partitioned || (!is_up && silent)
        });
        let listener = if is_silent || is_lost { Reached::Nobody } else { find_listener(&world, address, is_up) };
        let connection = match listener {
            Reached::Nobody => None,
            Reached::Refused => Some(Err(io::ErrorKind::ConnectionRefused.into())),
            Reached::Listener(listener) => Some(open(&world, node, listener, address)),
        };
        match connection {
            None => {
                let left = sockets::nanos(deadline).saturating_sub(world.now() - started);
                world.note("connect lost", u64::from(address.port()), 0);
                sleep(Duration::from_nanos(left)).await;
                Err(io::ErrorKind::TimedOut.into())
            }
            Some(outcome) => {
                let left = sockets::nanos(deadline).saturating_sub(world.now() - started);
                let stream = outcome.map(|connection| Stream::new(connection, 0, address));
                sleep(Duration::from_nanos(way.min(left))).await;
                if way > left { Err(io::ErrorKind::TimedOut.into()) } else { stream }
            }
        }
    }

    /// Reads into the spare capacity of `buffer`; 0 at the end.
    pub(in crate::io) async fn read(&self, mut buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        let unfinished = Unfinished(&self.handle);
        let room = buffer.capacity() - buffer.len();
        let result = poll_fn(|context| {
            let world = current();
            let mut net = world.net.borrow_mut();
            let Some(end) = net.end(self.handle.connection, self.handle.side) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            if end.is_broken {
                return Poll::Ready(Err(broken()));
            }
            if end.is_shut || room == 0 {
                return Poll::Ready(Ok(0));
            }
            if end.arrived_bytes > 0 {
                let wanted = piece(&world, end.arrived_bytes.min(room));
                let taken = take(end, wanted, &mut buffer);
                let writer = net.end(self.handle.connection, 1 - self.handle.side).and_then(|end| end.writer.take());
                if let Some(writer) = writer {
                    writer.wake();
                }
                return Poll::Ready(Ok(taken));
            }
            if end.is_reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if end.is_at_end {
                return Poll::Ready(Ok(0));
            }
            end.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        unfinished.finish();
        (result, buffer)
    }

    /// Writes everything: to the queues of the network, not to the peer.
    pub(in crate::io) async fn write_all(&self, mut bytes: Bytes) -> io::Result<()> {
        let unfinished = Unfinished(&self.handle);
        // Ends: each turn sends at least a byte, or waits for the peer.
        let result = loop {
            let room = match self.room_to_write().await {
                Ok(room) => room,
                Err(error) => break Err(error),
            };
            if bytes.is_empty() {
                break Ok(());
            }
            let world = current();
            let size = piece(&world, bytes.len().min(room));
            sockets::send(&world, self.handle.connection, 1 - self.handle.side, Segment::Data(bytes.split_to(size)));
            if world.with_random(|random| random.chance(0.2)) {
                yield_now().await;
            }
        };
        unfinished.finish();
        result
    }

    /// Writes all parts in order.
    pub(in crate::io) async fn write_vectored(&self, parts: Vec<Bytes>) -> io::Result<()> {
        for part in parts {
            self.write_all(part).await?;
        }
        Ok(())
    }

    async fn room_to_write(&self) -> io::Result<usize> {
        let Handle { connection, side, .. } = *self.handle;
        poll_fn(|context| {
            let world = current();
            let mut net = world.net.borrow_mut();
            let room = net.room(connection, 1 - side);
            let Some(end) = net.end(connection, side) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            if end.is_broken {
                return Poll::Ready(Err(broken()));
            }
            if end.is_reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if end.is_shut || end.has_sent_end {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            end.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Ends our sending direction.
    pub(in crate::io) async fn shutdown_write(&self) -> io::Result<()> {
        let world = current();
        let has_sent_end = {
            let mut net = world.net.borrow_mut();
            let Some(end) = net.end(self.handle.connection, self.handle.side) else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            if end.is_reset {
                return Err(io::ErrorKind::NotConnected.into());
            }
            std::mem::replace(&mut end.has_sent_end, true)
        };
        if !has_sent_end {
            sockets::send(&world, self.handle.connection, 1 - self.handle.side, Segment::Fin);
        }
        Ok(())
    }

    /// Ends both directions; reads and writes in flight complete.
    pub(in crate::io) fn shutdown(&self) {
        shut(&self.handle, false);
    }

    /// Whether something came that nobody read, or the end.
    pub(in crate::io) fn has_input(&self) -> bool {
        let world = current();
        let mut net = world.net.borrow_mut();
        let end = net.end(self.handle.connection, self.handle.side);
        end.is_none_or(|end| end.arrived_bytes > 0 || end.is_at_end || end.is_reset || end.is_shut)
    }

    /// The other end.
    pub(in crate::io) fn peer_address(&self) -> SocketAddr {
        self.handle.peer
    }
}

/// Dropped before `finish`: the operation was given up, and with it the connection.
struct Unfinished<'a>(&'a Handle);

impl Unfinished<'_> {
    fn finish(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        shut(self.0, true);
    }
}

fn shut(handle: &Handle, breaks: bool) {
    let Some(world) = try_current() else { return };
    let sends_end = {
        let mut net = world.net.borrow_mut();
        let Some(end) = net.end(handle.connection, handle.side) else { return };
        end.is_shut = true;
        end.is_broken |= breaks;
        end.wake_both();
        !std::mem::replace(&mut end.has_sent_end, true) && !end.is_reset
    };
    if sends_end {
        sockets::send(&world, handle.connection, 1 - handle.side, Segment::Fin);
    }
}

fn broken() -> io::Error {
    io::Error::other("an earlier read or write of this connection was given up")
}

/// How much of `available` moves at once: mostly all, sometimes any part of it.
fn piece(world: &World, available: usize) -> usize {
    let is_whole = !world.with_random(|random| random.chance(world.options.split_chance));
    if is_whole || available <= 1 { available } else { 1 + world.with_random(|random| random.index(available)) }
}

fn take(end: &mut End, wanted: usize, buffer: &mut BytesMut) -> usize {
    let mut left = wanted;
    // Ends: each turn takes bytes, and there are at least `wanted`.
    while left > 0 {
        let Some(front) = end.arrived.front_mut() else { break };
        let part = front.split_to(left.min(front.len()));
        left -= part.len();
        end.arrived_bytes -= part.len();
        buffer.extend_from_slice(&part);
        if front.is_empty() {
            end.arrived.pop_front();
        }
    }
    wanted - left
}

pub(super) fn ip_of(world: &World, node: NodeId) -> io::Result<IpAddr> {
    world.nodes.borrow().get(node.0).map(|node| node.ip).ok_or_else(|| io::ErrorKind::NotConnected.into())
}

pub(super) fn free_port(world: &World, node: NodeId) -> u16 {
    let mut nodes = world.nodes.borrow_mut();
    let Some(state) = nodes.get_mut(node.0) else { return EPHEMERAL_PORT_FIRST };
    state.next_port = state.next_port.checked_add(1).unwrap_or(EPHEMERAL_PORT_FIRST).max(EPHEMERAL_PORT_FIRST);
    state.next_port
}

enum Reached {
    Nobody,
    Refused,
    Listener(u64),
}

fn find_listener(world: &World, address: SocketAddr, is_up: bool) -> Reached {
    let net = world.net.borrow();
    let found: Vec<u64> = net
        .listeners
        .iter()
        .filter(|(_, listening)| listening.address == address && listening.backlog.len() < BACKLOG_MAX)
        .map(|(&id, _)| id)
        .collect();
    match world.with_random(|random| random.pick(&found).copied()) {
        Some(listener) if is_up => Reached::Listener(listener),
        _ => Reached::Refused,
    }
}

fn open(world: &World, node: NodeId, listener: u64, address: SocketAddr) -> io::Result<u64> {
    let own = SocketAddr::new(ip_of(world, node)?, free_port(world, node));
    let connection = world.number();
    let mut net = world.net.borrow_mut();
    let listening = net.listeners.get_mut(&listener).ok_or(io::ErrorKind::ConnectionRefused)?;
    let life = |node: NodeId| world.life(node).ok_or(io::ErrorKind::ConnectionRefused);
    let ends = [End::new(node, life(node)?, own), End::new(listening.node, life(listening.node)?, address)];
    listening.backlog.push_back(connection);
    let waker = listening.waker.take();
    net.connections.insert(connection, Connection { ends });
    net.note_open(address);
    drop(net);
    world.note("connect", connection, u64::from(address.port()));
    if let Some(waker) = waker {
        waker.wake();
    }
    Ok(connection)
}
