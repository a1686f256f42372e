//! account-quotas: bounds of a whole account, and of each storage policy in it, in bytes and objects. Resellers set them and are
//! not bound by them; everyone who may read the account sees them.

use super::container_quotas::number;
use crate::config::{Config, Policy};
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Method, Status};
use base::io::Job;
use std::rc::Rc;

const KINDS: [&str; 2] = ["Quota-Bytes", "Quota-Count"];

/// The layer.
pub struct AccountQuotas {
    config: Rc<Config>,
    next: Rc<dyn Application>,
    innermost: Rc<dyn Application>,
}

impl AccountQuotas {
    /// Around `next`; `innermost` tells the fields of accounts and containers.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>, innermost: Rc<dyn Application>) -> Self {
        Self { config, next, innermost }
    }
}

impl Application for AccountQuotas {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        let (config, next) = (Rc::clone(&self.config), Rc::clone(&self.next));
        if request.path.container.is_none() {
            if matches!(request.method, Method::Put | Method::Post)
                && let Err(status) = store(&config.policies, &mut request)
            {
                return Job::ready(respond::standard(status));
            }
            return Job::new(async move {
                let mut response = next.call(request).await;
                show(&config.policies, &mut response.head.headers);
                response
            });
        }
        if request.method != Method::Put || request.path.object.is_none() || request.identity.is_reseller {
            return self.next.call(request);
        }
        let innermost = Rc::clone(&self.innermost);
        Job::new(async move {
            let account = innermost.account_headers(&request).await;
            let container = innermost.container_headers(&request).await;
            let index = number(&container, "X-Backend-Storage-Policy-Index").unwrap_or(0);
            let policy = config.policies.iter().find(|policy| u64::from(policy.index) == index);
            let refusal = exceeded(&account, policy, request.body.length().unwrap_or(0));
            request.refusal = request.refusal.or(refusal);
            next.call(request).await
        })
    }
}

/// Names of the fields of one quota: as clients write it, and as it is stored.
fn names(kind: &str, policy: Option<&Policy>) -> (String, String) {
    match policy {
        None => (format!("Account-{kind}"), format!("X-Account-Sysmeta-{kind}")),
        Some(policy) => (
            format!("Account-{kind}-Policy-{}", policy.name()),
            format!("X-Account-Sysmeta-{kind}-Policy-{}", policy.index),
        ),
    }
}

fn each(policies: &[Policy]) -> impl Iterator<Item = (String, String)> {
    let scopes = std::iter::once(None).chain(policies.iter().map(Some));
    scopes.flat_map(|scope| KINDS.map(|kind| names(kind, scope)))
}

/// Turns the quotas of a PUT or POST into what is stored; 400 for what is no number, 403 from anyone but a reseller.
fn store(policies: &[Policy], request: &mut ClientRequest) -> Result<(), Status> {
    let reseller = request.identity.is_reseller;
    let headers = &mut request.headers;
    // The form of before there was system metadata.
    for prefix in ["X-", "X-Remove-"] {
        let modern = format!("{prefix}Account-Quota-Bytes");
        if let (Some(value), None) = (headers.get(&format!("{prefix}Account-Meta-Quota-Bytes")), headers.get(&modern)) {
            let value = value.clone();
            headers.set(modern, value);
        }
    }
    for (shown, stored) in each(policies) {
        let removes = headers.remove(&format!("X-Remove-{shown}")).is_some_and(|value| !value.is_empty());
        let sent = headers.remove(&format!("X-{shown}"));
        let Some(value) = (if removes { Some(Default::default()) } else { sent }) else { continue };
        if !reseller {
            return Err(Status(403));
        }
        if !value.iter().all(u8::is_ascii_digit) {
            return Err(Status(400));
        }
        headers.set(stored, value);
    }
    Ok(())
}

/// Shows what is stored.
fn show(policies: &[Policy], headers: &mut Headers) {
    for (shown, stored) in each(policies) {
        if let Some(value) = headers.get(&stored).filter(|value| !value.is_empty()).cloned() {
            headers.set(format!("X-{shown}"), value);
        }
    }
}

fn exceeded(account: &Headers, policy: Option<&Policy>, length: u64) -> Option<&'static str> {
    let over = |kind: &str, scope: Option<&Policy>, used: &str, more: u64| {
        let (_, stored) = names(kind, scope);
        let mut quota = number(account, &stored);
        if scope.is_none() && kind == "Quota-Bytes" && !account.contains(&stored) {
            quota = number(account, "X-Account-Meta-Quota-Bytes");
        }
        let used = match scope {
            None => format!("X-Account-{used}"),
            Some(policy) => format!("X-Account-Storage-Policy-{}-{used}", policy.name()),
        };
        quota.is_some_and(|quota| number(account, &used).unwrap_or(0).saturating_add(more) > quota)
    };
    let passes =
        |scope| over("Quota-Bytes", scope, "Bytes-Used", length) || over("Quota-Count", scope, "Object-Count", 1);
    if passes(None) {
        return Some("Upload exceeds quota.");
    }
    policy.is_some_and(|policy| passes(Some(policy))).then_some("Upload exceeds policy quota.")
}
