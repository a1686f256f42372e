//! Driver: the bytes of one connection to memcached, plain or encrypted.

use super::reply::{self, Refusal, Reply, Wanted};
use crate::io::Stream;
use bytes::{Bytes, BytesMut};
use std::io;

/// Space for a reply; values of accounts and containers fit.
const SPACE: usize = 16 * 1024;

/// Between two exchanges nothing of it is unread.
pub(super) struct Connection {
    stream: Stream,
    /// What came and is not understood yet.
    buffer: BytesMut,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Connection {
        Connection { stream, buffer: BytesMut::new() }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends whole commands.
    pub(super) async fn send(&mut self, commands: Bytes) -> io::Result<()> {
        self.stream.write_all(commands).await
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

    async fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() - buffer.len() < SPACE / 4 {
            buffer.reserve(SPACE);
        }
        let (read, buffer) = self.stream.read(buffer).await;
        self.buffer = buffer;
        read
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
