//! The tail at half of the saturating rate, open loop: nothing waits longer than the work itself explains.

use super::Bench;
use super::rounds::on_a_core;
use bench::bars::{Bar, Row, median};
use bench::load::{Load, Objects, Until, Verb};
use std::time::Duration;

const BYTES: usize = 4096;
const CONNECTIONS: u16 = 64;
const SATURATED: Duration = Duration::from_secs(2);
const HALF: Duration = Duration::from_secs(4);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let cluster = bench.cluster("2")?;
    let objects = Objects::new(0, 256);
    let load = |verb, until, rate| {
        let load = Load::new(cluster.target().clone(), verb, BYTES, objects);
        let load = Load { connections: CONNECTIONS, until, rate, ..load };
        on_a_core(async { load.run().await.without_failures() })
    };
    load(Verb::Put, Until::Requests(objects.count), None)?;
    let (mut ratios, mut p50s, mut p99s, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let rate = load(Verb::Get, Until::Elapsed(bench.span(SATURATED)), None)?.rate() / 2.0;
        let seen = load(Verb::Get, Until::Elapsed(bench.span(HALF)), Some(rate))?;
        let [p50, p99] = [0.5, 0.99].map(|share| seen.percentile_us(share));
        ratios.push(p99 / p50);
        p50s.push(p50);
        p99s.push(p99);
        rates.push(rate);
    }
    let detail = format!("{:.0} µs ÷ {:.0} µs at {:.0}/s", median(p99s), median(p50s), median(rates));
    let name = "p99 ÷ p50 at half of the saturating rate (open loop), GET 4 KiB";
    Ok(vec![Row::barred(name, median(ratios), "", Bar::AtMost(4.0)).of(detail)])
}
