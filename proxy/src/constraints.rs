//! Core: what clients may send: metadata, names, times of expiry (Swift's constraints).

use base::config::is_true;
use base::http::{Headers, title_case};
use base::limits::Constraints;
use base::timestamp::Timestamp;

/// Checks `X-<kind>-Meta-*` of a request; `kind` in title case. The error is the text of a 400.
pub fn check_metadata(limits: &Constraints, headers: &Headers, kind: &str) -> Result<(), String> {
    let prefix = format!("x-{}-meta-", kind.to_ascii_lowercase());
    let (mut count, mut size) = (0, 0);
    for (name, value) in headers.iter() {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        if value.len() > limits.max_header_size {
            let shown: String = lower.chars().take(limits.max_meta_name_length).collect();
            return Err(format!("Header value too long: {shown}"));
        }
        let Some(item) = lower.strip_prefix(&prefix) else { continue };
        if item.is_empty() {
            return Err("Metadata name cannot be empty".into());
        }
        if kind != "Object" && (std::str::from_utf8(value).is_err() || std::str::from_utf8(name).is_err()) {
            return Err("Metadata must be valid UTF-8".into());
        }
        count += 1;
        size += item.len() + value.len();
        if item.len() > limits.max_meta_name_length {
            return Err(format!("Metadata name too long: {prefix}{}", shown(item)));
        }
        if value.len() > limits.max_meta_value_length {
            return Err(format!(
                "Metadata value longer than {}: {prefix}{}",
                limits.max_meta_value_length,
                shown(item)
            ));
        }
        if count > limits.max_meta_count {
            return Err(format!("Too many metadata items; max {}", limits.max_meta_count));
        }
        if size > limits.max_meta_overall_size {
            return Err(format!("Total metadata too large; max {}", limits.max_meta_overall_size));
        }
    }
    Ok(())
}

/// As Swift shows names: with a capital behind everything that is no letter.
fn shown(item: &str) -> String {
    String::from_utf8_lossy(&title_case(item.as_bytes())).into_owned()
}

/// When the object goes, in seconds since 1970: from `X-Delete-After` or `X-Delete-At`.
pub fn delete_at(headers: &Headers, now: Timestamp) -> Result<Option<u64>, String> {
    let integer = |name: &str| -> Result<Option<i64>, String> {
        match headers.get(name) {
            None => Ok(None),
            Some(value) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| saturating(text.trim()))
                .map(Some)
                .ok_or_else(|| format!("Non-integer {name}")),
        }
    };
    let clamp = |seconds: i64| u64::try_from(seconds).unwrap_or(0).min(MAX_DELETE_AT);
    let passed = |seconds: u64| u128::from(seconds) * 100_000 <= u128::from(now.raw());
    if let Some(after) = integer("X-Delete-After")? {
        let at = clamp(i64::try_from(now.seconds()).unwrap_or(0).saturating_add(after));
        return if passed(at) { Err("X-Delete-After in past".into()) } else { Ok(Some(at)) };
    }
    match integer("X-Delete-At")?.map(clamp) {
        Some(at) if passed(at) => Err("X-Delete-At in past".into()),
        at => Ok(at),
    }
}

/// An integer of any length; what no `i64` holds becomes the nearest one.
fn saturating(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
}

/// The content type to store: the client's, or a guess from the name when there is none (or when asked for).
pub fn content_type(headers: &Headers, object: &str) -> String {
    let sent = headers.get_str("Content-Type").filter(|value| !value.is_empty());
    let detect = headers.get_str("X-Detect-Content-Type").is_some_and(is_true);
    match sent {
        Some(sent) if !detect => sent.to_owned(),
        _ => guess(object).to_owned(),
    }
}

/// The account whose containers queue the objects that expire.
pub const EXPIRER_ACCOUNT: &str = ".expiring_objects";

/// The container of the expirer's queue for a time of expiry, given the object's name hash: days, spread over a hundred
/// containers each.
pub fn expirer_container(delete_at: u64, hash: &[u8; 16]) -> String {
    let spread = hash.iter().fold(0_u64, |rest, &byte| (rest * 256 + u64::from(byte)) % 100);
    format!("{:010}", (delete_at / 86_400 * 86_400).saturating_sub(spread))
}

const MAX_DELETE_AT: u64 = 9_999_999_999;

/// By extension, what clients upload most; Python's `mimetypes` knows more.
fn guess(object: &str) -> &'static str {
    let file = object.rsplit('/').next().unwrap_or(object);
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == extension).map_or("application/octet-stream", |(_, guessed)| guessed)
}

const TYPES: &[(&str, &str)] = &[
    ("avi", "video/x-msvideo"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("c", "text/x-c"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eps", "application/postscript"),
    ("gif", "image/gif"),
    ("h", "text/x-chdr"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("mjs", "text/javascript"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("ps", "application/postscript"),
    ("py", "text/x-python"),
    ("rtf", "application/rtf"),
    ("sh", "application/x-sh"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("tsv", "text/tab-separated-values"),
    ("txt", "text/plain"),
    ("wasm", "application/wasm"),
    ("wav", "audio/x-wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "text/xml"),
    ("zip", "application/zip"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(*name, (*value).to_owned());
        }
        headers
    }

    #[test]
    fn metadata_is_bounded() {
        let limits = Constraints::default();
        let check = |name: &'static str, value: &str| check_metadata(&limits, &headers(&[(name, value)]), "Object");
        assert_eq!(check("X-Object-Meta-Color", &"v".repeat(256)), Ok(()));
        assert!(check("X-Object-Meta-Color", &"v".repeat(257)).is_err());
        assert!(check("X-Object-Meta-", "v").is_err());
        let many: Vec<String> = (0..91).map(|n| format!("X-Object-Meta-{n}")).collect();
        let mut all = Headers::new();
        for name in many {
            all.append(name, "v");
        }
        assert_eq!(check_metadata(&limits, &all, "Object"), Err("Too many metadata items; max 90".into()));
    }

    #[test]
    fn expiry_is_in_the_future_or_refused() {
        let now = Timestamp::from_raw(1_000 * 100_000, 0);
        assert_eq!(delete_at(&headers(&[]), now), Ok(None));
        assert_eq!(delete_at(&headers(&[("X-Delete-At", "1001")]), now), Ok(Some(1001)));
        assert_eq!(delete_at(&headers(&[("X-Delete-At", "1000")]), now), Err("X-Delete-At in past".into()));
        assert_eq!(delete_at(&headers(&[("X-Delete-At", "x")]), now), Err("Non-integer X-Delete-At".into()));
        assert_eq!(delete_at(&headers(&[("X-Delete-After", "60")]), now), Ok(Some(1060)));
        assert_eq!(delete_at(&headers(&[("X-Delete-After", "-1")]), now), Err("X-Delete-After in past".into()));
    }

    #[test]
    fn the_queue_container_is_the_day_less_a_spread() {
        let mut hash = [0; 16];
        hash[15] = 70;
        assert_eq!(expirer_container(1_795_432_787, &hash), "1795391930");
    }

    #[test]
    fn the_type_is_guessed_from_the_extension() {
        assert_eq!(content_type(&headers(&[]), "a/b.TXT"), "text/plain");
        assert_eq!(content_type(&headers(&[]), "a.d/b"), "application/octet-stream");
        assert_eq!(content_type(&headers(&[("Content-Type", "a/b")]), "x.txt"), "a/b");
        assert_eq!(
            content_type(&headers(&[("Content-Type", "a/b"), ("X-Detect-Content-Type", "true")]), "x.txt"),
            "text/plain"
        );
    }
}
