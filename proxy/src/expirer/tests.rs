//! Passes against scripted backends: what goes over the wire, and what stays in the queue.

use super::*;
use crate::testing::{Mood, NODES, Seen, World, run as simulate};
use base::http::Method;
use std::collections::BTreeMap;

const ACCOUNT: &str = "/.expiring_objects";
const PLAIN: &str = "text/plain;swift_expirer_bytes=5";
const ASYNC: &str = "application/async-deleted";

fn settings(options: &str) -> Rc<Settings> {
    Rc::new(File::parse("object-expirer.conf", &format!("[object-expirer]\n{options}")).unwrap().settings)
}

/// Makes the queue: containers and their rows.
async fn queue(world: &World, containers: &[(&str, &[(&str, &'static str)])]) {
    assert_eq!(world.call(Method::Put, ACCOUNT).await.status, 201);
    let mut names = BTreeMap::new();
    for (container, rows) in containers {
        let path = format!("{ACCOUNT}/{container}");
        assert_eq!(world.call(Method::Put, &path).await.status, 201);
        names.insert((*container).to_owned(), "");
        let rows = rows.iter().map(|(row, kind)| ((*row).to_owned(), *kind)).collect();
        world.backends.listings.borrow_mut().insert(path, rows);
    }
    world.backends.listings.borrow_mut().insert(ACCOUNT.to_owned(), names);
    world.make_container().await;
}

fn header<'a>(seen: &'a Seen, name: &str) -> Option<&'a str> {
    seen.headers.get_str(name)
}

/// Names of objects and rows that were to be deleted, in the order in which the first node heard of it.
fn deleted(world: &World) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for seen in world.backends.seen.borrow().iter().filter(|seen| seen.method == Method::Delete) {
        let name = seen.target.splitn(4, '/').nth(3).unwrap().to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[test]
fn what_has_expired_is_deleted_as_of_its_time_and_its_row_taken_away() {
    simulate(1, |world| async move {
        let now = io::unix_time().as_secs();
        let (due, later) = (format!("{:010}-AUTH_a/c/o – ü", now - 5), format!("{:010}-AUTH_a/c/later", now + 3_600));
        let (gone, day) = (format!("{}.12345-AUTH_a/c/s/1", now - 5), format!("{:010}", now - 60));
        let tomorrow = format!("{:010}", now + 86_400);
        let rows = [(due.as_str(), PLAIN), (gone.as_str(), ASYNC), (later.as_str(), PLAIN), ("no task", PLAIN)];
        let unread = format!("{:010}-AUTH_a/c/unread", now - 5);
        queue(&world, &[(&day, &rows), ("odd", &[]), (&tomorrow, &[(&unread, PLAIN)])]).await;
        for name in ["o%20%E2%80%93%20%C3%BC", "s/1"] {
            assert_eq!(world.put(&format!("/AUTH_a/c/{name}"), "body").await.status, 201);
        }
        world.backends.clear();

        let report = once(&world.core, &settings("")).await;
        assert_eq!((report.expired, report.waiting, report.failed, report.is_whole), (2, 0, 0, true));
        let time = format!("{}.00000", now - 5);
        let deletes = world.backends.requests(Method::Delete, "/AUTH_a/c/o%20%E2%80%93%20%C3%BC");
        assert_eq!(deletes.len(), 3);
        for delete in &deletes {
            assert_eq!((header(delete, "X-Timestamp"), header(delete, "X-If-Delete-At")), (Some(&*time), Some(&*time)));
            assert_eq!(header(delete, "X-Backend-Clean-Expiring-Object-Queue"), Some("f"));
            assert!(header(delete, "X-Container-Host").is_some(), "the container is told");
        }
        let deletes = world.backends.requests(Method::Delete, "/AUTH_a/c/s/1");
        assert_eq!(deletes.len(), 3);
        for delete in &deletes {
            assert_eq!(header(delete, "X-Timestamp"), Some(&*format!("{}.12345", now - 5)));
            assert_eq!(header(delete, "X-If-Delete-At"), None, "it never had a time");
        }
        assert_eq!(
            deletes
                .iter()
                .filter(|delete| header(delete, "X-Backend-Clean-Expiring-Object-Queue") == Some("t"))
                .count(),
            2
        );
        for row in [&due, &gone] {
            let path = format!("{ACCOUNT}/{day}/{}", base::quote::quote(row.as_bytes()));
            let pops = world.backends.requests(Method::Delete, &path);
            assert_eq!(pops.len(), 3, "{path}: on every primary");
            let is_later = |pop: &Seen| header(pop, "X-Timestamp").is_some_and(|time| time > &*format!("{now}"));
            assert!(pops.iter().all(is_later), "after the row");
        }
        assert_eq!(deleted(&world).len(), 4, "{:?}", deleted(&world));
    });
}

#[test]
fn a_row_whose_object_is_not_there_waits_for_reclaim_age() {
    simulate(2, |world| async move {
        let now = io::unix_time().as_secs();
        let day = format!("{:010}", now - 1_000);
        let rows = [format!("{:010}-AUTH_a/c/new", now - 10), format!("{:010}-AUTH_a/c/old", now - 900)];
        queue(&world, &[(&day, &[(&rows[0], PLAIN), (&rows[1], PLAIN)])]).await;
        let report = once(&world.core, &settings("reclaim_age = 600\n")).await;
        assert_eq!((report.expired, report.waiting, report.failed), (1, 1, 0));
        let pops: Vec<String> = deleted(&world).into_iter().filter(|name| name.starts_with(".expiring")).collect();
        assert_eq!(pops, [format!(".expiring_objects/{day}/{}", rows[1])]);
    });
}

#[test]
fn a_row_stays_while_servers_fail() {
    simulate(3, |world| async move {
        let now = io::unix_time().as_secs();
        let (day, row) = (format!("{:010}", now - 1_000), format!("{:010}-AUTH_a/c/o", now - 900));
        queue(&world, &[(&day, &[(&row, PLAIN)])]).await;
        world.backends.set_all(Mood::Says(503));
        world.backends.clear();
        let report = once(&world.core, &settings("request_tries = 2\nreclaim_age = 0\n")).await;
        assert_eq!((report.expired, report.failed, report.is_whole), (0, 1, true));
        assert_eq!(
            world.backends.requests(Method::Delete, "/AUTH_a/c/o").len(),
            2 * NODES,
            "every node was asked, twice"
        );
        assert_eq!(deleted(&world), ["AUTH_a/c/o"]);
    });
}

#[test]
fn containers_take_turns_and_as_many_tasks_run_as_are_allowed() {
    simulate(4, |world| async move {
        let now = io::unix_time().as_secs();
        let day = format!("{:010}", now - 1_000);
        assert_eq!(world.call(Method::Put, "/AUTH_a/d").await.status, 201);
        let names: Vec<String> =
            ["c/1", "c/2", "c/3", "d/1", "d/2"].map(|name| format!("{:010}-AUTH_a/{name}", now - 900)).into();
        let rows: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), ASYNC)).collect();
        queue(&world, &[(&day, &rows)]).await;
        let objects = |world: &World| {
            let names = deleted(world).into_iter().filter(|name| name.starts_with("AUTH"));
            names.collect::<Vec<_>>()
        };
        let report = once(&world.core, &settings("")).await;
        assert_eq!(report.expired, 5);
        assert_eq!(objects(&world), ["AUTH_a/c/1", "AUTH_a/d/1", "AUTH_a/c/2", "AUTH_a/d/2", "AUTH_a/c/3"]);
        // Where no more than two are looked through, turns are taken among those.
        world.backends.clear();
        once(&world.core, &settings("round_robin_task_cache_size = 2\n")).await;
        assert_eq!(objects(&world), ["AUTH_a/c/1", "AUTH_a/c/2", "AUTH_a/d/1", "AUTH_a/c/3", "AUTH_a/d/2"]);
        // Two processes share them.
        let shares = [0, 1].map(|process| settings(&format!("processes = 2\nprocess = {process}\nconcurrency = 3\n")));
        let mut sum = 0;
        for share in &shares {
            sum += once(&world.core, share).await.expired;
        }
        assert_eq!(sum, 5);
    });
}

