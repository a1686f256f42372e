//! PUT of a container's row (specs §5): what a container server reports.

use crate::db::container_row::{ContainerUpdate, value};
use crate::db::key::NAME_BYTES_MAX;
use crate::db::lifecycle;
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::server::Response;
use base::http::{RequestHead, Status};
use base::io;
use base::timestamp::Timestamp;

/// 201, or 204 when the report says that the container is gone; 404 when there is no such account, or a deleted one
/// without `X-Account-Override-Deleted: yes`.
pub(super) async fn put(service: &Service, head: &RequestHead, container: &str) -> Answer {
    if container.len() > NAME_BYTES_MAX {
        return Err(reply::text(
            400,
            format!("Container name length of {} longer than {NAME_BYTES_MAX}", container.len()),
        ));
    }
    let (put, delete) = (time(head, "X-Put-Timestamp")?, time(head, "X-Delete-Timestamp")?);
    let is_gone = value(&delete) > value(&put);
    let policy = head.headers.get_str("X-Backend-Storage-Policy-Index").map_or(Ok(0), str::parse);
    let update = ContainerUpdate {
        name: container.to_owned(),
        put: Some(put),
        delete: Some(delete),
        objects: Some(number(head, "X-Object-Count")?),
        bytes: Some(number(head, "X-Bytes-Used")?),
        policy: Some(policy.map_err(|_| reply::text(400, "Invalid X-Backend-Storage-Policy-Index"))?),
    };
    let created_at = match head.headers.contains("X-Timestamp") {
        true => service::timestamp(head)?,
        false => Timestamp::from_unix(io::unix_time()),
    };
    let create = service.is_auto_created().then(|| service.change(created_at));
    let overridden =
        head.headers.get_str("X-Account-Override-Deleted").is_some_and(|text| text.eq_ignore_ascii_case("yes"));

    let hash = service.hash;
    let merged = service.rows.write(move |write| {
        lifecycle::merge_containers(write, &hash, create.as_ref(), overridden, std::slice::from_ref(&update))
    });
    match merged.await.map_err(|error| service.failed(&error))? {
        false => Err(reply::status(404)),
        true => Ok(reply::empty(Status(if is_gone { 204 } else { 201 }))),
    }
}

/// As sent; Swift fails on a missing one with a traceback, container servers always send it.
fn time(head: &RequestHead, name: &str) -> Result<String, Response> {
    let text = head.headers.get_str(name).ok_or_else(|| reply::status(500))?;
    Timestamp::parse(text).map_err(|_| reply::text(400, format!("Invalid {name} header")))?;
    Ok(text.to_owned())
}

fn number(head: &RequestHead, name: &str) -> Result<i64, Response> {
    let text = head.headers.get_str(name).ok_or_else(|| reply::status(500))?;
    text.trim().parse().map_err(|_| reply::text(400, format!("Invalid {name} header")))
}
