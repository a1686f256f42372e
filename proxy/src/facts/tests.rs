//! Both levels in the simulator: several cores, a memcached, backends that are counted.

use super::{Info, account_info, container_info};
use crate::core::Core;
use crate::testing::{World, run_cores};
use base::http::Method;
use base::io::sim::{NodeId, SimOptions};
use base::io::{self, Listener, Stream, sleep};
use base::memcache::{Lookup, Memcache, Settings, Value};
use base::names::Path;
use bytes::BytesMut;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

const MEMCACHED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 1));
pub(crate) const CACHE: &str = "memcache_servers = 10.0.2.1\nmax_memcache_connections = 8";
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Longer than two cores need to tell each other, and shorter than anything expires.
pub(crate) const MOMENT: Duration = Duration::from_millis(50);

/// A memcached that knows what proxies say; it answers only while `is_awake`.
pub(crate) struct Fake {
    pub(crate) node: NodeId,
    pub(crate) is_awake: Rc<Cell<bool>>,
}

impl Fake {
    async fn start(world: &World) -> Fake {
        let fake = Fake { node: world.sim.node("memcached", MEMCACHED), is_awake: Rc::new(Cell::new(true)) };
        fake.restart(world).await;
        fake
    }

    async fn restart(&self, world: &World) {
        let is_awake = self.is_awake.clone();
        world.sim.start(self.node, move || async move {
            let listener = Listener::bind(SocketAddr::new(MEMCACHED, 11211), false).unwrap();
            let items = Rc::default();
            while let Ok((stream, _)) = listener.accept().await {
                io::spawn(serve(stream, Rc::clone(&items), is_awake.clone()));
            }
        });
        sleep(MOMENT).await;
    }
}

type Items = std::cell::RefCell<BTreeMap<String, (String, Vec<u8>)>>;

async fn serve(stream: Stream, items: Rc<Items>, is_awake: Rc<Cell<bool>>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(64 * 1024);
        let (read, back) = stream.read(buffer).await;
        buffer = back;
        if !matches!(read, Ok(1..)) {
            return;
        }
        while let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") {
            let line = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let size = if matches!(words[0], "set" | "add") { words[4].parse::<usize>().unwrap() + 2 } else { 0 };
            if buffer.len() < end + 2 + size {
                break;
            }
            let _ = buffer.split_to(end + 2);
            let value = buffer.split_to(size);
            while !is_awake.get() {
                sleep(MOMENT).await;
            }
            let key = words[1].to_owned();
            let answer = match words[0] {
                "incr" | "decr" => match items.borrow_mut().get_mut(&key) {
                    Some((_, held)) => {
                        let number: u64 = String::from_utf8(held.clone()).unwrap().parse().unwrap();
                        let delta: u64 = words[2].parse().unwrap();
                        let number = if words[0] == "incr" { number + delta } else { number.saturating_sub(delta) };
                        *held = number.to_string().into_bytes();
                        format!("{number}\r\n").into_bytes()
                    }
                    None => b"NOT_FOUND\r\n".to_vec(),
                },
                "add" if items.borrow().contains_key(&key) => b"NOT_STORED\r\n".to_vec(),
                "set" | "add" => {
                    items.borrow_mut().insert(key, (words[2].to_owned(), value[..size - 2].to_vec()));
                    b"STORED\r\n".to_vec()
                }
                "delete" if items.borrow_mut().remove(&key).is_some() => b"DELETED\r\n".to_vec(),
                "delete" => b"NOT_FOUND\r\n".to_vec(),
                _ => match items.borrow().get(&key) {
                    Some((flags, bytes)) => {
                        let head = format!("VALUE {key} {flags} {}\r\n", bytes.len()).into_bytes();
                        [&head, &bytes[..], b"\r\nEND\r\n"].concat()
                    }
                    None => b"END\r\n".to_vec(),
                },
            };
            if stream.write_all(answer.into()).await.is_err() {
                return;
            }
        }
    }
}

/// What another proxy sees and does.
pub(crate) fn other_proxy() -> Memcache {
    Memcache::new(Settings::of(&["10.0.2.1"], 1).unwrap(), 1, 0)
}

pub(crate) fn check<F: Future<Output = ()> + 'static>(
    cores: usize,
    cache: &'static str,
    test: impl Fn(Rc<World>, Option<Fake>) -> F + Copy + 'static,
) {
    for seed in 0..5 {
        run_cores(seed, SimOptions::default(), cores, cache, move |world| async move {
            let fake = if cache.is_empty() { None } else { Some(Fake::start(&world).await) };
            assert_eq!(world.call(Method::Put, "/AUTH_a/c").await.status, 201);
            world.backends.clear();
            test(world, fake).await;
        });
    }
}

