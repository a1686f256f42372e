//! The kept corpus of the fuzz targets runs through the same checks in every test run, so that neither can rot without cargo-fuzz.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that reads files; the checks are public to the fuzz targets"
)]

#[path = "../../fuzz/src/lib.rs"]
mod checks;

use std::path::Path;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| {
            let path = entry.expect("a file of the corpus").path();
            (path.display().to_string(), std::fs::read(&path).expect("a file of the corpus"))
        })
        .collect()
}

#[test]
fn the_kept_corpus_passes_and_reaches_behind_the_checksums() {
    for (target, check) in checks::TARGETS {
        let mut accepted = 0;
        let corpus = corpus(target);
        for (path, bytes) in &corpus {
            match std::panic::catch_unwind(|| check(bytes)) {
                Ok(is_accepted) => accepted += usize::from(is_accepted),
                Err(failure) => panic!("{path}: {failure:?}"),
            }
        }
        assert!(accepted >= 2 && accepted < corpus.len(), "{target}: {accepted} of {} are accepted", corpus.len());
    }
}

#[test]
fn every_target_has_its_file_and_its_entry() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let names = checks::TARGETS.iter().map(|(name, _)| *name).chain(["must_fail"]);
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let text = std::fs::read_to_string(root.join("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(text.contains(&format!("checks::{name}(bytes)")), "{name}");
    }
}

#[test]
fn the_target_that_must_fail_fails() {
    checks::must_fail(b"MLR0");
    assert!(std::panic::catch_unwind(|| checks::must_fail(b"MLR1")).is_err());
}
