//! Compaction in the simulator: space comes back, nothing is lost, whatever happens meanwhile.

use super::*;
use crate::store::diskfile::Version;
use crate::store::packed::adopt;
use crate::store::packed::bed::{Bed, Seen, body, fill, see_all};
use crate::store::packed::info::info;
use crate::store::packed::maintain::Work;
use crate::store::packed::reclaim::reclaim;
use crate::store::packed::recount::recount;
use base::http::server::Drain;
use base::io::sim::{NodeId, Planned, Sim, SimHandle, SimOptions};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

const ROOT: &str = "/srv/node/d1";
const OBJECTS: u64 = 400;
/// Each takes seconds where nothing is optimised.
const SEEDS: u64 = if cfg!(debug_assertions) { 2 } else { 20 };

fn name(number: u64) -> String {
    format!("/AUTH_a/c/filler{number}")
}

async fn open() -> Bed {
    Bed::open(Path::new(ROOT), "packed").await
}

fn work(bed: &Bed) -> Rc<Work> {
    Work::new(bed.store().clone(), Reader::new("test"), bed.config.clone(), Drain::new())
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
fn on_a_real_disk_too_through_the_maintenance_executor() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let root = directory.path().to_owned();
    base::io::real::run(base::io::real::CoreOptions::default(), async move || {
        let bed = Bed::open(&root, "packed").await;
        let names = one_victim(&bed).await;
        let expected = see_all(&bed, &names).await;
        bed.store().checkpoint().await.unwrap();
        assert_eq!(work(&bed).make_room().await.unwrap(), 1);
        assert_right(&bed).await;
        assert_eq!(see_all(&bed, &names).await, expected);
    })
    .unwrap();
}

/// Takes a file out of the page cache.
#[expect(clippy::disallowed_methods, reason = "the door has no need of it")]
fn forget(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

#[test]
fn what_was_in_memory_is_there_after_a_move_and_nothing_else() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let root = directory.path().to_owned();
    base::io::real::run(base::io::real::CoreOptions::default(), async move || {
        let bed = Bed::open(&root, "packed").await;
        one_victim(&bed).await;
        bed.store().checkpoint().await.unwrap();
        let volumes = bed.store().log.numbers().await.unwrap();
        for number in &volumes {
            forget(&bed.store().log.path(*number));
        }
        let is_cached = async |number: u64| {
            let file = bed.files(&name(number));
            let entry = file.entry().await.unwrap();
            let data = entry.held.iter().find(|held| matches!(held.version, Version::Data(_))).unwrap();
            let at = data.place.at().unwrap();
            (at.volume, bed.store().log.volume(at.volume).await.unwrap().is_cached(at.offset, at.length))
        };
        if is_cached(0).await.1 {
            println!("skipped: this kernel or file system does not tell what is in memory");
            return;
        }
        for number in [0, 30, 40, 80] {
            bed.see(&name(number)).await;
        }
        assert_eq!(work(&bed).make_room().await.unwrap(), 1);
        for number in (0..90).step_by(10) {
            let (volume, is_cached) = is_cached(number).await;
            assert!(!volumes.contains(&volume) || Some(&volume) == volumes.last(), "{number} was not moved");
            assert_eq!(is_cached, [0, 30, 40, 80].contains(&number), "{number}");
        }
    })
    .unwrap();
}

