//! Core: latencies in, percentiles, table and JSON out.

use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// What one workload measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the workload.
    pub workload: String,
    /// Body bytes of one request.
    pub bytes: u64,
    /// Connections used.
    pub connections: u16,
    /// Requests that were answered as they should be.
    pub requests: u64,
    /// Requests that failed.
    pub failures: u64,
    /// From the first to the last request.
    pub elapsed: Duration,
    /// One latency per request, in microseconds, sorted.
    pub latencies_us: Vec<u32>,
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
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency that `share` (0 to 1) of the requests did not exceed, in microseconds (nearest rank).
    pub fn percentile_us(&self, share: f64) -> u32 {
        let rank = (self.latencies_us.len() as f64 * share).ceil() as usize;
        self.latencies_us.get(rank.max(1) - 1).or(self.latencies_us.last()).copied().unwrap_or(0)
    }

    fn json(&self) -> Value {
        json!({
            "workload": self.workload, "bytes": self.bytes, "connections": self.connections, "requests": self.requests,
            "failures": self.failures, "seconds": self.elapsed.as_secs_f64(), "requests_per_second": self.rate(),
            "p50_us": self.percentile_us(0.5), "p99_us": self.percentile_us(0.99), "p999_us": self.percentile_us(0.999),
            "server_cpu_us_per_request": self.server_cpu_us,
        })
    }
}

impl Report {
    /// Failed requests of all workloads.
    pub fn failures(&self) -> u64 {
        self.outcomes.iter().map(|outcome| outcome.failures).sum()
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
            let percentiles = [0.5, 0.99, 0.999].map(|share| outcome.percentile_us(share));
            let [p50, p99, p999] = percentiles;
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n{:<10} {:>5} {:>9} {:>8} {:>10.0} {:>10} {:>10} {:>10} {:>12}",
                outcome.workload,
                outcome.connections,
                outcome.requests,
                outcome.failures,
                outcome.rate(),
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

    fn outcome(latencies_us: Vec<u32>) -> Outcome {
        Outcome {
            workload: "get-4k".into(),
            bytes: 4096,
            connections: 1,
            requests: latencies_us.len() as u64,
            failures: 0,
            elapsed: Duration::from_secs(2),
            latencies_us,
            server_cpu_us: None,
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred = outcome((1..=100).collect());
        assert_eq!([0.5, 0.99, 0.999].map(|share| hundred.percentile_us(share)), [50, 99, 100]);
        assert_eq!(outcome(vec![]).percentile_us(0.5), 0);
        assert_eq!(hundred.rate(), 50.0);
    }

    #[test]
    fn the_report_is_json_and_a_table() {
        let report = Report { outcomes: vec![outcome(vec![7])] };
        let value: Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(value.pointer("/workloads/0/p50_us"), Some(&json!(7)));
        assert_eq!(report.table().lines().count(), 2);
    }
}
