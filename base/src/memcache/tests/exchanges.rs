//! Single exchanges, one thing gone wrong at a time.

use super::fake::{Fake, Mood};
use crate::io::sim::{Sim, SimHandle, SimOptions};
use crate::io::{self, sleep, spawn};
use crate::memcache::{Lookup, Memcache, Settings, Settled, Value};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

const LIFE: Duration = Duration::from_secs(60);

fn run<F: Future<Output = ()> + 'static>(
    seed: u64,
    connections: usize,
    test: impl FnOnce(Rc<Memcache>, Rc<Fake>, SimHandle) -> F + 'static,
) {
    let sim = Sim::new(seed, SimOptions::default());
    let handle = sim.handle();
    sim.run(async move {
        let fake = Rc::new(Fake::start(&handle, 1));
        sleep(Duration::from_millis(5)).await;
        let memcache = Memcache::new(Settings::of(&["10.0.2.1"], connections).unwrap(), 1, 0);
        test(Rc::new(memcache), fake, handle).await;
    });
}

fn value(found: &Lookup) -> Option<&[u8]> {
    match found {
        Lookup::Hit(value, _) => Some(&value.bytes),
        Lookup::Miss(_) | Lookup::Unavailable => None,
    }
}

#[test]
fn a_request_given_up_at_any_point_leaves_the_count_right() {
    for micros in (0..4_000).step_by(50) {
        run(micros, 1, move |memcache, fake, sim| async move {
            assert!(memcache.set("k", &Value::text("1"), LIFE).await.is_some());
            // One holds the only slot, the other waits; both are given up after the same time.
            let both = (0..2).map(|_| {
                let memcache = memcache.clone();
                spawn(async move { io::timeout(Duration::from_micros(micros), memcache.get("k")).await.is_ok() })
            });
            let both: Vec<_> = both.collect();
            for task in both {
                task.await.unwrap();
            }
            sleep(Duration::from_millis(50)).await;
            let before = memcache.report()[0].clone();
            assert_eq!((before.open, sim.connections_to(fake.address).0), (1, 1), "{micros}");
            assert_eq!(value(&memcache.get("k").await), Some(&b"1"[..]), "{micros}");
            let after = &memcache.report()[0];
            // The one connection served them all: none was broken, nobody waits any more.
            assert_eq!((after.counts.connects, after.counts.waits), (1, before.counts.waits), "{micros}");
            assert_eq!(sim.connections_to(fake.address).1, 1, "{micros}");
        });
    }
}

#[test]
fn a_reply_nobody_asked_for_ends_its_connection() {
    for mood in [Mood::Twice, Mood::Late] {
        for seed in 0..20 {
            run(seed, 1, move |memcache, fake, _| async move {
                assert!(memcache.set("k", &Value::text("1"), LIFE).await.is_some());
                fake.mood.set(mood);
                let _ = memcache.get("k").await;
                sleep(Duration::from_millis(100)).await;
                fake.mood.set(Mood::Good);
                // A second `VALUE` would be refused; a second `END` would be a miss that is none.
                assert_eq!(value(&memcache.get("k").await), Some(&b"1"[..]), "{mood:?} {seed}");
                assert_eq!(memcache.report()[0].counts.connects, 2, "{mood:?} {seed}");
            });
        }
    }
}

#[test]
fn who_finds_no_slot_goes_on_without_after_pool_timeout() {
    run(1, 1, |memcache, fake, sim| async move {
        fake.mood.set(Mood::Silent);
        let first = memcache.clone();
        let first = spawn(async move { first.get("k").await });
        sleep(Duration::from_millis(10)).await;
        let start = sim.elapsed();
        assert_eq!(memcache.get("k").await, Lookup::Unavailable);
        let waited = sim.elapsed() - start;
        assert!((Duration::from_millis(1000)..Duration::from_millis(1010)).contains(&waited), "{waited:?}");
        // Waiting in vain says nothing about the server.
        let counts = memcache.report()[0].counts;
        assert_eq!((counts.wait_timeouts, counts.timeouts, counts.errors), (1, 0, 0));
        assert_eq!(first.await, Some(Lookup::Unavailable));
        assert_eq!((memcache.report()[0].open, memcache.report()[0].counts.timeouts), (0, 1));
    });
}

#[test]
fn a_server_that_fails_too_often_is_left_out_and_comes_back() {
    run(1, 2, |memcache, fake, sim| async move {
        sim.crash(fake.node);
        for _ in 0..11 {
            assert_eq!(memcache.get("k").await, Lookup::Unavailable);
        }
        assert!(memcache.report()[0].is_suppressed);
        fake.restart();
        assert_eq!(memcache.get("k").await, Lookup::Unavailable);
        sleep(Duration::from_secs(61)).await;
        assert!(matches!(memcache.get("k").await, Lookup::Miss(_)));
    });
}

#[test]
fn a_core_without_a_slice_never_connects() {
    run(1, 2, |_, fake, sim| async move {
        let memcache = Memcache::new(Settings::of(&["10.0.2.1"], 2).unwrap(), 3, 2);
        assert!(!memcache.is_open());
        assert_eq!(memcache.get("k").await, Lookup::Unavailable);
        assert!(memcache.set("k", &Value::text("1"), LIFE).await.is_none());
        assert_eq!(sim.connections_to(fake.address), (0, 0));
    });
}

#[test]
fn values_beyond_the_limit_are_not_sent() {
    run(1, 1, |memcache, fake, _| async move {
        let large = "x".repeat(crate::memcache::value::BYTES_MAX + 1);
        assert!(memcache.set("k", &Value::text(large), LIFE).await.is_none());
        assert!(fake.seen.borrow().is_empty());
    });
}

/// Whether a get after the delete finds what was there. `awaits`: the delete waits for its reply, as ours does.
fn finds_the_old_value(seed: u64, awaits: bool) -> bool {
    let found = Rc::new(std::cell::Cell::new(false));
    let seen = found.clone();
    run(seed, 4, move |memcache, _, _| async move {
        // Several idle connections, so that delete and get take different ones.
        let busy = (0..4).map(|_| {
            let memcache = memcache.clone();
            spawn(async move { memcache.set("account/a", &Value::json("{\"status\": 404}"), LIFE).await.is_some() })
        });
        for task in busy.collect::<Vec<_>>() {
            assert_eq!(task.await, Some(true));
        }
        let deleting = memcache.clone();
        let deleting = spawn(async move { deleting.delete("account/a").await });
        if awaits {
            assert_eq!(deleting.await, Some(Settled::Yes));
        }
        let found = memcache.get("account/a").await;
        seen.set(value(&found).is_some());
    });
    found.get()
}

#[test]
fn the_autocreate_race_a_get_after_a_delete_never_finds_the_old_value_on_any_connection() {
    // Swift before 1.10: an account that was just made was still missing, for a delete sent without asking for its reply was
    // overtaken by the get on another connection.
    assert!((0..200).all(|seed| !finds_the_old_value(seed, true)));
    assert!((0..200).any(|seed| finds_the_old_value(seed, false)), "the race cannot be seen at all");
}