#[test]
fn a_deletion_is_forgotten_when_nothing_older_is_left_and_not_before() {
    Sim::new(2, SimOptions::default()).run(async {
        let bed = open().await;
        let store = bed.store().clone();
        let names = churn(&bed).await;
        store.checkpoint().await.unwrap();
        assert_eq!(reclaim(&store, Duration::ZERO, Duration::ZERO).await.unwrap(), 0, "stock files may be there");
        adopt::walk(&store, &Reader::new("test"), &|| Duration::ZERO).await.unwrap();
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
    for seed in 1..=SEEDS {
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
                    finish_drops(bed.store(), &Reader::new("test"), &mut Turns::new(bed.store(), true, &|| false))
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

fn a_node(seed: u64, options: SimOptions) -> (Sim, NodeId) {
    let sim = Sim::new(seed, options);
    let node = sim.node("storage", "10.0.0.2".parse().unwrap());
    sim.start(node, std::future::pending);
    (sim, node)
}

/// One closed volume with a few living records and two POSTs, tombstones and a large object among them.
async fn one_victim(bed: &Bed) -> Vec<String> {
    let mut names: Vec<String> = (0..90).map(name).collect();
    names.push("/AUTH_a/c/large".to_owned());
    bed.put(&names[90], 10, &body(1, 120_000)).await;
    for number in 0..90 {
        bed.put(&name(number), 10, &body(number, 95_000)).await;
        if number % 10 != 0 {
            bed.delete(&name(number), 11).await;
        } else {
            bed.post(&name(number), 12, None).await;
        }
    }
    names
}

/// Fills a device, compacts it with a crash at that step, and looks. Answers the steps taken before and after the compaction.
fn crash_at(step: Option<u64>) -> (u64, u64) {
    let (sim, node) = a_node(7, SimOptions::default());
    let handle = sim.handle();
    sim.run(async move {
        let fill = async {
            let bed = open().await;
            let names = one_victim(&bed).await;
            bed.store().checkpoint().await.unwrap();
            let expected = see_all(&bed, &names).await;
            (names, expected)
        };
        let (names, expected) = handle.run_on(node, fill).await.unwrap();
        handle.crash(node);
        handle.start(node, std::future::pending);
        let before = handle.disk_steps(node);
        if let Some(step) = step {
            handle.plan_step(node, step, Planned::Crash);
        }
        let compaction = async {
            let bed = open().await;
            work(&bed).make_room().await.unwrap()
        };
        let went = handle.run_on(node, compaction).await;
        let after = handle.disk_steps(node);
        assert!(step.is_some() || went == Some(1), "{went:?}");
        handle.forget_plans(node);
        handle.crash(node);
        handle.start(node, std::future::pending);
        let look = async move {
            let bed = open().await;
            assert_eq!(see_all(&bed, &names).await, expected, "crash at {step:?}");
            work(&bed).make_room().await.unwrap();
            assert_eq!(info(bed.store()).await.unwrap().empty_volumes, 0, "crash at {step:?}");
            assert_right(&bed).await;
            assert_eq!(see_all(&bed, &names).await, expected, "crash at {step:?}");
        };
        if handle.run_on(node, look).await.is_none() {
            panic!("crash at {step:?}: {:?}", handle.panics());
        }
        (before, after)
    })
}

#[test]
fn a_crash_at_any_step_of_a_compaction_leaves_the_same_objects_and_exact_counters() {
    let (before, after) = crash_at(None);
    let stride = if cfg!(debug_assertions) { 2 } else { 1 };
    assert!(after - before > 10, "{}", after - before);
    for step in (before + 1..=after).step_by(stride) {
        crash_at(Some(step));
    }
}

async fn try_put(bed: &Bed, number: u64) -> std::io::Result<()> {
    let bytes = body(number, 90_000);
    let mut metadata = crate::store::metadata::Metadata::new();
    metadata.set("ETag", "x");
    let mut writer = bed.file(&name(number)).create(Some(bytes.len() as u64)).await?;
    writer.append(bytes.into()).await?;
    writer
        .publish(&bed.config, crate::store::diskfile::Version::Data(crate::store::packed::bed::at(10)), metadata)
        .await
}

#[test]
fn deletions_free_a_full_disk() {
    let options = SimOptions { disk_capacity: 96 << 20, ..SimOptions::default() };
    Sim::new(3, options).run(async {
        let bed = open().await;
        let mut written = 0;
        let full = loop {
            match try_put(&bed, written).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
            assert!(written < 3000, "the disk is smaller");
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        assert!(written > 200, "{written}");
        for number in (0..written).filter(|number| number % 16 != 0) {
            bed.delete(&name(number), 20).await;
        }
        let went = work(&bed).make_room().await.unwrap();
        assert!(went > 2, "{went}");
        bed.store().log.spare().lay_reserve_aside().await.unwrap();
        let after = info(bed.store()).await.unwrap();
        assert!(after.has_reserve, "{after:?}");
        for number in written..written + 100 {
            try_put(&bed, number).await.unwrap();
        }
        assert_right(&bed).await;
        for number in (0..written + 100).filter(|number| *number >= written || number % 16 == 0) {
            assert_eq!(bed.see(&name(number)).await.unwrap().unwrap().0, body(number, 90_000), "{number}");
        }
    });
}

#[test]
fn what_is_damaged_is_quarantined_and_the_rest_is_moved() {
    let (sim, node) = a_node(4, SimOptions::default());
    let handle = sim.handle();
    sim.run(async move {
        let fill = async {
            let bed = open().await;
            let names = one_victim(&bed).await;
            bed.store().checkpoint().await.unwrap();
            let mut places = Vec::new();
            for number in [10, 30] {
                let entry = bed.store().lookup(Key::new(0, bed.hash(&name(number)))).await.unwrap();
                places.push(entry.choose().data.unwrap().place.at().unwrap());
            }
            (names.clone(), see_all(&bed, &names).await, places)
        };
        let (names, mut expected, places) = handle.run_on(node, fill).await.unwrap();
        assert!(places.iter().all(|at| at.volume == 1), "{places:?}");
        let path = Path::new(ROOT).join("martlet-store/volumes/00000001.volume");
        // A body, and a head.
        handle.damage(node, &path, places[0].offset + 80_000).unwrap();
        handle.damage(node, &path, places[1].offset + 20).unwrap();
        let look = async move {
            let bed = open().await;
            work(&bed).make_room().await.unwrap();
            let seen = see_all(&bed, &names).await;
            (seen, recount(bed.store()).await.unwrap(), info(bed.store()).await.unwrap())
        };
        let Some((seen, recount, after)) = handle.run_on(node, look).await else { panic!("{:?}", handle.panics()) };
        expected.insert(name(10), None);
        expected.insert(name(30), None);
        assert_eq!(seen, expected);
        assert!(recount.too_low.is_empty() && recount.usages.is_empty(), "{recount:?}");
        assert!(recount.too_high.len() <= 1, "{recount:?}");
        assert_eq!((after.counts.compactions, after.empty_volumes), (1, 0), "{after:?}");
    });
}

#[test]
fn what_clients_write_meanwhile_wins() {
    for seed in 1..=SEEDS {
        Sim::new(seed, SimOptions::default()).run(async move {
            let bed = Rc::new(open().await);
            let names = churn(&bed).await;
            let compaction = {
                let bed = bed.clone();
                io::spawn(async move { work(&bed).make_room().await })
            };
            for turn in 0..150_u64 {
                let number = turn * 37 % OBJECTS;
                match (turn + seed) % 4 {
                    0 => bed.delete(&name(number), 30 + turn).await,
                    1 => bed.post(&name(number), 30 + turn, None).await,
                    _ => bed.put(&name(number), 30 + turn, &body(turn, 3000)).await,
                }
            }
            let expected = see_all(&bed, &names).await;
            compaction.await.unwrap().unwrap();
            assert_eq!(see_all(&bed, &names).await, expected);
            assert_right(&bed).await;
        });
    }
}
