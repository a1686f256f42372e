//! PUT of an object's row (specs §2.2): what an object server reports after it stored the object.

use super::{Row, requested_policy};
use crate::db::key::NAME_BYTES_MAX;
use crate::db::lifecycle::Change;
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
    let update = update_of(object, policy, time, |name| head.headers.get_str(name)).map_err(|wrong| match wrong {
        // Swift fails on these with a traceback; object servers always send them.
        Wrong::Missing => reply::status(500),
        Wrong::Time(name) => reply::text(400, format!("Invalid {name} header")),
    })?;
    if merge(service, head, time, update).await? { Ok(reply::empty(Status(201))) } else { Err(reply::status(404)) }
}

/// What is wrong with the fields of a row.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// One is not there, or a number is none.
    Missing,
    /// This one is no time.
    Time(&'static str),
}

/// The row that the fields of a request are about.
pub(crate) fn update_of<'f>(
    object: &str,
    policy: u32,
    time: Timestamp,
    field: impl Fn(&str) -> Option<&'f str>,
) -> Result<ObjectUpdate, Wrong> {
    let text = |name| field(name).map(str::to_owned).ok_or(Wrong::Missing);
    let optional_time = |name| match field(name) {
        None => Ok(None),
        Some(value) => Timestamp::parse(value).map(Some).map_err(|_| Wrong::Time(name)),
    };
    Ok(ObjectUpdate {
        name: object.to_owned(),
        policy,
        created_at: time.internal(),
        size: field("X-Size").ok_or(Wrong::Missing)?.trim().parse().map_err(|_| Wrong::Missing)?,
        content_type: text("X-Content-Type")?,
        etag: text("X-Etag")?,
        deleted: false,
        content_type_time: optional_time("X-Content-Type-Timestamp")?,
        metadata_time: optional_time("X-Meta-Timestamp")?,
    })
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
    let change = || Box::new(Change { policy: Some(update.policy), ..service.change(time) });
    let create = may_create(service, head).then(change);
    let taken = service.intake.merge(Row { hash: service.hash, create, update }).await;
    taken.map_err(|why| service.failed(&std::io::Error::other(why)))
}

pub(super) fn may_create(service: &Service, head: &RequestHead) -> bool {
    (service.is_auto_created() && !service.path.account.starts_with(".shards_"))
        || service::is_set(&head.headers, "X-Backend-Auto-Create")
}
