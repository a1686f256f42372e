//! Core: where in the journal the next batch goes. No I/O, no clock, no async.
//!
//! The file has two halves. Batches go one behind the other into one of them; when it is full, into the other, from its beginning.
//!
//! # Invariants
//!
//! - A half is written again only when the rows of all its batches are in the database.
//! - Numbers rise by one with each batch, over restarts too, so what lies behind a half's last batch is known to be older.

/// Which half is written, and what may be written over. One per journal.
#[derive(Debug)]
pub(super) struct Halves {
    half_bytes: u64,
    /// The half that is written, 0 or 1.
    current: u64,
    /// Behind its last batch, from its beginning.
    offset: u64,
    /// Number of the last batch.
    sequence: u64,
    /// The last batch of the half that is written, and of the other one.
    last: u64,
    last_of_other: u64,
    /// The rows of batches up to this one are in the database.
    moved: u64,
}

impl Halves {
    /// Behind a start: batches up to `sequence` may lie anywhere, the rows of those up to `moved` are in the database.
    pub(super) fn new(half_bytes: u64, sequence: u64, moved: u64) -> Halves {
        let sequence = sequence.max(moved);
        Halves { half_bytes, current: 0, offset: half_bytes, sequence, last: sequence, last_of_other: sequence, moved }
    }

    /// The number of the next batch and where it goes; `None` when there is no room before more rows are moved.
    pub(super) fn place(&mut self, bytes: u64) -> Option<(u64, u64)> {
        if self.offset + bytes > self.half_bytes {
            if self.last_of_other > self.moved || bytes > self.half_bytes {
                return None;
            }
            (self.last, self.last_of_other) = (self.last_of_other, self.last);
            (self.current, self.offset) = (1 - self.current, 0);
        }
        let place = self.current * self.half_bytes + self.offset;
        self.offset += bytes;
        self.sequence += 1;
        self.last = self.sequence;
        Some((self.sequence, place))
    }

    /// Number of the last batch that has a place.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the half that is written was begun while rows of the other one wait.
    pub(super) fn is_pressed(&self) -> bool {
        self.last_of_other > self.moved
    }

    /// The rows of batches up to this one are in the database.
    pub(super) fn moved(&mut self, upto: u64) {
        self.moved = self.moved.max(upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_written_over_only_when_its_rows_were_moved() {
        let mut halves = Halves::new(8, 0, 0);
        assert_eq!(halves.place(3), Some((1, 8)), "a start goes on in the other half");
        assert_eq!(halves.place(5), Some((2, 11)));
        assert!(!halves.is_pressed());
        assert_eq!(halves.place(9), None, "larger than a half");
        assert_eq!(halves.place(1), Some((3, 0)));
        assert!(halves.is_pressed());
        assert_eq!(halves.place(7), Some((4, 1)));
        assert_eq!(halves.place(1), None);
        halves.moved(1);
        assert_eq!(halves.place(1), None);
        halves.moved(2);
        assert_eq!(halves.place(1), Some((5, 8)));
        halves.moved(3);
        assert_eq!((halves.place(8), halves.sequence()), (None, 5));
        halves.moved(5);
        assert_eq!(halves.place(8), Some((6, 0)));
    }

    #[test]
    fn nothing_is_written_over_what_a_start_found_and_could_not_move() {
        let mut halves = Halves::new(8, 7, 5);
        assert_eq!(halves.place(1), None);
        halves.moved(7);
        assert_eq!(halves.place(1), Some((8, 8)));
        assert_eq!(Halves::new(8, 3, 9).place(1), Some((10, 8)));
    }
}
