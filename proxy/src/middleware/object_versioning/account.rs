//! The listing of containers, with what their versions take.

use super::ObjectVersioning;
use super::container::{Row, rows, with_rows};
use super::names::{VERSIONS_PREFIX, versioned_container, versions_container};
use crate::container::listing::ALLOW_RESERVED_NAMES;
use crate::request::ClientRequest;
use crate::respond;
use base::config::is_true;
use base::http::server::Response;
use base::http::{Method, Status};
use base::quote::{Query, quote};
use serde_json::Value;
use std::collections::BTreeMap;

/// Each container with the bytes of its versions; versions whose container is gone are shown, so that somebody can delete them.
pub(super) async fn list(layer: ObjectVersioning, request: ClientRequest) -> Response {
    let mut second = layer.granted(&request, Method::Get, request.path.clone());
    second.headers.set(ALLOW_RESERVED_NAMES, "true");
    second.query = versions_query(&request.query);
    let query = request.query.clone();
    let mut response = layer.next.call(request).await;
    if !response.head.status.is_success() {
        return response;
    }
    let Some(mut listed) = rows(&mut response).await else { return respond::standard(Status(503)) };
    let mut hidden: BTreeMap<String, Row> = BTreeMap::new();
    let mut answer = layer.next.call(second).await;
    if answer.head.status.is_success() {
        for row in rows(&mut answer).await.unwrap_or_default() {
            let name = row.get("name").and_then(Value::as_str).and_then(versioned_container);
            if let Some(name) = name.map(str::to_owned) {
                hidden.insert(name, row);
            }
        }
    }
    for row in &mut listed {
        let name = row.get("name").and_then(Value::as_str);
        if let Some(of_versions) = name.and_then(|name| hidden.remove(name)) {
            let bytes = |row: &Row| row.get("bytes").and_then(Value::as_u64).unwrap_or(0);
            let sum = bytes(row).saturating_add(bytes(&of_versions));
            row.insert("bytes".into(), sum.into());
        }
    }
    for (name, mut row) in hidden {
        row.insert("name".into(), name.into());
        row.insert("count".into(), 0.into());
        listed.push(row);
    }
    let key = |row: &Row| row.get("name").or(row.get("subdir")).and_then(Value::as_str).unwrap_or_default().to_owned();
    listed.sort_by_cached_key(key);
    if query.get("reverse").is_some_and(|value| std::str::from_utf8(value).is_ok_and(is_true)) {
        listed.reverse();
    }
    let most = layer.config.constraints.account_listing_limit;
    let limit = query.get("limit").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(most);
    listed.truncate(limit.min(most));
    with_rows(response, &listed)
}

/// The client's parameters, about names of versions containers.
fn versions_query(query: &Query) -> Query {
    let mut said = Vec::new();
    let mut has_prefix = false;
    for (name, value) in query.iter() {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let value = match name {
            "prefix" | "marker" | "end_marker" => {
                has_prefix |= name == "prefix";
                quote(versions_container(&String::from_utf8_lossy(value)).as_bytes())
            }
            "limit" | "delimiter" | "reverse" => quote(value),
            _ => continue,
        };
        said.push(format!("{name}={value}"));
    }
    if !has_prefix {
        said.push(format!("prefix={}", quote(VERSIONS_PREFIX.as_bytes())));
    }
    Query::parse(said.join("&").as_bytes())
}
