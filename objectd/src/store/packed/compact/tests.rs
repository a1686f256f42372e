//! Compaction in the simulator: space comes back, nothing is lost, whatever happens meanwhile.

use super::*;
use crate::store::packed::adopt;
use crate::store::packed::bed::{Bed, Seen, body, fill, see_all};
use crate::store::packed::info::info;
use crate::store::packed::maintain::Work;
use crate::store::packed::reclaim::reclaim;
use crate::store::packed::recount::recount;
use base::http::server::Drain;
use base::io::sim::{NodeId, Sim, SimHandle, SimOptions};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

const ROOT: &str = "/srv/node/d1";
const OBJECTS: u64 = 400;

fn name(number: u64) -> String {
    format!("/AUTH_a/c/filler{number}")
}

async fn open() -> Bed {
    Bed::open(Path::new(ROOT), "packed").await
}

fn work(bed: &Bed) -> Rc<Work> {
    Work::new(bed.store().clone(), Reader::new("test", None), bed.config.clone(), Drain::new())
}

/// Some volumes of eight mebibytes of which an eighth stays alive, and objects of all kinds.
async fn churn(bed: &Bed) -> Vec<String> {
    let mut names = fill(bed).await;
    for number in 0..OBJECTS {
        bed.put(&name(number), 10, &body(number, 50_000 + number as usize)).await;
        names.push(name(number));
    }
    for number in 0..OBJECTS {
        match number % 8 {
            0 => {}
            1 => bed.delete(&name(number), 20).await,
            _ => bed.put(&name(number), 20, &body(number, 100 + number as usize)).await,
        }
    }
    names
}

async fn assert_right(bed: &Bed) {
    let recount = recount(bed.store()).await.unwrap();
    assert!(recount.is_right(), "{recount:#?}");
}

#[test]
fn volumes_shrink_to_what_lives_and_everything_is_readable() {
    Sim::new(1, SimOptions::default()).run(async {
        let bed = open().await;
        let names = churn(&bed).await;
        let expected = see_all(&bed, &names).await;
        assert_right(&bed).await;
        let before = info(bed.store()).await.unwrap();
        assert!(before.volumes >= 3 && before.has_reserve, "{before:?}");
        let went = work(&bed).make_room().await.unwrap();
        assert!(went >= 2, "{went}");
        assert_right(&bed).await;
        let after = info(bed.store()).await.unwrap();
        assert!(after.volumes < before.volumes && after.live_records == before.live_records, "{after:?}");
        assert_eq!(after.live_bytes, before.live_bytes);
        assert_eq!(after.counts.compactions, went);
        assert_eq!(see_all(&bed, &names).await, expected);
        assert_eq!(work(&bed).make_room().await.unwrap(), 0, "there is nothing more to gain");
        drop(bed);
        let bed = open().await;
        assert_right(&bed).await;
        assert_eq!(see_all(&bed, &names).await, expected);
    });
}

#[test]
fn a_deletion_is_forgotten_when_nothing_older_is_left_and_not_before() {
    Sim::new(2, SimOptions::default()).run(async {
        let bed = open().await;
        let store = bed.store().clone();
        let names = churn(&bed).await;
        store.checkpoint().await.unwrap();
        assert_eq!(reclaim(&store, Duration::ZERO, Duration::ZERO).await.unwrap(), 0, "stock files may be there");
        adopt::walk(&store, &|| Duration::ZERO).await.unwrap();
        assert_eq!(reclaim(&store, Duration::ZERO, Duration::ZERO).await.unwrap(), 0, "they are of the future");
        // The times of the bed lie that far ahead.
        io::sleep(Duration::from_secs(1)).await;
        let ahead = Duration::from_secs(2_000_000_000) - io::unix_time();
        let later = |key: &Key| {
            store.index.forget(
                Arc::new(vec![*key]),
                crate::store::packed::reclaim::before(io::unix_time() + ahead, Duration::ZERO),
            )
        };
        let deleted = Key::new(0, bed.hash(&name(1)));
        assert_eq!(later(&deleted).await.unwrap(), 0, "its data are in a volume");
        let entry = store.lookup(deleted).await.unwrap();
        assert_eq!((entry.held.len(), entry.dead), (1, 1));
        work(&bed).make_room().await.unwrap();
        let entry = store.lookup(deleted).await.unwrap();
        assert_eq!((entry.held.len(), entry.dead), (1, 0));
        assert_eq!(later(&Key::new(0, bed.hash(&name(0)))).await.unwrap(), 0, "data are never forgotten");
        assert_eq!(later(&deleted).await.unwrap(), 1);
        assert_eq!(bed.see(&name(1)).await, None);
        assert_right(&bed).await;
        let _ = names;
    });
}

/// The device crashes at random moments of checkpoints and compactions, some while a client writes.
#[test]
fn cut_off_anywhere_nothing_is_lost_and_the_counters_are_right() {
    for seed in 1..=6 {
        let sim = Sim::new(seed, SimOptions::default());
        let node = sim.node("storage", "10.0.0.2".parse().unwrap());
        sim.start(node, std::future::pending);
        let handle = sim.handle();
        sim.run(async move { crash_again_and_again(handle, node).await });
    }
}

type Expected = std::collections::BTreeMap<String, Option<Result<Seen, String>>>;

async fn crash_again_and_again(sim: SimHandle, node: NodeId) {
    let (names, mut expected): (Vec<String>, Expected) = sim
        .run_on(node, async {
            let bed = open().await;
            let names = churn(&bed).await;
            let expected = see_all(&bed, &names).await;
            (names, expected)
        })
        .await
        .unwrap();
    let done = Rc::new(Cell::new(false));
    for round in 0..40_u64 {
        sim.crash(node);
        sim.start(node, std::future::pending);
        let patience = Duration::from_millis(sim.random(|random| random.between(1, 1500)));
        let done_here = done.clone();
        let life = async move {
            let bed = open().await;
            work(&bed).make_room().await.unwrap();
            done_here.set(true);
        };
        let _ = io::timeout(patience, sim.run_on(node, life)).await;
        if done.get() || round % 4 == 3 {
            sim.crash(node);
            sim.start(node, std::future::pending);
            let (checked, is_done) = (names.clone(), done.get());
            let seen = sim
                .run_on(node, async move {
                    let bed = open().await;
                    let seen = see_all(&bed, &checked).await;
                    finish_drops(
                        bed.store(),
                        &Reader::new("test", None),
                        &mut Turns::new(bed.store(), true, &|| false),
                    )
                    .await
                    .unwrap();
                    assert_right(&bed).await;
                    if !is_done {
                        // Something for the next compaction: new versions while it may be half done.
                        for number in [2, 3, 4] {
                            bed.put(&name(number), 100 + round, &body(round, 90_000)).await;
                        }
                    }
                    let after = see_all(&bed, &checked).await;
                    (seen, after)
                })
                .await;
            let Some((seen, after)) = seen else { panic!("{:?}", sim.panics()) };
            assert_eq!(seen, expected);
            expected = after;
        }
        if done.get() {
            break;
        }
    }
    assert!(done.get(), "compaction comes to its end in spite of the crashes");
    assert!(sim.panics().is_empty(), "{:?}", sim.panics());
}
