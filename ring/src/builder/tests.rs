//! Swift's plan numbers and builder files; what every rebalance must keep.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn device(region: u32, zone: u32, ip: &str, name: &str, weight: f64) -> Device {
    Device {
        id: 0,
        region,
        zone,
        ip: ip.into(),
        port: 6200,
        replication_ip: ip.into(),
        replication_port: 6200,
        device: name.into(),
        weight,
        meta: String::new(),
    }
}

fn from_case(case: &Value) -> Builder {
    let power = case["part_power"].as_u64().unwrap() as u32;
    let mut builder = Builder::new(power, case["replicas"].as_f64().unwrap(), 1).unwrap();
    builder.overload = case["overload"].as_f64().unwrap();
    for d in case["devices"].as_array().unwrap() {
        let number = |name: &str| d[name].as_u64().unwrap() as u32;
        let (ip, name) = (d["ip"].as_str().unwrap(), d["device"].as_str().unwrap());
        let weight = d["weight"].as_f64().unwrap();
        builder.add_device(device(number("region"), number("zone"), ip, name, weight)).unwrap();
    }
    builder
}

fn tier_name(tier: &[TierName]) -> String {
    let names: Vec<String> = tier
        .iter()
        .map(|name| match name {
            TierName::Number(number) => number.to_string(),
            TierName::Ip(ip) => ip.clone(),
        })
        .collect();
    if names.is_empty() { "()".into() } else { names.join("/") }
}

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("../../tests/vectors/builder-plan.json")).unwrap()
}

#[test]
fn plans_are_swifts() {
    for case in cases() {
        let builder = from_case(&case);
        let plan = Plan::new(&builder);
        let name = case["name"].as_str().unwrap();
        let near = |what: &str, ours: f64, swifts: &Value| {
            assert!((ours - swifts.as_f64().unwrap()).abs() < 1e-6, "{name}: {what}: {ours}, Swift has {swifts}");
        };
        near("required overload", plan.required_overload, &case["required_overload"]);
        let tiers = case["tiers"].as_object().unwrap();
        assert_eq!(plan.tiers().count(), tiers.len(), "{name}");
        for (tier, ours) in plan.tiers() {
            let tier = tier_name(tier);
            let swifts = &tiers[&tier];
            near(&format!("{tier} weighted"), ours.weighted, &swifts["weighted"]);
            near(&format!("{tier} wanted"), ours.wanted, &swifts["wanted"]);
            near(&format!("{tier} target"), ours.target, &swifts["target"]);
            near(&format!("{tier} max_replicas"), ours.max_replicas, &swifts["max_replicas"]);
            near(&format!("{tier} min"), ours.min as f64, &swifts["plan_min"]);
            near(&format!("{tier} max"), ours.max as f64, &swifts["plan_max"]);
        }
        let parts = plan.parts_by_device(builder.parts(), builder.replicas);
        for (id, wanted) in case["initial_parts_wanted"].as_object().unwrap() {
            if let Some(wanted) = wanted.as_u64() {
                assert_eq!(parts[&id.parse().unwrap()], wanted, "{name}: device {id}");
            }
        }
    }
}

#[test]
fn one_rebalance_is_as_good_as_swifts() {
    for case in cases() {
        let mut builder = from_case(&case);
        let done = builder.rebalance(b"7", 1_000_000).unwrap();
        builder.validate().unwrap();
        let swifts = &case["result_of_one_rebalance(seed \"7\")"];
        let name = case["name"].as_str().unwrap();
        // Swift counts a change of a fractional ring differently; what matters is that every slot was filled.
        assert_eq!(done.changed, builder.slots(), "{name}");
        assert!(done.balance <= swifts["balance"].as_f64().unwrap() + 1e-6, "{name}: balance {}", done.balance);
        let dispersion = swifts["dispersion"].as_f64().unwrap();
        assert!(builder.dispersion <= dispersion + 1e-6, "{name}: dispersion {}", builder.dispersion);
    }
}

