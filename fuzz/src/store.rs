//! Checks of what is read from disks.

use base::checksum::{crc32c, crc32c_append};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use objectd::store::metadata::Metadata;
use objectd::store::packed::bucket;
use objectd::store::packed::record::{Damage, Head, Kind, Lengths, Spot, checksums};
use objectd::store::packed::scan::{Found, Scanner};
use objectd::store::packed::verdict::Judge;
use objectd::store::packed::volume::Header;
use objectd::store::pickle;
use ring::{FormatVersion, Ring};
use std::io::Write;

const STORE: u64 = 0x5eed;
const VOLUME: u32 = 7;
/// Of the header, and of a batch's alignment.
const BLOCK: usize = 4096;

/// A head that is accepted is exactly what the encoder would write: nothing else is.
pub fn record_head(bytes: &[u8]) -> bool {
    let spot = Spot { store: STORE, volume: VOLUME, offset: 8192 };
    let mut forged = bytes.to_vec();
    forge(&mut forged, spot);
    check_head(bytes, spot) | check_head(&forged, spot)
}

fn check_head(bytes: &[u8], spot: Spot) -> bool {
    let Ok((head, lengths)) = Head::decode(bytes, spot) else { return false };
    let written = head.encode().expect("what was read can be written").finish(lengths.sequence, spot, lengths.is_last);
    assert_eq!(Some(written.as_slice()), bytes.get(..lengths.head as usize));
    let elsewhere = Spot { offset: spot.offset + 64, ..spot };
    assert!(Head::decode(bytes, elsewhere).is_err());
    true
}

/// Makes magic and both checksums good, as a writer gone wrong would.
fn forge(bytes: &mut [u8], spot: Spot) {
    if bytes.len() < Lengths::FIXED {
        return;
    }
    bytes[..4].copy_from_slice(b"MLR1");
    let head = u32::from_le_bytes([bytes[84], bytes[85], bytes[86], bytes[87]]) as usize;
    if let Some(rest) = bytes.get(Lengths::FIXED..head) {
        let rest = crc32c(rest).to_le_bytes();
        bytes[8..12].copy_from_slice(&rest);
    }
    let salt = crc32c(&spot.store.to_le_bytes());
    let salt = crc32c_append(crc32c_append(salt, &spot.volume.to_le_bytes()), &spot.offset.to_le_bytes());
    let fixed = crc32c_append(salt, &bytes[8..Lengths::FIXED]).to_le_bytes();
    bytes[4..8].copy_from_slice(&fixed);
}

/// A header that is accepted is exactly what the encoder would write.
pub fn volume_header(bytes: &[u8]) -> bool {
    let mut block = bytes.to_vec();
    assert!(bytes.len() >= BLOCK || Header::decode(&block).is_err());
    block.resize(BLOCK, 0);
    let check = |block: &[u8]| Header::decode(block).map(|header| assert_eq!(header.encode(), block)).is_ok();
    let is_header = check(&block);
    block[..4].copy_from_slice(b"MLV1");
    let checksum = crc32c(&block[8..]).to_le_bytes();
    block[4..8].copy_from_slice(&checksum);
    check(&block) | is_header
}

/// A scan ends, says the same whatever the pieces, reports in order, and finds nothing that does not verify.
pub fn scanner(bytes: &[u8]) -> bool {
    let Some((piece, program)) = bytes.split_first() else { return false };
    let volume = build(program);
    let found = scan(&volume, volume.len().max(1));
    assert_eq!(found, scan(&volume, usize::from(*piece) + 1));
    let mut last_end = BLOCK as u64;
    for item in &found {
        let (offset, end) = match item {
            Found::Record { offset, lengths, .. } => {
                let at = *offset as usize - BLOCK;
                Head::decode(&volume[at..], Spot { store: STORE, volume: VOLUME, offset: *offset }).expect("a head");
                (*offset, offset + lengths.total())
            }
            Found::Brief { offset, fixed } => (*offset, offset + fixed.lengths.total()),
            Found::Damaged { offset, bytes, .. } => (*offset, offset + bytes),
        };
        assert!(last_end <= offset && offset <= end, "{found:?}");
        last_end = end;
    }
    judge(&found);
    found.iter().any(|item| matches!(item, Found::Record { .. }))
}

/// All damage gets one verdict, and the log goes on at the start of a batch.
fn judge(found: &[Found]) {
    let mut judge = Judge::new(1);
    let header = Header { volume: VOLUME, store: STORE, first_sequence: 1, previous_end: 0, acknowledged: 1 };
    judge.volume(&header, BLOCK as u64);
    let mut judged = 0;
    for item in found {
        judge.see(item);
        judged += judge.judged().len();
    }
    let (rest, end) = judge.finish();
    assert_eq!(judged + rest.len(), found.iter().filter(|item| matches!(item, Found::Damaged { .. })).count());
    assert!(end.offset.is_multiple_of(BLOCK as u64) && end.acknowledged <= end.sequence);
}

fn scan(volume: &[u8], piece: usize) -> Vec<Found> {
    let mut scanner = Scanner::new(STORE, VOLUME, BLOCK as u64);
    let mut found = Vec::new();
    for piece in volume.chunks(piece) {
        scanner.feed(piece, &mut |item| found.push(item));
    }
    scanner.finish(&mut |item| found.push(item));
    found
}

