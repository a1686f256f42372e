//! Driver: the reading side of a stream and the bytes that came but are not understood yet.
//!
//! The buffer is away while a read is in flight. A read whose future was dropped never brings it back: the connection is then
//! broken for ever, as `io::Stream` demands. Where the connection is still wanted after a deadline, to say that it passed,
//! [`Inlet::fill_within`] parks the read instead of dropping it.

use crate::io::{self as door, Elapsed, Stream};
use crate::limits::BODY_CHUNK;
use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::time::Duration;

/// Space for a head and what may come with it.
const HEAD_SPACE: usize = 8 * 1024;
/// Space for the head of a client that has not sent a larger one yet: ten thousand connections that idle hold it all the time.
const SMALL_HEAD_SPACE: usize = 2 * 1024;
/// Less spare space than this is not worth a system call in the middle of a body.
const BODY_SPACE_MIN: usize = 16 * 1024;

/// One per connection.
pub(super) struct Inlet {
    stream: Stream,
    buffer: RefCell<Option<BytesMut>>,
    /// Offered to a head.
    head_space: Cell<usize>,
    parked: RefCell<Option<Read>>,
}

/// A read that owns all it needs.
type Read = Pin<Box<dyn Future<Output = (io::Result<usize>, BytesMut)>>>;

/// What is read for: it decides how much space is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A head.
    Head,
    /// A body with so many bytes to come, if that is known.
    Body(Option<u64>),
}

impl Inlet {
    /// Where answers come in, often with their bodies.
    pub(super) fn of_client(stream: Stream) -> Self {
        Self::with_space(stream, HEAD_SPACE)
    }

    /// Where requests come in: little space until one was too large for it.
    pub(super) fn of_server(stream: Stream) -> Self {
        Self::with_space(stream, SMALL_HEAD_SPACE)
    }

    fn with_space(stream: Stream, head_space: usize) -> Self {
        let buffer = RefCell::new(Some(BytesMut::new()));
        Self { stream, buffer, head_space: Cell::new(head_space), parked: RefCell::new(None) }
    }

    /// So much space is offered to a head from now on, and `None` as much as usual: some bring their body along.
    pub(super) fn offer(&self, space: Option<usize>) {
        self.head_space.set(space.unwrap_or(HEAD_SPACE));
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Lets `body` look at the bytes; `None` when a read has them.
    pub(super) fn with<T>(&self, body: impl FnOnce(&mut BytesMut) -> T) -> Option<T> {
        self.buffer.borrow_mut().as_mut().map(body)
    }

    /// Whether bytes wait to be understood; false also when a read has the buffer.
    pub(super) fn has_bytes(&self) -> bool {
        self.with(|buffer| !buffer.is_empty()).unwrap_or(false)
    }

    /// Whether a read is in flight, or one was dropped.
    pub(super) fn is_away(&self) -> bool {
        self.buffer.borrow().is_none()
    }

    /// One read behind what is there, 0 at the end of the stream. Past the deadline, or dropped, the read goes on, and the next
    /// call waits for it; until then the buffer is away.
    pub(super) async fn fill_within(&self, purpose: Purpose, deadline: Duration) -> Result<io::Result<usize>, Elapsed> {
        let parked = self.parked.take();
        let read = match (parked, self.buffer.take()) {
            (Some(read), _) => read,
            (None, Some(mut buffer)) => {
                self.make_space(&mut buffer, purpose);
                let stream = self.stream.clone();
                Box::pin(async move { stream.read(buffer).await })
            }
            (None, None) => return Ok(Err(broken())),
        };
        let mut parking = Parking { inlet: self, read: Some(read) };
        let reading = poll_fn(|context| match &mut parking.read {
            Some(read) => read.as_mut().poll(context),
            None => std::task::Poll::Pending,
        });
        let (result, buffer) = door::timeout(deadline, reading).await?;
        parking.read = None;
        self.buffer.replace(Some(buffer));
        Ok(result)
    }

    /// One read behind what is there. 0 at the end of the stream.
    pub(super) async fn fill(&self, purpose: Purpose) -> io::Result<usize> {
        let Some(mut buffer) = self.buffer.take() else {
            return Err(broken());
        };
        self.make_space(&mut buffer, purpose);
        let (result, buffer) = self.stream.read(buffer).await;
        if purpose == Purpose::Head && buffer.len() == buffer.capacity() {
            self.head_space.set(HEAD_SPACE);
        }
        self.buffer.replace(Some(buffer));
        result
    }

    /// An idle connection keeps no body's buffer.
    pub(super) fn shrink(&self) {
        self.with(|buffer| {
            if buffer.is_empty() && buffer.capacity() > 2 * self.head_space.get() {
                *buffer = BytesMut::new();
            }
        });
    }

    fn make_space(&self, buffer: &mut BytesMut, purpose: Purpose) {
        let head_space = self.head_space.get();
        let spare = buffer.capacity() - buffer.len();
        let (least, wanted) = match purpose {
            Purpose::Head => (head_space / 8, head_space),
            Purpose::Body(None) => (BODY_SPACE_MIN, BODY_CHUNK),
            Purpose::Body(Some(left)) => {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                // One byte at least: a read without space would look like the end.
                (left.clamp(1, BODY_SPACE_MIN), left.clamp(1024, BODY_CHUNK))
            }
        };
        // A buffer whose bytes are all used up and let go costs nothing to begin anew: what is left of it may be too little for what comes.
        let is_anew = spare < wanted && buffer.is_empty() && buffer.try_reclaim(wanted);
        if !is_anew && spare < least {
            buffer.reserve(wanted);
        }
    }
}

/// Puts an unfinished read back.
struct Parking<'a> {
    inlet: &'a Inlet,
    read: Option<Read>,
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        if let Some(read) = self.read.take() {
            self.inlet.parked.replace(Some(read));
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "a read of this connection is in flight or was dropped")
}
