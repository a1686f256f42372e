//! Small requests to other servers: container and account updates. One pool per core.
//!
//! # Invariants
//!
//! - At most `IN_FLIGHT_MAX` exchanges at a time; beyond it `request` answers `WouldBlock` at once and the caller parks the update.
//! - At most `IDLE_PER_PEER` idle connections are kept for a peer and `IDLE_MAX` in all.
//! - A dropped or timed out exchange closes its connection; only a complete one gives it back.
//! - The requests sent here carry a timestamp and may be repeated: an exchange that fails on a kept connection before an answer
//!   came is tried once more on a fresh one (the peer may have closed it while it idled).

use base::http::client::{Connection, Framing};
use base::http::{RequestHead, ResponseHead, Status};
use base::io;
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Exchanges of one core at a time: far above what updates need, far below the limit of descriptors.
const IN_FLIGHT_MAX: usize = 256;
/// Idle connections to one peer: as many as a busy core has exchanges with it, or every burst would connect anew.
const IDLE_PER_PEER: usize = 64;
/// Idle connections in all.
const IDLE_MAX: usize = 256;
/// An idle connection older than this is not used again: servers close them after 60 s and more.
const IDLE_AGE_MAX: Duration = Duration::from_secs(20);
/// Bytes kept of an answer's body; answers to updates have none worth reading.
const BODY_MAX: usize = 64 * 1024;

/// What a peer answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status and fields.
    pub head: ResponseHead,
    /// The body, cut at 64 KiB.
    pub body: Bytes,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> Status {
        self.head.status
    }
}

/// Kept connections to other servers.
pub struct Peers {
    conn_timeout: Duration,
    node_timeout: Duration,
    idle: RefCell<BTreeMap<SocketAddr, Vec<Idle>>>,
    in_flight: Cell<usize>,
}

struct Idle {
    connection: Connection,
    since: io::Instant,
}

/// Counts one exchange for as long as it lives.
struct Slot(Rc<Peers>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
    }
}

impl Peers {
    /// A pool with these deadlines: for connecting, and for the rest of an exchange.
    pub fn new(conn_timeout: Duration, node_timeout: Duration) -> Rc<Self> {
        Rc::new(Self { conn_timeout, node_timeout, idle: RefCell::default(), in_flight: Cell::new(0) })
    }

    /// Sends a request without a body and reads the answer.
    pub async fn request(self: &Rc<Self>, address: SocketAddr, head: &RequestHead) -> std::io::Result<Answer> {
        self.request_with_body(address, head, Bytes::new()).await
    }

    /// Sends a request with a body that is in memory (none when empty) and reads the answer.
    pub async fn request_with_body(
        self: &Rc<Self>,
        address: SocketAddr,
        head: &RequestHead,
        body: Bytes,
    ) -> std::io::Result<Answer> {
        if self.in_flight.get() >= IN_FLIGHT_MAX {
            return Err(Error::new(ErrorKind::WouldBlock, "too many requests to other servers are under way"));
        }
        self.in_flight.set(self.in_flight.get() + 1);
        let _slot = Slot(self.clone());
        if let Some(connection) = self.take(address) {
            match io::timeout(self.node_timeout, exchange(&connection, head, body.clone())).await {
                Ok(Ok(answer)) => return Ok(self.give_back(connection, answer)),
                // A kept connection that the peer closed says nothing about the peer.
                Ok(Err(_)) => connection.close(),
                Err(elapsed) => {
                    connection.close();
                    return Err(elapsed.into());
                }
            }
        }
        let connection = Connection::connect_near(address, self.conn_timeout).await?;
        let result = io::timeout(self.node_timeout, exchange(&connection, head, body)).await;
        match result.map_err(Error::from).and_then(|answer| answer) {
            Ok(answer) => Ok(self.give_back(connection, answer)),
            Err(error) => {
                connection.close();
                Err(error)
            }
        }
    }

    fn take(&self, address: SocketAddr) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&address)?;
        let now = io::monotonic();
        while let Some(Idle { connection, since }) = kept.pop() {
            if now.since(since) < IDLE_AGE_MAX && connection.is_reusable() {
                return Some(connection);
            }
            connection.close();
        }
        idle.remove(&address);
        None
    }

    fn give_back(&self, connection: Connection, answer: Answer) -> Answer {
        let mut idle = self.idle.borrow_mut();
        let all: usize = idle.values().map(Vec::len).sum();
        let kept = idle.entry(connection.address()).or_default();
        if connection.is_reusable() && kept.len() < IDLE_PER_PEER && all < IDLE_MAX {
            kept.push(Idle { connection, since: io::monotonic() });
        } else {
            connection.close();
        }
        answer
    }
}

async fn exchange(connection: &Connection, head: &RequestHead, body: Bytes) -> std::io::Result<Answer> {
    let framing = match u64::try_from(body.len()) {
        Ok(0) | Err(_) => Framing::None,
        Ok(length) => Framing::Length(length),
    };
    connection.send_head(head, framing, true).await?;
    if !body.is_empty() {
        connection.send_data(body).await?;
    }
    connection.finish().await?;
    let head = connection.read_head().await?;
    let mut kept = BytesMut::new();
    // Ends: the caller's deadline stands around all of it.
    while let Some(piece) = connection.read_data().await? {
        let room = BODY_MAX.saturating_sub(kept.len()).min(piece.len());
        kept.extend_from_slice(piece.get(..room).unwrap_or_default());
    }
    Ok(Answer { head, body: kept.freeze() })
}
