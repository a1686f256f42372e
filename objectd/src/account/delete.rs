//! DELETE of an account (specs §5): it is marked; the reaper empties it later.

use super::absent;
use crate::db::lifecycle::{self, Outcome};
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::RequestHead;

/// 204 when it was there, else 404.
pub(super) async fn delete(service: &Service, head: &RequestHead) -> Answer {
    let time = service::timestamp(head)?;
    let change = service.change(time);
    let outcome = service.rows.write(move |write| lifecycle::delete_account(write, &change)).await;
    match outcome.map_err(|error| service.failed(&error))? {
        Outcome::Deleted(info) => Ok(absent(204, "", Some(&info))),
        Outcome::Missing(info) => Err(absent(404, "", info.as_ref())),
        _ => Err(reply::status(409)),
    }
}
