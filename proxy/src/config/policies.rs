//! Core: the storage policies of `swift.conf`, as far as the proxy needs them: names and the default.

use base::config::{Config as Ini, ConfigError};

/// One storage policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its index in paths and headers.
    pub index: u32,
    /// Names, the first is the policy's own; compared without case.
    pub names: Vec<String>,
    /// Whether containers get it when nothing else is asked for.
    pub is_default: bool,
    /// Not offered for new containers.
    pub is_deprecated: bool,
}

impl Policy {
    /// Its own name.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// All of them, by index; with none configured, Swift's `Policy-0`.
pub(super) fn policies(file: &str, ini: &Ini) -> Result<Vec<Policy>, ConfigError> {
    let refuse = |sentence: String| Err(ConfigError::new(format!("{file}: {sentence}")));
    let mut policies: Vec<Policy> = Vec::new();
    for name in ini.sections().filter(|name| name.starts_with("storage-policy:")) {
        let Some(section) = ini.section(name) else { continue };
        let Some(index) = name.strip_prefix("storage-policy:").and_then(|index| index.parse().ok()) else {
            return refuse(format!("[{name}] must end with the policy's number"));
        };
        let mut names = section.list("name", "");
        if names.is_empty() {
            return refuse(format!("[{name}] has no name"));
        }
        names
            .extend(section.list("aliases", "").into_iter().filter(|alias| !names.contains(alias)).collect::<Vec<_>>());
        if section.get("policy_type").is_some_and(|kind| kind != "replication") {
            return refuse(format!("[{name}] is not replicated, and only replicated policies are served"));
        }
        let is_deprecated = section.boolean("deprecated", false);
        policies.push(Policy { index, names, is_default: section.boolean("default", false), is_deprecated });
    }
    policies.sort_by_key(|policy| policy.index);
    if policies.is_empty() {
        policies.push(Policy { index: 0, names: vec!["Policy-0".into()], is_default: true, is_deprecated: false });
    }
    if let [only] = policies.as_mut_slice() {
        only.is_default = true;
    }
    check(&policies).map_or(Ok(policies), refuse)
}

/// What is wrong with the set as a whole.
fn check(policies: &[Policy]) -> Option<String> {
    if policies.first().is_none_or(|policy| policy.index != 0) {
        return Some("storage policies are named, but [storage-policy:0] is not among them".into());
    }
    if policies.iter().filter(|policy| policy.is_default).count() != 1 {
        return Some("exactly one storage policy must be the default".into());
    }
    let mut names: Vec<String> = policies.iter().flat_map(|p| &p.names).map(|name| name.to_lowercase()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair.first() == pair.last())?;
    Some(format!("two storage policies have the name {}", twice.first()?))
}
