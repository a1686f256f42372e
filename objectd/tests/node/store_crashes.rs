//! The power goes out, or a step of the disk fails, at every step of every kind of operation in turn, on both layouts. Afterwards what was
//! acknowledged is there with the right bytes, what was deleted stays deleted, and what was not answered is done or not done as a whole.
//!
//! One run of a scenario without a fault counts the steps; then each run has its fault at the next step. The simulated disk loses, tears (at
//! 512 bytes and in the middle of a sector) and reorders what was not synced, as the seed decides. Disks that skip syncs must be found out.

use crate::bed::{ADDRESS, SWIFT_CONF, prepare};
use crate::model::draw::Draw;
use crate::model::drive::{Shared, Writer, perform, verify, work};
use crate::model::upkeep;
use base::io;
use base::io::sim::{Defects, NodeId, Planned, Sim, SimHandle, SimOptions};
use objectd::config::Config;
use objectd::node::Node;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Wall time at the start of a simulation.
const EPOCH: u64 = 1_750_000_000;
const WRITERS: usize = 3;
/// The first objects of every writer, as `set_up` leaves them; one more is left alone.
const SMALL: usize = 0;
const LARGE: usize = 1;
const DELETED: usize = 2;
const POSTED: usize = 3;
const FRESH: usize = 4;
const OBJECTS: usize = 5;
/// Larger objects are files of their own.
const PACK_LIMIT: usize = 4096;
const LARGE_BYTES: usize = 70_000;
/// So small that a run comes to the end of one.
const VOLUME_BYTES: u64 = 160 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Stock,
    Packed,
}

/// What happens while the fault waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    PutSmall,
    PutLarge,
    /// Small over large and the other way round.
    Overwrite,
    Post,
    Delete,
    /// All at once, by several writers.
    Mixture,
    /// The memory table goes into the index; what it displaced is unlinked.
    Checkpoint,
    /// So much that a volume is full.
    RollOver,
    /// Volumes that are mostly garbage are compacted.
    Compact,
    /// The node starts again on what a power cut left.
    Restart,
}

const SCENARIOS: [Scenario; 10] = [
    Scenario::PutSmall,
    Scenario::PutLarge,
    Scenario::Overwrite,
    Scenario::Post,
    Scenario::Delete,
    Scenario::Mixture,
    Scenario::Checkpoint,
    Scenario::RollOver,
    Scenario::Compact,
    Scenario::Restart,
];

/// Runs per step: what is lost and torn differs from seed to seed.
const SEEDS: u64 = if cfg!(debug_assertions) { 1 } else { 6 };
const STRIDE: u64 = if cfg!(debug_assertions) { 3 } else { 1 };

#[test]
fn a_crash_at_any_step_loses_nothing_on_a_stock_device() {
    at_every_step(Layout::Stock, &[Planned::Crash]);
}

#[test]
fn a_crash_at_any_step_loses_nothing_on_a_packed_device() {
    at_every_step(Layout::Packed, &[Planned::Crash]);
}

#[test]
fn an_error_at_any_step_loses_nothing_on_a_stock_device() {
    at_every_step(Layout::Stock, &[Planned::InputOutputError, Planned::StorageFull]);
}

#[test]
fn an_error_at_any_step_loses_nothing_on_a_packed_device() {
    at_every_step(Layout::Packed, &[Planned::InputOutputError, Planned::StorageFull]);
}

fn at_every_step(layout: Layout, faults: &[Planned]) {
    let (mut runs, mut failures) = (0, Vec::new());
    for scenario in SCENARIOS {
        for seed in 0..SEEDS {
            let clean = attempt(layout, scenario, seed, None, Defects::default());
            assert_eq!(clean.violations, Vec::<String>::new(), "{layout:?} {scenario:?} seed {seed} without a fault");
            assert!(clean.steps > 0, "{layout:?} {scenario:?} takes no step");
            // What is not optimised tries every third step, starting elsewhere for every scenario.
            let first = 1 + (scenario as u64).checked_rem(STRIDE).unwrap_or_default();
            for step in (first..=clean.steps).step_by(usize::try_from(STRIDE).unwrap()) {
                for fault in faults {
                    let run = attempt(layout, scenario, seed, Some((step, *fault)), Defects::default());
                    runs += 1;
                    let context =
                        format!("{layout:?} {scenario:?} seed {seed} {fault:?} at step {step} of {}", clean.steps);
                    failures.extend(run.violations.first().map(|first| format!("{context}: {first}")));
                }
            }
        }
    }
    println!("{runs} runs");
    let shown = failures.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{} of {runs} runs went wrong:\n{shown}", failures.len());
}

