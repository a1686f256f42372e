//! Driver: one server as one core uses it: a slot, an exchange with its deadlines, the slot's return.
//!
//! An exchange runs in a task of its own from the moment it has a slot. Who asked may go away at any time: while he waits, his
//! place in the queue goes with him; later the task reads the reply to its end, and the connection serves the next one. So no reply
//! is left unread, and nothing that could be dropped holds a slot.
//!
//! A deadline shuts the connection down and waits for the operation to end, which it then does at once: the kernel holds no
//! buffer and no socket of ours when the slot becomes free.

use super::command;
use super::connection::{Broken, Connection};
use super::error_limit::ErrorLimit;
use super::key::WireKey;
use super::reply::{Refusal, Reply, Wanted};
use super::settings::{self, Settings};
use super::slots::{Asked, Grant, Slots, Ticket};
use super::tls::Trust;
use super::value::Value;
use crate::io::{self as door, Stream};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// What happened, since the start of this core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges that ended well.
    pub exchanges: u64,
    /// Values found.
    pub hits: u64,
    /// Values not found.
    pub misses: u64,
    /// Connections made.
    pub connects: u64,
    /// Who had to wait for a slot.
    pub waits: u64,
    /// Who waited for `pool_timeout` in vain.
    pub wait_timeouts: u64,
    /// Connections that did not stand, exchanges that were not done, in time.
    pub timeouts: u64,
    /// Connections refused or broken.
    pub errors: u64,
    /// Replies that were none, or an error of the server.
    pub refusals: u64,
    /// Times the server was left out because of its failures.
    pub suppressions: u64,
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum Failure {
    /// No slot became free in time, or too many wait: it says nothing about the server.
    Busy,
    /// No connection: nothing was sent.
    Unreachable(io::Error),
    /// The deadline passed; the command may still be done.
    Late,
    /// The connection broke; the command may have been done.
    Broken(io::Error),
    /// The server said no, or nothing that could be understood.
    Refused(Refusal),
    /// A counter that is not there however often it is made. Not the server's fault.
    Vanished,
}

/// What is said on a connection.
pub(super) enum Script {
    /// Commands in one write, and the replies they wait for.
    Commands(Bytes, Vec<Wanted>),
    /// Counts up or down, and makes the counter if there is none.
    Count { key: WireKey, delta: i64, expiry: u64 },
}

/// One server on one core.
pub(super) struct Server {
    settings: Rc<Settings>,
    address: settings::Server,
    trust: Option<Trust>,
    slots: RefCell<Slots<Connection>>,
    wakers: RefCell<BTreeMap<Ticket, Waker>>,
    limit: RefCell<ErrorLimit>,
    pub(super) counts: Cell<Counts>,
    /// Grows whenever the server may have forgotten everything: a connection to it ended.
    pub(super) epoch: Cell<u64>,
    #[cfg(test)]
    pub(super) leaks_on_timeout: Cell<bool>,
}