/// A volume from a program: records good and forged, raw bytes, padding, flipped bits.
fn build(mut program: &[u8]) -> Vec<u8> {
    let mut volume = Vec::new();
    let mut sequence = 1;
    while let Some((step, rest)) = program.split_first() {
        let (argument, rest) = rest.split_first().map_or((0, rest), |(argument, rest)| (*argument, rest));
        let (taken, later) = rest.split_at(usize::from(argument).min(rest.len()));
        program = rest;
        let spot = Spot { store: STORE, volume: VOLUME, offset: (BLOCK + volume.len()) as u64 };
        match step % 6 {
            0 => {
                let body = Bytes::from(taken.repeat(usize::from(*step) / 6 + 1));
                let is_last = argument % 2 == 0;
                volume.extend(sample(&body).encode().expect("small").finish(sequence, spot, is_last));
                volume.extend_from_slice(&body);
                volume.resize(volume.len().next_multiple_of(if is_last { BLOCK } else { 64 }), 0);
                sequence += u64::from(is_last);
                program = later;
            }
            1 => {
                let mut forged = rest.to_vec();
                forged.truncate(Lengths::FIXED + usize::from(argument));
                program = rest.get(forged.len()..).unwrap_or_default();
                forge(&mut forged, spot);
                volume.extend(forged);
            }
            2 => {
                volume.extend_from_slice(taken);
                program = later;
            }
            3 => volume.resize((volume.len() + usize::from(argument) * 64).next_multiple_of(BLOCK), 0),
            4 => volume.resize(volume.len().next_multiple_of(64), 0),
            _ => {
                let at = usize::from(argument) * 61 % volume.len().max(1);
                if let Some(byte) = volume.get_mut(at) {
                    *byte ^= 1 << (argument % 8);
                }
            }
        }
        // Linear work is shown by speed; memory is not what is tried here.
        if volume.len() > 1 << 16 {
            break;
        }
    }
    volume
}

fn sample(body: &Bytes) -> Head {
    let mut metadata = Metadata::new();
    metadata.set("Content-Type", "text/plain");
    let hash = base::hash_path::NameHash([7; 16]);
    let identity = objectd::store::packed::record::Identity { policy: 0, hash, name: "/a/c/o".to_owned() };
    let version = objectd::store::diskfile::Version::Data(base::timestamp::Timestamp::from_raw(7, 0));
    let checksums = checksums(std::slice::from_ref(body));
    Head { kind: Kind::Packed, identity, version, metadata, body_bytes: body.len() as u64, checksums }
}

/// A bucket of the index that is accepted is exactly what would be written of its objects. The first byte says how long its key is.
pub fn index_value(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first() else { return false };
    let Some((name, value)) = rest.split_at_checked(usize::from(length % 19)) else { return false };
    let check = |value: &[u8]| -> Result<(), Damage> {
        let objects = bucket::decode(name, value)?;
        assert_eq!(bucket::divide(name.to_vec(), &objects), [(name.to_vec(), value.to_vec())]);
        for (key, entry) in &objects {
            assert_eq!(bucket::find(name, value, key)?.as_ref(), Some(entry));
            entry.choose();
        }
        Ok(())
    };
    check(value).is_ok() | forged_bucket(name, value).is_some_and(|forged| check(&forged).is_ok())
}

/// A bucket with the checksums of its sections and its own made good.
fn forged_bucket(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut forged = value.to_vec();
    let directory = 6 + usize::from(*forged.get(4)?);
    let objects = directory + 10 * usize::from(*forged.get(directory - 1)?);
    let mut start = objects;
    for section in (directory..objects).step_by(10) {
        let end = objects + usize::from(u16::from_le_bytes(*forged.get(section + 4..)?.first_chunk()?));
        let sum = crc32c(forged.get(start..end)?).to_le_bytes();
        forged.get_mut(section..section + 4)?.copy_from_slice(&sum);
        start = end;
    }
    let sum = bucket::checksum(name, forged.get(4..objects)?).to_le_bytes();
    forged.get_mut(..4)?.copy_from_slice(&sum);
    Some(forged)
}

/// Metadata that are read can be written and read again.
pub fn metadata(bytes: &[u8]) -> bool {
    let Ok(metadata) = Metadata::decode(bytes, None) else { return false };
    let written = metadata.encode();
    // A header with such a name would make Python's form of it look like another.
    let marker = b"_codecs\nencode";
    let looks_other = written.windows(marker.len()).take(32).any(|window| window == marker);
    if written.len() <= pickle::INPUT_MAX && !looks_other {
        assert_eq!(Metadata::decode(&written, None), Ok(metadata));
    }
    true
}

/// A ring that is accepted answers for every partition, and is the same when written and read.
pub fn ring_file(bytes: &[u8]) -> bool {
    let _ = FormatVersion::of(bytes);
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(bytes).expect("a vector");
    check_ring(bytes) | check_ring(&packed.finish().expect("a vector"))
}

fn check_ring(bytes: &[u8]) -> bool {
    let Ok(ring) = Ring::from_bytes(bytes) else { return false };
    let partitions = ring.partitions();
    for partition in [0, 1, partitions / 2, partitions - 1] {
        let partition = partition.min(partitions - 1);
        assert!(ring.primaries(partition).len() <= ring.replicas());
        assert!(ring.handoffs(partition).take(8).count() <= 8);
    }
    assert!(ring.partition(&[0xff; 16]) < partitions);
    if let Ok(written) = ring.to_bytes("fuzz.ring.gz", FormatVersion::V2) {
        let again = Ring::from_bytes(&written).expect("what was written");
        assert_eq!(again.partitions(), partitions);
        assert_eq!(again.devices().count(), ring.devices().count());
    }
    true
}
