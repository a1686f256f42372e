//! Host names, asked of a fake name server: in the simulator, and on the loopback address of this machine.

use super::dns::tests::{cname, reply};
use super::*;
use base::http::Method;
use base::io::sim::{Sim, SimHandle, SimOptions};
use base::io::{Datagrams, real};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::Ipv4Addr;
use std::rc::Rc;

/// What a fake server does with a question for a name.
type Zone = fn(&str, u16) -> Option<Vec<u8>>;

/// `a.example` → `b.example` → `c.auth-a.storage.example`; nothing else is there.
fn chain(name: &str, id: u16) -> Option<Vec<u8>> {
    match name {
        "a.example" => Some(cname(id, name, "b.example", 300)),
        "b.example" => Some(cname(id, name, "c.auth-a.storage.example", 300)),
        "brief.example" => Some(cname(id, name, "c.auth-a.storage.example", 0)),
        "loop.example" => Some(cname(id, name, "loop.example", 300)),
        "silent.example" => None,
        "broken.example" => Some(reply(id, 0x8182, name, &[])),
        "hostile.example" => Some(reply(id, 0x8180, name, &[(vec![0xc0, 12], 5, 1, b"\x06a\r\nb: \0".to_vec())])),
        _ => Some(reply(id, 0x8183, name, &[])),
    }
}

/// Answers, and counts the questions.
async fn serve(socket: Datagrams, zone: Zone, asked: Rc<RefCell<Vec<String>>>) {
    while let Ok((question, asker)) = socket.receive(512).await {
        let id = u16::from_be_bytes([question[0], question[1]]);
        let (mut name, mut at) = (Vec::new(), 12);
        while question[at] > 0 {
            let end = at + 1 + usize::from(question[at]);
            name.push(String::from_utf8(question[at + 1..end].to_vec()).unwrap());
            at = end;
        }
        let name = name.join(".");
        if let Some(reply) = zone(&name, id) {
            // Forged ones come first: with another number, and for another name.
            socket.send(&Bytes::from(cname(id ^ 1, &name, "forged.storage.example", 9)), asker).unwrap();
            socket.send(&Bytes::from(cname(id, "other.example", "forged.storage.example", 9)), asker).unwrap();
            socket.send(&Bytes::from(reply), asker).unwrap();
        }
        asked.borrow_mut().push(name);
    }
}

fn settings(lookup_depth: usize, nameservers: Vec<SocketAddr>) -> Settings {
    Settings { storage_domains: vec![".storage.example".into()], lookup_depth, nameservers }
}

fn server(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), 53)
}

/// The host name a request goes on with, or the refusal.
async fn host(member: &CnameLookup, host: &str) -> Result<String, (u16, String)> {
    let mut head = RequestHead::new(Method::Get, "/o");
    head.headers.set("Host", host.to_owned());
    match member.rewrite(&mut head).await {
        Ok(_) => Ok(head.headers.get_str("Host").unwrap().to_owned()),
        Err(refused) => {
            let status = refused.head.status.0;
            Err((status, crate::pipeline::tests::full_body(*refused)))
        }
    }
}

/// A simulation with name servers at 10.0.0.2 (answers), .3 (fails) and .4 (is silent); the names that the first was asked for.
fn run<F: Future + 'static>(test: impl FnOnce(Rc<RefCell<Vec<String>>>, SimHandle) -> F) -> F::Output {
    let sim = Sim::new(1, SimOptions::default());
    let asked = Rc::new(RefCell::new(Vec::new()));
    let zones: [(u8, Zone); 3] = [(2, chain), (3, |name, id| Some(reply(id, 0x8182, name, &[]))), (4, |_, _| None)];
    for (last, zone) in zones {
        let node = sim.node(&format!("dns{last}"), server(last).ip());
        let asked = if last == 2 { Rc::clone(&asked) } else { Rc::default() };
        sim.start(node, move || {
            let asked = Rc::clone(&asked);
            async move { serve(Datagrams::bind(server(last)).unwrap(), zone, asked).await }
        });
    }
    let test = test(asked, sim.handle());
    sim.run(async move {
        io::sleep(Duration::from_millis(100)).await;
        test.await
    })
}

