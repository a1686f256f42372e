//! Driver: the workloads and how one is run: a fixed number of requests over a fixed number of connections.

use crate::endpoint::{Client, Endpoint};
use crate::report::{Outcome, Report};
use crate::{Options, cpu};
use base::http::Method;
use base::io;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Downloads an object.
    Get,
    /// Uploads an object over one that may be there.
    Put,
}

/// One workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// The verb.
    pub verb: Verb,
    /// Bytes of every object.
    pub bytes: usize,
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

/// Container that the objects are in; made when missing, left behind empty of nothing: its objects are deleted.
const CONTAINER: &str = "/martlet-bench";

pub(crate) fn named(names: &[String]) -> Result<Vec<Workload>, String> {
    if names.is_empty() {
        return Ok(WORKLOADS.to_vec());
    }
    let find = |name: &String| WORKLOADS.iter().find(|workload| workload.name == name).copied();
    let known = || WORKLOADS.map(|workload| workload.name).join(", ");
    names.iter().map(|name| find(name).ok_or_else(|| format!("no workload {name}; there are {}", known()))).collect()
}

pub(crate) async fn run_all(options: Options, workloads: Vec<Workload>, pids: Vec<u32>) -> Result<Report, String> {
    let endpoint = Endpoint::authenticate(&options.auth, &options.user, &options.key).await?;
    let mut client = endpoint.client();
    expect(&mut client, &endpoint, Method::Put, CONTAINER, Some(Bytes::new())).await?;
    let mut report = Report::default();
    for workload in workloads {
        let objects = if workload.verb == Verb::Get { options.objects } else { 0 };
        let body = Bytes::from(vec![b'm'; workload.bytes]);
        for number in 0..objects {
            expect(&mut client, &endpoint, Method::Put, &object(workload, number), Some(body.clone())).await?;
        }
        report.outcomes.push(run(&endpoint, &options, workload, body, &pids).await);
        for number in 0..options.objects.min(u32::try_from(options.requests).unwrap_or(u32::MAX)) {
            // A PUT workload that failed half way left some of them unmade.
            let _ = client.exchange(&endpoint.request(Method::Delete, &object(workload, number)), None).await;
        }
    }
    let _ = client.exchange(&endpoint.request(Method::Delete, CONTAINER), None).await;
    Ok(report)
}

/// What the connections of one workload share.
struct Run {
    endpoint: Endpoint,
    workload: Workload,
    body: Bytes,
    objects: u32,
    left: Cell<u64>,
    failures: Cell<u64>,
    latencies_us: RefCell<Vec<u32>>,
}

async fn run(endpoint: &Endpoint, options: &Options, workload: Workload, body: Bytes, pids: &[u32]) -> Outcome {
    let run = Rc::new(Run {
        endpoint: endpoint.clone(),
        workload,
        body,
        objects: options.objects,
        left: Cell::new(options.requests),
        failures: Cell::new(0),
        latencies_us: RefCell::new(Vec::with_capacity(usize::try_from(options.requests).unwrap_or(0))),
    });
    let cpu_before = cpu::run_time_nanos(pids);
    let start = io::monotonic();
    let tasks: Vec<_> = (0..options.connections).map(|_| io::spawn(connection(run.clone()))).collect();
    for task in tasks {
        // Ends: every connection stops when no request is left; each has a deadline.
        task.await;
    }
    let elapsed = io::monotonic().since(start);
    let cpu = cpu::run_time_nanos(pids).saturating_sub(cpu_before);
    let mut latencies_us = run.latencies_us.take();
    latencies_us.sort_unstable();
    let requests = latencies_us.len() as u64;
    let server_cpu_us = (!pids.is_empty()).then(|| cpu as f64 / 1000.0 / (requests.max(1) as f64));
    Outcome {
        workload: workload.name.to_owned(),
        bytes: workload.bytes as u64,
        connections: options.connections,
        requests,
        failures: run.failures.get(),
        elapsed,
        latencies_us,
        server_cpu_us,
    }
}

async fn connection(run: Rc<Run>) {
    let mut client = run.endpoint.client();
    while let Some(left) = run.left.get().checked_sub(1) {
        run.left.set(left);
        let number = u32::try_from(left % u64::from(run.objects)).unwrap_or(0);
        let path = object(run.workload, number);
        let (method, body) = match run.workload.verb {
            Verb::Get => (Method::Get, None),
            Verb::Put => (Method::Put, Some(run.body.clone())),
        };
        let head = run.endpoint.request(method, &path);
        let start = io::monotonic();
        let answer = client.exchange(&head, body).await;
        let took = io::monotonic().since(start);
        let good = answer.is_ok_and(|(answer, bytes)| match run.workload.verb {
            Verb::Get => answer.status.0 == 200 && bytes == run.workload.bytes as u64,
            Verb::Put => answer.status.0 == 201,
        });
        if good {
            run.latencies_us.borrow_mut().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        } else {
            run.failures.set(run.failures.get().saturating_add(1));
        }
    }
}

fn object(workload: Workload, number: u32) -> String {
    format!("{CONTAINER}/{}-{number}", workload.name)
}

async fn expect(
    client: &mut Client,
    endpoint: &Endpoint,
    method: Method,
    path: &str,
    body: Option<Bytes>,
) -> Result<(), String> {
    match client.exchange(&endpoint.request(method, path), body).await {
        Ok((answer, _)) if answer.status.is_success() => Ok(()),
        Ok((answer, _)) => Err(format!("{} {path} answered {}", method.as_str(), answer.status.0)),
        Err(error) => Err(format!("{} {path}: {error}", method.as_str())),
    }
}
