//! Rows of a listing on their way to the client: those with a mark behind their hash are changed, all others pass as they are.
//!
//! A page with a length is looked at whole. One in pieces (`base::pieces`) is looked at as it comes, and passes without a copy as long as nothing is
//! marked: withheld is only the beginning of a row whose hash is not all there.
//!
//! # Invariants
//!
//! - Where a row begins is told by [`BETWEEN`] and a letter: in valid JSON no string can look so, wherever its quotes are.
//! - At most one piece and one row are held, and never more than [`PAGE_MAX`].

use super::listing_formats::{PAGE_MAX, collect};
use crate::respond;
use base::http::Status;
use base::http::server::{BodySource, LocalFuture, Response, ResponseBody};
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde_json::{Map, Value};
use std::io;

/// The end of a row, and the beginning of the next.
const BETWEEN: &[u8] = b"\"}, {\"";
/// Of it, what belongs to the row that ends.
const ENDS: usize = 4;
/// Behind it a row has no mark any more: hashes stand before names.
const HASH_IS_OVER: &[u8] = b"\", \"name\": \"";

/// A change of marked rows.
pub(crate) trait Edit: 'static {
    /// What only such rows have, as it stands in JSON.
    const MARK: &'static [u8];

    /// Changes one, if it is marked after all.
    fn edit(&self, row: &mut Map<String, Value>);
}

/// The listing with its marked rows changed.
pub(crate) async fn edited<E: Edit>(mut response: Response, edit: E) -> Response {
    response.body = match response.body {
        ResponseBody::Stream { length: None, source } => {
            ResponseBody::Stream { length: None, source: Box::new(Edited::new(source, edit)) }
        }
        body => {
            let Some(body) = collect(body, PAGE_MAX).await else { return respond::standard(Status(503)) };
            ResponseBody::Full(page(&edit, body))
        }
    };
    response.head.headers.remove("Content-Length");
    response
}

/// A whole page, or rows of one with what stands before and behind them.
pub(crate) fn page<E: Edit>(edit: &E, body: Bytes) -> Bytes {
    let (mut changed, mut rest) = (Vec::new(), &*body);
    // Ends: every turn takes a row, or more, from the rest.
    while let Some(at) = memmem::find(rest, E::MARK) {
        let (before, from_mark) = rest.split_at(at);
        let start = last_row(before).unwrap_or(0);
        let end = position(memmem::find_iter(from_mark, BETWEEN), from_mark).map_or(rest.len(), |next| at + next);
        let (before, marked) = rest.split_at(start);
        let (marked, behind) = marked.split_at(end - start);
        changed.extend_from_slice(before);
        row(edit, marked, &mut changed);
        rest = behind;
    }
    if changed.is_empty() {
        return body;
    }
    changed.extend_from_slice(rest);
    changed.into()
}

/// A marked row, or more where they are not told apart, with what stands before and behind it.
fn row<E: Edit>(edit: &E, text: &[u8], changed: &mut Vec<u8>) {
    let is_row = |byte: &u8| matches!(byte, b'{' | b'}');
    let from = text.iter().position(is_row).unwrap_or(text.len());
    let to = text.iter().rposition(is_row).map_or(from, |last| last + 1);
    let (before, rest) = text.split_at(from);
    let (inner, behind) = rest.split_at(to - from);
    changed.extend_from_slice(before);
    match serde_json::from_slice::<Vec<Map<String, Value>>>(&[b"[", inner, b"]"].concat()) {
        Ok(mut rows) => {
            for (place, row) in rows.iter_mut().enumerate() {
                edit.edit(row);
                changed.extend_from_slice(if place == 0 { b"" } else { b", " });
                changed.extend_from_slice(&serde_json::to_vec(row).unwrap_or_default());
            }
        }
        Err(_) => changed.extend_from_slice(inner),
    }
    changed.extend_from_slice(behind);
}

/// A page in pieces.
struct Edited<E> {
    source: Box<dyn BodySource>,
    edit: E,
    mark: memmem::Finder<'static>,
    between: memmem::Finder<'static>,
    /// Came, and does not go on yet.
    held: BytesMut,
    /// What comes next belongs to a row whose beginning went on.
    is_inside: bool,
    /// The last bytes that went on, as many as belong to the row that ends there.
    seam: Vec<u8>,
    is_over: bool,
}

