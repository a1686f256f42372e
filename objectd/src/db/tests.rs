//! The cores against Swift's own results and against plain models.

use super::container_row::{ContainerRow, ContainerUpdate};
use super::info::{self, Info};
use super::key::{self, Kind, State};
use super::lifecycle::{self, Change, Outcome};
use super::memory::Memory;
use super::object_row::{ObjectRow, ObjectUpdate};
use super::{GRAVES, INFO, ORDER, PENDING, ROWS, chexor, merge, reclaim};
use crate::container;
use base::checksum::hex;
use base::hash_path::{HashPath, NameHash};
use base::limits::Constraints;
use base::timestamp::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn hash(name: &str) -> NameHash {
    HashPath::new("", "salt").hash("a", Some(name), None)
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_raw(seconds * 100_000, 0)
}

pub(super) fn change(kind: Kind, seconds: u64) -> Change {
    Change {
        kind,
        hash: hash("c"),
        account: "a".to_owned(),
        container: if kind == Kind::Container { "c".to_owned() } else { String::new() },
        time: at(seconds),
        now: at(1000),
        id: "id".to_owned(),
        policy: None,
        default_policy: 0,
        metadata: Vec::new(),
        constraints: Constraints::default(),
        forget_before: Timestamp::ZERO,
    }
}

pub(super) fn put_object(name: &str, seconds: u64, size: i64, policy: u32) -> ObjectUpdate {
    ObjectUpdate {
        name: name.to_owned(),
        policy,
        created_at: at(seconds).internal(),
        size,
        content_type: "t/t".to_owned(),
        etag: "e".to_owned(),
        deleted: false,
        content_type_time: None,
        metadata_time: None,
    }
}

/// Everything stored about rows, by policy and name, live ones and tombstones.
fn rows_of(memory: &Memory) -> Vec<(u32, String, Vec<u8>)> {
    memory.0[ROWS.0]
        .iter()
        .map(|(key, value)| {
            let policy = u32::from_be_bytes(key[17..21].try_into().unwrap());
            (policy, String::from_utf8(key[21..].to_vec()).unwrap(), value.clone())
        })
        .collect()
}

/// What must hold in every state of a container database.
pub(super) fn check_container(memory: &Memory, hash: &NameHash) {
    let Some(info) = info::load(memory, Kind::Container, hash).unwrap() else {
        assert!(memory.0.iter().all(BTreeMap::is_empty), "nothing is left of a forgotten database");
        return;
    };
    let (mut sums, mut sum, mut graves) = (BTreeMap::<u32, (i64, i64)>::new(), [0; 16], 0);
    for (policy, name, value) in rows_of(memory) {
        let row = ObjectRow::decode(&value).unwrap();
        let entry = sums.entry(policy).or_default();
        *entry = (entry.0 + i64::from(!row.deleted), entry.1 + row.size);
        graves += usize::from(row.deleted);
        chexor::toggle(&mut sum, &name, row.created_at);
        let state = if row.deleted { State::Dead } else { State::Live };
        let row_key = key::row(hash, state, policy, &name).unwrap();
        assert_eq!(memory.0[ROWS.0].get(&row_key), Some(&value), "a row lies in the range of its state");
        assert_eq!(memory.0[ORDER.0].get(&key::order(hash, row.row_id)).map(Vec::as_slice), Some(&row_key[16..]));
    }
    for (policy, stats) in &info.stats {
        assert_eq!(
            (stats.objects, stats.bytes),
            sums.remove(policy).unwrap_or_default(),
            "counts are sums over the rows"
        );
    }
    assert!(sums.is_empty(), "no rows without counts");
    assert_eq!(info.hash, sum, "the hash is the sum over the rows");
    assert_eq!(memory.0[ORDER.0].len(), memory.0[ROWS.0].len());
    assert_eq!(memory.0[GRAVES.0].len(), graves + usize::from(info.is_deleted()));
    assert_eq!(memory.0[PENDING.0].contains_key(hash.0.as_slice()), info.report() != info.reported);
    assert_eq!(Info::decode(&info.encode()).unwrap(), info);
}

