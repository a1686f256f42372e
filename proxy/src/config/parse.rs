//! Core: every option of `proxy-server.conf`, one line each, with its bounds and what holds without it.

use super::{Config, Member, Reseller, Secret, filters, members, nodes, policies, unused, users};
use crate::expirer;
use crate::middleware::segment_rate::Limits;
use crate::middleware::tempurl::signature;
use crate::middleware::{
    authtoken, bulk, container_sync, crossdomain, domain_remap, formpost, keystoneauth, ratelimit, slo, tempurl,
};
use base::config::{Config as Ini, ConfigError, Section, SwiftConf};
use base::limits::Constraints;
use base::memcache;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Options of Swift that have no meaning here; a file that holds them is not wrong. Each with the reason.
const UNUSED: [(&str, &str); 28] = [
    ("workers", "cores are counted by `cores`"),
    ("user", "start the daemon as the user it should be"),
    ("log_facility", "logs go to standard error"),
    ("log_level", "set RUST_LOG"),
    ("log_name", "logs go to standard error"),
    ("log_address", "logs go to standard error"),
    ("eventlet_debug", "there is no eventlet"),
    ("backlog", "the kernel's maximum is used"),
    ("min_segment_size", "a segment has at least one byte"),
    ("auth_version", "Keystone's third version is spoken"),
    ("interface", "tokens are asked for at auth_url"),
    ("region_name", "tokens are asked for at auth_url"),
    ("memcached_servers", "proxies share tokens by cache = swift.cache"),
    ("memcache_security_strategy", "with it each core keeps its own tokens"),
    ("memcache_secret_key", "with it each core keeps its own tokens"),
    ("include_service_catalog", "nothing here reads the catalog"),
    ("enforce_token_bind", "bound tokens are refused"),
    ("service_type", "tokens with access rules are refused"),
    ("cafile", "auth_url is an http address"),
    ("certfile", "auth_url is an http address"),
    ("keyfile", "auth_url is an http address"),
    ("insecure", "auth_url is an http address"),
    ("is_admin", "as in Swift, where it has had no effect for long"),
    ("signing_dir", "there are no tokens to be checked without Keystone"),
    ("recheck_updating_shard_ranges", "containers are not sharded yet"),
    ("recheck_listing_shard_ranges", "containers are not sharded yet"),
    ("container_updating_shard_ranges_skip_cache_pct", "containers are not sharded yet"),
    ("container_listing_shard_ranges_skip_cache_pct", "containers are not sharded yet"),
];

