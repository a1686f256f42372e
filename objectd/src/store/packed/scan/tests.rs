//! Scans of volumes as the log lays them out: whole, torn, with flipped bits, and of bytes that are none.

use super::*;
use crate::store::diskfile::Version;
use crate::store::metadata::Metadata;
use crate::store::packed::record::{Identity, Kind, checksums};
use base::hash_path::NameHash;
use base::timestamp::Timestamp;
use bytes::Bytes;
use proptest::prelude::*;

const STORE: u64 = 0x5eed;
const VOLUME: u32 = 3;

fn head(number: u64, body: &Bytes) -> Head {
    let mut metadata = Metadata::new();
    metadata.set("Content-Type", "text/plain");
    metadata.set("X-Object-Meta-Number", number.to_string());
    let (kind, version, body_bytes, checks) = match number % 5 {
        0 => (Kind::Packed, Version::Tombstone(Timestamp::from_raw(number, 0)), 0, Vec::new()),
        1 => {
            let content_type = Some(Timestamp::from_raw(number, 1));
            let timestamp = Timestamp::from_raw(number, 2);
            (Kind::Packed, Version::Meta { timestamp, content_type }, 0, Vec::new())
        }
        2 => (Kind::Large, Version::Data(Timestamp::from_raw(number, 0)), 200_000, vec![1, 2, 3, 4]),
        _ => {
            let checks = checksums(std::slice::from_ref(body));
            (Kind::Packed, Version::Data(Timestamp::from_raw(number, 0)), body.len() as u64, checks)
        }
    };
    let identity = Identity { policy: 1, hash: NameHash([7; 16]), name: format!("/a/c/o{number}") };
    Head { kind, identity, version, metadata, body_bytes, checksums: checks }
}

/// Batches of records, as the log lays them out from 4096 on; where each record is, and where each batch begins.
struct Written {
    bytes: Vec<u8>,
    records: Vec<(u64, u64, u64)>,
    batches: Vec<usize>,
}

fn write(batches: &[Vec<usize>]) -> Written {
    let mut written = Written { bytes: Vec::new(), records: Vec::new(), batches: Vec::new() };
    let mut number = 0;
    for (sequence, sizes) in batches.iter().enumerate() {
        written.batches.push(written.bytes.len());
        for size in sizes {
            number += 1;
            let body = Bytes::from(vec![u8::try_from(number % 251).unwrap(); *size]);
            let head = head(number, &body);
            let offset = 4096 + written.bytes.len() as u64;
            let start = written.bytes.len();
            let spot = Spot { store: STORE, volume: VOLUME, offset };
            written.bytes.extend(head.encode().unwrap().finish(sequence as u64, spot, false));
            if head.kind == Kind::Packed && head.body_bytes > 0 {
                written.bytes.extend_from_slice(&body);
            }
            written.records.push((number, offset, (written.bytes.len() - start) as u64));
            written.bytes.resize(written.bytes.len().next_multiple_of(64), 0);
        }
        written.bytes.resize(written.bytes.len().next_multiple_of(4096), 0);
    }
    written
}

fn scan(bytes: &[u8], piece: usize) -> (Vec<Found>, u64) {
    let mut scanner = Scanner::new(STORE, VOLUME, 4096);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        scanner.feed(piece, &mut |item| found.push(item));
    }
    let end = scanner.end();
    scanner.finish(&mut |item| found.push(item));
    (found, end)
}

fn records(found: &[Found]) -> Vec<u64> {
    let offsets = found.iter().filter_map(|item| match item {
        Found::Record { offset, .. } => Some(*offset),
        Found::Damaged { .. } => None,
    });
    offsets.collect()
}

fn any_batches() -> impl Strategy<Value = Vec<Vec<usize>>> {
    proptest::collection::vec(proptest::collection::vec(prop_oneof![0_usize..300, 60_000_usize..140_000], 1..5), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_written_is_found_whatever_the_pieces(batches in any_batches(), piece in 1_usize..70_000) {
        let written = write(&batches);
        let (found, end) = scan(&written.bytes, piece);
        let wanted: Vec<u64> = written.records.iter().map(|(_, offset, _)| *offset).collect();
        prop_assert_eq!(records(&found), wanted);
        prop_assert_eq!(found.len(), written.records.len());
        prop_assert_eq!(end, 4096 + written.bytes.len() as u64);
        for (item, (number, _, length)) in found.iter().zip(&written.records) {
            let Found::Record { lengths, head, .. } = item else { unreachable!() };
            prop_assert_eq!(&head.identity.name, &format!("/a/c/o{number}"));
            prop_assert_eq!(lengths.total(), *length);
        }
    }

    #[test]
    fn a_flipped_bit_costs_the_record_it_hits_and_no_other(
        batches in any_batches(), bit in any::<prop::sample::Index>(), piece in 1_usize..70_000,
    ) {
        let mut written = write(&batches);
        let bit = bit.index(written.bytes.len() * 8);
        written.bytes[bit / 8] ^= 1 << (bit % 8);
        let hit = 4096 + (bit / 8) as u64;
        let (found, _) = scan(&written.bytes, piece);
        let wanted: Vec<u64> = written
            .records
            .iter()
            .filter(|(_, offset, length)| !(*offset..offset + length).contains(&hit))
            .map(|(_, offset, _)| *offset)
            .collect();
        prop_assert_eq!(records(&found), wanted);
        let noticed = found.iter().any(|item| matches!(
            item, Found::Damaged { offset, bytes, .. } if (*offset..offset + bytes).contains(&hit)
        ));
        prop_assert!(noticed, "{:?}", found);
    }

    #[test]
    fn sectors_lost_in_the_last_batch_cost_only_records_there(
        batches in any_batches(), lost in any::<u64>(), piece in 1_usize..70_000,
    ) {
        let mut written = write(&batches);
        let last = *written.batches.last().unwrap();
        for (number, sector) in written.bytes[last..].chunks_mut(512).enumerate() {
            if lost >> (number % 64) & 1 == 1 {
                sector.fill(0);
            }
        }
        let (found, _) = scan(&written.bytes, piece);
        let found = records(&found);
        for (_, offset, _) in written.records.iter().filter(|(_, offset, _)| *offset < 4096 + last as u64) {
            prop_assert!(found.contains(offset));
        }
        prop_assert!(found.iter().all(|offset| written.records.iter().any(|(_, known, _)| known == offset)));
    }

    #[test]
    fn any_bytes_at_all_are_scanned_to_their_end(bytes in proptest::collection::vec(any::<u8>(), 0..5000), piece in 1_usize..999) {
        let (found, _) = scan(&bytes, piece);
        prop_assert!(records(&found).is_empty());
    }
}

#[test]
fn a_record_at_another_place_is_none() {
    let written = write(&[vec![100]]);
    let mut moved = vec![0; 4096];
    moved.extend(&written.bytes);
    let (found, _) = scan(&moved, 1000);
    assert!(records(&found).is_empty());
    assert!(matches!(found.as_slice(), [Found::Damaged { .. }]), "{found:?}");
}
