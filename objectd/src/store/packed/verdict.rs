//! Core: whether damage in the log was acknowledged once. No I/O, no clock, no async.
//!
//! A batch is written only after the one before it was synced. So damage in a batch that has a successor anywhere in the log was
//! acknowledged: it is lost here, and the replicas have it. Damage in the last batch of all is a write that was cut off: nobody was told of
//! it. (Nothing on the disk tells a torn last batch from a last batch that rotted after it was acknowledged. Its records
//! are not read as if they were good, and the replicas heal what is missing.)
//!
//! What damage without a head belongs to is told by its neighbours: records come in the order of their batches, and the last of each batch
//! says so. It belongs at least to the batch of the record before it, or to the next one when that record was the last.
//!
//! # Use
//!
//! `Judge::new` with the number of the first batch; then for every volume in order `volume`, and `see` for everything its scan finds; `judged`
//! now and then; `finish` at the end, which also says where the log goes on.
//!
//! # Invariants
//!
//! - Every `Found::Damaged` is judged once. What is lost is judged as soon as the record is seen that proves it, so what waits is never more than
//!   the damage of one batch.
//! - A volume given up after a crash is judged for ever as it was then: the header of the next one says what had been acknowledged.

use super::record::{BATCH_ALIGNMENT, Fixed, Lengths, RECORD_ALIGNMENT};
use super::scan::Found;
use super::volume::{HEADER_BYTES, Header};

/// What to do about damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was acknowledged: what it held must be quarantined and healed, the operator told. Where the record is known the index must name
    /// it all the same: reading it quarantines the object, while leaving it out would serve an older version.
    Lost,
    /// It lies in front of good records, but belongs to a batch that was never acknowledged. When the record is known it counts as a dead one.
    Unacknowledged,
    /// It lies behind the end of the log and is never looked at again.
    CutOff,
    /// Only padding changed. Nothing is lost; the disk is not what it should be.
    Padding,
}

/// Damage with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// In this volume.
    pub volume: u32,
    /// From here.
    pub offset: u64,
    /// That many bytes.
    pub bytes: u64,
    /// What the record there is, when its fixed part could be read.
    pub fixed: Option<Fixed>,
    /// See there.
    pub verdict: Verdict,
}

/// Where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Behind the last good record, in this volume; zero when there was none.
    pub volume: u32,
    /// At this byte, a multiple of `BATCH_ALIGNMENT`. It is `previous_end` of the next volume.
    pub offset: u64,
    /// Number of the next batch: `first_sequence` of the next volume.
    pub sequence: u64,
    /// Batches below this were acknowledged: `acknowledged` of the next volume.
    pub acknowledged: u64,
    /// The next batch may go behind the last one. If not, a new volume has to be begun.
    pub is_whole: bool,
}

/// Judges the damage of a log while it is scanned.
pub struct Judge {
    volume: u32,
    /// Behind the last good record.
    end: u64,
    /// Behind the last thing seen.
    seen: u64,
    /// The batch of what comes next: that number or a later one.
    next: u64,
    /// Highest number seen, and one.
    sequence: u64,
    /// Behind the last record, up to where the next one may begin.
    padding: (u64, u64),
    /// Damage and the earliest batch it may belong to.
    waiting: Vec<(u64, Judged)>,
    judged: Vec<Judged>,
}

impl Judge {
    /// For a scan that begins with the batch of this number.
    pub fn new(sequence: u64) -> Self {
        let (waiting, judged) = (Vec::new(), Vec::new());
        Self { volume: 0, end: 0, seen: 0, next: sequence, sequence, padding: (0, 0), waiting, judged }
    }

    /// The scan goes on in a volume, at its first batch or in the first volume at `offset`. A header that does not know where the log ended
    /// before (`previous_end` is zero: it is damaged) decides nothing; the records behind it will.
    pub fn volume(&mut self, header: &Header, offset: u64) {
        debug_assert!(offset >= HEADER_BYTES, "batches begin behind the header");
        if self.volume > 0 && header.previous_end > 0 {
            self.end_volume(header);
        }
        (self.volume, self.end, self.seen, self.padding) = (header.volume, offset, offset, (0, 0));
        self.next = self.next.max(header.first_sequence);
        self.sequence = self.sequence.max(header.first_sequence);
    }

