//! Real daemons on free ports: what a user does with a cluster, and what trouble does to it.

use crate::cluster::{Cluster, Daemon, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

#[test]
fn objects_are_stored_listed_and_fetched_and_survive_a_restart() {
    let mut cluster = Cluster::start(&["--cores", "2"]);
    let client = cluster.client.clone();
    assert_eq!(client.request("PUT", "/photos", &[], None).status, 201);
    let body = vec![b'x'; 300_000];
    for name in ["a", "b%20c", "d/e"] {
        let answer =
            client.request("PUT", &format!("/photos/{name}"), &[("X-Object-Meta-Colour", "blue")], Some(&body));
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let listing = client.request("GET", "/photos", &[], None);
    assert_eq!((listing.status, listing.text().as_str()), (200, "a\nb c\nd/e\n"));
    assert_eq!(client.request("GET", "/photos?delimiter=/&prefix=d", &[], None).text(), "d/\n");

    let got = client.request("GET", "/photos/b%20c", &[], None);
    assert_eq!((got.status, got.body == body, got.header("X-Object-Meta-Colour")), (200, true, "blue"));
    let part = client.request("GET", "/photos/a", &[("Range", "bytes=10-19")], None);
    assert_eq!((part.status, part.body.len()), (206, 10));

    assert_eq!(cluster.down(), Some(0));
    cluster.up();
    let client = cluster.client.clone();
    assert_eq!(client.request("GET", "/photos/d/e", &[], None).body, body);
    assert_eq!(client.request("HEAD", "/photos", &[], None).header("X-Container-Object-Count"), "3");

    for name in ["a", "b%20c", "d/e"] {
        assert_eq!(client.request("DELETE", &format!("/photos/{name}"), &[], None).status, 204);
        assert_eq!(client.request("GET", &format!("/photos/{name}"), &[], None).status, 404);
    }
    assert_eq!(client.request("DELETE", "/photos", &[], None).status, 204);
    eventually("the account is empty again", || {
        client.request("HEAD", "", &[], None).header("X-Account-Container-Count") == "0"
    });
}

#[test]
fn the_store_of_a_device_is_checked_rebuilt_exported_and_taken_back() {
    let mut cluster = Cluster::start(&["--devices", "1", "--replicas", "1", "--cores", "1"]);
    let conf = cluster.dir.join("etc").join("node1.conf");
    let store = |words: &[&str]| {
        let output =
            Command::new(crate::cluster::MARTLET).arg("store").args(words).arg(&conf).args(["d1", "--json"]).output();
        let output = output.expect("martlet starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), value, said)
    };
    let bodies = [vec![b's'; 5000], vec![b'l'; 600_000]];
    let all_there = |cluster: &Cluster| {
        for (name, body) in ["small", "large"].iter().zip(&bodies) {
            let got = cluster.client.request("GET", &format!("/c/{name}"), &[], None);
            assert_eq!((got.status, got.body == *body), (200, true), "{name}");
            assert_eq!(got.header("X-Object-Meta-Colour"), "blue");
        }
        assert_eq!(cluster.client.request("GET", "/c/gone", &[], None).status, 404);
    };
    assert_eq!(cluster.client.request("PUT", "/c", &[], None).status, 201);
    for (name, body) in ["small", "large", "gone"].iter().zip([&bodies[0], &bodies[1], &bodies[0]]) {
        assert_eq!(cluster.client.request("PUT", &format!("/c/{name}"), &[], Some(body)).status, 201);
    }
    assert_eq!(cluster.client.request("POST", "/c/small", &[("X-Object-Meta-Colour", "blue")], None).status, 202);
    assert_eq!(cluster.client.request("POST", "/c/large", &[("X-Object-Meta-Colour", "blue")], None).status, 202);
    assert_eq!(cluster.client.request("DELETE", "/c/gone", &[], None).status, 204);
    let (code, _, said) = store(&["check"]);
    assert_eq!((code, said.contains("another process serves this device")), (Some(1), true), "{said}");

    assert_eq!(cluster.down(), Some(0));
    let (code, info, said) = store(&["info"]);
    // Two bodies, two POSTs, one deletion.
    assert_eq!((code, info["living_records"].as_u64()), (Some(0), Some(5)), "{info} {said}");
    for task in ["check", "rebuild-index", "check"] {
        let (code, value, said) = store(&[task]);
        assert_eq!(code, Some(0), "{task}: {value} {said}");
    }
    cluster.up();
    all_there(&cluster);

    assert_eq!(cluster.down(), Some(0));
    let (code, exported, said) = store(&["export"]);
    assert_eq!((code, exported["lost"].as_u64()), (Some(0), Some(0)), "{exported} {said}");
    assert!(!cluster.dir.join("node1").join("d1").join("martlet-store").exists());
    // A packed device takes Swift's files over and serves them.
    cluster.up();
    all_there(&cluster);
    assert_eq!(cluster.down(), Some(0));
    let (code, report, said) = store(&["check"]);
    assert_eq!(code, Some(0), "{report} {said}");
}

#[test]
fn a_node_that_dies_costs_nothing_that_was_acknowledged() {
    let cluster = Cluster::start(&["--nodes", "3", "--devices", "6", "--replicas", "3", "--cores", "1"]);
    let client = cluster.client.clone();
    assert_eq!(client.request("PUT", "/c", &[], None).status, 201);
    let body = |number: usize| format!("body of object {number} ").repeat(200).into_bytes();
    let mut acknowledged = Vec::new();
    for number in 0..60 {
        if number == 20 {
            kill_process(cluster.pid("node2"), Signal::KILL).expect("node 2 runs");
        }
        // The request under way when the node dies may fail; afterwards handoffs take its place.
        let answer = client.try_request("PUT", &format!("/c/object-{number:03}"), &[], Some(&body(number)));
        if answer.is_ok_and(|answer| answer.status == 201) {
            acknowledged.push(number);
        }
    }
    assert!(acknowledged.len() >= 55, "only {} of 60 uploads went through", acknowledged.len());
    for &number in &acknowledged {
        let got = client.request("GET", &format!("/c/object-{number:03}"), &[], None);
        assert_eq!((got.status, got.body == body(number)), (200, true), "object {number} with a node dead");
    }
    let _node2 = Daemon::start("objectd", &cluster.dir.join("etc").join("node2.conf"));
    eventually("every replica of the container has every row", || {
        let counts: Vec<String> = (0..9)
            .map(|_| {
                client
                    .request("HEAD", "/c", &[("X-Newest", "true")], None)
                    .header("X-Container-Object-Count")
                    .to_owned()
            })
            .collect();
        counts.iter().all(|count| *count == acknowledged.len().to_string())
    });
    let listing = client.request("GET", "/c", &[], None).text();
    let names: Vec<String> = acknowledged.iter().map(|number| format!("object-{number:03}")).collect();
    assert_eq!(listing.lines().collect::<Vec<_>>(), names);
    let bytes: usize = acknowledged.iter().map(|&number| body(number).len()).sum();
    eventually("the account counts every byte", || {
        client.request("HEAD", "", &[], None).header("X-Account-Bytes-Used") == bytes.to_string()
    });
}

/// Reads the answer to a GET, tells when the first MiB of it is there, and gives the body.
fn read_slowly(client: &crate::cluster::Client, path: &str, bytes: usize, in_the_middle: impl FnOnce()) -> Vec<u8> {
    let mut stream = TcpStream::connect(client.address).expect("the proxy listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
    let head = format!(
        "GET /v1/AUTH_test{path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {}\r\nConnection: close\r\n\r\n",
        client.token
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = vec![0; 1 << 20];
    stream.read_exact(&mut answer).expect("the first MiB");
    in_the_middle();
    stream.read_to_end(&mut answer).expect("the rest");
    answer.split_off(answer.len().saturating_sub(bytes))
}

#[test]
fn a_body_goes_on_when_its_node_dies_in_the_middle() {
    let cluster = Cluster::start(&["--nodes", "3", "--devices", "3", "--replicas", "3", "--cores", "1"]);
    let client = cluster.client.clone();
    assert_eq!(client.request("PUT", "/c", &[], None).status, 201);
    // More than the sockets between hold, so that the node has not sent all of it when it dies.
    let body: Vec<u8> = (0..48_u32 << 18).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    // The second time the nodes are known to take the MD5 from the proxy.
    let etags: Vec<String> =
        (0..2).map(|_| client.request("PUT", "/c/large", &[], Some(&body)).header("Etag").to_owned()).collect();
    assert_eq!(etags, vec![base::checksum::md5_hex(&body); 2]);
    assert!(read_slowly(&client, "/c/large", body.len(), || {}) == body);
    let mut alive = vec!["node1", "node2", "node3"];
    // The one that is sending dies, twice.
    while alive.len() > 1 {
        let before: Vec<u64> = alive.iter().map(|node| run_time_nanos(cluster.pid(node))).collect();
        let got = read_slowly(&client, "/c/large", body.len(), || {
            let growth = |place: usize| run_time_nanos(cluster.pid(alive[place])) - before[place];
            let sender = (0..alive.len()).max_by_key(|place| growth(*place)).expect("two are alive");
            kill_process(cluster.pid(alive.remove(sender)), Signal::KILL).expect("it runs");
        });
        assert!(got == body, "with {alive:?} left");
    }
    let moves = cluster.logs().matches("body goes on from another node").count();
    assert!(moves >= 2, "{}", cluster.logs());
}

/// What all threads of a process ran.
fn run_time_nanos(process: Pid) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).expect("it runs");
    let of_thread = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or(0)
    };
    threads.flatten().map(of_thread).sum()
}

#[test]
fn trouble_is_said_in_one_sentence() {
    let cluster = Cluster::start(&["--cores", "1"]);
    let dir = cluster.dir.to_str().expect("UTF-8");
    let port = cluster.client.address.port().to_string();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let elsewhere = elsewhere.path().join("x");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["up", elsewhere, "--port", &port], 1, "cannot listen on"),
        (&["up", dir], 1, "another `martlet up` serves"),
        (&["up", elsewhere, "--devices", "2"], 2, "cannot hold --replicas 3"),
        (&["env", elsewhere], 2, "is no cluster folder"),
        (&["objectd", "/no/such.conf"], 2, "/no/such.conf"),
        (&["proxy", "/no/such.conf"], 2, "/no/such.conf"),
        (&["object-expirer", "/no/such.conf"], 2, "/no/such.conf"),
    ];
    for (words, code, sentence) in cases {
        let output = Command::new(crate::cluster::MARTLET).args(words).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(sentence) && said.trim_end().lines().count() == 1, "{words:?}: {said}");
    }
}

