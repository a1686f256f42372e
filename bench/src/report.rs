//! Core: outcomes in, table and JSON out; `plot` draws them.

use crate::measure::Outcome;
use crate::system_calls::Means;
use serde_json::{Value, json};
use std::fmt::Write;

/// The percentiles that are reported, as shares, with their names.
pub(crate) const PERCENTILES: [(f64, &str); 5] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99")];

/// All workloads of one run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order they ran.
    pub outcomes: Vec<Outcome>,
    /// How system calls were counted; `None` when they were not.
    pub means: Option<Means>,
}

impl Outcome {
    /// CPU time of all its servers for a request, in microseconds; `None` when no server is known.
    pub fn cpu_us(&self) -> Option<f64> {
        (!self.costs.is_empty()).then(|| self.costs.iter().map(|cost| cost.cpu_us).sum())
    }

    /// System calls of all its servers for a request.
    pub fn system_calls(&self) -> Option<f64> {
        self.costs.iter().map(|cost| cost.system_calls).sum()
    }

    fn json(&self) -> Value {
        let seen = &self.seen;
        let [p50, p90, p99, p999, p9999] = PERCENTILES.map(|(share, _)| seen.percentile_us(share));
        let costs: Vec<Value> = self.costs.iter().map(crate::cost::Cost::json).collect();
        json!({
            "workload": self.workload, "bytes": self.bytes, "connections": self.connections, "requests": seen.requests(),
            "failures": seen.failures, "first_failure": seen.first_failure, "seconds": seen.elapsed.as_secs_f64(),
            "requests_per_second": seen.rate(), "mebibytes_per_second": seen.mebibytes_per_second(),
            "p50_us": p50, "p90_us": p90, "p99_us": p99, "p999_us": p999, "p9999_us": p9999, "max_us": seen.percentile_us(1.0),
            "server_cpu_us_per_request": self.cpu_us(), "servers": costs,
        })
    }
}

impl Report {
    /// Failed requests of all workloads.
    pub fn failures(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.seen.failures).sum()
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        let outcomes: Vec<Value> = self.outcomes.iter().map(Outcome::json).collect();
        format!("{:#}", json!({ "workloads": outcomes, "system_calls_counted_by": self.means.map(Means::name) }))
    }

    /// Tables for people: the workloads, then what each request cost each server.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<11} {:>5} {:>8} {:>6} {:>9} {:>8}",
            "workload", "conns", "requests", "failed", "req/s", "MiB/s"
        );
        // Writing to a String cannot fail.
        for (_, name) in PERCENTILES {
            let _ = write!(text, " {:>9}", format!("{name} us"));
        }
        for outcome in &self.outcomes {
            let seen = &outcome.seen;
            let _ = write!(
                text,
                "\n{:<11} {:>5} {:>8} {:>6} {:>9.0} {:>8.1}",
                outcome.workload,
                outcome.connections,
                seen.requests(),
                seen.failures,
                seen.rate(),
                seen.mebibytes_per_second()
            );
            for (share, _) in PERCENTILES {
                let _ = write!(text, " {:>9.0}", seen.percentile_us(share));
            }
        }
        text + &self.costs()
    }

    fn costs(&self) -> String {
        let mut text = String::new();
        if self.outcomes.iter().all(|outcome| outcome.costs.is_empty()) {
            return text;
        }
        let _ = write!(
            text,
            "\n\n{:<11} {:<10} {:>9} {:>9} {:>7} {:>9} {:>9} {:>9}",
            "a request", "server", "CPU us", "syscalls", "futex", "switches", "forced", "RSS MiB"
        );
        let or_dash = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.2}"));
        for (outcome, cost) in
            self.outcomes.iter().flat_map(|outcome| outcome.costs.iter().map(move |cost| (outcome, cost)))
        {
            let _ = write!(
                text,
                "\n{:<11} {:<10} {:>9.1} {:>9} {:>7} {:>9.2} {:>9.2} {:>9.1}",
                outcome.workload,
                cost.server,
                cost.cpu_us,
                or_dash(cost.system_calls),
                or_dash(cost.futex_calls),
                cost.voluntary,
                cost.involuntary,
                cost.resident_bytes as f64 / f64::from(1 << 20)
            );
        }
        let _ = match self.means {
            Some(Means::Perf) => Ok(()),
            Some(Means::Strace) => {
                write!(text, "\nSystem calls are strace's: it slows them, and more requests share one than without it.")
            }
            None => write!(
                text,
                "\nSystem calls were not counted: neither perf nor strace works here, or they were not asked for."
            ),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;
    use crate::load::Seen;

    #[test]
    fn the_report_is_json_and_a_table() {
        let cost = Cost {
            server: "proxy".to_owned(),
            cpu_us: 20.0,
            voluntary: 0.5,
            involuntary: 0.1,
            system_calls: Some(1.5),
            futex_calls: Some(0.0),
            ring_calls: Some(1.2),
            resident_bytes: 9 << 20,
        };
        let other = Cost { server: "objectd".to_owned(), system_calls: None, ..cost.clone() };
        let outcome = Outcome {
            workload: "get-4k".to_owned(),
            bytes: 4096,
            connections: 1,
            seen: Seen::default(),
            costs: vec![cost, other],
        };
        assert_eq!((outcome.cpu_us(), outcome.system_calls()), (Some(40.0), None));
        let report = Report { outcomes: vec![outcome], means: Some(Means::Perf) };
        let value: Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(value.pointer("/workloads/0/servers/1/server"), Some(&json!("objectd")));
        assert_eq!(value.pointer("/workloads/0/p9999_us"), Some(&json!(0.0)));
        assert_eq!(report.table().lines().count(), 6);
    }
}