#[test]
fn pages_follow_each_other_and_an_empty_container_goes() {
    simulate(5, |world| async move {
        let now = io::unix_time().as_secs();
        let (full, empty) = (format!("{:010}", now - 2_000), format!("{:010}", now - 1_000));
        let names: Vec<String> = (0..2_100).map(|number| format!("{:010}-AUTH_a/c/{number:04}", now - 900)).collect();
        let rows: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), ASYNC)).collect();
        queue(&world, &[(&full, &rows), (&empty, &[])]).await;
        let report = once(&world.core, &settings("tasks_per_second = 0\nconcurrency = 50\n")).await;
        assert_eq!((report.expired, report.failed), (2_100, 0));
        let pages = world.backends.requests(Method::Get, &format!("{ACCOUNT}/{full}"));
        assert_eq!(pages.len(), 4, "three of them, and the end");
        assert_eq!(world.backends.requests(Method::Delete, &format!("{ACCOUNT}/{empty}")).len(), 3);
        assert_eq!(world.backends.requests(Method::Delete, &format!("{ACCOUNT}/{full}")).len(), 0, "it had rows");
    });
}

#[test]
fn without_a_queue_there_is_nothing_to_do_and_a_queue_nobody_can_read_is_said() {
    simulate(6, |world| async move {
        let report = once(&world.core, &settings("request_tries = 1\n")).await;
        assert_eq!((report.expired, report.failed, report.is_whole), (0, 0, true));
        for node in &world.nodes {
            world.sim.crash(*node);
        }
        let report = once(&world.core, &settings("request_tries = 1\n")).await;
        assert!(!report.is_whole);
        assert!(report.to_string().starts_with("pass ended early"), "{report}");
    });
}
