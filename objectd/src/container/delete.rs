//! DELETE of a container (specs §2.1).

use super::updater;
use crate::db::lifecycle::{self, Outcome};
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::{RequestHead, Status};

/// 204 when it existed, 404 when it did not, 409 when it holds objects or was put later; the account is told.
pub(super) async fn delete(service: &Service, head: &RequestHead) -> Answer {
    let time = service::timestamp(head)?;
    let accounts = updater::accounts_of(head)?;

    let change = service.change(time);
    let outcome = service.rows.write(move |write| lifecycle::delete_container(write, &change)).await;
    let (existed, info) = match outcome.map_err(|error| service.failed(&error))? {
        Outcome::Deleted(info) => (true, info),
        Outcome::Missing(Some(info)) => (false, info),
        Outcome::Missing(None) => return Err(reply::status(404)),
        _ => return Err(reply::status(409)),
    };
    updater::tell_accounts(service, head, &info, accounts).await?;
    if existed { Ok(reply::empty(Status(204))) } else { Err(reply::status(404)) }
}
