//! Pages of a container with a million rows: the first, one from the middle, the last. Rows are written straight to the container service, as
//! object servers report them; one replica of everything, for a page is read from one.

use super::Bench;
use super::placement::Placement;
use super::rounds::on_a_core;
use crate::cluster::Cluster;
use bench::bars::{Bar, Row, median};
use bench::load::{Load, Objects, Page, Seen, Until, Verb};
use bench::processes;
use bench::target::Target;

const ROWS: u64 = 1_000_000;
const PAGE: u64 = 10_000;
const CONTAINER: &str = "martlet-bench-million";
/// Names are of one length from here on, so that their order is that of the numbers.
const FIRST: u64 = 1_000_000_000;
const REQUESTS: u64 = 20;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let words = ["--devices", "1", "--replicas", "1", "--cores", "1"];
    let cluster = Cluster::create(&bench.dir.join("million"), &words)?;
    let rows = bench.amount(ROWS, 3000);
    let seen = fill(&cluster, rows)?;
    let mut table = vec![Row::figure(format!("container of {rows} rows: rows written a second"), seen.rate(), "1/s")];
    let page = PAGE.min(rows / 3);
    let pages = [("first", None), ("middle", Some(rows / 2)), ("last", Some(rows - page - 1))];
    let mut figures = pages.map(|(name, _)| (name, Vec::new(), Vec::new()));
    for _ in 0..bench.rounds {
        for ((_, marker), (_, cpu, time)) in pages.iter().zip(&mut figures) {
            let marker = marker.map(|number| format!("o-{}", FIRST + number)).unwrap_or_default();
            let page = Page { container: CONTAINER.to_owned(), limit: page, marker };
            let (cpu_ms, time_ms) = one(bench, &cluster, page)?;
            cpu.push(cpu_ms);
            time.push(time_ms);
        }
    }
    let mut all = Vec::new();
    for (name, cpu, time) in figures {
        let (cpu, time) = (median(cpu), median(time));
        all.push(cpu);
        let name = format!("container of {rows} rows, {name} page of {page} JSON: CPU");
        table.push(Row::barred(name, cpu, "ms", Bar::AtMost(5.0)).of(format!("{time:.2} ms until the last byte")));
    }
    let (least, most) =
        all.iter().fold((f64::MAX, 0.0), |(least, most): (f64, f64), &cpu| (least.min(cpu), most.max(cpu)));
    table.push(Row::barred("… the dearest of the three ÷ the cheapest", most / least, "", Bar::AtMost(1.2)));
    Ok(table)
}

fn fill(cluster: &Cluster, rows: u64) -> Result<Seen, String> {
    let container = cluster.target().in_container(CONTAINER);
    on_a_core(async { container.prepare().await })?;
    let placement = Placement::of(cluster)?;
    let (address, path) =
        placement.container(cluster.target().account(), CONTAINER).ok_or("the container has no place")?;
    let load = Load::new(Target::rows(address, &path), Verb::Put, 0, Objects::new(FIRST, rows));
    let load = Load { connections: 256, label: Some("rows".to_owned()), ..load };
    on_a_core(async { load.run().await.without_failures() })
}

/// CPU of all servers and the time for a page, in milliseconds.
fn one(bench: &Bench, cluster: &Cluster, page: Page) -> Result<(f64, f64), String> {
    let requests = bench.amount(REQUESTS, 3);
    let load = Load::new(cluster.target().clone(), Verb::List(page), 0, Objects::new(0, 1));
    let load = Load { connections: 1, until: Until::Requests(requests), ..load };
    let before = processes::run_time_nanos(&cluster.pids());
    let seen = on_a_core(async { load.run().await.without_failures() })?;
    let nanos = processes::run_time_nanos(&cluster.pids()).saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run, far below 2^52")]
    let cpu_ms = nanos as f64 / 1e6 / seen.requests().max(1) as f64;
    Ok((cpu_ms, seen.percentile_us(0.5) / 1000.0))
}