#[test]
fn a_disk_that_skips_the_syncs_of_files_is_found_out() {
    let defects = Defects { skip_file_syncs: true, ..Defects::default() };
    for layout in [Layout::Stock, Layout::Packed] {
        assert!(found_out(layout, defects, Scenario::PutSmall), "{layout:?}");
        assert!(found_out(layout, defects, Scenario::PutLarge), "{layout:?}");
    }
}

#[test]
fn a_disk_that_skips_the_syncs_of_directories_is_found_out() {
    let defects = Defects { skip_dir_syncs: true, ..Defects::default() };
    assert!(found_out(Layout::Stock, defects, Scenario::PutSmall));
    assert!(found_out(Layout::Packed, defects, Scenario::PutLarge));
    assert!(found_out(Layout::Packed, defects, Scenario::RollOver));
}

/// Whether some crash shows the defect.
fn found_out(layout: Layout, defects: Defects, scenario: Scenario) -> bool {
    (0..5).any(|seed| {
        let steps = attempt(layout, scenario, seed, None, Defects::default()).steps;
        let is_found =
            |step| !attempt(layout, scenario, seed, Some((step, Planned::Crash)), defects).violations.is_empty();
        (1..=steps).any(is_found)
    })
}

struct Run {
    /// Of the disk, while the scenario ran.
    steps: u64,
    violations: Vec<String>,
}

/// One run: the objects are made, the scenario runs into the fault, the power goes out, all is looked at, changed and looked at again.
fn attempt(layout: Layout, scenario: Scenario, seed: u64, fault: Option<(u64, Planned)>, defects: Defects) -> Run {
    let sim = Sim::new(seed, SimOptions { silent_crash_chance: 0.0, ..SimOptions::default() });
    let device = sim.node("storage", ADDRESS.parse().unwrap());
    sim.start(device, std::future::pending);
    let handle = sim.handle();
    let config = config(layout);
    sim.run(async move {
        let draw = |number| Draw::new(seed * 100 + number, EPOCH, PACK_LIMIT);
        let writers: Vec<Shared> =
            (0..WRITERS as u64).map(|number| Writer::new(number, draw(number), OBJECTS)).collect();
        let place = prepare(Path::new("/etc/swift"), Path::new("/srv/node"), ADDRESS, [6200, 6201, 6202]);
        handle.run_on(device, place).await.unwrap();
        handle.run_on(device, life(config.clone(), writers.clone(), set_up)).await.unwrap();
        if scenario == Scenario::Restart {
            let mixture = life(config.clone(), writers.clone(), async |node, writers| work(node, writers, 1000).await);
            let span = Duration::from_millis(handle.random(|random| random.between(10, 40)));
            io::timeout(span, handle.run_on(device, mixture)).await.expect_err("it works on until the power goes out");
            restart(&handle, device);
        }
        let before = handle.disk_steps(device);
        if let Some((step, fault)) = fault {
            handle.plan_step(device, before + step, fault);
        }
        handle.set_defects(device, defects);
        let own = config.clone();
        let played = life(config.clone(), writers.clone(), async move |node, writers| {
            play(scenario, &own, node, writers).await;
        });
        let ended = io::timeout(Duration::from_secs(3600), handle.run_on(device, played)).await;
        let steps = handle.disk_steps(device) - before;
        handle.forget_plans(device);
        let mut violations = Vec::new();
        if ended.is_err() {
            violations.push("the scenario hangs".to_owned());
        }
        // A name whose directory could not be synced for want of space was refused, and is shown until the power goes out. On a packed device
        // only large objects have names.
        if matches!(fault, Some((_, Planned::StorageFull))) {
            for writer in &writers {
                for (_, known) in &mut writer.borrow_mut().objects {
                    if layout == Layout::Stock || known.failed_bytes() > PACK_LIMIT {
                        known.forget_what_was_seen();
                    }
                }
            }
        }
        // A batch that failed or was cut off may have left parts of its records; nobody was told of them.
        let is_garbage_fine = fault.is_some();
        aftermath(&handle, device, &config, &writers, is_garbage_fine).await;
        violations.extend(writers.iter().flat_map(|writer| writer.borrow().violations.clone()));
        violations.extend(handle.panics());
        Run { steps, violations }
    })
}

fn config(layout: Layout) -> Rc<Config> {
    let text = format!(
        "[DEFAULT]\nswift_dir = /etc/swift\ndevices = /srv/node\nbind_ip = {ADDRESS}\nmount_check = false\nfallocate_reserve = 0\n\
         layout = {}\npack_limit = {PACK_LIMIT}\n",
        if layout == Layout::Stock { "stock" } else { "packed" }
    );
    let mut config = Config::parse("objectd.conf", &text, SWIFT_CONF).unwrap();
    config.volume_bytes = VOLUME_BYTES;
    Rc::new(config)
}

