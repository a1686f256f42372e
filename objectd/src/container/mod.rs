//! The container service: rows of objects, kept by `db`, spoken to by proxies and object servers (specs §2).
//!
//! `handle` finds the device and the database and hands over to the file of the verb. `updater` tells accounts what
//! changed, in the foreground and in the background.

mod delete;
mod get;
mod head;
mod intake;
mod journal;
mod post;
mod put;
mod row_delete;
mod row_put;
mod rows_update;
#[cfg(test)]
mod tests;
mod updater;

use crate::db::info::Info;
use crate::db::key::Kind;
use crate::db::service::{self, Answer, Service};
use crate::node::Node;
use crate::reply;
use base::http::server::{Request, RequestBody, Response};
use base::http::{Method, RequestHead};
use base::names::BackendPath;
use base::scratch;
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::rc::Rc;

pub(crate) use intake::{Intake, Row, Taken};
pub(crate) use row_put::update_of;
#[cfg(test)]
pub(crate) use rows_update::row as row_of;
pub(crate) use updater::reclaim;
pub use updater::{update_once, updater};

/// Headers saved beside `X-Container-Meta-*` and `X-Container-Sysmeta-*`.
const SAVED: [&str; 4] = ["X-Container-Read", "X-Container-Write", "X-Container-Sync-Key", "X-Container-Sync-To"];

/// Answers one request of the container port.
pub async fn handle(node: Rc<Node>, request: Request) -> Response {
    let Request { head, mut body, .. } = request;
    if head.method == Method::Options {
        return options();
    }
    let path = match service::parse_path(&head) {
        Ok(path) => path,
        Err(refusal) => return refusal,
    };
    let Some(device) = node.device(&path.device).await else {
        return reply::insufficient_storage(&path.device);
    };
    let BackendPath { device: name, path, .. } = path;
    let service = Service {
        rows: device.rows.clone(),
        intake: device.intake.clone(),
        device: name,
        hash: service::hash_of(&node.config.hash_path, Kind::Container, &path),
        kind: Kind::Container,
        path,
        constraints: node.config.constraints.clone(),
        policies: node.config.policy_names.clone(),
        reclaim_age: node.config.reclaim_age,
        node: Some(node),
    };
    serve(&service, &head, &mut body).await
}

/// The end of a node: no row is left in a journal.
pub async fn finish(node: &Node) {
    for device in node.devices() {
        if let Err(error) = device.intake.settle_all().await {
            tracing::warn!(device = %device.name, error, "rows stay in the journal; the next start tries again");
        }
    }
}

/// Answers a request whose device and name are known.
pub(crate) async fn serve(service: &Service, head: &RequestHead, body: &mut RequestBody) -> Response {
    if let Err(refusal) = settle(service, head).await {
        return refusal;
    }
    let answer: Answer = match (head.method, &service.path.container, &service.path.object) {
        (Method::Options, ..) => Ok(options()),
        (_, None, _) => Err(service::invalid_path(head)),
        (Method::Put, _, Some(object)) => row_put::put(service, head, object).await,
        (Method::Delete, _, Some(object)) => row_delete::delete(service, head, object).await,
        (Method::Get | Method::Head | Method::Post | Method::Update, _, Some(_)) => Err(service::invalid_path(head)),
        (Method::Get, ..) => get::get(service, head).await,
        (Method::Head, ..) => head::head(service, head).await,
        (Method::Put, ..) => put::put(service, head).await,
        (Method::Post, ..) => post::post(service, head).await,
        (Method::Delete, ..) => delete::delete(service, head).await,
        (Method::Update, ..) => rows_update::update(service, head, body).await,
        _ => Err(reply::status(405)),
    };
    answer.unwrap_or_else(|refusal| refusal)
}

/// Has the rows of the container that wait in the journal moved into the database, where a request looks at more than one row.
async fn settle(service: &Service, head: &RequestHead) -> Result<(), Response> {
    let is_row = service.path.object.is_some() || head.method == Method::Update;
    let settled = if is_row { Ok(()) } else { service.intake.settle(&service.hash).await };
    match (settled, head.method) {
        // Where the disk is full, what the database has is still to be had; rows that wait are listed later, as updates under way are.
        (Ok(()), _) | (Err(_), Method::Get | Method::Head) => Ok(()),
        (Err(why), _) => Err(service.failed(&std::io::Error::other(why))),
    }
}

fn options() -> Response {
    reply::options("container-server", "DELETE, GET, HEAD, OPTIONS, POST, PUT, REPLICATE, UPDATE")
}

/// The policy a request names, if it is one this node knows.
fn requested_policy(service: &Service, head: &RequestHead) -> Result<Option<u32>, Response> {
    const NAME: &str = "X-Backend-Storage-Policy-Index";
    let Some(value) = head.headers.get(NAME) else { return Ok(None) };
    let text = String::from_utf8_lossy(value);
    match text.parse().ok().filter(|index| service.policies.name(*index).is_some()) {
        Some(index) => Ok(Some(index)),
        None => Err(reply::text(400, format!("Invalid {NAME} {text}"))),
    }
}

/// The headers of every HEAD and GET answer (specs §2.1): what the proxy needs to choose between replicas, and for a
/// container that is there its counts, times and metadata.
fn with_info(mut response: Response, info: Option<&Info>) -> Response {
    let headers = &mut response.head.headers;
    let time = |pick: fn(&Info) -> Timestamp| info.map_or(Timestamp::ZERO, pick).internal_field();
    headers.set("X-Backend-Timestamp", time(|info| info.created_at));
    headers.set("X-Backend-Put-Timestamp", time(|info| info.put));
    headers.set("X-Backend-Delete-Timestamp", time(|info| info.delete));
    headers.set("X-Backend-Status-Changed-At", time(|info| info.status_changed_at));
    headers.set("X-Backend-Storage-Policy-Index", scratch::number(info.map_or(0, |info| info.policy).into()));
    if let Some(info) = info.filter(|info| !info.is_deleted()) {
        let stats = info.stats_of(info.policy);
        headers.set("X-Container-Object-Count", count(stats.objects));
        headers.set("X-Container-Bytes-Used", count(stats.bytes));
        headers.set("X-Timestamp", info.created_at.normal_field());
        headers.set("X-Put-Timestamp", info.put.normal_field());
        headers.set("X-Backend-Sharding-State", "unsharded");
        headers.set("Last-Modified", base::http::date::format(info.put.ceil_seconds()));
        for (name, value) in info.shown_metadata() {
            headers.set(name.to_owned(), value.to_owned());
        }
    }
    response
}

/// Of a field; below zero where deletions were merged before what they delete.
fn count(number: i64) -> Bytes {
    u64::try_from(number).map_or_else(|_| scratch::text(&number.to_string()), scratch::number)
}
