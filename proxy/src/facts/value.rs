//! Core: facts as all proxies of a cluster keep them in memcached: Swift's dictionaries of account and container info.
//!
//! Written with every item and in Swift's order; read from any JSON of that shape. What lacks an item that decides something is a miss.

use super::Info;
use crate::config::Policy;
use base::http::Headers;
use base::json::Object;
use serde_json::{Map, Value, json};

/// Item of an account, and the field it comes from.
const ACCOUNT: [(&str, &str); 3] = [
    ("container_count", "X-Account-Container-Count"),
    ("total_object_count", "X-Account-Object-Count"),
    ("bytes", "X-Account-Bytes-Used"),
];

/// The same of a container, up to its CORS settings.
const CONTAINER: [(&str, &str); 8] = [
    ("read_acl", "X-Container-Read"),
    ("write_acl", "X-Container-Write"),
    ("sync_to", "X-Container-Sync-To"),
    ("sync_key", "X-Container-Sync-Key"),
    ("object_count", "X-Container-Object-Count"),
    ("bytes", "X-Container-Bytes-Used"),
    ("versions", "X-Versions-Location"),
    ("storage_policy", "X-Backend-Storage-Policy-Index"),
];

/// And behind its metadata.
const CONTAINER_STATE: [(&str, &str); 5] = [
    ("sharding_state", "X-Backend-Sharding-State"),
    ("created_at", "X-Backend-Timestamp"),
    ("put_timestamp", "X-Backend-Put-Timestamp"),
    ("delete_timestamp", "X-Backend-Delete-Timestamp"),
    ("status_changed_at", "X-Backend-Status-Changed-At"),
];

/// Items that are metadata as well, as Swift keeps them.
const CORS: [(&str, &str); 3] = [
    ("allow_origin", "access-control-allow-origin"),
    ("expose_headers", "access-control-expose-headers"),
    ("max_age", "access-control-max-age"),
];

/// Items of a storage policy and the ends of their fields.
const OF_POLICY: [(&str, &str); 3] =
    [("container_count", "Container-Count"), ("object_count", "Object-Count"), ("bytes", "Bytes-Used")];

/// An account whose deletion is not over; the status that proxies keep for it.
const GONE: u16 = 410;

/// The JSON of an account. `invents`: accounts that are missing read as empty (`account_autocreate`).
pub(super) fn of_account(info: &Info, policies: &[Policy], invents: bool) -> String {
    let is_deleted = is_deleted(info);
    let invented = info.status == 404 && !is_deleted && invents;
    let status = match (invented, is_deleted) {
        (true, _) => 204,
        (false, true) => GONE,
        (false, false) => info.status,
    };
    let mut object = Object::default();
    object.add("status", &json!(status));
    for (item, field) in ACCOUNT {
        object.add(item, &if invented { json!("0") } else { text(info, field) });
    }
    let mut of_policies = Object::default();
    for policy in policies {
        let mut of_policy = Object::default();
        for (item, end) in OF_POLICY {
            let field = format!("X-Account-Storage-Policy-{}-{end}", policy.name());
            of_policy.add(item, &json!(info.number(&field)));
        }
        of_policies.add_text(&policy.index.to_string(), &of_policy.finish());
    }
    object.add_text("storage_policies", &of_policies.finish());
    let metadata = Metadata::of(info, "account");
    object.add_text("meta", &metadata.users).add_text("sysmeta", &metadata.systems);
    if info.exists() || invented {
        object.add("account_really_exists", &json!(!invented));
    }
    object.finish()
}

/// The JSON of a container.
pub(super) fn of_container(info: &Info) -> String {
    let mut object = Object::default();
    object.add("status", &json!(info.status));
    for (item, field) in CONTAINER {
        object.add(item, &text(info, field));
    }
    let mut cors = Object::default();
    for (item, name) in CORS {
        cors.add(item, &info.meta(name).map_or(Value::Null, Value::from));
    }
    object.add_text("cors", &cors.finish());
    let metadata = Metadata::of(info, "container");
    object.add_text("meta", &metadata.users).add_text("sysmeta", &metadata.systems);
    for (item, field) in CONTAINER_STATE {
        object.add(item, &text(info, field));
    }
    object.finish()
}

