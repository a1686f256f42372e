//! The journal on a simulated disk: what is durable when, and what is not done twice.

use super::state::{Bounds, TRUSTED_AFTER};
use crate::container::intake::tests::{THERE, creation, time};
use crate::container::{Intake, Row, Taken};
use crate::db::key::{self, Kind, State};
use crate::db::lifecycle;
use crate::db::object_row::ObjectUpdate;
use crate::db::{ROWS, TABLES, info, merge, reclaim};
use base::hash_path::NameHash;
use base::io;
use base::io::kv::{Kv, Read};
use base::io::sim::{NodeId, Planned, Sim, SimHandle, SimOptions};
use std::cell::RefCell;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// So small that a half is written over within a test.
const SMALL: Bounds = Bounds { half_bytes: 16 * 1024, rows: 12, age: Duration::from_millis(200) };
/// So large that nothing is moved by itself.
const PATIENT: Bounds = Bounds { half_bytes: 1024 * 1024, rows: 1000, age: Duration::from_secs(3600) };

fn row(name: &str, raw: u64) -> Row {
    let update = ObjectUpdate { deleted: false, size: 1, ..ObjectUpdate::deletion(name, 0, time(raw)) };
    Row { hash: THERE, create: None, update }
}

fn deletion(name: &str, raw: u64) -> Row {
    Row { update: ObjectUpdate::deletion(name, 0, time(raw)), ..row(name, raw) }
}

async fn open(bounds: Bounds) -> std::io::Result<(Kv, Intake)> {
    let rows = Kv::open(Path::new("/rows"), TABLES).await?;
    let intake = Intake::open_bounded(rows.clone(), PathBuf::from("/rows.journal"), bounds).await?;
    Ok((rows, intake))
}

/// A container that the journal takes rows of.
async fn trusted(rows: &Kv, intake: &Intake) {
    rows.write(|write| lifecycle::put_container(write, &creation(THERE))).await.unwrap();
    assert_eq!(trust(intake).await, vec![Ok(true); TRUSTED_AFTER]);
}

async fn trust(intake: &Intake) -> Vec<Taken> {
    let first = (0..TRUSTED_AFTER).map(|number| row(&format!("first {number}"), 2));
    intake.merge_all(first.collect()).await
}

/// What the database has under a name.
async fn found(rows: &Kv, name: &str) -> Option<State> {
    let name = name.to_owned();
    rows.read(move |read| Ok(merge::find(read, &THERE, 0, &name)?.map(|(state, _)| state))).await.unwrap()
}

/// Rows that are listed.
async fn live(rows: &Kv) -> i64 {
    let count = rows.read(|read| {
        let mut count = 0;
        read.scan(ROWS, Bound::Unbounded, Bound::Unbounded, false, &mut |(key, _)| {
            count += i64::from(key[16] == 1);
            Ok(true)
        })?;
        Ok(count)
    });
    count.await.unwrap()
}

/// What the container says it has.
async fn objects(rows: &Kv) -> i64 {
    let info = rows.read(|read| info::load(read, Kind::Container, &THERE)).await.unwrap();
    info.expect("it is there").stats_of(0).objects
}

#[test]
fn rows_wait_until_somebody_looks_at_their_container() {
    Sim::new(1, SimOptions::default()).run(async {
        let (rows, intake) = open(PATIENT).await.unwrap();
        trusted(&rows, &intake).await;
        assert_eq!(intake.merge(row("waits", 3)).await, Ok(true));
        assert_eq!(found(&rows, "waits").await, None);
        intake.settle(&NameHash([2; 16])).await.unwrap();
        assert_eq!(found(&rows, "waits").await, None, "another container");
        intake.settle(&THERE).await.unwrap();
        assert_eq!(found(&rows, "waits").await, Some(State::Live));
        assert_eq!(intake.merge(row("after a look", 3)).await, Ok(true));
        assert_eq!(
            found(&rows, "after a look").await,
            Some(State::Live),
            "one that is looked at goes without the journal"
        );
        assert_eq!(objects(&rows).await, TRUSTED_AFTER as i64 + 2);
    });
}

#[test]
fn rows_are_moved_when_there_are_many_or_some_time_has_passed() {
    Sim::new(1, SimOptions::default()).run(async {
        let (rows, intake) = open(Bounds { rows: 3, ..PATIENT }).await.unwrap();
        trusted(&rows, &intake).await;
        for name in ["a", "b", "c"] {
            assert_eq!(found(&rows, "a").await, None);
            assert_eq!(intake.merge(row(name, 3)).await, Ok(true));
        }
        io::sleep(Duration::from_secs(1)).await;
        assert_eq!(found(&rows, "a").await, Some(State::Live));
        drop((rows, intake));
        let (rows, intake) = open(SMALL).await.unwrap();
        trusted(&rows, &intake).await;
        assert_eq!(intake.merge(row("d", 3)).await, Ok(true));
        io::sleep(SMALL.age / 2).await;
        assert_eq!(found(&rows, "d").await, None);
        io::sleep(SMALL.age).await;
        assert_eq!(found(&rows, "d").await, Some(State::Live));
    });
}

