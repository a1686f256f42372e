//! PUT of an object's row (specs §2.2): what an object server reports after it stored the object.

use super::requested_policy;
use crate::db::key::NAME_BYTES_MAX;
use crate::db::lifecycle::{self, Change};
use crate::db::object_row::ObjectUpdate;
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::server::Response;
use base::http::{RequestHead, Status};
use base::timestamp::Timestamp;

/// 201 whether or not the row was newer; the rows are durable and merged when it answers.
pub(super) async fn put(service: &Service, head: &RequestHead, object: &str) -> Answer {
    let time = service::timestamp(head)?;
    let policy = requested_policy(service, head)?.unwrap_or(0);
    // Swift fails on these with a traceback; object servers always send them.
    let header = |name: &str| head.headers.get_str(name).map(str::to_owned).ok_or_else(|| reply::status(500));
    let update = ObjectUpdate {
        name: object.to_owned(),
        policy,
        created_at: time.internal(),
        size: header("X-Size")?.trim().parse().map_err(|_| reply::status(500))?,
        content_type: header("X-Content-Type")?,
        etag: header("X-Etag")?,
        deleted: false,
        content_type_time: optional_time(head, "X-Content-Type-Timestamp")?,
        metadata_time: optional_time(head, "X-Meta-Timestamp")?,
    };
    if merge(service, head, time, update).await? { Ok(reply::empty(Status(201))) } else { Err(reply::status(404)) }
}

/// Merges one row; false when there is no container and none may be created.
pub(super) async fn merge(
    service: &Service,
    head: &RequestHead,
    time: Timestamp,
    update: ObjectUpdate,
) -> Result<bool, Response> {
    if update.name.len() > NAME_BYTES_MAX {
        return Err(reply::text(
            400,
            format!("Object name length of {} longer than {NAME_BYTES_MAX}", update.name.len()),
        ));
    }
    let hash = service.hash;
    let create = may_create(service, head).then(|| Change { policy: Some(update.policy), ..service.change(time) });
    let merged = service
        .rows
        .write(move |write| lifecycle::merge_objects(write, &hash, create.as_ref(), std::slice::from_ref(&update)));
    merged.await.map_err(|error| service.failed(&error))
}

pub(super) fn may_create(service: &Service, head: &RequestHead) -> bool {
    (service.is_auto_created() && !service.path.account.starts_with(".shards_"))
        || service::is_set(&head.headers, "X-Backend-Auto-Create")
}

fn optional_time(head: &RequestHead, name: &str) -> Result<Option<Timestamp>, Response> {
    let Some(value) = head.headers.get_str(name) else { return Ok(None) };
    Timestamp::parse(value).map(Some).map_err(|_| reply::text(400, format!("Invalid {name} header")))
}
