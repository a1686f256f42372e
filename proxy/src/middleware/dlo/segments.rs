//! The bytes of the segments, one after the other, each opened when its turn comes or shortly before.
//!
//! Owns the backend exchange it is reading from and the one ahead: dropped, in the middle of anything, nothing stays open.

use super::plan::{self, Plan, Segment, Span};
use crate::middleware::ahead::{Ahead, LEAD};
use crate::middleware::listing_formats::collect;
use crate::middleware::segment_rate::{Limits, SegmentRate};
use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::http::server::{BodySource, LocalFuture, Response, ResponseBody};
use base::http::{Method, Status};
use base::io as door;
use base::names::Path;
use base::quote::{Query, quote};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Most bytes of one listing page as JSON; names of 1,024 bytes, 10,000 rows, all escapes.
const PAGE_MAX: usize = 96 * 1024 * 1024;

/// The body of a dynamic large object.
pub(super) struct Segments {
    next: Rc<dyn Application>,
    /// A GET of the container as the caller; the pattern of every request made here.
    container: ClientRequest,
    prefix: Vec<u8>,
    limit: usize,
    page: VecDeque<Segment>,
    /// Where the next page begins; `None` when this was the last.
    marker: Option<String>,
    skip: u64,
    /// Bytes still to go out; `None`: until the segments end.
    remaining: Option<u64>,
    /// Bytes of them that are not sent yet but of segments that were opened.
    planned: u64,
    current: Option<Current>,
    /// The segment behind it, as soon as that is on the page.
    ahead: Ahead<io::Result<Current>>,
    rate: SegmentRate,
}

/// A segment being read.
struct Current {
    body: ResponseBody,
    left: u64,
}

/// A segment being opened.
type Opening = LocalFuture<'static, io::Result<Current>>;

/// How opening the first segment went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opened {
    Ready,
    /// There are no bytes to send.
    Nothing,
    Failed,
}

impl Segments {
    pub(super) fn new(
        next: Rc<dyn Application>,
        container: ClientRequest,
        prefix: Vec<u8>,
        limit: usize,
        limits: Limits,
    ) -> Self {
        let (page, rate) = (VecDeque::new(), SegmentRate::new(limits));
        let (current, ahead) = (None, Ahead::Nothing);
        let (marker, skip, remaining, planned) = (None, 0, None, 0);
        Self { next, container, prefix, limit, page, marker, skip, remaining, planned, current, ahead, rate }
    }

    /// Reads the first page; the error is the answer for the client (the caller may not list, the container is gone …).
    pub(super) async fn first_page(&mut self) -> Result<(), Box<Response>> {
        self.read_page("").await
    }

    /// What is known of the segments.
    pub(super) fn page(&self) -> impl Iterator<Item = &Segment> {
        self.page.iter()
    }

    /// Whether the page shows all of them.
    pub(super) fn is_complete(&self) -> bool {
        self.marker.is_none()
    }

    /// Sets which bytes go out.
    pub(super) fn aim(&mut self, plan: &Plan) {
        self.remaining = plan.length();
        self.skip = if let Span::Part(first, _) = plan.span { first } else { 0 };
    }

    /// Opens the first segment that is needed, before the head goes out.
    pub(super) async fn open_first(&mut self) -> Opened {
        match self.open_next().await {
            Ok(true) => Opened::Ready,
            Ok(false) => Opened::Nothing,
            Err(_) => Opened::Failed,
        }
    }

    async fn read_page(&mut self, marker: &str) -> Result<(), Box<Response>> {
        let mut request = self.container.subrequest(Method::Get, self.container.path.clone()).by("DLO");
        let query = format!("format=json&prefix={}&marker={}", encode(&self.prefix), encode(marker.as_bytes()));
        request.query = Query::parse(query.as_bytes());
        let response = self.next.call(request).await;
        if !response.head.status.is_success() {
            return Err(Box::new(response));
        }
        let broken = || Box::new(crate::respond::standard(Status(503)));
        let body = collect(response.body, PAGE_MAX).await.ok_or_else(broken)?;
        let rows = if body.is_empty() { Some(Vec::new()) } else { plan::segments(&body) }.ok_or_else(broken)?;
        self.marker = rows.last().filter(|_| rows.len() >= self.limit).map(|last| last.name.clone());
        self.page = rows.into();
        Ok(())
    }

    /// Opens the next segment that has bytes to send; false when there is none.
    async fn open_next(&mut self) -> io::Result<bool> {
        if let Some(opened) = self.ahead.take().await {
            self.current = Some(opened?);
            return Ok(true);
        }
        // Ends: every page begins behind the last.
        while self.remaining != Some(0) {
            if let Some(opening) = self.step() {
                self.current = Some(opening.await?);
                return Ok(true);
            }
            let Some(marker) = self.marker.take() else { return Ok(false) };
            self.read_page(&marker).await.map_err(|refused| failed("listing segments", &refused))?;
        }
        Ok(false)
    }

