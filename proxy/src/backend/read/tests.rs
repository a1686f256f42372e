//! What a read makes of its answers, and when it asks a second node.

use super::*;
use crate::testing::{Mood, NODES, World, run, run_with};

fn verdict(answers: &[(bool, u16, u64)]) -> u16 {
    let mut verdict = Verdict::new(3, 0);
    for &(primary, status, deleted) in answers {
        let deletion = (deleted > 0).then(|| Timestamp::from_raw(deleted, 0));
        verdict.refused(primary, ResponseHead::new(Status(status)), deletion);
    }
    verdict.best().status.0
}

#[test]
fn a_quorum_of_primaries_without_it_is_a_404() {
    assert_eq!(verdict(&[(true, 404, 0), (true, 404, 0), (true, 404, 0)]), 404);
    assert_eq!(verdict(&[(true, 404, 0), (true, 404, 0)]), 404);
}

#[test]
fn the_first_primary_that_knows_nothing_may_be_a_new_one() {
    let nothing = || ResponseHead::new(Status(404));
    let after = |replicas: usize, left_out: usize, answers: usize| {
        let mut verdict = Verdict::new(replicas, left_out);
        for _ in 0..answers {
            verdict.refused(true, nothing(), None);
        }
        verdict.best().status.0
    };
    assert_eq!((after(3, 1, 3), after(3, 1, 2), after(3, 0, 2)), (404, 503, 404));
    assert_eq!((after(3, 2, 3), after(2, 1, 2), after(1, 1, 1)), (503, 404, 404));
    // Who knows of a deletion knows something.
    let mut verdict = Verdict::new(3, 1);
    for _ in 0..2 {
        let mut head = nothing();
        head.headers.set("X-Backend-Timestamp", "0000000005.00000");
        verdict.refused(true, head, Timestamp::parse("0000000005.00000").ok());
    }
    assert_eq!(verdict.best().status.0, 404);
}

#[test]
fn ignorant_handoffs_do_not_stand_in_for_silent_primaries() {
    assert_eq!(verdict(&[(true, 404, 0), (false, 404, 0), (false, 404, 0), (false, 404, 0)]), 503);
    assert_eq!(verdict(&[(false, 404, 0), (false, 404, 0), (false, 404, 0)]), 503);
    assert_eq!(verdict(&[]), 503);
}

#[test]
fn handoffs_that_know_of_a_deletion_do() {
    assert_eq!(verdict(&[(true, 404, 0), (false, 404, 7)]), 404);
}

#[test]
fn replicas_that_have_not_heard_of_the_deletion_count_as_deleted() {
    let mut verdict = Verdict::new(3, 0);
    verdict.held(true);
    verdict.refused(true, ResponseHead::new(Status(404)), Some(Timestamp::from_raw(7, 0)));
    assert_eq!(verdict.best().status.0, 404);
}

#[test]
fn a_precondition_that_failed_is_told() {
    assert_eq!(verdict(&[(true, 412, 0), (true, 412, 0), (true, 404, 0)]), 412);
}

const PATH: &str = "/AUTH_a/c/o";

/// Stores an object, with nodes that answer at once; enough reads are measured then.
async fn warm(world: &World) {
    world.make_container().await;
    assert_eq!(world.put(PATH, "one").await.status, 201);
    for _ in 0..2000 {
        assert_eq!(world.call(Method::Get, PATH).await.body, "one");
    }
    world.backends.clear();
}

fn second_questions(world: &World) -> (u64, u64) {
    let hedges = world.core.backend.hedges();
    (hedges.asked.get(), hedges.won.get())
}

#[test]
fn a_node_that_falls_silent_is_overtaken_and_then_left_for_last() {
    run(71, |world| async move {
        warm(&world).await;
        assert_eq!(second_questions(&world), (0, 0));
        let holders = world.backends.holders(PATH);
        world.backends.set(holders[0], Mood::Silent);
        let mut slowest = Duration::ZERO;
        for _ in 0..200 {
            let before = world.sim.elapsed();
            assert_eq!(world.call(Method::Get, PATH).await.body, "one");
            slowest = slowest.max(world.sim.elapsed() - before);
        }
        // Far less than the three seconds that a node may take.
        assert!(slowest < Duration::from_millis(100), "{slowest:?}");
        let (asked, won) = second_questions(&world);
        assert!(asked >= won && (1..4).contains(&won), "{asked} {won}");
        // It comes back: after a while it is tried again, and answers.
        world.backends.set(holders[0], Mood::Good);
        io::sleep(Duration::from_secs(60)).await;
        world.backends.clear();
        for _ in 0..60 {
            assert_eq!(world.call(Method::Get, PATH).await.status, 200);
        }
        let of_it = world.backends.requests(Method::Get, PATH).iter().filter(|seen| seen.node == holders[0]).count();
        assert!((8..40).contains(&of_it), "{of_it}");
    });
}

#[test]
fn two_that_know_nothing_beside_a_silent_one_are_not_believed_too_soon() {
    run(72, |world| async move {
        warm(&world).await;
        let holders = world.backends.holders(PATH);
        world.backends.set(holders[0], Mood::Silent);
        world.backends.forget(holders[1], PATH);
        world.backends.set(holders[1], Mood::Says(503));
        // The third has it, whoever is asked first.
        for _ in 0..8 {
            assert_eq!(world.call(Method::Get, PATH).await.body, "one");
        }
        // Nobody has it: that is certain only when the silent one speaks, for one of the others may be new to the partition.
        world.backends.set(holders[1], Mood::Good);
        world.backends.forget(holders[2], PATH);
        world.backends.forget(holders[0], PATH);
        assert_eq!(world.call(Method::Get, PATH).await.status, 503);
        world.backends.set(holders[0], Mood::Good);
        assert_eq!(world.call(Method::Get, PATH).await.status, 404);
    });
}

#[test]
fn the_operators_time_counts_where_there_is_one() {
    run_with(73, "concurrent_gets = on\nconcurrency_timeout = 0.2", |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        let holders = world.backends.holders(PATH);
        for node in 0..NODES {
            world.backends.set(node, if node == holders[2] { Mood::Good } else { Mood::Silent });
        }
        world.backends.clear();
        let before = world.sim.elapsed();
        assert_eq!(world.call(Method::Get, PATH).await.body, "one");
        let took = world.sim.elapsed() - before;
        let asked = world.backends.requests(Method::Get, PATH).len();
        // One more after each 0.2 s.
        assert_eq!(took.as_millis() / 200, asked as u128 - 1, "{took:?} {asked}");
        assert_eq!(second_questions(&world).0, asked as u64 - 1);
    });
}

#[test]
fn who_wants_no_second_question_gets_none() {
    run_with(74, "concurrent_gets = off", |world| async move {
        warm(&world).await;
        let holders = world.backends.holders(PATH);
        world.backends.set(holders[0], Mood::Silent);
        world.backends.set(holders[1], Mood::Silent);
        let before = world.sim.elapsed();
        for _ in 0..4 {
            assert_eq!(world.call(Method::Get, PATH).await.body, "one");
        }
        assert!(world.sim.elapsed() - before >= Duration::from_secs(3));
        assert_eq!(second_questions(&world), (0, 0));
    });
}
