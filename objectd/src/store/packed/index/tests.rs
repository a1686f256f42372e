//! Checkpoints cut off at every step: no change is lost, none is applied twice.

use super::*;
use crate::store::diskfile::Version;
use crate::store::packed::entry::{At, Change, Place};
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
                    batch.insert(any_key(next()), Entry { held: Vec::new(), dead: u32::try_from(dead).unwrap() });
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

#[test]
fn an_index_of_another_format_is_refused() {
    Sim::new(1, SimOptions::default()).run(async {
        let index = Index::open(Path::new("/index")).await.unwrap();
        index.kv.write(|txn| seal(txn, b"store", &7_u64.to_le_bytes())).await.unwrap();
        let error = index.state(8).await.unwrap_err();
        assert!(error.to_string().contains("of format 1"), "{error}");
        assert!(error.to_string().contains("rebuild-index"), "{error}");
        index.kv.write(|txn| seal(txn, b"store", &[[3, 0, 0, 0], [9; 4], [9; 4]].concat())).await.unwrap();
        let error = index.state(8).await.unwrap_err();
        assert!(error.to_string().contains("of format 3"), "{error}");
    });
}
