//! Object verbs against scripted backends.

use crate::testing::{Mood, NODES, Pieces, World, run, run_in};
use base::checksum::md5_hex;
use base::http::Method;
use base::http::server::RequestBody;
use base::io;
use base::io::sim::SimOptions;
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;

const PATH: &str = "/AUTH_a/c/o.txt";

fn body(length: usize) -> Bytes {
    (0..length).map(|place| u8::try_from(place * 7 % 251).unwrap()).collect()
}

#[test]
fn what_was_put_is_read_back() {
    run(1, |world| async move {
        world.make_container().await;
        let mut request = world.request(Method::Put, PATH);
        request.body = RequestBody::full(body(200_000));
        for (name, value) in [("X-Object-Meta-Color", "blue"), ("X-Container-Host", "evil"), ("X-Weird", "w")] {
            request.headers.set(name, value);
        }
        let stored = world.send(request).await;
        assert_eq!(stored.status, 201);
        assert_eq!(stored.headers.get_str("Etag"), Some(md5_hex(&body(200_000)).as_str()));

        let puts = world.backends.requests(Method::Put, PATH);
        assert_eq!(puts.len(), 3);
        let mut hosts: Vec<&str> = puts.iter().map(|put| put.headers.get_str("X-Container-Host").unwrap()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        assert_eq!(hosts.len(), 3, "each replica updates another container replica");
        for put in &puts {
            assert!(put.headers.get("X-Weird").is_none());
            assert_eq!(put.headers.get_str("Content-Type"), Some("text/plain"));
            assert_eq!(put.headers.get_str("Expect"), Some("100-continue"));
            assert!(put.headers.get("Connection").is_none());
        }

        let read = world.call(Method::Get, PATH).await;
        assert_eq!((read.status, read.complete), (200, true));
        assert_eq!(read.body, body(200_000));
        assert_eq!(read.headers.get_str("X-Object-Meta-Color"), Some("blue"));
        assert_eq!(read.headers.get_str("Etag"), stored.headers.get_str("Etag"));
        let head = world.call(Method::Head, PATH).await;
        assert_eq!(head.headers.get_str("Content-Length"), Some("200000"));
        assert_eq!(world.backends.requests(Method::Get, PATH).len(), 1);
    });
}

#[test]
fn nodes_that_take_the_md5_get_it_and_others_get_swifts_own_protocol() {
    run(1, |world| async move {
        world.make_container().await;
        let nodes: Vec<usize> = (0..NODES).filter(|node| node % 2 == 0).collect();
        for round in 0..3 {
            // At last they know nothing of it any more.
            *world.backends.checking.borrow_mut() = if round < 2 { nodes.clone() } else { Vec::new() };
            world.backends.clear();
            world.backends.verdicts.borrow_mut().clear();
            let mut request = world.request(Method::Put, PATH);
            request.body = RequestBody::full(body(200_000));
            let stored = world.send(request).await;
            assert_eq!(stored.status, 201);
            assert_eq!(stored.headers.get_str("Etag"), Some(md5_hex(&body(200_000)).as_str()));
            let puts = world.backends.requests(Method::Put, PATH);
            assert_eq!(puts.len(), 3);
            let known = puts.iter().filter(|put| nodes.contains(&put.node)).count();
            for put in &puts {
                assert_eq!(put.headers.get_str("X-Backend-Body-Check"), Some("crc32c"));
                let is_chunked = put.headers.get_str("X-Backend-Obj-Content-Length") == Some("200000");
                assert_eq!(is_chunked, round > 0 && nodes.contains(&put.node), "round {round}: {put:?}");
                assert_eq!(put.headers.contains("Transfer-Encoding"), is_chunked, "round {round}: {put:?}");
            }
            let verdicts = world.backends.verdicts.borrow();
            let said = verdicts.iter().flatten().count();
            assert_eq!(said, if round == 1 { known } else { 0 }, "round {round}");
            assert!(verdicts.iter().flatten().all(|verdict| verdict.etag == md5_hex(&body(200_000))));
            assert_eq!(world.backends.holders(PATH).len(), 3);
        }
        let read = world.call(Method::Get, PATH).await;
        assert_eq!(read.body, body(200_000));
    });
}

#[test]
fn an_empty_object_and_a_chunked_one_are_stored() {
    run(2, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "").await.status, 201);
        assert_eq!(world.call(Method::Get, PATH).await.body, "");
        let mut request = world.request(Method::Put, PATH);
        let source = Pieces { left: vec![body(10), body(70_000)], fails: false };
        request.body = RequestBody::streaming(None, Box::new(source));
        assert_eq!(world.send(request).await.status, 201);
        assert_eq!(world.call(Method::Get, PATH).await.body.len(), 70_010);
    });
}

#[test]
fn a_handoff_stands_in_for_a_node_that_is_down() {
    run(3, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        let primaries = world.backends.holders(PATH);
        world.sim.crash(world.nodes[primaries[0]]);
        assert_eq!(world.put(PATH, "two").await.status, 201);
        assert!(holders_of(&world, "two").len() >= 2, "a quorum has it when it is answered");
        // A node that is silent on a kept connection is waited for behind the answer.
        io::sleep(Duration::from_secs(15)).await;
        let with_two = holders_of(&world, "two");
        assert_eq!(with_two.len(), 3);
        assert!(with_two.iter().any(|node| !primaries.contains(node)));
    });
}

