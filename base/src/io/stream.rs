//! TCP, real or simulated.

use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A listening socket of this core.
pub struct Listener {}

impl Listener {
    /// Binds and listens. `shared`: `SO_REUSEPORT`, so that every core can have its own listener of one port (the proxy).
    pub fn bind(_address: SocketAddr, _shared: bool) -> io::Result<Listener> {
        todo!()
    }
    /// The address bound (tells the port when 0 was asked for).
    pub fn local_address(&self) -> SocketAddr {
        todo!()
    }
    /// The next connection. Never put into a `timeout` or dropped: it runs in a task of its own.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        todo!()
    }
}

/// One TCP connection. Clones are the same connection; it closes when the last one goes. One read and one write
/// may be in flight at a time.
#[derive(Clone)]
pub struct Stream {}

impl Stream {
    /// Connects within `deadline`.
    pub async fn connect(_address: SocketAddr, _deadline: Duration) -> io::Result<Stream> {
        todo!()
    }
    /// Reads into the spare capacity behind `buffer`'s content (reserve first). Gives the bytes read, 0 at the end.
    pub async fn read(&self, _buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        todo!()
    }
    /// Writes everything.
    pub async fn write_all(&self, _bytes: Bytes) -> io::Result<()> {
        todo!()
    }
    /// Writes all parts in order, in as few system calls as possible.
    pub async fn write_vectored(&self, _parts: Vec<Bytes>) -> io::Result<()> {
        todo!()
    }
    /// Ends our sending direction (FIN); the peer can still send.
    pub async fn shutdown_write(&self) -> io::Result<()> {
        todo!()
    }
    /// Ends both directions at once; reads and writes in flight complete.
    pub fn shutdown(&self) {
        todo!()
    }
    /// The other end.
    pub fn peer_address(&self) -> SocketAddr {
        todo!()
    }
}