#[test]
fn a_start_moves_what_waits_and_nothing_that_was_moved_before() {
    Sim::new(1, SimOptions::default()).run(async {
        let (rows, intake) = open(PATIENT).await.unwrap();
        trusted(&rows, &intake).await;
        let taken = intake.merge_all(vec![row("ghost", 3), row("kept", 3)]).await;
        assert_eq!(taken, [Ok(true), Ok(true)]);
        intake.settle_all().await.unwrap();
        assert_eq!(intake.merge(deletion("ghost", 4)).await, Ok(true));
        drop((rows, intake));
        let (rows, intake) = open(PATIENT).await.unwrap();
        assert_eq!(found(&rows, "ghost").await, Some(State::Dead));
        rows.write(|write| reclaim::step(write, &[], time(5), 100)).await.unwrap();
        assert_eq!(found(&rows, "ghost").await, None);
        drop((rows, intake));
        let (rows, _intake) = open(PATIENT).await.unwrap();
        assert_eq!(found(&rows, "ghost").await, None, "its row was moved twice");
        assert_eq!(found(&rows, "kept").await, Some(State::Live));
    });
}

#[test]
fn nothing_waits_for_a_container_while_it_may_be_forgotten() {
    Sim::new(1, SimOptions::default()).run(async {
        let (rows, intake) = open(PATIENT).await.unwrap();
        trusted(&rows, &intake).await;
        assert_eq!(intake.merge(row("before", 3)).await, Ok(true));
        let hold = intake.hold().await.unwrap();
        assert_eq!(found(&rows, "before").await, Some(State::Live));
        // As many as make a container trusted at other times.
        let many = (0..TRUSTED_AFTER).map(|number| row(&format!("many {number}"), 3)).collect();
        intake.merge_all(many).await;
        for name in ["during", "too"] {
            assert_eq!(intake.merge(row(name, 3)).await, Ok(true));
            assert_eq!(found(&rows, name).await, Some(State::Live));
        }
        drop(hold);
        assert_eq!(intake.merge(row("behind", 3)).await, Ok(true));
        assert_eq!(found(&rows, "behind").await, Some(State::Live), "what was known is not known any more");
    });
}

#[test]
fn a_row_that_the_database_would_refuse_is_refused() {
    Sim::new(1, SimOptions::default()).run(async {
        let (rows, intake) = open(PATIENT).await.unwrap();
        trusted(&rows, &intake).await;
        let mut bad = row("bad", 3);
        bad.update.created_at = "no time".to_owned();
        let taken = intake.merge_all(vec![row("good", 3), bad]).await;
        assert!(taken[0] == Ok(true) && taken[1].is_err(), "{taken:?}");
        assert_eq!(found(&rows, "good").await, Some(State::Live));
    });
}

#[test]
fn a_row_that_cannot_be_moved_keeps_no_other_and_is_tried_again_by_the_next_start() {
    Sim::new(1, SimOptions::default()).run(async {
        let (rows, intake) = open(PATIENT).await.unwrap();
        trusted(&rows, &intake).await;
        let broken = key::row(&THERE, State::Live, 0, "broken").unwrap();
        let key = broken.clone();
        rows.write(move |write| write.put(ROWS, &key, b"no row")).await.unwrap();
        let taken = intake.merge_all(vec![row("before", 3), row("broken", 3), row("well", 3)]).await;
        assert_eq!(taken, [Ok(true), Ok(true), Ok(true)]);
        let intake = Rc::new(intake);
        let look = {
            let intake = intake.clone();
            io::spawn(async move { intake.settle_all().await })
        };
        io::sleep(Duration::from_nanos(1)).await;
        assert_eq!(intake.merge(row("meanwhile", 3)).await, Ok(true));
        assert!(look.await.unwrap().is_err());
        assert_eq!(found(&rows, "meanwhile").await, None, "in the journal, while the others were moved");
        assert!(intake.settle(&THERE).await.is_err(), "one is missing still");
        assert_eq!(found(&rows, "meanwhile").await, Some(State::Live));
        assert_eq!(found(&rows, "before").await, Some(State::Live));
        assert_eq!(found(&rows, "well").await, Some(State::Live));
        trust(&intake).await;
        assert_eq!(intake.merge(row("later", 3)).await, Ok(true));
        assert_eq!(found(&rows, "later").await, Some(State::Live), "nothing is taken any more");
        assert!(intake.hold().await.is_err(), "nothing is forgotten before it is moved");
        drop((rows, intake));
        let (rows, intake) = open(PATIENT).await.unwrap();
        assert!(intake.hold().await.is_err());
        rows.write(move |write| write.delete(ROWS, &broken).map(drop)).await.unwrap();
        drop((rows, intake));
        let (rows, intake) = open(PATIENT).await.unwrap();
        assert_eq!(found(&rows, "broken").await, Some(State::Live));
        assert!(intake.hold().await.is_ok());
    });
}