fn holders_of(world: &Rc<World>, body: &str) -> Vec<usize> {
    (0..NODES).filter(|node| world.backends.body(*node, PATH).is_some_and(|bytes| bytes == body)).collect()
}

#[test]
fn a_full_disk_is_left_out_at_once() {
    run(4, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        let full = world.backends.holders(PATH)[0];
        world.backends.set(full, Mood::Says(507));
        world.backends.clear();
        assert_eq!(world.put(PATH, "two").await.status, 201);
        assert_eq!(world.put(PATH, "three").await.status, 201);
        let asked = world.backends.requests(Method::Put, PATH);
        assert_eq!(asked.iter().filter(|seen| seen.node == full).count(), 1);
        assert_eq!(asked.len(), 7);
    });
}

#[test]
fn without_a_quorum_it_is_503() {
    run(5, |world| async move {
        world.make_container().await;
        world.backends.set_all(Mood::Says(503));
        world.backends.set(0, Mood::Good);
        assert_eq!(world.put(PATH, "one").await.status, 503);
        assert_eq!(world.call(Method::Delete, PATH).await.status, 503);
        assert_eq!(world.call(Method::Get, PATH).await.status, 503);
    });
}

#[test]
fn a_node_that_stops_reading_is_dropped() {
    run(6, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        let stuck = world.backends.holders(PATH)[1];
        world.backends.set(stuck, Mood::Stuck);
        let mut request = world.request(Method::Put, PATH);
        let source = Pieces { left: vec![body(65_536); 40], fails: false };
        request.body = RequestBody::streaming(Some(40 * 65_536), Box::new(source));
        let before = world.sim.elapsed();
        assert_eq!(world.send(request).await.status, 201);
        assert!(world.sim.elapsed() - before < Duration::from_secs(12));
        // The one that was dropped has the older object.
        let mut newest = world.request(Method::Get, PATH);
        newest.headers.set("X-Newest", "true");
        assert_eq!(world.send(newest).await.body.len(), 40 * 65_536);
    });
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    run(7, |world| async move {
        world.make_container().await;
        let mut request = world.request(Method::Put, PATH);
        let source = Pieces { left: vec![body(1000)], fails: true };
        request.body = RequestBody::streaming(Some(2000), Box::new(source));
        assert_eq!(world.send(request).await.status, 499);
        io::sleep(Duration::from_secs(1)).await;
        assert_eq!(world.backends.holders(PATH), Vec::<usize>::new());
        assert_eq!(world.call(Method::Get, PATH).await.status, 404);
    });
}

#[test]
fn older_conditional_and_damaged_puts_are_told_apart() {
    run(8, |world| async move {
        world.make_container().await;
        let old = world.request(Method::Put, PATH);
        assert_eq!(world.put(PATH, "one").await.status, 201);
        let mut old = old;
        old.body = RequestBody::full("older");
        assert_eq!(world.send(old).await.status, 202);
        let mut once = world.request(Method::Put, PATH);
        once.headers.set("If-None-Match", "*");
        once.body = RequestBody::full("two");
        assert_eq!(world.send(once).await.status, 412);
        let mut damaged = world.request(Method::Put, PATH);
        damaged.headers.set("Etag", md5_hex(b"other"));
        damaged.body = RequestBody::full("three");
        assert_eq!(world.send(damaged).await.status, 422);
        assert_eq!(world.call(Method::Get, PATH).await.body, "one");
    });
}

#[test]
fn limits_are_kept_before_a_backend_is_asked() {
    run(9, |world| async move {
        world.make_container().await;
        let mut huge = world.request(Method::Put, PATH);
        let source = Pieces { left: Vec::new(), fails: true };
        huge.body = RequestBody::streaming(Some(6 << 30), Box::new(source));
        assert_eq!(world.send(huge).await.status, 413);
        assert_eq!(world.put(&format!("/AUTH_a/c/{}", "n".repeat(1025)), "x").await.status, 400);
        let mut meta = world.request(Method::Put, PATH);
        meta.headers.set("X-Object-Meta-Long", "v".repeat(257));
        assert_eq!(world.send(meta).await.status, 400);
        assert_eq!(world.put("/AUTH_a/none/o", "x").await.status, 404);
        assert!(world.backends.requests(Method::Put, PATH).is_empty());
    });
}

#[test]
fn a_body_whose_backend_dies_goes_on_from_another() {
    run(10, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, body(300_000)).await.status, 201);
        let holders = world.backends.holders(PATH);
        for (length, good) in [(0, holders[0]), (100_000, holders[1]), (299_999, holders[2])] {
            for node in &holders {
                world.backends.set(*node, if *node == good { Mood::Good } else { Mood::Cuts(length) });
            }
            let read = world.call(Method::Get, PATH).await;
            assert_eq!((read.status, read.complete), (200, true));
            assert_eq!(read.body, body(300_000));

            let mut ranged = world.request(Method::Get, PATH);
            ranged.headers.set("Range", "bytes=50000-249999");
            let read = world.send(ranged).await;
            assert_eq!((read.status, read.complete), (206, true));
            assert_eq!(read.body, body(300_000).slice(50_000..250_000));
        }
    });
}

