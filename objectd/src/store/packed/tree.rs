//! Walks the stock files of a device: objects[-N]/<partition>/<suffix>/<hash>, directory by directory, in the order of their numbers.
//!
//! Only what a server of Swift's layout would look at is handed out. A directory whose name is no partition, suffix or hash, or that
//! stands where its hash does not belong, is passed over: it is none of ours. Memory holds the names of one directory per level. The
//! directories are listed by the core's executor for background scans.

use super::store::is_partition_of;
use crate::config::Config;
use crate::store::diskfile::Version;
use base::digits::are_lower_hex;
use base::hash_path::NameHash;
use base::io::fs;
use base::io::maintenance::Reader;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// The directory of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectDirectory {
    /// Index of the policy.
    pub policy: u32,
    /// Number of the partition.
    pub partition: u32,
    /// Of the object's name.
    pub hash: NameHash,
    /// Where it is.
    pub path: PathBuf,
    /// What is in it, sorted.
    pub names: Vec<String>,
}

/// A place of the walk: all before it was handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index of the policy.
    pub policy: u32,
    /// Number of the partition.
    pub partition: u32,
}

/// A walk under way.
pub(super) struct Tree {
    root: PathBuf,
    reader: Reader,
    from: Place,
    /// What is still to be visited of each level, the next one last.
    policies: Vec<u32>,
    partitions: Vec<u32>,
    suffixes: Vec<String>,
    hashes: Vec<(NameHash, String)>,
    at: Place,
    suffix: String,
    unreadable: u64,
}

impl Tree {
    /// A walk over the device from a place on.
    pub(super) async fn new(root: &Path, reader: &Reader, from: Place) -> Tree {
        let mut tree = Tree {
            root: root.to_owned(),
            reader: reader.clone(),
            from,
            policies: Vec::new(),
            partitions: Vec::new(),
            suffixes: Vec::new(),
            hashes: Vec::new(),
            at: Place::default(),
            suffix: String::new(),
            unreadable: 0,
        };
        let mut policies: Vec<u32> = tree.directories(root).await.iter().filter_map(|name| policy(name)).collect();
        policies.retain(|policy| *policy >= from.policy);
        policies.sort_unstable_by(|a, b| b.cmp(a));
        tree.policies = policies;
        tree
    }

    /// The next object's directory; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<ObjectDirectory> {
        // Ends: every turn takes a name from a list; lists are only filled from the level above.
        loop {
            while let Some((hash, name)) = self.hashes.pop() {
                let path = self.partition_path(self.at).join(&self.suffix).join(&name);
                if let Some(entries) = self.list(&path).await {
                    let names = entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect();
                    return Some(ObjectDirectory {
                        policy: self.at.policy,
                        partition: self.at.partition,
                        hash,
                        path,
                        names,
                    });
                }
            }
            if let Some(suffix) = self.suffixes.pop() {
                let path = self.partition_path(self.at).join(&suffix);
                let names = self.directories(&path).await;
                let hashes = names.into_iter().rev().filter_map(|name| Some((parse_hash(&name)?, name)));
                let partition = self.at.partition;
                self.hashes =
                    hashes.filter(|(hash, _)| hash.suffix() == suffix && is_partition_of(partition, *hash)).collect();
                self.suffix = suffix;
            } else if let Some(partition) = self.partitions.pop() {
                self.at.partition = partition;
                let names = self.directories(&self.partition_path(self.at)).await;
                self.suffixes = names.into_iter().rev().filter(|name| is_hexadecimal(name, 3)).collect();
            } else if let Some(policy) = self.policies.pop() {
                self.at = Place { policy, partition: 0 };
                let directory = self.root.join(Config::policy_directory("objects", policy));
                self.partitions = self.directories(&directory).await.iter().filter_map(|name| number(name)).collect();
                let from = self.from;
                self.partitions.retain(|partition| Place { policy, partition: *partition } >= from);
                self.partitions.sort_unstable_by(|a, b| b.cmp(a));
            } else {
                return None;
            }
        }
    }

    /// Where it is: every partition before this one was handed out.
    pub(super) fn place(&self) -> Place {
        self.at
    }

    /// Directories that could not be read, so that nothing is known of what they hold.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn partition_path(&self, place: Place) -> PathBuf {
        self.root.join(Config::policy_directory("objects", place.policy)).join(place.partition.to_string())
    }

    async fn directories(&mut self, path: &Path) -> Vec<String> {
        let entries = self.list(path).await.unwrap_or_default();
        entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect()
    }

    async fn list(&mut self, path: &Path) -> Option<Vec<fs::Entry>> {
        match self.reader.list(path).await {
            Ok(entries) => Some(entries),
            // It was emptied and removed meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            Err(error) => {
                self.pass_over(path, &error);
                None
            }
        }
    }

    fn pass_over(&mut self, path: &Path, error: &Error) {
        tracing::error!(path = %path.display(), %error, "a directory cannot be read; what it holds is not known");
        self.unreadable += 1;
    }
}

/// Directories of all partitions of the device.
pub(super) async fn partitions(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).await?.into_iter().filter(|entry| entry.is_dir && policy(&entry.name).is_some()) {
        let directory = root.join(entry.name);
        let partitions = fs::read_dir(&directory).await?;
        let names = partitions.into_iter().filter(|entry| entry.is_dir && number(&entry.name).is_some());
        found.extend(names.map(|entry| directory.join(entry.name)));
    }
    Ok(found)
}

/// The version that a stock file is, if the packed layout can serve it: its name must be the one that is made of the version.
pub(super) fn version(name: &str) -> Option<Version> {
    Version::from_file_name(name).filter(|version| version.file_name() == name)
}

fn policy(name: &str) -> Option<u32> {
    let policy = match name.strip_prefix("objects")? {
        "" => 0,
        rest => number(rest.strip_prefix('-')?).filter(|policy| *policy > 0)?,
    };
    u16::try_from(policy).ok().map(u32::from)
}

/// A number as it is written without need of leading zeros or signs.
fn number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number: &u32| number.to_string() == name)
}

fn is_hexadecimal(name: &str, digits: usize) -> bool {
    name.len() == digits && are_lower_hex(name.as_bytes())
}

fn parse_hash(name: &str) -> Option<NameHash> {
    if !is_hexadecimal(name, 32) {
        return None;
    }
    u128::from_str_radix(name, 16).ok().map(|hash| NameHash(hash.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_written_so_are_none_of_ours() {
        assert_eq!(
            ["objects", "objects-1", "objects-01", "objects-0", "objects-x", "objectsx", "objects-65536"].map(policy),
            [Some(0), Some(1), None, None, None, None, None]
        );
        assert_eq!(["7", "07", "+7", "", "4294967296"].map(number), [Some(7), None, None, None, None]);
        assert_eq!(parse_hash(&"F".repeat(32)), None);
        assert_eq!(parse_hash(&"0f".repeat(16)), Some(NameHash([15; 16])));
        assert!(version("1402444821.72589.data").is_some());
        assert!(version("1402444821.72589.durable").is_none());
        assert!(version("1402444821.data").is_none(), "no file would be found under the name of its time");
        assert!(version("1402444821.72589#1#d.data").is_none());
    }
}