const NOWHERE: &str = "CNAME lookup failed to resolve to a valid domain";

#[test]
fn a_chain_is_followed_as_deep_as_allowed() {
    run(|_, _| async {
        let deep = CnameLookup::new(settings(2, vec![server(2)]));
        assert_eq!(host(&deep, "a.example").await.as_deref(), Ok("c.auth-a.storage.example"));
        assert_eq!(host(&deep, "A.example:80").await.as_deref(), Ok("c.auth-a.storage.example:80"), "remembered");
        assert_eq!(host(&deep, "a.example:8080").await.as_deref(), Ok("c.auth-a.storage.example:8080"));
        assert_eq!(host(&deep, "a.example.").await.as_deref(), Ok("c.auth-a.storage.example"));
        let shallow = CnameLookup::new(settings(1, vec![server(2)]));
        assert_eq!(host(&shallow, "b.example").await.as_deref(), Ok("c.auth-a.storage.example"));
        let told = (400, "CNAME lookup failed after 1 tries".to_owned());
        assert_eq!(host(&shallow, "a.example").await, Err(told));
    });
}

#[test]
fn names_that_lead_nowhere_are_told() {
    run(|_, _| async {
        let member = CnameLookup::new(settings(2, vec![server(2)]));
        for name in [
            "none.example",
            "loop.example",
            "broken.example",
            "hostile.example",
            "silent.example",
            "sp ace",
            "a..b",
            "é",
        ] {
            assert_eq!(host(&member, name).await, Err((400, NOWHERE.to_owned())), "{name}");
        }
    });
}

#[test]
fn what_is_ours_or_no_name_is_not_asked_for() {
    run(|asked, _| async move {
        let member = CnameLookup::new(settings(2, vec![server(2)]));
        for name in
            ["c.auth-a.storage.example:80", "storage.example", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]"]
        {
            assert_eq!(host(&member, name).await.as_deref(), Ok(name));
        }
        let none = CnameLookup::new(Settings { storage_domains: Vec::new(), ..settings(1, vec![server(2)]) });
        assert_eq!(host(&none, "a.example").await.as_deref(), Ok("a.example"));
        let mut head = RequestHead::new(Method::Get, "/o");
        assert_eq!(member.rewrite(&mut head).await.map_err(|_| ()), Ok(None), "no host at all");
        assert!(asked.borrow().is_empty(), "{asked:?}");
    });
}

#[test]
fn answers_are_remembered_as_long_as_they_say() {
    run(|asked, _| async move {
        let member = CnameLookup::new(settings(1, vec![server(2)]));
        let ask = async |name: &str, seconds: u64, expected: usize| {
            io::sleep(Duration::from_secs(seconds)).await;
            let _ = host(&member, name).await;
            assert_eq!(asked.borrow().iter().filter(|asked| *asked == name).count(), expected, "{name}");
        };
        ask("b.example", 0, 1).await;
        ask("b.example", 299, 1).await;
        ask("b.example", 2, 2).await;
        ask("none.example", 0, 1).await;
        ask("none.example", 59, 1).await;
        ask("none.example", 2, 2).await;
        ask("brief.example", 0, 1).await;
        ask("brief.example", 0, 2).await;
        ask("broken.example", 0, 1).await;
        ask("broken.example", 0, 2).await;
    });
}

#[test]
fn one_deadline_holds_whatever_the_servers_do() {
    run(|_, _| async {
        let start = io::monotonic();
        // The failing and the silent one are passed by.
        let several = CnameLookup::new(settings(2, vec![server(3), server(4), server(9), server(2)]));
        assert_eq!(host(&several, "a.example").await.as_deref(), Ok("c.auth-a.storage.example"));
        assert!(io::monotonic().since(start) < DEADLINE);
        for servers in [vec![server(4)], vec![server(9)], vec![server(4), server(9)]] {
            let member = CnameLookup::new(settings(5, servers));
            let start = io::monotonic();
            assert_eq!(host(&member, "a.example").await, Err((400, NOWHERE.to_owned())));
            let took = io::monotonic().since(start);
            assert!(took <= DEADLINE + Duration::from_millis(1), "{took:?}");
        }
        let start = io::monotonic();
        let failing = CnameLookup::new(settings(1, vec![server(3)]));
        assert_eq!(host(&failing, "a.example").await.unwrap_err().0, 400);
        assert!(io::monotonic().since(start) < Duration::from_secs(1), "nobody is left to ask");
    });
}

