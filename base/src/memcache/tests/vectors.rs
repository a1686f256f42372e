//! The vectors of Swift's client: `base/tests/vectors/memcache.py` makes them.

use crate::io::sim::{Sim, SimOptions};
use crate::io::{self, Listener};
use crate::json;
use crate::memcache::key::WireKey;
use crate::memcache::ring::Ring;
use crate::memcache::{Lookup, Memcache, Settings, Settled, Value};
use bytes::{Bytes, BytesMut};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

fn vectors() -> Json {
    serde_json::from_str(include_str!("../../../tests/vectors/memcache.json")).unwrap()
}

#[test]
fn keys_are_hashed_as_swift_hashes_them() {
    for (clear, hashed) in vectors()["keys"].as_object().unwrap() {
        assert_eq!(WireKey::of(clear).as_bytes(), hashed.as_str().unwrap().as_bytes(), "{clear}");
    }
}

#[test]
fn servers_are_asked_in_swifts_order_which_skips_the_first_point() {
    let vectors = vectors();
    let mut checked = 0;
    for case in vectors["servers"].as_array().unwrap() {
        let servers: Vec<String> =
            case["servers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let ring = Ring::new(&servers);
        let tries = usize::try_from(case["tries"].as_u64().unwrap()).unwrap();
        for (key, order) in case["order"].as_object().unwrap() {
            let found = ring.servers(&WireKey::of(key), tries).into_iter().map(|place| servers[place].as_str());
            let order: Vec<&str> = order.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            assert_eq!(found.collect::<Vec<_>>(), order, "{key} of {servers:?}");
            checked += 1;
        }
    }
    assert!(checked > 100);
}

/// Answers the first bytes with all of `replies`, and keeps what came.
async fn tape(listener: Listener, replies: Bytes, came: Rc<RefCell<BytesMut>>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut is_first = true;
    loop {
        let (read, buffer) = stream.read(BytesMut::with_capacity(1024)).await;
        came.borrow_mut().extend_from_slice(&buffer);
        if !matches!(read, Ok(1..)) {
            return;
        }
        if std::mem::take(&mut is_first) {
            stream.write_all(replies.clone()).await.unwrap();
        }
    }
}

/// What the client does in a step of the vectors, and what it found.
async fn act(memcache: &Memcache, step: &str) -> Json {
    let seconds = Duration::from_secs;
    let info = r#"{"status": 404, "meta": {"colour": "gr\u00fcn \ud83d\ude00"}, "read_acl": null, "sysmeta": {}}"#;
    let number = Value::json("1");
    let found = |value: Option<Value>| value.and_then(|value| value.as_json()).unwrap_or(Json::Null);
    let counted = |count: Option<u64>| Json::from(count.unwrap());
    let stored = |is_stored: bool| {
        assert!(is_stored, "{step}");
        Json::Null
    };
    match step {
        "set" => stored(memcache.set("k", &Value::json(info), seconds(6)).await.is_some()),
        "set for 30 days" => stored(memcache.set("k", &number, seconds(2_592_000)).await.is_some()),
        "set for longer" => stored(memcache.set("k", &number, seconds(2_592_001)).await.is_some()),
        "set for ever" => stored(memcache.set("k", &Value::json(json::quoted("x")), Duration::ZERO).await.is_some()),
        "set text" => stored(memcache.set("k", &Value::text("17"), Duration::ZERO).await.is_some()),
        "get" | "get pickled" | "get missing" => match memcache.get("k").await {
            Lookup::Hit(value, _) => found(Some(value)),
            Lookup::Miss(_) => Json::Null,
            Lookup::Unavailable => panic!("{step}"),
        },
        "delete" => {
            assert_eq!(memcache.delete("k").await, Settled::Yes);
            Json::Null
        }
        "incr" | "incr new" | "incr raced" => counted(memcache.count("k", 2, seconds(3)).await),
        "decr" | "decr new" => counted(memcache.count("k", -7, seconds(3)).await),
        "set_multi" => {
            let items = [("k", Value::json("[1]")), ("m", Value::json(r#"{"a": "b"}"#))];
            stored(memcache.set_multi(&items, "server", seconds(60)).await)
        }
        "get_multi" => {
            let values = memcache.get_multi(&["k", "m", "n"], "server").await.unwrap();
            values.into_iter().map(found).collect()
        }
        other => panic!("a step nobody knows: {other}"),
    }
}

#[test]
fn every_command_is_the_bytes_that_swift_sends_and_its_replies_mean_the_same() {
    let vectors = vectors();
    for (step, case) in vectors["wire"].as_object().unwrap() {
        let sim = Sim::new(1, SimOptions::default());
        let (step, case) = (step.clone(), case.clone());
        let handle = sim.handle();
        sim.run(async move {
            let address: SocketAddr = "10.0.2.1:11211".parse().unwrap();
            let node = handle.node("memcached", address.ip());
            let came = Rc::new(RefCell::new(BytesMut::new()));
            let (replies, kept) = (Bytes::from(case["replies"].as_str().unwrap().to_owned()), came.clone());
            handle
                .start(node, move || async move { tape(Listener::bind(address, false).unwrap(), replies, kept).await });
            io::sleep(Duration::from_millis(1)).await;
            let memcache = Memcache::new(Settings::of(&["10.0.2.1"], 1).unwrap(), 1, 0);
            let later = io::unix_time().as_secs() + 2_592_001;
            assert_eq!(act(&memcache, &step).await, case["result"], "{step}");
            io::sleep(Duration::from_millis(10)).await;
            let sent = String::from_utf8(came.borrow().to_vec()).unwrap();
            let wanted = case["sent"].as_str().unwrap().replace("1802592001", &later.to_string());
            assert_eq!(sent, wanted, "{step}");
        });
    }
}
