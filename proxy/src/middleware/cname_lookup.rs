//! cname_lookup: a request to a host name of a customer's own, which DNS calls another name for one of the storage domain, is a request
//! to that one. domain_remap then finds account and container in it.
//!
//! `resolver` asks, `dns` knows the bytes. A name that leads nowhere is 400.

pub mod dns;
mod resolver;

use crate::respond;
use base::http::RequestHead;
use base::http::Status;
use base::http::server::Response;
use base::io;
use resolver::{Found, Resolver};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest wait for all questions of one request: what a resolver takes for one question (dnspython, glibc).
const DEADLINE: Duration = Duration::from_secs(5);

/// Settings of the member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `storage_domain`, each with a dot before it.
    pub storage_domains: Vec<String>,
    /// `lookup_depth`: names in a row.
    pub lookup_depth: usize,
    /// `nameservers`; none: those of the system.
    pub nameservers: Vec<SocketAddr>,
}

/// The member. One per core.
pub(crate) struct CnameLookup {
    settings: Settings,
    resolver: Resolver,
}

/// A host name that was replaced; redirects of the answer are written back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    requested: String,
    found: String,
}

impl CnameLookup {
    pub(crate) fn new(settings: Settings) -> CnameLookup {
        let resolver = Resolver::new(settings.nameservers.clone());
        CnameLookup { settings, resolver }
    }

    /// Replaces the host name of a request that is not the storage domain's own. The error is the answer.
    pub(crate) async fn rewrite(&self, head: &mut RequestHead) -> Result<Option<Rewritten>, Box<Response>> {
        let Some(requested) = head.headers.get_str("Host").map(str::to_owned) else { return Ok(None) };
        let (given, port) = split_port(&requested);
        if self.settings.storage_domains.is_empty() || is_address(given) || self.is_ours(given) {
            return Ok(None);
        }
        let found = self.follow(given).await?;
        tracing::info!(target: "proxy", "mapped {given} to {found}");
        let found = port.map_or_else(|| found.clone(), |port| format!("{found}:{port}"));
        head.headers.set("Host", found.clone());
        Ok(Some(Rewritten { requested, found }))
    }

    /// The name of the storage domain that `given` leads to.
    async fn follow(&self, given: &str) -> Result<String, Box<Response>> {
        let refused = |text: String| Box::new(respond::bad_request(text));
        let nowhere = || refused("CNAME lookup failed to resolve to a valid domain".to_owned());
        let end = io::monotonic().after(DEADLINE);
        let mut name = given.strip_suffix('.').unwrap_or(given).to_owned();
        for _ in 0..self.settings.lookup_depth {
            let target = match self.resolver.find(&name, end).await {
                Found::Target(target) if target != name => target,
                Found::Busy => return Err(Box::new(respond::standard(Status(503)))),
                Found::Target(_) | Found::Nothing => return Err(nowhere()),
            };
            if self.is_ours(&target) {
                return Ok(target);
            }
            name = target;
        }
        Err(refused(format!("CNAME lookup failed after {} tries", self.settings.lookup_depth)))
    }

    fn is_ours(&self, name: &str) -> bool {
        let dotted = format!(".{name}");
        self.settings.storage_domains.iter().any(|domain| dotted.ends_with(domain.as_str()))
    }
}

impl Rewritten {
    /// Writes redirects to the host name that the client knows.
    pub(crate) fn finish(&self, response: &mut Response) {
        respond::rewrite_places(&mut response.head.headers, |site, path| {
            let (scheme @ ("http" | "https"), host) = site.split_once("://")? else { return None };
            (host == self.found).then(|| format!("{scheme}://{}{path}", self.requested))
        });
    }
}

/// `name:port` or `name`.
fn split_port(host: &str) -> (&str, Option<&str>) {
    if host.ends_with(']') {
        return (host, None);
    }
    host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)))
}

fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    inner.parse::<IpAddr>().is_ok()
}

/// An address with or without a port, IPv6 in brackets: a name server of the configuration.
pub(crate) fn name_server(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let is_bare = bare.is_some() || text.parse::<std::net::Ipv4Addr>().is_ok();
    let address = bare.unwrap_or(text);
    if is_bare {
        return address.parse().ok().map(|address: IpAddr| SocketAddr::new(address, resolver::PORT));
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests;
