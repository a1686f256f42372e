//! What the clients do, and the reading at the end that the checker judges.

use super::checker::{History, Outcome, Property, State};
use super::client::Client;
use base::checksum::md5_hex;
use base::http::Method;
use base::io::sim::SimHandle;
use base::io::sleep;
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Containers; every worker writes to all of them.
const CONTAINERS: u64 = 2;
/// Names of each worker: few, so that most operations meet older ones.
const NAMES: u64 = 2;
/// Tries of a request that must be answered in the end.
const TRIES: usize = 40;

/// The containers, before anything goes wrong.
pub(super) async fn create_containers(proxy: SocketAddr) -> io::Result<()> {
    let mut client = Client::new(proxy);
    for container in 0..CONTAINERS {
        let mut tries = TRIES;
        // Ends: after so many tries.
        loop {
            tries -= 1;
            let answer = client.request(Method::Put, &format!("/c{container}"), &[], Bytes::new()).await;
            match answer {
                Ok(answer) if answer.status / 100 == 2 => break,
                Ok(answer) if tries == 0 => {
                    return Err(io::Error::other(format!("container: status {}", answer.status)));
                }
                Err(error) if tries == 0 => return Err(error),
                _ => sleep(Duration::from_millis(500)).await,
            }
        }
    }
    Ok(())
}

/// One worker: `operations` random ones on names of its own.
pub(super) async fn work(
    sim: SimHandle,
    proxy: SocketAddr,
    history: Rc<RefCell<History>>,
    worker: u64,
    operations: u64,
) {
    let mut worker = Worker { client: Client::new(proxy), sim, history, worker, next_body: 0 };
    for _ in 0..operations {
        // Bursts: an operation takes some ten milliseconds, and trouble should hit the middle of one.
        let pause = worker.sim.random(|random| if random.chance(0.7) { random.below(20) } else { random.below(1500) });
        sleep(Duration::from_millis(pause)).await;
        let name = format!(
            "c{}/w{}-o{}",
            worker.sim.random(|random| random.below(CONTAINERS)),
            worker.worker,
            worker.sim.random(|random| random.below(NAMES)),
        );
        let status = match worker.sim.random(|random| random.below(100)) {
            0..=44 => worker.put(&name).await,
            45..=64 => worker.delete(&name).await,
            65..=89 => worker.get(&name).await,
            _ => worker.head(&name).await,
        };
        // No answer: the proxy is down. It needs a moment, and the worker should not spend all its operations meanwhile.
        if status == 0 {
            sleep(Duration::from_millis(500)).await;
        }
    }
}

struct Worker {
    sim: SimHandle,
    client: Client,
    history: Rc<RefCell<History>>,
    worker: u64,
    next_body: u64,
}

impl Worker {
    async fn put(&mut self, name: &str) -> u16 {
        let number = self.worker * 1_000_000 + self.next_body;
        self.next_body += 1;
        let length = self.sim.random(|random| match random.below(10) {
            0 => 0,
            1..=7 => random.index(20_000),
            _ => random.index(300_000),
        });
        let body = body_of(number, length);
        let etag = md5_hex(&body);
        let place = self.history.borrow_mut().begin(name, State::Body(number));
        // Half of the clients say what they send.
        let fields: &[(&str, &str)] = if number.is_multiple_of(2) { &[("ETag", &etag)] } else { &[] };
        let answer = self.client.request(Method::Put, &format!("/{name}"), fields, body).await;
        let status = self.told("put", number, &answer);
        self.sim.say(|| format!("put {number} to {name}: {status}"));
        if status == 201 {
            self.history.borrow_mut().end(name, place, Outcome::Acknowledged);
        }
        status
    }

    async fn delete(&mut self, name: &str) -> u16 {
        let place = self.history.borrow_mut().begin(name, State::Absent);
        let answer = self.client.request(Method::Delete, &format!("/{name}"), &[], Bytes::new()).await;
        // 404 says that most replicas had nothing, not that none will: only 204 is a promise.
        let status = self.told("delete", 0, &answer);
        self.sim.say(|| format!("delete of {name}: {status}"));
        if status == 204 {
            self.history.borrow_mut().end(name, place, Outcome::Acknowledged);
        }
        status
    }

    async fn get(&mut self, name: &str) -> u16 {
        let answer = self.client.request(Method::Get, &format!("/{name}"), &[], Bytes::new()).await;
        let status = self.told("get", 0, &answer);
        if status == 200
            && let Ok(answer) = answer
        {
            let etag_matches = answer.headers.get_str("ETag") == Some(&md5_hex(&answer.body));
            self.history.borrow_mut().saw_body(name, number_of(&answer.body), etag_matches);
        }
        status
    }

    async fn head(&mut self, name: &str) -> u16 {
        let answer = self.client.request(Method::Head, &format!("/{name}"), &[], Bytes::new()).await;
        self.told("head", 0, &answer)
    }

    fn told(&self, what: &'static str, number: u64, answer: &io::Result<super::client::Answer>) -> u16 {
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        self.sim.note(what, number, u64::from(status));
        self.history.borrow_mut().answered(what, status);
        if let Err(error) = answer {
            self.sim.say(|| format!("  {error}"));
        }
        status
    }
}

/// After the faults: reads every name, newest first, and tells the checker.
pub(super) async fn read_everything(sim: SimHandle, proxy: SocketAddr, history: Rc<RefCell<History>>) {
    let mut client = Client::new(proxy);
    let names = history.borrow().names();
    for name in names {
        let mut last = String::new();
        let mut seen = None;
        for _ in 0..TRIES {
            match client.request(Method::Get, &format!("/{name}"), &[("X-Newest", "true")], Bytes::new()).await {
                Ok(answer) if matches!(answer.status, 200 | 404) => {
                    seen = Some(answer);
                    break;
                }
                Ok(answer) => last = format!("status {}", answer.status),
                Err(error) => last = error.to_string(),
            }
            sleep(Duration::from_secs(1)).await;
        }
        let Some(answer) = seen else {
            history.borrow_mut().violate(Property::Available, format!("{name} is not answered in the end: {last}"));
            continue;
        };
        sim.note("finally", u64::from(answer.status), u64::try_from(answer.body.len()).unwrap_or(u64::MAX));
        let mut history = history.borrow_mut();
        if answer.status == 404 {
            history.saw_finally(&name, State::Absent);
            continue;
        }
        let number = number_of(&answer.body);
        history.saw_body(&name, number, answer.headers.get_str("ETag") == Some(&md5_hex(&answer.body)));
        if let Some(number) = number {
            history.saw_finally(&name, State::Body(number));
        }
    }
}

/// The body of this number: says its number and length, then bytes that follow from both.
fn body_of(number: u64, length: usize) -> Bytes {
    let mut body = format!("{number} {length}\n").into_bytes();
    let mut state = number;
    body.extend((0..length).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [.., top] = state.to_le_bytes();
        top
    }));
    Bytes::from(body)
}

/// The number of a body that is whole and unharmed.
fn number_of(body: &Bytes) -> Option<u64> {
    let line = body.split(|&byte| byte == b'\n').next()?;
    let (number, length) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let number = number.parse().ok()?;
    (body_of(number, length.parse().ok()?) == body).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_its_number_and_any_harm() {
        let body = body_of(7, 1000);
        assert_eq!(number_of(&body), Some(7));
        assert_eq!(number_of(&body.slice(..900)), None);
        let mut harmed = body.to_vec();
        harmed[500] ^= 1;
        assert_eq!(number_of(&Bytes::from(harmed)), None);
        assert_eq!(number_of(&Bytes::new()), None);
    }
}
