//! A device for tests of whole stores: written, posted to, deleted from and read through the seam, with either layout.

use super::entry::{Entry, Key};
use super::index::Usage;
use crate::config::Config;
use crate::node::Device;
use crate::store::diskfile::{DiskFile, Stored, Version, Want};
use crate::store::metadata::Metadata;
use crate::store::stock;
use base::checksum::md5_hex;
use base::hash_path::NameHash;
use base::io::fs;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// Of the ring that names the partitions.
pub(super) const PART_POWER: u32 = 8;
/// Larger ones are files of their own.
pub(super) const PACK_LIMIT: usize = 100_000;

const SWIFT_CONF: &str = "[swift-hash]\nswift_hash_path_prefix = specprefix\nswift_hash_path_suffix = specsuffix\n";

/// A device opened with one layout.
pub(super) struct Bed {
    pub(super) config: Rc<Config>,
    pub(super) device: Rc<Device>,
}

/// What a reader sees of an object: bytes, items, and its three times.
pub(super) type Seen = (Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>, [String; 3]);

pub(super) fn config(layout: &str) -> Rc<Config> {
    let conf = format!(
        "[DEFAULT]\nmount_check = false\nfallocate_reserve = 0\nlayout = {layout}\npack_limit = {PACK_LIMIT}\nvolume_size = 8388608\n"
    );
    Rc::new(Config::parse("objectd.conf", &conf, SWIFT_CONF).unwrap())
}

/// The same with volumes so small that a test fills many.
pub(super) fn small_volumes() -> Rc<Config> {
    let mut config = Rc::unwrap_or_clone(config("packed"));
    config.volume_bytes = 512 * 1024;
    Rc::new(config)
}

impl Bed {
    pub(super) async fn open(root: &Path, layout: &str) -> Bed {
        Bed::open_with(root, config(layout)).await
    }

    pub(super) async fn open_with(root: &Path, config: Rc<Config>) -> Bed {
        fs::create_dir_all(root).await.unwrap();
        let device = Rc::new(Device::open("d1", root.to_owned(), &config).await.unwrap());
        Bed { config, device }
    }

    pub(super) fn store(&self) -> &Rc<super::Store> {
        self.device.packed.as_ref().unwrap()
    }

    pub(super) fn hash(&self, name: &str) -> NameHash {
        let mut parts = name.splitn(4, '/').skip(1);
        self.config.hash_path.hash(parts.next().unwrap(), parts.next(), parts.next())
    }

    pub(super) fn file(&self, name: &str) -> DiskFile {
        let hash = self.hash(name);
        DiskFile::new(self.device.clone(), 0, super::store::partition(hash, PART_POWER), &hash, name.to_owned().into())
    }

    pub(super) async fn put(&self, name: &str, time: u64, body: &[u8]) {
        let timestamp = at(time);
        let mut metadata = Metadata::new();
        metadata.set("X-Timestamp", timestamp.internal());
        metadata.set("Content-Type", "text/plain");
        metadata.set("Content-Length", body.len().to_string());
        metadata.set("ETag", md5_hex(body));
        metadata.set("X-Object-Meta-Time", time.to_string());
        self.write(name, Version::Data(timestamp), metadata, body).await;
    }

    pub(super) async fn post(&self, name: &str, time: u64, content_type: Option<u64>) {
        let timestamp = at(time);
        let mut metadata = Metadata::new();
        metadata.set("X-Timestamp", timestamp.internal());
        metadata.set("X-Object-Meta-Post", time.to_string());
        let content_type = content_type.map(at);
        if let Some(content_type) = content_type {
            metadata.set("Content-Type", format!("image/{}", content_type.raw()));
            metadata.set("Content-Type-Timestamp", content_type.internal());
        }
        self.write(name, Version::Meta { timestamp, content_type }, metadata, b"").await;
    }

    pub(super) async fn delete(&self, name: &str, time: u64) {
        let timestamp = at(time);
        let mut metadata = Metadata::new();
        metadata.set("X-Timestamp", timestamp.internal());
        self.write(name, Version::Tombstone(timestamp), metadata, b"").await;
    }

