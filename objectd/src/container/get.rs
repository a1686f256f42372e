//! GET of a container: a page of its objects (specs §2.3).

use super::{requested_policy, with_info};
use crate::db::info::Info;
use crate::db::page;
use crate::db::render::Renderer;
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::RequestHead;
use base::pieces;
use base::quote::Query;
use base::scratch;

/// Rows of the asked policy, else of the container's. Asked for shard ranges, it answers that there are none: no container
/// is sharded here.
pub(super) async fn get(service: &Service, head: &RequestHead) -> Answer {
    let query = Query::parse(head.query());
    let mut selection = service::selection(head, &query, service.constraints.container_listing_limit, true)?;
    let format = service::format(head, &query)?;
    let policy = requested_policy(service, head)?;
    let asks_shards =
        head.headers.get_str("X-Backend-Record-Type").is_some_and(|kind| kind.eq_ignore_ascii_case("shard"));
    if asks_shards {
        selection.limit = 0;
    }
    let renderer = Renderer::new(service::listing_of(service), format);

    let (info, response) = page::list(service, selection, policy, renderer, pieces::are_asked(&head.headers)).await?;
    let Some(info) = info.as_ref().filter(|info| !Info::is_deleted(info)) else {
        return Err(with_info(reply::status(404), info.as_ref()));
    };
    let response = with_info(response, Some(info));
    if asks_shards {
        let format = head.headers.get_str("X-Backend-Record-Shard-Format").unwrap_or("full").to_ascii_lowercase();
        return Ok(response
            .header("X-Backend-Record-Type", "shard")
            .header("X-Backend-Record-Shard-Format", if format == "namespace" { "namespace" } else { "full" }));
    }
    Ok(response
        .header("X-Backend-Record-Type", "object")
        .header("X-Backend-Record-Storage-Policy-Index", scratch::number(policy.unwrap_or(info.policy).into())))
}
