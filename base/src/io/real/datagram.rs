//! UDP sockets of the real backend.
//!
//! # Invariants
//!
//! - Sending and receiving never wait in the kernel; what waits is a poll operation that owns nothing, so dropping it loses nothing.
//! - A socket's descriptor stays open while its handle lives (`net::Registered`).

use super::log::{self, Metrics};
use super::net::{Registered, family};
use bytes::Bytes;
use monoio::net::udp::UdpSocket;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use std::cell::{OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

pub(in crate::io) struct Datagrams {
    udp: Rc<UdpSocket>,
    address: SocketAddr,
    is_connected: bool,
    /// The poll for the next datagram, kept when a `receive` is dropped, so that there is one at a time.
    readable: RefCell<Option<Readable>>,
    registered: Registered,
    /// The same socket for the thread that sends lines; `None` when there was no descriptor left for it.
    of_the_writer: OnceCell<Option<Arc<OwnedFd>>>,
}

type Readable = Pin<Box<dyn Future<Output = io::Result<()>>>>;

impl Datagrams {
    pub(in crate::io) fn bind(address: SocketAddr) -> io::Result<Datagrams> {
        Datagrams::new(address, None)
    }

    pub(in crate::io) fn connect(peer: SocketAddr) -> io::Result<Datagrams> {
        let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        Datagrams::new(SocketAddr::new(any, 0), Some(peer))
    }

    fn new(address: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Datagrams> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family(address), SocketType::DGRAM, flags, Some(ipproto::UDP))?;
        rustix::net::bind(&socket, &address)?;
        if let Some(peer) = peer {
            rustix::net::connect(&socket, &peer)?;
        }
        let socket = std::net::UdpSocket::from(socket);
        let address = socket.local_addr()?;
        let udp = UdpSocket::from_std(socket)?;
        let registered = Registered::new(udp.as_raw_fd());
        Ok(Datagrams {
            udp: Rc::new(udp),
            address,
            is_connected: peer.is_some(),
            readable: RefCell::default(),
            registered,
            of_the_writer: OnceCell::new(),
        })
    }

    pub(in crate::io) fn local_address(&self) -> SocketAddr {
        self.address
    }

    pub(in crate::io) fn send(&self, bytes: &Bytes, target: SocketAddr) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = if self.is_connected {
            rustix::net::send(self.registered.borrow(), bytes, flags)
        } else {
            rustix::net::sendto(self.registered.borrow(), bytes, flags, &target)
        };
        match sent {
            // A datagram that finds no room is one that was lost.
            Ok(_) | Err(Errno::AGAIN | Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(in crate::io) fn send_lines(&self, lines: Vec<u8>, datagram_max: usize) {
        let socket = self.of_the_writer.get_or_init(|| {
            let copied = self.registered.borrow().try_clone_to_owned();
            copied.map(Arc::new).ok()
        });
        if let Some(socket) = socket.clone() {
            log::send_metrics(Metrics { socket, lines, datagram_max });
        }
    }

    pub(in crate::io) async fn receive(&self, max: usize) -> io::Result<(Bytes, SocketAddr)> {
        let mut buffer = vec![0; max];
        // Ends: with a datagram or an error of the socket; every other turn waits.
        loop {
            match rustix::net::recvfrom(self.registered.borrow(), &mut buffer, RecvFlags::DONTWAIT) {
                Ok((received, _, Some(sender))) => {
                    let sender = SocketAddr::try_from(sender).map_err(|_| io::ErrorKind::InvalidData)?;
                    buffer.truncate(received);
                    return Ok((buffer.into(), sender));
                }
                // Shut down at the end of the core.
                Ok((_, _, None)) => return Err(io::ErrorKind::NotConnected.into()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_readable().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn wait_readable(&self) -> io::Result<()> {
        poll_fn(|context| {
            let mut place = self.readable.borrow_mut();
            let waiting = place.get_or_insert_with(|| {
                let udp = self.udp.clone();
                Box::pin(async move { udp.readable(false).await })
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

impl Drop for Datagrams {
    fn drop(&mut self) {
        // Completes the poll in flight, which would hold the port otherwise; works on an unconnected socket, too, though it says no.
        self.registered.shutdown();
    }
}