/// An account's facts out of JSON.
pub(super) fn account(value: &Value, policies: &[Policy]) -> Option<Info> {
    let items = value.as_object()?;
    let status = status(items)?;
    let really = items.get("account_really_exists").and_then(Value::as_bool);
    let mut headers = Headers::new();
    match (status, really) {
        // Invented by a proxy: nothing is stored.
        (200..=299, Some(false)) => return Some(Info { status: 404, headers }),
        (200..=299, Some(true)) => {}
        // Old proxies did not say.
        (200..=299, None) => return None,
        (GONE, _) => {
            headers.set("X-Account-Status", "Deleted");
            return Some(Info { status: 404, headers });
        }
        _ => return Some(Info { status, headers }),
    }
    for (item, field) in ACCOUNT {
        match items.get(item)? {
            Value::Null => {}
            // Old proxies kept some of them as numbers.
            Value::Number(number) => headers.set(field, number.to_string()),
            value => headers.set(field, string(value)?),
        }
    }
    let of_policies = items.get("storage_policies")?.as_object()?;
    for policy in policies {
        let Some(of_policy) = of_policies.get(&policy.index.to_string()) else { continue };
        for (item, end) in OF_POLICY {
            let number = of_policy.get(item)?.as_u64()?;
            headers.set(format!("X-Account-Storage-Policy-{}-{end}", policy.name()), number.to_string());
        }
    }
    metadata(items, "Account", &mut headers)?;
    Some(Info { status, headers })
}

/// A container's facts out of JSON.
pub(super) fn container(value: &Value) -> Option<Info> {
    let items = value.as_object()?;
    let status = status(items)?;
    let mut headers = Headers::new();
    if status / 100 != 2 {
        return Some(Info { status, headers });
    }
    for (item, field) in CONTAINER.into_iter().chain(CONTAINER_STATE) {
        match items.get(item)? {
            Value::Null if item != "storage_policy" => {}
            value => headers.set(field, string(value)?),
        }
    }
    // What places every object of it.
    headers.get_str("X-Backend-Storage-Policy-Index")?.parse::<u32>().ok()?;
    metadata(items, "Container", &mut headers)?;
    Some(Info { status, headers })
}

/// Statuses that are kept; anything else was never meant to be.
fn status(items: &Map<String, Value>) -> Option<u16> {
    let status = u16::try_from(items.get("status")?.as_u64()?).ok()?;
    matches!(status, 200..=299 | 404 | GONE).then_some(status)
}

/// Items of metadata as fields; names and values that no field can hold make it a miss.
fn metadata(items: &Map<String, Value>, kind: &str, headers: &mut Headers) -> Option<()> {
    for (group, middle) in [("meta", "Meta"), ("sysmeta", "Sysmeta")] {
        for (name, value) in items.get(group)?.as_object()? {
            let is_name = !name.is_empty() && name.bytes().all(|byte| byte > b' ' && byte != b':' && byte != 0x7f);
            if !is_name {
                return None;
            }
            headers.set(format!("X-{kind}-{middle}-{name}"), string(value)?);
        }
    }
    Some(())
}

