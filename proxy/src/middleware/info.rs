//! Core: `/info`: what this cluster can do. A key is there exactly when the feature is.

use crate::config::{Config, Member};
use crate::middleware::domain_remap;
use crate::respond;
use base::http::server::Response;
use base::http::{Method, Status};
use serde_json::{Map, Value, json};

/// The Swift release whose behaviour is offered; clients compare it.
pub const SWIFT_VERSION: &str = "2.38.0";

/// The answer to `/info`.
pub fn answer(config: &Config, method: Method) -> Response {
    match method {
        Method::Get | Method::Head => {
            Response::full(Status(200), "application/json; charset=UTF-8", document(config).to_string())
        }
        Method::Options => Response::empty(Status(200)).header("Allow", "HEAD, GET, OPTIONS"),
        _ => respond::standard(Status(405)).header("Allow", "HEAD, GET, OPTIONS"),
    }
}

fn document(config: &Config) -> Value {
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
    if config.is_on(Member::Tempauth) {
        info.insert("tempauth".into(), json!({ "account_acls": true }));
    }
    Value::Object(info)
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
        "valid_api_versions": limits.valid_api_versions,
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

    #[test]
    fn what_is_there_is_listed_and_nothing_else() {
        let document = document(&sample());
        assert_eq!(document["swift"]["policies"][0]["name"], "Policy-0");
        assert_eq!(document["swift"]["policies"][0]["default"], true);
        assert_eq!(document["swift"]["max_file_size"], 5_368_709_122_u64);
        assert_eq!(document["tempauth"]["account_acls"], true);
        assert!(document.get("slo").is_none());
    }
}
