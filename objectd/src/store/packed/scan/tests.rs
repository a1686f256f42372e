//! What was written is found, what was damaged is noticed, nothing else is found: against every kind of damage.

use super::*;
use crate::store::packed::record::tests::any_record;
use bytes::Bytes;
use proptest::prelude::*;
use std::ops::Range;

pub(in crate::store::packed) const STORE: u64 = 0x5eed;
const VOLUME: u32 = 3;
const START: u64 = 4096;

/// A record that was written.
#[derive(Clone, Debug)]
pub(in crate::store::packed) struct Placed {
    pub(in crate::store::packed) offset: u64,
    pub(in crate::store::packed) lengths: Lengths,
    pub(in crate::store::packed) head: Head,
}

impl Placed {
    pub(in crate::store::packed) fn range(&self) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap();
        start..start + usize::try_from(self.lengths.total()).unwrap()
    }
}

/// Bytes of a volume from its beginning, and what is in them.
#[derive(Clone, Debug, Default)]
pub(in crate::store::packed) struct Written {
    pub(in crate::store::packed) bytes: Vec<u8>,
    pub(in crate::store::packed) records: Vec<Placed>,
    pub(in crate::store::packed) batches: Vec<Range<usize>>,
}

pub(in crate::store::packed) type Batch = Vec<(Head, Bytes)>;

impl Written {
    /// Nothing but room for the header.
    pub(in crate::store::packed) fn new() -> Self {
        Written { bytes: vec![0; usize::try_from(START).unwrap()], ..Written::default() }
    }

    /// Adds a batch as the log lays it out.
    pub(in crate::store::packed) fn batch(&mut self, volume: u32, sequence: u64, batch: &Batch) {
        let begin = self.bytes.len();
        for (number, (head, body)) in batch.iter().enumerate() {
            let offset = self.bytes.len() as u64;
            let is_last = number + 1 == batch.len();
            let head_bytes = head.encode().unwrap().finish(sequence, Spot { store: STORE, volume, offset }, is_last);
            let lengths = Lengths { sequence, head: head_bytes.len() as u32, body: body.len() as u32, is_last };
            self.bytes.extend(head_bytes);
            self.bytes.extend_from_slice(body);
            self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
            self.records.push(Placed { offset, lengths, head: head.clone() });
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4096), 0);
        self.batches.push(begin..self.bytes.len());
    }

    fn of(batches: &[Batch]) -> Self {
        let mut written = Written::new();
        for (sequence, batch) in batches.iter().enumerate() {
            written.batch(VOLUME, 100 + sequence as u64, batch);
        }
        written
    }

    /// Records whose bytes are the same in `damaged`, which may be shorter.
    pub(in crate::store::packed) fn intact(&self, damaged: &[u8]) -> Vec<u64> {
        let is_intact = |record: &&Placed| damaged.get(record.range()) == Some(&self.bytes[record.range()]);
        self.records.iter().filter(is_intact).map(|record| record.offset).collect()
    }
}

/// Scans what is behind the header, in pieces of that size, in both ways.
pub(in crate::store::packed) fn scan(volume: u32, bytes: &[u8], piece: usize) -> (Vec<Found>, u64) {
    let scan = |mut scanner: Scanner| {
        let mut found = Vec::new();
        for piece in bytes[usize::try_from(START).unwrap()..].chunks(piece.max(1)) {
            scanner.feed(piece, &mut |item| found.push(item));
        }
        let (end, zeros) = (scanner.end(), scanner.zeros());
        scanner.finish(&mut |item| found.push(item));
        (found, end, zeros)
    };
    let (found, end, zeros) = scan(Scanner::new(STORE, volume, START));
    let (brief, brief_end, brief_zeros) = scan(Scanner::brief(STORE, volume, START));
    assert_eq!(brief, found.iter().map(in_brief).collect::<Vec<_>>());
    assert_eq!((brief_end, brief_zeros), (end, zeros));
    (found, end)
}

fn in_brief(found: &Found) -> Found {
    match found {
        Found::Record { offset, lengths, head } if head.kind != Kind::Quarantine => {
            let (kind, policy, hash) = (head.kind, head.identity.policy, head.identity.hash);
            let fixed = Fixed { kind, policy, hash, version: head.version, lengths: *lengths };
            Found::Brief { offset: *offset, fixed }
        }
        found => found.clone(),
    }
}

pub(in crate::store::packed) fn records(found: &[Found]) -> Vec<u64> {
    let offsets = found.iter().filter_map(|item| match item {
        Found::Record { offset, .. } => Some(*offset),
        Found::Damaged { .. } | Found::Brief { .. } => None,
    });
    offsets.collect()
}

