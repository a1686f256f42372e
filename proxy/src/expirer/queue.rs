//! The queue on its nodes: pages of containers and rows, and what is done to them and to the objects they name.
//!
//! Asked as any client's request is, behind the pipeline: this core's rings, quorum and deadlines. Rows are deleted on all primaries of
//! their container directly, as object servers write them.

use super::task::Task;
use crate::app;
use crate::backend::Placement;
use crate::backend::exchange::Exchange;
use crate::backend::nodes::Node;
use crate::backend::outgoing::{self, Origin};
use crate::container::listing::ALLOW_RESERVED_NAMES;
use crate::core::Core;
use crate::middleware::catch_errors::transaction_id;
use crate::middleware::listing_formats::collect;
use crate::middleware::work::Pile;
use crate::request::{Authority, ClientRequest, RequestParts};
use base::http::client::Framing;
use base::http::{Headers, Method, RequestHead};
use base::io;
use base::names::{Name, Path};
use base::quote::{Query, quote};
use base::timestamp::Timestamp;
use bytes::Bytes;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// Entries asked for at a time: a page of rows is some 300 KB then.
const PAGE: usize = 1_000;
/// Bytes of a page: more than so many of the longest names, each letter written in six.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Longest wait for one answer, over all the nodes that are asked for it.
const DEADLINE: Duration = Duration::from_secs(120);
/// Longest pause before a question is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(16);

/// Tells the object servers not to see to the queue: who deletes the object deletes the row.
pub(crate) const CLEAN_QUEUE: &str = "X-Backend-Clean-Expiring-Object-Queue";

/// The queue as one core sees it.
pub(super) struct Queue {
    pub(super) core: Rc<Core>,
    /// Its account.
    pub(super) account: String,
    /// Times a question is asked that a server failed to answer.
    pub(super) tries: u32,
}

/// One entry of a page.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) content_type: Option<String>,
}

impl Queue {
    /// The containers behind a name, some at a time; none is the end. The error is the status.
    pub(super) async fn containers(&self, marker: &str) -> Result<Vec<Entry>, u16> {
        let longest = self.core.config.constraints.account_listing_limit;
        match self.page(self.path(None), longest, marker).await {
            // Nothing has ever been queued.
            Err(404 | 410) => Ok(Vec::new()),
            page => page,
        }
    }

    /// The rows of a container behind a name; the same.
    pub(super) async fn rows(&self, container: &str, marker: &str) -> Result<Vec<Entry>, u16> {
        let longest = self.core.config.constraints.container_listing_limit;
        self.page(self.path(Some(container)), longest, marker).await
    }

    async fn page(&self, path: Path, longest: usize, marker: &str) -> Result<Vec<Entry>, u16> {
        let query = format!("limit={}&marker={}", PAGE.min(longest), quote(marker.as_bytes()));
        let (status, body) = self
            .ask(|| {
                let mut request = self.request(Method::Get, path.clone(), now());
                request.query = Query::parse(query.as_bytes());
                request
            })
            .await;
        if !(200..=299).contains(&status) {
            return Err(status);
        }
        entries(&body).ok_or(502)
    }

    /// Deletes a container that had no rows; one that has got some since stays.
    pub(super) async fn delete_container(&self, container: &str) {
        let path = self.path(Some(container));
        let (status, _) = self.ask(|| self.request(Method::Delete, path.clone(), now())).await;
        if !matches!(status, 200..=299 | 404 | 409) {
            tracing::warn!(target: "expirer", %container, status, "an empty container of the queue is not deleted");
        }
    }

    /// Deletes the object; the status says how that went.
    pub(super) async fn delete_object(&self, task: &Task, path: &Path) -> u16 {
        let (status, _) = self
            .ask(|| {
                let mut request = self.request(Method::Delete, path.clone(), task.time);
                if !task.is_async {
                    request.headers.set("X-If-Delete-At", task.time.normal());
                    request.headers.set(CLEAN_QUEUE, "no");
                }
                request
            })
            .await;
        status
    }

