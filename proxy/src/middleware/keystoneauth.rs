//! Core: keystoneauth: the rights of those whom Keystone knows. No I/O, no clock, no async.
//!
//! - The account of a project is `<reseller prefix><project id>`. Who has an operator role in the project owns it, where the prefix
//!   asks for it only together with a service that brings a service role. Reseller admins own everything, system readers read it.
//! - An entry of a container ACL `project:user` names both by id, either may be `*`; an entry without a colon names a role of the
//!   account's own project.
//! - Names in ACLs count only while nobody else can have the same name: the caller, his project and the account's project are in
//!   the default domain. That of an account is written down when it is made (`X-Account-Sysmeta-Project-Domain-Id`); what could
//!   not be found out then is `_unknown`, in which no name counts.

mod settings;

pub use settings::{Reseller, Settings};

use super::acl::{self, Acl};
use super::authorization::{Acls, Verdict};
use super::authtoken::{Confirmed, Token};
use crate::facts::Info;
use crate::request::{ClientRequest, Identity};
use base::http::{Headers, Method};

/// Where an account keeps the domain of its project (Swift's name).
const STORED_DOMAIN: &str = "X-Account-Sysmeta-Project-Domain-Id";
/// What readers of the account see of it.
const SHOWN_DOMAIN: &str = "X-Account-Project-Domain-Id";
/// The domain of an account that somebody from elsewhere made; no domain's id has this form.
const UNKNOWN_DOMAIN: &str = "_unknown";

/// Who a caller is to the rest of the pipeline.
pub fn identity(settings: &Settings, confirmed: Confirmed) -> Identity {
    Identity {
        user: Some(confirmed.token.user.id.clone()),
        is_reseller: has(&confirmed.token, &settings.reseller_admin_role),
        groups: Vec::new(),
        keystone: Some(confirmed),
    }
}

/// What a caller may.
pub(super) fn verdict(settings: &Settings, request: &ClientRequest, acls: Acls<'_>) -> Verdict {
    if request.method == Method::Options {
        return Verdict::Allowed;
    }
    // The ACL of a container reaches no further up.
    let acl = acls.container.filter(|_| request.path.container.is_some());
    let acl = acl.map(acl::parse_acl).unwrap_or_default();
    match &request.identity.keystone {
        _ if acls.is_sync(request) && settings.reseller(&request.path.account).is_some() => Verdict::Allowed,
        Some(caller) => verdict_on(settings, request, caller, &acl, acls.account),
        None => {
            let is_ours = settings.reseller(&request.path.account).is_some();
            if is_ours && by_referrer(request, &acl) == Some(true) { Verdict::Allowed } else { Verdict::Denied }
        }
    }
}

fn verdict_on(
    settings: &Settings,
    request: &ClientRequest,
    caller: &Confirmed,
    acl: &Acl,
    account: Option<&Headers>,
) -> Verdict {
    let token = &*caller.token;
    let reads = matches!(request.method, Method::Get | Method::Head);
    if has(token, &settings.reseller_admin_role) {
        return Verdict::Owner;
    }
    if reads && has_any(token, &settings.system_reader_roles) {
        return Verdict::Allowed;
    }
    if request.path.container.is_none() && request.method == Method::Delete {
        // Nobody ends his own account.
        return Verdict::Denied;
    }
    let names = names_count(settings, request, token, account);
    let referred = by_referrer(request, acl);
    if acl_names(acl, token, names == Names::Count) || referred == Some(true) {
        return Verdict::Allowed;
    }
    let Some(reseller) = settings.reseller(&request.path.account).filter(|_| is_own(settings, request, token)) else {
        let would = names == Names::DependOnAccount && acl_names(acl, token, true);
        return if would { Verdict::DependsOnAccount } else { Verdict::Denied };
    };
    let has_service = || caller.service.as_ref().is_some_and(|service| has_any(service, &reseller.service_roles));
    if has_any(token, &reseller.operator_roles) && (reseller.service_roles.is_empty() || has_service()) {
        return Verdict::Owner;
    }
    if reads && has_any(token, &reseller.project_reader_roles) {
        return Verdict::Allowed;
    }
    // A referrer that opens objects but not this listing has settled it.
    let by_role = || acl.groups.iter().any(|group| has(token, &group.to_lowercase()));
    if referred.is_none() && by_role() { Verdict::Allowed } else { Verdict::Denied }
}

/// Whether the account is one of the caller's project.
fn is_own(settings: &Settings, request: &ClientRequest, token: &Token) -> bool {
    let Some(project) = &token.project else { return false };
    let account = request.path.account.as_str();
    settings.resellers.iter().any(|reseller| account.strip_prefix(&reseller.prefix) == Some(project.id.as_str()))
}

