//! Driver: a page of a listing, from the environment into an answer, in slices.
//!
//! A page of one slice is an answer with a length. A longer one goes out in pieces to a proxy that asks for that (`base::pieces`): each is rendered while
//! the one before it is sent. For anyone else it is made whole first.
//!
//! # Invariants
//!
//! - A slice is a transaction of its own that goes on behind the last row of the one before: no client is waited for while one is open.
//! - A page in pieces keeps two of them at most, each of `PIECE_BYTES` and one row.
//! - What may have to come from the disk is looked at by the disk's threads, not by the core: it takes only slices that were asked for before.

use super::info::{self, Info, Stats};
use super::kept::{self, Asked, Kept};
use super::key::{self, Kind, State};
use super::listing::{Selection, Walk};
use super::render::{Format, Renderer};
use super::service::Service;
use base::http::Status;
use base::http::server::{BodySource, LocalFuture, Response};
use base::io::kv::{Kv, Read, ReadTxn};
use base::limits::BODY_CHUNK;
use base::marks::Marks;
use bytes::Bytes;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// Keys one slice visits at most: a collapsed prefix costs a seek, so some hundred microseconds, in which a reader holds back the environment's
/// free pages, and a core everything else.
const SLICE: usize = 500;
/// Bytes after which a slice ends: rendered in some fifty microseconds, and with its framing no more than a proxy reads at once.
const PIECE_BYTES: usize = 60 * 1024;
const _: () = assert!(
    PIECE_BYTES <= kept::PAGE_BYTES_MAX && PIECE_BYTES + ROW_BYTES < BODY_CHUNK,
    "or each piece would be read and sent on in two"
);
/// Space behind them for the row with which a slice ends, unless it is a very long one.
const ROW_BYTES: usize = 1024;
/// Space for a row in the first slice.
const USUAL_ROW_BYTES: usize = 224;

/// Slices that are remembered as asked for: of some hundred pages that are asked for all the time.
const ASKED: usize = 4096;

thread_local! {
    static ASKED_FOR: RefCell<Marks<ASKED>> = const { RefCell::new(Marks::new()) };
}

/// What a first slice found.
enum First {
    /// No database, or a deleted one.
    Nothing,
    /// A page that is kept.
    Kept(Bytes),
    /// All of a page, and the record as it is stored.
    Whole(Vec<u8>, Bytes),
    /// The beginning of one.
    Begun(Box<(Walk, Renderer)>),
}

/// The info record and, unless it is missing or deleted, the answer with the page, made in pieces where that is said and it is worth it.
pub async fn list(
    service: &Service,
    selection: Selection,
    policy: Option<u32>,
    renderer: Renderer,
    in_pieces: bool,
) -> Result<(Option<Info>, Response), Response> {
    let format = renderer.format();
    let asked = Arc::new(Asked { device: service.device.clone(), hash: service.hash, selection, policy, format });
    let mark = asked.mark();
    let mut rest =
        Rest { rows: service.rows.clone(), mark, slices: 0, is_again: false, ready: Bytes::new(), left: None };
    let first = rest.slice(first(service.kind, asked.clone(), kept::find(&asked, mark), renderer)).await;
    let (info, first) = first.map_err(|error| service.failed(&error))?;
    let left = match first {
        First::Nothing => return Ok((info, Response::empty(Status(404)))),
        First::Kept(body) => return Ok((info, whole(format, body))),
        First::Whole(body, stored) => {
            let body = Bytes::from(body);
            if rest.is_again {
                kept::keep(asked, mark, Kept { info: stored, body: body.clone() });
            }
            return Ok((info, whole(format, body)));
        }
        First::Begun(left) => *left,
    };
    if !in_pieces || left.1.written() == 0 {
        // Boxed here and below: rare, and large beside the rest.
        let renderer = Box::pin(rest.collect(left)).await.map_err(|error| service.failed(&error))?;
        return Ok((info, whole(format, renderer.finish().into())));
    }
    let (walk, mut renderer) = left;
    rest.ready = renderer.take().into();
    rest.left = Some((walk, renderer));
    let response = Response::stream(Status(200), None, Box::new(rest));
    Ok((info, response.header("Content-Type", format.content_type())))
}

