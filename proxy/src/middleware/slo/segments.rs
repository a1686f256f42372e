//! The bytes a manifest stands for, object after object, each opened when its turn comes or shortly before.
//!
//! Owns the backend exchange it is reading from and the one ahead: dropped, in the middle of anything, nothing stays open.
//!
//! # Invariants
//!
//! - Exactly the bytes that were announced come, or an error.
//! - At most one object is open beside the one that is read.
//! - At most [`DEPTH_MAX`] manifests are open in one another, and [`KEPT_MAX`] small ones are kept for another look.

use super::manifest::target;
use super::stored::{self, Kind, Referred, Segment};
use super::{DEPTH_MAX, STORED_ETAG, STORED_MAX, is_manifest};
use crate::middleware::ahead::{Ahead, LEAD};
use crate::middleware::listing_formats::collect;
use crate::middleware::segment_rate::{Limits, SegmentRate};
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{BodySource, LocalFuture, Response, ResponseBody};
use base::http::{Method, Status};
use base::io as door;
use base::quote::Query;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

/// Manifests kept, each with at most [`KEPT_SEGMENTS_MAX`] segments: ranges often come back to the same one.
const KEPT_MAX: usize = 20;
const KEPT_SEGMENTS_MAX: usize = 2_000;

/// One piece of the body.
pub(super) enum Piece {
    /// What stands between ranges.
    Text(Bytes),
    /// Bytes of the whole.
    Bytes { first: u64, count: u64 },
}

/// How opening the first segment went.
pub(super) enum Opened {
    Ready,
    Failed(io::Error),
}

/// The body of a static large object.
pub(super) struct Segments {
    next: Rc<dyn Application>,
    /// The pattern of every request made here.
    base: ClientRequest,
    root: Rc<Vec<Segment>>,
    pieces: VecDeque<Piece>,
    /// Texts that stand before the segment that is open already.
    texts: VecDeque<Bytes>,
    /// Manifests that are open, each in the one before it.
    open: Vec<Frame>,
    current: Option<Current>,
    /// What comes behind the segment that is read.
    ahead: Ahead<Next>,
    rate: SegmentRate,
    kept: VecDeque<(String, Rc<Vec<Segment>>)>,
}

/// A manifest being read.
struct Frame {
    segments: Rc<Vec<Segment>>,
    place: usize,
    /// Bytes to pass over.
    skip: u64,
    /// Bytes still wanted from it.
    wanted: u64,
}

/// What comes next in a manifest.
enum Step {
    /// The range is over.
    End,
    /// Bytes that stand in the manifest itself.
    Data(Current),
    /// Bytes of an object, which is being opened.
    Opening(LocalFuture<'static, io::Result<Current>>),
    /// Bytes of another manifest.
    Manifest { object: Box<Referred>, first: u64, count: u64 },
}

/// What was found ahead.
enum Next {
    Opened(io::Result<Current>),
    /// It needs what only the reader itself can do.
    Step(io::Result<Step>),
}

/// A segment being read.
struct Current {
    body: ResponseBody,
    left: u64,
}

impl Segments {
    pub(super) fn new(
        next: Rc<dyn Application>,
        base: ClientRequest,
        root: Rc<Vec<Segment>>,
        pieces: Vec<Piece>,
        limits: Limits,
    ) -> Self {
        let (texts, open, kept) = (VecDeque::new(), Vec::new(), VecDeque::new());
        let (ahead, rate) = (Ahead::Nothing, SegmentRate::new(limits));
        Self { next, base, root, pieces: pieces.into(), texts, open, current: None, ahead, rate, kept }
    }

    /// Opens the first segment that is needed, before the head goes out.
    pub(super) async fn open_first(&mut self) -> Opened {
        // Ends: every turn takes a piece, or opens a segment.
        loop {
            match self.open_next().await {
                Ok(true) => return Opened::Ready,
                Ok(false) => match self.pieces.pop_front() {
                    Some(Piece::Text(text)) => self.texts.push_back(text),
                    Some(Piece::Bytes { first, count }) => self.begin(first, count),
                    None => return Opened::Ready,
                },
                Err(error) => return Opened::Failed(error),
            }
        }
    }

