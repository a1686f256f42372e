//! Core: `/info`: what this cluster can do. A key is there exactly when the feature is.
//!
//! `disallowed_sections` are withheld from everybody. Who signs the request with `admin_key` also gets the section `admin`.

use crate::config::{Config, Member, Secret};
use crate::middleware::{domain_remap, name_check};
use crate::respond;
use base::SWIFT_VERSION;
use base::checksum::hex;
use base::http::server::Response;
use base::http::{Method, RequestHead, Status};
use base::quote::Query;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// Swift's default of `disallowed_sections`.
pub(crate) const DISALLOWED_SECTIONS: &str = "swift.auto_create_account_prefix, swift.valid_api_versions";

/// The answer to `/info`; `others` are known by members that keep something of their own, `now` is in seconds since 1970.
pub fn answer(config: &Config, head: &RequestHead, others: Vec<(&'static str, Value)>, now: u64) -> Response {
    match head.method {
        Method::Get | Method::Head => {}
        Method::Options => return Response::empty(Status(200)).header("Allow", "HEAD, GET, OPTIONS"),
        _ => return respond::standard(Status(405)).header("Allow", "HEAD, GET, OPTIONS"),
    }
    if !config.expose_info {
        return respond::standard(Status(403));
    }
    let mut document = document(config);
    document.extend(others.into_iter().map(|(name, value)| (name.to_owned(), value)));
    for section in &config.disallowed_sections {
        withhold(&mut document, section);
    }
    match claim(config.admin_key.as_ref(), head, now) {
        Claim::None => {}
        Claim::Granted => {
            document.insert("admin".into(), json!({ "disallowed_sections": config.disallowed_sections }));
        }
        Claim::Refused(403) => return respond::standard(Status(403)),
        Claim::Refused(status) => {
            return respond::standard(Status(status)).header("Www-Authenticate", "Swift realm=\"unknown\"");
        }
    }
    let response = Response::full(Status(200), "application/json; charset=UTF-8", Value::Object(document).to_string());
    match head.headers.get("Origin") {
        Some(origin) => response
            .header("Access-Control-Allow-Origin", origin.clone())
            .header("Access-Control-Expose-Headers", "x-trans-id"),
        None => response,
    }
}

/// Whether a request says that it comes from the operator.
enum Claim {
    None,
    Granted,
    Refused(u16),
}

/// `swiftinfo_sig` is an HMAC over method, path and `swiftinfo_expires` by `admin_key`; a signed GET also allows HEAD.
fn claim(key: Option<&Secret>, head: &RequestHead, now: u64) -> Claim {
    let query = Query::parse(head.query());
    let parameter = |name: &str| query.get(name).unwrap_or_default();
    let (signature, expires) = (parameter("swiftinfo_sig"), parameter("swiftinfo_expires"));
    if signature.is_empty() && expires.is_empty() {
        return Claim::None;
    }
    let Some(key) = key else { return Claim::Refused(403) };
    let expires = std::str::from_utf8(expires).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let Some(expires) = expires.filter(|expires| *expires >= now) else { return Claim::Refused(401) };
    let methods: &[Method] = if head.method == Method::Head { &[Method::Head, Method::Get] } else { &[Method::Get] };
    // Both are tried and compared whole, so that the time tells nothing.
    let fits = methods.iter().fold(false, |fits, method| {
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(format!("{}\n{expires}\n/info", method.as_str()).as_bytes());
        let wanted = hex(&mac.finalize().into_bytes());
        fits | bool::from(wanted.as_bytes().ct_eq(signature))
    });
    if fits { Claim::Granted } else { Claim::Refused(401) }
}

/// Takes out `section`, or `section.key`.
fn withhold(document: &mut Map<String, Value>, section: &str) {
    let mut inner = document;
    let mut names = section.split('.').peekable();
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            inner.remove(name);
            return;
        }
        match inner.get_mut(name) {
            Some(Value::Object(deeper)) => inner = deeper,
            _ => return,
        }
    }
}

