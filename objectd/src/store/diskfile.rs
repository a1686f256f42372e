//! The seam between the object service and the layouts: one object of one device, opened, written, quarantined.
//!
//! Which layout a device has is decided when it is opened (`Device::packed`); nothing above this file knows. Both layouts follow the same
//! rules of what counts (`listing`), so that the same operations end in the same answers.
//!
//! # Invariants
//!
//! - `Writer::publish` that answered `Ok` survives power loss; one that failed or was dropped changed nothing a reader may see, or all.
//! - `Body::read` gives bytes that were verified when the layout has block checksums (`Body::verifies`); a stock file alone has
//!   none, and its reader compares the MD5.

use super::metadata::Metadata;
use super::packed;
use super::stock;
use crate::config::Config;
use crate::node::Device;
use base::hash_path::NameHash;
use base::names::Name;
use base::timestamp::{self, Timestamp};
use bytes::Bytes;
use std::io::Error;
use std::rc::Rc;

/// One object of one device.
#[derive(Clone)]
pub struct DiskFile(Layout);

#[derive(Clone)]
enum Layout {
    Stock(stock::Files),
    Packed(packed::Files),
}

/// What is stored under a name.
pub enum Stored {
    /// Nothing is known of it.
    Nothing,
    /// It was deleted then.
    Deleted(Timestamp),
    /// Its bytes are of then, and damaged: readers go elsewhere, nothing older replaces it, the same or newer ones do.
    Lost(Timestamp),
    /// It is there (perhaps expired: `Object::expires`).
    Object(Box<Object>),
}

/// An object that can be read.
pub struct Object {
    /// Its bytes.
    pub body: Body,
    /// Data, POST and content type merged.
    pub metadata: Metadata,
    /// The items stored with the data alone, where these are others.
    data_metadata: Option<Metadata>,
    /// The items of the newest POST, if there is one.
    pub post_metadata: Option<Metadata>,
    /// When the bytes were written.
    pub data_timestamp: Timestamp,
    /// The newest of data and POST.
    pub timestamp: Timestamp,
    /// When the content type was set.
    pub content_type_timestamp: Timestamp,
    /// A POST of then is damaged: what is shown here is older, so readers go elsewhere. The same POST or a newer one heals it.
    pub lost_post: Option<Timestamp>,
}

impl Object {
    /// Data with a POST over it (specs: diskfile §2.2): user metadata are the POST's, what belongs to the bytes stays. A content type may
    /// be of a third time.
    pub(super) fn assemble(
        body: Body,
        (data_metadata, data_timestamp): (Metadata, Timestamp),
        posted: Option<(Metadata, Timestamp)>,
        content_type: Option<(Bytes, Timestamp)>,
    ) -> Object {
        let (mut metadata, data_metadata) = match (&posted, &content_type) {
            (Some((posted, _)), _) => (overlay(&data_metadata, posted), Some(data_metadata)),
            (None, Some(_)) => (data_metadata.clone(), Some(data_metadata)),
            (None, None) => (data_metadata, None),
        };
        let content_type_timestamp = match content_type {
            Some((value, timestamp)) => {
                metadata.set("Content-Type", value);
                timestamp
            }
            None => data_timestamp,
        };
        let timestamp = posted.as_ref().map_or(data_timestamp, |(_, timestamp)| *timestamp);
        let post_metadata = posted.map(|(metadata, _)| metadata);
        Object {
            body,
            metadata,
            data_metadata,
            post_metadata,
            data_timestamp,
            timestamp,
            content_type_timestamp,
            lost_post: None,
        }
    }
    /// The items stored with the data alone.
    pub fn data_metadata(&self) -> &Metadata {
        self.data_metadata.as_ref().unwrap_or(&self.metadata)
    }
    /// Second from which on it does not exist.
    pub fn expires(&self) -> Option<u64> {
        self.metadata.get_str("X-Delete-At").and_then(|text| text.trim().parse().ok())
    }
    /// MD5 of the bytes as stored.
    pub fn etag(&self) -> &str {
        self.metadata.get_str("ETag").unwrap_or_default()
    }
    /// The content type in force.
    pub fn content_type(&self) -> Bytes {
        self.metadata.get("Content-Type").cloned().unwrap_or_default()
    }
}

/// The bytes of an object, readable as long as this lives, even when the object is replaced or deleted meanwhile.
pub enum Body {
    /// A file of Swift's.
    Stock(stock::Body),
    /// Blocks with checksums.
    Packed(packed::Body),
}

impl Body {
    /// Bytes.
    pub fn len(&self) -> u64 {
        match self {
            Body::Stock(body) => body.len(),
            Body::Packed(body) => body.len(),
        }
    }
    /// True for an object without bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether `read` verifies what it gives.
    pub fn verifies(&self) -> bool {
        matches!(self, Body::Packed(_))
    }
    /// Exactly `length` bytes from `from`. `InvalidData` and `UnexpectedEof` mean that they are damaged: quarantine.
    pub async fn read(&self, from: u64, length: usize) -> std::io::Result<Bytes> {
        match self {
            Body::Stock(body) => body.read(from, length).await,
            Body::Packed(body) => body.read(from, length).await,
        }
    }
}

/// What an opened object is used for: bytes that will be sent are read together with the metadata where that saves a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Metadata alone.
    Metadata,
    /// The bytes too.
    Bytes,
}

/// Why nothing could be told about an object.
#[derive(Debug)]
pub enum OpenError {
    /// Another name has the same hash: 403.
    Collision,
    /// The device fails.
    Device(Error),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        OpenError::Device(error)
    }
}

