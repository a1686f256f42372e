//! Core: requests to backends, written afresh from parsed values.
//!
//! # Invariants
//!
//! - No field of a client passes unless the verb's code put it here by name or by one of the prefixes below.

use super::nodes::Node;
use crate::request::ClientRequest;
use base::digits;
use base::http::headers::with_lower;
use base::http::{Headers, Method, RequestHead};
use base::names::Path;
use base::quote::quote_into;
use base::scratch;
use base::timestamp::Timestamp;
use bytes::Bytes;

/// Space for the fields of a backend request: nearly all fit.
const FIELDS_SPACE: usize = 16;

/// What every backend request made for one client request carries.
#[derive(Clone, Debug)]
pub struct Origin {
    timestamp: Bytes,
    trans_id: Bytes,
    referer: Bytes,
}

impl Origin {
    /// Of a client's request.
    pub fn of(request: &ClientRequest) -> Origin {
        let host = request.headers.get_str("Host").unwrap_or("-");
        let referer = scratch::bytes(|out| {
            for part in [request.method.as_str(), " http://", host, "/v1"] {
                out.extend_from_slice(part.as_bytes());
            }
            request.path.quote_into(out);
        });
        Origin::internal(request.timestamp, request.trans_id.bytes(), referer)
    }

    /// Of a request the proxy makes on its own account.
    pub fn internal(timestamp: Timestamp, trans_id: impl Into<Bytes>, referer: impl Into<Bytes>) -> Origin {
        Origin { timestamp: timestamp.internal_field(), trans_id: trans_id.into(), referer: referer.into() }
    }

    /// The fields all backend requests have.
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::with_capacity(FIELDS_SPACE);
        headers.append("X-Timestamp", self.timestamp.clone());
        headers.append("X-Trans-Id", self.trans_id.clone());
        headers.append("User-Agent", "proxy-server");
        headers.append("Referer", self.referer.clone());
        headers
    }
}

/// The head of a request for `path` on `node`.
pub fn head(method: Method, node: &Node, partition: u32, path: &Path, query: &str, headers: Headers) -> RequestHead {
    RequestHead { method, target: target(node, partition, path, query), headers }
}

/// The target of such a request.
pub fn target(node: &Node, partition: u32, path: &Path, query: &str) -> Bytes {
    scratch::bytes(|out| {
        out.extend_from_slice(b"/");
        quote_into(out, node.device.as_bytes());
        out.extend_from_slice(b"/");
        out.extend(digits::all(partition.into()));
        path.quote_into(out);
        out.extend_from_slice(query.as_bytes());
    })
}

/// Copies the fields of `source` whose lower-case name `wanted` accepts.
pub fn copy(source: &Headers, target: &mut Headers, wanted: impl Fn(&str) -> bool) {
    for (name, value) in source.iter() {
        if with_lower(name, |lower| std::str::from_utf8(lower).is_ok_and(&wanted)) {
            target.set(name.clone(), value.clone());
        }
    }
}

/// Adds `value` to a comma list.
pub fn append_csv(headers: &mut Headers, name: &'static str, value: &str) {
    let joined = match headers.get_str(name) {
        Some(old) => format!("{old},{value}"),
        None => value.to_owned(),
    };
    headers.set(name, joined);
}

/// Names `updated` (the replicas of a parent database) in the requests to its children, in turn, `updates` times.
pub fn spread_updates(requests: &mut [Headers], kind: &UpdateFields, partition: u32, updated: &[Node], updates: usize) {
    let places = requests.len();
    if places == 0 || updated.is_empty() {
        return;
    }
    for (number, node) in updated.iter().cycle().take(updates).enumerate() {
        if let Some(headers) = requests.get_mut(number % places) {
            headers.set(kind.partition, partition.to_string());
            append_csv(headers, kind.host, &node.address.to_string());
            append_csv(headers, kind.device, &node.device);
        }
    }
}

/// Names of the three fields that tell a backend which database to update.
pub struct UpdateFields {
    /// `X-…-Partition`
    pub partition: &'static str,
    /// `X-…-Host`
    pub host: &'static str,
    /// `X-…-Device`
    pub device: &'static str,
}

/// Account updates of containers.
pub const ACCOUNT_UPDATE: UpdateFields =
    UpdateFields { partition: "X-Account-Partition", host: "X-Account-Host", device: "X-Account-Device" };
/// Container updates of objects.
pub const CONTAINER_UPDATE: UpdateFields =
    UpdateFields { partition: "X-Container-Partition", host: "X-Container-Host", device: "X-Container-Device" };
/// Updates of the queue of expiring objects.
pub const EXPIRER_UPDATE: UpdateFields =
    UpdateFields { partition: "X-Delete-At-Partition", host: "X-Delete-At-Host", device: "X-Delete-At-Device" };
