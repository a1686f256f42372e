//! The replicas of one PUT: connections opened side by side, pieces streamed to all, answers gathered.
//!
//! Every replica is a task that opens an exchange (going on to the next candidate when a node fails before the body), waits
//! for pieces in a bounded queue, and reports. Dropping the upload before its end closes the connections: backends see a body
//! cut short and store nothing.
//!
//! # Invariants
//!
//! - At most [`QUEUED_PIECES`] pieces wait per replica; a replica that takes none for `node_timeout` is dropped.
//! - A node that received a byte of the body is not replaced.

use crate::backend::exchange::Exchange;
use crate::backend::nodes::{Candidates, Node};
use crate::backend::outgoing;
use crate::backend::queue::{Receiver, Sender, queue};
use crate::backend::quorum::{Progress, Quorum, quorum_size};
use crate::core::Core;
use base::body_check::{self, Verdict};
use base::http::client::Framing;
use base::http::{Headers, Method, ResponseHead, Status};
use base::io;
use base::names::Path;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Pieces of up to 64 KiB that wait per replica: 256 KiB smooth out one slow flush without holding much.
const QUEUED_PIECES: usize = 4;

/// One PUT to several replicas.
pub(super) struct Upload {
    core: Rc<Core>,
    replicas: Vec<Option<Sender<Bytes>>>,
    end: Rc<End>,
    reports: Receiver<(usize, Report)>,
    finals: Vec<(usize, ResponseHead)>,
}

/// What the replicas are told of the body's end, before the queues close.
#[derive(Default)]
struct End {
    /// It is the body's end, and not an upload given up.
    is_complete: Cell<bool>,
    /// What stands behind the body for those that asked for it.
    trailers: RefCell<Option<Headers>>,
    /// Some do.
    is_checked: Cell<bool>,
}

enum Report {
    /// The node waits for the body.
    Ready,
    /// The node's last word.
    Final(ResponseHead),
}

/// Everything a replica's task needs.
struct Replica {
    core: Rc<Core>,
    candidates: Rc<RefCell<Candidates>>,
    path: Path,
    partition: u32,
    headers: Headers,
    framing: Framing,
    number: usize,
    reports: Sender<(usize, Report)>,
    pieces: Receiver<Bytes>,
    end: Rc<End>,
    /// The node waits for trailers.
    is_checked: bool,
}

impl Upload {
    /// Opens one exchange per set of `requests` and waits until each is ready or has failed.
    pub(super) async fn open(
        core: &Rc<Core>,
        candidates: Candidates,
        path: &Path,
        partition: u32,
        requests: Vec<Headers>,
        framing: Framing,
    ) -> Upload {
        let count = requests.len();
        let candidates = Rc::new(RefCell::new(candidates));
        let end = Rc::new(End::default());
        let (report_sender, reports) = queue(2 * count);
        let mut replicas = Vec::with_capacity(count);
        for (number, headers) in requests.into_iter().enumerate() {
            let (sender, pieces) = queue(QUEUED_PIECES);
            let replica = Replica {
                core: core.clone(),
                candidates: candidates.clone(),
                path: path.clone(),
                partition,
                headers,
                framing,
                number,
                reports: report_sender.clone(),
                pieces,
                end: end.clone(),
                is_checked: false,
            };
            io::spawn(replica.run());
            replicas.push(Some(sender));
        }
        drop(report_sender);
        let mut upload = Upload { core: core.clone(), replicas, end, reports, finals: Vec::new() };
        // Ends: one first report per replica, each within its deadlines.
        for _ in 0..count {
            match upload.reports.receive().await {
                Some((number, Report::Final(head))) => upload.close(number, head),
                Some((_, Report::Ready)) => {}
                None => break,
            }
        }
        upload
    }

