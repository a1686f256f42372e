//! Reads: one node after the other until one has a good answer; where one takes longer than nearly all do, the next is asked beside it.
//!
//! # Invariants
//!
//! - A 404 reaches the client only when a quorum of the primaries' places said so, or handoffs in their stead that know of a
//!   deletion. "I have nothing" from a handoff proves nothing while primaries are silent: then it is 503. Nor does it from the first
//!   primary: the ring may have given it the partition a moment ago (`rebalance_missing_suppression_count`).
//! - An answer older than a deletion seen on the way is not used (objects).

use super::Placement;
use super::exchange::Exchange;
use super::nodes::{Candidates, Node};
use super::outgoing;
use super::quorum::{Best, Quorum};
use crate::core::Core;
use base::http::client::Framing;
use base::http::server::LocalFuture;
use base::http::{HeadParts, Headers, Method, ResponseHead, Status};
use base::io;
use base::names::Path;
use base::timestamp::Timestamp;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// What to ask for.
#[derive(Clone)]
pub struct Read {
    /// GET or HEAD.
    pub method: Method,
    /// The name.
    pub path: Path,
    /// Where it lives.
    pub placement: Placement,
    /// `?…` or empty.
    pub query: String,
    /// Fields.
    pub headers: Headers,
    /// Longest wait for a head or a piece of the body.
    pub deadline: Duration,
    /// Ask every candidate, take the newest (`X-Newest`).
    pub newest: bool,
    /// Whether 404s carry the time of a deletion (objects).
    pub tombstones: bool,
}

/// The node that answered, its open exchange and the head it sent.
pub struct Source {
    /// Who.
    pub node: Node,
    /// Its connection, with the body to be read.
    pub exchange: Exchange,
    /// The answer.
    pub head: ResponseHead,
}

/// The end of a search.
pub enum Found {
    /// A 2xx, 304 or 416, with its body still to be read.
    Source(Source),
    /// No node had it: what to say.
    Nothing(ResponseHead),
}

/// Looks for the first (or newest) good answer among `candidates`.
pub async fn find(core: &Rc<Core>, read: &Read, candidates: &mut Candidates) -> Found {
    let mut search = Search::new(core, read, candidates.replicas());
    // Ends: candidates are finite.
    while !search.is_over() {
        let Some(node) = core.backend.next(candidates) else { break };
        let patience = if read.newest { None } else { core.backend.patience(&core.config, &read.placement) };
        let answer = {
            let mut first = pin!(ask(core, read, &node));
            match patience {
                None => Some(first.await),
                Some(patience) => match io::timeout(patience, first.as_mut()).await {
                    Ok(answer) => Some(answer),
                    Err(_) => {
                        // Boxed: rare, and large beside the rest.
                        Box::pin(race(&mut search, &node, first, candidates, patience)).await;
                        None
                    }
                },
            }
        };
        if let Some(answer) = answer {
            search.take(node, answer);
        }
    }
    search.found()
}

/// What came of one question: the exchange while a body is still to be read, and how long its head took.
type Answer = std::io::Result<(Option<Exchange>, ResponseHead, Duration)>;

/// Asks one node. A body that nobody wants has been read.
async fn ask(core: &Rc<Core>, read: &Read, node: &Node) -> Answer {
    let target = outgoing::target(node, read.placement.partition, &read.path, &read.query);
    let head = HeadParts { method: read.method, target: &target, headers: &read.headers };
    let asked = io::monotonic();
    let (exchange, head) = Exchange::open(core, node, head, Framing::None, read.deadline).await?;
    let took = io::monotonic().since(asked);
    if is_good(head.status) {
        return Ok((Some(exchange), head, took));
    }
    if !head.status.is_server_error() {
        let _ = exchange.collect().await;
    }
    Ok((None, head, took))
}

/// `first` keeps the read waiting: asks other nodes beside it, one more each `patience` as the load allows and at most as many as
/// there are replicas, until one has a good answer or all that were asked have told theirs. The others are dropped then.
async fn race<'a>(
    search: &mut Search<'a>,
    first_node: &Node,
    mut first: Pin<&mut impl Future<Output = Answer>>,
    candidates: &mut Candidates,
    patience: Duration,
) {
    let (core, read) = (search.core, search.read);
    let most = candidates.replicas();
    let mut first_is_out = true;
    let mut later: Vec<(Node, LocalFuture<'a, Answer>)> = Vec::new();
    let mut pause = pin!(io::sleep(Duration::ZERO));
    // Ends: candidates are finite, and each question has its deadline.
    while !search.is_over() && (first_is_out || !later.is_empty()) {
        let event = poll_fn(|context| {
            if first_is_out && let Poll::Ready(answer) = first.as_mut().poll(context) {
                return Poll::Ready(Event::First(answer));
            }
            for (place, (_, question)) in later.iter_mut().enumerate() {
                if let Poll::Ready(answer) = question.as_mut().poll(context) {
                    return Poll::Ready(Event::Later(place, answer));
                }
            }
            if 1 + later.len() < most { pause.as_mut().poll(context).map(|()| Event::Pause) } else { Poll::Pending }
        });
        match event.await {
            Event::First(answer) => {
                first_is_out = false;
                search.take(first_node.clone(), answer);
            }
            Event::Later(place, answer) => {
                let (node, _) = later.swap_remove(place);
                search.take(node, answer);
            }
            Event::Pause => {
                pause.set(io::sleep(patience));
                if let Some(node) = core.backend.next_hedge(&core.config, &read.placement, candidates) {
                    let asked = node.clone();
                    later.push((node, Box::pin(async move { ask(core, read, &asked).await })));
                }
            }
        }
    }
    if search.is_over() && first_is_out {
        core.backend.overtaken(&read.placement, first_node);
    }
}

/// What a race waits for.
enum Event {
    First(Answer),
    /// The one at this place of the list.
    Later(usize, Answer),
    /// It is time for one more.
    Pause,
}

/// One read: what its nodes said so far.
struct Search<'a> {
    core: &'a Rc<Core>,
    read: &'a Read,
    verdict: Verdict,
    best: Option<(Age, Source)>,
}

