//! UDP, real or simulated: datagrams arrive whole, late, twice or not at all.

use super::{real, sim, simulated};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;

/// A UDP socket of this core. Receiving may be dropped and tried again; one receiver at a time.
pub struct Datagrams(DatagramsInner);

enum DatagramsInner {
    Real(real::datagram::Datagrams),
    Sim(sim::datagram::Datagrams),
}

impl Datagrams {
    /// A socket that others can send to.
    pub fn bind(address: SocketAddr) -> io::Result<Datagrams> {
        Ok(Datagrams(if simulated() {
            DatagramsInner::Sim(sim::datagram::Datagrams::bind(address)?)
        } else {
            DatagramsInner::Real(real::datagram::Datagrams::bind(address)?)
        }))
    }

    /// A socket at a port that the system chose by chance, which hears nobody but `peer`. Where nobody listens, receiving may
    /// say `ConnectionRefused`.
    pub fn connect(peer: SocketAddr) -> io::Result<Datagrams> {
        Ok(Datagrams(if simulated() {
            DatagramsInner::Sim(sim::datagram::Datagrams::connect(peer)?)
        } else {
            DatagramsInner::Real(real::datagram::Datagrams::connect(peer)?)
        }))
    }

    /// The address bound (tells the port when 0 was asked for).
    pub fn local_address(&self) -> SocketAddr {
        match &self.0 {
            DatagramsInner::Real(datagrams) => datagrams.local_address(),
            DatagramsInner::Sim(datagrams) => datagrams.local_address(),
        }
    }

    /// Sends one datagram, or drops it where there is no room: nobody waits, as nobody knows whether it arrives.
    pub fn send(&self, bytes: &Bytes, target: SocketAddr) -> io::Result<()> {
        match &self.0 {
            DatagramsInner::Real(datagrams) => datagrams.send(bytes, target),
            DatagramsInner::Sim(datagrams) => datagrams.send(bytes, target),
        }
    }

    /// Sends whole lines to the peer of a connected socket, as many in a datagram as `max` bytes take, the last line's end left out. The
    /// thread that writes the log does so: no system call of this core. What finds no room is lost.
    pub fn send_lines(&self, lines: Vec<u8>, max: usize) {
        match &self.0 {
            DatagramsInner::Real(datagrams) => datagrams.send_lines(lines, max),
            DatagramsInner::Sim(datagrams) => datagrams.send_lines(&lines, max),
        }
    }

    /// The next datagram, cut after `max` bytes, and who sent it.
    pub async fn receive(&self, max: usize) -> io::Result<(Bytes, SocketAddr)> {
        match &self.0 {
            DatagramsInner::Real(datagrams) => datagrams.receive(max).await,
            DatagramsInner::Sim(datagrams) => datagrams.receive(max).await,
        }
    }
}
