//! Core: the `pipeline =` line: which members are on, and whether they stand in a legal order.

use base::config::{Config as Ini, ConfigError, Section};

/// A member of the pipeline. The order of the variants is the only legal order; `pipeline.rs` says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// Transaction ids; every failure becomes an answer.
    CatchErrors,
    /// What only backends may say is taken out.
    Gatekeeper,
    /// `/healthcheck`.
    Healthcheck,
    /// `/recon/…`.
    Recon,
    /// The access log.
    ProxyLogging,
    /// Facts of accounts and containers; each core always has its own.
    Cache,
    /// What paths may look like.
    NameCheck,
    /// Where replicas are.
    ListEndpoints,
    /// Host names of customers' own.
    CnameLookup,
    /// Accounts and containers in host names.
    DomainRemap,
    /// Quotes around ETags.
    EtagQuoter,
    /// Listings in the client's format.
    ListingFormats,
    /// Requests of other clusters.
    ContainerSync,
    /// Archives and lists of deletions.
    Bulk,
    /// Signed URLs.
    Tempurl,
    /// How often what may be asked.
    Ratelimit,
    /// `/crossdomain.xml`.
    Crossdomain,
    /// Clusters and accounts that take no writes.
    ReadOnly,
    /// Forms of browsers that bring files.
    Formpost,
    /// Users, tokens, ACLs.
    Tempauth,
    /// Tokens of Keystone.
    Authtoken,
    /// The rights of those whom Keystone knows.
    Keystoneauth,
    /// Containers as web sites.
    Staticweb,
    /// COPY and `X-Copy-From`.
    Copy,
    /// Bounds of containers.
    ContainerQuotas,
    /// Bounds of accounts.
    AccountQuotas,
    /// Static large objects.
    Slo,
    /// Dynamic large objects.
    Dlo,
    /// Older versions of objects, of both kinds.
    VersionedWrites,
    /// Objects that stand for others.
    Symlink,
    /// The second proxy-logging: requests of middleware.
    SubrequestLogging,
    /// The application.
    ProxyServer,
}

use Member::ProxyServer;

const ALL: [(Member, &str, &str); 32] = [
    (Member::CatchErrors, "catch_errors", "catch_errors"),
    (Member::Gatekeeper, "gatekeeper", "gatekeeper"),
    (Member::Healthcheck, "healthcheck", "healthcheck"),
    (Member::Recon, "recon", "recon"),
    (Member::ProxyLogging, "proxy-logging", "proxy_logging"),
    (Member::Cache, "cache", "memcache"),
    (Member::NameCheck, "name_check", "name_check"),
    (Member::ListEndpoints, "list-endpoints", "list_endpoints"),
    (Member::CnameLookup, "cname_lookup", "cname_lookup"),
    (Member::DomainRemap, "domain_remap", "domain_remap"),
    (Member::EtagQuoter, "etag-quoter", "etag_quoter"),
    (Member::ListingFormats, "listing_formats", "listing_formats"),
    (Member::ContainerSync, "container_sync", "container_sync"),
    (Member::Bulk, "bulk", "bulk"),
    (Member::Tempurl, "tempurl", "tempurl"),
    (Member::Ratelimit, "ratelimit", "ratelimit"),
    (Member::Crossdomain, "crossdomain", "crossdomain"),
    (Member::ReadOnly, "read_only", "read_only"),
    (Member::Formpost, "formpost", "formpost"),
    (Member::Tempauth, "tempauth", "tempauth"),
    (Member::Authtoken, "authtoken", "auth_token"),
    (Member::Keystoneauth, "keystoneauth", "keystoneauth"),
    (Member::Staticweb, "staticweb", "staticweb"),
    (Member::Copy, "copy", "copy"),
    (Member::ContainerQuotas, "container-quotas", "container_quotas"),
    (Member::AccountQuotas, "account-quotas", "account_quotas"),
    (Member::Slo, "slo", "slo"),
    (Member::Dlo, "dlo", "dlo"),
    (Member::VersionedWrites, "versioned_writes", "versioned_writes"),
    (Member::Symlink, "symlink", "symlink"),
    // Resolved as `proxy-logging`, which finds the first one; the second gets here by its place.
    (Member::SubrequestLogging, "proxy-logging", "proxy_logging"),
    (Member::ProxyServer, "proxy-server", "proxy"),
];

/// Members that nobody else depends on: wherever the line names them, they do the same.
const ANYWHERE: [Member; 5] =
    [Member::Recon, Member::Cache, Member::NameCheck, Member::ListEndpoints, Member::ReadOnly];