/// From opening the node to the end of `work`. A node that cannot be opened works not.
async fn life(config: Rc<Config>, writers: Vec<Shared>, work: impl AsyncFnOnce(Rc<Node>, &[Shared])) {
    if let Ok(node) = Node::open(config, 0).await {
        work(node, &writers).await;
    }
}

fn restart(handle: &SimHandle, device: NodeId) {
    handle.crash(device);
    handle.start(device, std::future::pending);
}

/// A small object, a large one, a deleted one and one with a POST for each writer.
async fn set_up(node: Rc<Node>, writers: &[Shared]) {
    for writer in writers {
        let operations = {
            let draw = &mut writer.borrow_mut().draw;
            [
                (SMALL, draw.put_of(700)),
                (LARGE, draw.put_of(LARGE_BYTES)),
                (DELETED, draw.put_of(100)),
                (DELETED, draw.delete_now()),
                (POSTED, draw.put_of(50)),
                (POSTED, draw.post_now()),
            ]
        };
        for (object, operation) in operations {
            assert!(perform(&node, writer, object, &operation).await, "setting up fails");
        }
    }
}

async fn play(scenario: Scenario, config: &Rc<Config>, node: Rc<Node>, writers: &[Shared]) {
    let writer = &writers[0];
    let put = |object, bytes| (object, writer.borrow_mut().draw.put_of(bytes));
    let post = |object| (object, writer.borrow_mut().draw.post_now());
    let delete = |object| (object, writer.borrow_mut().draw.delete_now());
    let operations = match scenario {
        Scenario::PutSmall => vec![put(FRESH, 900), put(FRESH, 0)],
        Scenario::PutLarge => vec![put(FRESH, LARGE_BYTES), put(DELETED, 5000)],
        Scenario::Overwrite => vec![put(SMALL, LARGE_BYTES), put(LARGE, 300), put(LARGE, LARGE_BYTES)],
        Scenario::Post => vec![post(SMALL), post(LARGE), post(POSTED)],
        Scenario::Delete => vec![delete(SMALL), delete(LARGE), delete(POSTED), delete(FRESH)],
        Scenario::RollOver | Scenario::Compact => (0..30).map(|_| put(SMALL, 4000)).collect(),
        Scenario::Checkpoint => vec![put(LARGE, 200), put(POSTED, LARGE_BYTES)],
        Scenario::Mixture | Scenario::Restart => Vec::new(),
    };
    for (object, operation) in operations {
        perform(&node, writer, object, &operation).await;
    }
    match scenario {
        Scenario::Mixture => work(node, writers, 8).await,
        Scenario::Compact => {
            upkeep::compact(&node, config).await;
        }
        Scenario::Checkpoint => {
            upkeep::checkpoint(&node).await;
            let (object, late) = put(FRESH, 100);
            perform(&node, writer, object, &late).await;
        }
        _ => {}
    }
}

/// What must hold after any fault and a power cut, whatever was going on; and that the device is as good as before.
async fn aftermath(handle: &SimHandle, device: NodeId, config: &Rc<Config>, writers: &[Shared], is_garbage_fine: bool) {
    for round in 0..3 {
        restart(handle, device);
        handle.set_defects(device, Defects::default());
        let (config, own, sharers) = (config.clone(), config.clone(), writers.to_vec());
        let look = async move {
            let node = match Node::open(config, 0).await {
                Ok(node) => node,
                Err(error) => {
                    return sharers[0].borrow_mut().violations.push(format!("round {round}: not opened: {error}"));
                }
            };
            verify(node.clone(), &sharers).await;
            for writer in &sharers {
                let object = (round + 1) % OBJECTS;
                let operation = writer.borrow_mut().draw.put_of(if round == 0 { 500 } else { 6000 });
                if !perform(&node, writer, object, &operation).await {
                    writer.borrow_mut().violations.push(format!("round {round}: a PUT fails"));
                }
            }
            // First what the daemon does first: a volume that was half dropped is still counted.
            upkeep::compact(&node, &own).await;
            let complaints = upkeep::complaints(&node, &own, is_garbage_fine).await;
            sharers[0].borrow_mut().violations.extend(complaints);
        };
        if io::timeout(Duration::from_secs(3600), handle.run_on(device, look)).await.is_err() {
            writers[0].borrow_mut().violations.push(format!("round {round}: hangs"));
        }
    }
}
