//! Core: what a scan of a volume's bytes finds. No I/O, no clock, no async.
//!
//! # Invariants
//!
//! - A record is found exactly when all its bytes are what was written, and all bytes that are neither a record nor zeros are reported.
//! - Behind damage the scan goes on at the next slot of 64 bytes that holds a head made for that very place. Bytes of a client's object cannot
//!   look like one: they would have to know the number of the store.
//! - The work is linear in the input whatever the bytes say, and memory is bounded by one head and what is fed.
//!
//! # Torn or lost
//!
//! A batch is written only after the one before it was synced. Damage in a batch that has a successor anywhere in the log was
//! acknowledged once: it is lost here, and the replicas have it. Damage behind the last batch is a write that was cut off.

use super::record::{BATCH_ALIGNMENT, Blocks, Head, Lengths, RECORD_ALIGNMENT, Spot};

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
    /// Bytes that are no record.
    Damaged {
        /// From here.
        offset: u64,
        /// That many bytes.
        bytes: u64,
        /// Its lengths and batch, when they could be read.
        lengths: Option<Lengths>,
        /// The head, when only the body is damaged.
        head: Option<Box<Head>>,
    },
}

/// Takes the bytes of a volume piece by piece and says what is in them.
pub struct Scanner {
    store: u64,
    volume: u32,
    /// Offset of the first byte of `pending`.
    offset: u64,
    pending: Vec<u8>,
    state: State,
    zeros: u64,
    end: u64,
    damaged_from: Option<u64>,
}

enum State {
    /// At a slot: a record begins here, or nothing does.
    Slot,
    /// In the body of a record.
    Body { start: u64, head: Box<Head>, lengths: Lengths, left: u64, blocks: Blocks },
    /// In a record whose name or metadata are damaged: its lengths can be trusted.
    Skip { left: u64 },
    /// Between the end of a record and the next slot.
    Padding { left: u64 },
}

impl Scanner {
    /// A scan of the volume that starts at `offset`, where a batch begins.
    pub fn new(store: u64, volume: u32, offset: u64) -> Self {
        debug_assert!(offset.is_multiple_of(RECORD_ALIGNMENT));
        let pending = Vec::new();
        Self { store, volume, offset, pending, state: State::Slot, zeros: 0, end: offset, damaged_from: None }
    }

    /// Feeds the next bytes and hands out what is complete.
    pub fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found)) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = pending.as_slice();
        // Ends: every turn takes bytes, or changes a state that then waits for more.
        while let Some(taken) = self.step(rest, found) {
            rest = rest.get(taken..).unwrap_or_default();
            self.offset += taken as u64;
        }
        self.pending = rest.to_vec();
    }

    /// No more bytes will come.
    pub fn finish(mut self, found: &mut dyn FnMut(Found)) {
        let left = self.pending.len() as u64;
        match std::mem::replace(&mut self.state, State::Slot) {
            State::Body { start, head, lengths, .. } => {
                let bytes = self.offset + left - start;
                found(Found::Damaged { offset: start, bytes, lengths: Some(lengths), head: Some(head) });
            }
            State::Slot if self.pending.iter().any(|byte| *byte != 0) => {
                let from = *self.damaged_from.get_or_insert(self.offset);
                self.damaged_from = Some(from);
                self.offset += left;
            }
            State::Slot | State::Skip { .. } | State::Padding { .. } => {}
        }
        self.close_damage(found);
    }

    /// Where the next batch would go: behind the last record seen, at the alignment of batches.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Zeros since the last byte that was something else.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// One step; the bytes it took, or `None` when it needs more.
    fn step(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found)) -> Option<usize> {
        match &mut self.state {
            State::Slot => self.slot(bytes, found),
            State::Body { left, blocks, .. } => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                blocks.update(bytes.get(..taken).unwrap_or_default());
                *left -= taken as u64;
                if *left > 0 {
                    return (taken > 0).then_some(taken);
                }
                self.end_record(taken as u64, found);
                Some(taken)
            }
            State::Skip { left } => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::Slot;
                    return Some(taken);
                }
                (taken > 0).then_some(taken)
            }
            State::Padding { left } => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                let padding = bytes.get(..wanted)?;
                if padding.iter().any(|byte| *byte != 0) {
                    found(Found::Damaged { offset: self.offset, bytes: *left, lengths: None, head: None });
                }
                self.state = State::Slot;
                Some(wanted)
            }
        }
    }

    fn slot(&mut self, bytes: &[u8], found: &mut dyn FnMut(Found)) -> Option<usize> {
        const SLOT: usize = 64;
        const _: () = assert!(SLOT as u64 == RECORD_ALIGNMENT, "a slot is where a record may begin");
        let slot = bytes.get(..SLOT)?;
        if slot.iter().all(|byte| *byte == 0) {
            self.close_damage(found);
            self.zeros += SLOT as u64;
            return Some(SLOT);
        }
        let fixed: &[u8; Lengths::FIXED] = bytes.first_chunk()?;
        let spot = Spot { store: self.store, volume: self.volume, offset: self.offset };
        let Ok(Some(lengths)) = Lengths::decode(fixed, spot) else {
            self.zeros = 0;
            self.damaged_from.get_or_insert(self.offset);
            return Some(SLOT);
        };
        let head_bytes = usize::try_from(lengths.head).unwrap_or(usize::MAX);
        let head = bytes.get(..head_bytes)?;
        self.close_damage(found);
        self.zeros = 0;
        let start = self.offset;
        match Head::decode(head, spot) {
            Ok((head, lengths)) => {
                let (left, head, blocks) = (u64::from(lengths.body), Box::new(head), Blocks::default());
                self.state = State::Body { start, head, lengths, left, blocks };
                Some(head_bytes)
            }
            Err(_) => {
                let total = lengths.total();
                found(Found::Damaged { offset: start, bytes: total, lengths: Some(lengths), head: None });
                self.state = State::Skip { left: total.next_multiple_of(RECORD_ALIGNMENT) };
                self.end = (start + total).next_multiple_of(BATCH_ALIGNMENT);
                Some(0)
            }
        }
    }

    fn end_record(&mut self, taken: u64, found: &mut dyn FnMut(Found)) {
        let State::Body { start, head, lengths, blocks, .. } = std::mem::replace(&mut self.state, State::Slot) else {
            unreachable!("called at the end of a body");
        };
        let end = self.offset + taken;
        let is_whole = lengths.body == 0 || blocks.finish() == head.checksums;
        found(if is_whole {
            Found::Record { offset: start, lengths, head }
        } else {
            Found::Damaged { offset: start, bytes: lengths.total(), lengths: Some(lengths), head: Some(head) }
        });
        self.end = end.next_multiple_of(BATCH_ALIGNMENT);
        let left = end.next_multiple_of(RECORD_ALIGNMENT) - end;
        if left > 0 {
            self.state = State::Padding { left };
        }
    }

    fn close_damage(&mut self, found: &mut dyn FnMut(Found)) {
        if let Some(from) = self.damaged_from.take() {
            found(Found::Damaged { offset: from, bytes: self.offset - from, lengths: None, head: None });
        }
    }
}

#[cfg(test)]
mod tests;
