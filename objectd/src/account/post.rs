//! POST of an account: its metadata (specs §5).

use super::absent;
use crate::db::lifecycle::{self, Change, Outcome};
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::{RequestHead, Status};

/// 204.
pub(super) async fn post(service: &Service, head: &RequestHead) -> Answer {
    let time = service::timestamp(head)?;
    let change = Change { metadata: service.metadata(&head.headers, &[])?, ..service.change(time) };
    let outcome = service.rows.write(move |write| lifecycle::post(write, &change, false)).await;
    match outcome.map_err(|error| service.failed(&error))? {
        Outcome::Changed(_) => Ok(reply::empty(Status(204))),
        Outcome::Refused(why) => Err(reply::text(400, why)),
        Outcome::Missing(info) => Err(absent(404, "", info.as_ref())),
        _ => Err(reply::status(409)),
    }
}
