//! Memory of the proxy for a client connection that has had its answer and waits for its next request.

use super::Bench;
use super::rounds::on_a_core;
use bench::bars::{Bar, Row};
use bench::load::{Load, Objects, Until, Verb};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

const CONNECTIONS: u64 = 10_000;
const BYTES: usize = 4096;
/// After it what a connection holds only for a moment is given back.
const QUIET: Duration = Duration::from_secs(2);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    raise_limit()?;
    let cluster = bench.cluster("2")?;
    // What a proxy takes by default is fewer.
    let proxy = cluster.second_proxy(&["max_clients = 12000"])?;
    let objects = Objects::new(0, 256);
    let load = |verb, requests| {
        let load = Load::new(proxy.target().clone(), verb, BYTES, objects);
        let load = Load { connections: 64, until: Until::Requests(requests), ..load };
        on_a_core(async { load.run().await.without_failures() })
    };
    load(Verb::Put, objects.count)?;
    // So that everything that is made at first use is there.
    load(Verb::Get, bench.amount(20_000, 256))?;
    let connections = bench.amount(CONNECTIONS, 100);
    let before = proxy.server().resident_bytes();
    let after = on_a_core(async {
        let mut idle = Vec::new();
        for number in 0..connections {
            let mut client = proxy.target().client();
            client.get(proxy.target(), &format!("o-{}", number % objects.count)).await?;
            idle.push(client);
        }
        base::io::sleep(QUIET).await;
        Ok(proxy.server().resident_bytes())
    })?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    let each = (after.saturating_sub(before)) as f64 / connections as f64 / 1024.0;
    let detail = format!("proxy: {} MiB, before {} MiB", after >> 20, before >> 20);
    let name = format!("resident memory per idle client connection ({connections} of them)");
    Ok(vec![Row::barred(name, each, "KiB", Bar::AtMost(8.0)).of(detail)])
}

/// Of this process and all that it starts from now on: as many open files as it may have.
fn raise_limit() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("cannot raise the limit of open files: {error}"))
}
