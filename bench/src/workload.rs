//! The named workloads and how one is run against a target.

use crate::load::{Load, Objects, Seen, Until, Verb};
use crate::report::{Outcome, Report};
use crate::target::Target;
use crate::{Options, processes};

/// One workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    verb: Verb,
    bytes: usize,
}

const WORKLOADS: [Workload; 8] = [
    Workload { name: "get-1k", verb: Verb::Get, bytes: 1 << 10 },
    Workload { name: "get-4k", verb: Verb::Get, bytes: 4 << 10 },
    Workload { name: "get-64k", verb: Verb::Get, bytes: 64 << 10 },
    Workload { name: "get-1m", verb: Verb::Get, bytes: 1 << 20 },
    Workload { name: "put-1k", verb: Verb::Put, bytes: 1 << 10 },
    Workload { name: "put-4k", verb: Verb::Put, bytes: 4 << 10 },
    Workload { name: "put-64k", verb: Verb::Put, bytes: 64 << 10 },
    Workload { name: "put-1m", verb: Verb::Put, bytes: 1 << 20 },
];

pub(crate) fn named(names: &[String]) -> Result<Vec<Workload>, String> {
    if names.is_empty() {
        return Ok(WORKLOADS.to_vec());
    }
    let find = |name: &String| WORKLOADS.iter().find(|workload| workload.name == name).copied();
    let known = || WORKLOADS.map(|workload| workload.name).join(", ");
    names.iter().map(|name| find(name).ok_or_else(|| format!("no workload {name}; there are {}", known()))).collect()
}

pub(crate) async fn run_all(options: Options, workloads: Vec<Workload>, pids: Vec<u32>) -> Result<Report, String> {
    let target = match options.node {
        Some(address) => Target::node(address, &options.device),
        None => {
            let [auth, user, key] = [("--auth", &options.auth), ("--user", &options.user), ("--key", &options.key)]
                .map(|(name, value)| {
                    value.as_deref().ok_or_else(|| format!("{name} is needed, or --node to measure a storage node"))
                });
            Target::authenticate(auth?, user?, key?).await?
        }
    };
    target.prepare().await?;
    let mut report = Report::default();
    for workload in workloads {
        report.outcomes.push(run(&target, &options, workload, &pids).await?);
    }
    // Others may have objects in it.
    let _ = target.leave().await;
    Ok(report)
}

async fn run(target: &Target, options: &Options, workload: Workload, pids: &[u32]) -> Result<Outcome, String> {
    let objects = Objects::new(0, u64::from(options.objects));
    let load = Load {
        target: target.clone(),
        verb: workload.verb,
        bytes: workload.bytes,
        prefix: workload.name,
        objects,
        connections: options.connections,
        until: Until::Requests(options.requests),
        rate: options.rate,
    };
    // As many as there are, or as a PUT workload will have made.
    let every = |verb, count| Load { verb, until: Until::Requests(count), rate: None, ..load.clone() };
    if workload.verb == Verb::Get {
        let uploaded = every(Verb::Put, objects.count).run().await;
        if uploaded.failures > 0 {
            return Err(format!("{} of the objects for {} could not be uploaded", uploaded.failures, workload.name));
        }
    }
    let before = processes::run_time_nanos(pids);
    let seen = load.clone().run().await;
    let used = processes::run_time_nanos(pids).saturating_sub(before);
    every(Verb::Delete, objects.count.min(options.requests.max(1))).run().await;
    Ok(outcome(workload, options, seen, (!pids.is_empty()).then_some(used)))
}

fn outcome(workload: Workload, options: &Options, seen: Seen, used_nanos: Option<u64>) -> Outcome {
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run, far below 2^52")]
    let each = |nanos: u64| nanos as f64 / 1000.0 / seen.requests().max(1) as f64;
    Outcome {
        workload: workload.name.to_owned(),
        bytes: workload.bytes as u64,
        connections: options.connections,
        server_cpu_us: used_nanos.map(each),
        seen,
    }
}