impl<E: Edit> Edited<E> {
    fn new(source: Box<dyn BodySource>, edit: E) -> Self {
        Edited {
            source,
            edit,
            mark: memmem::Finder::new(E::MARK),
            between: memmem::Finder::new(BETWEEN),
            held: BytesMut::new(),
            is_inside: false,
            seam: Vec::new(),
            is_over: false,
        }
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        // Ends: with the source.
        while !self.is_over {
            let Some(piece) = self.source.next().await.transpose()? else {
                self.is_over = true;
                let rest = std::mem::take(&mut self.held).freeze();
                return Ok((!rest.is_empty()).then(|| page(&self.edit, rest)));
            };
            let mut came = piece;
            if !self.held.is_empty() {
                if self.held.len() + came.len() > PAGE_MAX {
                    return Err(io::Error::other("a row of a listing that does not end"));
                }
                self.held.extend_from_slice(&came);
                came = self.held.split().freeze();
            }
            let goes = self.take(came);
            if !goes.is_empty() {
                self.seam.extend_from_slice(goes.get(goes.len().saturating_sub(ENDS)..).unwrap_or_default());
                self.seam.drain(..self.seam.len().saturating_sub(ENDS));
                return Ok(Some(goes));
            }
        }
        Ok(None)
    }

    /// What of it may go on; the rest is held.
    fn take(&mut self, mut came: Bytes) -> Bytes {
        let first = if self.is_inside { self.first_row(&came) } else { Some(0) };
        let last = first.map(|first| last_row(&came).filter(|last| *last > first).unwrap_or(first));
        if let Some((_, begun)) = last.map(|last| came.split_at(last)) {
            self.is_inside = memmem::find(begun, HASH_IS_OVER).is_some() && self.mark.find(begun).is_none();
        }
        let end = if self.is_inside { came.len() - self.dangling(&came) } else { last.unwrap_or(0) };
        self.held.extend_from_slice(&came.split_off(end));
        let (Some(first), Some(last)) = (first, last) else { return came };
        let (before, rest) = came.split_at(first);
        let (rows, begun) = rest.split_at(last - first);
        if self.mark.find(rows).is_none() {
            return came;
        }
        let rows = page(&self.edit, came.slice_ref(rows));
        Bytes::from([before, &rows, begun].concat())
    }

    /// Bytes at the end with which a row may begin: what comes next tells.
    fn dangling(&self, came: &[u8]) -> usize {
        let end = [&self.seam, came.get(came.len().saturating_sub(BETWEEN.len())..).unwrap_or_default()].concat();
        let found = [BETWEEN.len(), ENDS + 1]
            .into_iter()
            .find(|count| BETWEEN.get(..*count).is_some_and(|text| end.ends_with(text)));
        found.map_or(0, |count| (count - ENDS).min(came.len()))
    }

    /// The first row that begins here.
    fn first_row(&self, came: &[u8]) -> Option<usize> {
        let at_seam = [&self.seam, came.get(..BETWEEN.len() + 1).unwrap_or(came)].concat();
        let found = position(self.between.find_iter(&at_seam), &at_seam).map(|at| at.saturating_sub(self.seam.len()));
        found.or_else(|| position(self.between.find_iter(came), came))
    }
}

impl<E: Edit> BodySource for Edited<E> {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async { self.piece().await.transpose() })
    }

    fn is_here(&self) -> bool {
        self.source.is_here()
    }
}

/// Where the last row begins that is behind another.
pub(super) fn last_row(came: &[u8]) -> Option<usize> {
    position(memmem::rfind_iter(came, BETWEEN), came)
}

/// Of the first that is followed by a letter, where its row begins.
fn position(found: impl Iterator<Item = usize>, text: &[u8]) -> Option<usize> {
    let is_row = |at: &usize| text.get(at + BETWEEN.len()).is_some_and(u8::is_ascii_alphabetic);
    let mut found = found.filter(is_row);
    found.next().map(|at| at + ENDS)
}

#[cfg(test)]
mod tests;
