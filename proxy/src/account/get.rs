//! GET and HEAD of an account: its listing (as JSON) and its counts.

use crate::backend::outgoing::Origin;
use crate::backend::read::{Found, Read, find};
use crate::container::listing;
use crate::core::Core;
use crate::middleware::authorization::show_account_fields;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{Response, ResponseBody};
use base::http::{Method, ResponseHead, Status};
use base::pieces;
use std::rc::Rc;

/// Asks the account's nodes. An account nobody has written to yet reads as empty when `account_autocreate`.
pub(super) async fn get(core: &Rc<Core>, request: ClientRequest) -> Response {
    let checked = listing::check_encoding(&request)
        .and_then(|()| listing::check_limit(&request, core.config.constraints.account_listing_limit));
    if let Err(refused) = checked {
        return *refused;
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
            let mut response = listing::answer(core, source, &request);
            show_account_fields(&core.config, &request, &mut response);
            response
        }
        Found::Nothing(head) if head.status.0 == 404 => missing(core, &request, &head),
        Found::Nothing(head) => respond::standard(head.status),
    }
}

fn missing(core: &Rc<Core>, request: &ClientRequest, head: &ResponseHead) -> Response {
    let status = head.headers.get_str("X-Account-Status").unwrap_or_default();
    if status.eq_ignore_ascii_case("deleted") {
        return respond::told(Status(410), "").header("X-Account-Status", "Deleted");
    }
    if !core.config.account_autocreate {
        return respond::standard(Status(404));
    }
    let mut response = if request.method == Method::Head {
        respond::response(ResponseHead::new(Status(200)), ResponseBody::Empty)
            .header("Content-Type", "application/json; charset=utf-8")
    } else {
        Response::full(Status(200), "application/json; charset=utf-8", "[]")
    };
    for name in ["X-Account-Container-Count", "X-Account-Object-Count", "X-Account-Bytes-Used"] {
        response = response.header(name, "0");
    }
    let now = request.timestamp.normal();
    response.header("X-Timestamp", now.clone()).header("X-Put-Timestamp", now)
}
