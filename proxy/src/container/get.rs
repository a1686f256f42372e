//! GET and HEAD of a container: its listing (as JSON), counts, metadata and ACLs.

use super::listing;
use crate::app::authorize_with;
use crate::backend::outgoing::Origin;
use crate::backend::read::{Found, Read, find};
use crate::core::Core;
use crate::facts::account_info;
use crate::request::ClientRequest;
use crate::respond;
use base::config::is_true;
use base::http::Status;
use base::http::server::Response;
use base::pieces;
use std::rc::Rc;

/// Asks the container's nodes; its ACL decides who may see the answer.
pub(super) async fn get(core: &Rc<Core>, mut request: ClientRequest) -> Response {
    let checked = listing::check_encoding(&request)
        .and_then(|()| listing::check_limit(&request, core.config.constraints.container_listing_limit));
    if let Err(refused) = checked {
        return *refused;
    }
    if !request.path.account.starts_with('.') {
        let info = account_info(core, &request.path.account, &request.trans_id).await;
        if !info.exists() {
            return refuse(core, &mut request, Status(if info.status >= 500 { 503 } else { 404 })).await;
        }
    }
    let placement = core.backend.place(&core.config, &request.path);
    let mut candidates = core.backend.candidates(&core.config, &placement);
    let mut headers = Origin::of(&request).headers();
    headers.set("Accept", "application/json");
    pieces::ask(&mut headers);
    listing::show_reserved(&request, &mut headers);
    let read = Read {
        method: request.method,
        path: request.path.clone(),
        placement,
        query: listing::query(&request.query),
        headers,
        deadline: core.config.node_timeout,
        newest: listing::wants_newest(&request),
        tombstones: false,
    };
    match find(core, &read, &mut candidates).await {
        Found::Source(source) => {
            let acl = source.head.headers.get_str("X-Container-Read").map(str::to_owned);
            if let Err(denial) = authorize_with(core, &mut request, acl.as_deref(), None).await {
                return *denial;
            }
            let index =
                source.head.headers.get_str("X-Backend-Storage-Policy-Index").and_then(|text| text.parse().ok());
            let policy = core.config.policies.iter().find(|policy| policy.index == index.unwrap_or(0));
            let sharding = source.head.headers.get_str("X-Container-Sysmeta-Sharding").is_some_and(is_true);
            let response = show_sharding(&request, listing::answer(core, source, &request), sharding);
            match policy {
                Some(policy) => response.header("X-Storage-Policy", policy.name().to_owned()),
                None => response,
            }
        }
        Found::Nothing(head) => {
            let response = refuse(core, &mut request, head.status).await;
            if response.head.status == head.status { show_sharding(&request, response, false) } else { response }
        }
    }
}

/// Resellers see whether a container is cut into shards.
fn show_sharding(request: &ClientRequest, response: Response, is_sharded: bool) -> Response {
    if !request.identity.is_reseller {
        return response;
    }
    response.header("X-Container-Sharding", if is_sharded { "True" } else { "False" })
}

/// Who may not read the account does not learn what it lacks.
async fn refuse(core: &Rc<Core>, request: &mut ClientRequest, status: Status) -> Response {
    match authorize_with(core, request, None, None).await {
        Ok(()) => respond::standard(status),
        Err(denial) => *denial,
    }
}
