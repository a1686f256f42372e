//! Rings that Swift wrote, read and written again, and rings that nobody should have written.

use super::*;
use crate::Ring;
use proptest::prelude::*;

/// Every ring of the vectors: file name, bytes, version.
pub(crate) const RINGS: [(&str, &[u8], FormatVersion); 8] = [
    ("basic.v1.ring.gz", include_bytes!("../../tests/vectors/basic.v1.ring.gz"), FormatVersion::V1),
    ("basic.v2.ring.gz", include_bytes!("../../tests/vectors/basic.v2.ring.gz"), FormatVersion::V2),
    ("basic.v2-4byte-ids.ring.gz", include_bytes!("../../tests/vectors/basic.v2-4byte-ids.ring.gz"), FormatVersion::V2),
    ("frac.v1.ring.gz", include_bytes!("../../tests/vectors/frac.v1.ring.gz"), FormatVersion::V1),
    ("frac.v2.ring.gz", include_bytes!("../../tests/vectors/frac.v2.ring.gz"), FormatVersion::V2),
    ("object-holes.v1.ring.gz", include_bytes!("../../tests/vectors/object-holes.v1.ring.gz"), FormatVersion::V1),
    ("object-holes.v2.ring.gz", include_bytes!("../../tests/vectors/object-holes.v2.ring.gz"), FormatVersion::V2),
    ("pp17.v1.ring.gz", include_bytes!("../../tests/vectors/pp17.v1.ring.gz"), FormatVersion::V1),
];

#[test]
fn what_swift_wrote_is_written_again_byte_for_byte() {
    for (name, bytes, version) in RINGS {
        let ring = Ring::from_bytes(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        // The capture may have been written under another name, which is in the header.
        let end = 10 + bytes[10..].iter().position(|b| *b == 0).unwrap();
        let written_as = std::str::from_utf8(&bytes[10..end]).unwrap();
        let written = ring.to_bytes(written_as, version).unwrap();
        let differs = written.iter().zip(bytes).position(|(a, b)| a != b);
        assert!(written == bytes, "{name} differs from byte {differs:?} on ({} and {})", written.len(), bytes.len());
    }
}

#[test]
fn both_versions_hold_the_same() {
    for (name, bytes, _) in RINGS {
        let ring = Ring::from_bytes(bytes).unwrap();
        for version in [FormatVersion::V1, FormatVersion::V2] {
            let Ok(written) = ring.to_bytes("x.ring.gz", version) else {
                assert!(name.contains("4byte"), "{name}");
                continue;
            };
            assert_eq!(Ring::from_bytes(&written).unwrap().contents, ring.contents, "{name}");
        }
    }
}

#[test]
fn every_cut_is_an_error() {
    for (name, bytes, _) in RINGS {
        for end in (0..bytes.len().min(800)).chain([bytes.len() - 1]) {
            assert!(Ring::from_bytes(&bytes[..end]).is_err(), "{name} up to {end}");
        }
    }
}

fn pack(plain: &[u8]) -> Vec<u8> {
    let mut writer = gzip::Writer::new("x.ring.gz");
    writer.write(plain);
    writer.finish()
}

fn check_refused(plain: &[u8], reason: &str) {
    let error = Ring::from_bytes(&pack(plain)).unwrap_err();
    assert!(error.message.contains(reason), "{error}");
}

#[test]
fn promises_that_are_not_kept_are_refused() {
    let v1 = |json: &str, rows: &[u8]| {
        [b"R1NG\x00\x01".as_slice(), &(json.len() as u32).to_be_bytes(), json.as_bytes(), rows].concat()
    };
    check_refused(b"R1NG\x00\x03", "version 3");
    check_refused(b"ZIP", "shorter");
    check_refused(b"garbage!", "no ring");
    check_refused(b"R1NG\x00\x01\xff\xff\xff\xff{}", "within its JSON");
    check_refused(&v1("{}", b""), "part_shift");
    check_refused(&v1(r#"{"part_shift": 0, "replica_count": 1, "devs": []}"#, b""), "part_shift");
    check_refused(&v1(r#"{"part_shift": 1, "replica_count": 3000000000, "devs": []}"#, b"aa"), "promises");
    check_refused(&v1(r#"{"part_shift": 32, "replica_count": 300, "devs": []}"#, &[0; 600]), "more than 256");
    check_refused(&v1(r#"{"part_shift": 31, "replica_count": 1, "devs": []}"#, b"abc"), "within an id");
    check_refused(&v1(r#"{"part_shift": 32, "replica_count": 1, "devs": [7]}"#, b"ab"), "no object");
    check_refused(&v1(r#"{"part_shift": 32, "replica_count": 1}"#, b"ab"), "no list");
    check_refused(b"R1NG\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "index");
}

#[test]
fn a_flipped_bit_inside_a_section_is_noticed() {
    let (_, bytes, _) = RINGS[1];
    let plain = gzip::decompress(bytes).unwrap();
    for at in [20, 200, plain.len() / 2] {
        let mut flipped = plain.clone();
        flipped[at] ^= 1;
        assert!(Ring::from_bytes(&pack(&flipped)).is_err(), "byte {at}");
    }
}

proptest! {
    /// The last ring, of part power 17, would take most of the time and has nothing of its own.
    #[test]
    fn no_bytes_make_it_panic(which in 0..RINGS.len() - 1, at: prop::sample::Index, value: u8, packed: bool) {
        let bytes = RINGS[which].1;
        let mut damaged = if packed { bytes.to_vec() } else { gzip::decompress(bytes).unwrap() };
        let at = at.index(damaged.len());
        damaged[at] = value;
        let ring = Ring::from_bytes(&if packed { damaged } else { pack(&damaged) });
        if let Ok(ring) = ring {
            let last = ring.partitions() - 1;
            let _ = (ring.primaries(last), ring.handoffs(last).take(50).count());
        }
    }
}
