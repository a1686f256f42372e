//! POST of one object: new metadata beside the data (specs: object server §4). The body is ignored.

use super::{Target, headers, is_expired, update};
use crate::reply;
use crate::store::diskfile::{Object, Stored, Version, Want};
use crate::store::metadata::Metadata;
use base::http::RequestHead;
use base::http::server::Response;
use base::io;
use base::timestamp::Timestamp;
use bytes::Bytes;

pub(super) async fn post(target: Target, head: &RequestHead) -> Result<Response, Response> {
    let timestamp = headers::timestamp(&head.headers)?;
    let delete_at = headers::delete_at(&head.headers, timestamp)?;
    let disk_file = target.disk_file().await?;
    let object = match target.open(&disk_file, Want::Metadata).await? {
        Stored::Object(object) if !is_expired(&object, &head.headers, true) => object,
        _ => return Err(reply::status(404)),
    };
    if let Some(lost) = object.lost_post.filter(|lost| *lost > timestamp) {
        return Err(reply::status(409).header("X-Backend-Timestamp", lost.internal()));
    }
    let sent = SentContentType::of(head, timestamp);
    if object.timestamp >= timestamp && object.content_type_timestamp >= sent.timestamp {
        return Err(reply::status(409).header("X-Backend-Timestamp", object.timestamp.internal()));
    }
    let (content_type, content_type_time) = match sent.value {
        Some(value) if sent.timestamp > object.content_type_timestamp => (value, sent.timestamp),
        _ => (object.content_type(), object.content_type_timestamp),
    };
    let is_newer = timestamp > object.timestamp;
    let mut metadata =
        if is_newer { new_metadata(&object, head, timestamp, delete_at) } else { kept_metadata(&object) };
    let time = if is_newer { timestamp } else { object.timestamp };
    // A content type that is still the data's is not repeated.
    let recorded = (content_type_time > object.data_timestamp).then_some(content_type_time);
    if let Some(recorded) = recorded {
        metadata.set("Content-Type", content_type.clone());
        metadata.set("Content-Type-Timestamp", recorded.internal());
    }
    let version = Version::Meta { timestamp: time, content_type: recorded };
    let mut answer = reply::status(202).header("X-Backend-Content-Type", content_type.clone());
    for (name, value) in object.metadata.iter().filter(|(name, _)| headers::is_sysmeta(name)) {
        answer = answer.header(name.clone(), value.clone());
    }
    let head = head.clone();
    let unfinished = target.node.unfinished();
    // Boxed: a task is moved several times on its way to its first turn.
    let commit = io::spawn(Box::pin(async move {
        let _unfinished = unfinished;
        let node = target.node.clone();
        let posted = update::Posted { content_type, content_type_time, time, delete_at: is_newer.then_some(delete_at) };
        let updates = update::after_post(&target, &head, &object, posted);
        let writer = disk_file.create(None).await.map_err(|error| target.failed(&error))?;
        writer.publish(&node.config, version, metadata).await.map_err(|error| target.failed(&error))?;
        update::send(&node, disk_file.device(), updates).await.map_err(|error| target.failed(&error))?;
        Ok(answer)
    }));
    commit.await.unwrap_or_else(|| Err(reply::status(500)))
}

/// The content type a POST brings, and when it was set.
struct SentContentType {
    value: Option<Bytes>,
    timestamp: Timestamp,
}

impl SentContentType {
    fn of(head: &RequestHead, timestamp: Timestamp) -> Self {
        let value = head.headers.get("Content-Type").filter(|value| !value.is_empty()).cloned();
        let stated = head.headers.get_str("Content-Type-Timestamp").and_then(|text| Timestamp::parse(text).ok());
        let timestamp = if value.is_some() { stated.unwrap_or(timestamp) } else { Timestamp::ZERO };
        Self { value, timestamp }
    }
}

/// All user metadata are the request's; what is not sent again is gone.
fn new_metadata(object: &Object, head: &RequestHead, timestamp: Timestamp, delete_at: Option<u64>) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set("X-Timestamp", timestamp.internal());
    // A manifest stays one: the data are the list of its segments.
    if let Some(value) = object.metadata.get("X-Static-Large-Object") {
        metadata.set("X-Static-Large-Object", value.clone());
    }
    headers::store(&mut metadata, &head.headers, delete_at, false);
    metadata
}

/// The newest POST's metadata stay; only the content type is new.
fn kept_metadata(object: &Object) -> Metadata {
    let mut metadata = object.post_metadata.clone().unwrap_or_default();
    metadata.set("X-Timestamp", object.timestamp.internal());
    metadata.remove("Content-Type");
    metadata.remove("Content-Type-Timestamp");
    metadata
}