    fn begin(&mut self, first: u64, count: u64) {
        self.open.push(Frame { segments: Rc::clone(&self.root), place: 0, skip: first, wanted: count });
    }

    /// Opens the next segment that has bytes to send; false when the range ends.
    async fn open_next(&mut self) -> io::Result<bool> {
        // Ends: every turn goes on in a manifest or opens one; what is open is bounded, and gives at least a byte.
        loop {
            let step = match self.ahead.take().await {
                Some(Next::Opened(opened)) => {
                    self.current = Some(opened?);
                    return Ok(true);
                }
                Some(Next::Step(step)) => step?,
                None => self.step()?,
            };
            match step {
                Step::End => return Ok(false),
                Step::Data(current) => self.current = Some(current),
                Step::Opening(opening) => self.current = Some(opening.await?),
                Step::Manifest { object, first, count } => {
                    if self.open.len() >= DEPTH_MAX {
                        return Err(wrong("manifests in manifests, too deep"));
                    }
                    let segments = self.manifest(&object).await?;
                    self.open.push(Frame { segments, place: 0, skip: first, wanted: count });
                    continue;
                }
            }
            return Ok(true);
        }
    }

    /// Goes to the next segment that has bytes to send.
    fn step(&mut self) -> io::Result<Step> {
        // Ends: every turn takes a segment of a manifest or closes one.
        loop {
            let Some(frame) = self.open.last_mut() else { return Ok(Step::End) };
            if frame.wanted == 0 {
                self.open.pop();
                continue;
            }
            let segments = Rc::clone(&frame.segments);
            let segment =
                segments.get(frame.place).ok_or_else(|| wrong("a manifest ends before the bytes it stands for"))?;
            frame.place += 1;
            if frame.skip >= segment.length {
                frame.skip -= segment.length;
                continue;
            }
            let first = std::mem::take(&mut frame.skip);
            let count = frame.wanted.min(segment.length - first);
            frame.wanted -= count;
            let object = match &segment.kind {
                Kind::Data(bytes) => {
                    return Ok(Step::Data(Current {
                        body: ResponseBody::Full(slice(bytes, first, count)?),
                        left: count,
                    }));
                }
                Kind::Object(object) => object,
            };
            let first = first.saturating_add(object.range.map_or(0, |(first, _)| first));
            if object.is_manifest {
                return Ok(Step::Manifest { object: object.clone(), first, count });
            }
            return self.opening(object, segment.length, first, count).map(Step::Opening);
        }
    }

    /// Little is left of the present segment: the next one may be opened.
    fn look_ahead(&mut self) {
        let is_due = self.current.as_ref().is_some_and(|current| current.left <= LEAD);
        if is_due && self.ahead.is_nothing() {
            self.ahead = match self.step() {
                Ok(Step::Opening(opening)) => Ahead::Running(Box::pin(async { Next::Opened(opening.await) })),
                step => Ahead::Done(Next::Step(step)),
            };
        }
    }

    /// A request for an object's own bytes, as the caller.
    fn request(&self, name: &str) -> io::Result<ClientRequest> {
        let path = target(&self.base.path.account, name).ok_or_else(|| wrong("a manifest names no object"))?;
        let mut request = self.base.subrequest(Method::Get, path).by("SLO");
        request.query = Query::parse(b"multipart-manifest=get");
        Ok(request)
    }

    /// Opens an object, when the rate allows it.
    fn opening(
        &mut self,
        object: &Referred,
        length: u64,
        first: u64,
        count: u64,
    ) -> io::Result<LocalFuture<'static, io::Result<Current>>> {
        let mut request = self.request(&object.name)?;
        let expected = if count < object.bytes {
            request.headers.set("Range", format!("bytes={first}-{}", first.saturating_add(count) - 1));
            Status(206)
        } else {
            Status(200)
        };
        let wait = self.rate.wait(length, door::monotonic());
        let (next, etag) = (Rc::clone(&self.next), object.etag.clone());
        Ok(Box::pin(async move {
            if !wait.is_zero() {
                door::sleep(wait).await;
            }
            checked(next.call(request).await, expected, &etag, count)
        }))
    }

