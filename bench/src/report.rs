//! Core: latencies in, percentiles, table and JSON out.

use crate::load::Seen;
use serde_json::{Value, json};
use std::fmt::Write;

/// What one workload measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the workload.
    pub workload: String,
    /// Body bytes of one request.
    pub bytes: u64,
    /// Connections used.
    pub connections: u16,
    /// Latencies, failures, time.
    pub seen: Seen,
    /// CPU time of the servers per request, in microseconds; `None` when no server process was named.
    pub server_cpu_us: Option<f64>,
}

/// All workloads of one run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order they ran.
    pub outcomes: Vec<Outcome>,
}

impl Outcome {
    fn json(&self) -> Value {
        let seen = &self.seen;
        json!({
            "workload": self.workload, "bytes": self.bytes, "connections": self.connections, "requests": seen.requests(),
            "failures": seen.failures, "seconds": seen.elapsed.as_secs_f64(), "requests_per_second": seen.rate(),
            "p50_us": seen.percentile_us(0.5), "p99_us": seen.percentile_us(0.99), "p999_us": seen.percentile_us(0.999),
            "server_cpu_us_per_request": self.server_cpu_us,
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
        format!("{:#}", json!({ "workloads": outcomes }))
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<10} {:>5} {:>9} {:>8} {:>10} {:>10} {:>10} {:>10} {:>12}",
            "workload", "conns", "requests", "failed", "req/s", "p50 us", "p99 us", "p99.9 us", "server us"
        );
        for outcome in &self.outcomes {
            let cpu = outcome.server_cpu_us.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}"));
            let percentiles = [0.5, 0.99, 0.999].map(|share| outcome.seen.percentile_us(share));
            let [p50, p99, p999] = percentiles;
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n{:<10} {:>5} {:>9} {:>8} {:>10.0} {:>10} {:>10} {:>10} {:>12}",
                outcome.workload,
                outcome.connections,
                outcome.seen.requests(),
                outcome.seen.failures,
                outcome.seen.rate(),
                p50,
                p99,
                p999,
                cpu
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_json_and_a_table() {
        let seen = Seen { latencies_us: vec![7], ..Seen::default() };
        let workload = "get-4k".to_owned();
        let outcome = Outcome { workload, bytes: 4096, connections: 1, seen, server_cpu_us: None };
        let report = Report { outcomes: vec![outcome] };
        let value: Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(value.pointer("/workloads/0/p50_us"), Some(&json!(7)));
        assert_eq!(report.table().lines().count(), 2);
    }
}
