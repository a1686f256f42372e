//! Replays exchanges recorded from Swift's servers against our services, in the simulator and on LMDB.

use super::TABLES;
use super::key::Kind;
use super::policies::Policies;
use super::service::{self, Service};
use crate::container::Intake;
use crate::reply;
use base::hash_path::HashPath;
use base::http::server::{Response, ResponseBody};
use base::http::{Method, RequestHead};
use base::io::kv::Kv;
use base::io::real::{self, CoreOptions};
use base::io::sim::{Sim, SimOptions};
use base::limits::Constraints;
use base::names::BackendPath;
use serde_json::Value;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

pub(crate) type Answering = Pin<Box<dyn Future<Output = Response>>>;

/// One exchange that came out differently, in words.
type Difference = String;

type Serve = fn(Service, RequestHead, Vec<u8>) -> Answering;

/// Plays a transcript in order on an empty environment of either backend; panics with every difference at the end.
pub(crate) fn replay(transcript: &'static str, kind: Kind, serve: Serve) -> usize {
    let sim = Sim::new(7, SimOptions::default());
    sim.set_faults(false);
    let simulated = sim.run(play(transcript, kind, serve, PathBuf::from("/srv/node/d3/rows")));
    drop(sim);
    assert!(simulated.1.is_empty(), "simulated:\n{}", simulated.1.join("\n"));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let options = CoreOptions { name: "replay".to_owned(), cpu: None, blocking_threads: 1 };
    let real = real::run(options, || play(transcript, kind, serve, path)).unwrap();
    assert!(real.1.is_empty(), "real:\n{}", real.1.join("\n"));
    real.0
}

async fn play(transcript: &str, kind: Kind, serve: Serve, path: PathBuf) -> (usize, Vec<Difference>) {
    let exchanges: Vec<Value> = serde_json::from_str(transcript).unwrap();
    let rows = Kv::open(&path, TABLES).await.unwrap();
    let mut differences = Vec::new();
    for exchange in &exchanges {
        let (head, body) = request(exchange["request"].as_str().unwrap());
        let Some(head) = head else { continue };
        let response = match service::parse_path(&head) {
            Err(refusal) => refusal,
            Ok(path) => serve(service_of(&rows, kind, path), head.clone(), body).await,
        };
        if let Some(what) = differs(&head, &response, exchange["response"].as_str().unwrap()) {
            differences.push(format!("{}: {what}", exchange["test"].as_str().unwrap()));
        }
    }
    (exchanges.len(), differences)
}

/// With the policies of the recorded cluster.
fn service_of(rows: &Kv, kind: Kind, path: BackendPath) -> Service {
    let names = ["gold", "ec42", "ecisal", "silver"].into_iter().enumerate();
    Service {
        rows: rows.clone(),
        intake: Rc::new(Intake::new(rows.clone())),
        device: path.device.clone(),
        hash: service::hash_of(&HashPath::new("", "changeme"), kind, &path.path),
        path: path.path,
        kind,
        constraints: Constraints::default(),
        policies: Policies::new(names.map(|(index, name)| (u32::try_from(index).unwrap(), name.to_owned()))),
        reclaim_age: Duration::from_secs(604_800),
        node: None,
    }
}

/// `None` for a method that the server refuses before any service sees it.
fn request(text: &str) -> (Option<RequestHead>, Vec<u8>) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let method = Method::parse(words.next().unwrap().as_bytes());
    let target = words.next().unwrap().to_owned();
    let head = method.map(|method| {
        let mut head = RequestHead::new(method, target);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            head.headers.append(name.to_owned(), value.to_owned());
        }
        head
    });
    (head, body.as_bytes().to_vec())
}

fn differs(head: &RequestHead, response: &Response, expected: &str) -> Option<Difference> {
    let (expected_head, expected_body) = expected.split_once("\r\n\r\n").unwrap();
    let mut lines = expected_head.split("\r\n");
    let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    if response.head.status.0 != status {
        return Some(format!("status {} instead of {status}", response.head.status.0));
    }
    if status == 500 {
        return None;
    }
    // Written by the connection, or a clock of the recorded node.
    const NOT_COMPARED: [&str; 5] = ["Date", "Connection", "Content-Length", "X-Backend-Timestamp", "X-Timestamp"];
    let mut count = 0;
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let found = response.head.headers.get_str(name);
        if NOT_COMPARED.contains(&name) {
            if name.starts_with("X-") && value != "0000000000.00000" && found.is_none() {
                return Some(format!("no {name}"));
            }
            count += usize::from(name.starts_with("X-"));
            continue;
        }
        count += 1;
        if found != Some(value) {
            return Some(format!("{name}: {found:?} instead of {value:?}"));
        }
    }
    if response.head.headers.len() != count {
        return Some(format!(
            "{} headers instead of {count}: {:?}",
            response.head.headers.len(),
            response.head.headers
        ));
    }
    // The recording shows bytes as Latin-1.
    let expected_body: Vec<u8> = expected_body.chars().map(|character| character as u8).collect();
    let body = match &response.body {
        ResponseBody::Full(bytes) => bytes.as_ref(),
        _ => b"",
    };
    let is_json_error = status == 400 && head.method == Method::Update;
    if head.method != Method::Head && !is_json_error && body != expected_body {
        let lossy = String::from_utf8_lossy;
        return Some(format!("body\n  {}\ninstead of\n  {}", lossy(body), lossy(&expected_body)));
    }
    None
}

#[test]
fn a_difference_is_found() {
    let head = RequestHead::new(Method::Get, "/d/1/a");
    let expected = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html; charset=UTF-8\r\n\r\nno";
    assert_eq!(differs(&head, &reply::message(404, "no"), expected), None);
    assert!(differs(&head, &reply::message(404, "yes"), expected).is_some());
    assert!(differs(&head, &reply::message(409, "no"), expected).is_some());
    assert!(differs(&head, &reply::message(404, "no").header("X-More", "1"), expected).is_some());
}
