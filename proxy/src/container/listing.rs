//! What listings of accounts and containers share: their parameters and their answers.

use crate::backend::read::Source;
use crate::core::Core;
use crate::request::ClientRequest;
use crate::{object, respond};
use base::config::is_true;
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, Status};
use base::quote::{Query, quote};
use std::rc::Rc;

/// The query for the backends: JSON, and the parameters a listing knows.
pub(crate) fn query(client: &Query) -> String {
    let mut query = String::from("?format=json");
    for (name, value) in client.iter() {
        if let Some(known) = KNOWN.iter().find(|known| known.as_bytes() == name) {
            query.push('&');
            query.push_str(known);
            query.push('=');
            // `quote` leaves the slash alone, which is legal in a query.
            query.push_str(&quote(value));
        }
    }
    query
}

/// Middleware may list reserved names: in a container whose own name is one, and where it asks so (the gatekeeper keeps clients from it).
pub(crate) fn show_reserved(request: &ClientRequest, headers: &mut Headers) {
    let is_reserved = request.path.container.as_deref().is_some_and(|name| name.starts_with('\0'));
    if is_reserved || request.headers.contains(ALLOW_RESERVED_NAMES) {
        headers.set(ALLOW_RESERVED_NAMES, "true");
    }
}

/// Where a request may name, and a listing may show, names that begin with NUL.
pub(crate) const ALLOW_RESERVED_NAMES: &str = "X-Backend-Allow-Reserved-Names";

/// A page larger than there are is refused, before anything is asked.
pub(crate) fn check_limit(request: &ClientRequest, longest: usize) -> Result<(), Box<Response>> {
    let limit = request.query.get("limit").filter(|text| !text.is_empty() && text.iter().all(u8::is_ascii_digit));
    let limit =
        limit.map(|text| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX));
    if request.method == Method::Get && limit.is_some_and(|limit| limit > longest) {
        return Err(Box::new(respond::told(Status(412), format!("Maximum limit is {longest}"))));
    }
    Ok(())
}

/// Parameters must be UTF-8; Swift names the first that is not, of a container itself, of an account by its server's mouth.
pub(crate) fn check_encoding(request: &ClientRequest) -> Result<(), Box<Response>> {
    const OF_CONTAINER: [&str; 8] =
        ["marker", "end_marker", "prefix", "delimiter", "path", "format", "reverse", "limit"];
    const OF_ACCOUNT: [&str; 5] = ["prefix", "delimiter", "reverse", "marker", "end_marker"];
    let (checked, kind): (&[&str], _) = match request.path.container {
        Some(_) => (&OF_CONTAINER, "text/plain"),
        None => (&OF_ACCOUNT, "text/html; charset=UTF-8"),
    };
    let is_wrong = |name: &&str| request.query.get(name).is_some_and(|value| std::str::from_utf8(value).is_err());
    match checked.iter().find(|name| is_wrong(name)) {
        Some(name) if request.method == Method::Get => {
            let text = format!("\"{name}\" parameter not valid UTF-8");
            Err(Box::new(Response::full(Status(400), kind, text)))
        }
        _ => Ok(()),
    }
}

/// `X-Newest: true`.
pub(crate) fn wants_newest(request: &ClientRequest) -> bool {
    request.headers.get_str("X-Newest").is_some_and(is_true)
}

/// The client's answer: the source's status, cleaned fields, its body streamed.
pub(crate) fn answer(core: &Rc<Core>, mut source: Source, request: &ClientRequest) -> Response {
    let mut head = source.head;
    let hidden: &[String] = if request.is_owner { &[] } else { &core.config.swift_owner_headers };
    head.headers = respond::read_headers(head.headers, hidden);
    head.headers.set("Accept-Ranges", "bytes");
    let length = head.headers.get_str("Content-Length").and_then(|text| text.parse().ok());
    if request.method == Method::Head || head.status.0 == 204 {
        object::stream::discard(core, source.exchange);
        return respond::response(head, ResponseBody::Empty);
    }
    head.headers.remove("Content-Length");
    if let Some(page) = length.and_then(|length| source.exchange.take_ready(length)) {
        return respond::response(head, ResponseBody::Full(page));
    }
    let body = object::stream::Plain::new(source.exchange);
    respond::response(head, ResponseBody::Stream { length, source: Box::new(body) })
}

const KNOWN: [&str; 7] = ["limit", "marker", "end_marker", "prefix", "delimiter", "path", "reverse"];
