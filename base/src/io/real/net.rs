//! Sockets of the real backend.
//!
//! # Invariants
//!
//! - A socket's descriptor stays open while its handle lives: operations take a half out of its place and always put it
//!   back, so the descriptor's number can be used for `shutdown` without a race with reuse.
//! - A read or write dropped unfinished has shut the socket down and marked it broken before anyone else runs.
//! - Waiting for a connection (either way) owns nothing but a poll operation, so dropping it loses nothing.

#![expect(unsafe_code, reason = "descriptors are borrowed from handles of the runtime, which does not lend them")]

use super::buffers::{Gather, Sending, Spare};
use super::core;
use super::early;
use super::near;
use super::pipe::Pipe;
use bytes::{Buf, Bytes, BytesMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::{TcpListener, TcpStream};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrAny, SocketFlags, SocketType, ipproto, sockopt};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// Connections the kernel completes before we accept them; past it a client's SYN waits for its own retry.
pub(super) const BACKLOG: i32 = 1024;

/// Accepted in a row before the other tasks of the core get their turn.
const BURST_MAX: u32 = 32;

/// Pause when descriptors or memory ran out: accepting again at once would spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(20);

/// What the system's resolver knows of a host.
pub(in crate::io) async fn resolve(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    core().rest.pool.run(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
}

/// A poll in flight for the next connection.
type Readable = Pin<Box<dyn Future<Output = io::Result<()>>>>;

pub(in crate::io) struct Listener {
    /// For the runtime a descriptor, whichever kind of socket it is.
    tcp: Rc<TcpListener>,
    address: SocketAddr,
    /// Listens beside the address, not on it.
    is_near: bool,
    /// The poll for the next connection. Kept here when an `accept` is dropped, so that a caller who waits with a deadline
    /// over and over has one operation in flight and not one per try.
    readable: RefCell<Option<Readable>>,
    /// Accepted without waiting since the last wait.
    burst: Cell<u32>,
    registered: Registered,
}

impl Listener {
    pub(in crate::io) fn bind(address: SocketAddr, shared: bool) -> io::Result<Listener> {
        let socket = new_socket(address)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if shared {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        // Inherited by what is accepted: one system call less per connection.
        sockopt::set_tcp_nodelay(&socket, true)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        let address = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        Listener::new(socket, address, false)
    }

    pub(in crate::io) fn bind_near(address: SocketAddr) -> io::Result<Listener> {
        Listener::new(near::listen(address)?, address, true)
    }

    /// Takes a listening socket over.
    fn new(socket: OwnedFd, address: SocketAddr, is_near: bool) -> io::Result<Listener> {
        let tcp = Rc::new(TcpListener::from_std(socket.into())?);
        let registered = Registered::new(tcp.as_raw_fd());
        Ok(Listener { tcp, address, is_near, readable: RefCell::default(), burst: Cell::new(0), registered })
    }

    pub(in crate::io) fn local_address(&self) -> SocketAddr {
        self.address
    }

    pub(in crate::io) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let epoll = core().epoll;
        // The ring waits by itself; epoll needs sockets that answer at once.
        let flags = SocketFlags::CLOEXEC | if epoll { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
        if self.burst.replace(self.burst.get() + 1) >= BURST_MAX {
            self.wait_readable().await?;
        }
        // Ends: with a connection or an error of the listener; every other turn waits, or takes a dead connection out.
        loop {
            match rustix::net::acceptfrom_with(self.registered.borrow(), flags) {
                Ok((socket, peer)) => {
                    if let Some(peer) = self.welcome(&socket, peer) {
                        return Ok((Stream::new(socket, peer)?, peer));
                    }
                }
                // The peer gave up while it queued: not ours to tell.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
                Err(Errno::AGAIN) => self.wait_readable().await?,
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    tracing::warn!(%error, "cannot accept a connection now, waiting");
                    super::timers::sleep(EXHAUSTED_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Who it is that came; `None` for one who gave up while it queued, or may not come this way.
    fn welcome(&self, socket: &OwnedFd, peer: Option<SocketAddrAny>) -> Option<SocketAddr> {
        if self.is_near { near::is_of_our_user(socket).then_some(self.address) } else { peer?.try_into().ok() }
    }

    async fn wait_readable(&self) -> io::Result<()> {
        self.burst.set(0);
        poll_fn(|context| {
            let mut place = self.readable.borrow_mut();
            let waiting = place.get_or_insert_with(|| {
                let tcp = self.tcp.clone();
                Box::pin(async move { tcp.readable(false).await })
            });
            let polled = waiting.as_mut().poll(context);
            if polled.is_ready() {
                *place = None;
            }
            polled
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Completes the poll in flight, which would hold the port otherwise.
        self.registered.shutdown();
    }
}

#[derive(Clone)]
pub(in crate::io) struct Stream(Rc<Connection>);

struct Connection {
    read: Cell<Option<OwnedReadHalf<TcpStream>>>,
    write: Cell<Option<OwnedWriteHalf<TcpStream>>>,
    peer: SocketAddr,
    broken: Cell<bool>,
    registered: Registered,
}

impl Stream {
    /// Takes a connected socket over.
    fn new(socket: OwnedFd, peer: SocketAddr) -> io::Result<Stream> {
        let tcp = TcpStream::from_std(socket.into())?;
        let registered = Registered::new(tcp.as_raw_fd());
        Ok(Stream::from_tcp(tcp, peer, registered))
    }

    fn from_tcp(tcp: TcpStream, peer: SocketAddr, registered: Registered) -> Stream {
        let (read, write) = tcp.into_split();
        let (read, write) = (Cell::new(Some(read)), Cell::new(Some(write)));
        Stream(Rc::new(Connection { read, write, peer, broken: Cell::new(false), registered }))
    }

    /// Non-blocking connect and a poll for its end, not the ring's connect: that one could not be given up.
    pub(in crate::io) async fn connect(address: SocketAddr, deadline: Duration) -> io::Result<Stream> {
        let socket = new_socket(address)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let tcp = TcpStream::from_std(socket.into())?;
        let registered = Registered::new(tcp.as_raw_fd());
        let attempt = Attempt { registered: Some(registered) };
        crate::io::timeout(deadline, tcp.writable(false)).await??;
        let registered = attempt.succeed();
        sockopt::socket_error(registered.borrow())??;
        wait_as_the_core_does(registered.borrow())?;
        Ok(Stream::from_tcp(tcp, address, registered))
    }

    pub(in crate::io) fn connect_near(address: SocketAddr) -> io::Result<Stream> {
        let socket = near::connect(address)?;
        wait_as_the_core_does(socket.as_fd())?;
        Stream::new(socket, address)
    }

    pub(in crate::io) async fn read(&self, buffer: BytesMut) -> (io::Result<usize>, BytesMut) {
        let mut half = match Hold::take(&self.0, &self.0.read, "one read at a time") {
            Ok(half) => half,
            Err(error) => return (Err(error), buffer),
        };
        let (result, spare) = half.get().read(Spare::new(buffer)).await;
        half.done();
        (result, spare.buffer)
    }

    pub(in crate::io) async fn write_all(&self, bytes: Bytes) -> io::Result<()> {
        let mut half = Hold::take(&self.0, &self.0.write, "one write at a time")?;
        let mut sending = Sending::new(bytes);
        // Ends: every turn sends at least a byte or returns.
        while !sending.bytes.is_empty() {
            early::prepared();
            let (result, back) = half.get().write(sending).await;
            sending = back;
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => sending.bytes.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        half.done();
        Ok(())
    }

    pub(in crate::io) async fn write_vectored(&self, mut parts: Vec<Bytes>) -> io::Result<()> {
        parts.retain(|part| !part.is_empty());
        if parts.len() <= 1 {
            let Some(only) = parts.pop() else { return Ok(()) };
            return self.write_all(only).await;
        }
        let mut half = Hold::take(&self.0, &self.0.write, "one write at a time")?;
        let mut gather = Gather::new(parts);
        // Ends: every turn sends at least a byte or returns.
        while !gather.is_done() {
            early::prepared();
            let (result, back) = half.get().writev(gather).await;
            gather = back;
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => gather.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        half.done();
        Ok(())
    }

    /// Given up while it waits, it breaks the connection as a read does.
    pub(in crate::io) async fn read_to(&self, pipe: &mut Pipe, most: usize) -> io::Result<usize> {
        let mut half = Hold::take(&self.0, &self.0.read, "one read at a time")?;
        // Ends: with bytes, the end or an error; every other turn waits for one of them.
        loop {
            match pipe.take_from(self.0.registered.borrow(), most) {
                Ok(taken) => {
                    half.done();
                    return Ok(taken);
                }
                Err(Errno::AGAIN) => ready(&half.get().0, Direction::Read).await?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Given up while it waits, it breaks the connection as a write does.
    pub(in crate::io) async fn write_from(&self, pipe: &mut Pipe) -> io::Result<usize> {
        let mut half = Hold::take(&self.0, &self.0.write, "one write at a time")?;
        // Ends: with bytes given or an error; every other turn waits for one of them.
        loop {
            match pipe.give_to(self.0.registered.borrow()) {
                Ok(0) if pipe.len() > 0 => return Err(io::ErrorKind::WriteZero.into()),
                Ok(given) => {
                    half.done();
                    return Ok(given);
                }
                Err(Errno::AGAIN) => ready(&half.get().0, Direction::Write).await?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(in crate::io) fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.0.registered.borrow(), rustix::net::Shutdown::Write)?)
    }

    pub(in crate::io) fn shutdown(&self) {
        self.0.registered.shutdown();
    }

    pub(in crate::io) fn abort(&self) {
        // For TCP this is what dissolves a connection: a RST for the peer, and the socket is closed when the call returns. The
        // close by the ring would come a turn later. An error means there is no connection, or that it is a near one.
        if rustix::net::connect_unspec(self.0.registered.borrow()).is_err() {
            self.shutdown();
        }
    }

    pub(in crate::io) fn has_input(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        // Only "it would have to wait" means that nothing came.
        !matches!(rustix::net::recv(self.0.registered.borrow(), &mut [0_u8; 1][..], flags), Err(Errno::AGAIN))
    }

    pub(in crate::io) fn peer_address(&self) -> SocketAddr {
        self.0.peer
    }
}

/// What a socket is waited for.
#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

/// Waits until a socket can be read or written, or has an error to tell.
async fn ready(half: &UnsafeCell<TcpStream>, direction: Direction) -> io::Result<()> {
    // SAFETY: the halves of a connection live on one thread and borrow the stream for the time of a poll; what is called here only clones its
    // descriptor's handle.
    let tcp = unsafe { &*half.get() };
    match direction {
        Direction::Read => tcp.readable(false).await,
        Direction::Write => tcp.writable(false).await,
    }
}

pub(super) fn family(address: SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// The ring takes non-blocking as "do not wait for me"; epoll needs it.
fn wait_as_the_core_does(socket: BorrowedFd<'_>) -> io::Result<()> {
    if !core().epoll {
        let flags = rustix::fs::fcntl_getfl(socket)?;
        rustix::fs::fcntl_setfl(socket, flags - rustix::fs::OFlags::NONBLOCK)?;
    }
    Ok(())
}

fn new_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family(address), SocketType::STREAM, flags, Some(ipproto::TCP))?)
}

/// A connect under way; given up, it is aborted rather than left to the kernel's two minutes.
struct Attempt {
    registered: Option<Registered>,
}

impl Attempt {
    fn succeed(mut self) -> Registered {
        self.registered.take().expect("taken once")
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(registered) = &self.registered {
            registered.shutdown();
        }
    }
}

/// One direction of a connection, taken out for one operation. Always put back; if the operation was dropped or failed, the
/// connection is broken.
struct Hold<'a, H> {
    connection: &'a Connection,
    place: &'a Cell<Option<H>>,
    half: Option<H>,
    done: bool,
}

impl<'a, H> Hold<'a, H> {
    fn take(connection: &'a Connection, place: &'a Cell<Option<H>>, rule: &str) -> io::Result<Self> {
        if connection.broken.get() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "an operation on this connection was given up"));
        }
        let half = place.take();
        assert!(half.is_some(), "{rule}");
        Ok(Hold { connection, place, half, done: false })
    }

    fn get(&mut self) -> &mut H {
        self.half.as_mut().expect("held until dropped")
    }

    fn done(&mut self) {
        self.done = true;
    }
}

impl<H> Drop for Hold<'_, H> {
    fn drop(&mut self) {
        self.place.set(self.half.take());
        if !self.done {
            self.connection.broken.set(true);
            self.connection.registered.shutdown();
        }
    }
}

/// A descriptor in the core's list of sockets to end. Lives beside the handle that keeps it open, and is dropped with it.
pub(super) struct Registered {
    descriptor: RawFd,
    key: usize,
}

impl Registered {
    pub(super) fn new(descriptor: RawFd) -> Registered {
        let key = core().sockets.borrow_mut().insert(descriptor);
        Registered { descriptor, key }
    }

    pub(super) fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: the owner of this value also owns the runtime's handle of the descriptor and drops both together, so it is
        // open while `self` can be borrowed.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }

    pub(super) fn shutdown(&self) {
        // An error means it is not connected any more, which is what was wanted.
        let _ = rustix::net::shutdown(self.borrow(), rustix::net::Shutdown::Both);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        super::CORE.with_borrow(|core| {
            if let Some(core) = core {
                core.sockets.borrow_mut().try_remove(self.key);
            }
        });
    }
}
