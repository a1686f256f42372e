//! Core: the last bytes of a scan, from which the records that are found are cut. No I/O, no clock, no async.
//!
//! A scan finds a record when it has seen all of it, so a window that reaches back by the longest record always holds it. Nothing is
//! copied: what is cut shares the bytes that were read.

use super::record::{BODY_BYTES_MAX, HEAD_BYTES_MAX};
use bytes::Bytes;
use std::collections::VecDeque;

/// How far back a record may begin.
const REACH: u64 = BODY_BYTES_MAX + HEAD_BYTES_MAX as u64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Pieces that follow one another, with the place of the first.
    pieces: VecDeque<Bytes>,
    start: u64,
    end: u64,
}

impl Window {
    /// A window whose first piece begins there.
    pub(super) fn new(start: u64) -> Self {
        Window { pieces: VecDeque::new(), start, end: start }
    }

    /// Adds the next piece; forgets those that no record can reach back to.
    pub(super) fn push(&mut self, piece: Bytes) {
        let reach = self.end.saturating_sub(REACH);
        // Ends: takes a piece each turn.
        while let Some(first) = self.pieces.front()
            && self.start + first.len() as u64 <= reach
        {
            self.start += first.len() as u64;
            self.pieces.pop_front();
        }
        self.end += piece.len() as u64;
        self.pieces.push_back(piece);
    }

    /// The bytes from `offset` on, in pieces; `None` when they are not all there.
    pub(super) fn cut(&self, offset: u64, length: u64) -> Option<Vec<Bytes>> {
        if offset < self.start || offset.checked_add(length)? > self.end {
            return None;
        }
        let (mut at, mut cut) = (self.start, Vec::new());
        for piece in &self.pieces {
            let piece_end = at + piece.len() as u64;
            let (from, to) = (offset.max(at), (offset + length).min(piece_end));
            if from < to {
                let from = usize::try_from(from - at).ok()?;
                cut.push(piece.slice(from..usize::try_from(to - at).ok()?));
            }
            at = piece_end;
        }
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_cut_is_what_was_there(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 1..20),
            from in 0_u64..500,
            length in 0_u64..100,
        ) {
            let start = 4096;
            let mut window = Window::new(start);
            let all = pieces.concat();
            for piece in &pieces {
                window.push(Bytes::copy_from_slice(piece));
            }
            let range = usize::try_from(from).unwrap()..usize::try_from(from + length).unwrap();
            let cut = window.cut(start + from, length).map(|parts| parts.concat());
            prop_assert_eq!(cut.as_deref(), all.get(range.clone()));
        }
    }
}