#[test]
fn two_versions_are_never_mixed() {
    run(11, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, body(100_000)).await.status, 201);
        let holders = world.backends.holders(PATH);
        let old = holders[0];
        world.backends.set(old, Mood::Says(503));
        assert_eq!(world.put(PATH, vec![b'x'; 100_000]).await.status, 201);
        world.backends.set_all(Mood::Cuts(1000));
        world.backends.set(old, Mood::Good);
        for _ in 0..6 {
            let read = world.call(Method::Get, PATH).await;
            let is_old = read.body == body(100_000);
            assert!(is_old || read.body.iter().all(|byte| *byte == b'x'));
            assert!(is_old || !read.complete);
        }
    });
}

#[test]
fn the_newest_is_found_when_asked_for() {
    run(12, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "old").await.status, 201);
        let stale = world.backends.holders(PATH)[0];
        world.backends.set(stale, Mood::Says(500));
        assert_eq!(world.put(PATH, "new").await.status, 201);
        world.backends.set_all(Mood::Good);
        for _ in 0..5 {
            let mut request = world.request(Method::Get, PATH);
            request.headers.set("X-Newest", "true");
            assert_eq!(world.send(request).await.body, "new");
        }
    });
}

#[test]
fn a_deletion_reaches_all_and_hides_stale_copies() {
    run(13, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        let holders = world.backends.holders(PATH);
        world.backends.forget(holders[0], PATH);
        assert_eq!(world.call(Method::Delete, PATH).await.status, 204);
        assert_eq!(world.call(Method::Get, PATH).await.status, 404);
        assert_eq!(world.call(Method::Delete, PATH).await.status, 404);
    });
}

#[test]
fn a_post_reaches_every_replica() {
    run(14, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        let mut post = world.request(Method::Post, PATH);
        post.headers.set("X-Object-Meta-Color", "red");
        post.headers.set("X-Delete-After", "600");
        assert_eq!(world.send(post).await.status, 202);
        let posts = world.backends.requests(Method::Post, PATH);
        assert_eq!(posts.len(), 3);
        for post in &posts {
            assert!(post.headers.contains("X-Delete-At") && !post.headers.contains("X-Delete-After"));
            assert!(post.headers.contains("X-Delete-At-Container") && post.headers.contains("X-Delete-At-Host"));
        }
        assert_eq!(world.call(Method::Head, PATH).await.headers.get_str("X-Object-Meta-Color"), Some("red"));
        assert_eq!(world.call(Method::Post, "/AUTH_a/c/none").await.status, 404);
    });
}

#[test]
fn a_silent_node_is_passed_over() {
    run(15, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        for node in world.backends.holders(PATH).into_iter().take(2) {
            world.backends.set(node, Mood::Silent);
        }
        let before = world.sim.elapsed();
        assert_eq!(world.call(Method::Get, PATH).await.body, "one");
        assert!(world.sim.elapsed() - before < Duration::from_secs(8));
    });
}

#[test]
fn a_connection_closed_while_idle_costs_nothing() {
    run(16, |world| async move {
        world.make_container().await;
        assert_eq!(world.put(PATH, "one").await.status, 201);
        for node in &world.nodes {
            world.sim.crash(*node);
        }
        world.restart();
        io::sleep(Duration::from_millis(20)).await;
        world.backends.clear();
        assert_eq!(world.put(PATH, "two").await.status, 201);
        assert_eq!(holders_of(&world, "two").len(), 3);
    });
}

#[test]
fn acknowledged_is_readable_whatever_the_network_does() {
    for seed in 0..40 {
        let options = SimOptions { stall_chance: 0.02, lost_chance: 0.01, reset_chance: 0.02, ..SimOptions::default() };
        run_in(seed, options, |world| async move {
            world.make_container().await;
            world.sim.set_faults(true);
            let mut acknowledged = Vec::new();
            for number in 0..12_usize {
                let path = format!("/AUTH_a/c/{number}");
                let content = body(number * 20_000);
                let status = world.put(&path, content.clone()).await.status;
                assert!(matches!(status, 201 | 503), "{status}");
                if status == 201 {
                    acknowledged.push((path.clone(), content));
                }
                let read = world.call(Method::Get, &path).await;
                assert!(read.status != 200 || !read.complete || read.body == body(number * 20_000));
            }
            world.sim.set_faults(false);
            // Past the time nodes are left out for.
            io::sleep(Duration::from_secs(120)).await;
            for (path, content) in acknowledged {
                let read = world.call(Method::Get, &path).await;
                assert_eq!((read.status, read.complete), (200, true), "{path}");
                assert_eq!(read.body, content, "{path}");
            }
        });
    }
}