#[test]
fn containers_merge_rows_as_swift_does() {
    let cases: Value = serde_json::from_str(include_str!("../../tests/vectors/container-merge.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let mut memory = Memory::new();
        let create = change(Kind::Container, 1);
        for batch in case["batches"].as_array().unwrap() {
            let updates: Vec<_> =
                batch.as_array().unwrap().iter().map(|row| container::row_of(row).expect("a row")).collect();
            assert!(lifecycle::merge_objects(&mut memory, &create.hash, Some(&create), &updates).unwrap());
        }
        check_container(&memory, &create.hash);
        let mut found: Vec<Value> = rows_of(&memory)
            .into_iter()
            .map(|(policy, name, value)| {
                let row = ObjectRow::decode(&value).unwrap();
                serde_json::json!({"ROWID": row.row_id, "name": name, "created_at": row.created_at, "size": row.size,
                    "content_type": row.content_type, "etag": row.etag, "deleted": i64::from(row.deleted),
                    "storage_policy_index": policy})
            })
            .collect();
        found.sort_by_key(|row| row["ROWID"].as_u64());
        assert_eq!(Value::Array(found), case["object_rows"], "{}", case["case"]);
        let info = info::load(&memory, Kind::Container, &create.hash).unwrap().unwrap();
        assert_eq!(hex(&info.hash), case["hash"], "{}", case["case"]);
        let stats: Vec<Value> = info
            .stats
            .iter()
            .map(|(policy, stats)| serde_json::json!({"storage_policy_index": policy, "object_count": stats.objects, "bytes_used": stats.bytes}))
            .collect();
        assert_eq!(Value::Array(stats), case["policy_stat"], "{}", case["case"]);
    }
    assert_eq!(cases.as_array().unwrap().len(), 19);
}

#[test]
fn accounts_merge_rows_as_swift_does() {
    let cases: Value = serde_json::from_str(include_str!("../../tests/vectors/account-merge.json")).unwrap();
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for case in cases.as_array().unwrap() {
        let mut memory = Memory::new();
        let create = change(Kind::Account, 1);
        for batch in case["batches"].as_array().unwrap() {
            let update = |row: &Value| ContainerUpdate {
                name: text(&row["name"]).unwrap(),
                put: text(&row["put_timestamp"]),
                delete: text(&row["delete_timestamp"]),
                objects: number(&row["object_count"]),
                bytes: number(&row["bytes_used"]),
                policy: number(&row["storage_policy_index"]).and_then(|index| index.try_into().ok()),
            };
            let updates: Vec<_> = batch.as_array().unwrap().iter().map(update).collect();
            assert!(lifecycle::merge_containers(&mut memory, &create.hash, Some(&create), true, &updates).unwrap());
        }
        let found: Vec<Value> = rows_of(&memory)
            .into_iter()
            .map(|(_, name, value)| {
                let row = ContainerRow::decode(&value).unwrap();
                serde_json::json!({"ROWID": row.row_id, "name": name, "put_timestamp": row.put,
                    "delete_timestamp": row.delete, "object_count": row.objects, "bytes_used": row.bytes,
                    "deleted": i64::from(row.deleted), "storage_policy_index": row.policy})
            })
            .collect();
        assert_eq!(Value::Array(found), case["container_rows"], "{}", case["case"]);
        let info = info::load(&memory, Kind::Account, &create.hash).unwrap().unwrap();
        let total = info.total();
        let stat = serde_json::json!({"container_count": total.containers, "object_count": total.objects,
            "bytes_used": total.bytes, "hash": hex(&info.hash)});
        assert_eq!(stat, case["account_stat"], "{}", case["case"]);
        let stats: Vec<Value> = info
            .stats
            .iter()
            .map(|(policy, stats)| {
                serde_json::json!({"storage_policy_index": policy, "container_count": stats.containers,
                "object_count": stats.objects, "bytes_used": stats.bytes})
            })
            .collect();
        assert_eq!(Value::Array(stats), case["policy_stat"], "{}", case["case"]);
    }
}

#[test]
fn what_could_not_have_been_written_is_refused() {
    let row = ObjectRow { row_id: 1, deleted: false, size: 2, created_at: "1", content_type: "t", etag: "e" };
    let bytes = row.encode();
    assert_eq!(ObjectRow::decode(&bytes).unwrap(), row);
    let record = Info::new(Kind::Container, "a", "c", "id".to_owned(), at(1), at(2)).encode();
    for end in 0..bytes.len() {
        assert!(ObjectRow::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    for end in 0..record.len() {
        assert!(Info::decode(&record[..end]).is_err(), "cut at {end}");
    }
    assert!(ObjectRow::decode(&[bytes.clone(), vec![0]].concat()).is_err(), "bytes left over");
    let mut flipped = bytes.clone();
    flipped[0] = 2;
    assert!(ObjectRow::decode(&flipped).is_err(), "another version");
    assert!(merge::find(&Memory::new(), &hash("c"), 0, &"n".repeat(key::NAME_BYTES_MAX + 1)).is_err());
}

#[test]
fn cve_2014_7960_metadata_is_bounded_in_sum_over_all_requests() {
    let mut memory = Memory::new();
    let item = |number: u64| Change {
        metadata: vec![(format!("X-Container-Meta-{number}"), "v".to_owned())],
        ..change(Kind::Container, 5 + number)
    };
    lifecycle::put_container(&mut memory, &change(Kind::Container, 4)).unwrap();
    for number in 0..90 {
        let outcome = lifecycle::post(&mut memory, &item(number), true).unwrap();
        assert!(!matches!(outcome, Outcome::Refused(_)), "item {number}");
    }
    let refused = lifecycle::post(&mut memory, &item(90), true).unwrap();
    assert_eq!(refused, Outcome::Refused("Too many metadata items; max 90".to_owned()));
}

#[test]
fn metadata_is_bounded_and_the_newer_item_wins() {
    let mut memory = Memory::new();
    let with = |seconds, items: &[(&str, &str)]| Change {
        metadata: items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..change(Kind::Container, seconds)
    };
    lifecycle::put_container(&mut memory, &with(5, &[("X-Container-Meta-A", "new")])).unwrap();
    lifecycle::put_container(&mut memory, &with(4, &[("X-Container-Meta-A", "old"), ("X-Container-Meta-B", "b")]))
        .unwrap();
    let info = info::load(&memory, Kind::Container, &hash("c")).unwrap().unwrap();
    let shown: Vec<_> = info.shown_metadata().collect();
    assert_eq!(shown, [("X-Container-Meta-A", "new"), ("X-Container-Meta-B", "b")]);
    let long = "x".repeat(5000);
    let refused = lifecycle::post(&mut memory, &with(9, &[("X-Container-Meta-C", &long)]), true).unwrap();
    assert_eq!(refused, Outcome::Refused("Total metadata too large; max 4096".to_owned()));
    let many: Vec<(String, String)> = (0..91).map(|n| (format!("X-Container-Meta-{n}"), "v".to_owned())).collect();
    let refused = lifecycle::post(&mut memory, &Change { metadata: many, ..change(Kind::Container, 9) }, true).unwrap();
    assert_eq!(refused, Outcome::Refused("Too many metadata items; max 90".to_owned()));
    let after = info::load(&memory, Kind::Container, &hash("c")).unwrap().unwrap();
    assert_eq!(after, info, "a refused change leaves nothing");
}

#[test]
fn a_reported_container_leaves_the_pending_table_until_it_changes() {
    let mut memory = Memory::new();
    let create = change(Kind::Container, 2);
    let Outcome::Created(info) = lifecycle::put_container(&mut memory, &create).unwrap() else { panic!("created") };
    assert_eq!(memory.0[PENDING.0].len(), 1);
    lifecycle::reported(&mut memory, &create.hash, info.report()).unwrap();
    assert_eq!(memory.0[PENDING.0].len(), 0);
    lifecycle::merge_objects(&mut memory, &create.hash, None, &[put_object("o", 3, 7, 0)]).unwrap();
    assert_eq!(memory.0[PENDING.0].len(), 1, "its counts changed");
    lifecycle::merge_objects(&mut memory, &create.hash, None, &[put_object("p", 3, 7, 1)]).unwrap();
    lifecycle::reported(&mut memory, &create.hash, info.report()).unwrap();
    assert_eq!(memory.0[PENDING.0].len(), 1, "it was told something older");
    check_container(&memory, &create.hash);
}

#[test]
fn old_tombstones_and_deleted_databases_are_forgotten_and_nothing_else() {
    let mut memory = Memory::new();
    let create = change(Kind::Container, 2);
    lifecycle::put_container(&mut memory, &create).unwrap();
    for n in 0..10 {
        let name = format!("o{n}");
        lifecycle::merge_objects(&mut memory, &create.hash, None, &[put_object(&name, 3, 1, 0)]).unwrap();
        let gone = ObjectUpdate::deletion(&name, 0, at(10 + n));
        lifecycle::merge_objects(&mut memory, &create.hash, None, &[gone]).unwrap();
    }
    let Outcome::Deleted(info) = lifecycle::delete_container(&mut memory, &change(Kind::Container, 30)).unwrap() else {
        panic!("deleted")
    };
    let run = |memory: &mut Memory, before| {
        let (mut position, mut forgotten) = (Vec::new(), 0);
        for _ in 0..100 {
            let progress = reclaim::step(memory, &position, at(before), 3).unwrap();
            forgotten += progress.forgotten;
            position = progress.position;
            if progress.done {
                return forgotten;
            }
        }
        panic!("a pass ends");
    };
    assert_eq!(run(&mut memory, 15), 5);
    check_container(&memory, &create.hash);
    assert_eq!(run(&mut memory, 15), 0);
    assert_eq!(run(&mut memory, 100), 5, "the database waits until its account knows");
    lifecycle::reported(&mut memory, &create.hash, info.report()).unwrap();
    assert_eq!(run(&mut memory, 30), 0, "it is not old enough");
    assert_eq!(run(&mut memory, 100), 1);
    check_container(&memory, &create.hash);
    assert!(memory.0[INFO.0].is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The order in which updates of distinct times arrive does not change the rows, and so not the hash.
    #[test]
    fn rows_converge_in_any_order(
        updates in proptest::collection::vec((0..3_u8, any::<bool>(), 0..9_i64), 1..12).prop_shuffle(),
        order in any::<u64>(),
    ) {
        let make = |(index, (name, deleted, size)): (usize, &(u8, bool, i64))| {
            let (name, seconds) = (format!("o{name}"), 10 + index as u64);
            if *deleted { ObjectUpdate::deletion(&name, 0, at(seconds)) } else { put_object(&name, seconds, *size, 0) }
        };
        let updates: Vec<_> = updates.iter().enumerate().map(make).collect();
        let mut other = updates.clone();
        let turn = usize::try_from(order).unwrap() % updates.len();
        other.rotate_left(turn);
        other.reverse();
        let create = change(Kind::Container, 1);
        let summary = |updates: &[ObjectUpdate]| {
            let mut memory = Memory::new();
            lifecycle::merge_objects(&mut memory, &create.hash, Some(&create), updates).unwrap();
            check_container(&memory, &create.hash);
            let info = info::load(&memory, Kind::Container, &create.hash).unwrap().unwrap();
            (info.hash, info.stats)
        };
        prop_assert_eq!(summary(&updates), summary(&other));
    }
}
