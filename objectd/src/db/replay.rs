//! Replays exchanges recorded from Swift's servers against our services, in the simulator.

use super::TABLES;
use super::key::Kind;
use super::policies::Policies;
use super::service::{self, Service};
use crate::reply;
use base::hash_path::HashPath;
use base::http::server::{Response, ResponseBody};
use base::http::{Method, RequestHead};
use base::io::kv::Kv;
use base::io::sim::{Sim, SimOptions};
use base::limits::Constraints;
use serde_json::Value;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

pub(crate) type Answering = Pin<Box<dyn Future<Output = Response>>>;

/// One exchange that came out differently, in words.
type Difference = String;

/// Plays a transcript in order on one empty environment; panics with every difference at the end.
pub(crate) fn replay(transcript: &str, kind: Kind, serve: fn(Service, RequestHead, Vec<u8>) -> Answering) -> usize {
    let exchanges: Vec<Value> = serde_json::from_str(transcript).unwrap();
    let count = exchanges.len();
    let sim = Sim::new(7, SimOptions::default());
    sim.set_faults(false);
    let differences: Vec<Difference> = sim.run(async move {
        let rows = Kv::open(Path::new("/srv/node/d3/rows"), TABLES).await.unwrap();
        let mut differences = Vec::new();
        for exchange in exchanges {
            let (head, body) = request(exchange["request"].as_str().unwrap());
            let Some(head) = head else { continue };
            let response = match service::parse_path(&head) {
                Err(refusal) => refusal,
                Ok(path) => {
                    let service = Service {
                        rows: rows.clone(),
                        device: path.device.clone(),
                        hash: service::hash_of(&HashPath::new("", "changeme"), kind, &path.path),
                        path: path.path,
                        kind,
                        constraints: Constraints::default(),
                        policies: Policies::new(
                            ["gold", "ec42", "ecisal", "silver"]
                                .into_iter()
                                .enumerate()
                                .map(|(index, name)| (u32::try_from(index).unwrap(), name.to_owned())),
                        ),
                        reclaim_age: Duration::from_secs(604_800),
                        node: None,
                    };
                    serve(service, head.clone(), body).await
                }
            };
            let expected = exchange["response"].as_str().unwrap();
            if let Some(what) = differs(&head, &response, expected) {
                differences.push(format!("{}: {what}", exchange["test"].as_str().unwrap()));
            }
        }
        differences
    });
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
    count
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
