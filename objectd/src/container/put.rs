//! PUT of a container (specs §2.1).

use super::{SAVED, requested_policy, updater};
use crate::db::lifecycle::{self, Change, Outcome};
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::server::Response;
use base::http::{RequestHead, Status};

/// 201 when it is new or was deleted, 202 when it was there; the account is told before the answer.
pub(super) async fn put(service: &Service, head: &RequestHead) -> Answer {
    let time = service::timestamp(head)?;
    if head.headers.get_str("X-Backend-Record-Type").is_some_and(|kind| kind.eq_ignore_ascii_case("shard")) {
        return Err(reply::text(501, "Shard ranges are not taken: containers are not sharded here"));
    }
    let policy = requested_policy(service, head)?;
    let default_policy = head.headers.get_str("X-Backend-Storage-Policy-Default").and_then(|text| text.parse().ok());
    let metadata = service.metadata(&head.headers, &SAVED)?;
    check_sync_to(head)?;
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

/// Refuses a sync target that could never be synced to. No realm is configured, and of hosts only Swift's default is.
pub(super) fn check_sync_to(head: &RequestHead) -> Result<(), Response> {
    const ALLOWED_HOST: &str = "127.0.0.1";
    let Some(value) = head.headers.get_str("X-Container-Sync-To").map(str::trim).filter(|value| !value.is_empty())
    else {
        return Ok(());
    };
    let refuse = |why: String| Err(reply::text(400, why));
    if let Some(rest) = value.strip_prefix("//") {
        let realm = rest.split('/').next().unwrap_or_default().to_uppercase();
        return refuse(format!("No realm key for '{realm}'"));
    }
    let Some((_, rest)) = value.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https")) else {
        let scheme = value.split("://").next().filter(|scheme| scheme.len() < value.len()).unwrap_or_default();
        return refuse(format!(
            "Invalid scheme '{scheme}' in X-Container-Sync-To, must be \"//\", \"http\", or \"https\"."
        ));
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.split(':').next().unwrap_or_default();
    if path.is_empty() {
        return refuse("Path required in X-Container-Sync-To".to_owned());
    }
    if value.contains(['?', '#', ';']) {
        return refuse("Params, queries, and fragments not allowed in X-Container-Sync-To".to_owned());
    }
    if host != ALLOWED_HOST {
        return refuse(format!("Invalid host '{host}' in X-Container-Sync-To"));
    }
    Ok(())
}
