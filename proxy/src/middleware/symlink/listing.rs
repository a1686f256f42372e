//! Listings: what stands behind a link's ETag becomes fields of its own.

use crate::middleware::listing_formats::collect;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::Status;
use base::http::server::{LocalFuture, Response, ResponseBody};
use base::quote::quote;
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value};
use std::rc::Rc;

/// Most bytes of one page.
const PAGE_MAX: usize = 96 * 1024 * 1024;
const MARK: &[u8] = b"symlink_target";

/// The listing, its links named. A page without links passes as it is.
pub(super) fn with_links(next: Rc<dyn Application>, request: ClientRequest) -> LocalFuture<'static, Response> {
    Box::pin(async move {
        let account = quote(request.path.account.as_bytes());
        let mut response = next.call(request).await;
        if response.head.status.0 != 200 {
            return response;
        }
        let body = std::mem::replace(&mut response.body, ResponseBody::Empty);
        let Some(body) = collect(body, PAGE_MAX).await else { return respond::standard(Status(503)) };
        response.head.headers.remove("Content-Length");
        response.body = ResponseBody::Full(named(body, &account));
        response
    })
}

fn named(body: Bytes, account: &str) -> Bytes {
    if memmem::find(&body, MARK).is_none() {
        return body;
    }
    let Ok(mut rows) = serde_json::from_slice::<Vec<Map<String, Value>>>(&body) else { return body };
    for row in &mut rows {
        name(row, account);
    }
    serde_json::to_vec(&rows).map_or(body, Bytes::from)
}

fn name(row: &mut Map<String, Value>, account: &str) {
    let Some(listed) = row.get("hash").and_then(Value::as_str).map(str::to_owned) else { return };
    let mut parts = listed.split(';').map(str::trim);
    let mut hash = parts.next().unwrap_or_default().to_owned();
    let (mut target, mut account) = (None, account);
    for part in parts {
        match part.split_once('=') {
            Some(("symlink_target", value)) => target = Some(value),
            Some(("symlink_target_account", value)) => account = value,
            Some(("symlink_target_etag", value)) => {
                row.insert("symlink_etag".into(), value.into());
            }
            Some(("symlink_target_bytes", value)) => {
                row.insert("symlink_bytes".into(), value.parse::<u64>().unwrap_or(0).into());
            }
            _ => hash.push_str(&format!("; {part}")),
        }
    }
    row.insert("hash".into(), hash.into());
    if let Some(target) = target {
        row.insert("symlink_path".into(), format!("/v1/{account}/{target}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_named_and_other_rows_stay() {
        let body = br#"[{"name":"a","hash":"x"},{"name":"b","hash":"d4; slo_etag=q; symlink_target=c/o; symlink_target_etag=e; symlink_target_bytes=5"}]"#;
        let rows: Value = serde_json::from_slice(&named(Bytes::from_static(body), "AUTH_a")).unwrap();
        assert_eq!(rows[0], serde_json::json!({"name": "a", "hash": "x"}));
        assert_eq!(rows[1]["hash"], "d4; slo_etag=q");
        assert_eq!(rows[1]["symlink_path"], "/v1/AUTH_a/c/o");
        assert_eq!(rows[1]["symlink_etag"], "e");
        assert_eq!(rows[1]["symlink_bytes"], 5);
        let plain = Bytes::from_static(b"[{\"hash\":\"x\"}]");
        assert_eq!(named(plain.clone(), "AUTH_a"), plain);
    }
}