fn has(token: &Token, role: &str) -> bool {
    token.roles.iter().any(|own| own.to_lowercase() == role)
}

fn has_any(token: &Token, roles: &[String]) -> bool {
    roles.iter().any(|role| has(token, role))
}

/// What the referrers of an ACL say: `None` when none of them fits.
fn by_referrer(request: &ClientRequest, acl: &Acl) -> Option<bool> {
    let fits = acl::referrer_allowed(request.headers.get_str("Referer"), &acl.referrers);
    fits.then(|| request.path.object.is_some() || acl.groups.iter().any(|group| group == ".rlistings"))
}

/// Whether an entry `project:user` is about the caller.
fn acl_names(acl: &Acl, token: &Token, with_names: bool) -> bool {
    let is = |entry: &str, id: &str, name: &str| entry == "*" || entry == id || (with_names && entry == name);
    let (project_id, project_name) =
        token.project.as_ref().map_or(("*", "*"), |project| (project.id.as_str(), project.name.as_str()));
    let (user_id, user_name) = (token.user.id.as_str(), token.user.name.as_str());
    acl.groups.iter().any(|group| {
        // A name may hold colons itself, so that every one of them may be the border.
        group.match_indices(':').any(|(at, _)| {
            let (project, user) = (&group[..at], &group[at + 1..]);
            is(project, project_id, project_name) && is(user, user_id, user_name)
        })
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Count,
    Mislead,
    DependOnAccount,
}

/// Whether names can be trusted in the ACLs of this account.
fn names_count(settings: &Settings, request: &ClientRequest, token: &Token, account: Option<&Headers>) -> Names {
    let is_default = |domain: Option<&str>| domain.is_none_or(|domain| domain == settings.default_domain_id);
    let own_domain = token.project.as_ref().and_then(|project| project.domain_id.as_deref());
    if !settings.allow_names_in_acls || !is_default(token.user.domain_id.as_deref()) || !is_default(own_domain) {
        return Names::Mislead;
    }
    if is_own(settings, request, token) {
        return Names::Count;
    }
    let Some(account) = account else { return Names::DependOnAccount };
    // Its counts come with every account that is there. Of one that could not be asked nothing is believed.
    if account.contains("X-Account-Container-Count") && is_default(stored_domain(account)) {
        Names::Count
    } else {
        Names::Mislead
    }
}

fn stored_domain(account: &Headers) -> Option<&str> {
    account.get_str(STORED_DOMAIN).filter(|domain| !domain.is_empty())
}

/// Shows the domain of an account's project.
pub(super) fn show_project_domain(headers: &mut Headers) {
    if let Some(domain) = stored_domain(headers).map(str::to_owned) {
        headers.set(SHOWN_DOMAIN, domain);
    }
}

/// Whether a request may make an account, so that the domain of its project is to be written down.
pub fn may_note_domain(request: &ClientRequest) -> bool {
    let path = &request.path;
    let may_create = match request.method {
        Method::Put => path.object.is_none(),
        Method::Post => path.container.is_none(),
        _ => false,
    };
    may_create && request.identity.keystone.is_some() && !request.headers.contains(STORED_DOMAIN)
}

/// Writes the domain of the account's project into the request, where it is new or was not known.
pub fn note_project_domain(settings: &Settings, request: &mut ClientRequest, account: &Info) {
    let Some(caller) = &request.identity.keystone else { return };
    // Somebody who is in the account's own project knows its domain.
    let own = is_own(settings, request, &caller.token)
        .then(|| caller.token.project.as_ref().and_then(|project| project.domain_id.clone()));
    let known = stored_domain(&account.headers);
    let noted = match (account.status, known, own) {
        // Nobody knows: nothing is guessed.
        (500.., ..) => None,
        (200..=299, None, Some(Some(domain))) if domain == settings.default_domain_id => Some(domain),
        (200..=299, Some(UNKNOWN_DOMAIN), Some(domain)) => Some(domain.unwrap_or_default()),
        (200..=299, Some(known), Some(own)) if own.as_deref() != Some(known) => {
            tracing::warn!(target: "proxy", account = %request.path.account, known, token = ?own, "an account's domain differs from the token's");
            None
        }
        (200..=299, ..) => None,
        (_, _, Some(domain)) => domain,
        (_, _, None) => Some(UNKNOWN_DOMAIN.to_owned()),
    };
    if let Some(domain) = noted {
        request.headers.set(STORED_DOMAIN, domain);
    }
}

#[cfg(test)]
mod tests;
