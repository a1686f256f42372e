//! Random histories on a real disk: the rebuilt index is the one that was thrown away.

#![expect(clippy::disallowed_methods, reason = "tests do to files what must not happen to them")]

use super::*;
use crate::store::packed::bed::{Bed, PACK_LIMIT, body, small_volumes};
use crate::store::packed::compact::{Turns, compact};
use crate::store::packed::entry::Entry;
use base::io::maintenance::Reader;
use base::io::real::{CoreOptions, run as run_core};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Step {
    Put { name: u8, time: u64, bytes: usize },
    Post { name: u8, time: u64, content_type: Option<u64> },
    Delete { name: u8, time: u64 },
    Quarantine { name: u8 },
    Checkpoint,
    Reopen,
    Compact { volume: u32 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let (name, time) = (0_u8..12, 1_u64..60);
    let sizes = prop_oneof![6 => 0..PACK_LIMIT / 2, 1 => PACK_LIMIT + 1..PACK_LIMIT + 9_000];
    prop_oneof![
        10 => (name.clone(), time.clone(), sizes).prop_map(|(name, time, bytes)| Step::Put { name, time, bytes }),
        3 => (name.clone(), time.clone(), proptest::option::of(1_u64..60)).prop_map(|(name, time, content_type)| {
            Step::Post { name, time, content_type: content_type.filter(|content_type| *content_type <= time) }
        }),
        3 => (name.clone(), time).prop_map(|(name, time)| Step::Delete { name, time }),
        1 => name.prop_map(|name| Step::Quarantine { name }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
        2 => (0_u32..8).prop_map(|volume| Step::Compact { volume }),
    ]
}

fn name(number: u8) -> String {
    format!("/AUTH_a/c/{number}")
}

fn key(number: u8) -> Key {
    let number = number.to_string();
    Key::new(0, small_volumes().hash_path.hash("AUTH_a", Some("c"), Some(&number)))
}

/// Closing an environment is another thread's work.
async fn closed(bed: Bed) {
    drop(bed);
    io::sleep(Duration::from_millis(50)).await;
}

async fn live(root: &Path, steps: &[Step]) -> Bed {
    let mut bed = Bed::open_with(root, small_volumes()).await;
    for step in steps {
        match *step {
            Step::Put { name: number, time, bytes } => bed.put(&name(number), time, &body(time, bytes)).await,
            Step::Post { name: number, time, content_type } => bed.post(&name(number), time, content_type).await,
            Step::Delete { name: number, time } => bed.delete(&name(number), time).await,
            Step::Quarantine { name: number } => bed.quarantine(&name(number)).await,
            Step::Checkpoint => bed.store().checkpoint().await.unwrap(),
            Step::Compact { volume } => {
                let store = bed.store();
                let first = store.usages().await.unwrap().keys().next().copied().unwrap_or(1);
                let (reader, mut turns) = (Reader::new("test", None), Turns::new(store, true, &|| false));
                match compact(store, &reader, first + volume, &mut turns).await {
                    Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {}
                    result => drop(result.unwrap()),
                }
            }
            Step::Reopen => {
                closed(bed).await;
                bed = Bed::open_with(root, small_volumes()).await;
            }
        }
    }
    bed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rebuilt_index_is_the_one_before(steps in proptest::collection::vec(any_step(), 20..120)) {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let root = directory.path().join("d1");
        let (before, after) = run_core(CoreOptions::default(), async || {
            let bed = live(&root, &steps).await;
            let before = bed.index().await;
            closed(bed).await;
            std::fs::write(root.join("martlet-store/index/data.mdb"), b"nothing of this is an index").unwrap();
            let mut told = Vec::new();
            let rebuilt = run(&root, &mut |done, total| told.push((done, total))).await.unwrap();
            assert!(told.is_sorted() && told.last().is_none_or(|(done, total)| done == total), "{told:?}");
            assert_eq!(rebuilt.damaged, 0);
            io::sleep(Duration::from_millis(50)).await;
            let bed = Bed::open_with(&root, small_volumes()).await;
            let after = bed.index().await;
            closed(bed).await;
            (before, after)
        }).unwrap();
        // A quarantine is forgotten when its volume is compacted: what an older volume has of these objects may be back.
        let compacted = steps.iter().any(|step| matches!(step, Step::Compact { .. }));
        let quarantined: BTreeSet<Key> = steps.iter().filter_map(|step| match step {
            Step::Quarantine { name: number } if compacted => Some(key(*number)),
            _ => None,
        }).collect();
        let others = |index: BTreeMap<Key, Entry>| -> BTreeMap<Key, Entry> {
            index.into_iter().filter(|(key, _)| !quarantined.contains(key)).collect()
        };
        if quarantined.is_empty() {
            prop_assert_eq!(&before.1, &after.1);
        }
        prop_assert_eq!(others(before.0), others(after.0));
    }
}
