//! What the proxy counts, for whoever runs it: `/metrics` as Prometheus reads it, `/recon/memcache` as JSON. On an address of its own
//! (`metrics_bind`), since clients have no business with it; the first core answers for all.

use crate::core::Core;
use crate::facts::Numbers;
use crate::facts::news::numbers;
use base::http::Status;
use base::http::server::{Drain, Handler, Request, Response, ServerLimits, accept_loop};
use base::io::{Job, Listener};
use base::memcache::Report;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// Scrapers at the same time, beyond the connections of clients: all of a core's are counted together, and many clients are no reason
/// to stay silent.
const CONNECTIONS_MAX: usize = 16;

/// One number of a memcached server.
type OfServer = (&'static str, &'static str, fn(&Report) -> u64);

/// Name, what it means, where it is. Names that end in `_total` only grow.
const OF_SERVERS: [OfServer; 14] = [
    ("connections", "connections open or being made", |report| number(report.open)),
    ("connections_most", "the most connections there ever were", |report| number(report.most_open)),
    ("connections_limit", "connections this core may have", |report| number(report.slice)),
    ("suppressed", "1 while the server is left out", |report| u64::from(report.is_suppressed)),
    ("exchanges_total", "commands that were answered", |report| report.counts.exchanges),
    ("hits_total", "values found", |report| report.counts.hits),
    ("misses_total", "values not found", |report| report.counts.misses),
    ("connects_total", "connections made", |report| report.counts.connects),
    ("waits_total", "requests that waited for a connection", |report| report.counts.waits),
    ("wait_timeouts_total", "requests that waited for pool_timeout in vain", |report| report.counts.wait_timeouts),
    ("timeouts_total", "connections and commands that were not done in time", |report| report.counts.timeouts),
    ("errors_total", "connections refused or broken", |report| report.counts.errors),
    ("refusals_total", "errors the server told, and replies that were none", |report| report.counts.refusals),
    ("suppressions_total", "times the server was left out", |report| report.counts.suppressions),
];

/// One number of a core.
type OfCore = (&'static str, &'static str, fn(&Numbers) -> u64);

const OF_FACTS: [OfCore; 6] = [
    ("core_hits_total", "facts the core knew", |numbers| numbers.hits),
    ("core_misses_total", "facts the core did not know", |numbers| numbers.misses),
    ("memcache_hits_total", "facts found in memcached", |numbers| numbers.shared_hits),
    ("memcache_misses_total", "facts not found in memcached", |numbers| numbers.shared_misses),
    ("backend_requests_total", "facts asked of the backends", |numbers| numbers.backend),
    ("kept", "facts the core knows now", |numbers| number(numbers.kept)),
];

const OF_READS: [OfCore; 2] = [
    ("hedges_total", "second nodes asked because the first kept a read waiting", |numbers| numbers.hedges),
    ("overtaken_total", "reads that another node than the first answered sooner", |numbers| numbers.overtaken),
];

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Answers on `address` until drained.
pub(crate) async fn serve(core: Rc<Core>, address: SocketAddr, drain: Drain) -> io::Result<()> {
    let listener = Listener::bind(address, false)?;
    tracing::info!(target: "proxy", address = %listener.local_address(), "serving metrics");
    let limits = Rc::new(ServerLimits::default());
    let most = core.config.max_clients.saturating_add(CONNECTIONS_MAX);
    base::io::spawn(async move { accept_loop(listener, limits, most, Rc::new(Metrics { core }), drain).await });
    Ok(())
}

struct Metrics {
    core: Rc<Core>,
}

impl Handler for Metrics {
    fn handle(self: Rc<Self>, request: Request) -> Job<Response> {
        Job::new(async move {
            match &request.head.target[..] {
                b"/metrics" => Response::full(
                    Status(200),
                    "text/plain; version=0.0.4; charset=utf-8",
                    text(&numbers(&self.core).await),
                ),
                b"/recon/memcache" => {
                    let value = recon(&numbers(&self.core).await);
                    Response::full(Status(200), "application/json", value.to_string())
                }
                _ => Response::full(Status(404), "text/plain", "there are /metrics and /recon/memcache\n"),
            }
        })
    }
}

/// Prometheus' text.
fn text(cores: &[(usize, Numbers)]) -> String {
    let mut text = String::new();
    let of_cores = OF_FACTS.iter().map(|row| ("facts", row)).chain(OF_READS.iter().map(|row| ("reads", row)));
    for (group, (name, help, read)) in of_cores {
        head(&mut text, &format!("martlet_{group}_{name}"), help);
        for (core, numbers) in cores {
            let _ = writeln!(text, "martlet_{group}_{name}{{core=\"{core}\"}} {}", read(numbers));
        }
    }
    for (name, help, read) in OF_SERVERS {
        head(&mut text, &format!("martlet_memcache_{name}"), help);
        for (core, report) in
            cores.iter().flat_map(|(core, numbers)| numbers.servers.iter().map(move |report| (core, report)))
        {
            let server = report.server.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = writeln!(text, "martlet_memcache_{name}{{core=\"{core}\",server=\"{server}\"}} {}", read(report));
        }
    }
    text
}

fn head(text: &mut String, name: &str, help: &str) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// The same for `martlet recon --memcache`.
fn recon(cores: &[(usize, Numbers)]) -> Value {
    let of_server = |report: &Report| {
        let mut value = Map::from_iter([("server".to_owned(), Value::from(report.server.as_str()))]);
        value.extend(OF_SERVERS.iter().map(|(name, _, read)| ((*name).to_owned(), Value::from(read(report)))));
        Value::Object(value)
    };
    let of_core = |(core, numbers): &(usize, Numbers)| {
        let servers: Vec<Value> = numbers.servers.iter().map(of_server).collect();
        let head = [("core".to_owned(), Value::from(*core)), ("servers".to_owned(), Value::from(servers))];
        let mut value = Map::from_iter(head);
        value.extend(OF_FACTS.iter().map(|(name, _, read)| ((*name).to_owned(), Value::from(read(numbers)))));
        Value::Object(value)
    };
    cores.iter().map(of_core).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores() -> Vec<(usize, Numbers)> {
        let report = Report {
            server: "a\"b:1".into(),
            open: 2,
            most_open: 3,
            slice: 4,
            is_suppressed: true,
            counts: base::memcache::Counts { waits: 5, ..Default::default() },
        };
        vec![
            (0, Numbers { hits: 7, overtaken: 3, servers: vec![report], ..Numbers::default() }),
            (1, Numbers::default()),
        ]
    }

    #[test]
    fn every_number_has_its_core_its_server_and_its_kind() {
        let text = text(&cores());
        for line in [
            "# TYPE martlet_facts_core_hits_total counter",
            "martlet_facts_core_hits_total{core=\"0\"} 7",
            "martlet_facts_core_hits_total{core=\"1\"} 0",
            "martlet_reads_overtaken_total{core=\"0\"} 3",
            "# TYPE martlet_memcache_connections gauge",
            "martlet_memcache_connections{core=\"0\",server=\"a\\\"b:1\"} 2",
            "martlet_memcache_connections_limit{core=\"0\",server=\"a\\\"b:1\"} 4",
            "martlet_memcache_waits_total{core=\"0\",server=\"a\\\"b:1\"} 5",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        let value = recon(&cores());
        assert_eq!(value[0]["servers"][0]["connections_most"], 3);
        assert_eq!(value[1]["core"], 1);
    }
}
