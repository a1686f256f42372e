//! The background of packed devices, run when a test wants it: checkpoint, compaction, check. Stock devices have none.

use base::http::server::Drain;
use base::io::maintenance::Reader;
use objectd::config::Config;
use objectd::node::Node;
use objectd::store::packed::check::{Report, What, check};
use objectd::store::packed::{Store, maintain::Work};
use std::rc::Rc;

fn stores(node: &Node) -> Vec<Rc<Store>> {
    node.devices().iter().filter_map(|device| device.packed.clone()).collect()
}

/// Brings the index up to date. Failing is part of the tests.
pub async fn checkpoint(node: &Node) {
    for store in stores(node) {
        let _ = store.checkpoint().await;
    }
}

/// Compacts what is worth it; answers how many volumes went.
pub async fn compact(node: &Node, config: &Rc<Config>) -> u64 {
    let mut gone = 0;
    for store in stores(node) {
        let _ = store.checkpoint().await;
        let work = Work::new(store, Reader::new("test"), config.clone(), Drain::new());
        gone += work.make_room().await.unwrap_or_default();
    }
    gone
}

/// What `check` reports of each packed device.
pub async fn reports(node: &Node, config: &Config) -> Vec<Report> {
    let mut reports = Vec::new();
    for store in stores(node) {
        let reader = Reader::new("test");
        reports.push(check(&store, &config.hash_path, &reader, false, &mut |_, _| {}).await.expect("a check"));
    }
    reports
}

/// What is wrong by `check`. `is_garbage_fine`: damaged bytes that no object needs are not told of.
pub async fn complaints(node: &Node, config: &Config, is_garbage_fine: bool) -> Vec<String> {
    let reports = reports(node, config).await;
    let is_wrong = |report: &&Report| {
        report.found.keys().any(|what| !(what.is_harmless() || is_garbage_fine && *what == What::Garbage))
    };
    reports.iter().filter(is_wrong).map(|report| format!("check: {:?} {:?}", report.found, report.findings)).collect()
}
