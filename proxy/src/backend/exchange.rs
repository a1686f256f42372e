//! One request to one node: a pooled or fresh connection, deadlines, and the way back into the pool.
//!
//! # Invariants
//!
//! - A request that found its pooled connection closed by the peer is sent once more on a fresh one, as long as no byte of a
//!   streamed body was sent. One with its whole body in memory repeats that as well: its timestamp makes it the same write.
//! - A connection returns to the pool only when its exchange is complete; an answer dropped half-read closes it.

use super::nodes::Node;
use crate::core::Core;
use base::http::client::{Connection, Framing};
use base::http::{HeadParts, Headers, RequestHead, ResponseHead};
use base::io::{self, Pipe};
use base::limits::BODY_CHUNK;
use base::pieces;
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;

/// Body bytes of an informative answer (errors, empty bodies) that are read; more closes the connection.
const MAX_ANSWER_BODY: usize = 64 * 1024;

/// Bytes of a body that need not be streamed when they are here already: no more than one read brings beside a head.
const READY_MAX: usize = BODY_CHUNK;

/// What goes out before the first answer.
enum Opening {
    /// The head alone; a body follows when the node is ready for it.
    Head(Framing),
    /// The head and all of the body, in one write.
    Whole(Bytes),
}

/// A request on its way: head sent, first answer read (which may be `100 Continue`).
pub struct Exchange {
    core: Rc<Core>,
    connection: Option<Connection>,
    deadline: Duration,
    /// Sent a second time: the node may have acted on the first already.
    repeated: bool,
}

impl Exchange {
    /// Sends `head` to `node` and reads the first answer. `deadline` bounds every later wait as well.
    pub async fn open(
        core: &Rc<Core>,
        node: &Node,
        head: impl Into<HeadParts<'_>>,
        framing: Framing,
        deadline: Duration,
    ) -> std::io::Result<(Exchange, ResponseHead)> {
        Self::start(core, node, head.into(), &Opening::Head(framing), deadline).await
    }

    /// Sends `head` and the whole body in one write and reads the answer, which is the final one. `deadline` as with `open`.
    pub async fn ask(
        core: &Rc<Core>,
        node: &Node,
        head: &RequestHead,
        body: &Bytes,
        deadline: Duration,
    ) -> std::io::Result<(Exchange, ResponseHead)> {
        Self::start(core, node, head.into(), &Opening::Whole(body.clone()), deadline).await
    }

    async fn start(
        core: &Rc<Core>,
        node: &Node,
        head: HeadParts<'_>,
        opening: &Opening,
        deadline: Duration,
    ) -> std::io::Result<(Exchange, ResponseHead)> {
        let mut repeated = false;
        if let Some(connection) = core.backend.pool.take(node.address) {
            match Self::on(core, connection, head, opening, deadline, false).await {
                Err(error) if is_stale(&error) => repeated = true,
                outcome => return outcome,
            }
        }
        let connect_deadline = core.config.conn_timeout;
        // Boxed: rare, and large beside the rest.
        let connecting = Box::pin(Connection::connect_near(node.address, connect_deadline));
        let connection = io::timeout(connect_deadline, connecting).await??;
        Self::on(core, connection, head, opening, deadline, repeated).await
    }

    async fn on(
        core: &Rc<Core>,
        connection: Connection,
        head: HeadParts<'_>,
        opening: &Opening,
        deadline: Duration,
        repeated: bool,
    ) -> std::io::Result<(Exchange, ResponseHead)> {
        let exchange = Exchange { core: core.clone(), connection: Some(connection.clone()), deadline, repeated };
        let answer = io::timeout(deadline, async {
            match opening {
                Opening::Head(framing) => connection.send_head(head, *framing, true).await?,
                Opening::Whole(body) => connection.send_full(head, body.clone(), true).await?,
            }
            // An empty body is complete with its head; one that waits for `100 Continue` is not.
            if matches!(opening, Opening::Head(Framing::None | Framing::Length(0))) {
                connection.finish().await?;
            }
            // A page of a listing, or its first piece, was written together with its head.
            if pieces::are_asked(head.headers) {
                connection.expect_body();
            }
            connection.read_head().await
        })
        .await??;
        Ok((exchange, answer))
    }

    /// Whether a 409 only says that the node acted on this very request when it was sent the first time.
    pub fn has_done(&self, request: &Headers, answer: &ResponseHead) -> bool {
        let done_at = answer.headers.get("X-Backend-Timestamp");
        self.repeated && answer.status.0 == 409 && done_at.is_some() && done_at == request.get("X-Timestamp")
    }

    /// Sends a piece of the body.
    pub async fn send(&self, bytes: Bytes) -> std::io::Result<()> {
        io::timeout(self.deadline, self.connection()?.send_data(bytes)).await?
    }

    /// Ends the body, with trailers if there are any, and reads the final answer.
    pub async fn finish(&self, trailers: Option<&Headers>) -> std::io::Result<ResponseHead> {
        let connection = self.connection()?;
        io::timeout(self.deadline, async {
            match trailers {
                Some(trailers) => connection.finish_with(trailers).await?,
                None => connection.finish().await?,
            }
            connection.read_head().await
        })
        .await?
    }

    /// The next piece of the answer's body.
    pub async fn read(&mut self) -> std::io::Result<Option<Bytes>> {
        let piece = io::timeout(self.deadline, self.connection()?.read_data()).await??;
        if piece.is_none() {
            self.give_back();
        }
        Ok(piece)
    }

    /// Whether more of the answer is here already.
    pub fn has_bytes(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::has_bytes)
    }

    /// Takes bytes of the answer's body into an empty pipe; 0 when `read` has to be asked.
    pub async fn read_to(&mut self, pipe: &mut Pipe) -> std::io::Result<usize> {
        io::timeout(self.deadline, self.connection()?.read_data_to(pipe)).await?
    }

    /// The whole body, if it is small and came with its head.
    pub fn take_ready(&mut self, length: u64) -> Option<Bytes> {
        let body = self.connection.as_ref()?.take_ready(length, READY_MAX)?;
        self.give_back();
        Some(body)
    }

    /// Reads the whole, small, body of an answer; a large one is cut off and its connection closed.
    pub async fn collect(mut self) -> std::io::Result<Bytes> {
        let mut collected = Vec::new();
        while let Some(piece) = self.read().await? {
            if collected.len() + piece.len() > MAX_ANSWER_BODY {
                break;
            }
            collected.extend_from_slice(&piece);
        }
        Ok(collected.into())
    }

    fn connection(&self) -> std::io::Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| std::io::Error::other("the exchange is over"))
    }

    fn give_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.core.backend.pool.put(connection);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }
}

/// The peer closed the idle connection before or while our request arrived. A deadline that passed is no such case.
fn is_stale(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::WriteZero
    )
}
