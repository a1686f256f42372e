//! Driver: the reading side of a stream and the bytes that came but are not understood yet.
//!
//! The buffer is away while a read is in flight. A read whose future was dropped never brings it back: the connection is then
//! broken for ever, as `io::Stream` demands.

use crate::io::Stream;
use crate::limits::BODY_CHUNK;
use bytes::BytesMut;
use std::cell::RefCell;
use std::io;

/// Space for a head; most fit.
const HEAD_SPACE: usize = 8 * 1024;
/// Less spare space than this is not worth a system call in the middle of a body.
const BODY_SPACE_MIN: usize = 16 * 1024;

/// One per connection.
pub(super) struct Inlet {
    stream: Stream,
    buffer: RefCell<Option<BytesMut>>,
}

/// What is read for: it decides how much space is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A head.
    Head,
    /// A body with so many bytes to come, if that is known.
    Body(Option<u64>),
}

impl Inlet {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, buffer: RefCell::new(Some(BytesMut::new())) }
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

    /// One read behind what is there. 0 at the end of the stream.
    pub(super) async fn fill(&self, purpose: Purpose) -> io::Result<usize> {
        let Some(mut buffer) = self.buffer.take() else {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "a read of this connection is in flight or was dropped",
            ));
        };
        make_space(&mut buffer, purpose);
        let (result, buffer) = self.stream.read(buffer).await;
        self.buffer.replace(Some(buffer));
        result
    }

    /// An idle connection keeps no body's buffer.
    pub(super) fn shrink(&self) {
        self.with(|buffer| {
            if buffer.is_empty() && buffer.capacity() > 2 * HEAD_SPACE {
                *buffer = BytesMut::new();
            }
        });
    }
}

fn make_space(buffer: &mut BytesMut, purpose: Purpose) {
    let spare = buffer.capacity() - buffer.len();
    let (least, wanted) = match purpose {
        Purpose::Head => (HEAD_SPACE / 8, HEAD_SPACE),
        Purpose::Body(None) => (BODY_SPACE_MIN, BODY_CHUNK),
        Purpose::Body(Some(left)) => {
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            // One byte at least: a read without space would look like the end.
            (left.clamp(1, BODY_SPACE_MIN), left.clamp(1024, BODY_CHUNK))
        }
    };
    if spare < least {
        buffer.reserve(wanted);
    }
}
