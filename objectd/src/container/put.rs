//! PUT of a container (specs §2.1).

use super::{SAVED, requested_policy, updater};
use crate::db::lifecycle::{self, Change, Outcome};
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::server::Response;
use base::http::{RequestHead, Status};
use std::rc::Rc;

/// 201 when it is new or was deleted, 202 when it was there; the account is told before the answer.
pub(super) async fn put(service: &Service, head: &RequestHead) -> Answer {
    let time = service::timestamp(head)?;
    if head.headers.get_str("X-Backend-Record-Type").is_some_and(|kind| kind.eq_ignore_ascii_case("shard")) {
        return Err(reply::text(501, "Shard ranges are not taken: containers are not sharded here"));
    }
    let policy = requested_policy(service, head)?;
    let default_policy = head.headers.get_str("X-Backend-Storage-Policy-Default").and_then(|text| text.parse().ok());
    let metadata = service.metadata(&head.headers, &SAVED)?;
    check_sync_to(service, head).await?;
    let accounts = updater::accounts_of(head)?;

    let change = Change { policy, default_policy: default_policy.unwrap_or(0), metadata, ..service.change(time) };
    let outcome = service.rows.write(move |write| lifecycle::put_container(write, &change)).await;
    let (code, info) = match outcome.map_err(|error| service.failed(&error))? {
        Outcome::Created(info) => (201, info),
        Outcome::Changed(info) => (202, info),
        Outcome::OtherPolicy(index) => return Err(with_policy(reply::status(409), index)),
        Outcome::Refused(why) => return Err(reply::text(400, why)),
        Outcome::Conflict | Outcome::Deleted(_) | Outcome::Missing(_) => return Err(reply::status(409)),
    };
    updater::tell_accounts(service, head, &info, accounts).await?;
    let response = if code == 201 { reply::empty(Status(201)) } else { reply::status(code) };
    Ok(with_policy(response, info.policy))
}

fn with_policy(response: Response, index: u32) -> Response {
    response.header("X-Backend-Storage-Policy-Index", index.to_string())
}

/// Refuses a sync target that could never be synced to: of no realm known here, or on a host that is not Swift's default.
pub(super) async fn check_sync_to(service: &Service, head: &RequestHead) -> Result<(), Response> {
    const ALLOWED_HOSTS: [&str; 1] = ["127.0.0.1"];
    let Some(value) = head.headers.get_str("X-Container-Sync-To") else { return Ok(()) };
    let realms = match &service.node {
        Some(node) => node.realms.current().await,
        None => Rc::default(),
    };
    realms.check_target(value.trim(), &ALLOWED_HOSTS).map_err(|why| reply::text(400, why))
}
