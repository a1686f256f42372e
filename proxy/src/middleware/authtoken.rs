//! authtoken: finds out from Keystone who the tokens of a request belong to, as keystonemiddleware does.
//!
//! - `X-Auth-Token` is the user's, `X-Service-Token` that of a service which asks for him. `keystoneauth` decides what they may.
//! - What Keystone said is kept for `token_cache_time`, per core and bounded, under a digest of the token. A token revoked
//!   meanwhile is good until then, as with keystonemiddleware.
//! - With `cache = swift.cache` proxies share what Keystone said in memcached, under the keys and in the form of keystonemiddleware
//!   (`cached`). It is believed for `token_cache_time`, which memcached counts.
//! - Nobody is let in for want of Keystone: what is not in the cache is answered 503 while it is away, with or without
//!   `delay_auth_decision`. (keystonemiddleware answers 401 with it, whereupon clients throw a good token away.)
//! - Tokens restricted by access rules are none here: Keystone keeps them from who does not say that he obeys the rules.
//!
//! `settings` are the options, `cached` what proxies share, `token` what Keystone says, `keystone` the way there.

mod cached;
mod keystone;
mod settings;
mod token;

pub use settings::{Endpoint, Settings};
pub use token::{Named, Token};

use crate::facts::memcached::Memcached;
use crate::flights::Flights;
use crate::recent::Recent;
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, RequestHead, Status};
use base::io;
use cached::Cached;
use keystone::{Answer, Keystone, Source, is_sound};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::rc::Rc;

/// Tokens one core remembers: less than 1 KiB each.
const TOKENS_MAX: usize = 10_000;

/// The tokens of a request, as Keystone knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The user's.
    pub token: Rc<Token>,
    /// The service's that asks for him.
    pub service: Option<Rc<Token>>,
}

/// The middleware. One per core.
pub struct Authtoken {
    settings: Rc<Settings>,
    keystone: Rc<Keystone>,
    cached: Option<Cached>,
    tokens: RefCell<Recent<Key, Kept>>,
    flights: Rc<Flights<(Key, bool), Answer>>,
}

/// SHA-256 of a token: no list of living tokens lies in memory, and every key is of one size.
type Key = [u8; 32];

struct Kept {
    token: Rc<Token>,
    until: io::Instant,
}

impl Authtoken {
    /// Nothing known yet. `common` is where proxies share what they know, if the settings say that they do.
    pub fn new(settings: &Settings, common: Option<Memcached>) -> Authtoken {
        let settings = Rc::new(settings.clone());
        let keystone = Keystone::new(Rc::clone(&settings));
        let cached = match (common, settings.token_cache_time) {
            (Some(common), Some(life)) if settings.shares_tokens => Some(Cached::new(common, life)),
            _ => None,
        };
        Authtoken { settings, keystone, cached, tokens: RefCell::new(Recent::new(TOKENS_MAX)), flights: Flights::new() }
    }

    /// Whether a request without a token goes on.
    pub fn delays(&self) -> bool {
        self.settings.delay_auth_decision
    }

    /// Who sends this request; `None` is nobody, where nobody may go on. The error is the answer.
    pub async fn identify(&self, head: &RequestHead) -> Result<Option<Confirmed>, Box<Response>> {
        let headers = &head.headers;
        let (mut service, mut is_service, mut is_sound) = (None, false, true);
        if let Some(given) = headers.get("X-Service-Token") {
            service = self.known(given, false).await?;
            let roles = &self.settings.service_token_roles;
            let has_role = |token: &Rc<Token>| token.roles.iter().any(|role| roles.contains(role));
            is_service = service.as_ref().is_some_and(has_role);
            is_sound = service.is_some() && (is_service || !self.settings.service_token_roles_required);
        }
        let user = match headers.get("X-Auth-Token").or_else(|| headers.get("X-Storage-Token")) {
            // A service that works for long may go on for a user whose token ended meanwhile.
            Some(given) => self.known(given, is_service).await?,
            None => None,
        };
        match user.filter(|_| is_sound) {
            Some(token) => Ok(Some(Confirmed { token, service })),
            None if self.settings.delay_auth_decision => Ok(None),
            None => Err(Box::new(self.refusal())),
        }
    }

