//! Checkpoints cut off at every step: no change is lost, none is applied twice.

use super::*;
use crate::store::diskfile::Version;
use crate::store::packed::entry::{At, Change, Place, Versions};
use base::hash_path::NameHash;
use base::io::sim::{Planned, Sim, SimOptions};
use base::timestamp::Timestamp;
use std::net::{IpAddr, Ipv4Addr};

const OBJECTS: u64 = 3 * OBJECTS_AT_ONCE as u64;

fn key(number: u64) -> Key {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Key::new(0, NameHash(hash))
}

/// Every object is written twice, so that one record of each is dead.
fn table() -> Arc<Changes> {
    let mut changes = Changes::until(Position { volume: 1, offset: 1 << 30, sequence: 9 });
    for number in 0..OBJECTS {
        for turn in 0..2 {
            let at = At { volume: 1, offset: (number * 2 + turn) * 64, length: 64 };
            let version = Version::Data(Timestamp::from_raw(number + turn + 1, 0));
            let change = Change::Insert(Held { version, place: Place::Volume(at) });
            changes.add(key(number), change);
        }
    }
    Arc::new(changes)
}

/// Opens the index, finishes the checkpoint, and says whether the stretch was begun before.
async fn finish() -> std::io::Result<bool> {
    let index = Index::open(Path::new("/index")).await?;
    let (_, end) = index.state(7).await?;
    if end != table().end {
        index.checkpoint(table()).await?;
    }
    Ok(index.partial().is_some())
}

#[test]
fn a_checkpoint_cut_off_anywhere_is_finished_exactly() {
    let mut crashes = 0;
    for step in 1.. {
        let sim = Sim::new(step, SimOptions::default());
        let node = sim.node("storage", IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
        sim.plan_step(node, step, Planned::Crash);
        let handle = sim.handle();
        let crashed = sim.run(async move {
            handle.start(node, std::future::pending);
            let crashed = handle.run_on(node, finish()).await.is_none();
            if crashed {
                handle.start(node, std::future::pending);
                handle.run_on(node, finish()).await.expect("no second crash").unwrap();
            }
            let check = async move {
                let index = Index::open(Path::new("/index")).await.unwrap();
                let (_, end) = index.state(8).await.unwrap();
                assert_eq!((end, index.partial()), (table().end, None));
                let usage = index.usages().await.unwrap()[&1];
                assert_eq!(usage, Usage { live_bytes: OBJECTS * 64, live_records: OBJECTS });
                for number in [0, 1, OBJECTS / 2, OBJECTS - 1] {
                    let entry = index.lookup(key(number)).await.unwrap();
                    assert_eq!((entry.held.len(), entry.dead), (1, 1), "object {number}, step {step}");
                }
            };
            handle.forget_plans(node);
            handle.run_on(node, check).await.expect("no crash");
            crashed
        });
        if !crashed {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 4, "{crashes}");
}

/// Any of 2,000 objects of three policies, whose hashes begin alike or not.
fn any_key(random: u64) -> Key {
    let number = random % 2000;
    let mut hash = [0; 16];
    match number % 3 {
        0 => hash[14..].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes()),
        _ => hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()),
    }
    Key::new(u32::try_from(number % 7 / 3).unwrap(), NameHash(hash))
}

#[test]
fn the_index_is_what_a_map_would_be() {
    use base::io::kv::Kv;
    for seed in 1..=8 {
        let sim = Sim::new(seed, SimOptions::default());
        sim.run(async move {
            let kv = Kv::open(Path::new("/index"), TABLES).await.unwrap();
            let index =
                Index { kv, partial: Cell::new(None), objects_at_once: OBJECTS_AT_ONCE, is_empty: Cell::new(false) };
            let mut model: BTreeMap<Key, Entry> = BTreeMap::new();
            let mut random = seed;
            let mut next = move || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                random >> 33
            };
            for round in 0..40 {
                let mut batch: BTreeMap<Key, Entry> = BTreeMap::new();
                for _ in 0..next() % 300 {
                    // Grows, then shrinks to nothing.
                    let dead = if next() % 40 < round { 0 } else { next() % 1000 };
                    batch.insert(any_key(next()), Entry { held: Versions::None, dead: u32::try_from(dead).unwrap() });
                }
                if round == 39 {
                    batch = model.keys().map(|key| (*key, Entry::default())).collect();
                }
                for (key, entry) in &batch {
                    let _ = match entry.is_empty() {
                        true => model.remove(key),
                        false => model.insert(*key, entry.clone()),
                    };
                }
                let change = move |txn: &mut WriteTxn<'_>| {
                    let mut editor = Editor::new();
                    for (key, entry) in &batch {
                        editor.get(txn, key)?;
                        editor.put(txn, key, entry.clone())?;
                    }
                    editor.finish(txn)
                };
                index.kv.write(change).await.unwrap();
                let (mut seen, mut from) = (Vec::new(), None);
                loop {
                    let (some, last) = index.entries(from, 7).await.unwrap();
                    seen.extend(some);
                    from = last;
                    if from.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, model.clone().into_iter().collect::<Vec<_>>(), "seed {seed}, round {round}");
                let (unjudged, _) = index.entries_unjudged(None, usize::MAX).await.unwrap();
                assert_eq!(unjudged.into_iter().map(|(_, entry)| entry.unwrap()).collect::<Vec<_>>(), seen);
                for _ in 0..50 {
                    let key = any_key(next());
                    assert_eq!(index.lookup(key).await.unwrap(), model.get(&key).cloned().unwrap_or_default());
                }
            }
            assert_eq!((model.len(), index.entries(None, 1).await.unwrap().0.len()), (0, 0));
        });
    }
}

