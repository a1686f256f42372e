//! Container and account verbs against scripted backends.

use crate::request::Authority;
use crate::request::Identity;
use crate::testing::run;
use base::http::Method;
use base::http::server::RequestBody;
use base::io;
use std::rc::Rc;

#[test]
fn the_first_container_makes_the_account() {
    run(1, |world| async move {
        assert_eq!(world.call(Method::Put, "/AUTH_a/c").await.status, 201);
        assert_eq!(world.backends.requests(Method::Put, "/AUTH_a").len(), 3);
        let puts = world.backends.requests(Method::Put, "/AUTH_a/c");
        assert_eq!(puts.len(), 3);
        assert!(puts.iter().all(|put| put.headers.contains("X-Account-Host")));
        assert_eq!(world.call(Method::Put, "/AUTH_a/c").await.status, 202);
        assert_eq!(world.call(Method::Get, "/AUTH_a/c").await.body, "[]");
        assert_eq!(world.call(Method::Delete, "/AUTH_a/c").await.status, 204);
        assert_eq!(world.call(Method::Head, "/AUTH_a/c").await.status, 404);
        assert_eq!(world.put("/AUTH_a/c/o", "x").await.status, 404);
    });
}

#[test]
fn rows_of_a_queue_go_to_every_replica_and_only_by_the_systems_own_hand() {
    run(7, |world| async move {
        let update = || {
            let mut update = world.request(Method::Update, "/.expiring_objects/0000086400");
            update.body = RequestBody::full("[1]");
            update
        };
        assert_eq!(world.send(update()).await.status, 202);
        let updates = world.backends.requests(Method::Update, "/.expiring_objects/0000086400");
        assert_eq!(updates.len(), 3);
        for update in updates {
            assert_eq!(update.headers.get_str("X-Backend-Storage-Policy-Index"), Some("0"));
            assert_eq!(world.backends.body(update.node, "/.expiring_objects/0000086400").unwrap(), "[1]");
        }
        world.backends.clear();
        let mut asked = update();
        asked.authority = Authority::Ask;
        std::rc::Rc::make_mut(&mut asked.identity).groups.push(".reseller_admin".to_owned());
        assert!(world.send(asked).await.status >= 400);
        assert!(world.backends.requests(Method::Update, "/.expiring_objects/0000086400").is_empty());
    });
}

#[test]
fn an_account_nobody_wrote_to_reads_as_empty() {
    run(2, |world| async move {
        let get = world.call(Method::Get, "/AUTH_new").await;
        assert_eq!((get.status, &get.body[..]), (200, &b"[]"[..]));
        let head = world.call(Method::Head, "/AUTH_new").await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers.get_str("X-Account-Container-Count"), Some("0"));
        let unknown = world.request(Method::Copy, "/AUTH_new");
        assert_eq!(world.send(unknown).await.status, 405, "whoever asks");
        assert_eq!(world.call(Method::Get, "/AUTH_new/c").await.status, 404);
    });
}

#[test]
fn the_first_post_makes_the_account() {
    run(3, |world| async move {
        let mut post = world.request(Method::Post, "/AUTH_a");
        post.headers.set("X-Account-Meta-Color", "blue");
        post.headers.set("X-Remove-Account-Meta-Shape", "x");
        assert_eq!(world.send(post).await.status, 204);
        let posts = world.backends.requests(Method::Post, "/AUTH_a");
        let last = posts.last().unwrap();
        assert_eq!(last.headers.get_str("X-Account-Meta-Color"), Some("blue"));
        assert_eq!(last.headers.get_str("X-Account-Meta-Shape"), Some(""));
    });
}

