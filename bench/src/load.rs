//! Driver: one load: the same verb on many objects over a fixed number of connections, each with one request in flight.
//!
//! Without a rate a connection sends its next request when it has its answer (closed loop): the saturating load. With a rate, requests are
//! due at fixed times (open loop), and one that waits for a free connection has begun when it was due: a server that stalls is not
//! excused from the requests it kept from being sent. A timer that fires late is the client's own matter and not counted.

use crate::target::{Client, Target};
use base::http::Method;
use base::io::{self, Instant};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// Coprime to every count below it: steps by it visit all objects once, in an order that no cache or disk can guess.
const STRIDE: u64 = 2_654_435_761;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Downloads an object.
    Get,
    /// Uploads an object over one that may be there.
    Put,
    /// Removes an object.
    Delete,
}

/// Objects by number: `first`, `first + step`, … Uploads visit them in this order, the other verbs in one of their own, all once before
/// any is visited again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Number of the first.
    pub first: u64,
    /// How many; at least one, below 2³¹.
    pub count: u64,
    /// From one to the next: above one where no neighbour on the disk is to be visited.
    pub step: u64,
}

impl Objects {
    /// `count` of them from `first` on.
    pub fn new(first: u64, count: u64) -> Objects {
        Objects { first, count, step: 1 }
    }

    /// Every `step`th of them.
    pub fn sparse(self, step: u64) -> Objects {
        Objects { count: (self.count / step).max(1), step: self.step * step, ..self }
    }

    fn in_order(self, turn: u64) -> u64 {
        self.first + turn % self.count.max(1) * self.step
    }

    fn shuffled(self, turn: u64) -> u64 {
        self.in_order(turn.wrapping_mul(STRIDE))
    }
}

/// When it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// So many were sent.
    Requests(u64),
    /// So much time has gone.
    Elapsed(Duration),
}

/// One load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Who is measured.
    pub target: Target,
    /// The verb of every request.
    pub verb: Verb,
    /// Bytes of every object.
    pub bytes: usize,
    /// Names of the objects begin with it.
    pub prefix: &'static str,
    /// Which objects.
    pub objects: Objects,
    /// Connections.
    pub connections: u16,
    /// Its end.
    pub until: Until,
    /// Requests per second; `None` for as many as go.
    pub rate: Option<f64>,
}

/// What a load saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Requests that were not answered as they should be.
    pub failures: u64,
    /// From the first to the last request.
    pub elapsed: Duration,
    /// One latency per good request, in microseconds, sorted.
    pub latencies_us: Vec<u32>,
}

struct Run {
    load: Load,
    body: Bytes,
    start: Instant,
    sent: Cell<u64>,
    failures: Cell<u64>,
    latencies_us: RefCell<Vec<u32>>,
}

impl Load {
    /// Runs it to its end.
    pub async fn run(self) -> Seen {
        let connections = self.connections;
        let run = Rc::new(Run {
            body: Bytes::from(vec![b'm'; self.bytes]),
            start: io::monotonic(),
            sent: Cell::new(0),
            failures: Cell::new(0),
            latencies_us: RefCell::default(),
            load: self,
        });
        let tasks: Vec<_> = (0..connections).map(|_| io::spawn(run.clone().connection())).collect();
        for task in tasks {
            // Ends: with the load; each request has a deadline.
            task.await;
        }
        let mut latencies_us = run.latencies_us.take();
        latencies_us.sort_unstable();
        Seen { failures: run.failures.get(), elapsed: io::monotonic().since(run.start), latencies_us }
    }
}

impl Run {
    async fn connection(self: Rc<Self>) {
        let mut client = self.load.target.client();
        while let Some(turn) = self.next() {
            let begun = self.until_due(turn).await;
            let good = self.one(&mut client, turn).await;
            let took = io::monotonic().since(begun);
            if good {
                self.latencies_us.borrow_mut().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
            } else {
                self.failures.set(self.failures.get().saturating_add(1));
            }
        }
    }

    /// Number of the next request; `None` at the end.
    fn next(&self) -> Option<u64> {
        let turn = self.sent.get();
        let is_over = match self.load.until {
            Until::Requests(requests) => turn >= requests,
            Until::Elapsed(span) => io::monotonic().since(self.start) >= span,
        };
        if is_over {
            return None;
        }
        self.sent.set(turn + 1);
        Some(turn)
    }

    /// Waits until a request is due; gives the time from which its latency counts.
    async fn until_due(&self, turn: u64) -> Instant {
        let Some(rate) = self.load.rate else { return io::monotonic() };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 requests")]
        let due = self.start.after(Duration::from_secs_f64(turn as f64 / rate));
        let now = io::monotonic();
        if now >= due {
            return due;
        }
        io::sleep(due.since(now)).await;
        io::monotonic()
    }

    async fn one(&self, client: &mut Client, turn: u64) -> bool {
        let load = &self.load;
        let number = match load.verb {
            Verb::Put => load.objects.in_order(turn),
            Verb::Get | Verb::Delete => load.objects.shuffled(turn),
        };
        let name = format!("{}-{number}", load.prefix);
        let (method, body, status) = match load.verb {
            Verb::Get => (Method::Get, None, 200),
            Verb::Put => (Method::Put, Some(self.body.clone()), 201),
            Verb::Delete => (Method::Delete, None, 204),
        };
        let head = load.target.request(method, &name);
        let answer = client.exchange(&head, body).await;
        answer.is_ok_and(|(answer, bytes)| {
            answer.status.0 == status && (load.verb != Verb::Get || bytes == load.bytes as u64)
        })
    }
}

impl Seen {
    /// Requests that were answered as they should be.
    pub fn requests(&self) -> u64 {
        self.latencies_us.len() as u64
    }

    /// Good requests per second.
    pub fn rate(&self) -> f64 {
        self.latencies_us.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency that `share` (0 to 1) of the requests did not exceed, in microseconds (nearest rank).
    pub fn percentile_us(&self, share: f64) -> u32 {
        let rank = (self.latencies_us.len() as f64 * share).ceil() as usize;
        self.latencies_us.get(rank.max(1) - 1).or(self.latencies_us.last()).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_object_is_visited_once_before_any_is_again() {
        for count in [1, 2, 7, 256, 100_003, 1 << 20] {
            let objects = Objects::new(10, count);
            let seen: BTreeSet<u64> = (0..count).map(|turn| objects.shuffled(turn)).collect();
            assert_eq!(seen.len() as u64, count);
            assert!(seen.first() == Some(&10) && seen.last() == Some(&(9 + count)));
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let seen = |latencies_us| Seen { failures: 0, elapsed: Duration::from_secs(2), latencies_us };
        let hundred = seen((1..=100).collect());
        assert_eq!([0.5, 0.99, 0.999].map(|share| hundred.percentile_us(share)), [50, 99, 100]);
        assert_eq!(seen(vec![]).percentile_us(0.5), 0);
        assert_eq!(hundred.rate(), 50.0);
    }
}
