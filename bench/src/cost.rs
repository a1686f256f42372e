//! Core: what one request cost a server.

use crate::processes::{Server, Used};
use crate::system_calls::Calls;
use serde_json::{Value, json};

/// Means over the good requests of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The server's name.
    pub server: String,
    /// CPU time of all its threads, in microseconds.
    pub cpu_us: f64,
    /// Context switches because it waited.
    pub voluntary: f64,
    /// Context switches because others were to run.
    pub involuntary: f64,
    /// System calls; `None` where they cannot be counted.
    pub system_calls: Option<f64>,
    /// Calls of `futex` among them.
    pub futex_calls: Option<f64>,
    /// Calls of `io_uring_enter` among them.
    pub ring_calls: Option<f64>,
    /// Resident memory at the end, in bytes.
    pub resident_bytes: u64,
}

impl Cost {
    pub(crate) fn of(server: &Server, used: Used, requests: u64) -> Cost {
        Cost {
            server: server.name.clone(),
            cpu_us: each(used.cpu_nanos, requests) / 1000.0,
            voluntary: each(used.voluntary, requests),
            involuntary: each(used.involuntary, requests),
            system_calls: None,
            futex_calls: None,
            ring_calls: None,
            resident_bytes: server.resident_bytes(),
        }
    }

    pub(crate) fn count(&mut self, calls: Calls, requests: u64) {
        self.system_calls = Some(each(calls.all, requests));
        self.futex_calls = Some(each(calls.futex, requests));
        self.ring_calls = Some(each(calls.ring, requests));
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "server": self.server, "cpu_us": self.cpu_us, "system_calls": self.system_calls, "futex_calls": self.futex_calls,
            "ring_calls": self.ring_calls,
            "voluntary_switches": self.voluntary, "involuntary_switches": self.involuntary, "resident_bytes": self.resident_bytes,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run, far below 2^52")]
fn each(count: u64, requests: u64) -> f64 {
    count as f64 / requests.max(1) as f64
}
