//! `martlet recon`: what the running daemons say of themselves.
//!
//! `--memcache`: each core of the proxy, what it knew and did not, and its connections to every memcached server. Asked of the proxy's
//! `metrics_bind`, which the folder of a dev cluster knows.

use crate::Failure;
use crate::up::layout::Layout;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A report of a thousand cores and servers is a part of this.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// `martlet recon`'s command line.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Folder of the cluster
    #[arg(default_value = "martlet-data")]
    dir: PathBuf,
    /// Facts and memcached connections of the proxy's cores
    #[arg(long, required = true)]
    memcache: bool,
    /// The proxy's metrics_bind, instead of a folder
    #[arg(long, value_name = "IP:PORT")]
    from: Option<SocketAddr>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Columns of a core, and of one of its servers.
const OF_CORE: [&str; 6] = [
    "core_hits_total",
    "core_misses_total",
    "memcache_hits_total",
    "memcache_misses_total",
    "backend_requests_total",
    "kept",
];
const OF_SERVER: [&str; 8] = [
    "connections",
    "connections_most",
    "connections_limit",
    "waits_total",
    "wait_timeouts_total",
    "timeouts_total",
    "errors_total",
    "suppressed",
];

/// Asks and prints.
pub fn run(options: &Options) -> Result<(), Failure> {
    debug_assert!(options.memcache, "it is the only report yet, and asked for by the command line");
    let address = match options.from {
        Some(address) => address,
        None => Layout::open(&options.dir)?.metrics_address(),
    };
    let value = ask(address)?;
    if options.json {
        println!("{value}");
    } else {
        print!("{}", table(&value));
    }
    Ok(())
}

fn ask(address: SocketAddr) -> Result<Value, Failure> {
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /recon/memcache HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange()
        .map_err(|error| Failure::running(format!("{address} does not answer: {error}; is the proxy running?")))?;
    let text = String::from_utf8_lossy(&answer);
    let body = text.split_once("\r\n\r\n").filter(|(head, _)| head.starts_with("HTTP/1.1 200 ")).map(|(_, body)| body);
    body.and_then(|body| serde_json::from_str(body).ok())
        .ok_or_else(|| Failure::running(format!("{address} is no proxy's metrics_bind: it answered something else")))
}

/// One line per core, and one per server of it.
fn table(value: &Value) -> String {
    let mut text = String::new();
    for core in value.as_array().into_iter().flatten() {
        let number = core.get("core").and_then(Value::as_u64).unwrap_or(0);
        text.push_str(&format!("core {number}: {}\n", columns(core, &OF_CORE)));
        for server in core.get("servers").and_then(Value::as_array).into_iter().flatten() {
            let name = server.get("server").and_then(Value::as_str).unwrap_or("?");
            text.push_str(&format!("  {name}: {}\n", columns(server, &OF_SERVER)));
        }
    }
    text
}

fn columns(value: &Value, names: &[&str]) -> String {
    let column = |name: &&str| {
        let number = value.get(*name).and_then(Value::as_u64).unwrap_or(0);
        format!("{} {number}", name.trim_end_matches("_total").replace('_', " "))
    };
    names.iter().map(column).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_core_and_each_of_its_servers_has_a_line() {
        let value = json!([
            {"core": 0, "core_hits_total": 7, "servers": [{"server": "a:1", "connections": 2, "connections_limit": 3}]},
            {"core": 1, "servers": []},
        ]);
        let text = table(&value);
        assert!(text.starts_with("core 0: core hits 7, core misses 0, "), "{text}");
        assert!(text.contains("\n  a:1: connections 2, connections most 0, connections limit 3, "), "{text}");
        assert!(text.contains("\ncore 1: "), "{text}");
    }
}
