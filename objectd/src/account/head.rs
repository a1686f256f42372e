//! HEAD of an account.

use super::{absent, with_info};
use crate::db::info::Info;
use crate::db::service::{self, Answer, Service};
use base::http::server::Response;
use base::http::{RequestHead, Status};
use base::quote::Query;

/// 204, or 404 that tells a deleted account from none.
pub(super) async fn head(service: &Service, head: &RequestHead) -> Answer {
    let format = service::format(head, &Query::parse(head.query()))?;
    let info = service.info().await?;
    let Some(shown) = info.as_ref().filter(|info| !Info::is_deleted(info)) else {
        return Err(absent(404, "", info.as_ref()));
    };
    Ok(with_info(service, Response::empty(Status(204)).header("Content-Type", format.content_type()), shown))
}
