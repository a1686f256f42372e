//! `?bulk-delete`: every line of the body names an object or a container; objects go first.

use super::{Outcome, Settings};
use crate::middleware::report::status_line;
use crate::middleware::work::Pile;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{BodyError, LocalFuture};
use base::http::{Method, Status};
use base::io;
use base::names::Path;
use base::quote::{quote, unquote};
use std::rc::Rc;
use std::time::Duration;

/// What is counted.
pub(super) const COUNTED: [&str; 2] = ["Number Deleted", "Number Not Found"];

/// Does it.
pub(super) async fn run(settings: Rc<Settings>, next: Rc<dyn Application>, mut request: ClientRequest) -> Outcome {
    let mut outcome = Outcome {
        status: Status(200),
        text: String::new(),
        counts: COUNTED.iter().map(|name| (*name, 0)).collect(),
        failed: Vec::new(),
    };
    let is_text = |kind: &bytes::Bytes| kind.is_empty() || kind.starts_with(b"text/plain");
    let names = match request.headers.get("Content-Type").is_none_or(is_text) {
        true => names(&settings, &mut request).await,
        false => Err((Status(406), String::new())),
    };
    match names {
        Ok(names) => delete_all(&settings, &next, &request, names, &mut outcome).await,
        Err((status, text)) => (outcome.status, outcome.text) = (status, text),
    }
    outcome
}

type Refused = (Status, String);

/// The names, decoded, in the order of the body.
async fn names(settings: &Settings, request: &mut ClientRequest) -> Result<Vec<Vec<u8>>, Refused> {
    if !request.body.is_framed() {
        return Err((Status(411), String::new()));
    }
    let (mut names, mut line) = (Vec::new(), Vec::new());
    // Ends: names are counted and lines bounded.
    loop {
        let piece = match request.body.next().await {
            Some(Ok(piece)) => piece,
            None => break,
            Some(Err(error)) => {
                let status = Status(match error {
                    BodyError::Disconnected => 499,
                    BodyError::TimedOut => 408,
                    BodyError::Malformed => 400,
                });
                return Err((status, respond::explanation(status).to_owned()));
            }
        };
        let mut parts = piece.split(|&byte| byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            line.extend_from_slice(part);
            if line.len() > settings.max_path_length.saturating_mul(2) {
                return Err((Status(400), "Invalid File Name".to_owned()));
            }
            if parts.peek().is_some() {
                add(settings, &mut names, &std::mem::take(&mut line))?;
            }
        }
    }
    add(settings, &mut names, &line)?;
    Ok(names)
}

fn add(settings: &Settings, names: &mut Vec<Vec<u8>>, line: &[u8]) -> Result<(), Refused> {
    let name = unquote(line.trim_ascii());
    if name.is_empty() {
        return Ok(());
    }
    if names.len() >= settings.max_deletes_per_request {
        return Err((Status(413), format!("Maximum Bulk Deletes: {} per request", settings.max_deletes_per_request)));
    }
    names.push(name);
    Ok(())
}

async fn delete_all(
    settings: &Settings,
    next: &Rc<dyn Application>,
    request: &ClientRequest,
    names: Vec<Vec<u8>>,
    outcome: &mut Outcome,
) {
    let mut worst = Status(400);
    let (objects, containers): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| trimmed(name).contains(&b'/'));
    'work: for names in [objects, containers] {
        let mut pile = Pile::new(settings.delete_concurrency);
        let mut waiting = names.into_iter();
        // Ends: every name is asked for once.
        loop {
            while !pile.is_full()
                && let Some(name) = waiting.next()
            {
                match delete_one(next, request, &name, settings.delete_container_retry_count) {
                    Some(deletion) => pile.push(deletion),
                    None => outcome.failed.push((quote(&name), status_line(Status(412)))),
                }
            }
            let Some((name, status)) = pile.next().await else { break };
            let place = match status.0 {
                200..=299 => Some(0),
                404 => Some(1),
                _ => None,
            };
            if let Some((_, count)) = place.and_then(|place| outcome.counts.get_mut(place)) {
                *count += 1;
            } else {
                if status.0 >= 500 {
                    worst = Status(502);
                }
                outcome.failed.push((name, status_line(status)));
            }
            if outcome.failed.len() >= settings.max_failed_deletes {
                while pile.next().await.is_some() {}
                (outcome.status, outcome.text) = (Status(400), "Max delete failures exceeded".to_owned());
                break 'work;
            }
        }
    }
    if !outcome.text.is_empty() {
        return;
    }
    if !outcome.failed.is_empty() {
        outcome.status = worst;
    } else if outcome.counts.iter().all(|(_, count)| *count == 0) {
        (outcome.status, outcome.text) = (Status(400), "Invalid bulk delete.".to_owned());
    }
}

type Deleted = (String, Status);

/// In front of the second try.
const RETRY_INTERVAL: Duration = Duration::from_millis(1500);

/// The deletion of one name; `None` when nothing can be called so.
fn delete_one(
    next: &Rc<dyn Application>,
    request: &ClientRequest,
    name: &[u8],
    retries: u32,
) -> Option<LocalFuture<'static, Deleted>> {
    let start = name.iter().position(|&byte| byte != b'/')?;
    let rest = name.get(start..)?;
    let path = format!("/{}/{}", quote(request.path.account.as_bytes()), quote(rest));
    let path = Path::parse(path.as_bytes()).ok().filter(|path| path.container.is_some())?;
    let (next, pattern) = (Rc::clone(next), request.subrequest(Method::Delete, path).by("BD"));
    let name = quote(name);
    Some(Box::pin(async move {
        let mut status = next.call(pattern.subrequest(Method::Delete, pattern.path.clone())).await.head.status;
        // What goes from it last may not have been counted yet: each pause is half as long again as the one before.
        let mut pause = RETRY_INTERVAL;
        for _ in 0..retries {
            if status != Status(409) {
                break;
            }
            io::sleep(pause).await;
            pause = pause.mul_f64(1.5);
            status = next.call(pattern.subrequest(Method::Delete, pattern.path.clone())).await.head.status;
        }
        (name, status)
    }))
}

fn trimmed(name: &[u8]) -> &[u8] {
    let start = name.iter().position(|&byte| byte != b'/').unwrap_or(name.len());
    let end = name.iter().rposition(|&byte| byte != b'/').map_or(start, |at| at + 1);
    name.get(start..end).unwrap_or_default()
}
