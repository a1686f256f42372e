//! Core: what the headers of a write must look like, and which of them are stored. No I/O, no clock, no async.

use super::is_set;
use crate::reply;
use crate::store::metadata::Metadata;
use base::http::Headers;
use base::http::headers::title_case;
use base::http::server::Response;
use base::limits::Constraints;
use base::timestamp::Timestamp;

/// Headers stored besides metadata, in lower case: Swift's fixed ones and its default configuration.
const ALLOWED: [&[u8]; 9] = [
    b"cache-control",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"expires",
    b"x-delete-at",
    b"x-object-manifest",
    b"x-robots-tag",
    b"x-static-large-object",
];

/// The mandatory X-Timestamp of a write.
pub(super) fn timestamp(headers: &Headers) -> Result<Timestamp, Response> {
    let Some(value) = headers.get("X-Timestamp") else { return Err(reply::text(400, "Missing X-Timestamp header")) };
    let parsed = std::str::from_utf8(value).ok().and_then(|text| Timestamp::parse(text).ok());
    parsed.ok_or_else(|| reply::text(400, "Invalid X-Timestamp header"))
}

/// The second from which the object shall be gone: from X-Delete-After or X-Delete-At.
pub(super) fn delete_at(headers: &Headers, timestamp: Timestamp) -> Result<Option<u64>, Response> {
    let number = |name: &str| -> Result<Option<i64>, Response> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        let parsed = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        parsed.map(Some).ok_or_else(|| reply::text(400, format!("Non-integer {name}")))
    };
    // Ten digits, as in the names of the expirer's queue.
    let clamp = |second: i64| u64::try_from(second.clamp(0, 9_999_999_999)).unwrap_or(0);
    let now = i64::try_from(timestamp.seconds()).unwrap_or(i64::MAX);
    if let Some(after) = number("X-Delete-After")? {
        if after < 0 {
            return Err(reply::text(400, "X-Delete-After in past"));
        }
        return Ok(Some(clamp(now.saturating_add(after))));
    }
    let Some(at) = number("X-Delete-At")? else { return Ok(None) };
    if at < now && !is_set(headers, "X-Backend-Replication") {
        return Err(reply::text(400, "X-Delete-At in past"));
    }
    Ok(Some(clamp(at)))
}

/// The checks of a PUT that need nothing but its headers, in Swift's order.
pub(super) fn check_creation(
    headers: &Headers,
    length: Option<u64>,
    is_framed: bool,
    object: &str,
    limits: &Constraints,
) -> Result<(), Response> {
    if length.is_some_and(|length| length > limits.max_file_size) {
        return Err(reply::status(413));
    }
    if !is_framed {
        return Err(reply::status(411));
    }
    if object.len() > limits.max_object_name_length {
        let message = format!("Object name length of {} longer than {}", object.len(), limits.max_object_name_length);
        return Err(reply::text(400, message));
    }
    match headers.get_str("Content-Type") {
        Some(value) if !value.is_empty() => check_metadata(headers, limits),
        _ => Err(reply::text(400, "Invalid Content-Type")),
    }
}

/// Swift's limits of user metadata.
fn check_metadata(headers: &Headers, limits: &Constraints) -> Result<(), Response> {
    let refuse = |message: String| Err(reply::text(400, message));
    let (mut count, mut size) = (0_usize, 0_usize);
    for (name, value) in headers.iter() {
        if value.len() > limits.max_header_size {
            return refuse(format!("Header value too long: {}", String::from_utf8_lossy(name)));
        }
        let Some(short) = strip_prefix(name, b"x-object-meta-") else { continue };
        let shown = String::from_utf8_lossy(short);
        if short.is_empty() {
            return refuse("Metadata name cannot be empty".to_owned());
        }
        count += 1;
        size += short.len() + value.len();
        if short.len() > limits.max_meta_name_length {
            return refuse(format!("Metadata name too long: X-Object-Meta-{shown}"));
        }
        if value.len() > limits.max_meta_value_length {
            return refuse(format!(
                "Metadata value longer than {}: X-Object-Meta-{shown}",
                limits.max_meta_value_length
            ));
        }
        if count > limits.max_meta_count {
            return refuse(format!("Too many metadata items; max {}", limits.max_meta_count));
        }
        if size > limits.max_meta_overall_size {
            return refuse(format!("Total metadata too large; max {}", limits.max_meta_overall_size));
        }
    }
    Ok(())
}

/// Adds the request's headers that are stored. `with_sysmeta` is false for POST, which cannot change what belongs to the data.
pub(super) fn store(metadata: &mut Metadata, headers: &Headers, delete_at: Option<u64>, with_sysmeta: bool) {
    let extra: Vec<Vec<u8>> = headers
        .get("X-Backend-Replication-Headers")
        .map(|list| list.split(|byte| *byte == b' ').map(<[u8]>::to_ascii_lowercase).collect())
        .unwrap_or_default();
    for (name, value) in headers.iter() {
        let lower = name.to_ascii_lowercase();
        let is_stored = is_user_metadata(name)
            || is_transient_sysmeta(name)
            || (with_sysmeta && is_sysmeta(name))
            || ALLOWED.contains(&lower.as_slice())
            || extra.contains(&lower);
        // Those are the server's to write.
        let is_fixed = matches!(
            lower.as_slice(),
            b"content-type" | b"content-length" | b"etag" | b"x-timestamp" | b"name" | b"x-delete-at"
        );
        if is_stored && !is_fixed {
            metadata.set(title_case(name), value.clone());
        }
    }
    if let Some(second) = delete_at {
        metadata.set("X-Delete-At", format!("{second:010}"));
    }
}

/// Whether a stored item is shown to those who read the object.
pub(super) fn is_shown(name: &[u8]) -> bool {
    is_user_metadata(name)
        || is_sysmeta(name)
        || is_transient_sysmeta(name)
        || ALLOWED.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
}

pub(super) fn is_sysmeta(name: &[u8]) -> bool {
    strip_prefix(name, b"x-object-sysmeta-").is_some_and(|rest| !rest.is_empty())
}

fn is_user_metadata(name: &[u8]) -> bool {
    strip_prefix(name, b"x-object-meta-").is_some_and(|rest| !rest.is_empty())
}

fn is_transient_sysmeta(name: &[u8]) -> bool {
    strip_prefix(name, b"x-object-transient-sysmeta-").is_some_and(|rest| !rest.is_empty())
}

/// What follows a lower-case prefix, compared without case.
pub(super) fn strip_prefix<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = name.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// An ETag as a client may write it: quotes are optional.
pub(super) fn plain_etag(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim().trim_matches('"').to_ascii_lowercase()
}