    /// The next segment of the page that has bytes to send.
    fn step(&mut self) -> Option<Opening> {
        let unplanned = self.remaining.map(|remaining| remaining.saturating_sub(self.planned));
        // Ends: every turn takes a segment from the page.
        while unplanned != Some(0) {
            let segment = self.page.pop_front()?;
            if self.skip >= segment.bytes {
                self.skip -= segment.bytes;
                continue;
            }
            let first = std::mem::take(&mut self.skip);
            let available = segment.bytes - first;
            let wanted = unplanned.map_or(available, |unplanned| unplanned.min(available));
            self.planned += wanted;
            return Some(self.opening(&segment, first, wanted));
        }
        None
    }

    /// Little is left of the present segment: the next one may be opened.
    fn look_ahead(&mut self) {
        let is_due = self.current.as_ref().is_some_and(|current| current.left <= LEAD);
        if is_due && self.ahead.is_nothing() {
            self.ahead = self.step().map_or(Ahead::Nothing, Ahead::Running);
        }
    }

    /// Opens a segment, when the rate allows it.
    fn opening(&mut self, segment: &Segment, first: u64, wanted: u64) -> Opening {
        let path = Path { object: Some(segment.name.as_str().into()), ..self.container.path.clone() };
        let mut request = self.container.subrequest(Method::Get, path).by("DLO");
        let is_part = wanted < segment.bytes;
        if is_part {
            request.headers.set("Range", format!("bytes={first}-{}", first + wanted - 1));
        }
        let wait = self.rate.wait(segment.bytes, door::monotonic());
        let next = Rc::clone(&self.next);
        Box::pin(async move {
            if !wait.is_zero() {
                door::sleep(wait).await;
            }
            let response = next.call(request).await;
            if response.head.status.0 != if is_part { 206 } else { 200 } {
                return Err(failed("reading a segment", &response));
            }
            let length = match &response.body {
                ResponseBody::Empty => Some(0),
                ResponseBody::Full(bytes) => Some(bytes.len() as u64),
                ResponseBody::Stream { length, .. } => *length,
            };
            if length.is_some_and(|length| length != wanted) {
                return Err(io::Error::other("a segment has another length than its listing says"));
            }
            Ok(Current { body: response.body, left: wanted })
        })
    }

    async fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        // Ends: each turn gives a piece, or ends a segment, of which there are finitely many.
        loop {
            if self.remaining == Some(0) {
                return None;
            }
            self.look_ahead();
            let piece = match &mut self.current {
                Some(current) => self.ahead.beside(current.piece()).await,
                None => match self.open_next().await {
                    Ok(true) => continue,
                    // Fewer bytes than the head promised must not look like the end.
                    Ok(false) if self.remaining.is_some() => return Some(Err(io::ErrorKind::UnexpectedEof.into())),
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                },
            };
            match piece {
                Some(Ok(bytes)) => return Some(self.count(bytes)),
                Some(Err(error)) => return Some(Err(error)),
                // The next one's bytes must not make up for what this one lacks.
                None if self.current.take().is_some_and(|current| current.left > 0) => {
                    return Some(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                None => {}
            }
        }
    }

    fn count(&mut self, bytes: Bytes) -> io::Result<Bytes> {
        let sent = bytes.len() as u64;
        let left = self.current.as_mut().and_then(|current| {
            current.left = current.left.checked_sub(sent)?;
            self.planned = self.planned.checked_sub(sent)?;
            if let Some(remaining) = &mut self.remaining {
                *remaining = remaining.checked_sub(sent)?;
            }
            Some(())
        });
        left.ok_or_else(|| io::Error::other("a segment has more bytes than its listing says"))?;
        Ok(bytes)
    }
}

impl Current {
    async fn piece(&mut self) -> Option<io::Result<Bytes>> {
        match &mut self.body {
            ResponseBody::Stream { source, .. } => source.next().await,
            body => match std::mem::replace(body, ResponseBody::Empty) {
                ResponseBody::Full(bytes) if !bytes.is_empty() => Some(Ok(bytes)),
                _ => None,
            },
        }
    }
}

impl BodySource for Segments {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async {
            if self.rate.is_over(door::monotonic()) {
                return Some(Err(io::Error::other("max_get_time is over")));
            }
            self.next_piece().await
        })
    }
}

/// A query value: the slash may stay, an ampersand may not, and `quote` sees to that.
fn encode(value: &[u8]) -> String {
    quote(value)
}

fn failed(what: &str, response: &Response) -> io::Error {
    io::Error::other(format!("{what}: {}", response.head.status.0))
}
