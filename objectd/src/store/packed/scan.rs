//! Core: what a scan of a volume's bytes finds. No I/O, no clock, no async.
//!
//! # Invariants
//!
//! - A record is found exactly when all its bytes are what was written there.
//! - From the start of the scan to the end of the last record every byte is accounted for: it belongs to a record, is a zero of its
//!   padding, or is reported. Batches follow one another without a gap, so zeros between two of them are a write that was lost, and
//!   so are zeros behind a record that is not the last of its batch.
//! - Behind damage the scan goes on where lengths can be trusted, else at the next slot of 64 bytes that holds a head made for that very
//!   place. Bytes of a client's object cannot look like one: they would have to know the number of the store.
//! - The work is linear in the input whatever the bytes say: only a head that verifies makes the scan look at a byte twice, and it goes on
//!   behind that head. Memory is one head (`HEAD_BYTES_MAX`); bodies are verified as they pass.
//! - The sizes of the pieces change nothing.
//!
//! Whether damage was acknowledged once is for `verdict` to say. Zeros behind the last record are not reported: the caller knows
//! where the log ends (the next volume's header says it of this one), and may stop when `zeros` passes what a batch can be.

use super::record::{self, BATCH_ALIGNMENT, Blocks, Fixed, Head, Kind, Lengths, RECORD_ALIGNMENT, Spot};

/// What a scan meets, in the order of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record whose head and body are what was written.
    Record {
        /// Where it begins.
        offset: u64,
        /// Its lengths and batch.
        lengths: Lengths,
        /// Its head.
        head: Box<Head>,
    },
    /// The same of a scan that wants to know of most records only which version is where (`Scanner::brief`).
    Brief {
        /// Where it begins.
        offset: u64,
        /// What its fixed part says; of a kind that says all with it.
        fixed: Fixed,
    },
    /// Bytes that are no record: damaged, or zeros where a record was.
    Damaged {
        /// From here.
        offset: u64,
        /// That many bytes; none when a batch ends exactly at a block and its last record is missing.
        bytes: u64,
        /// What its fixed part says, when that could be read: one record begins at `offset`.
        fixed: Option<Fixed>,
    },
}

/// Takes the bytes of a volume piece by piece and says what is in them.
pub struct Scanner {
    store: u64,
    volume: u32,
    is_brief: bool,
    /// Of the next byte that is fed.
    offset: u64,
    /// The beginning of what needs more bytes to be judged: a slot, a fixed part or a head.
    pending: Vec<u8>,
    /// Bytes that `pending` needs.
    needed: usize,
    state: State,
    /// All before this is accounted for.
    accounted: u64,
    /// Behind the last slot that was neither zeros nor part of a record.
    garbage_end: u64,
    /// No record of the batch is missing at the end.
    batch_is_whole: bool,
    zeros: u64,
    end: u64,
}

enum State {
    /// At a slot: a record begins here, or nothing does.
    Slot,
    /// In the body of a record.
    Body { start: u64, head: Box<Head>, fixed: Fixed, left: u64, blocks: Blocks },
    /// Behind a record that was verified as a whole.
    Verified { start: u64, fixed: Fixed },
    /// In a record whose name or metadata are damaged: its lengths can be trusted.
    Skip { left: u64, is_last: bool },
    /// Between the end of a record and where the next one may begin.
    Padding { start: u64, left: u64, is_zero: bool },
}

/// What bytes at a slot are.
enum Step {
    /// That many were taken.
    Taken(usize),
    /// That many are needed to tell.
    Needs(usize),
}

impl Scanner {
    /// A scan of the volume that starts at `offset`, where a batch begins.
    pub fn new(store: u64, volume: u32, offset: u64) -> Self {
        debug_assert!(offset.is_multiple_of(BATCH_ALIGNMENT), "a batch begins there");
        Self {
            store,
            volume,
            is_brief: false,
            offset,
            pending: Vec::new(),
            needed: 0,
            state: State::Slot,
            accounted: offset,
            garbage_end: offset,
            batch_is_whole: true,
            zeros: 0,
            end: offset,
        }
    }

    /// The same for who looks only at the fixed parts, but for quarantines: heads are verified as ever and not taken apart, which is most
    /// of a scan's work where objects are small.
    pub fn brief(store: u64, volume: u32, offset: u64) -> Self {
        Self { is_brief: true, ..Self::new(store, volume, offset) }
    }

