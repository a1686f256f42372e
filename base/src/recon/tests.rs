//! What recon tells of a simulated node, and of this machine.

use super::*;
use crate::io::sim::{Sim, SimOptions};
use std::net::{IpAddr, Ipv4Addr};

fn recon() -> Recon {
    Recon::new(Path::new("/srv/node"), Path::new("/etc/swift"), Path::new("/var/cache/swift"), [0, 2])
}

async fn write(path: &str, text: &str) {
    let path = Path::new(path);
    fs::create_dir_all(path.parent().unwrap()).await.unwrap();
    fs::write_atomic(path, text.as_bytes().to_vec(), 0o644).await.unwrap();
}

async fn ask(recon: &Recon, path: &str) -> (u16, Value) {
    let response = recon.answer(path.as_bytes()).await;
    let crate::http::server::ResponseBody::Full(bytes) = response.body else { panic!("a body") };
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    (response.head.status.0, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks a node with two devices, one of them mounted.
fn check(path: &'static str, status: u16, expected: Value) {
    let sim = Sim::new(1, SimOptions::default());
    let node = sim.node("storage", IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)));
    let handle = sim.handle();
    let (found, answer) = std::sync::mpsc::channel();
    sim.start(node, move || {
        let found = found.clone();
        async move {
            for (path, text) in [
                ("/etc/swift/swift.conf", "[swift-hash]\n"),
                ("/etc/swift/account.ring.gz", "ring"),
                ("/etc/swift/object-2.ring.gz", ""),
                ("/var/cache/swift/object.recon", r#"{"async_pending": 7, "object_updater_sweep": 0.5}"#),
                ("/var/cache/swift/container.recon", "not json"),
                ("/srv/node/stray", ""),
            ] {
                write(path, text).await;
            }
            for folder in [
                "sda1/quarantined/objects/a",
                "sda1/quarantined/objects-2/b",
                "sdb1/quarantined/objects/c",
                "sdb1/quarantined/containers/d",
                "sdb1/quarantined/martlet-volumes/e",
            ] {
                fs::create_dir_all(&Path::new("/srv/node").join(folder)).await.unwrap();
            }
            let _ = found.send(ask(&recon(), path).await);
        }
    });
    handle.mount(node, Path::new("/srv/node/sdb1"));
    sim.run(async { io::sleep(std::time::Duration::from_secs(1)).await });
    assert_eq!(answer.try_recv().unwrap(), (status, expected), "{path}");
}

#[test]
fn a_node_tells_of_itself() {
    let md5 = crate::checksum::md5_hex;
    check("/recon/version", 200, json!({ "version": SWIFT_VERSION }));
    check("/recon/swiftconfmd5", 200, json!({ "/etc/swift/swift.conf": md5(b"[swift-hash]\n") }));
    let sums = json!({ "/etc/swift/account.ring.gz": md5(b"ring"), "/etc/swift/object-2.ring.gz": md5(b"") });
    check("/recon/ringmd5", 200, sums);
    check("/recon/devices", 200, json!({ "/srv/node": ["sda1", "sdb1", "stray"] }));
    check("/recon/unmounted", 200, json!([{ "device": "sda1", "mounted": false }]));
    let policies = json!({ "0": { "objects": 2 }, "2": { "objects": 1 } });
    let counts = json!({ "objects": 3, "containers": 1, "accounts": 0, "policies": policies });
    check("/recon/quarantined", 200, counts);
}

#[test]
fn figures_of_daemons_come_from_their_files() {
    check("/recon/async", 200, json!({ "async_pending": 7, "async_pending_last": null }));
    let sweep = json!({ "object_updater_sweep": 0.5, "object_updater_stats": null, "object_updater_last": null });
    check("/recon/updater/object", 200, sweep);
    check("/recon/updater/container", 200, json!({ "container_updater_sweep": null }));
    check("/recon/driveaudit", 200, json!({ "drive_audit_errors": null }));
    check("/recon/relinker", 200, json!({ "devices": null, "workers": null }));
}

#[test]
fn what_nobody_can_ask_is_told() {
    for path in ["/recon/nothing", "/recon/", "/recon/updater/account", "/recon/auditor", "/recon/expirer/object/x"] {
        check(path, 404, json!(format!("Invalid path: {path}")));
    }
    assert!(is_asked(b"/recon/mem") && is_asked(b"/%72econ/mem"));
    assert!(!is_asked(b"/recon") && !is_asked(b"/v1/recon/mem"));
}

#[test]
fn this_machine_tells_of_itself() {
    let options = io::real::CoreOptions { name: "recon".to_owned(), ..io::real::CoreOptions::default() };
    io::real::run(options, || async {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sda1")).unwrap();
        let recon = Recon::new(folder.path(), folder.path(), folder.path(), [0]);
        let (status, load) = ask(&recon, "/recon/load").await;
        assert!(status == 200 && load["1m"].is_f64() && load["processes"].is_u64(), "{load}");
        let (_, memory) = ask(&recon, "/recon/mem").await;
        assert!(memory["MemTotal"].as_str().is_some_and(|amount| amount.ends_with(" kB")), "{memory}");
        let (_, mounts) = ask(&recon, "/recon/mounted").await;
        assert!(
            mounts.as_array().is_some_and(|mounts| mounts.iter().any(|mount| mount["path"] == "/proc")),
            "{mounts}"
        );
        let (_, sockets) = ask(&recon, "/recon/sockstat").await;
        assert!(sockets["tcp_in_use"].is_u64(), "{sockets}");
        let (_, time) = ask(&recon, "/recon/time").await;
        assert!(time.as_f64().is_some_and(|time| time > 1.7e9), "{time}");
        let (_, usage) = ask(&recon, "/recon/diskusage").await;
        assert_eq!(usage, json!([{ "device": "sda1", "mounted": false, "size": "", "used": "", "avail": "" }]));
        let of_the_root = Recon::new(Path::new("/"), folder.path(), folder.path(), [0]);
        let (_, usage) = ask(&of_the_root, "/recon/diskusage").await;
        let proc = usage.as_array().unwrap().iter().find(|device| device["device"] == "proc").cloned().unwrap();
        assert_eq!((&proc["mounted"], proc["size"].is_u64()), (&json!(true), true));
    })
    .unwrap();
}
