//! Kept-alive connections to backends, per core and address.
//!
//! Bounded per address and in total; a connection idle for longer than [`IDLE_TIMEOUT`] is closed instead of used.

use base::http::client::Connection;
use base::io;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Shorter than any server's keep-alive time, so that the peer rarely closes first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Idle connections kept per backend port: with fewer than a core has requests under way, each of the rest connects anew.
const MAX_PER_ADDRESS: usize = 256;
/// Idle connections kept by one core.
const MAX_TOTAL: usize = 2048;

/// Idle connections of one core.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<Idle>,
}

#[derive(Default)]
struct Idle {
    by_address: BTreeMap<SocketAddr, Vec<(Connection, io::Instant)>>,
    total: usize,
}

impl Pool {
    /// The connection to `address` used last, if it has not been idle for too long.
    pub fn take(&self, address: SocketAddr) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let (connection, since) = idle.by_address.get_mut(&address)?.pop()?;
        idle.total = idle.total.saturating_sub(1);
        if io::monotonic().since(since) < IDLE_TIMEOUT && connection.is_reusable() {
            return Some(connection);
        }
        // The last one used is too old, so are the others.
        let old = idle.by_address.remove(&address).unwrap_or_default();
        idle.total = idle.total.saturating_sub(old.len());
        None
    }

    /// Gives a connection back after its exchange; one that cannot serve another exchange is closed.
    pub fn put(&self, connection: Connection) {
        if !connection.is_reusable() {
            return connection.close();
        }
        let now = io::monotonic();
        let mut idle = self.idle.borrow_mut();
        if idle.total >= MAX_TOTAL {
            return connection.close();
        }
        let of_address = idle.by_address.entry(connection.address()).or_default();
        let before = of_address.len();
        of_address.retain(|(_, since)| now.since(*since) < IDLE_TIMEOUT);
        let expired = before - of_address.len();
        let room = of_address.len() < MAX_PER_ADDRESS;
        if room {
            of_address.push((connection, now));
        }
        idle.total = (idle.total + usize::from(room)).saturating_sub(expired);
    }
}