#[test]
fn swifts_builder_files_are_read_and_kept() {
    let files: [&[u8]; 2] =
        [include_bytes!("../../tests/vectors/basic.builder"), include_bytes!("../../tests/vectors/frac.builder")];
    let rings: [&[u8]; 2] =
        [include_bytes!("../../tests/vectors/basic.v1.ring.gz"), include_bytes!("../../tests/vectors/frac.v1.ring.gz")];
    for (file, ring) in files.into_iter().zip(rings) {
        let builder = Builder::from_bytes(file).unwrap();
        builder.validate().unwrap();
        assert_eq!(Builder::from_bytes(&builder.to_bytes()).unwrap(), builder);
        // The ring was written from this builder.
        assert_eq!(builder.ring().unwrap().contents, Ring::from_bytes(ring).unwrap().contents);
    }
}

#[test]
fn foreign_and_damaged_builder_files_are_refused() {
    assert!(Builder::from_bytes(b"").is_err());
    assert!(Builder::from_bytes(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.").is_err());
    assert!(Builder::from_bytes(b"\x80\x02]q\0h\0a.").is_err(), "a list within itself");
    let file = include_bytes!("../../tests/vectors/frac.builder");
    for end in 0..file.len() {
        assert!(Builder::from_bytes(&file[..end]).is_err());
    }
}

#[test]
fn a_partition_rests_for_min_part_hours() {
    let mut builder = Builder::new(6, 3.0, 2).unwrap();
    for zone in 0..4 {
        builder.add_device(device(1, zone, &format!("10.0.0.{zone}"), "d", 100.0)).unwrap();
    }
    builder.rebalance(b"s", 0).unwrap();
    builder.add_device(device(1, 9, "10.0.0.9", "d", 100.0)).unwrap();
    assert_eq!(builder.clone().rebalance(b"s", 3600).unwrap().changed, 0);
    let done = builder.rebalance(b"s", 7200).unwrap();
    assert!(done.changed > 0 && done.changed <= 64);
    let mut eager = builder.clone();
    eager.set_weight(0, 1.0).unwrap();
    eager.pretend_min_part_hours_passed();
    assert!(eager.rebalance(b"s", 7200).unwrap().changed > 0);
}

#[test]
fn a_removed_device_gives_everything_away_at_once() {
    let mut builder = from_case(&cases()[0]);
    builder.rebalance(b"s", 0).unwrap();
    builder.remove_device(3).unwrap();
    let held = builder.device(3).unwrap().parts;
    let done = builder.rebalance(b"s", 0).unwrap();
    assert_eq!((done.removed, builder.device(3)), (1, None));
    assert!(done.changed >= held, "{} of {held}", done.changed);
    builder.validate().unwrap();
    let ring = builder.ring().unwrap();
    assert!(ring.device(3).is_none());
}

#[test]
fn replicas_can_grow_and_shrink() {
    let mut builder = from_case(&cases()[0]);
    for replicas in [3.0, 4.5, 2.25, 1.0, 3.0] {
        builder.set_replicas(replicas).unwrap();
        builder.pretend_min_part_hours_passed();
        builder.rebalance(b"s", 0).unwrap();
        builder.validate().unwrap();
        assert_eq!(builder.ring().unwrap().replica_count(), replicas);
    }
    assert!(builder.set_replicas(0.5).is_err());
    builder.set_replicas(9.0).unwrap();
    assert!(builder.rebalance(b"s", 0).is_err());
}

#[test]
fn more_than_two_bytes_of_ids() {
    let mut builder = Builder::new(1, 1.0, 0).unwrap();
    builder.devices = vec![None; 65_536];
    builder.add_device(device(1, 1, "10.0.0.1", "d", 1.0)).unwrap();
    builder.rebalance(b"s", 0).unwrap();
    let ring = builder.ring().unwrap();
    assert_eq!(ring.primaries(0).first().unwrap().id, 65_536);
    assert_eq!(Builder::from_bytes(&builder.to_bytes()).unwrap(), builder);
}

#[derive(Clone, Debug)]
enum Change {
    Add(u32, u32, u32, u16),
    Remove(prop::sample::Index),
    Weigh(prop::sample::Index, u16),
    Replicas(f64),
    Overload(f64),
    Hours(u64),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        3 => (1u32..3, 0u32..3, 0u32..4, 0u16..300).prop_map(|(r, z, ip, w)| Change::Add(r, z, ip, w)),
        1 => any::<prop::sample::Index>().prop_map(Change::Remove),
        1 => (any::<prop::sample::Index>(), 0u16..300).prop_map(|(at, w)| Change::Weigh(at, w)),
        1 => prop_oneof![Just(1.0), Just(2.0), Just(2.25), Just(3.0), Just(4.0)].prop_map(Change::Replicas),
        1 => prop_oneof![Just(0.0), Just(0.1), Just(10.0)].prop_map(Change::Overload),
        1 => (0u64..4).prop_map(Change::Hours),
    ];
    prop::collection::vec(change, 1..25)
}

fn apply(builder: &mut Builder, change: &Change, now: &mut u64) {
    let ids: Vec<u32> = builder.iter().map(|device| device.device.id).collect();
    match change {
        Change::Add(region, zone, ip, weight) => {
            let ip = format!("10.{region}.{zone}.{ip}");
            builder.add_device(device(*region, *zone, &ip, "d", f64::from(*weight))).unwrap();
        }
        Change::Remove(at) if !ids.is_empty() => builder.remove_device(ids[at.index(ids.len())]).unwrap(),
        Change::Weigh(at, weight) if !ids.is_empty() => {
            let _ = builder.set_weight(ids[at.index(ids.len())], f64::from(*weight));
        }
        Change::Replicas(replicas) => builder.set_replicas(*replicas).unwrap(),
        Change::Overload(overload) => builder.overload = *overload,
        Change::Hours(hours) => *now += hours * 3600,
        Change::Remove(_) | Change::Weigh(..) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_history_keeps_the_invariants(histories in prop::collection::vec(changes(), 1..5), seed: u64) {
        let mut builder = Builder::new(5, 3.0, 1).unwrap();
        let mut now = 1_000_000;
        for changes in histories {
            changes.iter().for_each(|change| apply(&mut builder, change, &mut now));
            let before = builder.clone();
            let Ok(done) = builder.rebalance(&seed.to_le_bytes(), now) else { continue };
            builder.validate().map_err(|error| TestCaseError::fail(error.message))?;
            prop_assert!(builder.devices.iter().flatten().all(|d| !before.removed.contains(&d.device.id)));
            let mut again = before.clone();
            prop_assert_eq!(again.rebalance(&seed.to_le_bytes(), now).unwrap(), done);
            prop_assert_eq!(&again, &builder);
            prop_assert_eq!(&Builder::from_bytes(&builder.to_bytes()).unwrap(), &builder);
            // At most one replica moves, those of removed devices and new slots left out.
            for part in 0..builder.parts() as usize {
                let moves = before.rows.iter().zip(&builder.rows).filter(|(old, new)| {
                    let (Some(old), Some(new)) = (old.get(part), new.get(part)) else { return false };
                    old != new && builder.device(*old).is_some()
                }).count();
                let rested = u64::from(before.last_moves[part])
                    + (now - before.last_moves_epoch.min(now)) / 3600 >= before.min_part_hours;
                prop_assert!(moves <= usize::from(rested), "partition {part}: {moves} moves");
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(at: prop::sample::Index, value: u8) {
        let mut file = include_bytes!("../../tests/vectors/frac.builder").to_vec();
        let at = at.index(file.len());
        file[at] = value;
        if let Ok(mut builder) = Builder::from_bytes(&file) {
            let _ = (builder.validate(), builder.rebalance(b"s", 0), builder.ring());
        }
    }
}