    async fn write(&self, name: &str, version: Version, mut metadata: Metadata, body: &[u8]) {
        metadata.set("name", name.as_bytes().to_vec());
        let mut writer = self.file(name).create(Some(body.len() as u64)).await.unwrap();
        if !body.is_empty() {
            writer.append(Bytes::copy_from_slice(body)).await.unwrap();
        }
        writer.publish(&self.config, version, metadata).await.unwrap();
    }

    pub(super) fn files(&self, name: &str) -> super::Files {
        let hash = self.hash(name);
        let partition = super::store::partition(hash, PART_POWER);
        let stock = stock::Files::new(self.device.clone(), 0, partition, &hash, name.to_owned().into());
        super::Files::new(self.store().clone(), stock, 0, hash)
    }

    /// Takes the first version of an object out of use, as a reader does that finds it damaged.
    pub(super) async fn quarantine(&self, name: &str) {
        let files = self.files(name);
        if let Some(held) = files.entry().await.unwrap().held.first() {
            files.quarantine_held(*held, "on purpose").await;
        }
    }

    /// All that the index says, with the versions of each object in the order of their names; and what lives in each volume.
    pub(super) async fn index(&self) -> (BTreeMap<Key, Entry>, BTreeMap<u32, Usage>) {
        self.store().checkpoint().await.unwrap();
        let (entries, more) = self.store().index.entries(None, usize::MAX).await.unwrap();
        assert_eq!(more, None);
        let mut entries: BTreeMap<Key, Entry> = entries.into_iter().collect();
        entries.values_mut().for_each(|entry| entry.held.sort_by_key(|held| held.version.file_name()));
        let usages = self.store().usages().await.unwrap();
        (entries, usages.into_iter().filter(|(_, usage)| *usage != Usage::default()).collect())
    }

    /// `Err` says when it was deleted.
    pub(super) async fn see(&self, name: &str) -> Option<Result<Seen, String>> {
        match self.file(name).open(Want::Bytes).await.unwrap() {
            Stored::Nothing | Stored::Lost(_) => None,
            Stored::Object(object) if object.lost_post.is_some() => None,
            Stored::Deleted(time) => Some(Err(time.internal())),
            Stored::Object(object) => {
                let length = usize::try_from(object.body.len()).unwrap();
                let body = object.body.read(0, length).await.unwrap().to_vec();
                let items = object.metadata.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
                let times = [object.data_timestamp, object.timestamp, object.content_type_timestamp];
                Some(Ok((body, items, times.map(Timestamp::internal))))
            }
        }
    }
}

/// Writes objects of every kind and gives their names.
pub(super) async fn fill(bed: &Bed) -> Vec<String> {
    let name = |kind: &str, number: u64| format!("/AUTH_a/c/{kind}{number}");
    let mut names = Vec::new();
    for number in 0..12 {
        bed.put(&name("plain", number), 10, &body(number, number as usize * 1000)).await;
        bed.put(&name("large", number), 10, &body(number, PACK_LIMIT + 1 + number as usize)).await;
        bed.put(&name("gone", number), 10, b"gone").await;
        bed.delete(&name("gone", number), 12).await;
        bed.put(&name("posted", number), 10, b"posted").await;
        bed.post(&name("posted", number), 11, Some(11)).await;
        bed.post(&name("posted", number), 13, (number % 2 == 0).then_some(11)).await;
        names.extend(["plain", "large", "gone", "posted"].map(|kind| name(kind, number)));
    }
    names
}

/// What a reader sees of each.
pub(super) async fn see_all(bed: &Bed, names: &[String]) -> BTreeMap<String, Option<Result<Seen, String>>> {
    let mut seen = BTreeMap::new();
    for name in names {
        seen.insert(name.clone(), bed.see(name).await);
    }
    seen
}

/// A time too late to be reclaimed.
pub(super) fn at(time: u64) -> Timestamp {
    Timestamp::from_raw(1_900_000_000 * 100_000 + time, 0)
}

/// Bytes that differ from block to block.
pub(super) fn body(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| ((at ^ at >> 8 ^ seed).wrapping_mul(0x9e37_79b9) >> 7) as u8).collect()
}
