//! Buffers as the runtime takes them, counted while the kernel may hold them.

#![expect(unsafe_code, reason = "the runtime's buffer traits are unsafe to implement")]

use bytes::{Buf, Bytes, BytesMut};
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf};
use std::cell::Cell;

/// What `Spare` reserves when the caller left no room; a read of nothing would look like the end.
const READ_RESERVE: usize = 4096;

/// Parts the kernel takes in one call (UIO_MAXIOV).
const PARTS_MAX: usize = 1024;

thread_local! {
    static BUFFERS_OUT: Cell<usize> = const { Cell::new(0) };
}

/// Buffers of this core that the kernel may hold.
pub(super) fn buffers_out() -> usize {
    BUFFERS_OUT.get()
}

/// Counts a buffer that was given to an operation. A dropped operation's buffer stays with the driver, and so in this count,
/// until the kernel is done with it.
pub(super) struct Out(());

impl Out {
    pub(super) fn new() -> Out {
        BUFFERS_OUT.set(BUFFERS_OUT.get() + 1);
        Out(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        BUFFERS_OUT.set(BUFFERS_OUT.get().saturating_sub(1));
    }
}

/// The spare capacity of a buffer, as a place to read into.
pub(super) struct Spare {
    pub(super) buffer: BytesMut,
    _out: Out,
}

impl Spare {
    pub(super) fn new(mut buffer: BytesMut) -> Spare {
        if buffer.capacity() == buffer.len() {
            buffer.reserve(READ_RESERVE);
        }
        Spare { buffer, _out: Out::new() }
    }
}

// SAFETY: the pointer is into the heap block of a `BytesMut` that this value owns alone: moving the value does not move the
// block, and nobody else has a view of the spare capacity. The driver keeps the value until the kernel is done.
unsafe impl IoBufMut for Spare {
    fn write_ptr(&mut self) -> *mut u8 {
        self.buffer.spare_capacity_mut().as_mut_ptr().cast()
    }

    fn bytes_total(&mut self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    unsafe fn set_init(&mut self, written: usize) {
        let length = self.buffer.len() + written;
        // SAFETY: the caller says that `written` bytes from `write_ptr` on, which is where the content ends, were filled.
        unsafe { self.buffer.set_len(length) };
    }
}

/// The first bytes of a spare capacity: an allocation may be larger than what may be read into it.
pub(super) struct Limited {
    spare: Spare,
    limit: usize,
}

impl Limited {
    pub(super) fn new(spare: Spare, limit: usize) -> Limited {
        Limited { spare, limit }
    }

    pub(super) fn into_buffer(self) -> BytesMut {
        self.spare.buffer
    }
}

// SAFETY: as for `Spare`, of which this is a part.
unsafe impl IoBufMut for Limited {
    fn write_ptr(&mut self) -> *mut u8 {
        self.spare.write_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.spare.bytes_total().min(self.limit)
    }

    unsafe fn set_init(&mut self, written: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.spare.set_init(written) }
    }
}

/// Bytes to send.
pub(super) struct Sending {
    pub(super) bytes: Bytes,
    _out: Out,
}

impl Sending {
    pub(super) fn new(bytes: Bytes) -> Sending {
        Sending { bytes, _out: Out::new() }
    }
}

// SAFETY: the block behind `Bytes` is neither moved nor changed while this value holds its share of it.
unsafe impl IoBuf for Sending {
    fn read_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.bytes.len()
    }
}

/// Several parts as one write.
pub(super) struct Gather {
    parts: Vec<Bytes>,
    vectors: Vec<libc::iovec>,
    /// Index of the first part that is not wholly sent.
    first: usize,
    _out: Out,
}

impl Gather {
    pub(super) fn new(parts: Vec<Bytes>) -> Gather {
        let vectors = parts.iter().map(vector).collect();
        Gather { parts, vectors, first: 0, _out: Out::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.first >= self.parts.len()
    }

    pub(super) fn advance(&mut self, mut sent: usize) {
        // Ends: `first` grows until a part is left over.
        while let Some(part) = self.parts.get_mut(self.first) {
            if sent < part.len() {
                part.advance(sent);
                if let Some(place) = self.vectors.get_mut(self.first) {
                    *place = vector(part);
                }
                return;
            }
            sent -= part.len();
            self.first += 1;
        }
        debug_assert_eq!(sent, 0, "the kernel sent more than it was given");
    }
}

fn vector(part: &Bytes) -> libc::iovec {
    libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }
}

// SAFETY: the vectors are on the heap and stay where they are when this value moves; each points into the block of the part of
// the same index, which this value keeps. The kernel only reads through them.
unsafe impl IoVecBuf for Gather {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.vectors.get(self.first..).map_or(std::ptr::null(), <[_]>::as_ptr)
    }

    fn read_iovec_len(&self) -> usize {
        self.vectors.len().saturating_sub(self.first).min(PARTS_MAX)
    }
}
