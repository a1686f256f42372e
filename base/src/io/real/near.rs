//! The machine's own way between two of our daemons: unix sockets beside TCP ports, found by the port's address.
//!
//! The name is abstract. It belongs to a network namespace, as the address does, needs no file, and goes with its listener.
//!
//! # Invariants
//!
//! - Only an address of this machine is near. A listener may be left with an address that has moved to another machine: whoever
//!   means that one must not find it.
//! - Both sides make sure that the other runs as their own user. The same rule on both, or one would connect to be turned away.
//! - Nothing here waits.

#![expect(
    unsafe_code,
    reason = "rustix gives a peer without a process id that this namespace knows an id that may not be"
)]

use super::net::{BACKLOG, family};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listening socket beside the TCP port of this address.
pub(super) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket()?;
    rustix::net::bind(&socket, &name(address)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A connection to the daemon of ours that listens beside this address, or beside its port of all addresses. A full backlog is an
/// error too.
pub(super) fn connect(address: SocketAddr) -> io::Result<OwnedFd> {
    if !is_of_this_machine(address)? {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    let socket = socket()?;
    match rustix::net::connect(&socket, &name(address)?) {
        Err(Errno::CONNREFUSED) => rustix::net::connect(&socket, &name(of_all(address))?)?,
        connected => connected?,
    }
    if !is_of_our_user(&socket) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(socket)
}

/// Whether the other end runs, or ran when it listened or connected, as our own user.
pub(super) fn is_of_our_user(socket: &OwnedFd) -> bool {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (into, level) = ((&raw mut peer).cast(), libc::SOL_SOCKET);
    // SAFETY: the kernel writes at most `length` bytes to `peer`, both of which outlive the call; any bytes make a `ucred`.
    let failed = unsafe { libc::getsockopt(socket.as_raw_fd(), level, libc::SO_PEERCRED, into, &raw mut length) } != 0;
    !failed && peer.uid == rustix::process::geteuid().as_raw()
}

/// Asks the routes: what goes to an address of this machine leaves from that address. (To bind to it would prove nothing where
/// `ip_nonlocal_bind` is set.) Of several addresses in one network only the first is known by this; the others go by TCP.
fn is_of_this_machine(address: SocketAddr) -> io::Result<bool> {
    if address.ip().is_loopback() {
        return Ok(true);
    }
    let socket = rustix::net::socket_with(family(address), SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &address)?;
    let from = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok(from.ip() == address.ip())
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

fn name(address: SocketAddr) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new_abstract_name(format!("martlet/{address}").as_bytes())?)
}

/// What a listener of this port on all addresses is bound to.
fn of_all(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
