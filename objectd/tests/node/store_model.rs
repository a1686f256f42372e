//! Random operations on a device against a plain map, on both layouts, with power cuts among them: in the simulator over many
//! seeds, shorter on a real disk.

use crate::bed::{ADDRESS, conf, prepare};
use crate::model::draw::Draw;
use crate::model::drive::{Shared, Writer, judge, verify, work};
use crate::model::upkeep;
use base::io;
use base::io::sim::{Sim, SimOptions};
use objectd::config::Config;
use objectd::node::Node;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const WRITERS: u64 = 6;
const OBJECTS: usize = 12;
/// Wall time at the start of a simulation.
const EPOCH: u64 = 1_750_000_000;

/// Operations of all seeds of a layout together: a million for both, in a tenth of that where nothing is optimised.
const OPERATIONS: u64 = if cfg!(debug_assertions) { 20_000 } else { 510_000 };
const SEEDS: u64 = if cfg!(debug_assertions) { 4 } else { 48 };

#[test]
fn a_stock_device_is_a_map() {
    simulate("layout = stock", SEEDS, OPERATIONS);
}

#[test]
fn a_packed_device_is_a_map() {
    simulate("layout = packed\nvolume_size = 8388608", SEEDS, OPERATIONS);
}

/// Every seed with another limit between small and large objects.
fn simulate(layout: &str, seeds: u64, operations: u64) {
    let mut sent = 0;
    for seed in 0..seeds {
        let pack_limit = [256 * 1024, 4096, 65_536, 16_384][usize::try_from(seed % 4).unwrap()];
        let layout = format!("{layout}\npack_limit = {pack_limit}\n");
        let writers = run(seed, &layout, pack_limit, operations / seeds);
        judge(&writers, &format!("seed {seed}, {layout}"));
        let failed: Vec<String> = writers.iter().filter_map(|writer| writer.borrow().first_failed.clone()).collect();
        assert_eq!(failed, Vec::<String>::new(), "seed {seed}: requests failed");
        sent += writers.iter().map(|writer| writer.borrow().sent).sum::<u64>();
    }
    println!("{sent} operations");
}

fn run(seed: u64, layout: &str, pack_limit: usize, operations: u64) -> Vec<Shared> {
    let time_max = Duration::from_secs(30 * 24 * 3600);
    let options = SimOptions { steps_max: u64::MAX, time_max, disk_capacity: 8 << 30, ..SimOptions::default() };
    let sim = Sim::new(seed, options);
    let device = sim.node("storage", ADDRESS.parse().unwrap());
    sim.start(device, std::future::pending);
    let config = conf(layout);
    let handle = sim.handle();
    sim.run(async move {
        let place = prepare(Path::new("/etc/swift"), Path::new("/srv/node"), ADDRESS, [6200, 6201, 6202]);
        handle.run_on(device, place).await.unwrap();
        let draw = |number| Draw::new(seed * WRITERS + number, EPOCH, pack_limit);
        let writers: Vec<Shared> = (0..WRITERS).map(|number| Writer::new(number, draw(number), OBJECTS)).collect();
        let each = 150;
        let mut round = 0;
        // Ends: every third life at least runs its whole length.
        while writers.iter().map(|writer| writer.borrow().sent).sum::<u64>() < operations {
            round += 1;
            let (config, sharers) = (config.clone(), writers.clone());
            let life = async move {
                let node = Node::open(config.clone(), 0).await.unwrap();
                verify(node.clone(), &sharers).await;
                if round % 8 == 0 {
                    // While the writers work, as the daemon does.
                    let (node, config) = (node.clone(), config.clone());
                    io::spawn(async move { upkeep::compact(&node, &config).await });
                }
                work(node.clone(), &sharers, each).await;
                if round % 16 == 5 {
                    let complaints = upkeep::complaints(&node, &config, true).await;
                    sharers[0].borrow_mut().violations.extend(complaints);
                }
            };
            // Every third life ends in the middle of its work.
            let short = handle.random(|random| random.between(1, 300));
            let span = if round % 3 == 0 { Duration::from_millis(short) } else { Duration::from_secs(3600) };
            let ended = io::timeout(span, handle.run_on(device, life)).await;
            assert!(ended.is_ok() || round % 3 == 0, "a life hangs");
            handle.crash(device);
            handle.start(device, std::future::pending);
            if writers.iter().any(|writer| !writer.borrow().violations.is_empty()) {
                break;
            }
        }
        assert!(handle.panics().is_empty(), "{:?}", handle.panics());
        writers
    })
}

#[test]
fn a_stock_device_is_a_map_on_a_real_disk() {
    real("layout = stock\n");
}

#[test]
fn a_packed_device_is_a_map_on_a_real_disk() {
    real("layout = packed\nvolume_size = 8388608\npack_limit = 16384\n");
}

fn real(layout: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (swift_dir, devices) = (directory.path().join("etc"), directory.path().join("srv"));
    let text = format!(
        "[DEFAULT]\nswift_dir = {}\ndevices = {}\nbind_ip = 127.0.0.1\nmount_check = false\nfallocate_reserve = 0\n{layout}",
        swift_dir.display(),
        devices.display(),
    );
    let swift_conf = "[swift-hash]\nswift_hash_path_suffix = changeme\n";
    let config = Rc::new(Config::parse("objectd.conf", &text, swift_conf).unwrap());
    let writers: Vec<Shared> = base::io::real::run(base::io::real::CoreOptions::default(), || async move {
        prepare(&swift_dir, &devices, "127.0.0.1", [6200, 6201, 6202]).await;
        let now = io::unix_time().as_secs();
        let draw = |number| Draw::new(number, now, 16_384);
        let writers: Vec<Shared> = (0..WRITERS).map(|number| Writer::new(number, draw(number), OBJECTS)).collect();
        for _ in 0..3 {
            let node = Node::open(config.clone(), 0).await.unwrap();
            work(node.clone(), &writers, 60).await;
            verify(node, &writers).await;
        }
        writers
    })
    .unwrap();
    judge(&writers, layout);
    assert!(writers.iter().all(|writer| writer.borrow().failed == 0), "requests failed");
}
