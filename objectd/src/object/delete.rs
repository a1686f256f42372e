//! DELETE of one object: a tombstone, unless something newer is there (specs: object server §4).
//!
//! The same DELETE again tells the containers again: whoever repeats it had no answer, and a server that dies between its tombstone
//! and the row would leave the object in the listing for ever.

use super::{Target, headers, is_expired, update};
use crate::reply;
use crate::store::diskfile::{DiskFile, Stored, Version, Want};
use crate::store::metadata::Metadata;
use base::http::server::Response;
use base::http::{RequestHead, Status};
use base::io;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::time::Duration;

pub(super) async fn delete(target: Target, head: &RequestHead) -> Result<Response, Response> {
    let timestamp = headers::timestamp(&head.headers)?;
    let disk_file = target.disk_file().await?;
    let existing = Existing::look(&target, &disk_file, head, timestamp).await?;
    if existing.is_deleted && existing.timestamp == timestamp {
        let updates = update::after_delete(&target, head, timestamp, None);
        update::send(&target.node, disk_file.device(), updates).await.map_err(|error| target.failed(&error))?;
    }
    let mut status = existing.status;
    if let Some(wanted) = head.headers.get("X-If-Delete-At") {
        check_delete_at(&existing, wanted, timestamp)?;
        status = 204;
    }
    let answer = if status == 204 { reply::empty(Status(204)) } else { reply::status(status) };
    let answer = answer
        .header("X-Backend-Timestamp", existing.timestamp.max(timestamp).internal())
        .header("X-Backend-Content-Type", existing.content_type.clone());
    if existing.timestamp >= timestamp {
        return Ok(answer);
    }
    let head = head.clone();
    let unfinished = target.node.unfinished();
    // Boxed: a task is moved several times on its way to its first turn.
    let commit = io::spawn(Box::pin(async move {
        let _unfinished = unfinished;
        let mut metadata = Metadata::new();
        metadata.set("X-Timestamp", timestamp.internal());
        let node = target.node.clone();
        let writer = disk_file.create(None).await.map_err(|error| target.failed(&error))?;
        writer
            .publish(&node.config, Version::Tombstone(timestamp), metadata)
            .await
            .map_err(|error| target.failed(&error))?;
        let updates = update::after_delete(&target, &head, timestamp, existing.delete_at);
        update::send(&node, disk_file.device(), updates).await.map_err(|error| target.failed(&error))?;
        Ok(answer)
    }));
    commit.await.unwrap_or_else(|| Err(reply::status(500)))
}

/// What is there before the DELETE.
struct Existing {
    /// Of data or tombstone; zero when nothing is known.
    timestamp: Timestamp,
    /// Whether that is a tombstone's.
    is_deleted: bool,
    content_type: Bytes,
    delete_at: Option<u64>,
    status: u16,
}

impl Existing {
    async fn look(
        target: &Target,
        disk_file: &DiskFile,
        head: &RequestHead,
        timestamp: Timestamp,
    ) -> Result<Existing, Response> {
        let nothing = Existing {
            timestamp: Timestamp::ZERO,
            is_deleted: false,
            content_type: Bytes::new(),
            delete_at: None,
            status: 404,
        };
        Ok(match target.open(disk_file, Want::Metadata).await? {
            Stored::Nothing => nothing,
            Stored::Deleted(deleted) => Existing { timestamp: deleted, is_deleted: true, ..nothing },
            Stored::Lost(lost) => {
                Existing { timestamp: lost, status: if lost < timestamp { 204 } else { 409 }, ..nothing }
            }
            Stored::Object(object) => {
                let status = if is_expired(&object, &head.headers, false) {
                    404
                } else if object.data_timestamp < timestamp {
                    204
                } else {
                    409
                };
                Existing {
                    timestamp: object.data_timestamp,
                    is_deleted: false,
                    content_type: object.content_type(),
                    delete_at: object.expires(),
                    status,
                }
            }
        })
    }
}

/// The expirer deletes only what it was told about: an object that was changed since keeps living.
fn check_delete_at(existing: &Existing, wanted: &[u8], timestamp: Timestamp) -> Result<(), Response> {
    // Any form of a time: Swift's expirer sends `1795431875.00000`.
    let wanted = std::str::from_utf8(wanted).ok().and_then(|text| Timestamp::parse(text.trim()).ok());
    let Some(wanted) = wanted else { return Err(reply::message(400, "Bad X-If-Delete-At header value")) };
    if existing.timestamp == Timestamp::ZERO {
        return Err(reply::status(404));
    }
    if existing.timestamp >= timestamp {
        return Err(reply::status(409));
    }
    let delete_at = existing.delete_at.map(|seconds| Timestamp::from_unix(Duration::from_secs(seconds)));
    if delete_at != Some(wanted) {
        return Err(reply::message(412, "X-If-Delete-At and X-Delete-At do not match"));
    }
    Ok(())
}