    /// Statuses of the replicas that ended before the body.
    pub(super) fn refusals(&self) -> impl Iterator<Item = Status> + '_ {
        self.finals.iter().map(|(_, head)| head.status)
    }

    /// How many replicas there are.
    pub(super) fn replica_count(&self) -> usize {
        self.replicas.len()
    }

    /// Whether enough replicas live for the write to succeed.
    pub(super) fn has_quorum(&self) -> bool {
        let done = self.finals.iter().filter(|(_, head)| head.status.is_success()).count();
        self.replicas.iter().flatten().count() + done >= quorum_size(self.replicas.len())
    }

    /// Whether a replica wants to be told the body's MD5.
    pub(super) fn is_checked(&self) -> bool {
        self.end.is_checked.get()
    }

    /// Hands a piece to every living replica.
    pub(super) async fn send(&mut self, bytes: &Bytes) {
        let deadline = self.core.config.node_timeout;
        for replica in &mut self.replicas {
            let Some(sender) = replica else { continue };
            match io::timeout(deadline, sender.send(bytes.clone())).await {
                Ok(Ok(())) => {}
                // Its task has ended and told why, or it is too slow: either way its connection closes.
                Ok(Err(_)) => *replica = None,
                Err(io::Elapsed) => {
                    sender.abandon();
                    *replica = None;
                }
            }
        }
    }

    /// Ends the body and gathers the answers; one per replica at most. With `is_checked` there must be a verdict.
    pub(super) async fn finish(mut self, verdict: Option<Verdict>) -> (Quorum, Vec<ResponseHead>) {
        self.end.trailers.replace(verdict.map(|verdict| verdict.encode()));
        self.end.is_complete.set(true);
        self.replicas.iter_mut().for_each(|replica| *replica = None);
        let mut quorum = Quorum::new(self.replicas.len());
        let mut heads = Vec::with_capacity(self.replicas.len());
        let mut progress = quorum.progress();
        for (_, head) in std::mem::take(&mut self.finals) {
            progress = quorum.answer(head.status.0);
            heads.push(head);
        }
        let mut decided_at = None;
        // Ends: one answer per replica, or the grace time passes.
        while progress != Progress::Complete {
            let next = if progress == Progress::Decided {
                let since = *decided_at.get_or_insert_with(io::monotonic);
                let left = self.core.config.post_quorum_timeout.saturating_sub(io::monotonic().since(since));
                match io::timeout(left, self.reports.receive()).await {
                    Ok(next) => next,
                    Err(io::Elapsed) => break,
                }
            } else {
                self.reports.receive().await
            };
            match next {
                Some((_, Report::Final(head))) => {
                    progress = quorum.answer(head.status.0);
                    heads.push(head);
                }
                Some((_, Report::Ready)) => {}
                None => break,
            }
        }
        (quorum, heads)
    }

    fn close(&mut self, number: usize, head: ResponseHead) {
        if let Some(replica) = self.replicas.get_mut(number) {
            *replica = None;
        }
        self.finals.push((number, head));
    }
}

impl Replica {
    async fn run(mut self) {
        let head = self.exchange().await.unwrap_or_else(|| ResponseHead::new(Status(503)));
        let _ = self.reports.try_send((self.number, Report::Final(head)));
    }

    /// From the first candidate to the final answer; `None` when the replica failed.
    async fn exchange(&mut self) -> Option<ResponseHead> {
        let (node, exchange, mut head) = self.open().await?;
        if exchange.has_done(&self.headers, &head) {
            head.status = Status(201);
        }
        let waits = head.status.0 == 100;
        if !waits {
            // The node has decided without the body (409, 412 …).
            let _ = exchange.collect().await;
            return Some(head);
        }
        let _ = self.reports.try_send((self.number, Report::Ready));
        match self.stream(&exchange).await {
            Ok(Some(head)) => {
                self.core.backend.judge(&node, head.status);
                let _ = exchange.collect().await;
                Some(head)
            }
            Ok(None) => None,
            Err(error) => {
                self.core.backend.failed(&node, &error);
                None
            }
        }
    }

    /// Opens an exchange with the next candidate that answers.
    async fn open(&mut self) -> Option<(Node, Exchange, ResponseHead)> {
        // Ends: candidates are finite.
        loop {
            let next = self.core.backend.next(&mut self.candidates.borrow_mut());
            let node = next?;
            let (headers, framing) = self.announce(&node);
            let head = outgoing::head(Method::Put, &node, self.partition, &self.path, "", headers);
            match Exchange::open(&self.core, &node, &head, framing, self.core.config.node_timeout).await {
                Ok((exchange, answer)) if self.core.backend.judge(&node, answer.status) => {
                    if answer.status.0 == 100 {
                        let checks = body_check::is_said(&answer.headers);
                        self.core.backend.note_checks(&node, checks);
                        self.is_checked = checks && framing == Framing::Chunked;
                        self.end.is_checked.set(self.end.is_checked.get() || self.is_checked);
                    }
                    return Some((node, exchange, answer));
                }
                Ok(_) => {}
                Err(error) => self.core.backend.failed(&node, &error),
            }
        }
    }

    /// Every node is offered the MD5; one that is known to take it gets chunks, behind which it can stand.
    fn announce(&self, node: &Node) -> (Headers, Framing) {
        let mut headers = self.headers.clone();
        headers.set(body_check::FIELD, body_check::SCHEME);
        match self.framing {
            Framing::Length(length) if self.core.backend.checks_bodies(node) => {
                headers.set(body_check::LENGTH, length.to_string());
                (headers, Framing::Chunked)
            }
            framing => (headers, framing),
        }
    }

    /// Passes pieces on until the end; `None` when the upload was given up.
    async fn stream(&mut self, exchange: &Exchange) -> std::io::Result<Option<ResponseHead>> {
        while let Some(bytes) = self.pieces.receive().await {
            exchange.send(bytes).await?;
        }
        // An abandoned queue loses pieces: what was sent must not pass for a whole body.
        if self.pieces.is_abandoned() || !self.end.is_complete.get() {
            return Ok(None);
        }
        let trailers = if self.is_checked { self.end.trailers.borrow().clone() } else { None };
        exchange.finish(trailers.as_ref()).await.map(Some)
    }
}
