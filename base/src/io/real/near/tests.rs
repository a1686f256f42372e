//! Who finds whom by the machine's own way, on io_uring and on epoll. What streams do is tried for both ways in `real/tests.rs`. Each test holds a
//! port, so that the names of others are others.

use super::super::net::BACKLOG;
use crate::http::client::Connection;
use crate::io::real::tests::{SECOND, listener, on_both, read_exactly};
use crate::io::{Listener, Stream, sleep, timeout};
use bytes::{Bytes, BytesMut};
use rustix::thread::set_thread_res_uid;
use std::io::{ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

fn error<T>(result: Result<T>) -> ErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

/// The next read of a connection that ended.
async fn ended(stream: &Stream) -> bool {
    let read = timeout(SECOND, stream.read(BytesMut::with_capacity(10))).await.expect("it does not end");
    matches!(read.0, Ok(0) | Err(_))
}

#[test]
fn a_name_is_taken_once_and_goes_with_its_listener() {
    on_both(|| async {
        let port = listener();
        let address = port.local_address();
        assert_eq!(error(Stream::connect_near(address)), ErrorKind::ConnectionRefused);
        let listener = Listener::bind_near(address).unwrap();
        assert_eq!(error(Listener::bind_near(address)), ErrorKind::AddrInUse);
        // With a poll in flight, which would hold the name.
        assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
        let queued = Stream::connect_near(address).unwrap();
        drop(listener);
        assert_eq!(error(Stream::connect_near(address)), ErrorKind::ConnectionRefused);
        assert!(ended(&queued).await);
        sleep(Duration::from_millis(20)).await;
        Listener::bind_near(address).unwrap();
    });
}

#[test]
fn a_port_of_all_addresses_is_found_by_each_of_this_machine() {
    on_both(|| async {
        let port = listener();
        let on = |ip: IpAddr| SocketAddr::new(ip, port.local_address().port());
        let _listener = Listener::bind_near(on(Ipv4Addr::UNSPECIFIED.into())).unwrap();
        for ip in [[127, 0, 0, 1], [127, 0, 0, 2]] {
            assert_eq!(Stream::connect_near(on(ip.into())).unwrap().peer_address(), on(ip.into()));
        }
        let outward =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None).unwrap();
        // Where there is no way out there is no address but the loop.
        if rustix::net::connect(&outward, &SocketAddr::from(([192, 0, 2, 1], 9))).is_ok() {
            let ours = SocketAddr::try_from(rustix::net::getsockname(&outward).unwrap()).unwrap();
            Stream::connect_near(on(ours.ip())).unwrap();
        }
        assert!(Stream::connect_near(on(std::net::Ipv6Addr::LOCALHOST.into())).is_err(), "of the other family");
    });
}

#[test]
fn an_address_of_another_machine_is_never_near() {
    on_both(|| async {
        let port = listener();
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], port.local_address().port()));
        let everywhere = SocketAddr::from(([0, 0, 0, 0], elsewhere.port()));
        let _listeners = [elsewhere, everywhere].map(|address| Listener::bind_near(address).unwrap());
        assert!(Stream::connect_near(elsewhere).is_err());
    });
}

/// Runs something as a user nobody knows. `None` where this process may not.
fn as_stranger<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let stranger = rustix::process::Uid::from_raw(54_321);
    // The kernel keeps users by thread.
    std::thread::spawn(move || set_thread_res_uid(stranger, stranger, stranger).is_ok().then(work)).join().unwrap()
}

#[test]
fn strangers_neither_serve_nor_come_this_way() {
    on_both(|| async {
        let port = listener();
        let address = port.local_address();
        let Some(theirs) = as_stranger(move || super::listen(address).unwrap()) else {
            return println!("skipped: this user cannot be another");
        };
        assert_eq!(error(Stream::connect_near(address)), ErrorKind::PermissionDenied);
        let connecting = Connection::connect_near(address, SECOND);
        let (_by_tcp, (_, peer)) = (connecting.await.unwrap(), port.accept().await.unwrap());
        assert_ne!(peer, address, "the port's own client");
        drop(theirs);

        let listener = Listener::bind_near(address).unwrap();
        let stranger = as_stranger(move || {
            let socket = super::socket().unwrap();
            rustix::net::connect(&socket, &super::name(address).unwrap()).unwrap();
            socket
        });
        let friend = Stream::connect_near(address).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        friend.write_all(Bytes::from_static(b"friend")).await.unwrap();
        assert_eq!(read_exactly(&server, 6).await, b"friend");
        let stranger = stranger.expect("as before");
        assert_eq!(rustix::io::read(&stranger, &mut [0_u8; 10][..]), Ok(0), "turned away");
    });
}

#[test]
fn what_is_not_near_or_full_is_reached_by_tcp() {
    on_both(|| async {
        let port = listener();
        let address = port.local_address();
        let (_nobody, came) = (Connection::connect_near(address, SECOND).await.unwrap(), port.accept().await);
        assert_ne!(came.unwrap().1, address);
        let listener = Listener::bind_near(address).unwrap();
        let (_near, came) = (Connection::connect_near(address, SECOND).await.unwrap(), listener.accept().await);
        assert_eq!(came.unwrap().1, address);
        let mut queue = Vec::new();
        let full = loop {
            match Stream::connect_near(address) {
                Ok(stream) => queue.push(stream),
                Err(error) => break error.kind(),
            }
            assert!(queue.len() <= 2 * usize::try_from(BACKLOG).unwrap(), "no end of the backlog");
        };
        assert_eq!(full, ErrorKind::WouldBlock);
        let (_full, came) = (Connection::connect_near(address, SECOND).await.unwrap(), port.accept().await);
        assert_ne!(came.unwrap().1, address);
    });
}

#[test]
fn an_accept_given_up_loses_no_connection_and_a_stream_aborted_is_at_its_end() {
    on_both(|| async {
        let port = listener();
        let listener = Listener::bind_near(port.local_address()).unwrap();
        for _ in 0..50 {
            assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
        }
        let client = Stream::connect_near(port.local_address()).unwrap();
        let (server, _) = timeout(SECOND, listener.accept()).await.unwrap().unwrap();
        assert!(!server.has_input());
        client.write_all(Bytes::from_static(b"here")).await.unwrap();
        assert!(server.has_input());
        assert_eq!(read_exactly(&server, 4).await, b"here");
        client.abort();
        assert!(server.has_input() && ended(&server).await);
    });
}
