//! What the account and the container service share: a request's place, its timestamp, its listing parameters, and the
//! way from a decision in a core to the key-value environment and back.

use super::info::{self, Info};
use super::key::Kind;
use super::lifecycle::Change;
use super::listing::Selection;
use super::policies::Policies;
use super::render::{Format, Listing};
use crate::container::Intake;
use crate::node::Node;
use crate::reply;
use base::config::is_true;
use base::hash_path::{HashPath, NameHash};
use base::http::headers::title_case;
use base::http::server::Response;
use base::http::{Headers, RequestHead};
use base::io;
use base::io::kv::Kv;
use base::limits::Constraints;
use base::names::{BackendPath, InvalidPath, Path};
use base::quote::Query;
use base::timestamp::Timestamp;
use std::cmp::Reverse;
use std::rc::Rc;
use std::time::Duration;

/// Accounts that come into being by their first row (Swift's auto_create_account_prefix).
const AUTO_CREATE_PREFIX: &str = ".";

/// One request's place: the device's rows and the name in question.
pub struct Service {
    /// The device's environment.
    pub rows: Kv,
    /// The way of rows of objects into it.
    pub(crate) intake: Rc<Intake>,
    /// The device's name.
    pub device: String,
    /// What the request names.
    pub path: Path,
    /// Of the account or container.
    pub hash: NameHash,
    /// Which of the two.
    pub kind: Kind,
    /// From `swift.conf`.
    pub constraints: Constraints,
    /// From `swift.conf`.
    pub policies: Policies,
    /// Age after which deletions are forgotten.
    pub reclaim_age: Duration,
    /// For account updates; `None` in tests of a lone service.
    pub node: Option<Rc<Node>>,
}

/// A refusal is an answer that ends the request early.
pub type Answer = Result<Response, Response>;

/// The path of a backend request, or how it is refused.
pub fn parse_path(head: &RequestHead) -> Result<BackendPath, Response> {
    BackendPath::parse(head.path()).map_err(|why| match why {
        InvalidPath::Encoding => reply::message(412, "Invalid UTF8 or contains NULL"),
        InvalidPath::Shape => invalid_path(head),
    })
}

/// 400 with the path as the client sent it.
pub fn invalid_path(head: &RequestHead) -> Response {
    let path = String::from_utf8_lossy(&base::quote::unquote(head.path())).into_owned();
    reply::text(400, format!("Invalid path: {}", base::quote::quote(path.as_bytes())))
}

/// The hash of what is asked for.
pub fn hash_of(hash_path: &HashPath, kind: Kind, path: &Path) -> NameHash {
    match kind {
        Kind::Account => hash_path.hash(&path.account, None, None),
        Kind::Container => hash_path.hash(&path.account, path.container.as_deref(), None),
    }
}

/// The mandatory `X-Timestamp`.
pub fn timestamp(head: &RequestHead) -> Result<Timestamp, Response> {
    match head.headers.get("X-Timestamp") {
        None => Err(reply::text(400, "Missing X-Timestamp header")),
        Some(value) => std::str::from_utf8(value)
            .ok()
            .and_then(|text| Timestamp::parse(text).ok())
            .ok_or_else(|| reply::text(400, "Invalid X-Timestamp header")),
    }
}

/// Whether a header says yes in one of Swift's ways.
pub fn is_set(headers: &Headers, name: &str) -> bool {
    headers.get_str(name).is_some_and(is_true)
}

/// Format by `format=`, else by `Accept` (specs §1).
pub fn format(head: &RequestHead, query: &Query) -> Result<Format, Response> {
    if let Some(format) = query.get("format").filter(|format| !format.is_empty()) {
        let format = std::str::from_utf8(format)
            .map_err(|_| reply::text(400, "\"format\" parameter not valid UTF-8"))?
            .to_ascii_lowercase();
        return Ok(match format.as_str() {
            "json" => Format::Json,
            "xml" => Format::Xml,
            _ => Format::Plain,
        });
    }
    match head.headers.get_str("Accept") {
        Some(accept) if !accept.trim().is_empty() => accepted(accept).ok_or_else(|| reply::status(406)),
        _ => Ok(Format::Plain),
    }
}

/// The first offer that matches the most wanted type: by quality, then those without a wildcard, then in their order.
fn accepted(accept: &str) -> Option<Format> {
    const OFFERS: [(&str, Format); 4] = [
        ("text/plain", Format::Plain),
        ("application/json", Format::Json),
        ("application/xml", Format::Xml),
        ("text/xml", Format::TextXml),
    ];
    let mut wanted: Vec<(u32, bool, &str)> = accept
        .split(',')
        .map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|text| text.parse().ok());
            // Thousandths order like the number itself; a negative or huge one saturates.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
            let quality = (quality.unwrap_or(1.0_f64) * 1000.0) as u32;
            (quality, !range.contains('*'), range)
        })
        .filter(|(quality, ..)| *quality > 0)
        .collect();
    wanted.sort_by_key(|(quality, is_exact, _)| Reverse((*quality, *is_exact)));
    wanted
        .iter()
        .find_map(|(_, _, range)| OFFERS.iter().find(|(offer, _)| matches(range, offer)).map(|(_, format)| *format))
}

