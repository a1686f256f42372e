//! Ratios of CPU time and latency, each from rounds in which all contenders take turns, and the system calls of a small GET.

use super::Bench;
use super::rounds::{Rounds, Setting, Who};
use bench::bars::{Bar, Row, median};
use bench::measure::Outcome;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    /// CPU time of all processes for a request.
    Cpu,
    /// The latency that half of the requests do not exceed.
    Median,
}

/// One row of the table: a figure of one setting over that of another.
struct Ratio {
    name: &'static str,
    figure: Figure,
    over: Setting,
    under: Setting,
    bar: Option<Bar>,
}

const fn setting(who: Who, workload: &'static str, connections: u16) -> Setting {
    Setting { who, workload, connections }
}

/// The Python Swift over Martlet.
const fn swift(name: &'static str, workload: &'static str, connections: u16, least: f64) -> Ratio {
    Ratio {
        name,
        figure: Figure::Cpu,
        over: setting(Who::Swift, workload, connections),
        under: setting(Who::Martlet, workload, connections),
        bar: Some(Bar::AtLeast(least)),
    }
}

/// One of ours over nginx, the same workload over the same number of connections.
const fn nginx(name: &'static str, figure: Figure, over: Setting, most: f64) -> Ratio {
    let under = setting(Who::Nginx, over.workload, over.connections);
    Ratio { name, figure, over, under, bar: Some(Bar::AtMost(most)) }
}

/// Garage over Martlet: for comparison, without a bar.
const fn garage(name: &'static str, workload: &'static str, connections: u16) -> Ratio {
    Ratio { bar: None, over: setting(Who::Garage, workload, connections), ..swift(name, workload, connections, 0.0) }
}

/// The small GET that stands for all others.
const SMALL: Setting = setting(Who::Martlet, "get-4k", 64);

const RATIOS: [Ratio; 21] = [
    swift("CPU, Python Swift ÷ Martlet: GET 4 KiB", "get-4k", 16, 100.0),
    swift("CPU, Python Swift ÷ Martlet: HEAD", "head-4k", 16, 100.0),
    swift("CPU, Python Swift ÷ Martlet: list 100", "list-100", 16, 100.0),
    swift("CPU, Python Swift ÷ Martlet: GET 64 KiB", "get-64k", 16, 60.0),
    swift("CPU, Python Swift ÷ Martlet: PUT 4 KiB", "put-4k", 16, 60.0),
    swift("CPU, Python Swift ÷ Martlet: DELETE", "delete-4k", 16, 60.0),
    swift("CPU, Python Swift ÷ Martlet: list 10,000 JSON", "list-10000", 4, 60.0),
    swift("CPU, Python Swift ÷ Martlet: GET 1 MiB", "get-1m", 8, 15.0),
    swift("CPU, Python Swift ÷ Martlet: PUT 1 MiB", "put-1m", 8, 10.0),
    swift("CPU, Python Swift ÷ Martlet: GET 100 MiB", "get-100m", 2, 8.0),
    nginx("CPU, objectd alone ÷ nginx: GET 4 KiB", Figure::Cpu, setting(Who::Objectd, "get-4k", 64), 1.0),
    nginx("CPU, proxy and objectd ÷ nginx: GET 4 KiB", Figure::Cpu, SMALL, 3.0),
    nginx("CPU, proxy and objectd ÷ nginx: GET 1 MiB", Figure::Cpu, setting(Who::Martlet, "get-1m", 16), 2.5),
    nginx("p50 of one connection, Martlet ÷ nginx: GET 4 KiB", Figure::Median, setting(Who::Martlet, "get-4k", 1), 4.0),
    Ratio {
        name: "CPU, Martlet on two cores ÷ on one: GET 4 KiB",
        figure: Figure::Cpu,
        over: SMALL,
        under: setting(Who::OneCore, "get-4k", 64),
        bar: Some(Bar::AtMost(1.05)),
    },
    garage("CPU, Garage ÷ Martlet: GET 4 KiB", "get-4k", 16),
    garage("CPU, Garage ÷ Martlet: list 100", "list-100", 16),
    garage("CPU, Garage ÷ Martlet: PUT 4 KiB", "put-4k", 16),
    garage("CPU, Garage ÷ Martlet: DELETE", "delete-4k", 16),
    garage("CPU, Garage ÷ Martlet: GET 1 MiB", "get-1m", 8),
    garage("CPU, Garage ÷ Martlet: PUT 1 MiB", "put-1m", 8),
];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let asked =
        RATIOS.iter().filter(|ratio| [ratio.over, ratio.under].iter().all(|setting| setting.who.is_there(bench)));
    let asked: Vec<&Ratio> = asked.collect();
    let mut settings = Vec::new();
    for setting in asked.iter().flat_map(|ratio| [ratio.over, ratio.under]) {
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    let rounds = Rounds::run(bench, &settings)?;
    let mut rows: Vec<Row> = asked.iter().map(|ratio| ratio.row(&rounds)).collect();
    rows.extend(calls(&rounds));
    Ok(rows)
}

impl Ratio {
    fn row(&self, rounds: &Rounds) -> Row {
        let [over, under] = [self.over, self.under].map(|setting| self.figures(rounds.of(setting)));
        let ratios = over.iter().zip(&under).map(|(over, under)| over / under).collect();
        let detail = format!("{} ÷ {}", micros(median(over)), micros(median(under)));
        let row = match self.bar {
            Some(bar) => Row::barred(self.name, median(ratios), "", bar),
            None => Row::figure(self.name, median(ratios), ""),
        };
        row.of(detail)
    }

    fn figures(&self, outcomes: &[Outcome]) -> Vec<f64> {
        outcomes
            .iter()
            .map(|outcome| match self.figure {
                Figure::Cpu => outcome.cpu_us().unwrap_or(f64::NAN),
                Figure::Median => outcome.seen.percentile_us(0.5),
            })
            .collect()
    }
}

/// System calls of the small GET, proxy and objectd together; no number where they cannot be counted.
fn calls(rounds: &Rounds) -> Vec<Row> {
    let outcomes = rounds.of(SMALL);
    if outcomes.is_empty() {
        return Vec::new();
    }
    let all = |outcome: &Outcome| outcome.system_calls().unwrap_or(f64::NAN);
    let futex = |outcome: &Outcome| outcome.costs.iter().map(|cost| cost.futex_calls.unwrap_or(f64::NAN)).sum();
    let each: Vec<String> = outcomes
        .last()
        .into_iter()
        .flat_map(|outcome| &outcome.costs)
        .map(|cost| format!("{} {:.2}", cost.server, cost.system_calls.unwrap_or(f64::NAN)))
        .collect();
    let name = "system calls per GET 4 KiB at 64 connections, proxy and objectd";
    vec![
        Row::barred(name, median(outcomes.iter().map(all).collect()), "", Bar::AtMost(1.0)).of(each.join(", ")),
        Row::barred("futex calls per GET 4 KiB", median(outcomes.iter().map(futex).collect()), "", Bar::AtMost(0.0)),
    ]
}

fn micros(micros: f64) -> String {
    if micros >= 1000.0 { format!("{:.2} ms", micros / 1000.0) } else { format!("{micros:.1} µs") }
}