    /// Feeds the next bytes and hands out what is complete.
    pub fn feed(&mut self, mut bytes: &[u8], found: &mut dyn FnMut(Found)) {
        // Ends: every turn takes at least one byte.
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Slot if self.pending.is_empty() => self.slots(bytes, found),
                State::Slot => self.more_pending(bytes, found),
                State::Verified { .. } => unreachable!("`advance` leaves it"),
                State::Body { left, blocks, .. } => {
                    let taken = at_most(bytes, *left);
                    blocks.update(taken);
                    *left -= taken.len() as u64;
                    taken.len()
                }
                State::Skip { left, .. } => {
                    let taken = at_most(bytes, *left).len();
                    *left -= taken as u64;
                    taken
                }
                State::Padding { left, is_zero, .. } => {
                    let taken = at_most(bytes, *left);
                    *is_zero &= is_zeros(taken);
                    *left -= taken.len() as u64;
                    taken.len()
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
            self.offset += taken as u64;
            self.advance(found);
        }
    }

    /// No more bytes will come.
    pub fn finish(mut self, found: &mut dyn FnMut(Found)) {
        let pending = std::mem::take(&mut self.pending);
        let fed_end = self.offset;
        match std::mem::replace(&mut self.state, State::Slot) {
            State::Body { start, fixed, .. } => {
                found(Found::Damaged { offset: start, bytes: fed_end - start, fixed: Some(fixed) });
                return;
            }
            // Its record was reported.
            State::Skip { .. } => return,
            State::Verified { .. } => unreachable!("`advance` leaves it"),
            State::Padding { start, is_zero: false, .. } => {
                found(Found::Damaged { offset: start, bytes: fed_end - start, fixed: None });
            }
            State::Padding { .. } => {}
            State::Slot => {
                let start = fed_end - pending.len() as u64;
                if let fixed @ Some(_) = self.fixed_at(&pending, start) {
                    self.close_gap(start, found);
                    let bytes = pending.len() as u64;
                    found(Found::Damaged { offset: start, bytes, fixed });
                    return;
                }
                if !is_zeros(&pending) {
                    self.garbage_end = fed_end;
                }
            }
        }
        if self.garbage_end > self.accounted {
            self.close_gap(self.garbage_end, found);
        } else if !self.batch_is_whole {
            let bytes = self.accounted.next_multiple_of(BATCH_ALIGNMENT) - self.accounted;
            found(Found::Damaged { offset: self.accounted, bytes, fixed: None });
        }
    }