/// Buckets of the index and how much of them is filled.
async fn filled(index: &Index) -> (usize, f64) {
    let count = |txn: &base::io::kv::ReadTxn<'_>| {
        let (mut buckets, mut bytes) = (0, 0);
        buckets::walk(txn, None, &mut |(_, value)| {
            buckets += 1;
            bytes += value.len();
            Ok(true)
        })?;
        Ok((buckets, bytes as f64 / (buckets * bucket::BYTES_MAX) as f64))
    };
    index.kv.read(count).await.unwrap()
}

#[test]
fn pages_are_well_filled_while_objects_come_and_few_are_left_when_they_went() {
    Sim::new(1, SimOptions::default()).run(async {
        let index = Index::open(Path::new("/index")).await.unwrap();
        for batch in 0..12 {
            let change = move |txn: &mut WriteTxn<'_>| {
                let mut keys: Vec<Key> = (batch * 1000..(batch + 1) * 1000).map(key).collect();
                keys.sort();
                let mut editor = Editor::new();
                for key in keys {
                    let at = At { volume: 1, offset: 1 << 24, length: 1200 };
                    let version = Version::Data(Timestamp::from_raw(170_000_000_000_000, 0));
                    let held = Held { version, place: Place::Volume(at) };
                    editor.put(txn, &key, Entry { held: Versions::One(held), dead: 0 })?;
                }
                editor.finish(txn)
            };
            index.kv.write(change).await.unwrap();
            let (buckets, filled) = filled(&index).await;
            assert!(buckets < 8 || filled > 0.75, "{filled} of {buckets} buckets, batch {batch}");
        }
        let (before, _) = filled(&index).await;
        let remove = |txn: &mut WriteTxn<'_>| {
            let mut keys: Vec<Key> = (0..12_000).filter(|number| number % 20 > 0).map(key).collect();
            keys.sort();
            let mut editor = Editor::new();
            keys.iter().try_for_each(|key| editor.put(txn, key, Entry::default()))?;
            editor.finish(txn)
        };
        index.kv.write(remove).await.unwrap();
        let (after, _) = filled(&index).await;
        assert!(after * 4 < before, "{after} of {before} buckets");
        let (left, _) = index.entries(None, usize::MAX).await.unwrap();
        assert_eq!(left.len(), 600);
    });
}

#[test]
fn a_damaged_bucket_does_not_keep_its_neighbours_from_changing() {
    Sim::new(1, SimOptions::default()).run(async {
        let index = Index::open(Path::new("/index")).await.unwrap();
        let key = |number: u128| Key::new(0, NameHash((number << 64).to_be_bytes()));
        let put = |numbers: std::ops::Range<u128>, step, dead| {
            index.kv.write(move |txn| {
                let mut editor = Editor::new();
                for number in numbers.clone().step_by(step) {
                    editor.put(txn, &key(number), Entry { held: Versions::None, dead })?;
                }
                editor.finish(txn)
            })
        };
        put(0..6000, 4, 1).await.unwrap();
        let (before, _) = filled(&index).await;
        assert!(before > 3, "{before}");
        assert!(index.flip(0, 1, 99).await);
        // What is in front of the damaged one grows until it is divided, and leaves but for one; so does what is behind it.
        let mut readable = 0;
        for number in (0..6000).step_by(4) {
            readable += u32::from(index.lookup(key(number)).await.is_ok());
        }
        assert!((100..1500).contains(&readable), "{readable}");
        let mut first = 0;
        while index.lookup(key(first)).await.is_ok() {
            first += 4;
        }
        put(0..first - 3, 1, 2).await.unwrap();
        put(0..first - 7, 1, 0).await.unwrap();
        let mut last = 5996;
        while index.lookup(key(last)).await.is_ok() {
            last -= 4;
        }
        put(last + 8..6000, 4, 0).await.unwrap();
        assert_eq!(index.lookup(key(first - 4)).await.unwrap().dead, 2);
        assert_eq!(index.lookup(key(last + 4)).await.unwrap().dead, 1);
        assert!(index.lookup(key(first)).await.is_err());
    });
}

#[test]
fn an_index_of_another_format_is_refused() {
    Sim::new(1, SimOptions::default()).run(async {
        let index = Index::open(Path::new("/index")).await.unwrap();
        index.kv.write(|txn| seal(txn, b"store", &7_u64.to_le_bytes())).await.unwrap();
        let error = index.state(8).await.unwrap_err();
        assert!(error.to_string().contains("of format 1"), "{error}");
        assert!(error.to_string().contains("rebuild-index"), "{error}");
        index.kv.write(|txn| seal(txn, b"store", &[[5, 0, 0, 0], [9; 4], [9; 4]].concat())).await.unwrap();
        let error = index.state(8).await.unwrap_err();
        assert!(error.to_string().contains("of format 5"), "{error}");
    });
}