fn document(config: &Config) -> Map<String, Value> {
    let mut info = Map::new();
    info.insert("swift".into(), swift(config));
    // No settings of their own: being listed is the message.
    info.insert("copy".into(), json!({}));
    info.insert("dlo".into(), json!({}));
    for (member, name) in [
        (Member::Crossdomain, "crossdomain"),
        (Member::Staticweb, "staticweb"),
        (Member::ContainerQuotas, "container_quotas"),
        (Member::AccountQuotas, "account_quotas"),
    ] {
        if config.is_on(member) {
            info.insert(name.into(), json!({}));
        }
    }
    if config.is_on(Member::NameCheck) {
        info.insert("name_check".into(), name_check::document(&config.name_check));
    }
    if config.is_on(Member::ReadOnly) && config.read_only.read_only {
        info.insert("read_only".into(), json!({}));
    }
    if config.is_on(Member::CnameLookup) {
        info.insert("cname_lookup".into(), json!({ "lookup_depth": config.cname_lookup.lookup_depth }));
    }
    if config.is_on(Member::DomainRemap) {
        info.insert("domain_remap".into(), domain_remap::document(&config.domain_remap));
    }
    if config.is_on(Member::EtagQuoter) {
        info.insert("etag_quoter".into(), json!({ "enable_by_default": config.etags_are_quoted }));
    }
    if config.is_on(Member::Symlink) {
        info.insert("symlink".into(), json!({ "symloop_max": config.symloop_max, "static_links": true }));
    }
    if config.is_on(Member::VersionedWrites) && config.allow_versioned_writes {
        let flags = json!({ "allowed_flags": ["x-versions-location", "x-history-location"] });
        info.insert("versioned_writes".into(), flags);
    }
    if config.is_on(Member::VersionedWrites) && config.allow_object_versioning {
        info.insert("object_versioning".into(), json!({}));
    }
    if config.is_on(Member::Slo) {
        info.insert("slo".into(), config.slo.document());
    }
    if config.is_on(Member::Bulk) {
        info.extend(config.bulk.documents().map(|(name, document)| (name.to_owned(), document)));
    }
    if config.is_on(Member::Tempurl) {
        info.insert("tempurl".into(), config.tempurl.document());
    }
    if config.is_on(Member::Formpost) {
        info.insert("formpost".into(), config.formpost.document());
    }
    if config.is_on(Member::Ratelimit) {
        info.insert("ratelimit".into(), config.ratelimit.document());
    }
    if config.is_on(Member::Tempauth) {
        info.insert("tempauth".into(), json!({ "account_acls": true }));
    }
    info
}

fn swift(config: &Config) -> Value {
    let limits = &config.constraints;
    let policies: Vec<Value> = config.policies.iter().filter(|policy| !policy.is_deprecated).map(policy).collect();
    json!({
        "version": SWIFT_VERSION,
        "strict_cors_mode": config.strict_cors_mode,
        "policies": policies,
        "allow_account_management": config.allow_account_management,
        "account_autocreate": config.account_autocreate,
        "allow_open_expired": config.allow_open_expired,
        "max_file_size": limits.max_file_size,
        "max_meta_name_length": limits.max_meta_name_length,
        "max_meta_value_length": limits.max_meta_value_length,
        "max_meta_count": limits.max_meta_count,
        "max_meta_overall_size": limits.max_meta_overall_size,
        "max_header_size": limits.max_header_size,
        "extra_header_count": limits.extra_header_count,
        "max_object_name_length": limits.max_object_name_length,
        "max_container_name_length": limits.max_container_name_length,
        "max_account_name_length": limits.max_account_name_length,
        "container_listing_limit": limits.container_listing_limit,
        "account_listing_limit": limits.account_listing_limit,
        "max_request_line": limits.max_request_line,
        "valid_api_versions": limits.valid_api_versions,
        "auto_create_account_prefix": limits.auto_create_account_prefix,
    })
}

