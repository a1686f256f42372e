//! tempurl: a signature in the query of an URL stands for the right of its maker: one method (a signed GET, PUT or POST also
//! allows HEAD), one object or all with a prefix, until a time, from an address if it says so.
//!
//! - The maker's key is metadata of the account or of the container (`X-…-Meta-Temp-URL-Key`, `-2`); the right reaches as far as
//!   the key: requests that follow from this one (segments of a manifest) stay inside that account or container.
//! - A signed write must not say where its content or its meaning comes from (CVE-2015-5223: a manifest stored by a signed PUT
//!   would read what its maker never could).
//! - An invalid signature is refused whatever the token beside it says.

mod fields;
pub(crate) mod signature;

use crate::config::Config;
use crate::pipeline::Application;
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Method, Status, date};
use base::quote::{Query, quote};
use base::timestamp::Timestamp;
pub use fields::{Filter, Names};
use signature::{Digest, Signature, Signed};
use std::net::IpAddr;
use std::rc::Rc;

/// What a signed write may not bring.
const DISALLOWED: [&str; 3] = ["X-Object-Manifest", "X-Symlink-Target", "X-Copy-From"];
/// Parts of a right, in the query.
const SIGNATURE: &str = "temp_url_sig";
const EXPIRES: &str = "temp_url_expires";

/// Whether the request claims a signed right.
pub fn is_claimed(query: &Query) -> bool {
    query.get(SIGNATURE).is_some() || query.get(EXPIRES).is_some()
}

/// A right that was checked, and what the answer must be given.
#[derive(Clone, Debug)]
pub struct Granted {
    expires: u64,
    filename: Option<Vec<u8>>,
    inline: bool,
    name: String,
    reads: bool,
    outgoing: Filter,
}

/// Checks the claim. A good one sets the request's authority; the error is the answer.
pub async fn grant(
    config: &Config,
    application: &Rc<dyn Application>,
    request: &mut ClientRequest,
) -> Result<Granted, Box<Response>> {
    let claim = Claim::read(config, request).ok_or_else(|| refused(request.method))?;
    let account = application.account_headers(request).await;
    let container = application.container_headers(request).await;
    let of_account = keys(&account, "X-Account-Meta-Temp-Url-Key").map(|key| (key, false));
    let of_container = keys(&container, "X-Container-Meta-Temp-Url-Key").map(|key| (key, true));
    let methods: &[Method] = match request.method {
        Method::Head => &[Method::Head, Method::Get, Method::Post, Method::Put],
        ref own => std::slice::from_ref(own),
    };
    let mut scope = None;
    for (key, is_container) in of_account.chain(of_container) {
        for method in methods {
            // Every key and method is tried, so that the time tells nothing about which of them fits.
            let fits = claim.signature.matches(&key, &claim.signed(*method));
            scope = scope.or_else(|| fits.then_some(is_container));
        }
    }
    let is_container = scope.ok_or_else(|| refused(request.method))?;
    if !matches!(request.method, Method::Get | Method::Head)
        && let Some(name) = DISALLOWED.iter().find(|name| request.headers.contains(name))
    {
        return Err(Box::new(respond::told(
            Status(400),
            format!("The header '{name}' is not allowed in this tempurl"),
        )));
    }
    request.authority = Authority::Signed {
        account: request.path.account.clone(),
        container: request.path.container.clone().filter(|_| is_container),
    };
    config.tempurl.incoming.apply(&mut request.headers);
    request.query = covered(&request.query);
    let Claim { expires, filename, inline, name, .. } = claim;
    let reads = matches!(request.method, Method::Get | Method::Head);
    let outgoing = config.tempurl.outgoing.clone();
    Ok(Granted { expires, filename, inline, name, reads, outgoing })
}

/// The query without what the signature does not cover: who may read an object need not be allowed to read its manifest or
/// older versions of it, nor to delete the segments with it.
fn covered(query: &Query) -> Query {
    const COVERED: [&str; 5] = [SIGNATURE, EXPIRES, "temp_url_prefix", "filename", "inline"];
    let said = COVERED.iter().filter_map(|name| Some((name, query.get(name)?)));
    let said: Vec<String> = said.map(|(name, value)| format!("{name}={}", quote(value))).collect();
    Query::parse(said.join("&").as_bytes())
}

/// The claim as sent, syntactically right and not expired.
struct Claim {
    signature: Signature,
    expires: u64,
    /// `/v1/account/container/object`, or `prefix:/v1/account/container/prefix`.
    path: String,
    ip_range: Option<String>,
    filename: Option<Vec<u8>>,
    inline: bool,
    name: String,
}

impl Claim {
    fn read(config: &Config, request: &ClientRequest) -> Option<Claim> {
        let text = |name: &str| request.query.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let expires = expiry(&text(EXPIRES)?)?;
        if expires < request.timestamp.seconds() || !config.tempurl.methods.contains(&request.method) {
            return None;
        }
        let signature = Signature::parse(&text(SIGNATURE)?)?;
        if !config.tempurl.allowed_digests.contains(&signature.digest) {
            return None;
        }
        // The root of a web site may be looked at with a signature for everything in it.
        let is_root = request.path.object.is_none()
            && matches!(request.method, Method::Get | Method::Head)
            && request.query.get("temp_url_prefix") == Some(b"");
        let object = request.path.object.as_deref().or_else(|| is_root.then_some(""))?;
        if !is_root && object.trim_matches('/').is_empty() {
            return None;
        }
        let ip_range = text("temp_url_ip_range").filter(|range| !range.is_empty());
        if let Some(range) = &ip_range
            && !is_in_range(range, request.remote)?
        {
            return None;
        }
        let place = format!("/v1/{}/{}", request.path.account, request.path.container.as_deref()?);
        let path = match text("temp_url_prefix") {
            Some(prefix) if object.starts_with(&prefix) => format!("prefix:{place}/{prefix}"),
            Some(_) => return None,
            None => format!("{place}/{object}"),
        };
        let name = object.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let filename = request.query.get("filename").filter(|name| !name.is_empty()).map(<[u8]>::to_vec);
        let inline = request.query.get("inline").is_some();
        Some(Claim { signature, expires, path, ip_range, filename, inline, name })
    }

