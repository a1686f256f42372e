//! Drops cut off at every step: each counter goes down once, and nothing is forgotten meanwhile.

use super::*;
use crate::store::diskfile::Version;
use crate::store::packed::entry::{At, Held, Place};
use crate::store::packed::index::OBJECTS_AT_ONCE;
use crate::store::packed::memory::{Position, Table as Changes};
use base::hash_path::NameHash;
use base::io::sim::{Planned, Sim, SimOptions};
use std::path::Path;

const OBJECTS: u64 = 2 * OBJECTS_AT_ONCE as u64 + 10;

fn key(number: u64) -> Key {
    Key::new(0, NameHash(u128::from(number).to_be_bytes()))
}

/// Tombstones in volume 2; two dead records of each object, one of them in volume 1.
fn changes() -> Arc<Changes> {
    let mut changes = Changes::until(Position { volume: 2, offset: 1 << 20, sequence: 9 });
    for number in 0..OBJECTS {
        let at = At { volume: 2, offset: 4096 + number * 64, length: 64 };
        let held = Held { version: Version::Tombstone(Timestamp::from_raw(10, 0)), place: Place::Volume(at) };
        for change in [Change::Dead, Change::Insert(held), Change::Dead] {
            changes.add(key(number), change);
        }
    }
    Arc::new(changes)
}

fn dead() -> Arc<BTreeMap<Key, u32>> {
    Arc::new((0..OBJECTS).map(|number| (key(number), 1)).collect())
}

async fn open() -> Index {
    let index = Index::open(Path::new("/index")).await.unwrap();
    index.state(7).await.unwrap();
    index
}

/// As compaction does it, going on where it was.
async fn drop_it() {
    let index = open().await;
    index.drop_volume(1, dead()).await.unwrap();
    index.dropped(1).await.unwrap();
}

#[test]
fn a_drop_cut_off_anywhere_lowers_each_counter_once() {
    let mut crashes = 0;
    for step in 1..100 {
        let sim = Sim::new(step, SimOptions::default());
        let node = sim.node("storage", "10.0.0.2".parse().unwrap());
        let handle = sim.handle();
        let crashed = sim.run(async move {
            handle.start(node, std::future::pending);
            let fill = async { open().await.checkpoint(changes()).await.unwrap() };
            handle.run_on(node, fill).await.unwrap();
            handle.plan_step(node, handle.disk_steps(node) + step, Planned::Crash);
            let crashed = handle.run_on(node, drop_it()).await.is_none();
            handle.forget_plans(node);
            if crashed {
                handle.start(node, std::future::pending);
                let finish = async {
                    let index = open().await;
                    let everything = Arc::new((0..OBJECTS).map(key).collect());
                    if !index.drops().await.unwrap().is_empty() {
                        let forgotten = index.forget(everything, Timestamp::from_raw(99, 0)).await.unwrap();
                        assert_eq!(forgotten, 0, "counters are on their way");
                    }
                    let is_lowered = async |number| index.lookup(key(number)).await.unwrap().dead < 2;
                    // It was begun and not ended, or it is done, or nothing of it is.
                    if is_lowered(0).await && !index.drops().await.unwrap().is_empty() || !is_lowered(0).await {
                        index.drop_volume(1, dead()).await.unwrap();
                        index.dropped(1).await.unwrap();
                    }
                };
                handle.run_on(node, finish).await.expect("no second crash");
            }
            let check = async move {
                let index = open().await;
                assert_eq!(index.drops().await.unwrap(), []);
                for number in 0..OBJECTS {
                    assert_eq!(index.lookup(key(number)).await.unwrap().dead, 1, "object {number}, step {step}");
                }
            };
            handle.run_on(node, check).await.expect("no crash");
            crashed
        });
        if !crashed {
            break;
        }
        crashes += 1;
    }
    assert!((4..99).contains(&crashes), "{crashes}");
}
