//! Sockets of the simulator.

use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub(in crate::io) struct Listener;

impl Listener {
    pub(in crate::io) fn bind(_address: SocketAddr, _shared: bool) -> io::Result<Listener> {
        todo!()
    }
    pub(in crate::io) fn local_address(&self) -> SocketAddr {
        todo!()
    }
    pub(in crate::io) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        todo!()
    }
}

#[derive(Clone)]
pub(in crate::io) struct Stream;

impl Stream {
    pub(in crate::io) async fn connect(_address: SocketAddr, _deadline: Duration) -> io::Result<Stream> {
        todo!()
    }
    pub(in crate::io) async fn read(&self, _buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        todo!()
    }
    pub(in crate::io) async fn write_all(&self, _bytes: Bytes) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) async fn write_vectored(&self, _parts: Vec<Bytes>) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) async fn shutdown_write(&self) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) fn shutdown(&self) {
        todo!()
    }
    pub(in crate::io) fn peer_address(&self) -> SocketAddr {
        todo!()
    }
}
