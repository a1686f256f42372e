//! Reads: one node after the other until one has a good answer.
//!
//! # Invariants
//!
//! - A 404 reaches the client only when a quorum of the primaries' places said so, or handoffs in their stead that know of a
//!   deletion. "I have nothing" from a handoff proves nothing while primaries are silent: then it is 503.
//! - An answer older than a deletion seen on the way is not used (objects).

use super::Placement;
use super::exchange::Exchange;
use super::nodes::{Candidates, Node};
use super::outgoing;
use super::quorum::{Best, Quorum};
use crate::core::Core;
use base::http::client::Framing;
use base::http::{Headers, Method, ResponseHead, Status};
use base::io;
use base::names::Path;
use base::timestamp::Timestamp;
use std::rc::Rc;
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
    Source(Box<Source>),
    /// No node had it: what to say.
    Nothing(ResponseHead),
}

/// Looks for the first (or newest) good answer among `candidates`.
pub async fn find(core: &Rc<Core>, read: &Read, candidates: &mut Candidates) -> Found {
    let mut verdict = Verdict::new(candidates.replicas());
    let mut best: Option<(Age, Source)> = None;
    // Ends: candidates are finite.
    loop {
        let next = core.backend.next(candidates);
        let Some(node) = next else { break };
        let head =
            outgoing::head(read.method, &node, read.placement.partition, &read.path, &read.query, read.headers.clone());
        let asked = io::monotonic();
        let (exchange, head) = match Exchange::open(core, &node, &head, Framing::None, read.deadline).await {
            Ok(answer) => answer,
            Err(error) => {
                core.backend.failed(&node, &error);
                continue;
            }
        };
        core.backend.timed(&core.config, &node, io::monotonic().since(asked));
        if !core.backend.judge(&node, head.status) {
            continue;
        }
        if is_good(head.status) {
            let age = age(&head);
            verdict.held(node.primary);
            if age.0 < verdict.deleted_at {
                // This node has not heard of the deletion yet.
                continue;
            }
            if best.as_ref().is_none_or(|(known, _)| age > *known) {
                best = Some((age, Source { node, exchange, head }));
            }
            if !read.newest {
                break;
            }
        } else {
            let deletion =
                if read.tombstones && head.status.0 == 404 { timestamp(&head, "X-Backend-Timestamp") } else { None };
            verdict.refused(node.primary, head, deletion);
            let _ = exchange.collect().await;
            best = best.filter(|(age, _)| age.0 >= verdict.deleted_at);
        }
    }
    match best {
        Some((_, source)) => Found::Source(Box::new(source)),
        None => Found::Nothing(verdict.best()),
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
    /// Answers of primaries, and of handoffs that know of the object.
    primaries: Vec<ResponseHead>,
    stand_ins: Vec<ResponseHead>,
    deleted_at: Timestamp,
}

impl Verdict {
    fn new(replicas: usize) -> Self {
        Self { replicas, primaries: Vec::new(), stand_ins: Vec::new(), deleted_at: Timestamp::ZERO }
    }

    fn refused(&mut self, primary: bool, head: ResponseHead, deletion: Option<Timestamp>) {
        self.deleted_at = self.deleted_at.max(deletion.unwrap_or(Timestamp::ZERO));
        if primary {
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
mod tests {
    use super::*;

    fn verdict(answers: &[(bool, u16, u64)]) -> u16 {
        let mut verdict = Verdict::new(3);
        for &(primary, status, deleted) in answers {
            let deletion = (deleted > 0).then(|| Timestamp::from_raw(deleted, 0));
            verdict.refused(primary, ResponseHead::new(Status(status)), deletion);
        }
        verdict.best().status.0
    }

    #[test]
    fn a_quorum_of_primaries_without_it_is_a_404() {
        assert_eq!(verdict(&[(true, 404, 0), (true, 404, 0), (true, 404, 0)]), 404);
        assert_eq!(verdict(&[(true, 404, 0), (true, 404, 0)]), 404);
    }

    #[test]
    fn ignorant_handoffs_do_not_stand_in_for_silent_primaries() {
        assert_eq!(verdict(&[(true, 404, 0), (false, 404, 0), (false, 404, 0), (false, 404, 0)]), 503);
        assert_eq!(verdict(&[(false, 404, 0), (false, 404, 0), (false, 404, 0)]), 503);
        assert_eq!(verdict(&[]), 503);
    }

    #[test]
    fn handoffs_that_know_of_a_deletion_do() {
        assert_eq!(verdict(&[(true, 404, 0), (false, 404, 7)]), 404);
    }

    #[test]
    fn replicas_that_have_not_heard_of_the_deletion_count_as_deleted() {
        let mut verdict = Verdict::new(3);
        verdict.held(true);
        verdict.refused(true, ResponseHead::new(Status(404)), Some(Timestamp::from_raw(7, 0)));
        assert_eq!(verdict.best().status.0, 404);
    }

    #[test]
    fn a_precondition_that_failed_is_told() {
        assert_eq!(verdict(&[(true, 412, 0), (true, 412, 0), (true, 404, 0)]), 412);
    }
}
