//! HEAD of a container.

use super::with_info;
use crate::db::info::Info;
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::server::Response;
use base::http::{RequestHead, Status};
use base::quote::Query;

/// 204, or 404 with what is known about a deleted one.
pub(super) async fn head(service: &Service, head: &RequestHead) -> Answer {
    let format = service::format(head, &Query::parse(head.query()))?;
    let info = service.info().await?;
    Ok(if info.as_ref().is_some_and(|info| !Info::is_deleted(info)) {
        with_info(Response::empty(Status(204)).header("Content-Type", format.content_type()), info.as_ref())
    } else {
        with_info(reply::status(404), info.as_ref())
    })
}
