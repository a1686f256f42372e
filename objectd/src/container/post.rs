//! POST of a container: its metadata (specs §2.1).

use super::SAVED;
use super::put::check_sync_to;
use crate::db::lifecycle::{self, Change, Outcome};
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::{RequestHead, Status};

/// 204; moves put_timestamp unless told not to.
pub(super) async fn post(service: &Service, head: &RequestHead) -> Answer {
    let time = service::timestamp(head)?;
    let metadata = service.metadata(&head.headers, &SAVED)?;
    check_sync_to(service, head).await?;
    let touch = !service::is_set(&head.headers, "X-Backend-No-Timestamp-Update");

    let change = Change { metadata, ..service.change(time) };
    let outcome = service.rows.write(move |write| lifecycle::post(write, &change, touch)).await;
    match outcome.map_err(|error| service.failed(&error))? {
        Outcome::Changed(_) => Ok(reply::empty(Status(204))),
        Outcome::Refused(why) => Err(reply::text(400, why)),
        _ => Err(reply::status(404)),
    }
}
