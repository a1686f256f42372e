//! Tokens of both kinds, in a simulated cluster whose memcached other proxies use as well.

use super::*;
use crate::config::tests::sample;
use crate::facts::container_info;
use crate::facts::tests::{CACHE, Fake, MOMENT, SECOND, check, other_proxy};
use crate::testing::World;
use base::http::server::RequestBody;
use base::http::{Method, Status};
use base::io::sleep;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// One connection for two cores.
const SCARCE: &str = "memcache_servers = 10.0.2.1\nmax_memcache_connections = 1";
const TESTER: &str = "test,test:tester,AUTH_test";

fn tokens(world: &World) -> Vec<Rc<Tokens>> {
    let of = |core| Tokens::new(Rc::new(sample()), Memcached::of(core));
    world.cores.iter().map(of).collect()
}

/// As Swift's tempauth names it.
fn swifts(number: u32) -> String {
    format!("AUTH_tk{number:032x}")
}

/// What Swift's tempauth does when it makes a token.
async fn put(token: &str, value: Value) {
    let key = format!("AUTH_/token/{token}");
    other_proxy().set(&key, &value, 3600 * SECOND).await.unwrap();
}

fn fact(life: f64, groups: &str) -> Value {
    Value::json(serde_json::json!([io::unix_time().as_secs_f64() + life, groups]).to_string())
}

fn head(token: &str) -> RequestHead {
    let mut head = RequestHead::new(Method::Get, "/v1/AUTH_test/c");
    head.headers.set("X-Auth-Token", token.to_owned());
    head
}

async fn who(tokens: &Rc<Tokens>, token: &str) -> Option<Rc<Identity>> {
    match tokens.identify(&head(token)).await {
        Ok(identity) => Some(identity),
        Err(refused) => {
            assert_eq!(refused.head.status, Status(401));
            None
        }
    }
}

async fn ask(tokens: &Rc<Tokens>) -> String {
    let mut head = RequestHead::new(Method::Get, "/auth/v1.0");
    head.headers.set("X-Auth-User", "test:tester");
    head.headers.set("X-Auth-Key", "testing");
    let request = Request { head, body: RequestBody::full(""), peer: "127.0.0.1:1".parse().unwrap() };
    let answer = tokens.give(&request, b"v1.0").await;
    answer.head.headers.get_str("X-Auth-Token").unwrap().to_owned()
}

/// Questions that memcached answered this core.
fn exchanges(world: &World) -> u64 {
    world.core.facts.numbers().servers.iter().map(|server| server.counts.exchanges).sum()
}

#[test]
fn a_token_that_swift_made_is_known_to_every_core_until_it_ends() {
    for cache in [CACHE, SCARCE] {
        check(2, cache, |world, _fake| async move {
            put(&swifts(1), fact(20.0, TESTER)).await;
            let tokens = tokens(&world);
            for tokens in &tokens {
                let identity = who(tokens, &swifts(1)).await.unwrap();
                assert_eq!(identity.user.as_deref(), Some("test:tester"));
                assert_eq!(identity.groups, ["test", "test:tester", "AUTH_test"]);
            }
            let asked = exchanges(&world);
            for _ in 0..100 {
                assert!(who(&tokens[0], &swifts(1)).await.is_some());
            }
            assert_eq!(exchanges(&world), asked, "what is known is not looked up");
            sleep(21 * SECOND).await;
            for tokens in &tokens {
                assert!(who(tokens, &swifts(1)).await.is_none());
            }
        });
    }
}

#[test]
fn memcached_makes_nobody_more_than_the_configuration_does() {
    check(1, CACHE, |world, _fake| async move {
        let tokens = tokens(&world).remove(0);
        let now = io::unix_time().as_secs_f64();
        let bad = [
            fact(60.0, "test,test:tester,AUTH_test,.reseller_admin"),
            fact(60.0, "test,test:tester"),
            fact(60.0, "admin,test:tester,AUTH_test"),
            fact(60.0, "test,test:nobody,AUTH_test"),
            fact(60.0, "test:tester"),
            fact(60.0, ""),
            fact(-1.0, TESTER),
            Value::json(format!("[{}, \"{TESTER}\", 1]", now + 60.0)),
            Value::json(format!("[\"{}\", \"{TESTER}\"]", now + 60.0)),
            Value::json(format!("[1e308, \"{TESTER}\"]")),
            Value::json(format!("[-1, \"{TESTER}\"]")),
            Value::json(format!("{{\"0\": {}, \"1\": \"{TESTER}\"}}", now + 60.0)),
            Value::json("null"),
            Value { flags: 1, ..fact(60.0, TESTER) },
            Value { flags: 0, ..fact(60.0, TESTER) },
        ];
        for (number, value) in (0..).zip(bad) {
            put(&swifts(number), value.clone()).await;
            assert!(who(&tokens, &swifts(number)).await.is_none(), "{value:?}");
        }
        // The same groups in another order are the same.
        put(&swifts(99), fact(60.0, "test,test:tester,AUTH_test")).await;
        assert!(who(&tokens, &swifts(99)).await.is_some());
        // What claims a signature is judged by it, and other shapes are never looked up.
        let asked = exchanges(&world);
        let signed = ask(&tokens).await;
        let forged = format!("{}0", &signed[..signed.len() - 1]);
        for token in [forged.as_str(), "AUTH_tk", "AUTH_tk0123", "AUTH_tkABCDEFABCDEFABCDEFABCDEFABCDEFABCD"] {
            put(token, fact(60.0, TESTER)).await;
            assert!(who(&tokens, token).await.is_none(), "{token}");
        }
        assert_eq!(exchanges(&world), asked + 2, "a token and its user were stored, nothing was looked up");
    });
}