fn string(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_line = text.bytes().all(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    is_line.then(|| text.to_owned())
}

fn text(info: &Info, field: &str) -> Value {
    match (info.headers.get_str(field), field) {
        (Some(text), _) => Value::from(text),
        // Swift's words where the backends say nothing.
        (None, "X-Backend-Storage-Policy-Index") => Value::from("0"),
        (None, "X-Backend-Sharding-State") => Value::from("unsharded"),
        (None, _) => Value::Null,
    }
}

fn is_deleted(info: &Info) -> bool {
    let status = info.headers.get_str("X-Account-Status").unwrap_or_default();
    info.status == GONE || (info.status == 404 && status.eq_ignore_ascii_case("deleted"))
}

/// Metadata of users and of middleware, as JSON text.
struct Metadata {
    users: String,
    systems: String,
}

impl Metadata {
    fn of(info: &Info, kind: &str) -> Metadata {
        let (mut users, mut systems) = (Object::default(), Object::default());
        for (name, value) in info.headers.iter() {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let value = Value::from(String::from_utf8_lossy(value));
            if let Some(item) = name.strip_prefix(&format!("x-{kind}-meta-")) {
                users.add(item, &value);
            } else if let Some(item) = name.strip_prefix(&format!("x-{kind}-sysmeta-")) {
                systems.add(item, &value);
            }
        }
        Metadata { users: users.finish(), systems: systems.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn policies() -> Vec<Policy> {
        let swift = "[swift-hash]\nswift_hash_path_suffix = s\n[storage-policy:0]\nname = gold\ndefault = yes\n\
                     [storage-policy:1]\nname = silver\n";
        Config::parse("proxy-server.conf", "[pipeline:main]\npipeline = proxy-server\n", swift).unwrap().policies
    }

    /// As a Python proxy of 2.38.3 put them into memcached.
    const ACCOUNT_OF_SWIFT: &str = r#"{"status": 204, "container_count": "4", "total_object_count": "71", "bytes": "19328", "storage_policies": {"0": {"container_count": 2, "object_count": 61, "bytes": 313}, "1": {"container_count": 2, "object_count": 10, "bytes": 19015}}, "meta": {"colour": "gr\u00fcn"}, "sysmeta": {"core-access-control": "{\"admin\":[\"a\"]}"}, "account_really_exists": true}"#;
    const CONTAINER_OF_SWIFT: &str = r#"{"status": 204, "read_acl": ".r:*", "write_acl": null, "sync_to": null, "sync_key": null, "object_count": "8", "bytes": "83", "versions": null, "storage_policy": "0", "cors": {"allow_origin": "*", "expose_headers": null, "max_age": null}, "meta": {"access-control-allow-origin": "*", "color": "green"}, "sysmeta": {}, "sharding_state": "unsharded", "created_at": "1795345475.15896", "put_timestamp": "1795347757.96257", "delete_timestamp": "0000000000.00000", "status_changed_at": "1795345475.10240"}"#;
    const MISSING_OF_SWIFT: &str = r#"{"status": 404, "read_acl": null, "write_acl": null, "sync_to": null, "sync_key": null, "object_count": null, "bytes": null, "versions": null, "storage_policy": "0", "cors": {"allow_origin": null, "expose_headers": null, "max_age": null}, "meta": {}, "sysmeta": {}, "sharding_state": "unsharded", "created_at": "0000000000.00000", "put_timestamp": "0000000000.00000", "delete_timestamp": "0000000000.00000", "status_changed_at": "0000000000.00000"}"#;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_swift_wrote_is_understood_and_written_to_the_same_bytes() {
        let info = account(&json(ACCOUNT_OF_SWIFT), &policies()).unwrap();
        assert_eq!(info.number("X-Account-Bytes-Used"), 19328);
        assert_eq!(info.number("X-Account-Storage-Policy-silver-Object-Count"), 10);
        assert_eq!(info.meta("Colour"), Some("gr\u{fc}n"));
        assert_eq!(of_account(&info, &policies(), true), ACCOUNT_OF_SWIFT);

        let info = container(&json(CONTAINER_OF_SWIFT)).unwrap();
        assert_eq!((info.read_acl(), info.write_acl(), info.policy_index()), (Some(".r:*"), None, 0));
        assert_eq!(of_container(&info), CONTAINER_OF_SWIFT);
    }

    #[test]
    fn what_is_missing_is_kept_as_swift_keeps_it() {
        assert_eq!(container(&json(MISSING_OF_SWIFT)).unwrap().status, 404);
        let stamps = [
            "X-Backend-Timestamp",
            "X-Backend-Put-Timestamp",
            "X-Backend-Delete-Timestamp",
            "X-Backend-Status-Changed-At",
        ];
        let mut headers = Headers::new();
        stamps.into_iter().for_each(|field| headers.set(field, "0000000000.00000"));
        assert_eq!(of_container(&Info { status: 404, headers }), MISSING_OF_SWIFT);

        // An account that the next write makes is an empty one that does not really exist.
        let missing = Info { status: 404, headers: Headers::new() };
        let invented = of_account(&missing, &policies(), true);
        assert!(invented.starts_with(r#"{"status": 204, "container_count": "0", "#), "{invented}");
        assert!(invented.ends_with(r#""account_really_exists": false}"#), "{invented}");
        assert_eq!(account(&json(&invented), &policies()), Some(missing.clone()));
        assert!(of_account(&missing, &policies(), false).starts_with(r#"{"status": 404, "container_count": null"#));

        // One whose deletion is not over stays as it is.
        let mut deleted = missing;
        deleted.headers.set("X-Account-Status", "Deleted");
        let gone = of_account(&deleted, &policies(), true);
        assert!(gone.starts_with(r#"{"status": 410, "#) && !gone.contains("really"), "{gone}");
        assert_eq!(account(&json(&gone), &policies()), Some(deleted));
    }

    #[test]
    fn what_lacks_an_item_or_has_another_shape_is_a_miss() {
        for (good, text) in [(true, ACCOUNT_OF_SWIFT), (false, CONTAINER_OF_SWIFT)] {
            let read = |value: &Value| if good { account(value, &policies()) } else { container(value) };
            let whole = json(text);
            for name in whole.as_object().unwrap().keys().filter(|name| *name != "cors") {
                let mut less = whole.clone();
                less.as_object_mut().unwrap().remove(name);
                assert_eq!(read(&less), None, "{name}");
                let mut odd = whole.clone();
                odd[name] = serde_json::json!([1]);
                assert_eq!(read(&odd), None, "{name}");
            }
        }
        for text in ["null", "[]", "{}", r#"{"status": 200}"#, r#"{"status": 503}"#, r#"{"status": "204"}"#] {
            assert_eq!(account(&json(text), &policies()), None, "{text}");
            assert_eq!(container(&json(text)), None, "{text}");
        }
        let mut split = json(CONTAINER_OF_SWIFT);
        split["read_acl"] = Value::from("a\r\nX-Evil: 1");
        assert_eq!(container(&split), None);
    }
}
