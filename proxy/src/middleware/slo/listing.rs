//! Listings: the ETag of the whole stands behind the manifest's; it becomes a field of its own.

use crate::middleware::rows::{self, Edit};
use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::http::server::Response;
use base::io::Job;
use serde_json::{Map, Value};
use std::rc::Rc;

/// The listing, large objects with both ETags. A page without them passes as it is.
pub(super) fn with_etags(next: Rc<dyn Application>, request: ClientRequest) -> Job<Response> {
    Job::new(async move {
        let response = next.call(request).await;
        let is_json =
            response.head.headers.get("Content-Type").is_some_and(|kind| kind.starts_with(b"application/json"));
        if response.head.status.0 == 200 && is_json { rows::edited(response, Etags).await } else { response }
    })
}

struct Etags;

impl Edit for Etags {
    const MARK: &'static [u8] = b"slo_etag";

    fn edit(&self, row: &mut Map<String, Value>) {
        let Some(listed) = row.get("hash").and_then(Value::as_str) else { return };
        let mut parts = listed.split(';').map(str::trim);
        let mut hash = parts.next().unwrap_or_default().to_owned();
        let mut etag = None;
        for part in parts {
            match part.strip_prefix("slo_etag=") {
                Some(value) => etag = Some(format!("\"{value}\"")),
                None => hash.push_str(&format!("; {part}")),
            }
        }
        if let Some(etag) = etag {
            row.insert("hash".into(), hash.into());
            row.insert("slo_etag".into(), etag.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn large_objects_show_both_etags_and_other_rows_stay() {
        let body = br#"[{"name":"a","hash":"x"},{"name":"b","hash":"d4; a=b; slo_etag=q"},{"subdir":"slo_etag/"}]"#;
        let rows: Value = serde_json::from_slice(&rows::page(&Etags, Bytes::from_static(body))).unwrap();
        assert_eq!(rows[0], serde_json::json!({"name": "a", "hash": "x"}));
        assert_eq!(rows[1], serde_json::json!({"name": "b", "hash": "d4; a=b", "slo_etag": "\"q\""}));
        assert_eq!(rows[2]["subdir"], "slo_etag/");
        let plain = Bytes::from_static(b"[{\"hash\":\"x\"}]");
        assert_eq!(rows::page(&Etags, plain.clone()), plain);
    }
}
