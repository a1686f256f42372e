//! The files of one object on a stock device: opened, written, deleted, quarantined (specs: diskfile §3 to §6).
//!
//! ```text
//!  <device>/objects[-N]/<partition>/<suffix>/<hash>/<timestamp>.data | .meta | .ts
//! ```
//!
//! # What holds after a crash
//!
//! A write goes: space reserved, bytes, attributes and sync (all without a name), suffix invalidated and synced, name given and
//! directory synced, what it replaces unlinked. Cut anywhere:
//!
//! - before the name: the bytes vanish with the process; a suffix invalidated for nothing is hashed once more;
//! - after the name: data and metadata are whole and the suffix is known to have changed;
//! - before the unlinking: `listing` does not count what is left, and the next write or the hashing removes it.
//!
//! An acknowledged write is behind all of these but the last.

use super::invalidation;
use crate::config::Config;
use crate::node::Device;
use crate::store::busy::Busy;
use crate::store::diskfile::{self, Object, OpenError, Stored};
use crate::store::listing::{Chosen, Listing};
use crate::store::metadata::{self, Corrupt, Metadata};
use crate::store::pickle;
use base::checksum::hex;
use base::hash_path::NameHash;
use base::io::{self, fs};
use base::names::Name;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::cell::OnceCell;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Turns of a step that another write or a clean-up may disturb.
const ATTEMPTS: usize = 4;
/// Bytes written between two syncs: bounds what the last sync of a large object has to wait for (Swift's `mb_per_sync`).
const BYTES_PER_SYNC: u64 = 512 * 1024 * 1024;

/// Where the files of one object are.
#[derive(Clone)]
pub struct Files {
    /// The device.
    pub device: Rc<Device>,
    /// `/account/container/object`.
    pub name: Name,
    policy: u32,
    partition: u32,
    hash: NameHash,
    /// Made when first asked for: on a packed device most objects have no file.
    paths: OnceCell<Box<Paths>>,
}

/// The names that lead to the files of an object.
#[derive(Clone)]
struct Paths {
    data_directory: String,
    partition: PathBuf,
    suffix: String,
    hash: String,
    directory: PathBuf,
}

/// Why one file could not be used.
pub(in crate::store) enum FileError {
    /// It was replaced meanwhile.
    Gone,
    /// It is not what was written.
    Corrupt(String),
    /// All else.
    Other(OpenError),
}

impl Files {
    /// The place of an object.
    pub fn new(device: Rc<Device>, policy: u32, partition: u32, hash: &NameHash, name: Name) -> Self {
        Self { device, name, policy, partition, hash: *hash, paths: OnceCell::new() }
    }

    fn paths(&self) -> &Paths {
        self.paths.get_or_init(|| {
            let data_directory = Config::policy_directory("objects", self.policy);
            let (hash, suffix) = (self.hash.hex(), self.hash.suffix());
            let partition = self.device.root.join(&data_directory).join(self.partition.to_string());
            let directory = partition.join(&suffix).join(&hash);
            Box::new(Paths { data_directory, partition, suffix, hash, directory })
        })
    }

    fn directory(&self) -> &Path {
        &self.paths().directory
    }

    /// Looks what is there; files that cannot be what was written are quarantined.
    pub async fn open(&self) -> Result<Stored, OpenError> {
        for _ in 0..ATTEMPTS {
            let listing = match self.list().await {
                Err(error) if error.kind() == ErrorKind::NotADirectory => {
                    self.quarantine("a file stands where a directory belongs").await;
                    return Ok(Stored::Nothing);
                }
                listing => listing?,
            };
            let result = match (&listing.tombstone, &listing.data) {
                (Some(tombstone), _) => self.open_tombstone(tombstone).await,
                (None, Some(data)) => self.open_object(&listing, data).await,
                (None, None) => return Ok(Stored::Nothing),
            };
            match result {
                Ok(stored) => return Ok(stored),
                // Replaced by a newer write between the listing and the opening: look again.
                Err(FileError::Gone) => {}
                Err(FileError::Corrupt(why)) => {
                    self.quarantine(&why).await;
                    return Ok(Stored::Nothing);
                }
                Err(FileError::Other(error)) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::ResourceBusy, "the files of the object change faster than they can be read").into())
    }

