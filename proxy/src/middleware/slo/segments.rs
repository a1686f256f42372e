//! The bytes a manifest stands for, object after object, each opened when its turn comes.
//!
//! Owns the one backend exchange it is reading from: dropped, in the middle of anything, nothing stays open.
//!
//! # Invariants
//!
//! - Exactly the bytes that were announced come, or an error.
//! - At most [`DEPTH_MAX`] manifests are open in one another, and [`KEPT_MAX`] small ones are kept for another look.

use super::manifest::target;
use super::stored::{self, Kind, Referred, Segment};
use super::{DEPTH_MAX, STORED_ETAG, STORED_MAX, is_manifest};
use crate::middleware::listing_formats::collect;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{BodySource, LocalFuture, Response, ResponseBody};
use base::http::{Method, Status};
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
    ) -> Self {
        let (texts, open, kept) = (VecDeque::new(), Vec::new(), VecDeque::new());
        Self { next, base, root, pieces: pieces.into(), texts, open, current: None, kept }
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
        let account = self.base.path.account.clone();
        // Ends: every turn takes a segment of a manifest or closes one; what is open is bounded, and gives at least a byte.
        loop {
            let depth = self.open.len();
            let Some(frame) = self.open.last_mut() else { return Ok(false) };
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
            match &segment.kind {
                Kind::Data(bytes) => {
                    self.current = Some(Current { body: ResponseBody::Full(slice(bytes, first, count)?), left: count });
                    return Ok(true);
                }
                Kind::Object(object) => {
                    let first = first.saturating_add(object.range.map_or(0, |(first, _)| first));
                    if !object.is_manifest {
                        self.current = Some(self.object(&account, object, first, count).await?);
                        return Ok(true);
                    }
                    if depth >= DEPTH_MAX {
                        return Err(wrong("manifests in manifests, too deep"));
                    }
                    let segments = self.manifest(&account, object).await?;
                    self.open.push(Frame { segments, place: 0, skip: first, wanted: count });
                }
            }
        }
    }

    /// Asks for an object's own bytes, as the caller.
    async fn ask(&self, account: &str, name: &str, range: Option<String>) -> io::Result<Response> {
        let path = target(account, name).ok_or_else(|| wrong("a manifest names no object"))?;
        let mut request = self.base.subrequest(Method::Get, path).by("SLO");
        request.query = Query::parse(b"multipart-manifest=get");
        let expected = Status(if range.is_some() { 206 } else { 200 });
        if let Some(range) = range {
            request.headers.set("Range", range);
        }
        let response = self.next.call(request).await;
        if response.head.status != expected {
            return Err(io::Error::other(format!("{name} answers {}", response.head.status.0)));
        }
        Ok(response)
    }

    async fn object(&self, account: &str, object: &Referred, first: u64, count: u64) -> io::Result<Current> {
        let is_part = count < object.bytes;
        let range = is_part.then(|| format!("bytes={first}-{}", first.saturating_add(count) - 1));
        let response = self.ask(account, &object.name, range).await?;
        let etag = response.head.headers.get("Etag").map(|etag| respond::bare_etag(etag));
        if etag != Some(object.etag.as_bytes()) {
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

    async fn manifest(&mut self, account: &str, object: &Referred) -> io::Result<Rc<Vec<Segment>>> {
        if let Some((_, segments)) = self.kept.iter().find(|(name, _)| *name == object.name) {
            return Ok(Rc::clone(segments));
        }
        let response = self.ask(account, &object.name, None).await?;
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
            match current.piece().await {
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

impl BodySource for Segments {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(self.next_piece())
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
