//! A storage node under fifty clients is killed again and again at a random moment; what it acknowledged must be there each time.
//!
//! `MARTLET_KILLS=200` makes it a storm; the number of kills here is what every run of the tests can afford.

use crate::daemon::Daemon;
use base::io::real;
use base::io::sim::Random;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tools::proof::history::History;
use tools::proof::{load, node, verify};

const CLIENTS: u32 = 50;
/// Longest life of a node under load before it is killed; twice that after a long one in which it acknowledged nothing, as on a machine that
/// is busy with other things, up to the second.
const LIFE_MS_MAX: u64 = 200;
const LIFE_MS_MAX_BUSY: u64 = 12_800;

#[test]
fn a_packed_node_that_is_killed_keeps_what_it_acknowledged() {
    storm(&["layout = packed", "volume_size = 33554432"]);
}

#[test]
fn a_stock_node_that_is_killed_keeps_what_it_acknowledged() {
    storm(&["layout = stock"]);
}

fn storm(options: &[&str]) {
    let kills = std::env::var("MARTLET_KILLS").map_or(10, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let address = node::free_address().unwrap();
    let options: Vec<String> = options.iter().map(|line| (*line).to_owned()).collect();
    node::make(folder.path(), address, &options).unwrap();
    let history = Rc::new(RefCell::new(History::default()));
    let mut random = Random::new(1);
    let mut life_ms_max = LIFE_MS_MAX;
    let mut restarts = Vec::new();
    for kill in 0..=kills {
        let mut daemon = Daemon::start(folder.path());
        restarts.push(daemon.ready(address));
        let complaints = real::run(real::CoreOptions::default(), || {
            let so_far = history.borrow().clone();
            async move { verify::all(address, &so_far, u64::MAX).await }
        });
        let complaints = complaints.unwrap();
        assert!(complaints.is_empty(), "after {kill} kills {} objects are wrong: {}", complaints.len(), complaints[0]);
        if kill == kills {
            break;
        }
        // A thread of its own: the clients notice that the node is gone by themselves.
        let life = Duration::from_millis(random.between(0, life_ms_max));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(life);
            drop(daemon);
        });
        let (shared, before) = (history.clone(), history.borrow().acknowledged());
        real::run(real::CoreOptions::default(), || async move {
            load::work(address, shared, Rc::new(None), CLIENTS, 4 * Duration::from_millis(life_ms_max)).await;
        })
        .unwrap();
        killer.join().unwrap();
        let was_idle = history.borrow().acknowledged() == before && 2 * life.as_millis() > u128::from(life_ms_max);
        life_ms_max = if was_idle { 2 * life_ms_max } else { life_ms_max / 2 }.clamp(LIFE_MS_MAX, LIFE_MS_MAX_BUSY);
    }
    restarts.sort();
    let acknowledged = history.borrow().acknowledged();
    println!(
        "{kills} kills, {acknowledged} operations acknowledged, restart to first answer: median {:?}, longest {:?}",
        restarts[restarts.len() / 2],
        restarts[restarts.len() - 1]
    );
    assert!(acknowledged > kills, "hardly any load: {acknowledged}");
}