fn matches(range: &str, offer: &str) -> bool {
    if range == "*" || range == "*/*" {
        return true;
    }
    match range.strip_suffix("/*") {
        Some(kind) => offer.split('/').next().is_some_and(|offered| offered.eq_ignore_ascii_case(kind)),
        None => range.eq_ignore_ascii_case(offer),
    }
}

/// The listing parameters of a request (specs §1, §2.3).
pub fn selection(head: &RequestHead, query: &Query, max: usize, with_path: bool) -> Result<Selection, Response> {
    let text = |name: &str| match query.get(name).map(std::str::from_utf8) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.to_owned())),
        Some(Err(_)) => Err(reply::text(400, format!("\"{name}\" parameter not valid UTF-8"))),
    };
    let path = if with_path { text("path")? } else { None };
    let (prefix, delimiter) = (text("prefix")?.unwrap_or_default(), text("delimiter")?.unwrap_or_default());
    let (marker, end_marker) = (text("marker")?.unwrap_or_default(), text("end_marker")?.unwrap_or_default());
    let limit = match text("limit")? {
        Some(limit) if !limit.is_empty() && limit.bytes().all(|byte| byte.is_ascii_digit()) => {
            limit.parse().unwrap_or(usize::MAX)
        }
        _ => max,
    };
    if limit > max {
        return Err(reply::message(412, format!("Maximum limit is {max}")));
    }
    Ok(Selection {
        limit,
        marker,
        end_marker,
        prefix,
        delimiter,
        path,
        reverse: text("reverse")?.is_some_and(|value| is_true(&value)),
        show_reserved: is_set(&head.headers, "X-Backend-Allow-Reserved-Names"),
    })
}

impl Service {
    /// A change of this database at `time`, without metadata.
    pub fn change(&self, time: Timestamp) -> Change {
        let now = io::unix_time();
        Change {
            kind: self.kind,
            hash: self.hash,
            account: self.path.account.to_string(),
            container: match self.kind {
                Kind::Account => String::new(),
                Kind::Container => self.path.container.as_deref().unwrap_or_default().to_owned(),
            },
            time,
            now: Timestamp::from_unix(now),
            id: format!("{}-{}", random_uuid(), self.device),
            policy: None,
            default_policy: 0,
            metadata: Vec::new(),
            constraints: self.constraints.clone(),
            forget_before: Timestamp::from_unix(now.saturating_sub(self.reclaim_age)),
        }
    }

    /// The metadata headers of a request: user and system metadata, and the fields named in `saved`.
    pub fn metadata(&self, headers: &Headers, saved: &[&str]) -> Result<Vec<(String, String)>, Response> {
        let prefixes: [&[u8]; 2] = match self.kind {
            Kind::Account => [b"x-account-meta-", b"x-account-sysmeta-"],
            Kind::Container => [b"x-container-meta-", b"x-container-sysmeta-"],
        };
        let mut items = Vec::new();
        for (name, value) in headers.iter() {
            let is_metadata = prefixes.iter().any(|prefix| {
                name.len() > prefix.len()
                    && name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            });
            if !is_metadata && !saved.iter().any(|saved| name.eq_ignore_ascii_case(saved.as_bytes())) {
                continue;
            }
            let name = String::from_utf8(title_case(name));
            let value = String::from_utf8(value.to_vec());
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(reply::text(400, "Metadata must be valid UTF-8"));
            };
            items.push((name, value));
        }
        Ok(items)
    }

    /// Accounts whose databases are created by their first row.
    pub fn is_auto_created(&self) -> bool {
        self.path.account.starts_with(AUTO_CREATE_PREFIX)
    }

    /// 507, and the operator is told why.
    pub fn failed(&self, error: &std::io::Error) -> Response {
        tracing::error!(device = %self.device, %error, "the row database failed");
        reply::insufficient_storage(&self.device)
    }

    /// The info record.
    pub async fn info(&self) -> Result<Option<Info>, Response> {
        let (kind, hash) = (self.kind, self.hash);
        self.rows.read(move |read| info::load(read, kind, &hash)).await.map_err(|error| self.failed(&error))
    }
}

/// What listings are made of, for each kind.
pub fn listing_of(service: &Service) -> Listing {
    match service.kind {
        Kind::Account => Listing::Containers(service.path.account.to_string(), service.policies.clone()),
        Kind::Container => Listing::Objects(service.path.container.as_deref().unwrap_or_default().to_owned()),
    }
}

/// A random UUID (version 4).
fn random_uuid() -> String {
    let (high, low) = (io::random_u64(), io::random_u64());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & (u64::MAX >> 2)) | (1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