/// The first slice of a page.
fn first(
    kind: Kind,
    asked: Arc<Asked>,
    kept: Option<Kept>,
    mut renderer: Renderer,
) -> impl FnOnce(&ReadTxn<'_>) -> io::Result<(Option<Info>, First)> + Send + 'static {
    move |read| {
        let Asked { hash, selection, policy, .. } = &*asked;
        let stored = info::stored(read, kind, hash)?;
        let info = stored.map(Info::decode).transpose()?;
        let (Some(stored), Some(found)) = (stored, info.as_ref().filter(|info| !info.is_deleted())) else {
            return Ok((info, First::Nothing));
        };
        if let Some(kept) = kept.filter(|kept| kept.info == stored) {
            return Ok((info, First::Kept(kept.body)));
        }
        // Rows of an account lie in one range, whatever the policy of their containers.
        let policy = if kind == Kind::Account { 0 } else { policy.unwrap_or(found.policy) };
        renderer.reserve(first_bytes(found, selection.limit));
        let mut walk = Walk::new(key::row_prefix(hash, State::Live, policy), selection);
        let first = match advance(&mut walk, read, &mut renderer)? {
            true => First::Whole(renderer.finish(), Bytes::copy_from_slice(stored)),
            false => First::Begun(Box::new((walk, renderer))),
        };
        Ok((info, first))
    }
}

/// The answer with a page in one piece: an empty plain one is 204.
fn whole(format: Format, body: Bytes) -> Response {
    if format == Format::Plain && body.is_empty() {
        return Response::empty(Status(204)).header("Content-Type", format.content_type());
    }
    Response::full(Status(200), format.content_type(), body)
}

/// Space for the first slice, from the rows it can have.
fn first_bytes(info: &Info, limit: usize) -> usize {
    let Stats { containers, objects, .. } = info.total();
    let rows = if info.kind == Kind::Account { containers } else { objects };
    let rows = usize::try_from(rows).unwrap_or(0).min(limit);
    rows.saturating_mul(USUAL_ROW_BYTES).min(PIECE_BYTES + ROW_BYTES)
}

/// One slice. True when the page is complete.
fn advance(walk: &mut Walk, read: &impl Read, renderer: &mut Renderer) -> io::Result<bool> {
    let enough = renderer.written() + PIECE_BYTES;
    walk.advance(read, SLICE, &mut |entry| {
        renderer.entry(entry)?;
        Ok(renderer.written() < enough)
    })
}

/// What is to come of a page.
struct Rest {
    rows: Kv,
    /// What its slices are remembered by.
    mark: u64,
    slices: u32,
    /// Whether the last slice was asked for before.
    is_again: bool,
    /// Rendered already.
    ready: Bytes,
    left: Option<(Walk, Renderer)>,
}

impl Rest {
    /// Where this slice was asked for before, its pages are in memory, and the core itself is many times cheaper than a thread.
    async fn slice<T, F>(&mut self, body: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTxn<'_>) -> io::Result<T> + Send + 'static,
    {
        self.is_again = ASKED_FOR.with_borrow_mut(|marks| marks.was_asked_for(self.slices, self.mark));
        self.slices = self.slices.wrapping_add(1);
        if self.is_again { self.rows.look_up(body).await } else { Box::pin(self.rows.read(body)).await }
    }

    async fn next_slice(&mut self, (mut walk, mut renderer): (Walk, Renderer)) -> io::Result<(bool, Walk, Renderer)> {
        let body = move |read: &ReadTxn<'_>| {
            renderer.reserve(PIECE_BYTES + ROW_BYTES);
            let is_done = advance(&mut walk, read, &mut renderer)?;
            Ok((is_done, walk, renderer))
        };
        self.slice(body).await
    }

    /// All of them.
    async fn collect(&mut self, mut left: (Walk, Renderer)) -> io::Result<Renderer> {
        // Ends: every slice moves the walk behind at least one key of a finite range, and at most `limit` are taken.
        loop {
            let (is_done, walk, renderer) = self.next_slice(left).await?;
            if is_done {
                return Ok(renderer);
            }
            left = (walk, renderer);
        }
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        // Ends: as `collect`; a turn without a piece visited nothing but what is not shown.
        loop {
            if !self.ready.is_empty() {
                return Ok(Some(std::mem::take(&mut self.ready)));
            }
            let Some(left) = self.left.take() else { return Ok(None) };
            let (is_done, walk, mut renderer) = self.next_slice(left).await?;
            if is_done {
                self.ready = renderer.finish().into();
            } else {
                self.ready = renderer.take().into();
                self.left = Some((walk, renderer));
            }
        }
    }
}

impl BodySource for Rest {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async { self.piece().await.transpose() })
    }
}

#[cfg(test)]
mod tests;