impl<'a> Search<'a> {
    fn new(core: &'a Rc<Core>, read: &'a Read, replicas: usize) -> Self {
        let left_out = core.config.preference(read.placement.policy).missing_left_out;
        Self { core, read, verdict: Verdict::new(replicas, left_out), best: None }
    }

    /// Nobody else need be asked.
    fn is_over(&self) -> bool {
        self.best.is_some() && !self.read.newest
    }

    fn take(&mut self, node: Node, answer: Answer) {
        let backend = &self.core.backend;
        let (exchange, head, took) = match answer {
            Ok(answer) => answer,
            Err(error) => return backend.failed(&node, &error),
        };
        backend.timed(&self.core.config, &self.read.placement, &node, took);
        if !backend.judge(&node, head.status) {
            return;
        }
        if let Some(exchange) = exchange {
            let age = age(&head);
            // The one good answer that is wanted ends the search: nobody will ask what to say without it.
            let is_last = !self.read.newest && age.0 >= self.verdict.deleted_at;
            if !is_last {
                self.verdict.held(node.primary);
            }
            // Else this node has not heard of the deletion yet.
            if age.0 >= self.verdict.deleted_at && self.best.as_ref().is_none_or(|(known, _)| age > *known) {
                self.best = Some((age, Source { node, exchange, head }));
            }
        } else {
            let tombstone = self.read.tombstones && head.status.0 == 404;
            let deletion = if tombstone { timestamp(&head, "X-Backend-Timestamp") } else { None };
            self.verdict.refused(node.primary, head, deletion);
            self.best = self.best.take().filter(|(age, _)| age.0 >= self.verdict.deleted_at);
        }
    }

    fn found(self) -> Found {
        match self.best {
            Some((_, source)) => Found::Source(source),
            None => Found::Nothing(self.verdict.best()),
        }
    }
}

/// 2xx and 3xx are answers; 416 needs the object to be known.
fn is_good(status: Status) -> bool {
    matches!(status.0, 200..=399 | 416)
}

/// Time of the data, then time of the newest metadata.
type Age = (Timestamp, Timestamp);

fn age(head: &ResponseHead) -> Age {
    let newest = timestamp(head, "X-Backend-Timestamp")
        .or_else(|| timestamp(head, "X-Put-Timestamp"))
        .or_else(|| timestamp(head, "X-Timestamp"))
        .unwrap_or(Timestamp::ZERO);
    (timestamp(head, "X-Backend-Data-Timestamp").unwrap_or(newest), newest)
}

fn timestamp(head: &ResponseHead, name: &str) -> Option<Timestamp> {
    head.headers.get_str(name).and_then(|text| Timestamp::parse(text).ok()).filter(|time| *time > Timestamp::ZERO)
}

/// What to say when no source is left: asked for only then, so whatever a node held is older than a deletion and counts as a 404.
struct Verdict {
    replicas: usize,
    /// 404s of primaries still to be left out: see `Preference::missing_left_out`.
    left_out: usize,
    /// Answers of primaries, and of handoffs that know of the object.
    primaries: Vec<ResponseHead>,
    stand_ins: Vec<ResponseHead>,
    deleted_at: Timestamp,
}

impl Verdict {
    fn new(replicas: usize, left_out: usize) -> Self {
        let left_out = left_out.min(replicas.saturating_sub(1));
        Self { replicas, left_out, primaries: Vec::new(), stand_ins: Vec::new(), deleted_at: Timestamp::ZERO }
    }

    fn refused(&mut self, primary: bool, head: ResponseHead, deletion: Option<Timestamp>) {
        self.deleted_at = self.deleted_at.max(deletion.unwrap_or(Timestamp::ZERO));
        let knows_nothing = head.status.0 == 404 && timestamp(&head, "X-Backend-Timestamp").is_none();
        if primary && knows_nothing && self.left_out > 0 {
            self.left_out -= 1;
        } else if primary {
            self.primaries.push(head);
        } else if head.status.0 != 404 || deletion.is_some() {
            self.stand_ins.push(head);
        }
    }

    /// A node had it.
    fn held(&mut self, primary: bool) {
        let list = if primary { &mut self.primaries } else { &mut self.stand_ins };
        list.push(ResponseHead::new(Status(404)));
    }

    fn best(mut self) -> ResponseHead {
        self.stand_ins.truncate(self.replicas.saturating_sub(self.primaries.len()));
        self.primaries.append(&mut self.stand_ins);
        let mut quorum = Quorum::new(self.replicas.max(self.primaries.len()));
        for head in &self.primaries {
            quorum.answer(head.status.0);
        }
        match quorum.best(&[]) {
            Best::Answer(index) => self.primaries.into_iter().nth(index),
            Best::Status(_) | Best::Unavailable => None,
        }
        .unwrap_or_else(|| ResponseHead::new(Status(503)))
    }
}

#[cfg(test)]
mod tests;