/// See `Config::parse`.
#[expect(clippy::too_many_lines, reason = "one line per option")]
pub(super) fn parse(
    file: &str,
    text: &str,
    swift_text: &str,
    memcache_text: Option<&str>,
    available_cores: usize,
) -> Result<Config, ConfigError> {
    let ini = Ini::parse(file, text)?;
    let swift = SwiftConf::parse("swift.conf", swift_text)?;
    let swift_ini = Ini::parse("swift.conf", swift_text)?;
    let (pipeline, mut notices) = members::members(file, &ini)?;
    let defaults = ini.defaults();
    let app = ini.section_or_defaults("app:proxy-server");
    let auth = section_of(&ini, "tempauth");
    let (users, resellers) = (users::users(auth)?, resellers(auth)?);
    let token_secret = token_secret(auth, &swift_ini, &users)?;
    if pipeline.contains(&Member::Tempauth) && users.is_empty() {
        notices.push(format!("{file}: tempauth has no users: nobody can get a token"));
    }
    let policies = policies::policies("swift.conf", &swift_ini)?;
    let cores = size(defaults, "cores", available_cores as u64, 1..=1024)?;
    let memcache = memcache(&ini, memcache_text, &pipeline, cores, &mut notices)?;
    let config = Config {
        swift_dir: PathBuf::from(defaults.get("swift_dir").unwrap_or("/etc/swift")),
        bind: bind(defaults)?,
        metrics_bind: metrics_bind(defaults)?,
        hash_path: swift.hash_path,
        bulk: bulk(section_of(&ini, "bulk"), &swift.constraints)?,
        // [filter:recon]
        recon: filters::recon(&ini, section_of(&ini, "recon"), &policies),
        policies,
        // [DEFAULT]
        cores,
        max_clients: size(defaults, "max_clients", 1024, 1..=65_536)?,
        client_timeout: defaults.seconds("client_timeout", 60.0)?,
        keepalive_timeout: keepalive_timeout(defaults)?,
        require_proxy_protocol: defaults.boolean("require_proxy_protocol", false),
        cors_allow_origin: defaults.list("cors_allow_origin", ""),
        cors_expose_headers: defaults.list("cors_expose_headers", ""),
        strict_cors_mode: defaults.boolean("strict_cors_mode", true),
        // Anywhere above the application
        expose_info: filters::inherited(&ini, app, "expose_info").is_none_or(base::config::is_true),
        disallowed_sections: filters::disallowed_sections(&ini, app),
        admin_key: filters::inherited(&ini, app, "admin_key").map(|key| Secret::from(key.as_bytes().to_vec())),
        // [filter:catch_errors]
        trans_id_suffix: filters::trans_id_suffix(&ini),
        // [filter:gatekeeper]
        gatekeeper: filters::gatekeeper(section_of(&ini, "gatekeeper")),
        // [filter:name_check]
        name_check: filters::name_check(section_of(&ini, "name_check"))?,
        // [filter:read_only]
        read_only: filters::read_only(section_of(&ini, "read_only")),
        // [filter:list-endpoints]
        list_endpoints_path: filters::list_endpoints_path(section_of(&ini, "list_endpoints")),
        // [filter:proxy-logging], and the one of the same kind that the line names last
        proxy_logging: filters::proxy_logging(file, &ini, &swift.constraints, filters::Which::First)?,
        subrequest_logging: filters::proxy_logging(file, &ini, &swift.constraints, filters::Which::Last)?,
        // [app:proxy-server]
        preference: nodes::preference(app, None)?,
        policy_preferences: nodes::of_policies(file, &ini, app)?,
        post_quorum_timeout: app.seconds("post_quorum_timeout", 0.5)?,
        timing_expiry: app.seconds("timing_expiry", 300.0)?,
        swift_owner_headers: lower(app.list("swift_owner_headers", OWNER_HEADERS)),
        deny_host_headers: app.list("deny_host_headers", ""),
        max_containers_per_account: app.integer("max_containers_per_account", 0, 0..=u64::MAX)?,
        max_containers_whitelist: app.list("max_containers_whitelist", ""),
        allow_open_expired: app.boolean("allow_open_expired", false),
        account_autocreate: app.boolean("account_autocreate", false),
        allow_account_management: app.boolean("allow_account_management", false),
        conn_timeout: app.seconds("conn_timeout", 0.5)?,
        node_timeout: app.seconds("node_timeout", 10.0)?,
        log_handoffs: app.boolean("log_handoffs", true),
        recoverable_node_timeout: recoverable_node_timeout(app)?,
        error_suppression_limit: u32::try_from(app.integer("error_suppression_limit", 10, 1..=1_000_000)?)
            .unwrap_or(10),
        error_suppression_interval: app.seconds("error_suppression_interval", 60.0)?,
        recheck_account_existence: app.seconds("recheck_account_existence", 60.0)?,
        recheck_container_existence: app.seconds("recheck_container_existence", 60.0)?,
        existence_skip_cache: existence_skip_cache(app)?,
        request_node_count: request_node_count(app)?,
        memcache,
        // [filter:tempauth]
        users,
        token_secret,
        reseller_prefix: resellers.first().map(|reseller| reseller.prefix.clone()).unwrap_or_default(),
        resellers,
        tempauth_prefix: auth_prefix(auth, &mut notices),
        tempauth_allows_overrides: auth.boolean("allow_overrides", true),
        token_life: Duration::from_secs(auth.integer("token_life", 86_400, 1..=315_360_000)?),
        storage_url_scheme: auth.get("storage_url_scheme").filter(|s| *s != "default").map(str::to_owned),
        // [filter:authtoken]
        authtoken: authtoken(&ini, &pipeline)?,
        // [filter:keystoneauth]
        keystoneauth: keystoneauth(&ini, &pipeline)?,
        // [filter:cname_lookup]
        cname_lookup: filters::cname_lookup(section_of(&ini, "cname_lookup"))?,
        // [filter:domain_remap]
        domain_remap: domain_remap(section_of(&ini, "domain_remap")),
        // [filter:etag-quoter]
        etags_are_quoted: section_of(&ini, "etag_quoter").boolean("enable_by_default", false),
        // [filter:staticweb]
        staticweb_url_base: section_of(&ini, "staticweb")
            .get("url_base")
            .map(|base| base.trim_end_matches('/').to_owned()),
        // [filter:crossdomain]
        cross_domain_policy: section_of(&ini, "crossdomain")
            .get("cross_domain_policy")
            .unwrap_or(crossdomain::POLICY)
            .to_owned(),
        // [filter:symlink]
        symloop_max: size(section_of(&ini, "symlink"), "symloop_max", 2, 1..=100)?,
        // [filter:dlo]
        dlo_limits: segment_limits(of_dlo(&ini), None)?,
        // [filter:slo]
        slo: slo(section_of(&ini, "slo"))?,
        // [filter:versioned_writes]
        allow_versioned_writes: section_of(&ini, "versioned_writes").boolean("allow_versioned_writes", false),
        allow_object_versioning: section_of(&ini, "versioned_writes").boolean("allow_object_versioning", false),
        // [filter:tempurl]
        tempurl: tempurl(section_of(&ini, "tempurl"))?,
        // [filter:formpost]
        formpost: formpost(section_of(&ini, "formpost"))?,
        // [filter:container_sync]
        container_sync: container_sync(section_of(&ini, "container_sync"))?,
        // [filter:ratelimit]
        ratelimit: ratelimit(section_of(&ini, "ratelimit"))?,
        // [filter:healthcheck]
        healthcheck_disable_path: section_of(&ini, "healthcheck").get("disable_path").map(PathBuf::from),
        // [object-expirer]
        expirer: ini.section(expirer::SECTION).map(|section| expirer::Settings::parse(section, true)).transpose()?,
        pipeline,
        notices: Vec::new(),
        constraints: swift.constraints,
    };
    if config.memcache.is_none() && config.authtoken.as_ref().is_some_and(|settings| settings.shares_tokens) {
        notices.push(format!(
            "{file}: authtoken: cache = swift.cache without `cache` in the pipeline: each core keeps its own tokens"
        ));
    }
    notices.extend(unused(&ini));
    Ok(Config { notices, ..config })
}