fn is_reported(found: &[Found], range: Range<u64>) -> bool {
    found.iter().any(
        |item| matches!(item, Found::Damaged { offset, bytes, .. } if *offset < range.end && range.start < offset + bytes),
    )
}

pub(in crate::store::packed) fn any_batch() -> impl Strategy<Value = Batch> {
    proptest::collection::vec(any_record(), 1..5)
}

fn any_batches() -> impl Strategy<Value = Vec<Batch>> {
    proptest::collection::vec(any_batch(), 1..6)
}

fn any_piece() -> impl Strategy<Value = usize> {
    prop_oneof![1_usize..200, 200_usize..10_000, Just(1 << 20)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn everything_written_is_found_whatever_the_pieces(batches in any_batches(), piece in any_piece(), zeros in 0..3_usize) {
        let mut written = Written::of(&batches);
        let end = written.bytes.len();
        written.bytes.resize(end + zeros * 4096, 0);
        let (found, found_end) = scan(VOLUME, &written.bytes, piece);
        let wanted: Vec<Found> = written
            .records
            .iter()
            .map(|record| Found::Record { offset: record.offset, lengths: record.lengths, head: Box::new(record.head.clone()) })
            .collect();
        prop_assert_eq!(found, wanted);
        prop_assert_eq!(found_end, end as u64);
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_costs_only_the_record_it_hits(
        batches in any_batches(), bit in any::<prop::sample::Index>(), piece in any_piece(),
    ) {
        let written = Written::of(&batches);
        let mut damaged = written.bytes.clone();
        let bit = 4096 * 8 + bit.index((damaged.len() - 4096) * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (found, _) = scan(VOLUME, &damaged, piece);
        prop_assert_eq!(records(&found), written.intact(&damaged));
        let hit = (bit / 8) as u64;
        prop_assert!(is_reported(&found, hit..hit + 1), "{:?}", found);
        prop_assert_eq!(&found, &scan(VOLUME, &damaged, usize::MAX).0);
    }

    #[test]
    fn a_tail_cut_off_at_any_sector_leaves_what_was_whole(
        batches in any_batches(), cut in any::<prop::sample::Index>(), piece in any_piece(), zeros: bool,
    ) {
        let written = Written::of(&batches);
        let cut = 4096 + cut.index((written.bytes.len() - 4096) / 512 + 1) * 512;
        let mut damaged = written.bytes[..cut].to_vec();
        if zeros {
            damaged.resize(written.bytes.len(), 0);
        }
        let (found, end) = scan(VOLUME, &damaged, piece);
        let intact = written.intact(&damaged);
        prop_assert_eq!(records(&found), intact.clone());
        // A batch that is cut is noticed, unless nothing of it is left.
        let is_cut = |batch: &&Range<usize>| batch.start < cut && damaged.get((*batch).clone()) != Some(&written.bytes[(*batch).clone()]);
        let cut_batch = written.batches.iter().find(is_cut);
        let is_padding_cut = cut_batch.is_some_and(|batch| {
            written.records.iter().filter(|record| batch.contains(&record.range().start)).all(|record| intact.contains(&record.offset))
        });
        prop_assert_eq!(found.len() > intact.len(), cut_batch.is_some() && !is_padding_cut);
        prop_assert!(end.is_multiple_of(4096));
    }

    #[test]
    fn sectors_lost_from_the_last_batch_cost_only_records_there(
        batches in any_batches(), lost: u64, fill in prop_oneof![Just(0_u8), any::<u8>()], piece in any_piece(),
    ) {
        let written = Written::of(&batches);
        let mut damaged = written.bytes.clone();
        let last = written.batches.last().unwrap().clone();
        for (number, sector) in damaged[last].chunks_mut(512).enumerate() {
            if lost >> (number % 64) & 1 == 1 {
                sector.fill(fill);
            }
        }
        let (found, _) = scan(VOLUME, &damaged, piece);
        prop_assert_eq!(records(&found), written.intact(&damaged));
    }

    #[test]
    fn whatever_is_written_over_a_volume_what_is_intact_is_found_and_what_is_not_is_noticed(
        batches in any_batches(),
        writes in proptest::collection::vec((any::<prop::sample::Index>(), 1..9000_usize, any::<u8>(), any::<prop::sample::Index>()), 1..6),
        piece in any_piece(),
    ) {
        let written = Written::of(&batches);
        let mut damaged = written.bytes.clone();
        for (at, length, kind, other) in writes {
            let at = 4096 + at.index(damaged.len() - 4096);
            let length = length.min(damaged.len() - at);
            match kind % 3 {
                0 => damaged[at..at + length].fill(0),
                1 => damaged[at..at + length].iter_mut().enumerate().for_each(|(n, byte)| *byte = byte.wrapping_add((n % 250 + 1) as u8)),
                // A write meant for another place.
                _ => {
                    let from = other.index(damaged.len() - length + 1) / 64 * 64;
                    let at = at / 64 * 64;
                    damaged.copy_within(from..from + length, at);
                }
            }
        }
        let (found, _) = scan(VOLUME, &damaged, piece);
        let intact = written.intact(&damaged);
        prop_assert_eq!(records(&found), intact.clone());
        for record in written.records.iter().filter(|record| !intact.contains(&record.offset)) {
            let batch = written.batches.iter().find(|batch| batch.contains(&record.range().start)).unwrap();
            let any_left_of = |from: usize| damaged[from..].iter().any(|byte| *byte != 0);
            // Zeros to the end of the volume cannot be told from what was never written, but a batch that has begun misses its end.
            if any_left_of(record.range().start) {
                prop_assert!(is_reported(&found, record.range().start as u64..record.range().end as u64), "{:?} {:?}", record, found);
            } else if any_left_of(batch.start) {
                prop_assert!(is_reported(&found, batch.start as u64..batch.end as u64), "{:?} {:?}", record, found);
            }
        }
        prop_assert_eq!(&found, &scan(VOLUME, &damaged, usize::MAX).0);
    }

    #[test]
    fn any_bytes_at_all_are_scanned_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 4096..9000), piece in any_piece()) {
        let (found, _) = scan(VOLUME, &bytes, piece);
        prop_assert!(records(&found).is_empty());
        prop_assert!(found.len() <= 1);
    }
}

pub(in crate::store::packed) fn small_batch() -> Batch {
    let mut metadata = crate::store::metadata::Metadata::new();
    metadata.set("Content-Type", "text/plain");
    let body = Bytes::from_static(b"some bytes");
    let identity = crate::store::packed::record::Identity {
        policy: 0,
        hash: base::hash_path::NameHash([7; 16]),
        name: "/a/c/o".to_owned(),
    };
    let version = crate::store::diskfile::Version::Data(base::timestamp::Timestamp::from_raw(7, 0));
    let checksums = crate::store::packed::record::checksums(std::slice::from_ref(&body));
    let kind = crate::store::packed::record::Kind::Packed;
    vec![(Head { kind, identity, version, metadata, body_bytes: 10, checksums }, body)]
}

#[test]
fn a_record_at_another_place_is_none() {
    let written = Written::of(&[small_batch()]);
    let mut moved = written.bytes.clone();
    moved.extend_from_within(4096..);
    moved[4096..8192].fill(0);
    let (found, end) = scan(VOLUME, &moved, 1000);
    assert!(matches!(found.as_slice(), [Found::Damaged { offset: 4096, fixed: None, .. }]), "{found:?}");
    assert_eq!(end, 4096);
    // Nor in another volume.
    assert!(records(&scan(VOLUME + 1, &written.bytes, 1000).0).is_empty());
}

#[test]
fn a_volume_in_the_body_of_an_object_is_never_taken_for_the_log() {
    // A client stores the copy of a volume; then the head of that object rots, so that the scan looks into the body.
    let copy = Written::of(&[small_batch(), small_batch()]).bytes;
    let mut batch = small_batch();
    batch[0].0.body_bytes = copy.len() as u64;
    batch[0].0.checksums = crate::store::packed::record::checksums(&[Bytes::from(copy.clone())]);
    batch[0].1 = Bytes::from(copy);
    let mut written = Written::of(&[batch, small_batch()]);
    written.bytes[4100] ^= 1;
    let (found, _) = scan(VOLUME, &written.bytes, 1000);
    assert_eq!(records(&found), vec![written.records[1].offset]);
}

#[test]
fn a_batch_of_zeros_between_two_others_is_reported() {
    let mut written = Written::of(&[small_batch(), small_batch(), small_batch()]);
    written.bytes[8192..12_288].fill(0);
    let (found, end) = scan(VOLUME, &written.bytes, 1000);
    assert_eq!(records(&found), vec![4096, 12_288]);
    assert_eq!(found[1], Found::Damaged { offset: 8192, bytes: 4096, fixed: None });
    assert_eq!(end, 16_384);
}

#[test]
fn zeros_are_counted_from_the_last_byte_that_was_something_else() {
    let written = Written::of(&[small_batch()]);
    let mut scanner = Scanner::new(STORE, VOLUME, START);
    let mut count = 0;
    scanner.feed(&written.bytes[4096..], &mut |_| count += 1);
    assert_eq!((scanner.zeros(), count), (0, 1));
    scanner.feed(&[0; 10_000], &mut |_| count += 1);
    assert_eq!((scanner.zeros(), count), (9984, 1));
    scanner.feed(&[1; 200], &mut |_| count += 1);
    assert!(scanner.zeros() < 64);
    assert_eq!(count, 1);
}