    async fn manifest(&mut self, object: &Referred) -> io::Result<Rc<Vec<Segment>>> {
        if let Some((_, segments)) = self.kept.iter().find(|(name, _)| *name == object.name) {
            return Ok(Rc::clone(segments));
        }
        let response = self.next.call(self.request(&object.name)?).await;
        if response.head.status != Status(200) {
            return Err(answered(&response));
        }
        let headers = &response.head.headers;
        let is_same = headers.get_str(STORED_ETAG).is_none_or(|etag| etag.is_empty() || etag == object.etag);
        if !is_manifest(headers) || !is_same {
            return Err(wrong("a manifest is no longer the one another manifest names"));
        }
        let segments = collect(response.body, STORED_MAX).await.as_deref().and_then(stored::segments);
        let segments = Rc::new(segments.ok_or_else(|| wrong("a manifest cannot be read"))?);
        if segments.len() <= KEPT_SEGMENTS_MAX {
            if self.kept.len() >= KEPT_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back((object.name.clone(), Rc::clone(&segments)));
        }
        Ok(segments)
    }

    async fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(text) = self.texts.pop_front() {
            return Some(Ok(text));
        }
        // Ends: each turn gives a piece, or ends a segment or a range, of which there are finitely many.
        loop {
            self.look_ahead();
            let Some(current) = &mut self.current else {
                match self.open_next().await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a static large object is not what its manifest says");
                        return Some(Err(error));
                    }
                }
                match self.pieces.pop_front()? {
                    Piece::Text(text) => return Some(Ok(text)),
                    Piece::Bytes { first, count } => self.begin(first, count),
                }
                continue;
            };
            match self.ahead.beside(current.piece()).await {
                Some(piece) => return Some(piece),
                None if current.left > 0 => return Some(Err(io::ErrorKind::UnexpectedEof.into())),
                None => self.current = None,
            }
        }
    }
}

impl Current {
    async fn piece(&mut self) -> Option<io::Result<Bytes>> {
        let piece = match &mut self.body {
            ResponseBody::Stream { source, .. } => source.next().await?,
            body => match std::mem::replace(body, ResponseBody::Empty) {
                ResponseBody::Full(bytes) if !bytes.is_empty() => Ok(bytes),
                _ => return None,
            },
        };
        Some(piece.and_then(|bytes| {
            let left = self.left.checked_sub(bytes.len() as u64);
            self.left = left.ok_or_else(|| wrong("an object has more bytes than its manifest says"))?;
            Ok(bytes)
        }))
    }
}

/// An object that is the one its manifest names.
fn checked(response: Response, expected: Status, etag: &str, count: u64) -> io::Result<Current> {
    if response.head.status != expected {
        return Err(answered(&response));
    }
    if response.head.headers.get("Etag").map(|etag| respond::bare_etag(etag)) != Some(etag.as_bytes()) {
        return Err(wrong("an object is no longer the one its manifest names"));
    }
    let length = match &response.body {
        ResponseBody::Empty => Some(0),
        ResponseBody::Full(bytes) => Some(bytes.len() as u64),
        ResponseBody::Stream { length, .. } => *length,
    };
    if length.is_some_and(|length| length != count) {
        return Err(wrong("an object has another length than its manifest says"));
    }
    Ok(Current { body: response.body, left: count })
}

fn answered(response: &Response) -> io::Error {
    io::Error::other(format!("a part of it answers {}", response.head.status.0))
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

fn slice(bytes: &Bytes, first: u64, count: u64) -> io::Result<Bytes> {
    let range = usize::try_from(first).ok().zip(usize::try_from(first.saturating_add(count)).ok());
    let range = range.filter(|&(first, end)| first <= end && end <= bytes.len());
    range.map(|(first, end)| bytes.slice(first..end)).ok_or_else(|| wrong("inline data is too short"))
}

fn wrong(text: &'static str) -> io::Error {
    io::Error::other(text)
}
