//! Core: the options of `[filter:authtoken]`, by keystonemiddleware's names.

use crate::config::Secret;
use base::config::{ConfigError, Section};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Settings of the member.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Keystone is.
    pub keystone: Endpoint,
    /// The body that gets us a token of our own; it holds the password.
    pub credentials: Secret,
    /// Where clients are told to get tokens.
    pub www_authenticate_uri: String,
    /// Who has no token, or an invalid one, goes on as nobody.
    pub delay_auth_decision: bool,
    /// Roles of services: only they may ask for a user whose token has expired on the way.
    pub service_token_roles: Vec<String>,
    /// Whether a service without any of these roles is none.
    pub service_token_roles_required: bool,
    /// How long Keystone's word is good; `None`: it is asked each time.
    pub token_cache_time: Option<Duration>,
    /// Whether proxies share it in memcached (`cache = swift.cache`).
    pub shares_tokens: bool,
    /// Longest wait for Keystone, all attempts together (`http_connect_timeout`).
    pub deadline: Duration,
    /// Attempts after the first to connect (`http_request_max_retries`).
    pub retries: u32,
}

/// An http address whose path is Keystone's third version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `/v3`, perhaps with something in front.
    pub path: String,
    /// As a client would write host and port.
    pub authority: String,
}

impl Settings {
    /// Reads the section.
    pub fn parse(section: &Section) -> Result<Settings, ConfigError> {
        let keystone = endpoint(section)?;
        let uri = section.get("www_authenticate_uri").or_else(|| section.get("auth_uri"));
        let uri = uri.map_or_else(|| format!("http://{}{}", keystone.authority, keystone.path), str::to_owned);
        if !uri.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
            return Err(section.error("www_authenticate_uri", "an URL"));
        }
        let cache_time = match section.get("token_cache_time") {
            Some("-1") => None,
            _ => Some(Duration::from_secs(section.integer("token_cache_time", 300, 0..=86_400)?)),
        };
        Ok(Settings {
            keystone,
            credentials: Secret::from(credentials(section)?.to_string().into_bytes()),
            www_authenticate_uri: uri,
            delay_auth_decision: section.boolean("delay_auth_decision", false),
            service_token_roles: section.list("service_token_roles", "service"),
            service_token_roles_required: section.boolean("service_token_roles_required", true),
            token_cache_time: cache_time.filter(|time| !time.is_zero()),
            shares_tokens: shares_tokens(section)?,
            deadline: Duration::from_secs(section.integer("http_connect_timeout", 10, 1..=300)?),
            retries: u32::try_from(section.integer("http_request_max_retries", 3, 0..=10)?).unwrap_or(3),
        })
    }
}

/// The one cache there is here is that of the proxies, and values are not encrypted there.
fn shares_tokens(section: &Section) -> Result<bool, ConfigError> {
    let is_encrypted = section.get("memcache_security_strategy").is_some_and(|strategy| strategy.trim() != "None");
    match section.get("cache").map(str::trim) {
        None | Some("") => Ok(false),
        Some("swift.cache") => Ok(!is_encrypted),
        Some(_) => Err(section.error("cache", "swift.cache, the memcached of [filter:cache]")),
    }
}

fn endpoint(section: &Section) -> Result<Endpoint, ConfigError> {
    let wanted = "the http address of Keystone, such as http://keystone.example.com:5000";
    let Some(url) = section.get("auth_url").or_else(|| section.get("identity_uri")) else {
        return Err(ConfigError::new(format!("authtoken: auth_url is missing, it must be {wanted}")));
    };
    if url.starts_with("https://") {
        let text = "an http address: this proxy has no TLS towards Keystone. Let something that ends TLS (haproxy, stunnel) listen \
                    on loopback and name that";
        return Err(section.error("auth_url", text));
    }
    let refused = || section.error("auth_url", wanted);
    let rest = url.strip_prefix("http://").ok_or_else(refused)?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(refused)?),
        None => (authority, 80),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
    let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
    if !is_host(bare) || !is_path {
        return Err(refused());
    }
    // Whatever version is named: the third one is spoken.
    let path = path.trim_end_matches('/');
    let stem = path.strip_suffix("/v3").or_else(|| path.strip_suffix("/v2.0")).unwrap_or(path);
    Ok(Endpoint { host: bare.to_owned(), port, path: format!("{stem}/v3"), authority: authority.to_owned() })
}

