//! Random histories on a real disk: the rebuilt index is the one that was thrown away.

#![expect(clippy::disallowed_methods, reason = "tests do to files what must not happen to them")]

use super::*;
use crate::store::packed::bed::{Bed, PACK_LIMIT, body, small_volumes};
use crate::store::packed::compact::{Turns, compact};
use base::io::maintenance::Reader;
use base::io::real::{CoreOptions, run as run_core};
use proptest::prelude::*;
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
                let (reader, mut turns) = (Reader::new("test"), Turns::new(store, true, &|| false));
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
        prop_assert_eq!(&before.1, &after.1);
        prop_assert_eq!(before.0, after.0);
    }
}

/// Closes the volume that is written, by objects that stay.
async fn close_volume(bed: &Bed, first: u64) {
    for number in first..first + 14 {
        bed.put(&format!("/AUTH_a/c/filler{number}"), 10, &body(number, 45_000)).await;
    }
}

async fn compact_all_but_the_first(bed: &Bed) -> u64 {
    let store = bed.store();
    let mut compacted = 0;
    store.checkpoint().await.unwrap();
    let last = store.memory.borrow().end().volume;
    for volume in store.log.numbers().await.unwrap().into_iter().filter(|number| (2..last).contains(number)) {
        let (reader, mut turns) = (Reader::new("test"), Turns::new(store, true, &|| false));
        compact(store, &reader, volume, &mut turns).await.unwrap();
        compacted += 1;
    }
    compacted
}

async fn rebuilt(bed: Bed, root: &Path) -> Bed {
    closed(bed).await;
    std::fs::remove_dir_all(root.join("martlet-store/index")).unwrap();
    run(root, &mut |_, _| {}).await.unwrap();
    io::sleep(Duration::from_millis(50)).await;
    Bed::open_with(root, small_volumes()).await
}

/// The bug: the record of a quarantine went with its volume, and an index made anew served what the damaged version had replaced.
#[test]
fn what_a_damaged_version_had_replaced_does_not_come_back() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let root = directory.path().join("d1");
    run_core(CoreOptions::default(), async || {
        let mut bed = Bed::open_with(&root, small_volumes()).await;
        let names = ["/AUTH_a/c/plain", "/AUTH_a/c/posted", "/AUTH_a/c/healed", "/AUTH_a/c/replaced"];
        // The older versions, in the first volume; then the newer ones; then what takes these out of use: each in another volume.
        for name in names {
            bed.put(name, 10, b"older").await;
        }
        bed.post(names[1], 11, Some(11)).await;
        close_volume(&bed, 0).await;
        for name in names {
            bed.put(name, 20, b"newer").await;
        }
        bed.post(names[1], 21, Some(21)).await;
        close_volume(&bed, 100).await;
        for name in names {
            bed.quarantine(name).await;
        }
        bed.put(names[2], 20, b"newer").await;
        bed.put(names[3], 30, b"newest").await;
        close_volume(&bed, 200).await;
        for round in 0..3 {
            for (name, body) in names.iter().zip([None, None, Some("newer"), Some("newest")]) {
                let seen = bed.see(name).await.map(|seen| seen.unwrap().0);
                assert_eq!(seen.as_deref(), body.map(str::as_bytes), "{name}, round {round}");
            }
            assert!(compact_all_but_the_first(&bed).await > 0);
            let before = bed.index().await;
            bed = rebuilt(bed, &root).await;
            assert_eq!(bed.index().await, before, "round {round}");
            close_volume(&bed, 300 + 100 * round).await;
        }
        // An older write does not heal; the same version does.
        bed.put(names[0], 15, b"between").await;
        assert_eq!(bed.see(names[0]).await, None);
        bed.put(names[0], 20, b"newer").await;
        assert_eq!(bed.see(names[0]).await.unwrap().unwrap().0, b"newer");
        closed(bed).await;
    })
    .unwrap();
}

/// What keeps nothing out any more goes, so that the device does not remember for ever.
#[test]
fn a_lost_version_is_forgotten_when_nothing_older_is_left() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let root = directory.path().join("d1");
    run_core(CoreOptions::default(), async || {
        let bed = Bed::open_with(&root, small_volumes()).await;
        let store = bed.store().clone();
        crate::store::packed::adopt::walk(&store, &Reader::new("test"), &|| Duration::ZERO).await.unwrap();
        let name = "/AUTH_a/c/plain";
        let key = Key::new(0, bed.hash(name));
        bed.put(name, 10, b"older").await;
        close_volume(&bed, 0).await;
        bed.put(name, 20, b"newer").await;
        bed.quarantine(name).await;
        close_volume(&bed, 100).await;
        store.checkpoint().await.unwrap();
        let forget =
            async || crate::store::packed::reclaim::reclaim(&store, Duration::ZERO, Duration::ZERO).await.unwrap();
        assert_eq!(forget().await, 0, "the older one is in the first volume");
        let (reader, mut turns) = (Reader::new("test"), Turns::new(&store, true, &|| false));
        compact(&store, &reader, 1, &mut turns).await.unwrap();
        assert_eq!(store.lookup(key).await.unwrap().dead, 1);
        assert_eq!(forget().await, 0, "the damaged one is in the second");
        compact(&store, &reader, 2, &mut turns).await.unwrap();
        store.checkpoint().await.unwrap();
        assert_eq!(forget().await, 1);
        assert!(store.lookup(key).await.unwrap().held.is_empty());
        closed(bed).await;
    })
    .unwrap();
}
