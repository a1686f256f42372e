//! Writes of packed objects: small ones gather in memory and go to the log, large ones to a stock file.
//!
//! An object of unknown length starts in memory and moves over to a file when it passes the limit.

use super::Files;
use super::log::{Append, Effect};
use super::record::{self, Blocks, Head, Identity, Kind};
use super::store::judge;
use crate::store::diskfile::Version;
use crate::store::metadata::Metadata;
use crate::store::stock;
use bytes::Bytes;

/// A write under way. Dropped, nothing of it is left.
pub struct Writer {
    files: Files,
    target: Target,
    length: u64,
}

enum Target {
    /// At most `pack_limit` bytes.
    Memory(Vec<Bytes>),
    /// A file without a name, and the checksums of what went there.
    File(Box<(stock::Writer, Blocks)>),
}

impl Files {
    /// Starts a write; `size` decides where it goes when it is known.
    pub async fn create(&self, size: Option<u64>) -> std::io::Result<Writer> {
        let target = match size {
            Some(size) if size > self.store.pack_limit => {
                Target::File(Box::new((self.stock.create(Some(size)).await?, Blocks::default())))
            }
            _ => Target::Memory(Vec::new()),
        };
        Ok(Writer { files: self.clone(), target, length: 0 })
    }
}

impl Writer {
    /// Appends.
    pub async fn append(&mut self, bytes: Bytes) -> std::io::Result<()> {
        self.length += bytes.len() as u64;
        if let Target::Memory(parts) = &mut self.target {
            if self.length <= self.files.store.pack_limit {
                parts.push(bytes);
                return Ok(());
            }
            let gathered = std::mem::take(parts);
            let file = self.files.stock.create(None).await?;
            self.target = Target::File(Box::new((file, Blocks::default())));
            for part in gathered {
                self.append_to_file(part).await?;
            }
        }
        self.append_to_file(bytes).await
    }

    async fn append_to_file(&mut self, bytes: Bytes) -> std::io::Result<()> {
        let Target::File(target) = &mut self.target else { unreachable!("called behind the switch to a file") };
        target.1.update(&bytes);
        target.0.append(bytes).await
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes it this version; durable when it answers `Ok`. A device that fails to write is poisoned.
    pub async fn publish(self, version: Version, metadata: Metadata) -> std::io::Result<()> {
        let Writer { files, target, length } = self;
        let store = files.store.clone();
        let result = match target {
            Target::Memory(body) => {
                let checksums = record::checksums(&body);
                let head = files.head(Kind::Packed, version, metadata, length, checksums);
                let may_use_reserve = !matches!(version, Version::Data(_));
                // All that is asked of a tombstone is in the index.
                let is_cold = matches!(version, Version::Tombstone(_));
                let append = Append { head, body, effect: Effect::Insert, may_use_reserve, is_cold };
                store.append(append).await.map(drop)
            }
            Target::File(target) => {
                let (mut file, blocks) = *target;
                file.prepare(metadata.clone()).await?;
                let head = files.head(Kind::Large, version, metadata, length, blocks.finish());
                let (body, effect) = (Vec::new(), Effect::Later);
                let append = Append { head, body, effect, may_use_reserve: false, is_cold: false };
                let name = version.file_name();
                store.append_large(append, async move { file.name(&name).await }).await
            }
        };
        result.map_err(|error| judge(files.device(), &store, error))
    }

    /// Gives up: nothing remains.
    pub async fn abandon(self) {
        if let Target::File(target) = self.target {
            target.0.abandon().await;
        }
    }
}

impl Files {
    fn head(&self, kind: Kind, version: Version, metadata: Metadata, body_bytes: u64, checksums: Vec<u32>) -> Head {
        Head { kind, identity: self.identity(), version, metadata, body_bytes, checksums }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { policy: self.policy, hash: self.hash, name: self.stock.name.to_string() }
    }
}
