//! One write to every replica of a partition: requests run side by side, `quorum` decides.
//!
//! Every request takes the next candidate; a node that fails (no connection, no answer, 5xx) is replaced by the next one. Once
//! some class has its quorum the others get `post_quorum_timeout` to finish: a client that reads right after its write then
//! meets replicas that all know it. What is still running after that goes on in the background, bounded by its deadlines.

use super::Placement;
use super::exchange::Exchange;
use super::nodes::{Candidates, Node};
use super::outgoing;
use super::queue::{Sender, queue};
use super::quorum::{Best, Progress, Quorum};
use crate::core::Core;
use crate::facts::news::written;
use base::http::client::Framing;
use base::http::{Headers, Method, RequestHead, ResponseHead, Status};
use base::io;
use base::names::Path;
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// One write for all replicas.
pub struct Write {
    /// The verb.
    pub method: Method,
    /// What it names.
    pub path: Path,
    /// Where that lives.
    pub placement: Placement,
    /// Fields, one set per replica.
    pub headers: Vec<Headers>,
    /// Statuses to read as others when no class agrees.
    pub read_as: &'static [(u16, u16)],
}

/// What the replicas amount to.
#[derive(Debug)]
pub struct Outcome {
    /// The status.
    pub status: Status,
    /// Fields of the answer that speaks for all; none when made up.
    pub headers: Headers,
    /// Its body, small.
    pub body: Bytes,
    /// Heads of all answers that came in time.
    pub answers: Vec<ResponseHead>,
}

/// Sends a write to an account or container, and waits until nobody here answers from what was known before it. All of it in a
/// task of its own: a client that goes away must not leave the caches with what is not true any more.
pub async fn settle(core: &Rc<Core>, write: Write) -> Outcome {
    settle_with(core, write, Bytes::new()).await
}

/// The same with a body; see [`gather_with`].
pub async fn settle_with(core: &Rc<Core>, write: Write, body: Bytes) -> Outcome {
    let core = core.clone();
    let task = io::spawn(async move {
        let path = write.path.clone();
        let outcome = gather_with(&core, write, body).await;
        written(&core, &path).await;
        outcome
    });
    let lost = || Outcome { status: Status(503), headers: Headers::new(), body: Bytes::new(), answers: Vec::new() };
    task.await.unwrap_or_else(lost)
}

/// Sends `write` and waits for the outcome.
pub async fn gather(core: &Rc<Core>, write: Write) -> Outcome {
    gather_with(core, write, Bytes::new()).await
}

/// The same with a body: sent behind its head in one write, or, where the fields expect `100-continue`, when a node asks for it.
pub async fn gather_with(core: &Rc<Core>, write: Write, body: Bytes) -> Outcome {
    let candidates = core.backend.candidates(&core.config, &write.placement);
    gather_from(core, candidates, write, body, core.config.post_quorum_timeout).await
}

/// The same, asking these nodes, with a time of its own for those that are not needed for the quorum any more.
pub async fn gather_from(
    core: &Rc<Core>,
    candidates: Candidates,
    write: Write,
    body: Bytes,
    grace: Duration,
) -> Outcome {
    let candidates = Rc::new(RefCell::new(candidates));
    let nodes = write.headers.len();
    let (sender, mut receiver) = queue(nodes);
    let path = Rc::new(write.path);
    for headers in write.headers {
        let (core, candidates, sender) = (core.clone(), candidates.clone(), sender.clone());
        let head = RequestHead { method: write.method, target: Bytes::new(), headers };
        let request = (head, path.clone(), write.placement.partition, body.clone());
        // Boxed: a task is moved several times on its way to its first turn.
        io::spawn(Box::pin(async move { ask(&core, &candidates, request, sender).await }));
    }
    drop(sender);

    let mut quorum = Quorum::new(nodes);
    let mut answers: Vec<(ResponseHead, Bytes)> = Vec::with_capacity(nodes);
    let mut progress = quorum.progress();
    let mut decided_at = None;
    // Ends: each turn takes one of `nodes` answers, or the deadline passes.
    while progress != Progress::Complete {
        let next = if progress == Progress::Decided {
            let since = *decided_at.get_or_insert_with(io::monotonic);
            let left = grace.saturating_sub(io::monotonic().since(since));
            match io::timeout(left, receiver.receive()).await {
                Ok(next) => next,
                Err(io::Elapsed) => break,
            }
        } else {
            receiver.receive().await
        };
        let Some((head, body)) = next else { break };
        progress = quorum.answer(head.status.0);
        answers.push((head, body));
    }
    outcome(&quorum, write.read_as, answers)
}

fn outcome(quorum: &Quorum, read_as: &[(u16, u16)], answers: Vec<(ResponseHead, Bytes)>) -> Outcome {
    let heads = answers.iter().map(|(head, _)| head.clone()).collect();
    let made_up = |status: u16| (Status(status), Headers::new(), Bytes::new());
    let (status, headers, body) = match quorum.best(read_as) {
        Best::Answer(index) => match answers.into_iter().nth(index) {
            Some((head, body)) => (head.status, head.headers, body),
            None => made_up(503),
        },
        Best::Status(status) => made_up(status),
        Best::Unavailable => made_up(503),
    };
    Outcome { status, headers, body, answers: heads }
}

/// Everything but the target, which names the node.
type Request = (RequestHead, Rc<Path>, u32, Bytes);

/// Asks candidates until one gives a usable answer; none left is a 503.
async fn ask(
    core: &Rc<Core>,
    candidates: &RefCell<Candidates>,
    (mut head, path, partition, body): Request,
    sender: Sender<(ResponseHead, Bytes)>,
) {
    // Ends: candidates are finite.
    loop {
        let next = core.backend.next(&mut candidates.borrow_mut());
        let Some(node) = next else { break };
        head.target = outgoing::target(&node, partition, &path, "");
        match open(core, &node, &head, &body).await {
            Ok((exchange, mut answer)) => {
                if exchange.has_done(&head.headers, &answer) {
                    answer.status = Status(done_status(head.method, &path));
                }
                let usable = core.backend.judge(&node, answer.status);
                let body = exchange.collect().await.unwrap_or_default();
                if usable {
                    let _ = sender.try_send((answer, body));
                    return;
                }
            }
            Err(error) => core.backend.failed(&node, &error),
        }
    }
    let _ = sender.try_send((ResponseHead::new(Status(503)), Bytes::new()));
}

/// What a node would have answered to the request that it acted on the first time.
fn done_status(method: Method, path: &Path) -> u16 {
    match (method, &path.object) {
        (Method::Delete, _) => 204,
        (Method::Put, Some(_)) => 201,
        _ => 202,
    }
}

/// The exchange and its final answer.
async fn open(
    core: &Rc<Core>,
    node: &Node,
    head: &RequestHead,
    body: &Bytes,
) -> std::io::Result<(Exchange, ResponseHead)> {
    let deadline = core.config.node_timeout;
    let framing = match u64::try_from(body.len()).unwrap_or(u64::MAX) {
        // A POST or PUT without a body says so; DELETE needs no length.
        0 if head.method == Method::Delete => Framing::None,
        length => Framing::Length(length),
    };
    if !body.is_empty() && !head.headers.contains("Expect") {
        return Exchange::ask(core, node, head, body, deadline).await;
    }
    let (exchange, mut answer) = Exchange::open(core, node, head, framing, deadline).await?;
    if answer.status.0 == 100 {
        exchange.send(body.clone()).await?;
        answer = exchange.finish(None).await?;
    }
    Ok((exchange, answer))
}