    /// Where the log ends: behind the last good record seen, at the alignment of batches. What comes later was cut off, if no
    /// batch follows.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Zeros since the last byte that was something else.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Goes through slots as far as they can be judged; the rest waits in `pending`.
    fn slots(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found)) -> usize {
        let mut taken = 0;
        // Ends: every turn takes a slot or more, or leaves.
        while let State::Slot = self.state {
            let rest = bytes.get(taken..).unwrap_or_default();
            match self.slot(rest, self.offset + taken as u64, found) {
                Step::Taken(more) => taken += more,
                Step::Needs(needed) => {
                    self.pending.extend_from_slice(rest);
                    self.needed = needed;
                    return bytes.len();
                }
            }
        }
        taken
    }

    /// Adds to what waits, and judges it once there is enough.
    fn more_pending(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found)) -> usize {
        let wanted = self.needed.saturating_sub(self.pending.len()).max(1);
        let more = bytes.get(..wanted).unwrap_or(bytes);
        self.pending.extend_from_slice(more);
        if self.pending.len() < self.needed {
            return more.len();
        }
        let mut pending = std::mem::take(&mut self.pending);
        let start = self.offset + more.len() as u64 - pending.len() as u64;
        match self.slot(&pending, start, found) {
            Step::Taken(taken) => {
                pending.drain(..taken);
                self.needed = SLOT;
            }
            Step::Needs(needed) => self.needed = needed,
        }
        self.pending = pending;
        more.len()
    }

    /// Judges what begins at a slot.
    fn slot(&mut self, bytes: &[u8], offset: u64, found: &mut dyn FnMut(Found)) -> Step {
        let Some(slot) = bytes.get(..SLOT) else { return Step::Needs(SLOT) };
        if is_zeros(slot) {
            self.zeros += SLOT as u64;
            return Step::Taken(SLOT);
        }
        if bytes.len() < Lengths::FIXED {
            return Step::Needs(Lengths::FIXED);
        }
        self.zeros = 0;
        let Some(fixed) = self.fixed_at(bytes, offset) else {
            self.garbage_end = offset + SLOT as u64;
            return Step::Taken(SLOT);
        };
        let lengths = fixed.lengths;
        let head_bytes = usize::try_from(lengths.head).unwrap_or(usize::MAX);
        let Some(head) = bytes.get(..head_bytes) else { return Step::Needs(head_bytes) };
        self.close_gap(offset, found);
        self.batch_is_whole = lengths.is_last;
        let total = usize::try_from(lengths.total()).unwrap_or(usize::MAX);
        if self.is_brief
            && fixed.kind != Kind::Quarantine
            && let Some(record) = bytes.get(..total)
            && record::verify(record, self.spot(offset)).is_ok()
        {
            self.state = State::Verified { start: offset, fixed };
            return Step::Taken(total);
        }
        let left = u64::from(lengths.body);
        match Head::decode(head, self.spot(offset)) {
            Ok((head, _)) => {
                let (start, head, blocks) = (offset, Box::new(head), Blocks::default());
                self.state = State::Body { start, head, fixed, left, blocks };
            }
            Err(_) => {
                found(Found::Damaged { offset, bytes: lengths.total(), fixed: Some(fixed) });
                self.state = State::Skip { left, is_last: lengths.is_last };
            }
        }
        Step::Taken(head_bytes)
    }

    /// Leaves states that have all their bytes.
    fn advance(&mut self, found: &mut dyn FnMut(Found)) {
        // The end of a body may be the end of its padding: two turns at most.
        if matches!(self.state, State::Body { left: 0, .. } | State::Skip { left: 0, .. } | State::Verified { .. }) {
            let is_last = match std::mem::replace(&mut self.state, State::Slot) {
                State::Body { start, head, fixed, blocks, .. } => {
                    self.end_record(start, head, fixed, blocks, found);
                    fixed.lengths.is_last
                }
                State::Verified { start, fixed } => {
                    self.end = self.offset.next_multiple_of(BATCH_ALIGNMENT);
                    found(Found::Brief { offset: start, fixed });
                    fixed.lengths.is_last
                }
                State::Skip { is_last, .. } => is_last,
                State::Slot | State::Padding { .. } => unreachable!("matched above"),
            };
            let start = self.offset;
            self.accounted = start.next_multiple_of(if is_last { BATCH_ALIGNMENT } else { RECORD_ALIGNMENT });
            self.state = State::Padding { start, left: self.accounted - start, is_zero: true };
        }
        if let State::Padding { start, left: 0, is_zero } = self.state {
            if !is_zero {
                found(Found::Damaged { offset: start, bytes: self.accounted - start, fixed: None });
            }
            self.state = State::Slot;
        }
    }

    fn end_record(&mut self, start: u64, head: Box<Head>, fixed: Fixed, blocks: Blocks, found: &mut dyn FnMut(Found)) {
        let lengths = fixed.lengths;
        // The checksums of a large object are those of its file.
        if lengths.body == 0 || blocks.finish() == head.checksums {
            self.end = self.offset.next_multiple_of(BATCH_ALIGNMENT);
            found(match self.is_brief && fixed.kind != Kind::Quarantine {
                true => Found::Brief { offset: start, fixed },
                false => Found::Record { offset: start, lengths, head },
            });
        } else {
            found(Found::Damaged { offset: start, bytes: lengths.total(), fixed: Some(fixed) });
        }
    }

    /// Reports what lies between the last thing accounted for and `offset`.
    fn close_gap(&mut self, offset: u64, found: &mut dyn FnMut(Found)) {
        let from = std::mem::replace(&mut self.accounted, offset);
        if offset > from {
            found(Found::Damaged { offset: from, bytes: offset - from, fixed: None });
        }
    }

    fn fixed_at(&self, bytes: &[u8], offset: u64) -> Option<Fixed> {
        let fixed: &[u8; Lengths::FIXED] = bytes.first_chunk()?;
        Fixed::decode(fixed, self.spot(offset)).ok().flatten()
    }

    fn spot(&self, offset: u64) -> Spot {
        Spot { store: self.store, volume: self.volume, offset }
    }
}

const SLOT: usize = 64;
const _: () = assert!(SLOT as u64 == RECORD_ALIGNMENT, "a slot is where a record may begin");

fn at_most(bytes: &[u8], length: u64) -> &[u8] {
    bytes.get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or(bytes)
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, byte| all | byte) == 0
}

#[cfg(test)]
pub(super) mod tests;