/// What Swift adds to any pipeline that lacks it, because the application is wrong without.
const REQUIRED: [Member; 5] =
    [Member::CatchErrors, Member::Gatekeeper, Member::ListingFormats, Member::Copy, Member::Dlo];

impl Member {
    /// Swift's usual name in a pipeline.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(member, ..)| *member == self).map_or("?", |(_, name, _)| name)
    }

    /// By its usual name or the name of its egg entry point.
    fn from_name(name: &str) -> Option<Member> {
        ALL.iter().find(|(_, usual, entry)| *usual == name || *entry == name).map(|(member, ..)| *member)
    }
}

/// The members that are on, in order, and sentences about those that were added.
pub(super) fn members(file: &str, ini: &Ini) -> Result<(Vec<Member>, Vec<String>), ConfigError> {
    let line = ini.section("pipeline:main").and_then(|section| section.get("pipeline"));
    let line = line.ok_or_else(|| ConfigError::new(format!("{file}: [pipeline:main] with `pipeline =` is missing")))?;
    let mut members: Vec<Member> = Vec::new();
    for name in line.split_whitespace() {
        let mut member = resolve(file, ini, name)?;
        if member == Member::ProxyLogging && members.contains(&member) {
            // As in Swift's own sample: the client's requests, and next to the application those of middleware.
            member = Member::SubrequestLogging;
        }
        if members.contains(&member) {
            return Err(ConfigError::new(format!("{file}: pipeline: `{name}` stands there twice, name it once")));
        }
        if let Some(before) = members.iter().find(|before| **before > member && !may_swap(**before, member)) {
            return Err(ConfigError::new(format!("{file}: pipeline: `{name}` must stand before `{}`", before.name())));
        }
        members.push(member);
    }
    if members.last() != Some(&ProxyServer) {
        return Err(ConfigError::new(format!("{file}: pipeline: the last member must be `proxy-server`")));
    }
    check_auth(file, &members)?;
    let mut notices = Vec::new();
    for member in REQUIRED {
        if !members.contains(&member) {
            notices.push(format!("{file}: pipeline: added `{}`, which every pipeline needs", member.name()));
            members.push(member);
        }
    }
    members.sort_unstable();
    Ok((members, notices))
}

/// Members that Swift's samples place differently among those in front of the tokens; where they stand in the line means nothing.
const ROAMING: [Member; 3] = [Member::ContainerSync, Member::Ratelimit, Member::Formpost];

/// Whether two members may stand in either order.
fn may_swap(one: Member, other: Member) -> bool {
    let is_between = |member: Member| member > Member::ProxyLogging && member < Member::Tempauth;
    let is_free = |member: Member| ANYWHERE.contains(&member);
    is_free(one)
        || is_free(other)
        || (ROAMING.contains(&one) || ROAMING.contains(&other)) && is_between(one) && is_between(other)
}

/// One system decides who may what, and each half of Keystone's needs the other.
fn check_auth(file: &str, members: &[Member]) -> Result<(), ConfigError> {
    let is_on = |member: Member| members.contains(&member);
    let refuse = |text: &str| Err(ConfigError::new(format!("{file}: pipeline: {text}")));
    match (is_on(Member::Tempauth), is_on(Member::Authtoken), is_on(Member::Keystoneauth)) {
        (true, _, true) => refuse("`tempauth` and `keystoneauth` would both decide who may what, take one of them out"),
        (_, true, false) => refuse("`authtoken` needs `keystoneauth` behind it, which decides what those it knows may"),
        (_, false, true) => refuse("`keystoneauth` needs `authtoken` before it, which finds out who is asking"),
        _ => Ok(()),
    }
}

/// A name of the line: through what its section makes, else by the name itself.
pub(super) fn resolve(file: &str, ini: &Ini, name: &str) -> Result<Member, ConfigError> {
    let section = ini.section(&format!("filter:{name}")).or_else(|| ini.section(&format!("app:{name}")));
    let entry = section.and_then(entry_of);
    let known = || ALL.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(" ");
    Member::from_name(entry.unwrap_or(name)).ok_or_else(|| {
        ConfigError::new(format!("{file}: pipeline: `{name}` is not offered here, take it out; there are: {}", known()))
    })
}

/// What a section makes: the entry of `use = egg:swift#…`, or the module of `paste.filter_factory = keystonemiddleware.…:…`.
pub(super) fn entry_of(section: &Section) -> Option<&str> {
    let factory = section.get("paste.filter_factory").and_then(|factory| factory.split_once(':'));
    let module = factory.and_then(|(module, _)| module.rsplit_once('.')).map(|(_, module)| module);
    section.get("use").and_then(|egg| egg.split_once('#')).map(|(_, entry)| entry).or(module)
}
