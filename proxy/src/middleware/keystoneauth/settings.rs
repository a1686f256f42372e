//! Core: the options of `[filter:keystoneauth]`, by Swift's names.

use base::config::{ConfigError, Section};

/// Settings of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// In the order of `reseller_prefix`.
    pub resellers: Vec<Reseller>,
    /// `reseller_admin_role`, lower case.
    pub reseller_admin_role: String,
    /// `system_reader_roles`, lower case.
    pub system_reader_roles: Vec<String>,
    /// Whether signatures and the like are rights of their own.
    pub allow_overrides: bool,
    /// The domain that accounts of before there were domains belong to.
    pub default_domain_id: String,
    /// Whether names count in ACLs, where all are in the default domain.
    pub allow_names_in_acls: bool,
}

/// One kind of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reseller {
    /// What stands before the project's id: `AUTH_`, or nothing.
    pub prefix: String,
    /// Roles that own the account of their project, lower case.
    pub operator_roles: Vec<String>,
    /// Roles of which a service must bring one as well; none: no service is needed. Lower case.
    pub service_roles: Vec<String>,
    /// Roles that read the account of their project, lower case.
    pub project_reader_roles: Vec<String>,
}

impl Default for Settings {
    /// What holds without any option.
    fn default() -> Self {
        Settings {
            resellers: vec![Reseller {
                prefix: "AUTH_".to_owned(),
                operator_roles: vec!["admin".to_owned(), "swiftoperator".to_owned()],
                service_roles: Vec::new(),
                project_reader_roles: Vec::new(),
            }],
            reseller_admin_role: "reselleradmin".to_owned(),
            system_reader_roles: Vec::new(),
            allow_overrides: true,
            default_domain_id: "default".to_owned(),
            allow_names_in_acls: true,
        }
    }
}

impl Settings {
    /// Reads the section.
    pub fn parse(section: &Section) -> Result<Settings, ConfigError> {
        let default = Settings::default();
        let lower = |names: Vec<String>| names.iter().map(|name| name.to_lowercase()).collect();
        Ok(Settings {
            resellers: resellers(section)?,
            reseller_admin_role: section
                .get("reseller_admin_role")
                .map_or(default.reseller_admin_role, str::to_lowercase),
            system_reader_roles: lower(section.list("system_reader_roles", "")),
            allow_overrides: section.boolean("allow_overrides", true),
            default_domain_id: section.get("default_domain_id").map_or(default.default_domain_id, str::to_owned),
            allow_names_in_acls: section.boolean("allow_names_in_acls", true),
        })
    }

    /// The kind an account is of. The empty prefix fits all, so that it comes last.
    pub fn reseller(&self, account: &str) -> Option<&Reseller> {
        let named = self.resellers.iter().find(|one| !one.prefix.is_empty() && account.starts_with(&one.prefix));
        named.or_else(|| self.resellers.iter().find(|one| one.prefix.is_empty()))
    }
}

/// Each prefix with the options that bear it, or those that bear none; `''` is the empty prefix.
fn resellers(section: &Section) -> Result<Vec<Reseller>, ConfigError> {
    let wanted = "prefixes of letters and digits, such as AUTH or AUTH, SERVICE; '' is the empty one";
    let mut resellers: Vec<Reseller> = Vec::new();
    for name in section.list("reseller_prefix", "AUTH") {
        let stem = if name == "''" { "" } else { name.trim_end_matches('_') };
        if !stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')) {
            return Err(section.error("reseller_prefix", wanted));
        }
        let prefix = if stem.is_empty() { String::new() } else { format!("{stem}_") };
        if resellers.iter().any(|other| other.prefix == prefix) {
            continue;
        }
        let option_prefix = if prefix.is_empty() { "''" } else { &prefix };
        let roles = |option: &str, default: &str| {
            let own = section.list(&format!("{option_prefix}{option}"), "");
            let all = section.list(option, "");
            let defaults = default.split_whitespace().map(str::to_owned).collect();
            let chosen = [own, all].into_iter().find(|roles| !roles.is_empty()).unwrap_or(defaults);
            chosen.iter().map(|role| role.to_lowercase()).collect::<Vec<_>>()
        };
        resellers.push(Reseller {
            operator_roles: roles("operator_roles", "admin swiftoperator"),
            service_roles: roles("service_roles", ""),
            project_reader_roles: roles("project_reader_roles", ""),
            prefix,
        });
    }
    if resellers.is_empty() {
        return Err(section.error("reseller_prefix", wanted));
    }
    Ok(resellers)
}
