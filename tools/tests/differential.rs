//! The same random requests sent to OpenStack Swift and to Martlet: what differs is named, unless `explained` says why it may.
//!
//! Needs both ends: `MARTLET_DIFFERENTIAL=<swift host:port>,<martlet host:port>`, with the users of `up --profile conformance` on
//! either (see `.ci/differential`). `MARTLET_DIFFERENTIAL_EPOCH` shows one epoch of a seed, request by request, under fresh names.
//! `MARTLET_DIFFERENTIAL_REQUESTS` (20,000) and `MARTLET_DIFFERENTIAL_SEED` choose the run.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test"
)]

#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/wire.rs"]
mod wire;

use generate::Generator;
use std::collections::BTreeMap;
use wire::Endpoint;

/// Requests that share names; then fresh ones, so that one difference in state does not follow all the rest.
const EPOCH: u64 = 150;
/// Examples shown of each kind of difference.
const EXAMPLES: usize = 2;

#[test]
fn swift_and_martlet_answer_alike() {
    let Ok(ends) = std::env::var("MARTLET_DIFFERENTIAL") else {
        println!("skipped: MARTLET_DIFFERENTIAL does not name two endpoints");
        return;
    };
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (requests, seed) = (number("MARTLET_DIFFERENTIAL_REQUESTS", 20_000), number("MARTLET_DIFFERENTIAL_SEED", 1));
    let (swift, martlet) = ends.split_once(',').expect("two endpoints with a comma between");
    let (mut swift, mut martlet) = (Endpoint::new(swift), Endpoint::new(martlet));
    let mut differences: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut explained: BTreeMap<&'static str, u64> = BTreeMap::new();
    if let Some(epoch) = std::env::var("MARTLET_DIFFERENTIAL_EPOCH").ok().and_then(|text| text.parse().ok()) {
        return replay(&mut swift, &mut martlet, seed, epoch);
    }
    let takes_forms = takes_forms(&mut swift);
    let (mut epoch, mut compared) = (0, 0);
    // Ends: every epoch compares at least one request.
    while compared < requests {
        let mut generator = Generator::new(seed, seed, epoch, takes_forms);
        swift.forget();
        martlet.forget();
        for _ in 0..EPOCH {
            let request = generator.next();
            let (theirs, ours) = (swift.send(&request), martlet.send(&request));
            compared += 1;
            let Some((kind, text)) = compare::difference(&request, &theirs, &ours) else { continue };
            match compare::explained(&request, &theirs, &ours) {
                Some(reason) => {
                    *explained.entry(reason.text).or_default() += 1;
                    if reason.parts {
                        break;
                    }
                }
                None => {
                    println!("epoch {epoch}, request {compared}: {kind}");
                    differences.entry(kind).or_default().push(format!("epoch {epoch}: {text}"));
                }
            }
        }
        epoch += 1;
    }
    for (reason, count) in &explained {
        println!("explained {count} times: {reason}");
    }
    let count: usize = differences.values().map(Vec::len).sum();
    let mut kinds: Vec<_> = differences.iter().collect();
    kinds.sort_by_key(|(_, all)| std::cmp::Reverse(all.len()));
    for (kind, all) in kinds {
        println!("== {} times: {kind}", all.len());
        for text in all.iter().take(EXAMPLES) {
            println!("{text}\n");
        }
    }
    assert_eq!(count, 0, "of {compared} requests");
    println!("{compared} requests, seed {seed}: no unexplained difference");
}

/// Whether the Swift at the other end has formpost in its pipeline.
fn takes_forms(swift: &mut Endpoint) -> bool {
    String::from_utf8_lossy(&swift.send(&wire::Request::anonymous("GET", "/info")).body).contains("\"formpost\"")
}

/// Shows every request of one epoch and both answers, up to the first difference that has no reason.
fn replay(swift: &mut Endpoint, martlet: &mut Endpoint, seed: u64, epoch: u64) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut generator = Generator::new(seed, now, epoch, takes_forms(swift));
    for _ in 0..EPOCH {
        let request = generator.next();
        let (theirs, ours) = (swift.send(&request), martlet.send(&request));
        let fields: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}: {value:.60}")).take(3).collect();
        println!("{} {} {} {} {fields:?}", theirs.status, ours.status, request.method, request.target);
        if request.target.contains("bulk-delete") {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            println!("   {:?} -> {:?}", text(&request.body), text(&theirs.body));
        }
        if let Some((_, text)) = compare::difference(&request, &theirs, &ours) {
            match compare::explained(&request, &theirs, &ours) {
                Some(reason) => println!("   explained: {}", reason.text),
                None => println!("   DIFFERENCE {text}"),
            }
        }
    }
}
