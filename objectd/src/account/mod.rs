//! The account service: rows of containers, kept by `db`, spoken to by proxies and container servers (specs §5).
//!
//! `handle` finds the device and the database and hands over to the file of the verb. The background loop forgets what
//! is old enough, for accounts and containers, whose rows lie in one environment.

mod delete;
mod get;
mod head;
mod post;
mod put;
mod row_put;
#[cfg(test)]
mod tests;

use crate::container;
use crate::db::info::{Info, Stats};
use crate::db::key::Kind;
use crate::db::service::{self, Answer, Service};
use crate::node::Node;
use crate::reply;
use base::http::server::{Request, Response};
use base::http::{Method, RequestHead, Status};
use base::io;
use base::names::BackendPath;
use std::rc::Rc;

/// Answers one request of the account port.
pub async fn handle(node: Rc<Node>, request: Request) -> Response {
    let head = request.head;
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
        hash: service::hash_of(&node.config.hash_path, Kind::Account, &path),
        kind: Kind::Account,
        path,
        constraints: node.config.constraints.clone(),
        policies: node.config.policy_names.clone(),
        reclaim_age: node.config.reclaim_age,
        node: Some(node),
    };
    serve(&service, &head).await
}

/// Answers a request whose device and name are known.
pub(crate) async fn serve(service: &Service, head: &RequestHead) -> Response {
    let answer: Answer = match (head.method, &service.path.container, &service.path.object) {
        (Method::Options, ..) => Ok(options()),
        (_, _, Some(_)) => Err(service::invalid_path(head)),
        (Method::Put, Some(container), None) => row_put::put(service, head, container).await,
        (Method::Get | Method::Head | Method::Post | Method::Delete, Some(_), None) => Err(service::invalid_path(head)),
        (Method::Get, None, None) => get::get(service, head).await,
        (Method::Head, None, None) => head::head(service, head).await,
        (Method::Put, None, None) => put::put(service, head).await,
        (Method::Post, None, None) => post::post(service, head).await,
        (Method::Delete, None, None) => delete::delete(service, head).await,
        _ => Err(reply::status(405)),
    };
    answer.unwrap_or_else(|refusal| refusal)
}

fn options() -> Response {
    reply::options("account-server", "DELETE, GET, HEAD, OPTIONS, POST, PUT, REPLICATE")
}

/// An answer about an account that is missing, or deleted, which the proxy wants to tell apart.
fn absent(code: u16, body: &'static str, info: Option<&Info>) -> Response {
    let response = Response::full(Status(code), "text/html; charset=utf-8", body);
    if info.is_some() { response.header("X-Account-Status", "Deleted") } else { response }
}

/// The headers of every HEAD and GET answer: counts in all and by policy, times, metadata.
fn with_info(service: &Service, mut response: Response, info: &Info) -> Response {
    let headers = &mut response.head.headers;
    let mut count = |prefix: &str, stats: &Stats| {
        headers.set(format!("{prefix}-Container-Count"), stats.containers.to_string());
        headers.set(format!("{prefix}-Object-Count"), stats.objects.to_string());
        headers.set(format!("{prefix}-Bytes-Used"), stats.bytes.to_string());
    };
    count("X-Account", &info.total());
    for (policy, stats) in &info.stats {
        if let Some(name) = service.policies.name(*policy) {
            let name = base::http::headers::title_case(name.as_bytes());
            count(&format!("X-Account-Storage-Policy-{}", String::from_utf8_lossy(&name)), stats);
        }
    }
    headers.set("X-Timestamp", info.created_at.normal());
    headers.set("X-Put-Timestamp", info.put.normal());
    for (name, value) in info.shown_metadata() {
        headers.set(name.to_owned(), value.to_owned());
    }
    response
}

/// The background loop of this core: forgets tombstones and deleted databases, until the process ends.
pub async fn updater(node: Rc<Node>) {
    loop {
        io::sleep(node.config.updater_interval).await;
        update_once(&node).await;
    }
}

/// One pass of it.
pub async fn update_once(node: &Rc<Node>) {
    for device in node.devices() {
        if node.device(&device.name).await.is_none() {
            continue;
        }
        match container::reclaim(node, &device).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(device = %device.name, forgotten, "rows reclaimed"),
            Err(error) => tracing::error!(device = %device.name, %error, "reclaim of rows"),
        }
    }
}
