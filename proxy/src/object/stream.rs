//! Bodies on their way from a backend to the client.
//!
//! # Invariants
//!
//! - At most one piece is held, or what a pipe holds.
//! - A resumed body goes on at the byte after the last one delivered, from a replica with the same ETag and data time, or it is
//!   cut: two versions are never mixed.

use crate::backend::exchange::Exchange;
use crate::backend::nodes::{Candidates, Node};
use crate::backend::read::{Found, Read, Source, find};
use crate::core::Core;
use base::http::server::{BodySource, LocalFuture};
use base::http::{Headers, Method};
use base::io::{self, Pipe};
use bytes::Bytes;
use std::io::Error;
use std::rc::Rc;

/// A body that ends short when its backend does (listings).
pub(crate) struct Plain {
    exchange: Exchange,
}

impl Plain {
    /// The body of an exchange whose head has been read.
    pub(crate) fn new(exchange: Exchange) -> Self {
        Self { exchange }
    }
}

impl BodySource for Plain {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(async { self.exchange.read().await.transpose() })
    }

    fn is_here(&self) -> bool {
        self.exchange.has_bytes()
    }

    fn next_to<'a>(&'a mut self, pipe: &'a mut Pipe) -> LocalFuture<'a, std::io::Result<usize>> {
        Box::pin(self.exchange.read_to(pipe))
    }

    fn is_piped(&self) -> bool {
        true
    }
}

/// Ends an exchange whose body nobody wants, beside the answer, so that its connection can serve again.
pub(crate) fn discard(_core: &Rc<Core>, exchange: Exchange) {
    io::spawn(async move {
        let _ = exchange.collect().await;
    });
}

/// What is needed to go on from another replica.
pub(crate) struct Resume {
    /// The core.
    pub(crate) core: Rc<Core>,
    /// The request, without ranges and conditions.
    pub(crate) read: Read,
    /// Who has not been asked yet.
    pub(crate) candidates: Candidates,
}

/// An object's body that survives the death of its backend.
pub(crate) struct Resuming {
    exchange: Option<Exchange>,
    node: Node,
    resume: Resume,
    /// First and last byte of the object still to come; `None` when it cannot be resumed (several ranges, unknown length).
    left: Option<(u64, u64)>,
    identity: Identity,
}

/// What must be equal for bytes to be of the same version.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    etag: Option<Bytes>,
    data_time: Option<Bytes>,
}

impl Identity {
    fn of(headers: &Headers) -> Identity {
        Identity { etag: headers.get("Etag").cloned(), data_time: headers.get("X-Backend-Data-Timestamp").cloned() }
    }
}

impl Resuming {
    /// The body of `source`, `length` bytes.
    pub(crate) fn new(source: Source, length: Option<u64>, resume: Resume) -> Self {
        let left = match (source.head.status.0, length) {
            (200, Some(length)) if length > 0 => Some((0, length - 1)),
            (206, _) => source.head.headers.get_str("Content-Range").and_then(content_range),
            _ => None,
        };
        let identity = Identity::of(&source.head.headers);
        Self { exchange: Some(source.exchange), node: source.node, resume, left, identity }
    }

    async fn read(&mut self) -> Option<std::io::Result<Bytes>> {
        // Ends: every failure takes one of a finite number of candidates.
        loop {
            match self.exchange.as_mut()?.read().await {
                Ok(Some(piece)) => {
                    self.delivered(piece.len());
                    return Some(Ok(piece));
                }
                Ok(None) => return None,
                Err(error) => {
                    if let Err(error) = self.recover(error).await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    async fn read_to(&mut self, pipe: &mut Pipe) -> std::io::Result<usize> {
        let Some(exchange) = &mut self.exchange else { return Ok(0) };
        match exchange.read_to(pipe).await {
            Ok(taken) => {
                self.delivered(taken);
                Ok(taken)
            }
            Err(error) => self.recover(error).await.map(|()| 0),
        }
    }

    /// Goes on from another replica. With `Ok` and no exchange nothing was missing.
    async fn recover(&mut self, error: Error) -> std::io::Result<()> {
        self.exchange = None;
        self.resume.core.backend.failed(&self.node, &error);
        match self.left {
            // Boxed: rare, and large beside the rest.
            Some((first, last)) if first <= last => Box::pin(self.go_on(first, last)).await,
            Some(_) => return Ok(()),
            None => return Err(error),
        }
        if self.exchange.is_some() { Ok(()) } else { Err(error) }
    }

    fn delivered(&mut self, bytes: usize) {
        if let Some((first, _)) = &mut self.left {
            *first = first.saturating_add(bytes as u64);
        }
    }

    /// Opens the rest on another replica; leaves no exchange when there is none.
    async fn go_on(&mut self, first: u64, last: u64) {
        let mut read = self.resume.read.clone();
        read.method = Method::Get;
        read.headers.set("Range", format!("bytes={first}-{last}"));
        if let Some(etag) = &self.identity.etag {
            read.headers.set("If-Match", etag.clone());
        }
        // Ends: candidates are finite.
        while let Found::Source(source) = find(&self.resume.core, &read, &mut self.resume.candidates).await {
            let Source { node, exchange, head } = source;
            let same_place = head.headers.get_str("Content-Range").and_then(content_range) == Some((first, last));
            if head.status.0 == 206 && same_place && Identity::of(&head.headers) == self.identity {
                tracing::info!(node = %node.name, first, "body goes on from another node");
                self.node = node;
                self.exchange = Some(exchange);
                return;
            }
        }
    }
}

impl BodySource for Resuming {
    fn next(&mut self) -> LocalFuture<'_, Option<std::io::Result<Bytes>>> {
        Box::pin(self.read())
    }

    fn next_to<'a>(&'a mut self, pipe: &'a mut Pipe) -> LocalFuture<'a, std::io::Result<usize>> {
        Box::pin(self.read_to(pipe))
    }

    fn is_piped(&self) -> bool {
        true
    }
}

/// First and last byte of `bytes a-b/length`.
fn content_range(value: &str) -> Option<(u64, u64)> {
    let (range, _) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?)).filter(|(first, last)| first <= last)
}