fn policy(policy: &crate::config::Policy) -> Value {
    let mut entry = json!({ "name": policy.name(), "aliases": policy.names.join(", ") });
    if let (true, Some(entry)) = (policy.is_default, entry.as_object_mut()) {
        entry.insert("default".into(), Value::Bool(true));
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::sample;
    use crate::pipeline::tests::full_body;

    const NOW: u64 = 1_400_000_000;

    fn ask(config: &Config, method: Method, target: &str) -> (u16, Value) {
        let response = answer(config, &RequestHead::new(method, target.to_owned()), Vec::new(), NOW);
        let status = response.head.status.0;
        (status, serde_json::from_str(&full_body(response)).unwrap_or_default())
    }

    #[test]
    fn what_is_there_is_listed_and_nothing_else() {
        let (status, document) = ask(&sample(), Method::Get, "/info");
        assert_eq!(status, 200);
        assert_eq!(document["swift"]["version"], SWIFT_VERSION);
        assert_eq!(document["swift"]["policies"][0]["name"], "Policy-0");
        assert_eq!(document["swift"]["policies"][0]["default"], true);
        assert_eq!(document["swift"]["max_file_size"], 5_368_709_122_u64);
        assert_eq!(document["tempauth"]["account_acls"], true);
        for absent in ["slo", "admin", "read_only", "name_check", "cname_lookup"] {
            assert!(document.get(absent).is_none(), "{absent}");
        }
        for withheld in ["valid_api_versions", "auto_create_account_prefix"] {
            assert!(document["swift"].get(withheld).is_none(), "{withheld}");
        }
    }

    #[test]
    fn sections_and_keys_are_withheld() {
        let withheld = ["tempauth", "swift.version", "swift.none.deeper", "dlo.none", "none"];
        let config = Config { disallowed_sections: withheld.map(str::to_owned).to_vec(), ..sample() };
        let (_, document) = ask(&config, Method::Get, "/info");
        assert!(document.get("tempauth").is_none());
        assert!(document["swift"].get("version").is_none());
        assert_eq!(document["swift"]["valid_api_versions"], json!(["v1", "v1.0"]));
        assert_eq!(document["swift"]["auto_create_account_prefix"], ".");
        assert_eq!(document["dlo"], json!({}));
    }

    #[test]
    fn the_operators_signature_shows_what_is_withheld() {
        // Made by Python: hmac.new(b'secret', b'GET\n1400000000\n/info', 'sha1').hexdigest(), and the same with HEAD.
        const SIGNED_GET: &str = "0b962d95868a4af5699e06626e73f238b881b617";
        const SIGNED_HEAD: &str = "06ace70f075178117e6aba44e3a8cf9864a02ae1";
        let config = Config { admin_key: Some(Secret::from(b"secret".to_vec())), ..sample() };
        let signed =
            |signature: &str, expires: &str| format!("/info?swiftinfo_sig={signature}&swiftinfo_expires={expires}");
        let (status, document) = ask(&config, Method::Get, &signed(SIGNED_GET, "1400000000"));
        assert_eq!(status, 200);
        let withheld = json!(["swift.auto_create_account_prefix", "swift.valid_api_versions"]);
        assert_eq!(document["admin"], json!({ "disallowed_sections": withheld }));
        assert!(document["swift"].get("valid_api_versions").is_none());
        let check =
            |method, target: String, expected| assert_eq!(ask(&config, method, &target).0, expected, "{target}");
        check(Method::Head, signed(SIGNED_GET, "1400000000"), 200);
        check(Method::Head, signed(SIGNED_HEAD, "1400000000"), 200);
        check(Method::Get, signed(SIGNED_HEAD, "1400000000"), 401);
        check(Method::Get, signed(SIGNED_GET, "1399999999"), 401);
        check(Method::Get, signed(SIGNED_GET, "1400000001"), 401);
        check(Method::Get, signed(SIGNED_GET, "soon"), 401);
        check(Method::Get, signed(&SIGNED_GET.to_uppercase(), "1400000000"), 401);
        check(Method::Get, format!("/info?swiftinfo_sig={SIGNED_GET}"), 401);
        check(Method::Get, "/info?swiftinfo_expires=1400000000".to_owned(), 401);
        assert_eq!(ask(&sample(), Method::Get, &signed(SIGNED_GET, "1400000000")).0, 403, "without a key");
        let hidden = Config { expose_info: false, ..config.clone() };
        assert_eq!(ask(&hidden, Method::Get, &signed(SIGNED_GET, "1400000000")).0, 403);
    }

    #[test]
    fn scripts_of_every_site_may_read_it() {
        let mut head = RequestHead::new(Method::Get, "/info");
        head.headers.set("Origin", "http://site");
        let response = answer(&sample(), &head, Vec::new(), NOW);
        assert_eq!(response.head.headers.get_str("Access-Control-Allow-Origin"), Some("http://site"));
    }
}
