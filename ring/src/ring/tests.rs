//! Look-ups against Swift's answers, and against a model.

use super::*;
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "a test reads its vectors from the source tree")]
fn vector(name: &str) -> Ring {
    let bytes = std::fs::read(format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    Ring::from_bytes(&bytes).unwrap()
}

fn ids<'a>(devices: impl IntoIterator<Item = &'a Device>) -> Vec<u32> {
    devices.into_iter().map(|device| device.id).collect()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn primaries_and_handoffs_are_swifts() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/nodes.json")).unwrap();
    let rings = vectors["rings"].as_object().unwrap();
    let mut compared = 0;
    for (name, expected) in rings {
        let ring = vector(name);
        let info = &expected["info"];
        assert_eq!(ring.contents.part_shift, info["part_shift"].as_u64().unwrap() as u32, "{name}");
        assert_eq!(u64::from(ring.partitions()), info["partition_count"].as_u64().unwrap(), "{name}");
        assert_eq!(ring.replica_count(), info["replica_count"].as_f64().unwrap(), "{name}");
        assert_eq!(ring.version(), info["version"].as_i64(), "{name}");
        assert_eq!(ring.next_part_power().map(u64::from), info["next_part_power"].as_u64(), "{name}");
        let lengths: Vec<u32> = (0..ring.replicas()).map(|row| ring.contents.rows.row_len(row) as u32).collect();
        assert_eq!(lengths, numbers(&info["row_lengths"]), "{name}");
        let totals = [ring.totals.regions, ring.totals.zones, ring.totals.ips, ring.totals.devices];
        let expected_totals = ["num_regions", "num_zones", "num_ips", "num_assigned_devs"];
        assert_eq!(totals.map(|n| n as u64), expected_totals.map(|key| info[key].as_u64().unwrap()), "{name}");
        for (partition, nodes) in expected["parts"].as_object().unwrap() {
            let number = partition.parse().unwrap();
            assert_eq!(ids(ring.primaries(number)), numbers(&nodes["primary"]), "{name} {partition}");
            assert!(ring.primary_ids(number).eq(ring.primaries(number).iter().map(|device| device.id)));
            assert_eq!(ids(ring.handoffs(number)), numbers(&nodes["handoffs"]), "{name} {partition}");
            compared += 1;
        }
    }
    assert!(rings.len() == 4 && compared == 365, "{} rings, {compared} partitions", rings.len());
}

#[test]
fn rings_of_both_versions_answer_alike() {
    for (one, other) in [
        ("basic.v1.ring.gz", "basic.v2.ring.gz"),
        ("basic.v1.ring.gz", "basic.v2-4byte-ids.ring.gz"),
        ("frac.v1.ring.gz", "frac.v2.ring.gz"),
        ("object-holes.v1.ring.gz", "object-holes.v2.ring.gz"),
    ] {
        let (one, other) = (vector(one), vector(other));
        assert!(one.devices().eq(other.devices()));
        for partition in 0..one.partitions() {
            assert_eq!(ids(one.primaries(partition)), ids(other.primaries(partition)));
            assert_eq!(ids(one.handoffs(partition)), ids(other.handoffs(partition)));
        }
    }
}

#[test]
fn names_fall_into_swifts_partitions() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/partitions.json")).unwrap();
    for case in vectors["paths"].as_array().unwrap() {
        let hex = case["hash"].as_str().unwrap();
        let hash = u128::from_str_radix(hex, 16).unwrap().to_be_bytes();
        for power in [5, 8, 17] {
            let part_shift = 32 - power;
            let ring = Ring::from_contents(Contents { part_shift, ..Contents::default() }).unwrap();
            let expected = case[format!("part_power_{power}")].as_u64().unwrap();
            assert_eq!(u64::from(ring.partition(&hash)), expected, "{case}");
        }
    }
    let ring = Ring::from_contents(Contents { part_shift: 32, ..Contents::default() }).unwrap();
    assert_eq!((ring.partition(&[255; 16]), ring.partitions()), (0, 1));
}