/// What `POST /v3/auth/tokens` is told: who we are and what for.
fn credentials(section: &Section) -> Result<Value, ConfigError> {
    let first = |names: &[&str]| names.iter().find_map(|name| section.get(name)).filter(|value| !value.is_empty());
    if let Some(kind) = first(&["auth_type", "auth_plugin"])
        && !matches!(kind, "password" | "v3password")
    {
        return Err(section.error("auth_type", "password, the only kind there is here"));
    }
    let missing = |what: &str| ConfigError::new(format!("authtoken: {what} is missing"));
    let password = section.get("password").ok_or_else(|| missing("password"))?;
    let domain = |id: &[&str], name: &[&str]| -> Option<Value> {
        let by_id = first(id).map(|id| json!({"id": id}));
        by_id.or_else(|| first(name).map(|name| json!({"name": name})))
    };
    let user_domain = || {
        domain(&["user_domain_id"], &["user_domain_name"])
            .or_else(|| domain(&["default_domain_id"], &["default_domain_name"]))
    };
    let project_domain = || {
        domain(&["project_domain_id"], &["project_domain_name"])
            .or_else(|| domain(&["default_domain_id"], &["default_domain_name"]))
    };

    let mut user = Map::new();
    if let Some(id) = first(&["user_id"]) {
        user.insert("id".into(), id.into());
    } else {
        let name = first(&["username", "user_name"]).ok_or_else(|| missing("username (or user_id)"))?;
        user.insert("name".into(), name.into());
        let domain = user_domain().ok_or_else(|| missing("user_domain_id (or user_domain_name) of username"))?;
        user.insert("domain".into(), domain);
    }
    user.insert("password".into(), password.into());

    let scope = if let Some(id) = first(&["project_id", "tenant_id"]) {
        json!({"project": {"id": id}})
    } else if let Some(name) = first(&["project_name", "tenant_name"]) {
        let domain =
            project_domain().ok_or_else(|| missing("project_domain_id (or project_domain_name) of project_name"))?;
        json!({"project": {"name": name, "domain": domain}})
    } else if let Some(scope) = section.get("system_scope") {
        if scope != "all" {
            return Err(section.error("system_scope", "all"));
        }
        json!({"system": {"all": true}})
    } else {
        json!({"domain": domain(&["domain_id"], &["domain_name"]).ok_or_else(|| missing("project_name (or project_id)"))?})
    };
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    Ok(json!({"auth": {"identity": identity, "scope": scope}}))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base::config::Config;

    pub(crate) const USUAL: &str = "auth_url = http://10.0.0.5:5000\nusername = swift\npassword = 53cr3t\nuser_domain_id = default\n\
        project_name = service\nproject_domain_id = default\n";

    pub(crate) fn parse(options: &str) -> Result<Settings, String> {
        let conf = Config::parse("proxy-server.conf", &format!("[filter:authtoken]\n{options}")).unwrap();
        Settings::parse(conf.section("filter:authtoken").unwrap()).map_err(|error| error.message)
    }

    fn with(option: &str) -> Result<Settings, String> {
        let name = option.split(' ').next().unwrap();
        let others: Vec<&str> = USUAL.lines().filter(|line| !line.starts_with(&format!("{name} "))).collect();
        parse(&format!("{}\n{option}\n", others.join("\n")))
    }

    #[test]
    fn an_address_names_host_port_and_version() {
        let check = |url: &str, host: &str, port: u16, path: &str| {
            let keystone = with(&format!("auth_url = {url}")).unwrap().keystone;
            assert_eq!((keystone.host.as_str(), keystone.port, keystone.path.as_str()), (host, port, path), "{url}");
        };
        check("http://keystone.example.com:5000", "keystone.example.com", 5000, "/v3");
        check("http://keystone.example.com:5000/v3/", "keystone.example.com", 5000, "/v3");
        check("http://127.0.0.1/identity", "127.0.0.1", 80, "/identity/v3");
        check("http://[::1]:35357/v2.0", "::1", 35357, "/v3");
        check("http://[fd00::5]/identity/v3", "fd00::5", 80, "/identity/v3");
        for bad in [
            "keystone:5000",
            "ftp://h",
            "http://",
            "http://h:port",
            "http://h:0",
            "http://h/a?b",
            "http://a@b/",
            "http://h h",
        ] {
            assert!(with(&format!("auth_url = {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_what_to_do() {
        let refused = |option: &str, part: &str| {
            let message = with(option).unwrap_err();
            assert!(message.contains(part), "{message}");
            assert!(!message.contains("53cr3t"), "{message}");
        };
        refused("auth_url = https://keystone:5000", "no TLS towards Keystone");
        refused("auth_type = v3oidcpassword", "password");
        refused("username =", "username (or user_id) is missing");
        refused("user_domain_id =", "user_domain_id (or user_domain_name)");
        refused("project_name =", "project_name (or project_id)");
        refused("project_domain_id =", "project_domain_id");
        refused("token_cache_time = soon", "whole number");
        refused("www_authenticate_uri = http://x\"y", "an URL");
        assert!(parse("auth_url = http://h\n").unwrap_err().contains("password is missing"));
        assert!(parse("").unwrap_err().contains("auth_url is missing"));
    }

    #[test]
    fn the_usual_options_make_the_usual_request() {
        let settings = parse(USUAL).unwrap();
        let asked: Value = serde_json::from_slice(&settings.credentials).unwrap();
        let domain = json!({"id": "default"});
        let user = json!({"name": "swift", "domain": domain, "password": "53cr3t"});
        assert_eq!(asked["auth"]["identity"]["password"]["user"], user);
        assert_eq!(asked["auth"]["scope"]["project"], json!({"name": "service", "domain": domain}));
        assert_eq!(settings.www_authenticate_uri, "http://10.0.0.5:5000/v3");
        assert_eq!((settings.delay_auth_decision, settings.service_token_roles_required), (false, true));
        assert_eq!(settings.token_cache_time, Some(Duration::from_secs(300)));
        assert_eq!(with("token_cache_time = -1").unwrap().token_cache_time, None);
        assert!(!format!("{settings:?}").contains("53cr3t"));
    }

    #[test]
    fn other_scopes_and_ids_are_understood() {
        let scope = |options: &str| {
            let options = format!("auth_url = http://h\npassword = p\nuser_id = u\n{options}");
            let asked: Value = serde_json::from_slice(&parse(&options).unwrap().credentials).unwrap();
            assert_eq!(asked["auth"]["identity"]["password"]["user"], json!({"id": "u", "password": "p"}));
            asked["auth"]["scope"].clone()
        };
        assert_eq!(scope("project_id = x\n"), json!({"project": {"id": "x"}}));
        assert_eq!(scope("system_scope = all\n"), json!({"system": {"all": true}}));
        assert_eq!(scope("domain_name = d\n"), json!({"domain": {"name": "d"}}));
        let by_default = scope("tenant_name = t\ndefault_domain_id = x\n");
        assert_eq!(by_default, json!({"project": {"name": "t", "domain": {"id": "x"}}}));
    }
}
