//! Driver: the bytes of one connection to memcached, plain or encrypted.

use super::reply::{self, Refusal, Reply, Wanted};
use super::tls::Session;
use crate::io::Stream;
use bytes::{Bytes, BytesMut};
use std::io;

/// Space for a reply; values of accounts and containers fit.
const SPACE: usize = 16 * 1024;

/// Between two exchanges nothing of it is unread.
pub(super) struct Connection {
    stream: Stream,
    session: Option<Box<Session>>,
    /// What came and is not understood yet, in plain text.
    buffer: BytesMut,
}

impl Connection {
    pub(super) fn new(stream: Stream, session: Option<Session>) -> Connection {
        Connection { stream, session: session.map(Box::new), buffer: BytesMut::new() }
    }

    /// Agrees on keys, where it is encrypted.
    pub(super) async fn greet(&mut self) -> io::Result<()> {
        // Ends: every turn sends and reads a part of the handshake, which is bounded, or returns.
        while self.session.as_ref().is_some_and(|session| session.is_handshaking()) {
            self.flush().await?;
            if self.session.as_ref().is_some_and(|session| session.is_handshaking()) && self.fill().await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it was encrypted"));
            }
        }
        self.flush().await
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends whole commands.
    pub(super) async fn send(&mut self, commands: Bytes) -> io::Result<()> {
        match &mut self.session {
            None => self.stream.write_all(commands).await,
            Some(session) => {
                session.encrypt(&commands)?;
                self.flush().await
            }
        }
    }

    /// Sends what the session has to say.
    async fn flush(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let out = session.outgoing()?;
        if out.is_empty() { Ok(()) } else { self.stream.write_all(out.into()).await }
    }

    /// Reads one reply.
    pub(super) async fn receive(&mut self, wanted: &Wanted) -> Result<Reply, Broken> {
        // Ends: every turn reads bytes, of which the parser takes a bounded number, or returns.
        loop {
            if let Some(reply) = reply::next(&mut self.buffer, wanted).map_err(Broken::Refused)? {
                return Ok(reply);
            }
            if self.fill().await.map_err(Broken::Io)? == 0 {
                return Err(Broken::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before the reply")));
            }
        }
    }

    /// Reads once; 0 at the end. Of an encrypted connection that may be less than a record: then nothing is behind the buffer yet.
    async fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = match self.session {
            None => std::mem::take(&mut self.buffer),
            Some(_) => BytesMut::new(),
        };
        if buffer.capacity() - buffer.len() < SPACE / 4 {
            buffer.reserve(SPACE);
        }
        let (read, buffer) = self.stream.read(buffer).await;
        match &mut self.session {
            None => {
                self.buffer = buffer;
                read
            }
            Some(session) => {
                let read = read?;
                session.decrypt(&buffer, &mut self.buffer)?;
                self.flush().await?;
                Ok(read)
            }
        }
    }

    /// Whether another exchange may use it: everything that came was asked for, and it has not ended meanwhile.
    pub(super) fn is_reusable(&self) -> bool {
        self.buffer.is_empty() && !self.stream.has_input()
    }

    /// An idle connection keeps no buffer of a large value.
    pub(super) fn shrink(&mut self) {
        if self.buffer.capacity() > 2 * SPACE {
            self.buffer = BytesMut::new();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Not the long good-bye: a server that does not answer would keep the socket half closed beyond the bound.
        self.stream.abort();
    }
}

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    Refused(Refusal),
}
