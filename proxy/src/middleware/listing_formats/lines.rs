//! A listing as plain text: the names of its rows, one per line, taken out of the JSON where they stand. No row becomes a value on the way.
//!
//! A page in pieces stays one: the names of a piece go on when it has come.
//!
//! # Invariants
//!
//! - A name is what stands behind `"name":` or `"subdir":`. In valid JSON no value can look so: the quote before the word opens a string, the colon
//!   makes it a key.

use super::PAGE_MAX;
use crate::middleware::rows;
use base::http::server::{BodySource, LocalFuture};
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use std::io;

/// The names of a whole page; `None` when it is none.
pub(super) fn whole(page: &[u8]) -> Option<Vec<u8>> {
    let page = page.trim_ascii();
    if page.is_empty() {
        return Some(Vec::new());
    }
    names(page.strip_prefix(b"[")?.strip_suffix(b"]")?)
}

/// The names of a page in pieces.
pub(super) struct Lines {
    source: Box<dyn BodySource>,
    /// Came, and is no whole row yet.
    held: BytesMut,
    ready: Option<Bytes>,
    is_over: bool,
}

impl Lines {
    /// `None` when there are no rows.
    pub(super) async fn begin(source: Box<dyn BodySource>) -> io::Result<Option<Lines>> {
        let mut lines = Lines { source, held: BytesMut::new(), ready: None, is_over: false };
        lines.ready = lines.piece().await?;
        Ok(lines.ready.is_some().then_some(lines))
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.ready.is_some() {
            return Ok(self.ready.take());
        }
        // Ends: with the source.
        while !self.is_over {
            match self.source.next().await.transpose()? {
                Some(piece) => self.held.extend_from_slice(&piece),
                None => self.is_over = true,
            }
            if self.held.len() > PAGE_MAX {
                return Err(no_listing());
            }
            let end = if self.is_over { self.held.len() } else { rows::last_row(&self.held).unwrap_or(0) };
            let lines = names(&self.held.split_to(end)).ok_or_else(no_listing)?;
            if !lines.is_empty() {
                return Ok(Some(lines.into()));
            }
        }
        Ok(None)
    }
}

impl BodySource for Lines {
    fn next(&mut self) -> LocalFuture<'_, Option<io::Result<Bytes>>> {
        Box::pin(async { self.piece().await.transpose() })
    }

    fn is_here(&self) -> bool {
        self.source.is_here()
    }
}

fn no_listing() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what a backend sent is no listing")
}

fn names(rows: &[u8]) -> Option<Vec<u8>> {
    let (mut lines, mut rest) = (Vec::new(), rows);
    let keys = [memmem::Finder::new(b"\"name\":"), memmem::Finder::new(b"\"subdir\":")];
    let mut next = keys.each_ref().map(|key| key.find(rest));
    // Ends: every turn takes a key and its value from the rest.
    loop {
        let [name, subdir] = next;
        let Some(at) = name.into_iter().chain(subdir).min() else { return Some(lines) };
        let (_, key) = rest.split_at_checked(at + 1)?;
        let value = key.get(memchr::memchr(b':', key)? + 1..)?.trim_ascii_start().strip_prefix(b"\"")?;
        let end = string_end(value)?;
        let (text, behind) = value.split_at_checked(end)?;
        if memchr::memchr(b'\\', text).is_none() {
            lines.extend_from_slice(text);
        } else {
            lines.extend_from_slice(serde_json::from_slice::<String>(&[b"\"", text, b"\""].concat()).ok()?.as_bytes());
        }
        lines.push(b'\n');
        let taken = rest.len() - behind.len();
        rest = behind;
        for (next, key) in next.iter_mut().zip(&keys) {
            *next = next.and_then(|at| at.checked_sub(taken).or_else(|| key.find(rest)));
        }
    }
}

/// Where the quote stands that ends a string.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    // Ends: every turn moves behind a byte that is escaped, or is the last.
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}