    /// What a token is, by the cache or by Keystone; the error is the 503 while it is away.
    async fn known(&self, given: &[u8], allow_expired: bool) -> Result<Option<Rc<Token>>, Box<Response>> {
        let Some(text) = std::str::from_utf8(given).ok().map(str::trim).filter(|text| is_sound(text)) else {
            return Ok(None);
        };
        let key: Key = Sha256::digest(text).into();
        let token = match self.kept(&key) {
            Some(token) => token,
            None => match self.ask(key, text, allow_expired).await {
                Answer::Token(token, _) => token,
                Answer::Unknown => return Ok(None),
                Answer::Unavailable => return Err(Box::new(away())),
            },
        };
        let is_over = io::unix_time().as_secs() >= token.expires;
        Ok((allow_expired || !is_over).then_some(token))
    }

    fn kept(&self, key: &Key) -> Option<Rc<Token>> {
        let mut tokens = self.tokens.borrow_mut();
        let kept = tokens.get(key)?;
        if io::monotonic() < kept.until {
            return Some(Rc::clone(&kept.token));
        }
        tokens.remove(key);
        None
    }

    async fn ask(&self, key: Key, text: &str, allow_expired: bool) -> Answer {
        let since = io::monotonic();
        let (keystone, cached, text) = (Rc::clone(&self.keystone), self.cached.clone(), text.to_owned());
        let question = || async move {
            let Some(cached) = cached else { return keystone.ask(text, allow_expired).await };
            if let Some(token) = cached.get(&key).await {
                return Answer::Token(token, Source::Cached);
            }
            let answer = keystone.ask(text, allow_expired).await;
            if let Answer::Token(_, Source::Keystone(said)) = &answer {
                cached.set(&key, said).await;
            }
            answer
        };
        let answer = self.flights.join((key, allow_expired), question).await.unwrap_or(Answer::Unavailable);
        let life = match &answer {
            Answer::Token(_, Source::Keystone(_)) => self.settings.token_cache_time,
            Answer::Token(_, Source::Cached) => self.settings.token_cache_time.map(|life| life.min(cached::LOOK)),
            Answer::Unknown | Answer::Unavailable => None,
        };
        if let (Answer::Token(token, _), Some(life)) = (&answer, life) {
            self.tokens.borrow_mut().insert(key, Kept { token: Rc::clone(token), until: since.after(life) });
        }
        answer
    }

    /// 401 with the sentence of keystonemiddleware.
    fn refusal(&self) -> Response {
        let text = "{\"error\": {\"code\": 401, \"title\": \"Unauthorized\", \
                    \"message\": \"The request you have made requires authentication.\"}}";
        let mut refusal = Response::full(Status(401), "application/json; charset=UTF-8", text);
        self.challenge(&mut refusal);
        refusal
    }

    /// Tells whoever is refused with 401 where tokens are to be had.
    pub fn challenge(&self, response: &mut Response) {
        if response.head.status == Status(401) {
            let uri = format!("Keystone uri=\"{}\"", self.settings.www_authenticate_uri);
            response.head.headers.append("Www-Authenticate", uri);
        }
    }
}

fn away() -> Response {
    respond::explained(Status(503), "The Keystone service is temporarily unavailable.")
}

/// Fields by which keystonemiddleware tells what stands behind it who is asking; lower case. Here nobody reads them, and a client's
/// never go on.
const IDENTITY_FIELDS: [&str; 32] = [
    "x-identity-status",
    "x-service-identity-status",
    "x-service-catalog",
    "x-is-admin-project",
    "openstack-system-scope",
    "x-role",
    "x-user",
    "x-tenant",
    "x-tenant-id",
    "x-tenant-name",
    "x-roles",
    "x-domain-id",
    "x-domain-name",
    "x-project-id",
    "x-project-name",
    "x-project-domain-id",
    "x-project-domain-name",
    "x-user-id",
    "x-user-name",
    "x-user-domain-id",
    "x-user-domain-name",
    "x-service-roles",
    "x-service-domain-id",
    "x-service-domain-name",
    "x-service-project-id",
    "x-service-project-name",
    "x-service-project-domain-id",
    "x-service-project-domain-name",
    "x-service-user-id",
    "x-service-user-name",
    "x-service-user-domain-id",
    "x-service-user-domain-name",
];

/// Takes out of a client's request what would say who he is. An underscore counts as a dash.
pub fn remove_identity(headers: &mut Headers) {
    headers.retain(|name, _| {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
        !IDENTITY_FIELDS.contains(&lower.as_str())
    });
}

#[cfg(test)]
#[path = "authtoken/tests.rs"]
pub(crate) mod tests;
