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
    let mut changes = Changes { end: Position { volume: 1, offset: 1 << 30, sequence: 9 }, ..Changes::default() };
    for number in 0..OBJECTS {
        for turn in 0..2 {
            let at = At { volume: 1, offset: (number * 2 + turn) * 64, length: 64 };
            let version = Version::Data(Timestamp::from_raw(number + turn + 1, 0));
            let change = Change::Insert(Held { version, place: Place::Volume(at) });
            changes.changes.insert((key(number), u32::try_from(turn).unwrap()), change);
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
