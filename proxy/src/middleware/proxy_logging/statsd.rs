//! StatsD metrics of each request that has a line: its time, its bytes, and the time to the first byte of a GET, under Swift's
//! names.
//!
//! # Invariants
//!
//! - A request never waits for them: its lines are put aside, and a task of the core leaves what has gathered to the thread that writes
//!   the log, which sends it.
//! - What waits is bounded; what finds no room is lost, as any datagram may be.

use super::Entry;
use base::http::server::Finished;
use base::http::{Method, head};
use base::io::{self, Datagrams, Instant};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// How often what has gathered goes to be sent.
const EVERY: Duration = Duration::from_millis(100);
/// A datagram of this size passes an Ethernet whole.
const DATAGRAM_MAX: usize = 1432;
/// Some thousand requests within [`EVERY`].
const WAITING_MAX: usize = 1024 * 1024;
/// A host whose name is not known is not asked for again at once.
const RETRY: Duration = Duration::from_secs(30);
const RESOLVE_MAX: Duration = Duration::from_secs(5);

/// Verbs that have names, unless `log_statsd_valid_http_methods` says others.
pub(crate) const METHODS: &str = "GET,HEAD,POST,PUT,DELETE,COPY,OPTIONS,UPDATE";

/// The options `log_statsd_…`, each of which `access_log_statsd_…` overrides.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `default_sample_rate` times `sample_rate_factor`: the share of the lines that is sent.
    pub sample_rate: f64,
    /// Begins every name, with its dot.
    pub prefix: String,
    /// Verbs that are told by their names.
    pub methods: Vec<String>,
}

/// The sender of one core.
pub(crate) struct Statsd {
    settings: Settings,
    waiting: RefCell<String>,
    socket: RefCell<Option<Rc<Datagrams>>>,
    retry_at: Cell<Option<Instant>>,
}

impl Statsd {
    /// Starts the task that sends; it ends with the last handle.
    pub(crate) fn start(settings: Settings) -> Rc<Statsd> {
        let statsd = Rc::new(Statsd::new(settings));
        let weak = Rc::downgrade(&statsd);
        io::spawn(send(weak));
        statsd
    }

    fn new(settings: Settings) -> Statsd {
        Statsd { settings, waiting: RefCell::default(), socket: RefCell::default(), retry_at: Cell::default() }
    }

    /// A request is over.
    pub(super) fn tell(&self, entry: &Entry, finished: &Finished, end: Duration) {
        let status = if finished.complete { entry.status } else { 499 };
        let took = milliseconds(end.saturating_sub(entry.start));
        let first = milliseconds(entry.first_byte.saturating_sub(entry.start));
        let bytes = finished.received.saturating_add(finished.sent);
        for name in self.names(entry) {
            if entry.method == Method::Get {
                self.line(&format!("{name}.{}.first-byte.timing:{first:?}|ms", entry.status));
            }
            self.line(&format!("{name}.{status}.timing:{took:?}|ms"));
            self.line(&format!("{name}.{status}.xfer:{bytes}|c"));
        }
    }

    /// Without the status: for all, and for the policy of an object.
    fn names(&self, entry: &Entry) -> Vec<String> {
        let [account, container, object] = super::names(&entry.settings, head::path(&entry.target));
        let kind = match (account.is_empty(), container.is_empty(), object.is_empty()) {
            (true, _, _) => "UNKNOWN",
            (false, true, _) => "account",
            (false, false, true) => "container",
            (false, false, false) => "object",
        };
        let method = entry.method.as_str();
        let method = if self.settings.methods.iter().any(|known| known == method) { method } else { "BAD_METHOD" };
        let mut names = vec![format!("{kind}.{method}")];
        if kind == "object" && !entry.policy_index.is_empty() {
            let policy = String::from_utf8_lossy(&entry.policy_index).into_owned();
            names.push(format!("object.policy.{policy}.{method}"));
        }
        names
    }

    /// Puts a line aside.
    fn line(&self, line: &str) {
        let rate = self.settings.sample_rate;
        if rate < 1.0 && io::chance() >= rate {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() + self.settings.prefix.len() + line.len() > WAITING_MAX {
            return;
        }
        waiting.push_str(&self.settings.prefix);
        waiting.push_str(line);
        if rate < 1.0 {
            waiting.push_str(&format!("|@{rate:?}"));
        }
        waiting.push('\n');
    }

    /// Leaves what has gathered to be sent.
    async fn flush(&self) {
        let lines = std::mem::take(&mut *self.waiting.borrow_mut());
        if lines.is_empty() {
            return;
        }
        if let Some(socket) = self.socket().await {
            socket.send_lines(lines.into_bytes(), DATAGRAM_MAX);
        }
    }

    async fn socket(&self) -> Option<Rc<Datagrams>> {
        if let Some(known) = self.socket.borrow().clone() {
            return Some(known);
        }
        if self.retry_at.get().is_some_and(|at| io::monotonic() < at) {
            return None;
        }
        let found = io::timeout(RESOLVE_MAX, io::resolve(&self.settings.host, self.settings.port)).await;
        let address = found.ok().and_then(Result::ok).and_then(|all| {
            let is_v4 = |address: &&SocketAddr| address.is_ipv4();
            all.iter().find(is_v4).or(all.first()).copied()
        });
        let opened = address.and_then(|address| Datagrams::connect(address).ok().map(Rc::new));
        if opened.is_none() {
            tracing::warn!(host = %self.settings.host, "no StatsD server there, its metrics are lost");
            self.retry_at.set(Some(io::monotonic().after(RETRY)));
        }
        self.socket.borrow_mut().clone_from(&opened);
        opened
    }
}

async fn send(statsd: Weak<Statsd>) {
    // Ends: with the pipeline that holds the sender, at the latest with the core.
    loop {
        io::sleep(EVERY).await;
        let Some(statsd) = statsd.upgrade() else { return };
        statsd.flush().await;
    }
}

/// To four places, as Swift rounds them.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests;
