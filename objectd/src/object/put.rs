//! PUT of one object, told from the first check to the answer.
//!
//! The body streams into a file that has no name. From the moment it is complete the rest runs in a task of its own: a client that
//! goes away can neither stop a commit half-way nor lose the update of the container. A client that goes away before leaves nothing.

use super::{Target, headers, is_expired, update};
use crate::reply;
use crate::store::diskfile::{DiskFile, Stored, Version, Want, Writer};
use crate::store::metadata::Metadata;
use base::body_check::{self, Sum, Verdict};
use base::conditional;
use base::http::server::{BodyError, Request, RequestBody, Response};
use base::http::{Headers, Status};
use base::io;
use base::io::hashing::Md5Stream;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// Longest time one upload may take (Swift's `max_upload_time`).
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(86_400);

pub(super) async fn put(target: Target, mut request: Request) -> Result<Response, Response> {
    let timestamp = headers::timestamp(&request.head.headers)?;
    let limits = &target.node.config.constraints;
    let is_checked = accept_check(&request);
    let announced = request.head.headers.get_str(body_check::LENGTH).filter(|_| is_checked);
    let length = request.body.length().or_else(|| announced.and_then(|text| text.parse().ok()));
    headers::check_creation(&request.head.headers, length, request.body.is_framed(), &target.object, limits)?;
    let delete_at = headers::delete_at(&request.head.headers, timestamp)?;
    if request.head.headers.contains("X-Backend-Obj-Multipart-Mime-Boundary") {
        return Err(reply::status(501));
    }
    let disk_file = target.disk_file().await?;
    let old_delete_at = check_existing(&target, &disk_file, &request.head.headers, timestamp).await?;
    check_space(&target, &disk_file, length).await?;

    let reserved = length.filter(|_| !target.node.config.disable_fallocate);
    let mut writer = disk_file.create(reserved).await.map_err(|error| target.failed(&error))?;
    let received = match is_checked {
        true => receive_checked(&target, &mut request.body, &mut writer, length).await,
        false => receive_unchecked(&target, &mut request.body, &mut writer).await,
    };
    let etag = match received {
        Ok(etag) => etag,
        Err(response) => {
            writer.abandon().await;
            return Err(response);
        }
    };
    let wanted = request.head.headers.get("Etag").map(|value| headers::plain_etag(value));
    if wanted.is_some_and(|wanted| !wanted.is_empty() && wanted != etag) {
        writer.abandon().await;
        return Err(reply::status(422));
    }
    let mut metadata = Metadata::new();
    metadata.set("X-Timestamp", timestamp.internal());
    metadata.set("Content-Type", request.head.headers.get("Content-Type").cloned().unwrap_or_default());
    metadata.set("Content-Length", writer.len().to_string());
    metadata.set("ETag", etag.clone());
    headers::store(&mut metadata, &request.head.headers, delete_at, true);

    let head = request.head;
    let unfinished = target.node.unfinished();
    // Boxed: a task is moved several times on its way to its first turn.
    let commit = io::spawn(Box::pin(async move {
        let _unfinished = unfinished;
        let node = target.node.clone();
        let updates = update::after_put(&target, &head, &metadata, timestamp, delete_at, old_delete_at);
        writer
            .publish(&node.config, Version::Data(timestamp), metadata)
            .await
            .map_err(|error| target.failed(&error))?;
        update::send(&node, disk_file.device(), updates).await.map_err(|error| target.failed(&error))?;
        Ok(reply::empty(Status(201)).header("Etag", format!("\"{etag}\"")))
    }));
    commit.await.unwrap_or_else(|| Err(reply::status(500)))
}

/// What is stored already may forbid the PUT. Gives the X-Delete-At that it replaces.
async fn check_existing(
    target: &Target,
    disk_file: &DiskFile,
    headers: &Headers,
    timestamp: Timestamp,
) -> Result<Option<u64>, Response> {
    let (existing, old_delete_at) = match target.open(disk_file, Want::Metadata).await? {
        Stored::Nothing => return Ok(None),
        Stored::Deleted(deleted) => (deleted, None),
        // The same version heals it.
        Stored::Lost(lost) if lost <= timestamp => return Ok(None),
        Stored::Lost(lost) => (lost, None),
        Stored::Object(object) if is_expired(&object, headers, false) => (object.data_timestamp, None),
        Stored::Object(object) => {
            if headers.get_all("If-None-Match").any(|value| conditional::matches(value, object.etag())) {
                return Err(reply::status(412));
            }
            (object.data_timestamp, object.expires())
        }
    };
    if existing >= timestamp {
        return Err(reply::status(409).header("X-Backend-Timestamp", existing.internal()));
    }
    Ok(old_delete_at)
}

/// Keeps the reserve of the file system free.
async fn check_space(target: &Target, disk_file: &DiskFile, length: Option<u64>) -> Result<(), Response> {
    match disk_file.device().has_room(length.unwrap_or(0), target.node.config.fallocate_reserve).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(target.no_device()),
        Err(error) => Err(target.failed(&error)),
    }
}

/// Whether the proxy will say the MD5 behind the body. One that could but has announced a length learns that the next time it may.
fn accept_check(request: &Request) -> bool {
    let is_offered = body_check::is_said(&request.head.headers);
    is_offered && request.body.continue_with(body_check::FIELD, body_check::SCHEME) && request.body.is_chunked()
}

/// Streams the body into the file; gives its MD5.
async fn receive_unchecked(target: &Target, body: &mut RequestBody, writer: &mut Writer) -> Result<String, Response> {
    let mut md5 = Md5Stream::new();
    receive(target, body, writer, async |bytes| md5.update(bytes).await).await?;
    Ok(md5.finish_hex())
}

/// The same, with the MD5 that the proxy took: of these very bytes, says their crc32c.
async fn receive_checked(
    target: &Target,
    body: &mut RequestBody,
    writer: &mut Writer,
    length: Option<u64>,
) -> Result<String, Response> {
    let mut sum = Sum::default();
    receive(target, body, writer, async |bytes| sum.update(bytes)).await?;
    if length.is_some_and(|length| length != writer.len()) {
        return Err(reply::status(499));
    }
    match body.trailers().and_then(Verdict::decode) {
        Some(verdict) if verdict.sum == sum => Ok(verdict.etag),
        Some(_) => {
            tracing::error!(path = %target.object, "the body is not what the proxy sent");
            Err(reply::status(422))
        }
        None => Err(reply::status(400)),
    }
}

/// Streams the body into the file and shows each piece on the way.
async fn receive(
    target: &Target,
    body: &mut RequestBody,
    writer: &mut Writer,
    mut show: impl AsyncFnMut(&Bytes),
) -> Result<(), Response> {
    let start = io::monotonic();
    // Ends: the body is bounded by its size, and in time by `UPLOAD_TIME_MAX`.
    while let Some(piece) = body.next().await {
        let bytes = piece.map_err(|error| match error {
            BodyError::Disconnected => reply::status(499),
            BodyError::TimedOut => reply::status(408),
            BodyError::Malformed => reply::status(400),
        })?;
        if io::monotonic().since(start) > UPLOAD_TIME_MAX {
            return Err(reply::status(408));
        }
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if writer.len().saturating_add(size) > target.node.config.constraints.max_file_size {
            return Err(reply::status(413));
        }
        show(&bytes).await;
        writer.append(bytes).await.map_err(|error| target.failed(&error))?;
    }
    Ok(())
}
