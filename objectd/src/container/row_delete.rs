//! DELETE of an object's row (specs §2.2): a tombstone, also for names never seen.

use super::requested_policy;
use super::row_put::merge;
use crate::db::object_row::ObjectUpdate;
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::{RequestHead, Status};

/// 204, or 404 when there is no container.
pub(super) async fn delete(service: &Service, head: &RequestHead, object: &str) -> Answer {
    let time = service::timestamp(head)?;
    let policy = requested_policy(service, head)?.unwrap_or(0);
    let update = ObjectUpdate::deletion(object, policy, time);
    if merge(service, head, time, update).await? { Ok(reply::empty(Status(204))) } else { Err(reply::status(404)) }
}