#[test]
fn too_many_names_at_a_time_are_turned_away() {
    run(|_, _| async {
        let member = Rc::new(CnameLookup::new(settings(1, vec![server(4)])));
        let (busy, others) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for number in 0..100 {
            let (member, busy, others) = (Rc::clone(&member), Rc::clone(&busy), Rc::clone(&others));
            io::spawn(async move {
                let count = if host(&member, &format!("n{number}.example")).await.unwrap_err().0 == 503 {
                    busy
                } else {
                    others
                };
                count.set(count.get() + 1);
            });
        }
        io::sleep(Duration::from_secs(1)).await;
        assert_eq!((busy.get(), others.get()), (36, 0));
        io::sleep(DEADLINE).await;
        assert_eq!(others.get(), 64);
        assert_eq!(host(&member, "next.example").await.unwrap_err().0, 400, "there is room again");
    });
}

#[test]
fn the_systems_servers_are_asked_when_none_is_named() {
    run(|_, _| async {
        let member = CnameLookup::new(settings(2, Vec::new()));
        let text = "# a comment\nsearch example\nnameserver 10.0.0.3\n nameserver 10.0.0.2\nnameserver nonsense\n";
        io::fs::create_dir_all(std::path::Path::new("/etc")).await.unwrap();
        io::fs::write_atomic(std::path::Path::new("/etc/resolv.conf"), text.into(), 0o644).await.unwrap();
        assert_eq!(host(&member, "a.example").await.as_deref(), Ok("c.auth-a.storage.example"));
    });
}

#[test]
fn a_server_on_this_machine_is_asked_over_real_sockets() {
    let options = real::CoreOptions { name: "dns".to_owned(), ..real::CoreOptions::default() };
    real::run(options, || async {
        let socket = Datagrams::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_address();
        let asked = Rc::new(RefCell::new(Vec::new()));
        io::spawn(serve(socket, chain, Rc::clone(&asked)));
        let member = CnameLookup::new(settings(2, vec![address]));
        for _ in 0..3 {
            assert_eq!(host(&member, "a.example:80").await.as_deref(), Ok("c.auth-a.storage.example:80"));
        }
        assert_eq!(host(&member, "none.example").await, Err((400, NOWHERE.to_owned())));
        assert_eq!(*asked.borrow(), ["a.example", "b.example", "none.example"]);
    })
    .unwrap();
}

#[test]
fn redirects_are_written_back() {
    let rewritten = Rewritten { requested: "www.a.example:8080".into(), found: "c.auth-a.storage.example:8080".into() };
    let check = |location: &'static str, expected: &str| {
        let mut response = Response::empty(Status(301)).header("Location", location);
        rewritten.finish(&mut response);
        assert_eq!(response.head.headers.get_str("Location"), Some(expected));
    };
    check("http://c.auth-a.storage.example:8080/x/", "http://www.a.example:8080/x/");
    check("https://c.auth-a.storage.example:8080", "https://www.a.example:8080");
    check("http://c.auth-a.storage.example:80800/x", "http://c.auth-a.storage.example:80800/x");
    check("/x/", "/x/");
}

#[test]
fn name_servers_are_addresses_with_or_without_a_port() {
    for (text, expected) in [
        ("127.0.0.1", Some("127.0.0.1:53")),
        ("127.0.0.3:5353", Some("127.0.0.3:5353")),
        ("[::1]", Some("[::1]:53")),
        ("[::1]:5353", Some("[::1]:5353")),
        ("dns.example", None),
        ("127.0.0.1:port", None),
        ("", None),
    ] {
        assert_eq!(name_server(text), expected.map(|address| address.parse().unwrap()), "{text}");
    }
}
