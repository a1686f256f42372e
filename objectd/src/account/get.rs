//! GET of an account: a page of its containers (specs §5).

use super::{absent, with_info};
use crate::db::info::Info;
use crate::db::page;
use crate::db::render::Renderer;
use crate::db::service::{self, Answer, Service};
use base::http::RequestHead;
use base::pieces;
use base::quote::Query;

/// Live rows of all policies.
pub(super) async fn get(service: &Service, head: &RequestHead) -> Answer {
    let query = Query::parse(head.query());
    let selection = service::selection(head, &query, service.constraints.account_listing_limit, false)?;
    let format = service::format(head, &query)?;
    let renderer = Renderer::new(service::listing_of(service), format);

    let (info, response) = page::list(service, selection, None, renderer, pieces::are_asked(&head.headers)).await?;
    let Some(info) = info.as_ref().filter(|info| !Info::is_deleted(info)) else {
        return Err(absent(404, "", info.as_ref()));
    };
    Ok(with_info(service, response, info))
}
