//! Core: what a load saw: a histogram of latencies in fixed memory, bytes, failures.

use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest latency that is told from longer ones; a request's deadline is below it.
const LONGEST_NANOS: u64 = 120_000_000_000;
/// Latencies are kept to one part in a thousand.
const DIGITS: u8 = 3;

/// What a load saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Requests that were not answered as they should be.
    pub failures: u64,
    /// What was wrong with the first of them.
    pub first_failure: Option<String>,
    /// From the first to the last request.
    pub elapsed: Duration,
    /// Bytes of the bodies of good requests, those sent and those received.
    pub bytes: u64,
    latencies_nanos: Histogram<u64>,
}

impl Default for Seen {
    fn default() -> Seen {
        #[expect(clippy::expect_used, reason = "the bounds are constants")]
        let latencies_nanos = Histogram::new_with_bounds(1, LONGEST_NANOS, DIGITS).expect("good bounds");
        Seen { failures: 0, first_failure: None, elapsed: Duration::ZERO, bytes: 0, latencies_nanos }
    }
}

impl Seen {
    pub(super) fn good(&mut self, took: Duration, bytes: u64) {
        self.latencies_nanos.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn bad(&mut self, reason: String) {
        self.failures = self.failures.saturating_add(1);
        self.first_failure.get_or_insert(reason);
    }

    /// Adds what another load saw after this one.
    pub fn add(&mut self, other: &Seen) {
        // Their bounds are the same.
        let _ = self.latencies_nanos.add(&other.latencies_nanos);
        self.failures = self.failures.saturating_add(other.failures);
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        self.elapsed = self.elapsed.saturating_add(other.elapsed);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Itself when all requests were answered as they should be.
    pub fn without_failures(self) -> Result<Seen, String> {
        match &self.first_failure {
            None => Ok(self),
            Some(first) => {
                let good = self.requests();
                Err(format!("{} requests failed, {good} did not; the first: {first}", self.failures))
            }
        }
    }

    /// Requests that were answered as they should be.
    pub fn requests(&self) -> u64 {
        self.latencies_nanos.len()
    }

    /// Good requests per second.
    pub fn rate(&self) -> f64 {
        self.requests() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Mebibytes of bodies per second.
    pub fn mebibytes_per_second(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency that `share` (0 to 1) of the good requests did not exceed, in microseconds; zero of none.
    pub fn percentile_us(&self, share: f64) -> f64 {
        self.latencies_nanos.value_at_quantile(share) as f64 / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hundred() -> Seen {
        let mut seen = Seen { elapsed: Duration::from_secs(2), ..Seen::default() };
        (1..=100).for_each(|micros| seen.good(Duration::from_micros(micros), 1 << 20));
        seen
    }

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let seen = hundred();
        for (share, micros) in [(0.5, 50.0), (0.99, 99.0), (0.999, 100.0), (1.0, 100.0)] {
            let error = (seen.percentile_us(share) - micros).abs() / micros;
            assert!(error <= 0.001, "{share}: {}", seen.percentile_us(share));
        }
        assert_eq!(Seen::default().percentile_us(0.5), 0.0);
        assert_eq!((seen.rate(), seen.mebibytes_per_second()), (50.0, 50.0));
    }

    #[test]
    fn a_failure_is_said_and_kept_when_added() {
        let mut seen = hundred();
        assert!(seen.clone().without_failures().is_ok());
        let mut other = Seen::default();
        other.bad("GET x answered 503".to_owned());
        other.bad("GET y answered 404".to_owned());
        seen.add(&other);
        assert_eq!((seen.failures, seen.requests()), (2, 100));
        let said = seen.without_failures().expect_err("two failed");
        assert!(said.contains("GET x answered 503"), "{said}");
    }
}