async fn read(core: &Rc<Core>) -> Rc<Info> {
    container_info(core, "AUTH_a", "c", "tx").await
}

/// A write through a core that changes the read ACL.
async fn write(world: &World, core: &Rc<Core>, acl: &'static str) {
    let mut request = world.request(Method::Put, "/AUTH_a/c");
    request.headers.set("X-Container-Read", acl);
    assert_eq!(world.send_to(core, request).await.status, 202);
}

fn asked(world: &World) -> usize {
    world.backends.requests(Method::Head, "/AUTH_a/c").len()
}

/// Past the time in which memcached is not believed about what the set-up wrote.
async fn trust_again() {
    sleep(Duration::from_secs(70)).await;
}

#[test]
fn a_write_through_one_core_is_seen_on_every_core_when_it_is_answered() {
    for cache in ["", CACHE] {
        check(3, cache, |world, _fake| async move {
            for acl in [".r:a", ".r:b", ".r:c"] {
                for writer in &world.cores {
                    for core in &world.cores {
                        read(core).await;
                    }
                    write(&world, writer, acl).await;
                    for core in &world.cores {
                        assert_eq!(read(core).await.read_acl(), Some(acl));
                    }
                }
            }
        });
    }
}

#[test]
fn a_write_whose_client_went_away_is_seen_all_the_same() {
    check(2, CACHE, |world, _fake| async move {
        for micros in (0..6_000).step_by(500) {
            for core in &world.cores {
                read(core).await;
            }
            let acl: &'static str = if micros % 1_000 == 0 { ".r:even" } else { ".r:odd" };
            let gone = io::timeout(Duration::from_micros(micros), write(&world, &world.core, acl)).await.is_err();
            sleep(SECOND).await;
            let seen: Vec<_> = world.cores.iter().map(read).collect();
            for info in seen {
                let acl_seen = info.await.read_acl().map(str::to_owned);
                // Either it was never sent, or every core knows it.
                assert!(gone || acl_seen.as_deref() == Some(acl), "{micros}: {acl_seen:?}");
            }
            let [first, second] = [&world.cores[0], &world.cores[1]];
            assert_eq!(read(first).await, read(second).await, "{micros}");
        }
    });
}

#[test]
fn the_autocreate_race_an_account_just_made_is_missing_on_no_core() {
    check(2, CACHE, |world, _fake| async move {
        let [first, second] = [&world.cores[0], &world.cores[1]];
        // Everybody knows that it is missing: cores, and memcached.
        for core in [first, second] {
            assert_eq!(account_info(core, "AUTH_new", "tx").await.status, 404);
        }
        sleep(MOMENT).await;
        assert!(matches!(other_proxy().get("account/AUTH_new").await, Lookup::Hit(..)));
        assert_eq!(world.send_to(first, world.request(Method::Put, "/AUTH_new/c")).await.status, 201);
        for core in [second, first] {
            assert!(container_info(core, "AUTH_new", "c", "tx").await.exists());
        }
    });
}

#[test]
fn many_who_ask_at_once_are_one_question() {
    check(1, CACHE, |world, _fake| async move {
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let core = world.core.clone();
                io::spawn(async move { read(&core).await.exists() })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Some(true));
        }
        assert_eq!(asked(&world), 1);
    });
}

#[test]
fn what_one_core_learnt_the_others_find_in_memcached() {
    check(3, CACHE, |world, _fake| async move {
        trust_again().await;
        world.backends.clear();
        for core in &world.cores {
            assert!(read(core).await.exists());
            sleep(MOMENT).await;
        }
        assert_eq!(asked(&world), 1);
        let numbers = world.cores[2].facts.numbers();
        assert_eq!((numbers.shared_hits, numbers.backend), (2, 0));
    });
}

