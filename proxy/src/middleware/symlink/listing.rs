//! Listings: what stands behind a link's ETag becomes fields of its own.

use crate::middleware::rows::{self, Edit};
use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::http::server::Response;
use base::io::Job;
use base::quote::quote;
use serde_json::{Map, Value};
use std::rc::Rc;

/// The listing, its links named. A page without links passes as it is.
pub(super) fn with_links(next: Rc<dyn Application>, request: ClientRequest) -> Job<Response> {
    Job::new(async move {
        let links = Links { account: quote(request.path.account.as_bytes()) };
        let response = next.call(request).await;
        if response.head.status.0 == 200 { rows::edited(response, links).await } else { response }
    })
}

/// Of rows of this account.
struct Links {
    account: String,
}

impl Edit for Links {
    const MARK: &'static [u8] = b"symlink_target";

    fn edit(&self, row: &mut Map<String, Value>) {
        let Some(listed) = row.get("hash").and_then(Value::as_str).map(str::to_owned) else { return };
        let mut parts = listed.split(';').map(str::trim);
        let mut hash = parts.next().unwrap_or_default().to_owned();
        let (mut target, mut account) = (None, self.account.as_str());
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn links_are_named_and_other_rows_stay() {
        let body = br#"[{"name":"a","hash":"x"},{"name":"b","hash":"d4; slo_etag=q; symlink_target=c/o; symlink_target_etag=e; symlink_target_bytes=5"}]"#;
        let links = Links { account: "AUTH_a".to_owned() };
        let rows: Value = serde_json::from_slice(&rows::page(&links, Bytes::from_static(body))).unwrap();
        assert_eq!(rows[0], serde_json::json!({"name": "a", "hash": "x"}));
        assert_eq!(rows[1]["hash"], "d4; slo_etag=q");
        assert_eq!(rows[1]["symlink_path"], "/v1/AUTH_a/c/o");
        assert_eq!(rows[1]["symlink_etag"], "e");
        assert_eq!(rows[1]["symlink_bytes"], 5);
        let plain = Bytes::from_static(b"[{\"hash\":\"x\"}]");
        assert_eq!(rows::page(&links, plain.clone()), plain);
    }
}
