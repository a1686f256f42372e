//! Core: short values that live as long as a request, many of them in one block of memory. No I/O, no clock, no async.
//!
//! A request writes a dozen of them: times, an id, the target of a backend request. Each in memory of its own costs an allocation, and another
//! one as soon as it is shared; here they are slices of the block that the core is filling.
//!
//! # Invariants
//!
//! - A block goes when the last of its slices does. So what outlives a request (caches, pools) has no place here: a slice keeps the block.
//! - At most [`BLOCK_BYTES`] are kept by a slice, unless it is longer itself.

use bytes::{Bytes, BytesMut};
use std::cell::Cell;

/// Of one block: the values of some ten requests. A request that takes long keeps no more than one or two.
const BLOCK_BYTES: usize = 4096;
/// Less room than this is not begun with: a value that does not fit what is left is copied.
const ROOM_MIN: usize = 256;

thread_local! {
    static BLOCK: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// What `write` appends.
pub fn bytes(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    // Taken out meanwhile: `write` may come here itself, and then begins a block of its own.
    let mut block = BLOCK.take();
    if !block.try_reclaim(ROOM_MIN) {
        block = BytesMut::with_capacity(BLOCK_BYTES);
    }
    write(&mut block);
    let written = block.split().freeze();
    BLOCK.set(block);
    written
}

/// These, one after the other.
pub fn joined(parts: &[&[u8]]) -> Bytes {
    bytes(|out| parts.iter().for_each(|part| out.extend_from_slice(part)))
}

/// A copy of a text.
pub fn text(text: &str) -> Bytes {
    bytes(|out| out.extend_from_slice(text.as_bytes()))
}

/// Its digits.
pub fn number(number: u64) -> Bytes {
    bytes(|out| out.extend(crate::digits::all(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_share_a_block_and_stay_what_they_are() {
        let values: Vec<Bytes> = (0..2_000).map(number).collect();
        for (expected, value) in values.iter().enumerate() {
            assert_eq!(value.as_ref(), expected.to_string().as_bytes());
        }
        let neighbours = |pair: &&[Bytes]| match pair {
            [one, other] => one.as_ptr().wrapping_add(one.len()) == other.as_ptr(),
            _ => false,
        };
        assert!(values.windows(2).filter(neighbours).count() > 1_900);
    }

    #[test]
    fn what_is_longer_than_a_block_is_whole_and_a_value_may_be_made_of_others() {
        let long = "x".repeat(3 * BLOCK_BYTES);
        assert_eq!(text(&long), long);
        let outer = bytes(|out| {
            out.extend_from_slice(b"(");
            out.extend_from_slice(&joined(&[b"a", b"b"]));
            out.extend_from_slice(b")");
        });
        assert_eq!(outer.as_ref(), b"(ab)");
    }
}