#[test]
fn a_ring_of_nothing_answers() {
    let ring = Ring::from_contents(Contents { part_shift: 24, ..Contents::default() }).unwrap();
    assert_eq!((ring.primaries(0).len(), ring.handoffs(0).count(), ring.devices().count()), (0, 0, 0));
    let ring = vector("basic.v1.ring.gz");
    assert!(ring.primaries(u32::MAX).is_empty());
}

/// Rings of 2^power partitions whose ids are drawn at random, some of them without a device.
fn rings() -> impl Strategy<Value = Ring> {
    (0u32..=8, 1usize..=20).prop_flat_map(|(power, devices)| {
        let device = (any::<bool>(), 1u32..3, 0u32..3, 0u32..4);
        let row = prop::collection::vec(0..devices as u16 + 2, 1 << power);
        (prop::collection::vec(device, devices), prop::collection::vec(row, 1..4), 0..=1usize << power).prop_map(
            move |(devices, mut rows, cut)| {
                let fields = |(at, (there, region, zone, ip)): (usize, (bool, u32, u32, u32))| match there || at == 0 {
                    true => serde_json::json!({"id": at, "region": region, "zone": zone, "ip": format!("10.0.0.{ip}"),
                        "port": 6200, "device": format!("d{at}"), "weight": 1.0}),
                    false => Value::Null,
                };
                let devices = devices.into_iter().enumerate().map(fields).collect();
                if rows.len() > 1 {
                    rows.last_mut().unwrap().truncate(cut.max(1));
                }
                let rows = Rows::Two(rows);
                Ring::from_contents(Contents { devices, rows, part_shift: 32 - power, ..Contents::default() }).unwrap()
            },
        )
    })
}

proptest! {
    /// The walk never visits partition 0 with a step of 1, so a device that only partition 0 knows may be missing.
    #[test]
    fn handoffs_are_every_other_owner_once(ring in rings(), partition: prop::sample::Index) {
        let partition = partition.index(ring.partitions() as usize) as u32;
        let Rows::Two(rows) = &ring.contents.rows else { unreachable!() };
        let known = |skip: usize| {
            let ids = rows.iter().flat_map(|row| row.iter().skip(skip)).map(|id| u32::from(*id));
            ids.filter(|id| ring.device(*id).is_some()).collect::<std::collections::BTreeSet<_>>()
        };
        let primaries = ids(ring.primaries(partition));
        let handoffs = ids(ring.handoffs(partition));
        let found: std::collections::BTreeSet<_> = primaries.iter().chain(&handoffs).copied().collect();
        prop_assert_eq!(found.len(), primaries.len() + handoffs.len(), "each device once");
        prop_assert!(found.is_subset(&known(0)));
        prop_assert!(known(1).is_subset(&found));
    }

    #[test]
    fn primaries_are_the_rows_without_repetition(ring in rings(), partition: prop::sample::Index) {
        let partition = partition.index(ring.partitions() as usize);
        let Rows::Two(rows) = &ring.contents.rows else { unreachable!() };
        let mut expected: Vec<u32> = Vec::new();
        for id in rows.iter().filter_map(|row| row.get(partition)).map(|id| u32::from(*id)) {
            if ring.device(id).is_some() && !expected.contains(&id) {
                expected.push(id);
            }
        }
        prop_assert_eq!(ids(ring.primaries(partition as u32)), expected);
        let known = ring.primaries(partition as u32).into_iter().map(|device| device.id);
        prop_assert!(ring.primary_ids(partition as u32).eq(known));
    }

    #[test]
    fn a_hash_is_in_the_partition_of_its_first_bits(hash: [u8; 16], power in 0u32..=16) {
        let ring = Ring::from_contents(Contents { part_shift: 32 - power, ..Contents::default() }).unwrap();
        let model = u128::from_be_bytes(hash) >> 64 >> (64 - power);
        prop_assert_eq!(u128::from(ring.partition(&hash)), model);
    }
}
