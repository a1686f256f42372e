//! The stock files of a check: large objects by the checksums of their blocks, adopted files by their MD5.

use super::super::entry::{Held, Key};
use super::super::record::{Blocks, Head};
use super::super::store::stock_directory;
use super::super::sweep::Source;
use super::Check;
use crate::config::Config;
use crate::store::diskfile::{Version, is_unreadable};
use crate::store::metadata::Metadata;
use crate::store::stock;
use base::checksum::Md5Hasher;
use base::io::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;

impl Check<'_> {
    /// What is wrong with an adopted file.
    pub(super) async fn stock_file(&mut self, key: Key, held: Held) -> std::io::Result<Option<String>> {
        let (path, length, metadata) = match self.open(key, held).await? {
            Ok(opened) => opened,
            Err(why) => return Ok(Some(why)),
        };
        if !self.is_name_in(&metadata, key) {
            return Ok(Some("its metadata are of another name".to_owned()));
        }
        if !matches!(held.version, Version::Data(_)) {
            return Ok((length > 0).then(|| format!("{length} bytes where none belong")));
        }
        if let Err(why) = stock::check_data(&metadata, length) {
            return Ok(Some(why));
        }
        let mut md5 = Md5Hasher::new();
        if !self.stream(&path, length, &mut |bytes| md5.update(bytes)).await? {
            return Ok(Some("its file is gone".to_owned()));
        }
        let is_good = metadata.get_str("ETag").is_some_and(|etag| etag == md5.finish_hex());
        Ok((!is_good).then(|| "its MD5 is not its ETag".to_owned()))
    }

    /// What is wrong with the file of a large object.
    pub(super) async fn large_file(&mut self, key: Key, held: Held, head: &Head) -> std::io::Result<Option<String>> {
        let (path, length, mut metadata) = match self.open(key, held).await? {
            Ok(opened) => opened,
            Err(why) => return Ok(Some(why)),
        };
        if length != head.body_bytes {
            return Ok(Some(format!("{length} bytes where {} were written", head.body_bytes)));
        }
        if !self.is_name_in(&metadata, key) {
            return Ok(Some("its attributes are of another name".to_owned()));
        }
        let mut written = head.metadata.clone();
        written.remove("name");
        metadata.remove("name");
        if metadata != written {
            return Ok(Some("its attributes are not those of its record".to_owned()));
        }
        let mut blocks = Blocks::default();
        if !self.stream(&path, length, &mut |bytes| blocks.update(bytes)).await? {
            return Ok(Some("its file is gone".to_owned()));
        }
        Ok((blocks.finish() != head.checksums).then(|| "a block does not fit its checksum".to_owned()))
    }

    /// Path, length and metadata of a version's file, or what is wrong with it.
    async fn open(&self, key: Key, held: Held) -> std::io::Result<Result<(PathBuf, u64, Metadata), String>> {
        let Some(path) = self.path(key, held).await? else { return Ok(Err("its file is gone".to_owned())) };
        let file = match fs::File::open(&path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err("its file is gone".to_owned())),
            Err(error) if is_unreadable(&error) => return Ok(Err("its file cannot be read".to_owned())),
            file => file?,
        };
        match stock::metadata_of(&file).await {
            Err(error) if is_unreadable(&error) => Ok(Err("its attributes cannot be read".to_owned())),
            Err(error) => Err(error),
            Ok(metadata) => Ok(metadata.map(|metadata| (path, file.len(), metadata))),
        }
    }

    async fn path(&self, key: Key, held: Held) -> std::io::Result<Option<PathBuf>> {
        let guess = self.store.partition_power();
        let directory = stock_directory(&self.store.root, key.policy(), key.hash(), guess).await?;
        Ok(directory.map(|(directory, power)| {
            self.store.remember_partition_power(power);
            directory.join(held.version.file_name())
        }))
    }

    /// Reads a file; false when it is not there any more.
    async fn stream(&mut self, path: &Path, length: u64, visit: &mut dyn FnMut(&[u8])) -> std::io::Result<bool> {
        let source = Source::File(self.reader.clone(), path.to_owned());
        let mut offset = 0;
        self.total += length;
        // Ends: every turn reads on, up to the end of the file.
        while offset < length {
            let bytes = match source.read(offset, READ_BYTES).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                bytes => bytes?,
            };
            if bytes.is_empty() {
                break;
            }
            visit(&bytes);
            offset += bytes.len() as u64;
        }
        self.done += length;
        (self.progress)(self.done, self.total);
        Ok(true)
    }

    pub(super) fn is_name_of(&self, name: &str, key: Key) -> bool {
        let mut parts = name.strip_prefix('/').unwrap_or_default().splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(account), Some(container), Some(object)) => {
                self.hash_path.hash(account, Some(container), Some(object)) == key.hash()
            }
            _ => false,
        }
    }

    fn is_name_in(&self, metadata: &Metadata, key: Key) -> bool {
        metadata.get_str("name").is_some_and(|name| self.is_name_of(name, key))
    }

    pub(super) async fn move_file_away(&mut self, key: Key, held: Held) -> std::io::Result<()> {
        match self.path(key, held).await? {
            Some(path) => self.rename_away(key, &held.version.file_name(), &path).await,
            None => Ok(()),
        }
    }

    /// To where the operator finds it.
    pub(super) async fn move_away(&mut self, key: Key, name: &str, path: &Path) -> std::io::Result<()> {
        self.rename_away(key, name, path).await?;
        self.report.repaired += 1;
        Ok(())
    }

    async fn rename_away(&self, key: Key, name: &str, path: &Path) -> std::io::Result<()> {
        let objects = Config::policy_directory("objects", key.policy());
        let parent = self.store.root.join("quarantined").join(objects).join(key.hash().hex());
        fs::create_dir_all(&parent).await?;
        match fs::rename(path, &parent.join(name)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}