/// The filter's section by its usual name (`a_b` or `a-b`), or any whose `use` names its egg entry.
pub(super) fn section_of<'a>(ini: &'a Ini, kind: &str) -> &'a Section {
    let usual = [format!("filter:{kind}"), format!("filter:{}", kind.replace('_', "-"))];
    let names: Vec<&str> = ini.sections().filter(|name| name.starts_with("filter:")).collect();
    let by_use = names.into_iter().find(|name| ini.section(name).and_then(members::entry_of) == Some(kind));
    let by_name = || usual.iter().map(String::as_str).find(|name| ini.section(name).is_some());
    ini.section_or_defaults(by_use.or_else(by_name).unwrap_or_default())
}

/// Its section has keystonemiddleware's entry, or the usual name.
fn authtoken(ini: &Ini, pipeline: &[Member]) -> Result<Option<authtoken::Settings>, ConfigError> {
    let by_entry = ini.sections().find(|name| ini.section(name).and_then(members::entry_of) == Some("auth_token"));
    let section = ini.section_or_defaults(by_entry.unwrap_or("filter:authtoken"));
    pipeline.contains(&Member::Authtoken).then(|| authtoken::Settings::parse(section)).transpose()
}

fn keystoneauth(ini: &Ini, pipeline: &[Member]) -> Result<Option<keystoneauth::Settings>, ConfigError> {
    let section = section_of(ini, "keystoneauth");
    pipeline.contains(&Member::Keystoneauth).then(|| keystoneauth::Settings::parse(section)).transpose()
}

/// `[filter:cache]`, and `memcache.conf` where Swift looks into it; nothing when `cache` is not in the pipeline.
fn memcache(
    ini: &Ini,
    text: Option<&str>,
    pipeline: &[Member],
    cores: usize,
    notices: &mut Vec<String>,
) -> Result<Option<memcache::Settings>, ConfigError> {
    let conf = text.map(|text| Ini::parse("memcache.conf", text)).transpose()?;
    let settings = memcache::Settings::read(cache_section(ini), conf.as_ref())?;
    if !pipeline.contains(&Member::Cache) {
        return Ok(None);
    }
    notices.extend(settings.notice(cores));
    Ok(Some(settings))
}

/// The filter is called `cache` wherever it is used, its egg entry `memcache`.
fn cache_section(ini: &Ini) -> &Section {
    match ini.section("filter:cache") {
        Some(section) => section,
        None => section_of(ini, "memcache"),
    }
}

/// Parts of a hundred, as parts of one.
fn existence_skip_cache(app: &Section) -> Result<[f64; 2], ConfigError> {
    let percent = |name: &str| app.float(name, 0.0, 0.0..=100.0).map(|part| part / 100.0);
    Ok([percent("account_existence_skip_cache_pct")?, percent("container_existence_skip_cache_pct")?])
}