/// Whether the disk cannot read this place (EIO): what was there is lost, the rest of the device may be well.
pub fn is_unreadable(error: &Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

/// What a write is: the kind and time that the name of a stock file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// PUT.
    Data(Timestamp),
    /// POST.
    Meta {
        /// Of the metadata.
        timestamp: Timestamp,
        /// Of the content type that is stored with them.
        content_type: Option<Timestamp>,
    },
    /// DELETE.
    Tombstone(Timestamp),
}

impl Version {
    /// Name of the stock file (specs: diskfile §3).
    pub fn file_name(self) -> String {
        match self {
            Version::Data(timestamp) => format!("{}.data", timestamp.internal()),
            Version::Meta { timestamp, content_type: Some(content_type) } => {
                format!("{}.meta", timestamp::encode(timestamp, Some(content_type), None, true))
            }
            Version::Meta { timestamp, content_type: None } => format!("{}.meta", timestamp.internal()),
            Version::Tombstone(timestamp) => format!("{}.ts", timestamp.internal()),
        }
    }
}

impl Version {
    /// The version that a file of this name is; `None` for other files.
    pub fn from_file_name(name: &str) -> Option<Version> {
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            "data" => Timestamp::parse(stem).ok().map(Version::Data),
            "ts" => Timestamp::parse(stem).ok().map(Version::Tombstone),
            "meta" => {
                let (timestamp, content_type, _) = timestamp::decode(stem, true).ok()?;
                Some(Version::Meta { timestamp, content_type })
            }
            _ => None,
        }
    }

    /// When it was written.
    pub fn timestamp(self) -> Timestamp {
        match self {
            Version::Data(timestamp) | Version::Tombstone(timestamp) | Version::Meta { timestamp, .. } => timestamp,
        }
    }
}

impl DiskFile {
    /// The place of an object.
    pub fn new(device: Rc<Device>, policy: u32, partition: u32, hash: &NameHash, name: Name) -> Self {
        let files = stock::Files::new(device, policy, partition, hash, name);
        DiskFile(match files.device.packed.clone() {
            Some(store) => Layout::Packed(packed::Files::new(store, files, policy, *hash)),
            None => Layout::Stock(files),
        })
    }

    /// The device it is on.
    pub fn device(&self) -> &Rc<Device> {
        match &self.0 {
            Layout::Stock(files) => &files.device,
            Layout::Packed(files) => files.device(),
        }
    }

    /// Looks what is there; what cannot be what was written is quarantined.
    pub async fn open(&self, want: Want) -> Result<Stored, OpenError> {
        match &self.0 {
            Layout::Stock(files) => files.open().await,
            Layout::Packed(files) => files.open(want).await,
        }
    }

    /// Starts a write. `size` is reserved when it is known.
    pub async fn create(&self, size: Option<u64>) -> std::io::Result<Writer> {
        Ok(match &self.0 {
            Layout::Stock(files) => Writer::Stock(files.create(size).await?),
            Layout::Packed(files) => Writer::Packed(files.create(size).await?),
        })
    }

    /// Takes the object whose body is damaged out of service, to where the operator finds it; the replicas heal what is missing then.
    pub async fn quarantine(&self, body: &Body, why: &str) {
        match (&self.0, body) {
            (Layout::Packed(files), Body::Packed(body)) => files.quarantine(body, why).await,
            (Layout::Packed(files), Body::Stock(_)) => files.quarantine_stock(why).await,
            (Layout::Stock(files), _) => files.quarantine(why).await,
        }
    }
}

/// A write under way. Dropped, nothing of it is left; `abandon` takes an empty directory along.
pub enum Writer {
    /// To a file without a name.
    Stock(stock::Writer),
    /// To memory, later to a volume or a file.
    Packed(packed::Writer),
}

impl Writer {
    /// Appends.
    pub async fn append(&mut self, bytes: Bytes) -> std::io::Result<()> {
        match self {
            Writer::Stock(writer) => writer.append(bytes).await,
            Writer::Packed(writer) => writer.append(bytes).await,
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        match self {
            Writer::Stock(writer) => writer.len(),
            Writer::Packed(writer) => writer.len(),
        }
    }

    /// True before the first byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes it this version of the object: durable when it returns `Ok`. A device that fails to sync is poisoned.
    pub async fn publish(self, config: &Config, version: Version, metadata: Metadata) -> std::io::Result<()> {
        match self {
            Writer::Stock(writer) => writer.publish(config, &version.file_name(), metadata).await,
            Writer::Packed(writer) => writer.publish(version, metadata).await,
        }
    }

    /// Gives up: nothing remains.
    pub async fn abandon(self) {
        match self {
            Writer::Stock(writer) => writer.abandon().await,
            Writer::Packed(writer) => writer.abandon().await,
        }
    }
}

/// POST over data (specs: diskfile §2.2): user metadata are the POST's; what belongs to the bytes stays.
fn overlay(data: &Metadata, posted: &Metadata) -> Metadata {
    let mut merged = Metadata::new();
    let belongs_to_data = |name: &[u8]| {
        matches!(name, b"Content-Length" | b"ETag" | b"Deleted" | b"Content-Type")
            || name.get(..17).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"X-Object-Sysmeta-"))
    };
    for (name, value) in data.iter().filter(|(name, _)| belongs_to_data(name)) {
        merged.set(name.clone(), value.clone());
    }
    for (name, value) in posted.iter() {
        if !belongs_to_data(name) && !matches!(name.as_ref(), b"Content-Type-Timestamp") {
            merged.set(name.clone(), value.clone());
        }
    }
    merged
}
