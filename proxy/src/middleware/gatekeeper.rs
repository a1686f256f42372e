//! Core: gatekeeper: fields that only proxies and backends exchange never come in from a client and never go out to one.

use base::http::Headers;

/// Beginnings of names, lower case, that never come in.
const INBOUND_PREFIXES: [&str; 5] =
    ["x-backend-", "x-account-sysmeta-", "x-container-sysmeta-", "x-object-sysmeta-", "x-object-transient-sysmeta-"];

/// Whole names, lower case, that never come in: where a backend sends its updates (SSRF: CVE-2026-50221), and what
/// time a write has (CVE-2013-4155).
const INBOUND_NAMES: [&str; 13] = [
    "x-timestamp",
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

/// Cleans what a client sent.
pub fn clean_request(headers: &mut Headers) {
    headers.retain(|name, _| !has_prefix(name, &INBOUND_PREFIXES) && !is_one_of(name, &INBOUND_NAMES));
}

/// Cleans what goes to a client.
pub fn clean_response(headers: &mut Headers) {
    headers.retain(|name, value| !has_prefix(name, &OUTBOUND_PREFIXES) && is_one_line(name) && is_one_line(value));
}

/// A name or value that would end its line is a second header (CVE-2014-3497 and its kin); it is dropped whole.
fn is_one_line(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
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
        let mut headers = Headers::new();
        for name in INBOUND_NAMES {
            headers.append(name.to_uppercase(), "1");
            headers.append(name.replace('-', "_"), "1");
        }
        for prefix in INBOUND_PREFIXES {
            headers.append(format!("{prefix}Anything"), "1");
        }
        headers.append("X-Object-Meta-Color", "blue");
        headers.append("X-Delete-At", "9999999999");
        headers.append("X-Container-Meta-Host", "kept");
        clean_request(&mut headers);
        let left: Vec<_> = headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(left, ["X-Object-Meta-Color", "X-Delete-At", "X-Container-Meta-Host"]);
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