#[test]
fn a_dead_memcached_lets_nobody_in_and_takes_nobody_out_at_once() {
    check(1, CACHE, |world, fake| async move {
        let (tokens, fake) = (tokens(&world).remove(0), fake.unwrap());
        put(&swifts(1), fact(3600.0, TESTER)).await;
        put(&swifts(2), fact(3600.0, TESTER)).await;
        assert!(who(&tokens, &swifts(1)).await.is_some());
        fake.is_awake.set(false);
        let start = world.sim.elapsed();
        for _ in 0..100 {
            assert!(who(&tokens, &swifts(2)).await.is_none());
        }
        assert!(world.sim.elapsed() - start < SECOND + MOMENT, "one look for all of them");
        world.sim.crash(fake.node);
        // Looked at every ten seconds meanwhile, and nobody waits for it.
        while world.sim.elapsed() - start < 250 * SECOND {
            let start = world.sim.elapsed();
            assert!(who(&tokens, &swifts(1)).await.is_some());
            assert!(world.sim.elapsed() - start < MOMENT);
            sleep(SECOND).await;
        }
        sleep(60 * SECOND).await;
        assert!(who(&tokens, &swifts(1)).await.is_none());
        // A signature needs no memcached.
        let signed = ask(&tokens).await;
        assert!(who(&tokens, &signed).await.is_some());
    });
}

#[test]
fn a_token_that_is_removed_is_known_for_ten_seconds_and_one_that_is_none_is_looked_up_once_a_second() {
    check(1, CACHE, |world, _fake| async move {
        let tokens = tokens(&world).remove(0);
        put(&swifts(1), fact(3600.0, TESTER)).await;
        assert!(who(&tokens, &swifts(1)).await.is_some());
        other_proxy().delete(&format!("AUTH_/token/{}", swifts(1))).await;
        sleep(11 * SECOND).await;
        // This one starts the look.
        assert!(who(&tokens, &swifts(1)).await.is_some());
        sleep(MOMENT).await;
        assert!(who(&tokens, &swifts(1)).await.is_none());
        let asked = exchanges(&world);
        for _ in 0..90 {
            let calls = (0..5).map(|_| {
                let tokens = Rc::clone(&tokens);
                io::spawn(async move { who(&tokens, &swifts(3)).await.is_none() })
            });
            for call in calls.collect::<Vec<_>>() {
                assert_eq!(call.await, Some(true));
            }
            sleep(SECOND / 30).await;
        }
        let looks = exchanges(&world) - asked;
        assert!((1..=4).contains(&looks), "{looks} looks in three seconds");
    });
}

#[test]
fn a_token_is_stored_as_swift_stores_its_own_and_one_a_minute() {
    check(2, CACHE, |world, _fake| async move {
        let tokens = tokens(&world);
        // Two in the middle of a minute.
        let into = io::unix_time().as_secs() % 60;
        sleep(Duration::from_secs(70 - into)).await;
        let token = ask(&tokens[0]).await;
        let stored = exchanges(&world);
        assert_eq!(ask(&tokens[1]).await, token);
        assert_eq!(ask(&tokens[0]).await, token);
        assert_eq!(exchanges(&world), stored, "it is there already");
        let Lookup::Hit(value, _) = other_proxy().get(&format!("AUTH_/token/{token}")).await else { panic!("stored") };
        let json = value.as_json().unwrap();
        assert_eq!(json[1], TESTER);
        let left = json[0].as_f64().unwrap() - io::unix_time().as_secs_f64();
        assert!((86_300.0..86_400.0).contains(&left), "{left}");
        assert!(value.bytes.windows(2).any(|pair| pair == b".0"), "Python's float");
        let Lookup::Hit(value, _) = other_proxy().get("AUTH_/user/test:tester").await else { panic!("stored") };
        assert_eq!(value.as_json().unwrap(), token.as_str());
        sleep(60 * SECOND).await;
        assert_ne!(ask(&tokens[0]).await, token);
        assert!(who(&tokens[1], &token).await.is_some());
    });
}

/// The output of what does not wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn looking_up_what_is_known_allocates_nothing() {
    check(1, CACHE, |world, _fake: Option<Fake>| async move {
        sleep(70 * SECOND).await;
        let tokens = tokens(&world).remove(0);
        put(&swifts(1), fact(3600.0, TESTER)).await;
        for head in [head(&ask(&tokens).await), head(&swifts(1))] {
            assert!(tokens.identify(&head).await.is_ok());
            assert!(container_info(&world.core, "AUTH_a", "c", "tx").await.exists());
            let hits = world.core.facts.numbers().hits;
            let counted = allocation_counter::measure(|| {
                for _ in 0..1000 {
                    assert!(at_once(tokens.identify(&head)).is_ok());
                    assert!(at_once(container_info(&world.core, "AUTH_a", "c", "tx")).exists());
                }
            });
            assert_eq!(world.core.facts.numbers().hits - hits, 2000);
            assert_eq!(counted.count_total, 0, "{counted:?}");
        }
    });
}
