//! Driver: one load: the same kind of request on many objects over a fixed number of connections, each with one request in flight.
//!
//! Without a rate a connection sends its next request when it has its answer (closed loop): the saturating load. With a rate, requests are
//! due at fixed times (open loop), and one that waits for a free connection has begun when it was due: a server that stalls is not
//! excused from the requests it kept from being sent. A timer that fires late is the client's own matter and not counted.

mod live;
mod seen;

pub use crate::keys::{Keys, Objects};
pub use crate::target::Page;
pub use seen::Seen;

use crate::keys::scattered;
use crate::target::{Ask, Client, Target};
use base::http::Method;
use base::io::{self, Instant};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// A range workload asks for this share of an object.
const RANGE_SHARE: u64 = 16;
/// One request of so many of a mixed load is an upload.
const UPLOAD_EVERY: u64 = 10;

/// What a request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Downloads an object.
    Get,
    /// Asks for an object's head.
    Head,
    /// Uploads an object over one that may be there.
    Put,
    /// Removes an object.
    Delete,
    /// Nine downloads, then an upload.
    Mixed,
    /// Downloads a sixteenth of an object, from anywhere in it.
    Range,
    /// A page of a container's listing.
    List(Page),
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
    /// What every request does.
    pub verb: Verb,
    /// Bytes of every object.
    pub bytes: usize,
    /// Their names.
    pub names: Names,
    /// Which objects.
    pub objects: Objects,
    /// How often each of them.
    pub keys: Keys,
    /// Connections.
    pub connections: u16,
    /// Its end.
    pub until: Until,
    /// Requests per second; `None` for as many as go.
    pub rate: Option<f64>,
    /// What a line on the terminal calls it while it runs; `None` for no line.
    pub label: Option<String>,
}

/// Names of objects by number.
#[derive(Clone, Debug)]
pub enum Names {
    /// This, a dash, the number.
    Numbered(String),
    /// The one at this place of the list.
    Listed(Rc<[String]>),
}

struct Run {
    load: Load,
    body: Bytes,
    start: Instant,
    sent: Cell<u64>,
    is_over: Cell<bool>,
    seen: RefCell<Seen>,
}

impl Load {
    /// A load that asks as often as it can, over 16 connections, for each object once.
    pub fn new(target: Target, verb: Verb, bytes: usize, objects: Objects) -> Load {
        Load {
            target,
            verb,
            bytes,
            names: Names::Numbered("o".to_owned()),
            objects,
            keys: Keys::Uniform,
            connections: 16,
            until: Until::Requests(objects.count),
            rate: None,
            label: None,
        }
    }

    /// Runs it to its end.
    pub async fn run(self) -> Seen {
        let connections = self.connections;
        let run = Rc::new(Run {
            body: Bytes::from(vec![b'm'; self.bytes]),
            start: io::monotonic(),
            sent: Cell::new(0),
            is_over: Cell::new(false),
            seen: RefCell::default(),
            load: self,
        });
        let line = live::show(&run);
        let tasks: Vec<_> = (0..connections).map(|_| io::spawn(run.clone().connection())).collect();
        for task in tasks {
            // Ends: with the load; each request has a deadline.
            task.await;
        }
        run.is_over.set(true);
        drop(line);
        let mut seen = run.seen.take();
        seen.elapsed = io::monotonic().since(run.start);
        seen
    }
}

impl Names {
    fn of(&self, number: u64) -> String {
        match self {
            Names::Numbered(prefix) => format!("{prefix}-{number}"),
            Names::Listed(names) => {
                let place = usize::try_from(number).unwrap_or(usize::MAX);
                names.get(place).cloned().unwrap_or_default()
            }
        }
    }
}

impl Run {
    async fn connection(self: Rc<Self>) {
        let mut client = self.load.target.client();
        while let Some(turn) = self.next() {
            let begun = self.until_due(turn).await;
            let outcome = self.one(&mut client, turn).await;
            let took = io::monotonic().since(begun);
            let mut seen = self.seen.borrow_mut();
            match outcome {
                Ok(bytes) => seen.good(took, bytes),
                Err(reason) => seen.bad(reason),
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

    /// Gives the bytes of the body that went either way, or what was wrong.
    async fn one(&self, client: &mut Client, turn: u64) -> Result<u64, String> {
        let Load { target, objects, keys, .. } = &self.load;
        let name = |number: u64| self.load.names.of(number);
        let any = || name(objects.chosen(*keys, turn));
        let whole = self.body.len() as u64;
        let ask = match &self.load.verb {
            Verb::Get => target.ask(Method::Get, &any()),
            Verb::Head => target.ask(Method::Head, &any()),
            Verb::Put => target.ask(Method::Put, &name(objects.in_order(turn))),
            Verb::Delete => target.ask(Method::Delete, &any()),
            Verb::Mixed if turn % UPLOAD_EVERY == UPLOAD_EVERY - 1 => target.ask(Method::Put, &any()),
            Verb::Mixed => target.ask(Method::Get, &any()),
            Verb::Range => {
                let length = (whole / RANGE_SHARE).max(1);
                let start = scattered(turn) % (whole.saturating_sub(length) + 1);
                target.ask_range(&any(), start, length)
            }
            Verb::List(page) => target.ask_page(page),
        };
        self.exchange(client, ask).await
    }

    async fn exchange(&self, client: &mut Client, ask: Ask) -> Result<u64, String> {
        let method = ask.head.method;
        let body = (method == Method::Put).then(|| self.body.clone());
        let (answer, bytes) = client.exchange(&ask.head, body).await.map_err(|error| error.to_string())?;
        let is_whole = match (method, &self.load.verb) {
            (_, Verb::List(_)) => bytes > 2,
            (_, Verb::Range) => bytes == (self.load.bytes as u64 / RANGE_SHARE).max(1),
            (Method::Get, _) => bytes == self.load.bytes as u64,
            _ => true,
        };
        match (answer.status.0 == ask.status, is_whole) {
            (true, true) if method == Method::Put => Ok(self.load.bytes as u64),
            (true, true) => Ok(bytes),
            _ => Err(format!(
                "{} {} answered {} with {bytes} bytes",
                method.as_str(),
                String::from_utf8_lossy(ask.head.target.as_ref()),
                answer.status.0
            )),
        }
    }
}