    /// The names in the directory, judged. A directory that is not there is empty.
    pub async fn list(&self) -> std::io::Result<Listing> {
        match fs::read_dir(self.directory()).await {
            Ok(entries) => Ok(Listing::choose(entries.iter().map(|entry| entry.name.as_str()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Listing::default()),
            Err(error) => Err(error),
        }
    }

    async fn open_tombstone(&self, tombstone: &Chosen) -> Result<Stored, FileError> {
        self.read_file(&tombstone.name).await?;
        Ok(Stored::Deleted(tombstone.timestamp))
    }

    async fn open_object(&self, listing: &Listing, data: &Chosen) -> Result<Stored, FileError> {
        let (file, data_metadata) = self.read_file(&data.name).await?;
        check_data(&data_metadata, file.len()).map_err(FileError::Corrupt)?;
        let mut posted = None;
        if let Some(meta) = &listing.meta {
            posted = Some((self.read_file(&meta.name).await?.1, meta.timestamp));
        }
        let mut content_type = None;
        if let Some(chosen) = &listing.content_type {
            let value = match (&listing.meta, &posted) {
                (Some(meta), Some((metadata, _))) if meta.name == chosen.name => metadata.get("Content-Type").cloned(),
                _ => self.read_file(&chosen.name).await?.1.get("Content-Type").cloned(),
            };
            content_type = value.map(|value| (value, chosen.timestamp));
        }
        let body = diskfile::Body::Stock(Body(file));
        let data = (data_metadata, data.timestamp);
        Ok(Stored::Object(Box::new(Object::assemble(body, data, posted, content_type))))
    }

    /// Opens one file and reads its metadata, which must be for our name.
    pub(in crate::store) async fn read_file(&self, name: &str) -> Result<(fs::File, Metadata), FileError> {
        let gone = |error: Error| match error.kind() {
            ErrorKind::NotFound => FileError::Gone,
            _ => FileError::Other(error.into()),
        };
        let file = fs::File::open(&self.directory().join(name)).await.map_err(gone)?;
        let metadata = read_metadata(&file).await.map_err(|error| match error {
            MetadataError::Corrupt(corrupt) => FileError::Corrupt(format!("{name}: {}", corrupt.message)),
            MetadataError::Device(error) => FileError::Other(error.into()),
        })?;
        match metadata.get("name") {
            None => Err(FileError::Corrupt(format!("{name}: the metadata have no name"))),
            Some(stored) if stored != self.name.as_bytes() => Err(FileError::Other(OpenError::Collision)),
            Some(_) => Ok((file, metadata)),
        }
    }

    /// The names in the directory; none when it is not there.
    pub(in crate::store) async fn names(&self) -> std::io::Result<Vec<String>> {
        match fs::read_dir(self.directory()).await {
            Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Where a file of the object is.
    pub(in crate::store) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Where files of the object go that are damaged.
    pub(in crate::store) fn quarantine_directory(&self) -> PathBuf {
        self.device.root.join("quarantined").join(&self.paths().data_directory).join(&self.paths().hash)
    }

    /// The bytes of a `.data` file whose metadata say what must be there.
    pub(in crate::store) fn body(&self, file: fs::File, metadata: &Metadata) -> Result<Body, String> {
        check_data(metadata, file.len()).map(|()| Body(file))
    }

    /// A file to be written, in the directory of the object, which is created. `size` is reserved when it is known.
    pub async fn create(&self, size: Option<u64>) -> std::io::Result<Writer> {
        for _ in 0..ATTEMPTS {
            let busy = self.device.busy.enter(self.directory()).await;
            match fs::TempFile::create_within(self.directory(), size.unwrap_or(0)).await {
                // Another daemon took the empty directory away.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(file) => return Ok(Writer { files: self.clone(), file, synced: 0, _busy: busy }),
            }
        }
        Err(Error::new(ErrorKind::NotFound, "the directory of the object vanishes again and again"))
    }

    /// Tells the replicators that the suffix changed. Durable when it returns.
    async fn invalidate(&self) -> std::io::Result<()> {
        invalidation::invalidate(&self.device, &self.paths().partition, &self.paths().suffix).await
    }

    /// Unlinks what no longer counts, and the directory when nothing is left. Failures are logged: nothing depends on it.
    pub async fn clean_up(&self, reclaim_age: Duration) {
        let Ok(entries) = fs::read_dir(self.directory()).await else { return };
        let mut listing = Listing::choose(entries.iter().map(|entry| entry.name.as_str()));
        let names = listing.clean_up(Timestamp::from_unix(io::unix_time()), reclaim_age);
        let left = entries.len().saturating_sub(names.len());
        for name in names {
            if let Err(error) = fs::remove_file(&self.directory().join(&name)).await
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %self.directory().join(&name).display(), %error, "not removed");
            }
        }
        if left == 0 {
            self.device.busy.remove_empty(self.directory()).await;
        }
    }

    /// Moves the directory to where the operator finds it; the replicas heal what is missing then.
    pub async fn quarantine(&self, why: &str) {
        let parent = self.device.root.join("quarantined").join(&self.paths().data_directory);
        tracing::error!(path = %self.directory().display(), "quarantined: {why}");
        let result = async {
            self.invalidate().await?;
            fs::create_dir_all(&parent).await?;
            let target = parent.join(&self.paths().hash);
            // A rename onto a directory that is not empty fails; so does one onto a file that was taken for a directory.
            if fs::metadata(&target).await.is_err() {
                return fs::rename(self.directory(), &target).await;
            }
            let unique = [io::random_u64().to_be_bytes(), io::random_u64().to_be_bytes()].concat();
            fs::rename(self.directory(), &parent.join(format!("{}-{}", self.paths().hash, hex(&unique)))).await
        };
        if let Err(error) = result.await
            && error.kind() != ErrorKind::NotFound
        {
            tracing::error!(path = %self.directory().display(), %error, "could not be quarantined");
        }
    }
}

/// The bytes of a `.data` file.
pub struct Body(fs::File);

impl Body {
    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.0.len()
    }
    /// True for an object without bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Exactly `length` bytes, not verified.
    pub async fn read(&self, from: u64, length: usize) -> std::io::Result<Bytes> {
        let bytes = self.0.read_at(from, length).await?;
        if bytes.len() == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

/// A file of an object that has no name yet. Dropped, its bytes vanish; `abandon` takes an empty directory along.
pub struct Writer {
    files: Files,
    file: fs::TempFile,
    synced: u64,
    _busy: Busy,
}

impl Writer {
    /// Appends. Large files are synced on the way.
    pub async fn append(&mut self, bytes: Bytes) -> std::io::Result<()> {
        self.file.append(bytes).await?;
        if self.file.len() - self.synced >= BYTES_PER_SYNC {
            self.synced = self.file.len();
            self.file.sync_data().await?;
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.file.len()
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes it the file `name` with this metadata: durable when it returns `Ok`. A device that fails to sync is poisoned.
    pub async fn publish(self, config: &Config, name: &str, mut metadata: Metadata) -> std::io::Result<()> {
        metadata.set("name", self.files.name.bytes());
        let target = self.files.directory().join(name);
        self.files.invalidate().await.map_err(|error| judge(&self.files.device, "invalidating a suffix", error))?;
        let attributes = metadata.attributes();
        let result = self.file.publish(&target, attributes).await;
        result.map_err(|error| judge(&self.files.device, "publishing a file", error))?;
        self.files.clean_up(config.reclaim_age).await;
        Ok(())
    }

    /// Metadata and bytes are durable when it answers `Ok`, still without a name. A device that fails to sync is poisoned.
    pub(in crate::store) async fn prepare(&mut self, mut metadata: Metadata) -> std::io::Result<()> {
        metadata.set("name", self.files.name.bytes());
        let result = self.file.prepare(metadata.attributes()).await;
        result.map_err(|error| judge(&self.files.device, "syncing a file", error))
    }

    /// Gives a prepared file its name: durable when it answers `Ok`.
    pub(in crate::store) async fn name(self, name: &str) -> std::io::Result<()> {
        let result = self.file.publish(&self.files.path(name), Vec::new()).await;
        result.map_err(|error| judge(&self.files.device, "publishing a file", error))
    }

    /// Gives up: nothing remains.
    pub async fn abandon(self) {
        let Writer { files, file, _busy, .. } = self;
        drop(file);
        drop(_busy);
        files.device.busy.remove_empty(files.directory()).await;
    }
}

/// What says that a device, not a request, is at fault: EIO, ENXIO, ENODEV, EROFS, ESHUTDOWN, EUCLEAN.
const DEVICE_FAULTS: [i32; 6] = [5, 6, 19, 30, 108, 117];

/// A full device refuses; one that failed to write or sync is not to be trusted with another write.
fn judge(device: &Device, what: &str, error: Error) -> Error {
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        tracing::warn!(device = %device.name, %error, "{what}: no space; on ext4 metadata beyond one block do not fit either");
    } else if error.raw_os_error().is_some_and(|code| DEVICE_FAULTS.contains(&code)) {
        device.poison(what, &error);
    }
    error
}

enum MetadataError {
    Corrupt(Corrupt),
    Device(Error),
}

impl From<Error> for MetadataError {
    fn from(error: Error) -> Self {
        MetadataError::Device(error)
    }
}

/// The metadata of a file, or what is wrong with them.
pub(in crate::store) async fn metadata_of(file: &fs::File) -> std::io::Result<Result<Metadata, String>> {
    match read_metadata(file).await {
        Ok(metadata) => Ok(Ok(metadata)),
        Err(MetadataError::Corrupt(corrupt)) => Ok(Err(corrupt.message)),
        Err(MetadataError::Device(error)) => Err(error),
    }
}

/// Reads the chunks until one is missing. When the first one fits the checksum there are no others to ask for.
async fn read_metadata(file: &fs::File) -> Result<Metadata, MetadataError> {
    let missing = || MetadataError::Corrupt(Corrupt { message: "no metadata".to_owned() });
    let mut pickle = file.xattr(metadata::ATTRIBUTE).await?.ok_or_else(missing)?;
    let checksum = file.xattr(metadata::CHECKSUM_ATTRIBUTE).await?;
    let mut decoded = Metadata::decode(&pickle, checksum.as_deref());
    // Old releases wrote chunks of 254 bytes, so a short chunk need not be the last.
    for index in 1.. {
        if decoded.is_ok() {
            break;
        }
        let Some(chunk) = file.xattr(&metadata::attribute(index)).await? else { break };
        pickle.extend_from_slice(&chunk);
        if pickle.len() > pickle::INPUT_MAX {
            break;
        }
        if chunk.len() < metadata::CHUNK || index % 4 == 0 {
            decoded = Metadata::decode(&pickle, checksum.as_deref());
        }
    }
    decoded.or_else(|_| Metadata::decode(&pickle, checksum.as_deref())).map_err(MetadataError::Corrupt)
}

/// What the metadata of data must say.
pub(in crate::store) fn check_data(metadata: &Metadata, size: u64) -> Result<(), String> {
    let length = metadata.get_str("Content-Length").and_then(|text| text.trim().parse::<u64>().ok());
    match length {
        None => return Err("no usable Content-Length".to_owned()),
        Some(length) if length != size => return Err(format!("{size} bytes where {length} were written")),
        Some(_) => {}
    }
    match metadata.get_str("X-Delete-At").map(|text| text.trim().parse::<i64>().is_ok()) {
        Some(false) => Err("an X-Delete-At that is no number".to_owned()),
        _ => Ok(()),
    }
}
