//! Records are read back, and nothing else is read.

use super::*;
use base::timestamp::Timestamp;
use proptest::prelude::*;

const SPOT: Spot = Spot { store: 0x5eed, volume: 7, offset: 8192 };

/// Any time that a timestamp has.
fn any_time() -> impl Strategy<Value = Timestamp> {
    (0..1_000_000_000_000_000_u64, prop_oneof![Just(0), any::<u64>()])
        .prop_map(|(raw, offset)| Timestamp::from_raw(raw, offset))
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    proptest::collection::vec((bytes(), bytes()), 0..8).prop_map(|items| {
        let mut metadata = Metadata::new();
        for (name, value) in items {
            metadata.set(name, value);
        }
        metadata
    })
}

/// Any record with its body.
pub(in crate::store::packed) fn any_record() -> impl Strategy<Value = (Head, Bytes)> {
    let identity = (any::<u16>(), any::<[u8; 16]>(), "/a/c/[a-zé日 ]{1,30}");
    let body = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => (0..200_000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
        1 => Just(vec![0; 3 * BLOCK_BYTES]),
    ];
    (identity, any_time(), any_time(), any_metadata(), body, 0..7_u8, proptest::collection::vec(any::<u32>(), 0..20))
        .prop_map(|((policy, hash, name), time, other, metadata, body, shape, checks)| {
            let (kind, version) = match shape {
                0 => (Kind::Packed, Version::Tombstone(time)),
                1 => (Kind::Packed, Version::Meta { timestamp: time, content_type: None }),
                2 => (Kind::Packed, Version::Meta { timestamp: time, content_type: Some(other) }),
                3 => (Kind::Large, Version::Data(time)),
                4 => (Kind::Quarantine, Version::Data(time)),
                _ => (Kind::Packed, Version::Data(time)),
            };
            let body = if shape >= 5 { Bytes::from(body) } else { Bytes::new() };
            let (body_bytes, checksums) = match kind {
                Kind::Large => ((checks.len() * BLOCK_BYTES) as u64, checks),
                _ => (body.len() as u64, super::checksums(std::slice::from_ref(&body))),
            };
            let name = if shape == 4 { String::new() } else { name };
            let identity = Identity { policy: u32::from(policy), hash: NameHash(hash), name };
            (Head { kind, identity, version, metadata, body_bytes, checksums }, body)
        })
}

fn bytes_of(head: &Head) -> Vec<u8> {
    head.encode().unwrap().finish(5, SPOT, true)
}

proptest! {
    #[test]
    fn what_was_written_is_read(record in any_record(), sequence: u64, is_last: bool, store: u64, volume: u32, slot in 0..1_u64 << 40) {
        let (head, body) = record;
        let spot = Spot { store, volume, offset: slot * RECORD_ALIGNMENT };
        let bytes = head.encode().unwrap().finish(sequence, spot, is_last);
        let lengths = Lengths { sequence, head: bytes.len() as u32, body: body.len() as u32, is_last };
        prop_assert_eq!(Lengths::decode(bytes.first_chunk().unwrap(), spot), Ok(Some(lengths)));
        prop_assert_eq!(Head::decode(&bytes, spot), Ok((head.clone(), lengths)));
        // Elsewhere it is none, with an end missing neither.
        for other in [
            Spot { store: store ^ 1, ..spot },
            Spot { volume: volume ^ 1, ..spot },
            Spot { offset: spot.offset + RECORD_ALIGNMENT, ..spot },
        ] {
            prop_assert!(Head::decode(&bytes, other).is_err());
        }
        prop_assert!(Head::decode(&bytes[..bytes.len() - 1], spot).is_err());
        prop_assert!(verify_blocks(&head.checksums, 0, &body).is_ok());
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Head::decode(&bytes, SPOT).is_err());
    }

    #[test]
    fn checksums_do_not_depend_on_the_pieces(length in 0..200_000_usize, cut in any::<prop::sample::Index>()) {
        let body = Bytes::from((0..length).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>());
        let at = cut.index(length + 1);
        let pieces = [body.slice(..at), body.slice(at..)];
        let whole = checksums(std::slice::from_ref(&body));
        prop_assert_eq!(&checksums(&pieces), &whole);
        prop_assert_eq!(whole.len(), length.div_ceil(BLOCK_BYTES));
        prop_assert!(verify_blocks(&whole, 0, &body).is_ok());
        if length > BLOCK_BYTES {
            prop_assert!(verify_blocks(&whole, 1, &body[BLOCK_BYTES..]).is_ok());
            prop_assert!(verify_blocks(&whole, 0, &body[BLOCK_BYTES..]).is_err());
        }
    }
}

fn sample() -> Head {
    let mut metadata = Metadata::new();
    metadata.set("Content-Type", "text/plain");
    metadata.set("X-Object-Meta-Colour", "blue");
    let body = Bytes::from_static(b"twelve bytes");
    Head {
        kind: Kind::Packed,
        identity: Identity { policy: 1, hash: NameHash([3; 16]), name: "/a/c/o".to_owned() },
        version: Version::Data(Timestamp::from_raw(140_246_467_704_188, 0)),
        metadata,
        body_bytes: 12,
        checksums: checksums(&[body]),
    }
}