#[test]
fn memcached_that_is_silent_or_dead_makes_nobody_wait_longer_than_pool_timeout() {
    check(2, CACHE, |world, fake| async move {
        let fake = fake.unwrap();
        trust_again().await;
        fake.is_awake.set(false);
        let start = world.sim.elapsed();
        assert!(read(&world.core).await.exists());
        let first = world.sim.elapsed() - start;
        // One look for the account, one for the container.
        assert!(first < 2 * SECOND + MOMENT, "{first:?}");
        for _ in 0..100 {
            let start = world.sim.elapsed();
            assert!(read(&world.core).await.exists());
            assert!(world.sim.elapsed() - start < MOMENT);
            sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(asked(&world), 1);
        world.sim.crash(fake.node);
        sleep(60 * SECOND).await;
        let start = world.sim.elapsed();
        assert!(read(&world.core).await.exists());
        assert!(world.sim.elapsed() - start < 2 * SECOND + MOMENT);
        assert_eq!(asked(&world), 2);
    });
}

#[test]
fn a_restarted_memcached_is_no_reason_to_ask_again() {
    check(2, CACHE, |world, fake| async move {
        let fake = fake.unwrap();
        trust_again().await;
        for core in &world.cores {
            read(core).await;
        }
        world.backends.clear();
        for _ in 0..5 {
            world.sim.crash(fake.node);
            sleep(SECOND).await;
            fake.restart(&world).await;
            for _ in 0..20 {
                for core in &world.cores {
                    read(core).await;
                }
                sleep(Duration::from_millis(250)).await;
            }
        }
        assert_eq!(asked(&world), 0);
    });
}

#[test]
fn what_another_proxy_deleted_is_asked_for_again() {
    check(1, CACHE, |world, _fake| async move {
        trust_again().await;
        read(&world.core).await;
        sleep(MOMENT).await;
        world.backends.clear();
        other_proxy().delete("container/AUTH_a/c").await;
        // The first look past a second finds it gone, and asks while the answer is what was known.
        sleep(2 * SECOND).await;
        assert!(read(&world.core).await.exists());
        sleep(MOMENT).await;
        assert_eq!(asked(&world), 1);
    });
}

#[test]
fn what_another_proxy_knows_better_is_taken() {
    check(1, CACHE, |world, _fake| async move {
        trust_again().await;
        read(&world.core).await;
        sleep(MOMENT).await;
        let Lookup::Hit(value, _) = other_proxy().get("container/AUTH_a/c").await else { panic!("it was told") };
        let text = String::from_utf8(value.bytes.to_vec()).unwrap();
        let text = text.replace("\"read_acl\": null", "\"read_acl\": \".r:new\"");
        other_proxy().set("container/AUTH_a/c", &Value::json(text), 60 * SECOND).await.unwrap();
        sleep(2 * SECOND).await;
        read(&world.core).await;
        sleep(MOMENT).await;
        assert_eq!(read(&world.core).await.read_acl(), Some(".r:new"));
    });
}

#[test]
fn an_older_value_that_reaches_memcached_after_a_write_is_not_believed() {
    check(2, CACHE, |world, fake| async move {
        let fake = fake.unwrap();
        trust_again().await;
        read(&world.core).await;
        sleep(MOMENT).await;
        let Lookup::Hit(old, _) = other_proxy().get("container/AUTH_a/c").await else { panic!("it was told") };
        write(&world, &world.core, ".r:new").await;
        // As a server that was frozen may do, or a proxy that asked before the write.
        other_proxy().set("container/AUTH_a/c", &old, 60 * SECOND).await.unwrap();
        for _ in 0..30 {
            for core in &world.cores {
                assert_eq!(read(core).await.read_acl(), Some(".r:new"));
            }
            sleep(SECOND).await;
        }
        // A server that is frozen while somebody writes is asked to forget until it has.
        fake.is_awake.set(false);
        write(&world, &world.cores[1], ".r:newer").await;
        sleep(100 * SECOND).await;
        for core in &world.cores {
            assert_eq!(read(core).await.read_acl(), Some(".r:newer"));
        }
    });
}

#[test]
fn a_core_without_a_connection_has_another_remove_what_it_wrote() {
    check(2, "memcache_servers = 10.0.2.1\nmax_memcache_connections = 1", |world, _fake| async move {
        trust_again().await;
        let [first, second] = [&world.cores[0], &world.cores[1]];
        read(first).await;
        sleep(MOMENT).await;
        assert!(matches!(other_proxy().get("container/AUTH_a/c").await, Lookup::Hit(..)));
        write(&world, second, ".r:new").await;
        assert!(matches!(other_proxy().get("container/AUTH_a/c").await, Lookup::Miss(_)));
        assert_eq!(second.facts.numbers().servers[0].counts.connects, 0);
    });
}

#[test]
fn what_does_not_exist_is_kept_by_memcached_for_a_tenth_and_by_no_core() {
    check(1, CACHE, |world, _fake| async move {
        let path = Path { account: "AUTH_a".into(), container: Some("none".into()), object: None };
        assert_eq!(container_info(&world.core, "AUTH_a", "none", "tx").await.status, 404);
        sleep(MOMENT).await;
        let Lookup::Hit(value, _) = other_proxy().get("container/AUTH_a/none").await else { panic!("it was told") };
        assert_eq!(value.as_json().unwrap()["status"], 404);
        let asked = || world.backends.requests(Method::Head, &format!("/{}/none", path.account)).len();
        let before = asked();
        assert_eq!(container_info(&world.core, "AUTH_a", "none", "tx").await.status, 404);
        assert_eq!(asked(), before);
        other_proxy().delete("container/AUTH_a/none").await;
        assert_eq!(container_info(&world.core, "AUTH_a", "none", "tx").await.status, 404);
        assert!(asked() > before);
    });
}
