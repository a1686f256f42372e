//! Writes of packed objects: small ones gather in memory and go to the log, large ones to a stock file.

use crate::config::Config;
use crate::store::diskfile::Version;
use crate::store::metadata::Metadata;
use bytes::Bytes;

/// A write under way.
pub struct Writer {}

impl Writer {
    /// Appends.
    pub async fn append(&mut self, bytes: Bytes) -> std::io::Result<()> {
        todo!("{}", bytes.len())
    }
    /// Bytes so far.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Makes it this version; durable when it answers `Ok`.
    pub async fn publish(self, config: &Config, version: Version, metadata: Metadata) -> std::io::Result<()> {
        todo!("{version:?} {metadata:?} {config:?}")
    }
    /// Gives up.
    pub async fn abandon(self) {}
}