/// What was acknowledged: names, and whether they are live.
type Known = Rc<RefCell<Vec<(String, State)>>>;

/// Three writers, each a row of its own after the other, some of them deleted again; a reader comes by.
async fn life(known: Known) {
    let Ok((rows, intake)) = open(SMALL).await else { return };
    let intake = Rc::new(intake);
    trust(&intake).await;
    let writers: Vec<_> =
        (0..3).map(|writer| io::spawn(write(writer, rows.clone(), intake.clone(), known.clone()))).collect();
    for writer in writers {
        writer.await;
    }
    look(&rows, &intake, &known).await;
}

async fn look(rows: &Kv, intake: &Intake, known: &Known) {
    let acknowledged = known.borrow().clone();
    if intake.settle(&THERE).await.is_ok() {
        check(rows, acknowledged, "behind a look").await;
    }
}

async fn write(writer: u64, rows: Kv, intake: Rc<Intake>, known: Known) {
    for number in 0..25 {
        let name = format!("{writer} {number}");
        if intake.merge(row(&name, 10 + number)).await != Ok(true) {
            continue;
        }
        known.borrow_mut().push((name.clone(), State::Live));
        if number % 5 == 0 {
            known.borrow_mut().retain(|(other, _)| *other != name);
            if intake.merge(deletion(&name, 50 + number)).await == Ok(true) {
                known.borrow_mut().push((name, State::Dead));
            }
        }
        if (writer, number) == (1, 15) {
            look(&rows, &intake, &known).await;
            trust(&intake).await;
        }
    }
}

async fn check(rows: &Kv, known: Vec<(String, State)>, when: &str) {
    for (name, state) in known {
        // A read may meet the fault too.
        let wanted = name.clone();
        let read = rows.read(move |read| merge::find(read, &THERE, 0, &wanted));
        if let Ok(found) = read.await {
            assert_eq!(found.map(|(state, _)| state), Some(state), "{name}, {when}");
        }
    }
}

/// One run into a fault, and what is there behind the power cut that follows. Answers how many steps of the disk a run without a fault takes.
fn attempt(seed: u64, fault: Option<(u64, u64, Planned)>) -> u64 {
    let sim = Sim::new(seed, SimOptions { silent_crash_chance: 0.0, ..SimOptions::default() });
    let device = sim.node("storage", "10.0.0.2".parse().unwrap());
    sim.start(device, std::future::pending);
    let handle = sim.handle();
    sim.run(async move {
        let set_up = async {
            let (rows, intake) = open(SMALL).await.unwrap();
            trusted(&rows, &intake).await;
        };
        handle.run_on(device, set_up).await.unwrap();
        let known = Known::default();
        let before = handle.disk_steps(device);
        if let Some((first, steps, fault)) = fault {
            (first..first + steps).for_each(|step| handle.plan_step(device, before + step, fault));
        }
        let played = handle.run_on(device, life(known.clone()));
        assert!(io::timeout(Duration::from_secs(3600), played).await.is_ok(), "seed {seed} {fault:?} hangs");
        let steps = handle.disk_steps(device) - before;
        handle.forget_plans(device);
        for round in ["behind the cut", "behind another"] {
            restart(&handle, device);
            let known = known.clone();
            let look = async move {
                let (rows, intake) = open(SMALL).await.unwrap();
                let acknowledged = known.borrow().clone();
                for (name, state) in &acknowledged {
                    assert_eq!(found(&rows, name).await, Some(*state), "{name} {round}");
                }
                assert_eq!(live(&rows).await, objects(&rows).await, "each row is counted once, {round}");
                assert_eq!(intake.merge(row(round, 3)).await, Ok(true));
            };
            assert!(handle.run_on(device, look).await.is_some(), "seed {seed} {fault:?} {round}");
        }
        assert_eq!(handle.panics(), Vec::<String>::new(), "seed {seed} {fault:?}");
        steps
    })
}

fn restart(handle: &SimHandle, device: NodeId) {
    handle.crash(device);
    handle.start(device, std::future::pending);
}

/// Runs per step: what is lost and torn differs from seed to seed.
const SEEDS: u64 = if cfg!(debug_assertions) { 2 } else { 8 };

/// Faults that last so many steps, from every step on.
fn at_every_step(steps: u64, faults: &[Planned]) {
    for seed in 0..SEEDS {
        let all = attempt(seed, None);
        assert!(all > 60, "the journal is used: {all}");
        for first in 1..=all {
            for fault in faults {
                attempt(seed, Some((first, steps, *fault)));
            }
        }
    }
}

#[test]
fn a_crash_at_any_step_loses_no_row_and_counts_none_twice() {
    at_every_step(1, &[Planned::Crash]);
}

#[test]
fn an_error_at_any_step_loses_no_row_and_counts_none_twice() {
    at_every_step(1, &[Planned::InputOutputError, Planned::StorageFull]);
}

#[test]
fn errors_that_last_lose_no_row_and_count_none_twice() {
    at_every_step(20, &[Planned::InputOutputError, Planned::StorageFull]);
}