impl Server {
    pub(super) fn new(settings: Rc<Settings>, address: settings::Server, trust: Option<Trust>, slice: usize) -> Server {
        let limit = ErrorLimit::new(settings.error_suppression_limit, settings.error_suppression_interval);
        Server {
            settings,
            address,
            trust,
            slots: RefCell::new(Slots::new(slice)),
            wakers: RefCell::default(),
            limit: RefCell::new(limit),
            counts: Cell::default(),
            epoch: Cell::new(0),
            #[cfg(test)]
            leaks_on_timeout: Cell::new(false),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.address.name
    }

    /// Connections open or being made, and the most there were.
    pub(super) fn connections(&self) -> (usize, usize) {
        let slots = self.slots.borrow();
        (slots.in_use(), slots.most_in_use())
    }

    /// The bound of this core.
    pub(super) fn slice(&self) -> usize {
        self.slots.borrow().slice()
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit.borrow().is_limited(now())
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// Runs a script on a connection of this core's slice. May be dropped at any time.
    pub(super) async fn run(self: &Rc<Self>, script: Script) -> Result<Vec<Reply>, Failure> {
        let lease = self.lease().await?;
        // A task that panicked has dropped its lease, and with it the connection.
        let outcome = door::spawn(lease.run(script)).await;
        outcome.unwrap_or_else(|| Err(Failure::Broken(io::Error::other("the exchange panicked"))))
    }

    /// Waits for a slot, at most `pool_timeout`.
    async fn lease(self: &Rc<Self>) -> Result<Lease, Failure> {
        let asked = self.slots.borrow_mut().ask();
        let ticket = match asked {
            Asked::Granted(grant) => return Ok(Lease { server: self.clone(), grant: Some(grant) }),
            Asked::Refused => return Err(Failure::Busy),
            Asked::Wait(ticket) => ticket,
        };
        self.count(|counts| counts.waits += 1);
        let place = Place { server: self, ticket };
        let granted = poll_fn(|context| match self.slots.borrow_mut().fetch(ticket) {
            Some(grant) => Poll::Ready(grant),
            None => {
                self.wakers.borrow_mut().insert(ticket, context.waker().clone());
                Poll::Pending
            }
        });
        let waited = door::timeout(self.settings.pool_timeout, granted).await;
        drop(place);
        match waited {
            Ok(grant) => Ok(Lease { server: self.clone(), grant: Some(grant) }),
            Err(_) => {
                self.count(|counts| counts.wait_timeouts += 1);
                Err(Failure::Busy)
            }
        }
    }

    fn wake(&self, next: Option<Ticket>) {
        let waker = next.and_then(|ticket| self.wakers.borrow_mut().remove(&ticket));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Counts a failure. What says something about the server brings it nearer to being left out.
    pub(super) fn failed(&self, failure: &Failure) {
        let name = self.name();
        match failure {
            Failure::Busy => return tracing::debug!(server = name, "no connection to memcached was free in time"),
            Failure::Vanished => return,
            Failure::Unreachable(error) | Failure::Broken(error) if error.kind() != io::ErrorKind::TimedOut => {
                self.count(|counts| counts.errors += 1);
                tracing::warn!(server = name, %error, "memcached is not reached");
            }
            Failure::Unreachable(_) | Failure::Broken(_) | Failure::Late => {
                self.count(|counts| counts.timeouts += 1);
                tracing::warn!(server = name, "memcached did not answer in time");
            }
            Failure::Refused(refusal) => {
                self.count(|counts| counts.refusals += 1);
                tracing::warn!(server = name, ?refusal, "memcached refused a command, or does not speak its protocol");
            }
        }
        let is_news = self.limit.borrow_mut().failed(now());
        if is_news {
            self.count(|counts| counts.suppressions += 1);
            tracing::error!(server = name, "memcached failed too often, it is left out for a while");
        }
    }

    /// A new connection, all of it within `connect_timeout`.
    async fn connect(&self) -> Result<Connection, Failure> {
        let deadline = self.settings.connect_timeout;
        let started = door::monotonic();
        let left = || deadline.saturating_sub(door::monotonic().since(started));
        let connected = async {
            let address = self.resolve(deadline).await?;
            Stream::connect(address, left()).await
        };
        let stream = connected.await.map_err(Failure::Unreachable)?;
        self.count(|counts| counts.connects += 1);
        let session = self.trust.as_ref().map(|trust| trust.session(&self.address.host)).transpose();
        let mut connection = Connection::new(stream.clone(), session.map_err(Failure::Unreachable)?);
        let greeted = async { connection.greet().await.map_err(Failure::Unreachable) };
        within(&stream, left(), greeted).await?;
        // While none was open the server may have been restarted unseen.
        if self.slots.borrow().in_use() <= 1 {
            self.epoch.set(self.epoch.get() + 1);
        }
        Ok(connection)
    }

    async fn resolve(&self, deadline: Duration) -> io::Result<SocketAddr> {
        let addresses = door::timeout(deadline, door::resolve(&self.address.host, self.address.port)).await??;
        addresses.into_iter().next().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// A place in the queue, left when dropped.
struct Place<'a> {
    server: &'a Server,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.server.wakers.borrow_mut().remove(&self.ticket);
        let next = self.server.slots.borrow_mut().leave(self.ticket);
        self.server.wake(next);
    }
}

/// A slot, given back when dropped: with its connection only by [`Lease::keep`].
struct Lease {
    server: Rc<Server>,
    grant: Option<Grant<Connection>>,
}

impl Lease {
    async fn run(mut self, script: Script) -> Result<Vec<Reply>, Failure> {
        let server = self.server.clone();
        let idle = self.grant.as_mut().and_then(|grant| grant.connection.take());
        let idle = idle.filter(|connection| {
            let is_good = connection.is_reusable();
            if !is_good {
                server.epoch.set(server.epoch.get() + 1);
            }
            is_good
        });
        let mut connection = match idle {
            Some(connection) => connection,
            None => server.connect().await?,
        };
        let stream = connection.stream().clone();
        let outcome = within(&stream, server.settings.io_timeout, converse(&mut connection, script)).await;
        drop(stream);
        match outcome {
            // A counter that vanished was read about to the end.
            Ok(_) | Err(Failure::Vanished) if connection.is_reusable() => self.keep(connection),
            _ => {
                server.epoch.set(server.epoch.get() + 1);
                drop(connection);
                #[cfg(test)]
                if server.leaks_on_timeout.get() && matches!(outcome, Err(Failure::Late)) {
                    self.grant = None;
                }
            }
        }
        if outcome.is_ok() {
            server.count(|counts| counts.exchanges += 1);
        }
        outcome
    }

    /// Back into the slot: everything asked for was read.
    fn keep(&mut self, mut connection: Connection) {
        connection.shrink();
        if let Some(grant) = &mut self.grant {
            grant.connection = Some(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(grant) = self.grant.take() else { return };
        let next = self.server.slots.borrow_mut().give_back(grant);
        self.server.wake(next);
    }
}

/// Lets `exchange` end by itself, after the deadline by an end of the connection.
async fn within<T>(
    stream: &Stream,
    deadline: Duration,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut exchange = pin!(exchange);
    let mut alarm = pin!(door::sleep(deadline));
    let mut is_late = false;
    poll_fn(|context| {
        if let Poll::Ready(outcome) = exchange.as_mut().poll(context) {
            return Poll::Ready(if is_late { Err(Failure::Late) } else { outcome });
        }
        if !is_late && alarm.as_mut().poll(context).is_ready() {
            is_late = true;
            stream.shutdown();
            return exchange.as_mut().poll(context).map(|_| Err(Failure::Late));
        }
        Poll::Pending
    })
    .await
}

async fn converse(connection: &mut Connection, script: Script) -> Result<Vec<Reply>, Failure> {
    match script {
        Script::Commands(commands, wanted) => {
            connection.send(commands).await.map_err(Failure::Broken)?;
            let mut replies = Vec::with_capacity(wanted.len());
            for wanted in &wanted {
                replies.push(receive(connection, wanted).await?);
            }
            Ok(replies)
        }
        Script::Count { key, delta, expiry } => {
            let first = Value::text(command::first_count(delta).to_string());
            for attempt in 0..2 {
                connection.send(command::count(&key, delta)).await.map_err(Failure::Broken)?;
                let counted = receive(connection, &Wanted::Number).await?;
                if counted != Reply::NotFound {
                    return Ok(vec![counted]);
                }
                if attempt > 0 {
                    break;
                }
                connection.send(command::add(&key, &first, expiry)).await.map_err(Failure::Broken)?;
                if receive(connection, &Wanted::Stored).await? == Reply::Stored {
                    return Ok(vec![Reply::Number(command::first_count(delta))]);
                }
            }
            Err(Failure::Vanished)
        }
    }
}

async fn receive(connection: &mut Connection, wanted: &Wanted) -> Result<Reply, Failure> {
    connection.receive(wanted).await.map_err(|broken| match broken {
        Broken::Io(error) => Failure::Broken(error),
        Broken::Refused(refusal) => Failure::Refused(refusal),
    })
}

fn now() -> Duration {
    Duration::from_nanos(door::monotonic().as_nanos())
}