#[test]
fn two_way_framing_is_refused() {
    let cluster = Cluster::start(&["--cores", "1"]);
    use std::io::{Read, Write};
    for head in [
        "GET /healthcheck HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /healthcheck HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "GET /healthcheck HTTP/1.1\r\nHost : h\r\n\r\n",
    ] {
        let mut stream = std::net::TcpStream::connect(cluster.client.address).expect("it listens");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a timeout");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("closed by the server");
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{head:?}: {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn every_service_of_a_node_answers_swift_recon() {
    let cluster = Cluster::start(&["--cores", "1", "--devices", "2", "--replicas", "2"]);
    use std::io::{Read, Write};
    let conf = std::fs::read_to_string(cluster.dir.join("etc").join("node1.conf")).expect("the node's configuration");
    let option = |name: &str| {
        let line = conf.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("{name}: {conf}")).to_owned()
    };
    for service in ["object_ports", "container_ports", "account_ports"] {
        let address = format!("127.0.0.1:{}", option(service));
        let ask = |check: &str| {
            let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
            stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("a timeout");
            let head = format!("GET /recon/{check} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("closed by the server");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("HTTP/1.1 200 "), "{check}: {head}");
            serde_json::from_str::<serde_json::Value>(body).expect("JSON")
        };
        assert_eq!(ask("version")["version"], base::SWIFT_VERSION);
        assert_eq!(ask("devices")[option("devices")], serde_json::json!(["d1", "d2"]));
        assert_eq!(ask("ringmd5").as_object().map(serde_json::Map::len), Some(3));
        assert_eq!(ask("quarantined")["objects"], 0);
    }
}

#[test]
fn what_expires_or_was_left_to_the_expirer_goes() {
    let cluster = Cluster::start(&["--cores", "2"]);
    let client = cluster.client.clone();
    let put = |path: &str, fields: &[(&str, &str)], body: &str| {
        assert_eq!(client.request("PUT", path, fields, Some(body.as_bytes())).status, 201, "{path}");
    };
    let listing = |container: &str| client.request("GET", container, &[], None).text();
    for container in ["/c", "/segments"] {
        assert_eq!(client.request("PUT", container, &[], None).status, 201);
    }
    put("/c/kept", &[("X-Delete-After", "100000")], "kept");
    put("/c/gone%20%C3%BC", &[("X-Delete-After", "1")], "gone");
    let segments = ["1", "2", "3"].map(|name| format!("/segments/{name}"));
    for segment in &segments {
        put(segment, &[], "segment");
    }
    let manifest: Vec<_> = segments.iter().map(|path| serde_json::json!({ "path": path })).collect();
    put("/c/large?multipart-manifest=put", &[], &serde_json::json!(manifest).to_string());
    let answer = client.request("DELETE", "/c/large?multipart-manifest=delete&async=yes", &[], None);
    assert_eq!(answer.status, 204, "{answer:?}");
    // By the loop in the proxy.
    eventually("the expired object leaves the listing", || listing("/c") == "kept\n");
    eventually("the segments leave theirs", || listing("/segments").is_empty());

    // On demand.
    let conf = cluster.dir.join("etc").join("object-expirer.conf");
    std::fs::copy(cluster.dir.join("etc").join("proxy.conf"), &conf).expect("copied");
    let expire = |words: &[&str]| {
        let output = Command::new(crate::cluster::MARTLET).arg("object-expirer").arg(&conf).args(words).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let report: serde_json::Value = serde_json::from_str(&expire(&["--once", "--json"])).expect("JSON");
    assert_eq!((&report["complete"], &report["failed"]), (&true.into(), &0.into()), "{report}");
    // The container of its row is empty now and goes; it must come again.
    expire(&["--once"]);
    put("/c/gone%20%C3%BC", &[("X-Delete-After", "1")], "gone");
    eventually("the object leaves the listing once more", || {
        assert!(expire(&["--once", "--processes", "1", "--process", "0"]).starts_with("pass completed in "));
        listing("/c") == "kept\n"
    });
    assert_eq!(client.request("GET", "/c/kept", &[], None).text(), "kept");
    let figures = std::fs::read_to_string(cluster.dir.join("run").join("object.recon")).expect("figures");
    assert!(figures.contains("\"expired_last_pass\":") && figures.contains("\"object_expiration_pass\":"), "{figures}");
}

#[test]
fn the_bench_measures_a_cluster() {
    let cluster = Cluster::start(&["--cores", "1"]);
    let env =
        Command::new(crate::cluster::MARTLET).args(["env", "--swift"]).arg(&cluster.dir).output().expect("it runs");
    let env = String::from_utf8(env.stdout).expect("UTF-8");
    let value = |name: &str| {
        env.split(&format!("{name}='")).nth(1).and_then(|rest| rest.split('\'').next()).expect("set").to_owned()
    };
    let output = Command::new(crate::cluster::MARTLET)
        .args([
            "bench",
            "get-4k",
            "put-1k",
            "--requests",
            "40",
            "--objects",
            "4",
            "--connections",
            "2",
            "--json",
            "--cluster",
        ])
        .arg(&cluster.dir)
        .env("ST_AUTH", value("ST_AUTH"))
        .env("ST_USER", value("ST_USER"))
        .env("ST_KEY", value("ST_KEY"))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report.pointer("/workloads/0/requests"), Some(&serde_json::json!(40)));
    assert_eq!(report.pointer("/workloads/1/failures"), Some(&serde_json::json!(0)));
    assert!(report.pointer("/workloads/0/server_cpu_us_per_request").is_some_and(serde_json::Value::is_number));
}