    fn signed(&self, method: Method) -> Signed<'_> {
        Signed { method, expires: self.expires, path: &self.path, ip_range: self.ip_range.as_deref() }
    }
}

impl Granted {
    /// Makes an answer one to a signed request: no private metadata, and what browsers shall do with the body.
    pub fn finish(&self, response: &mut Response) {
        let headers = &mut response.head.headers;
        self.outgoing.apply(headers);
        if !self.reads || !response.head.status.is_success() {
            return;
        }
        let is_page = headers.get("X-Backend-Content-Generator").is_some_and(|value| &value[..] == b"staticweb");
        if self.name.is_empty() && !is_page {
            // A listing of the API is not what was signed.
            *response = *refused(Method::Get);
            return;
        }
        let disposition = |kind: &str, name: &[u8]| {
            let plain = quote(name).replace("%20", " ");
            format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", quote(name).replace('/', "%2F"))
        };
        let own = headers.get_str("Content-Disposition").map(str::to_owned);
        let value = match (self.inline || is_page, &self.filename, own) {
            (true, Some(name), _) => disposition("inline", name),
            (true, None, _) => "inline".to_owned(),
            (false, Some(name), _) => disposition("attachment", name),
            (false, None, Some(own)) => own,
            (false, None, None) => disposition("attachment", self.name.as_bytes()),
        };
        headers.set("Content-Disposition", value);
        headers.set("Expires", date::format(self.expires));
    }
}

/// Up to two keys.
pub(super) fn keys(headers: &Headers, name: &str) -> impl Iterator<Item = Vec<u8>> {
    let values = [headers.get(name), headers.get(&format!("{name}-2"))];
    values.into_iter().flatten().filter(|key| !key.is_empty()).map(|key| key.to_vec()).collect::<Vec<_>>().into_iter()
}

/// Seconds since 1970, or a time such as `2026-11-24T07:00:00Z`.
fn expiry(text: &str) -> Option<u64> {
    text.trim().parse().ok().or_else(|| {
        let seconds = text.strip_suffix('Z')?;
        (seconds.len() == 19)
            .then(|| Timestamp::from_isoformat(&format!("{seconds}.0")).ok())
            .flatten()
            .map(Timestamp::seconds)
    })
}

/// Whether an address belongs to a network such as `10.0.0.0/8`, or is the one named; `None` when the text is neither. A
/// network's host bits must be zero.
fn is_in_range(range: &str, address: IpAddr) -> Option<bool> {
    let (network, bits) = range.split_once('/').map_or((range, None), |(network, bits)| (network, Some(bits)));
    let (network, address, width) = match (network.parse().ok()?, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
        _ => return Some(false),
    };
    let bits: u32 = bits.map_or(Some(width), |bits| bits.parse().ok()).filter(|bits| *bits <= width)?;
    let host = width - bits;
    let above = |value: u128| value.checked_shr(host).unwrap_or(0);
    (above(network).checked_shl(host).unwrap_or(0) == network).then(|| above(network) == above(address))
}

fn refused(method: Method) -> Box<Response> {
    let text = if method == Method::Head { "" } else { "401 Unauthorized: Temp URL invalid\n" };
    let response = Response::full(Status(401), "text/html; charset=UTF-8", text);
    Box::new(response.header("Www-Authenticate", "Swift realm=\"unknown\""))
}

/// Settings of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `methods`: what can be signed.
    pub methods: Vec<Method>,
    /// `allowed_digests`.
    pub allowed_digests: Vec<Digest>,
    /// `incoming_remove_headers`, `incoming_allow_headers`.
    pub incoming: Filter,
    /// `outgoing_remove_headers`, `outgoing_allow_headers`.
    pub outgoing: Filter,
}

impl Settings {
    /// From words of the configuration; the error names the one that is not known.
    pub fn new(methods: &[String], digests: &[String], incoming: Filter, outgoing: Filter) -> Result<Settings, String> {
        if let Some(word) = methods.iter().find(|word| word.as_str() == "COPY") {
            // A copy's source is named by the request and not by what was signed.
            return Err(word.clone());
        }
        let methods = methods.iter().map(|word| Method::parse(word.as_bytes()).ok_or_else(|| word.clone()));
        let digests = digests.iter().map(|word| Digest::from_name(word).ok_or_else(|| word.clone()));
        Ok(Settings {
            methods: methods.collect::<Result<_, _>>()?,
            allowed_digests: digests.collect::<Result<_, _>>()?,
            incoming,
            outgoing,
        })
    }

    /// For `/info`.
    pub fn document(&self) -> serde_json::Value {
        let methods: Vec<&str> = self.methods.iter().map(|method| method.as_str()).collect();
        let mut document = signature::document(&self.allowed_digests);
        let rest = serde_json::json!({
            "methods": methods,
            "incoming_remove_headers": self.incoming.remove.words(),
            "incoming_allow_headers": self.incoming.allow.words(),
            "outgoing_remove_headers": self.outgoing.remove.words(),
            "outgoing_allow_headers": self.outgoing.allow.words(),
        });
        if let (Some(fields), serde_json::Value::Object(rest)) = (document.as_object_mut(), rest) {
            fields.extend(rest);
        }
        document
    }
}

#[cfg(test)]
mod tests;