    /// Deletes a row on all primaries of its container; whether one of them said that it did.
    pub(super) async fn pop(&self, task: &Task) -> bool {
        let container = self.path(Some(&task.container));
        let placement = self.core.backend.place(&self.core.config, &container);
        let path = Path { object: Some(task.row.as_str().into()), ..container };
        let origin = Origin::internal(now(), self.trans_id().bytes(), format!("DELETE {}", path.quoted()));
        let primaries = placement.primaries();
        let mut pile = Pile::new(primaries.len());
        for node in primaries {
            pile.push(Box::pin(pop_on(Rc::clone(&self.core), node, placement.clone(), path.clone(), origin.headers())));
        }
        let mut popped = false;
        // Ends: each turn takes the answer of one primary.
        while let Some(done) = pile.next().await {
            popped |= done;
        }
        popped
    }

    /// Status and body of the answer; asked again after a pause while servers fail.
    async fn ask(&self, request: impl Fn() -> ClientRequest) -> (u16, Bytes) {
        let mut pause = Duration::from_secs(1);
        let mut answer = (503, Bytes::new());
        for attempt in 0..self.tries {
            if attempt > 0 {
                io::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            answer = io::timeout(DEADLINE, self.ask_once(request())).await.unwrap_or((503, Bytes::new()));
            if answer.0 < 500 {
                break;
            }
        }
        answer
    }

    async fn ask_once(&self, request: ClientRequest) -> (u16, Bytes) {
        let response = Box::pin(app::handle(&self.core, request)).await;
        let status = response.head.status.0;
        match collect(response.body, PAGE_BYTES_MAX).await {
            Some(body) => (status, body),
            None => (502, Bytes::new()),
        }
    }

    /// A request of our own, which may everything.
    fn request(&self, method: Method, path: Path, timestamp: Timestamp) -> ClientRequest {
        let mut headers = Headers::new();
        headers.set(ALLOW_RESERVED_NAMES, "true");
        let mut made = RequestParts::made(method, path, self.trans_id(), Rc::default(), timestamp).by("EXP");
        (made.headers, made.authority, made.is_owner) = (headers, Authority::Granted, true);
        made
    }

    fn trans_id(&self) -> Name {
        let head = RequestHead::new(Method::Delete, "/");
        transaction_id(&self.core.config.trans_id_suffix, &head, io::unix_time(), io::random_u64(), io::random_u64())
    }

    fn path(&self, container: Option<&str>) -> Path {
        Path { account: self.account.as_str().into(), container: container.map(Into::into), object: None }
    }
}

/// This moment, as the time of a write.
pub(super) fn now() -> Timestamp {
    Timestamp::from_unix(io::unix_time())
}

async fn pop_on(core: Rc<Core>, node: Node, placement: Placement, path: Path, headers: Headers) -> bool {
    let head = outgoing::head(Method::Delete, &node, placement.partition, &path, "", headers);
    match Exchange::open(&core, &node, &head, Framing::None, core.config.node_timeout).await {
        Ok((exchange, answer)) => {
            let is_usable = core.backend.judge(&node, answer.status);
            let _ = exchange.collect().await;
            is_usable && (answer.status.is_success() || answer.status.0 == 404)
        }
        Err(error) => {
            core.backend.failed(&node, &error);
            false
        }
    }
}

/// Names and types of a page; `None` when it is no listing. What has no name is a directory nobody asked for.
fn entries(body: &[u8]) -> Option<Vec<Entry>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let Value::Array(entries) = serde_json::from_slice(body).ok()? else { return None };
    let text = |entry: &Value, member: &str| entry.get(member).and_then(Value::as_str).map(str::to_owned);
    let entry = |entry: &Value| Some(Entry { name: text(entry, "name")?, content_type: text(entry, "content_type") });
    Some(entries.iter().filter_map(entry).collect())
}
