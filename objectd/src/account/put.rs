//! PUT of an account (specs §5).

use super::absent;
use crate::db::lifecycle::{self, Change, Outcome};
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::{RequestHead, Status};

/// 201 when it is new, 202 when it was there, 403 when it is deleted and not yet forgotten.
pub(super) async fn put(service: &Service, head: &RequestHead) -> Answer {
    let time = service::timestamp(head)?;
    let change = Change { metadata: service.metadata(&head.headers, &[])?, ..service.change(time) };
    let outcome = service.rows.write(move |write| lifecycle::put_account(write, &change)).await;
    match outcome.map_err(|error| service.failed(&error))? {
        Outcome::Created(_) => Ok(reply::empty(Status(201))),
        Outcome::Changed(_) => Ok(reply::status(202)),
        Outcome::Refused(why) => Err(reply::text(400, why)),
        Outcome::Missing(info) => Err(absent(403, "Recently deleted", info.as_ref())),
        Outcome::Conflict | Outcome::Deleted(_) | Outcome::OtherPolicy(_) => Err(reply::status(409)),
    }
}
