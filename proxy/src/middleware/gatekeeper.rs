//! Core: gatekeeper: fields that only proxies and backends exchange never come in from a client and never go out to one.

use super::container_sync::INBOUND_TIMESTAMP;
use crate::container::listing::ALLOW_RESERVED_NAMES;
use base::config::is_true;
use base::http::Headers;

/// Settings of the member. Both let clients do what only the system should; both are off in Swift as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `shunt_inbound_x_timestamp`: a client does not choose the time of a write.
    pub shunt_inbound_x_timestamp: bool,
    /// `allow_reserved_names_header`: `X-Allow-Reserved-Names: true` opens names that begin with NUL.
    pub allow_reserved_names_header: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { shunt_inbound_x_timestamp: true, allow_reserved_names_header: false }
    }
}

/// The time of a write, for those who may choose it.
pub(crate) const TIMESTAMP: &str = "X-Timestamp";

/// Beginnings of names, lower case, that never come in.
const INBOUND_PREFIXES: [&str; 5] =
    ["x-backend-", "x-account-sysmeta-", "x-container-sysmeta-", "x-object-sysmeta-", "x-object-transient-sysmeta-"];

/// Whole names, lower case, that never come in: where a backend sends its updates (SSRF: CVE-2026-50221).
const INBOUND_NAMES: [&str; 12] = [
    "x-account-host",
    "x-account-device",
    "x-account-partition",
    "x-account-override-deleted",
    "x-container-host",
    "x-container-device",
    "x-container-partition",
    "x-container-root-db-state",
    "x-delete-at-host",
    "x-delete-at-device",
    "x-delete-at-partition",
    "x-delete-at-container",
];

/// Beginnings of names, lower case, that never go out.
const OUTBOUND_PREFIXES: [&str; 5] = INBOUND_PREFIXES;

/// Cleans what a client sent. Its own idea of the time is kept aside, for another cluster's requests, whose signature covers it.
pub fn clean_request(settings: Settings, headers: &mut Headers) {
    let time = headers.get(TIMESTAMP).cloned();
    let stays_out = |name: &[u8]| has_prefix(name, &INBOUND_PREFIXES) || is_one_of(name, &INBOUND_NAMES);
    headers.retain(|name, _| !(is_extension(name) && stays_out(name)));
    if settings.shunt_inbound_x_timestamp {
        // CVE-2013-4155.
        headers.retain(|name, _| !is_one_of(name, &["x-timestamp"]));
    }
    let asks_for_reserved = headers.get_str("X-Allow-Reserved-Names").is_some_and(is_true);
    headers.retain(|name, _| !is_one_of(name, &["x-allow-reserved-names"]));
    if settings.allow_reserved_names_header && asks_for_reserved {
        headers.set(ALLOW_RESERVED_NAMES, "true");
    }
    if let Some(time) = time {
        headers.set(INBOUND_TIMESTAMP, time);
    }
}

/// Cleans what goes to a client.
pub fn clean_response(headers: &mut Headers) {
    let stays_in = |name: &[u8]| is_extension(name) && has_prefix(name, &OUTBOUND_PREFIXES);
    headers.retain(|name, value| !stays_in(name) && is_one_line(name) && is_one_line(value));
}

/// Whether it begins as every name and beginning above does: most fields do not, and need not be compared with each.
fn is_extension(name: &[u8]) -> bool {
    matches!(name, [b'x' | b'X', b'-' | b'_', ..])
}

/// A name or value that would end its line is a second header (CVE-2014-3497 and its kin); it is dropped whole.
fn is_one_line(bytes: &[u8]) -> bool {
    !bytes.iter().fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n' | 0))
}

fn has_prefix(name: &[u8], prefixes: &[&str]) -> bool {
    // An underscore stands for a dash in many a server behind us or in front of us.
    let same =
        |&(given, wanted): &(&u8, u8)| given.to_ascii_lowercase() == wanted || (*given == b'_' && wanted == b'-');
    prefixes.iter().any(|prefix| name.len() >= prefix.len() && name.iter().zip(prefix.bytes()).all(|pair| same(&pair)))
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| known.len() == name.len() && has_prefix(name, &[known]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backend_fields_of_a_client_do_not_come_in() {
        assert!(
            INBOUND_NAMES.iter().chain(&INBOUND_PREFIXES).chain(&OUTBOUND_PREFIXES).all(|name| name.starts_with("x-"))
        );
        let mut headers = Headers::new();
        for name in INBOUND_NAMES.into_iter().chain(["x-timestamp", "x-allow-reserved-names"]) {
            headers.append(name.to_uppercase(), "1");
            headers.append(name.replace('-', "_"), "1");
        }
        for prefix in INBOUND_PREFIXES {
            headers.append(format!("{prefix}Anything"), "1");
        }
        headers.append("X-Object-Meta-Color", "blue");
        headers.append("X-Delete-At", "9999999999");
        headers.append("X-Container-Meta-Host", "kept");
        headers.append("X-Allow-Reserved-Names", "true");
        clean_request(Settings::default(), &mut headers);
        let left: Vec<_> = headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(left, ["X-Object-Meta-Color", "X-Delete-At", "X-Container-Meta-Host", INBOUND_TIMESTAMP]);
        assert_eq!(headers.get_str(INBOUND_TIMESTAMP), Some("1"));
    }

    #[test]
    fn an_operator_may_open_times_and_reserved_names() {
        let open = Settings { shunt_inbound_x_timestamp: false, allow_reserved_names_header: true };
        let mut headers = Headers::new();
        headers.append("X-Timestamp", "1400000000.00000");
        headers.append("X-Backend-Allow-Reserved-Names", "true");
        clean_request(open, &mut headers);
        assert_eq!(headers.get_str(TIMESTAMP), Some("1400000000.00000"));
        assert!(!headers.contains(ALLOW_RESERVED_NAMES), "only by the field that clients may send");
        for (value, expected) in [("false", false), ("true", true)] {
            headers.set("X-Allow-Reserved-Names", value);
            clean_request(open, &mut headers);
            assert_eq!(headers.contains(ALLOW_RESERVED_NAMES), expected);
            assert!(!headers.contains("X-Allow-Reserved-Names"));
        }
    }

    #[test]
    fn backend_fields_and_split_lines_do_not_go_out() {
        let response = base::http::server::Response::empty(base::http::Status(200));
        let mut headers = response.head.headers;
        headers.append("X-Backend-Timestamp", "1");
        headers.append("X-Object-Sysmeta-Secret", "1");
        headers.append("X-Timestamp", "1");
        clean_response(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(!is_one_line(b"a\r\nSet-Cookie: x"));
    }
}
