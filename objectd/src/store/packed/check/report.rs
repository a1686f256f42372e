//! Core: what a check found. No I/O, no clock, no async.

use super::super::entry::Key;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Findings that are kept; all are counted.
const FINDINGS_MAX: usize = 1000;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The header of a volume.
    Header,
    /// A record that counts.
    Record,
    /// Bytes of a volume that are no record, or a record that counts no more: nothing is lost.
    Garbage,
    /// Bytes behind the end of the log, as a write that was cut off leaves them: nothing is lost.
    Tail,
    /// The index names a record that is not there.
    Missing,
    /// A stock file is gone or is not what was written.
    File,
    /// A stock file that no entry names.
    Orphan,
    /// The index has a value that was not written.
    Entry,
    /// What is alive in a volume is not what the index says.
    Usage,
    /// What counts no more is not what the index says.
    Dead,
}

impl What {
    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            What::Header => "header",
            What::Record => "record",
            What::Garbage => "garbage",
            What::Tail => "tail",
            What::Missing => "missing",
            What::File => "file",
            What::Orphan => "orphan",
            What::Entry => "entry",
            What::Usage => "usage",
            What::Dead => "dead",
        }
    }

    /// A crash leaves it; the device is well all the same.
    pub fn is_harmless(self) -> bool {
        self == What::Tail
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub what: What,
    /// Policy and hash of the object, if it is one's.
    pub object: Option<(u32, String)>,
    /// Where.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

/// What a check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Volumes.
    pub volumes: u64,
    /// Good records in them.
    pub records: u64,
    /// Of these, those that count.
    pub living: u64,
    /// Their bytes.
    pub living_bytes: u64,
    /// Objects in stock files with block checksums.
    pub large: u64,
    /// Adopted files.
    pub stock_versions: u64,
    /// Entries of the index.
    pub entries: u64,
    /// Versions that count and cannot be served.
    pub lost: u64,
    /// Things that were repaired.
    pub repaired: u64,
    /// Nothing was written meanwhile, so that sums could be compared.
    pub sums_compared: bool,
    /// How many of each kind.
    pub found: BTreeMap<What, u64>,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing is wrong but what crashes leave.
    pub fn is_clean(&self) -> bool {
        self.found.keys().all(|what| what.is_harmless())
    }

    pub(super) fn tell(&mut self, what: What, key: Option<Key>, place: String, why: String) {
        *self.found.entry(what).or_default() += 1;
        if self.findings.len() < FINDINGS_MAX {
            let object = key.map(|key| (key.policy(), key.hash().hex()));
            self.findings.push(Finding { what, object, place, why });
        }
    }

    /// For programs that read it.
    pub fn json(&self) -> Value {
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let (policy, hash) = finding.object.clone().unzip();
                json!({ "what": finding.what.name(), "policy": policy, "hash": hash, "place": finding.place, "why": finding.why })
            })
            .collect();
        let found: BTreeMap<&str, u64> = self.found.iter().map(|(what, many)| (what.name(), *many)).collect();
        json!({
            "clean": self.is_clean(),
            "volumes": self.volumes,
            "records": self.records,
            "living": self.living,
            "living_bytes": self.living_bytes,
            "large": self.large,
            "stock_versions": self.stock_versions,
            "entries": self.entries,
            "lost": self.lost,
            "repaired": self.repaired,
            "sums_compared": self.sums_compared,
            "found": found,
            "findings": findings,
        })
    }
}