#[test]
fn the_bytes_are_as_drawn() {
    let head = sample();
    let bytes = bytes_of(&head);
    assert_eq!(&bytes[..4], b"MLR1");
    assert_eq!(bytes[12..16], [0, 0, 0, 1]);
    assert_eq!(bytes[16..24], 5_u64.to_le_bytes());
    assert_eq!(bytes[24..32], 140_246_467_704_188_u64.to_le_bytes());
    assert_eq!(bytes[32..56], [0; 24]);
    assert_eq!(bytes[56..72], [3; 16]);
    assert_eq!(bytes[72..80], [1, 0, 6, 0, 2, 0, 0, 0]);
    assert_eq!(bytes[80..84], (12 + 12 + 10 + 20 + 4_u32).to_le_bytes());
    assert_eq!(bytes[84..88], (bytes.len() as u32).to_le_bytes());
    assert_eq!(bytes[88..96], 12_u64.to_le_bytes());
    assert_eq!(&bytes[96..102], b"/a/c/o");
    assert_eq!(&bytes[102..108], &[12, 0, 10, 0, 0, 0]);
    assert_eq!(&bytes[108..130], b"Content-Typetext/plain");
    assert_eq!(bytes[bytes.len() - 4..], head.checksums[0].to_le_bytes());
}

#[test]
fn every_flipped_bit_of_a_head_is_noticed() {
    let bytes = bytes_of(&sample());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Head::decode(&damaged, SPOT).is_err(), "bit {bit}");
    }
}

/// Changes bytes and makes both checksums good again: what a wrong writer would leave.
fn forged(head: &Head, change: impl Fn(&mut Vec<u8>)) -> Result<(Head, Lengths), Damage> {
    let mut bytes = bytes_of(head);
    change(&mut bytes);
    let rest = crc32c(&bytes[96..]);
    bytes[8..12].copy_from_slice(&rest.to_le_bytes());
    let (sequence, is_last) = (5, bytes[15] == 1);
    Head::decode(&Encoded { bytes }.finish(sequence, SPOT, is_last), SPOT)
}

#[test]
fn what_could_not_have_been_written_is_refused_even_with_good_checksums() {
    let head = sample();
    assert!(forged(&head, |_| ()).is_ok());
    type Change = fn(&mut Vec<u8>);
    let refused: [(&str, Change); 12] = [
        ("kind", |bytes| bytes[12] = 3),
        ("version", |bytes| bytes[13] = 3),
        ("a content type of data", |bytes| bytes[14] = 1),
        ("a time of eleven digits", |bytes| bytes[24..32].copy_from_slice(&1_000_000_000_000_000_u64.to_le_bytes())),
        ("a content type nobody has", |bytes| bytes[40] = 1),
        ("padding", |bytes| bytes[78] = 1),
        ("one item more", |bytes| bytes[76] = 3),
        ("one item less", |bytes| bytes[76] = 1),
        ("a longer head", |bytes| bytes[84] += 4),
        ("a name that is no text", |bytes| bytes[97] = 0xff),
        ("another body", |bytes| bytes[90] = 2),
        ("a large tombstone", |bytes| bytes[12..14].copy_from_slice(&[1, 2])),
    ];
    for (what, change) in refused {
        assert!(forged(&head, change).is_err(), "{what}");
    }
    let mut twice = head;
    let items =
        vec![(Bytes::from("A"), Bytes::new()), (Bytes::from("B"), Bytes::new()), (Bytes::from("A"), Bytes::new())];
    twice.metadata = Metadata::from_items(items);
    assert!(forged(&twice, |_| ()).is_err());
}

#[test]
fn what_is_too_large_is_not_written() {
    let mut head = sample();
    head.version = Version::Data(Timestamp::from_raw(1_000_000_000_000_000, 0));
    assert!(head.encode().is_err());
    let mut head = sample();
    head.identity.policy = 70_000;
    assert!(head.encode().is_err());
    let mut head = sample();
    head.identity.name = "n".repeat(70_000);
    assert!(head.encode().is_err());
    let mut head = sample();
    head.metadata.set("X-Object-Meta-Long", vec![b'v'; 500_000]);
    assert!(head.encode().is_err());
    let mut head = sample();
    (head.kind, head.body_bytes) = (Kind::Large, OBJECT_BYTES_MAX + 1);
    head.checksums = vec![0; usize::try_from(head.body_bytes.div_ceil(BLOCK_BYTES as u64)).unwrap()];
    assert!(head.encode().is_err());
    head.body_bytes = OBJECT_BYTES_MAX;
    head.checksums.pop();
    let bytes = head.encode().unwrap().finish(1, SPOT, false);
    assert_eq!(Head::decode(&bytes, SPOT).unwrap().0, head);
}

#[test]
fn zeros_are_no_record_and_no_damage() {
    assert_eq!(Lengths::decode(&[0; Lengths::FIXED], SPOT), Ok(None));
}
