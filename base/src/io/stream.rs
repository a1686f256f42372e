//! Connections, real or simulated: TCP, and between daemons of one machine its own way.

use super::{real, sim, simulated};
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A listening socket of this core.
pub struct Listener(ListenerInner);

enum ListenerInner {
    Real(real::net::Listener),
    Sim(sim::net::Listener),
}

impl Listener {
    /// Binds and listens. `shared`: `SO_REUSEPORT`, so that every core can have its own listener of one port (the proxy).
    pub fn bind(address: SocketAddr, shared: bool) -> io::Result<Listener> {
        Ok(Listener(if simulated() {
            ListenerInner::Sim(sim::net::Listener::bind(address, shared)?)
        } else {
            ListenerInner::Real(real::net::Listener::bind(address, shared)?)
        }))
    }

    /// Listens on the machine's own way to an address, where [`Stream::connect_near`] looks: beside its TCP port, for daemons of our own user.
    /// Whoever comes has the address itself as his own. A name that is taken is `AddrInUse`; the simulator has no such way.
    pub fn bind_near(address: SocketAddr) -> io::Result<Listener> {
        if simulated() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Listener(ListenerInner::Real(real::net::Listener::bind_near(address)?)))
    }

    /// The address bound (tells the port when 0 was asked for).
    pub fn local_address(&self) -> SocketAddr {
        match &self.0 {
            ListenerInner::Real(listener) => listener.local_address(),
            ListenerInner::Sim(listener) => listener.local_address(),
        }
    }

    /// The next connection. May be dropped: a connection that arrives for nobody waits for the next call. One at a time.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.0 {
            ListenerInner::Real(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream(StreamInner::Real(stream)), peer))
            }
            ListenerInner::Sim(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream(StreamInner::Sim(stream)), peer))
            }
        }
    }
}

/// One connection. Clones are the same connection; it closes when the last one goes. One read and one write
/// may be in flight at a time.
#[derive(Clone)]
pub struct Stream(StreamInner);

#[derive(Clone)]
enum StreamInner {
    Real(real::net::Stream),
    Sim(sim::net::Stream),
}

impl Stream {
    /// Connects within `deadline`.
    pub async fn connect(address: SocketAddr, deadline: Duration) -> io::Result<Stream> {
        Ok(Stream(if simulated() {
            StreamInner::Sim(sim::net::Stream::connect(address, deadline).await?)
        } else {
            StreamInner::Real(real::net::Stream::connect(address, deadline).await?)
        }))
    }

    /// Connects to a daemon of ours on this machine by the machine's own way, without waiting. An error says only that TCP is the way.
    pub fn connect_near(address: SocketAddr) -> io::Result<Stream> {
        if simulated() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Stream(StreamInner::Real(real::net::Stream::connect_near(address)?)))
    }

    /// Reads into the spare capacity behind `buffer`'s content (reserve first). Gives the bytes read, 0 at the end.
    pub async fn read(&self, buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        match &self.0 {
            StreamInner::Real(stream) => stream.read(buffer).await,
            StreamInner::Sim(stream) => stream.read(buffer).await,
        }
    }

    /// Writes everything.
    pub async fn write_all(&self, bytes: Bytes) -> io::Result<()> {
        match &self.0 {
            StreamInner::Real(stream) => stream.write_all(bytes).await,
            StreamInner::Sim(stream) => stream.write_all(bytes).await,
        }
    }

    /// Writes all parts in order, in as few system calls as possible.
    pub async fn write_vectored(&self, parts: Vec<Bytes>) -> io::Result<()> {
        match &self.0 {
            StreamInner::Real(stream) => stream.write_vectored(parts).await,
            StreamInner::Sim(stream) => stream.write_vectored(parts).await,
        }
    }

    /// Takes what comes into an empty pipe, at most `most` bytes of it. Gives the bytes taken, 0 at the end.
    pub async fn read_to(&self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        match &self.0 {
            StreamInner::Real(stream) => stream.read_to(&mut pipe.0, most).await,
            StreamInner::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes some of what a pipe holds. Gives the bytes written.
    pub async fn write_from(&self, pipe: &mut Pipe) -> io::Result<usize> {
        match &self.0 {
            StreamInner::Real(stream) => stream.write_from(&mut pipe.0).await,
            StreamInner::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Ends our sending direction (FIN); the peer can still send.
    pub async fn shutdown_write(&self) -> io::Result<()> {
        match &self.0 {
            StreamInner::Real(stream) => stream.shutdown_write(),
            StreamInner::Sim(stream) => stream.shutdown_write().await,
        }
    }

    /// Ends both directions at once; reads and writes in flight complete.
    pub fn shutdown(&self) {
        match &self.0 {
            StreamInner::Real(stream) => stream.shutdown(),
            StreamInner::Sim(stream) => stream.shutdown(),
        }
    }

    /// Ends it at once, without the long good-bye: when this returns the kernel counts no connection any more, whatever the peer
    /// does. For connections whose number must be exact; no read or write may be in flight.
    pub fn abort(&self) {
        match &self.0 {
            StreamInner::Real(stream) => stream.abort(),
            StreamInner::Sim(stream) => stream.shutdown(),
        }
    }

    /// Whether bytes came that nobody read, or the end: an idle connection with either is not good for another exchange.
    pub fn has_input(&self) -> bool {
        match &self.0 {
            StreamInner::Real(stream) => stream.has_input(),
            StreamInner::Sim(stream) => stream.has_input(),
        }
    }

    /// The other end.
    pub fn peer_address(&self) -> SocketAddr {
        match &self.0 {
            StreamInner::Real(stream) => stream.peer_address(),
            StreamInner::Sim(stream) => stream.peer_address(),
        }
    }
}

/// Bytes on their way from one connection to another, which we never see. What it still holds when dropped is lost.
pub struct Pipe(real::pipe::Pipe);

impl Pipe {
    /// An empty pipe. `None` when there is none to be had, as always in the simulator: bodies are copied then.
    pub fn take() -> Option<Pipe> {
        if simulated() { None } else { real::pipe::Pipe::take().map(Pipe) }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