    /// Judges what waits in the volume before this header's.
    fn end_volume(&mut self, header: &Header) {
        if self.seen < header.previous_end {
            // The log went further: what is missing there is zeros now.
            let (from, bytes) = (self.seen, header.previous_end - self.seen);
            self.damaged(from, bytes, None);
        }
        for (earliest, mut damage) in std::mem::take(&mut self.waiting) {
            damage.verdict = match earliest {
                _ if damage.volume == self.volume && damage.offset >= header.previous_end => Verdict::CutOff,
                earliest if earliest >= header.acknowledged => Verdict::Unacknowledged,
                _ => Verdict::Lost,
            };
            self.judged.push(damage);
        }
    }

    /// Takes what the scan found, in order.
    pub fn see(&mut self, found: &Found) {
        match found {
            Found::Record { offset, lengths, .. } => {
                self.record(*offset, *lengths);
                self.end = (offset + lengths.total()).next_multiple_of(BATCH_ALIGNMENT);
            }
            Found::Brief { offset, fixed } => {
                self.record(*offset, fixed.lengths);
                self.end = (offset + fixed.lengths.total()).next_multiple_of(BATCH_ALIGNMENT);
            }
            Found::Damaged { offset, bytes, fixed } => {
                if let Some(fixed) = fixed {
                    self.record(*offset, fixed.lengths);
                }
                self.damaged(*offset, *bytes, *fixed);
            }
        }
    }

    /// What was judged since the last call.
    pub fn judged(&mut self) -> Vec<Judged> {
        std::mem::take(&mut self.judged)
    }

    /// The log is at its end: what still waits was never acknowledged.
    pub fn finish(mut self) -> (Vec<Judged>, End) {
        let end = self.end;
        let acknowledged = self.waiting.iter().map(|(earliest, _)| *earliest).min();
        for (_, mut damage) in std::mem::take(&mut self.waiting) {
            let is_behind = damage.volume == self.volume && damage.offset >= end;
            damage.verdict = if is_behind { Verdict::CutOff } else { Verdict::Unacknowledged };
            self.judged.push(damage);
        }
        let end = End {
            volume: self.volume,
            offset: end,
            sequence: self.sequence,
            acknowledged: acknowledged.unwrap_or(self.sequence),
            is_whole: acknowledged.is_none(),
        };
        (self.judged, end)
    }

    /// A record that was written there, whole or not: a witness for the batches before its own.
    fn record(&mut self, offset: u64, lengths: Lengths) {
        if !self.waiting.is_empty() {
            let (lost, waiting) =
                std::mem::take(&mut self.waiting).into_iter().partition(|(earliest, _)| *earliest < lengths.sequence);
            self.waiting = waiting;
            self.judge_lost(lost);
        }
        let end = offset + lengths.total();
        let alignment = if lengths.is_last { BATCH_ALIGNMENT } else { RECORD_ALIGNMENT };
        self.padding = (end, end.next_multiple_of(alignment));
        self.next = lengths.sequence + u64::from(lengths.is_last);
        self.sequence = self.sequence.max(lengths.sequence + 1);
        self.seen = self.seen.max(end.next_multiple_of(BATCH_ALIGNMENT));
    }

    fn judge_lost(&mut self, lost: Vec<(u64, Judged)>) {
        self.judged.extend(lost.into_iter().map(|(_, damage)| Judged { verdict: Verdict::Lost, ..damage }));
    }

    fn damaged(&mut self, offset: u64, bytes: u64, fixed: Option<Fixed>) {
        let damage = Judged { volume: self.volume, offset, bytes, fixed, verdict: Verdict::Padding };
        let (padding, padding_end) = self.padding;
        if fixed.is_none() && bytes > 0 && offset >= padding && offset + bytes <= padding_end {
            self.judged.push(damage);
            return;
        }
        self.seen = self.seen.max((offset + bytes).next_multiple_of(BATCH_ALIGNMENT));
        self.waiting.push((fixed.map_or(self.next, |fixed| fixed.lengths.sequence), damage));
    }
}

#[cfg(test)]
mod tests;