#[test]
fn metadata_and_listing_parameters_pass_and_nothing_else() {
    run(4, |world| async move {
        world.make_container().await;
        let mut post = world.request(Method::Post, "/AUTH_a/c");
        post.headers.set("X-Container-Meta-Color", "blue");
        post.headers.set("X-Remove-Container-Read", "x");
        post.headers.set("X-Account-Host", "evil");
        post.headers.set("X-Backend-Auto-Create", "true");
        assert_eq!(world.send(post).await.status, 204);
        for seen in world.backends.requests(Method::Post, "/AUTH_a/c") {
            assert_eq!(seen.headers.get_str("X-Container-Meta-Color"), Some("blue"));
            assert_eq!(seen.headers.get_str("X-Container-Read"), Some(""));
            assert!(!seen.headers.contains("X-Account-Host") && !seen.headers.contains("X-Backend-Auto-Create"));
        }
        world.call(Method::Get, "/AUTH_a/c?prefix=a%26b&limit=5&states=x&format=xml").await;
        let seen = world.backends.requests(Method::Get, "/AUTH_a/c");
        assert!(seen[0].target.ends_with("/AUTH_a/c?format=json&prefix=a%26b&limit=5"), "{}", seen[0].target);
    });
}

#[test]
fn a_listing_parameter_that_is_no_utf_8_is_named_before_any_backend_is_asked() {
    run(9, |world| async move {
        let refused = world.call(Method::Get, "/AUTH_a/c?limit=99999&prefix=%ff").await;
        assert_eq!((refused.status, &refused.body[..]), (400, &b"\"prefix\" parameter not valid UTF-8"[..]));
        assert_eq!(refused.headers.get_str("Content-Type"), Some("text/plain"));
        assert!(world.backends.requests(Method::Get, "/AUTH_a/c").is_empty());
    });
}

#[test]
fn facts_are_asked_for_once() {
    run(5, |world| async move {
        world.make_container().await;
        for _ in 0..4 {
            assert_eq!(world.put("/AUTH_a/c/o", "x").await.status, 201);
        }
        assert_eq!(world.backends.requests(Method::Head, "/AUTH_a/c").len(), 1);
        let (one, two, three) = (
            world.call(Method::Put, "/AUTH_a/c/p"),
            world.call(Method::Put, "/AUTH_a/c/q"),
            world.call(Method::Post, "/AUTH_a/c"),
        );
        assert_eq!((one.await.status, two.await.status, three.await.status), (201, 201, 204));
        world.call(Method::Put, "/AUTH_a/c/p").await;
        assert_eq!(world.backends.requests(Method::Head, "/AUTH_a/c").len(), 2);
    });
}

#[test]
fn owners_fields_stay_with_owners() {
    run(6, |world| async move {
        let mut put = world.request(Method::Put, "/AUTH_a/c");
        put.headers.set("X-Container-Read", "AUTH_b");
        assert_eq!(world.send(put).await.status, 201);
        let mut head = world.request(Method::Head, "/AUTH_a/c");
        assert_eq!(world.call(Method::Head, "/AUTH_a/c").await.headers.get_str("X-Container-Read"), Some("AUTH_b"));
        head.is_owner = false;
        assert!(!world.send(head).await.headers.contains("X-Container-Read"));
    });
}

#[test]
fn a_crowd_asks_for_facts_once() {
    run(7, |world| async move {
        world.make_container().await;
        let crowd: Vec<_> = (0..20)
            .map(|_| {
                let world = world.clone();
                io::spawn(async move { world.call(Method::Post, "/AUTH_a/c/o").await.status })
            })
            .collect();
        for one in crowd {
            assert_eq!(one.await, Some(404));
        }
        assert_eq!(world.backends.requests(Method::Head, "/AUTH_a/c").len(), 1);
        assert_eq!(world.backends.requests(Method::Head, "/AUTH_a").len(), 1);
    });
}

#[test]
fn resellers_see_that_a_container_has_no_shards() {
    run(2, |world| async move {
        world.call(Method::Put, "/AUTH_a/c").await;
        for (path, is_reseller, expected) in
            [("/AUTH_a/c", true, Some("False")), ("/AUTH_a/d", true, Some("False")), ("/AUTH_a/c", false, None)]
        {
            let mut get = world.request(Method::Get, path);
            get.identity = Rc::new(Identity { is_reseller, ..(*get.identity).clone() });
            assert_eq!(world.send(get).await.headers.get_str("X-Container-Sharding"), expected, "{path}");
        }
    });
}
