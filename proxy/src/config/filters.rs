//! Core: the options of the small members of the pipeline, and of what they share with the application.

use super::parse::{section_of, size};
use super::{Member, Policy, members};
use crate::middleware::{cname_lookup, gatekeeper, info, list_endpoints, name_check, proxy_logging, read_only};
use base::config::{Config as Ini, ConfigError, Section, is_true};
use base::limits::Constraints;
use base::recon::Recon;
use std::path::PathBuf;

/// An option that `[DEFAULT]` may give to all.
pub(super) fn inherited<'a>(ini: &'a Ini, section: &'a Section, name: &str) -> Option<&'a str> {
    // Asked there as well, so that it is known to both.
    let general = ini.defaults().get(name);
    section.get(name).or(general).filter(|value| !value.is_empty())
}

/// Swift withholds two keys that are nobody's business.
pub(super) fn disallowed_sections(ini: &Ini, app: &Section) -> Vec<String> {
    ini.defaults().get("disallowed_sections");
    app.list("disallowed_sections", info::DISALLOWED_SECTIONS)
}

/// Of the first that says so.
pub(super) fn trans_id_suffix(ini: &Ini) -> String {
    inherited(ini, section_of(ini, "catch_errors"), "trans_id_suffix").unwrap_or_default().to_owned()
}

pub(super) fn gatekeeper(section: &Section) -> gatekeeper::Settings {
    gatekeeper::Settings {
        shunt_inbound_x_timestamp: section.boolean("shunt_inbound_x_timestamp", true),
        allow_reserved_names_header: section.boolean("allow_reserved_names_header", false),
    }
}

pub(super) fn name_check(section: &Section) -> Result<name_check::Settings, ConfigError> {
    let pattern = section.get("forbidden_regexp").unwrap_or(name_check::FORBIDDEN_REGEXP);
    let wanted = "a regular expression that a linear matcher knows (no looking around, no references back)";
    let pattern = (!pattern.is_empty())
        .then(|| name_check::Pattern::new(pattern).map_err(|_| section.error("forbidden_regexp", wanted)));
    Ok(name_check::Settings {
        forbidden_chars: section.get("forbidden_chars").unwrap_or(name_check::FORBIDDEN_CHARS).to_owned(),
        maximum_length: size(section, "maximum_length", 255, 0..=1_000_000)?,
        forbidden_regexp: pattern.transpose()?,
    })
}

pub(super) fn cname_lookup(section: &Section) -> Result<cname_lookup::Settings, ConfigError> {
    let domains = section.list("storage_domain", "example.com");
    let servers = section.list("nameservers", "");
    let addresses: Option<Vec<_>> = servers.iter().map(|text| cname_lookup::name_server(text)).collect();
    let wanted = "IP addresses, each with or without a port, such as 127.0.0.1, [::1]:5353";
    Ok(cname_lookup::Settings {
        storage_domains: domains.iter().map(|domain| format!(".{}", domain.trim_start_matches('.'))).collect(),
        lookup_depth: size(section, "lookup_depth", 1, 1..=32)?,
        nameservers: addresses.ok_or_else(|| section.error("nameservers", wanted))?,
    })
}

pub(super) fn read_only(section: &Section) -> read_only::Settings {
    read_only::Settings {
        read_only: section.boolean("read_only", false),
        allow_deletes: section.boolean("allow_deletes", false),
    }
}

pub(super) fn list_endpoints_path(section: &Section) -> String {
    let path = section.get("list_endpoints_path").unwrap_or(list_endpoints::PATH);
    if path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}

pub(super) fn recon(ini: &Ini, section: &Section, policies: &[Policy]) -> Recon {
    let path = |name: &str, default: &str| PathBuf::from(inherited(ini, section, name).unwrap_or(default));
    let indexes = policies.iter().map(|policy| policy.index);
    let cache = path("recon_cache_path", base::recon::CACHE_PATH);
    Recon::new(&path("devices", "/srv/node"), &path("swift_dir", "/etc/swift"), &cache, indexes)
}

/// Which proxy-logging of the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Last,
}

/// An option `access_x` goes before `x`.
pub(super) fn proxy_logging(
    file: &str,
    ini: &Ini,
    constraints: &Constraints,
    which: Which,
) -> Result<proxy_logging::Settings, ConfigError> {
    let line = ini.section("pipeline:main").and_then(|section| section.get("pipeline")).unwrap_or_default();
    let mut names = line
        .split_whitespace()
        .filter(|name| members::resolve(file, ini, name).is_ok_and(|member| member == Member::ProxyLogging));
    let name = if which == Which::First { names.next() } else { names.next_back() };
    let section = ini.section_or_defaults(&format!("filter:{}", name.unwrap_or("proxy-logging")));
    let option = |name: &str| inherited(ini, section, name);
    let template = option("log_msg_template").unwrap_or(proxy_logging::LOG_MSG_TEMPLATE);
    let template = proxy_logging::Template::parse(template)
        .map_err(|error| section.error("log_msg_template", &format!("a template of Swift's fields: {error}")))?;
    let method = option("log_anonymization_method").unwrap_or("md5");
    let anonymizer = proxy_logging::Anonymizer::new(method, option("log_anonymization_salt").unwrap_or_default());
    let wanted = "md5, sha1, sha224, sha256, sha384 or sha512";
    let anonymizer = anonymizer.ok_or_else(|| section.error("log_anonymization_method", wanted))?;
    let headers_only = option("access_log_headers_only").unwrap_or_default().split(',').map(str::trim);
    Ok(proxy_logging::Settings {
        template,
        anonymizer,
        headers: option("access_log_headers").or_else(|| option("log_headers")).is_some_and(is_true),
        headers_only: headers_only.filter(|name| !name.is_empty()).map(str::to_ascii_lowercase).collect(),
        reveal_sensitive_prefix: size(section, "reveal_sensitive_prefix", 16, 0..=1_000_000)?,
        valid_api_versions: constraints.valid_api_versions.clone(),
        statsd: statsd(ini, section)?,
    })
}

/// Off without a host. What `access_log_statsd_…` says goes before `log_statsd_…`.
fn statsd(ini: &Ini, section: &Section) -> Result<Option<proxy_logging::statsd::Settings>, ConfigError> {
    let option = |name: &str| {
        let general = inherited(ini, section, name);
        inherited(ini, section, &format!("access_{name}")).or(general)
    };
    let share = |name: &str| match option(name) {
        None => Ok(1.0),
        Some(text) => {
            let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
            share.ok_or_else(|| section.error(name, "a number from 0 to 1"))
        }
    };
    let port = option("log_statsd_port").map_or(Some(8125), |text| text.parse().ok());
    let port = port.ok_or_else(|| section.error("log_statsd_port", "a port"))?;
    let rate = share("log_statsd_default_sample_rate")? * share("log_statsd_sample_rate_factor")?;
    let site = option("log_statsd_metric_prefix").map(|prefix| format!("{prefix}.")).unwrap_or_default();
    let methods = option("log_statsd_valid_http_methods").unwrap_or(proxy_logging::statsd::METHODS);
    let methods = methods.split(',').map(|name| name.trim().to_ascii_uppercase()).filter(|name| !name.is_empty());
    let is_wanted = inherited(ini, section, "statsd_emit_legacy").is_none_or(is_true);
    Ok(option("log_statsd_host").filter(|_| is_wanted).map(|host| proxy_logging::statsd::Settings {
        host: host.to_owned(),
        port,
        sample_rate: rate,
        prefix: format!("{site}proxy-server."),
        methods: methods.collect(),
    }))
}
