//! Core: the buffers in which messages leave: a connection takes one for a write and gives it back behind it, so that a core has as many as
//! writes are under way and none belongs to a connection that waits. No I/O, no clock, no async.

use bytes::BytesMut;
use std::cell::RefCell;

/// Of one buffer: a head and the body that is copied behind it.
const BUFFER_BYTES: usize = 8 * 1024;
/// Kept by one core; under way may be more.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(super) fn take() -> BytesMut {
    let kept = KEPT.with_borrow_mut(Vec::pop);
    kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
}

/// Gives back what is left of a buffer when its bytes were split off, written and dropped.
pub(super) fn give_back(mut rest: BytesMut) {
    rest.clear();
    // One that somebody still has bytes of, or that was too small for its message, is not worth keeping.
    let is_good = rest.try_reclaim(BUFFER_BYTES) && rest.capacity() < 2 * BUFFER_BYTES;
    KEPT.with_borrow_mut(|kept| {
        if is_good && kept.len() < KEPT_MAX {
            kept.push(rest);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_one_whose_bytes_are_in_use_does_not() {
        let mut buffer = take();
        buffer.extend_from_slice(&[7; 100]);
        let place = buffer.as_ptr();
        let written = buffer.split().freeze();
        drop(written);
        give_back(buffer);
        let mut again = take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        again.extend_from_slice(b"in use");
        let kept = again.split().freeze();
        give_back(again);
        let mut other = take();
        other.extend_from_slice(b"another");
        assert_eq!(kept.as_ref(), b"in use");
    }

    #[test]
    fn large_ones_go() {
        let mut buffer = take();
        buffer.extend_from_slice(&[7; 4 * BUFFER_BYTES]);
        give_back(buffer);
        assert!(take().capacity() < 2 * BUFFER_BYTES);
    }
}
