//! An object as it is stored (link, manifest, metadata and all) made the body and the fields of a PUT: how both kinds of versions
//! keep what is overwritten.

use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{RequestBody, Response, ResponseBody};
use base::http::{Headers, Status, date};
use base::timestamp::Timestamp;

/// Moves what was read into `put`. 413 when nobody knows how long it is.
pub(super) fn carry(mut source: Response, put: &mut ClientRequest) -> Result<(), Box<Response>> {
    put.body = match std::mem::replace(&mut source.body, ResponseBody::Empty) {
        ResponseBody::Empty => RequestBody::full(""),
        ResponseBody::Full(bytes) => RequestBody::full(bytes),
        ResponseBody::Stream { length: Some(length), source } => RequestBody::streaming(Some(length), source),
        ResponseBody::Stream { length: None, .. } => return Err(Box::new(respond::standard(Status(413)))),
    };
    put.headers = source.head.headers;
    put.headers.remove("X-Timestamp");
    put.headers.retain(|name, _| !name.to_ascii_lowercase().starts_with(b"x-backend-"));
    if let Some(size) = put.headers.get_str("X-Object-Sysmeta-Slo-Size") {
        // The listing counts what the manifest stands for.
        let kind = put.headers.get_str("Content-Type").unwrap_or_default();
        let kind = format!("{kind}; swift_bytes={size}");
        put.headers.set("Content-Type", kind);
        put.headers.set("X-Backend-Content-Type-Overridden", "yes");
    }
    Ok(())
}

/// The time of an object, from the first of `names` that is there, else from `Last-Modified`.
pub(super) fn written_at(headers: &Headers, names: &[&str]) -> Option<Timestamp> {
    match names.iter().find_map(|name| headers.get_str(name)) {
        Some(text) => Timestamp::parse(text).ok(),
        None => {
            let seconds = date::parse(headers.get("Last-Modified")?)?;
            Some(Timestamp::from_raw(seconds.saturating_mul(100_000), 0))
        }
    }
}