fn bind(defaults: &Section) -> Result<SocketAddr, ConfigError> {
    let ip: IpAddr =
        defaults.get("bind_ip").unwrap_or("0.0.0.0").parse().map_err(|_| defaults.error("bind_ip", "an IP address"))?;
    if defaults.get("cert_file").is_some() {
        return Err(defaults.error("cert_file", "absent: TLS is ended in front of the proxy"));
    }
    let port = defaults.integer("bind_port", 8080, 0..=65_535)?;
    Ok(SocketAddr::new(ip, u16::try_from(port).unwrap_or_default()))
}

fn metrics_bind(defaults: &Section) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(text) = defaults.get("metrics_bind").filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| defaults.error("metrics_bind", "an address and a port, such as 127.0.0.1:9100"))
}

pub(super) fn size(
    section: &Section,
    name: &str,
    default: u64,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<usize, ConfigError> {
    Ok(usize::try_from(section.integer(name, default, bounds)?).unwrap_or(usize::MAX))
}

/// Swift's default is the client's timeout.
fn keepalive_timeout(defaults: &Section) -> Result<Duration, ConfigError> {
    let client = defaults.seconds("client_timeout", 60.0)?.as_secs_f64();
    defaults.seconds("keepalive_timeout", client)
}

/// Swift's default is `node_timeout`.
fn recoverable_node_timeout(app: &Section) -> Result<Duration, ConfigError> {
    let node = app.seconds("node_timeout", 10.0)?.as_secs_f64();
    app.seconds("recoverable_node_timeout", node)
}

/// A number, or `2 * replicas`, which is `None`: only the ring knows the replicas.
fn request_node_count(app: &Section) -> Result<Option<usize>, ConfigError> {
    let Some(value) = app.get("request_node_count") else { return Ok(None) };
    let words: Vec<&str> = value.split_whitespace().collect();
    match words.as_slice() {
        ["2", "*", "replicas"] => Ok(None),
        [number] => match number.parse() {
            Ok(count) if (1..=1024).contains(&count) => Ok(Some(count)),
            _ => Err(app.error("request_node_count", "a whole number from 1 to 1024, or `2 * replicas`")),
        },
        _ => Err(app.error("request_node_count", "a whole number from 1 to 1024, or `2 * replicas`")),
    }
}

/// With a slash at both ends; one without a name is replaced, as in Swift.
fn auth_prefix(auth: &Section, notices: &mut Vec<String>) -> String {
    let text = auth.get("auth_prefix").unwrap_or("/auth/");
    let name = text.trim_matches('/');
    if name.is_empty() {
        notices.push(format!("tempauth: auth_prefix = {text} names nothing, /auth/ is used"));
        return "/auth/".to_owned();
    }
    let start = if text.starts_with('/') { "" } else { "/" };
    let end = if text.ends_with('/') { "" } else { "/" };
    format!("{start}{text}{end}")
}

/// In the order of `reseller_prefix`, each with its `<PREFIX>_require_group`; the first prefix's own option may lack the prefix.
fn resellers(auth: &Section) -> Result<Vec<Reseller>, ConfigError> {
    let is_name = |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let prefixes = auth.list("reseller_prefix", "AUTH");
    if prefixes.is_empty() || !prefixes.iter().all(is_name) {
        return Err(auth.error("reseller_prefix", "prefixes of letters and digits, such as AUTH or AUTH, SERVICE"));
    }
    let mut resellers: Vec<Reseller> = Vec::new();
    for prefix in prefixes {
        let prefix = format!("{}_", prefix.trim_end_matches('_'));
        let own = auth.get(&format!("{prefix}require_group"));
        let group = own.or_else(|| resellers.is_empty().then(|| auth.get("require_group")).flatten());
        let require_group = group.filter(|group| !group.is_empty()).map(str::to_owned);
        if resellers.iter().all(|other| other.prefix != prefix) {
            resellers.push(Reseller { prefix, require_group });
        }
    }
    Ok(resellers)
}

fn domain_remap(section: &Section) -> domain_remap::Settings {
    let domains = section.list("storage_domain", "example.com");
    domain_remap::Settings {
        storage_domains: domains.iter().map(|domain| format!(".{}", domain.trim_start_matches('.'))).collect(),
        path_root: section.get("path_root").unwrap_or(domain_remap::PATH_ROOT).trim_matches('/').to_owned(),
        reseller_prefixes: section.list("reseller_prefixes", "AUTH"),
        default_reseller_prefix: section.get("default_reseller_prefix").map(str::to_owned),
        mangle_client_paths: section.boolean("mangle_client_paths", false),
    }
}

fn bulk(section: &Section, constraints: &Constraints) -> Result<bulk::Settings, ConfigError> {
    Ok(bulk::Settings {
        max_containers_per_extraction: size(section, "max_containers_per_extraction", 10_000, 1..=1_000_000)?,
        max_failed_extractions: size(section, "max_failed_extractions", 1_000, 1..=100_000)?,
        max_deletes_per_request: size(section, "max_deletes_per_request", 10_000, 1..=1_000_000)?,
        max_failed_deletes: size(section, "max_failed_deletes", 1_000, 1..=100_000)?,
        yield_frequency: Duration::from_secs(section.integer("yield_frequency", 10, 1..=3_600)?),
        delete_concurrency: size(section, "delete_concurrency", 2, 1..=1_000)?,
        // The last pause of twenty is an hour long.
        delete_container_retry_count: u32::try_from(section.integer("delete_container_retry_count", 0, 0..=20)?)
            .unwrap_or(0),
        max_path_length: constraints.max_object_name_length + constraints.max_container_name_length + 2,
        max_file_size: constraints.max_file_size,
    })
}

fn slo(section: &Section) -> Result<slo::Settings, ConfigError> {
    let concurrency = size(section, "concurrency", 2, 1..=1_000)?;
    Ok(slo::Settings {
        max_manifest_segments: size(section, "max_manifest_segments", 1_000, 1..=100_000)?,
        max_manifest_size: size(section, "max_manifest_size", 8_388_608, 1..=33_554_432)?,
        concurrency,
        delete_concurrency: size(section, "delete_concurrency", concurrency as u64, 1..=1_000)?,
        yield_frequency: Duration::from_secs(section.integer("yield_frequency", 10, 1..=3_600)?),
        limits: segment_limits(section, Some(section.integer("rate_limit_under_size", 1_048_576, 0..=1 << 50)?))?,
        allow_async_delete: section.boolean("allow_async_delete", true),
    })
}

/// What only owners of an account see and set, as long as `swift_owner_headers` says nothing else.
const OWNER_HEADERS: &str = "x-container-read, x-container-write, x-container-sync-key, x-container-sync-to, \
    x-account-meta-temp-url-key, x-account-meta-temp-url-key-2, x-container-meta-temp-url-key, \
    x-container-meta-temp-url-key-2, x-account-access-control";

fn lower(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

fn segment_limits(section: &Section, under: Option<u64>) -> Result<Limits, ConfigError> {
    Ok(Limits {
        after: section.integer("rate_limit_after_segment", 10, 0..=1_000_000)?,
        per_second: section.integer("rate_limit_segments_per_sec", 1, 0..=1_000_000)?,
        under,
        max_get_time: Duration::from_secs(section.integer("max_get_time", 86_400, 0..=u64::from(u32::MAX))?),
    })
}

/// Where dynamic large objects have their options: once these were the application's own.
fn of_dlo(ini: &Ini) -> &Section {
    let own = section_of(ini, "dlo");
    let says = |name: &str| own.get(name).is_some();
    let is_own = says("rate_limit_after_segment") | says("rate_limit_segments_per_sec") | says("max_get_time");
    if is_own { own } else { ini.section_or_defaults("app:proxy-server") }
}

fn tempurl(section: &Section) -> Result<tempurl::Settings, ConfigError> {
    let words = |name: &str, default: &str| -> Vec<String> {
        section.get(name).unwrap_or(default).split_whitespace().map(str::to_owned).collect()
    };
    let filter = |direction: &str, remove: &str, allow: &str| tempurl::Filter {
        remove: tempurl::Names::new(&words(&format!("{direction}_remove_headers"), remove)),
        allow: tempurl::Names::new(&words(&format!("{direction}_allow_headers"), allow)),
    };
    let incoming = filter("incoming", "x-timestamp x-open-expired", "");
    let outgoing = filter("outgoing", "x-object-meta-*", "x-object-meta-public-*");
    let methods = words("methods", "GET HEAD PUT POST DELETE");
    let digests = words("allowed_digests", "sha1 sha256 sha512");
    tempurl::Settings::new(&methods, &digests, incoming, outgoing).map_err(|word| {
        ConfigError::new(format!("tempurl: `{word}` is neither a method nor a digest (sha1 sha256 sha512)"))
    })
}

fn formpost(section: &Section) -> Result<formpost::Settings, ConfigError> {
    let words = section.get("allowed_digests").filter(|words| !words.trim().is_empty()).unwrap_or("sha1 sha256 sha512");
    let digests = words.split_whitespace().map(|word| signature::Digest::from_name(&word.to_ascii_lowercase()));
    let wanted = || section.error("allowed_digests", "a list of sha1 sha256 sha512");
    Ok(formpost::Settings { allowed_digests: digests.collect::<Option<_>>().ok_or_else(wanted)? })
}

fn container_sync(section: &Section) -> Result<container_sync::Settings, ConfigError> {
    let current = section.get("current").filter(|current| !current.is_empty()).map(str::to_uppercase);
    let parts = current.map(|current| {
        let (realm, cluster) = current.trim_matches('/').split_once('/')?;
        (!cluster.contains('/')).then(|| (realm.to_owned(), cluster.to_owned()))
    });
    let wanted = || section.error("current", "of the form //REALM/CLUSTER");
    Ok(container_sync::Settings {
        allow_full_urls: section.boolean("allow_full_urls", true),
        current: parts.map(|parts| parts.ok_or_else(wanted)).transpose()?,
    })
}

fn ratelimit(section: &Section) -> Result<ratelimit::Settings, ConfigError> {
    const RATES: std::ops::RangeInclusive<f64> = 0.0..=1e6;
    let curve = |prefix: &str| -> Result<ratelimit::Curve, ConfigError> {
        let names = section.options.keys().filter_map(|name| Some((name, name.strip_prefix(prefix)?)));
        let points = names.map(|(name, size)| {
            let rate = section.float(name, 0.0, RATES)?;
            let size = size.parse().map_err(|_| section.error(name, "named with a number of objects at its end"))?;
            Ok((size, rate))
        });
        Ok(ratelimit::Curve::new(points.collect::<Result<_, _>>()?))
    };
    Ok(ratelimit::Settings {
        account_ratelimit: section.float("account_ratelimit", 0.0, RATES)?,
        max_sleep_time: section.seconds("max_sleep_time_seconds", 60.0)?,
        log_sleep_time: section.seconds("log_sleep_time_seconds", 0.0)?,
        clock_accuracy: section.integer("clock_accuracy", 1000, 1..=1_000_000)?,
        rate_buffer: section.seconds("rate_buffer_seconds", 5.0)?,
        account_whitelist: section.list("account_whitelist", ""),
        account_blacklist: section.list("account_blacklist", ""),
        container_ratelimits: curve("container_ratelimit_")?,
        container_listing_ratelimits: curve("container_listing_ratelimit_")?,
    })
}

/// Given in hex, or derived from what all proxies of a cluster share.
fn token_secret(auth: &Section, swift: &Ini, users: &[super::User]) -> Result<Secret, ConfigError> {
    if let Some(text) = auth.get("token_secret") {
        return unhex(text).filter(|bytes| bytes.len() >= 16).map(Secret::from).ok_or_else(|| {
            // The value stays out of the sentence.
            ConfigError::new(
                "tempauth: token_secret must be at least 32 hex digits, such as `openssl rand -hex 32` prints",
            )
        });
    }
    let salt = swift.section_or_defaults("swift-hash");
    let salts = ["swift_hash_path_prefix", "swift_hash_path_suffix"].map(|name| salt.get(name).unwrap_or_default());
    let mut digest = Sha256::new();
    let names = users.iter().flat_map(|user| [user.account.as_str(), user.user.as_str(), user.key.as_str()]);
    for part in ["martlet token secret 1"].into_iter().chain(salts).chain(names) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    Ok(Secret::from(digest.finalize().to_vec()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| u8::try_from(digit(high)? << 4 | digit(low)?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// Options nobody asked for, in sentences.
fn unused(ini: &Ini) -> Vec<String> {
    let sections = ini.sections().filter_map(|name| Some((name, ini.section(name)?)));
    let mut notices = Vec::new();
    for (name, section) in sections.chain([("DEFAULT", ini.defaults())]) {
        for (option, place) in section.unknown() {
            let reason = UNUSED.iter().find(|(unused, _)| *unused == option).map(|(_, reason)| *reason);
            notices.push(match reason.or_else(|| unused::reason(&option)) {
                Some(reason) => format!("{place}: [{name}] {option} is not used: {reason}"),
                None => format!("{place}: [{name}] {option} is not known and has no effect"),
            });
        }
    }
    notices
}
