//! Driver: whose a token is: by its signature, and where proxies share memcached also by what Swift's proxies keep there.
//! Why it is so: docs/decisions/0001-stateless-tokens.md and 0007-tokens-of-both-kinds.md.
//!
//! # Invariants
//!
//! - A known token is found without an allocation and without memcached.
//! - What memcached says of a token counts only as far as the configuration goes: a user of ours, with the groups that he has now, and
//!   not past the token's end. Only tokens of the shape that Swift makes are looked up; one that claims a signature is judged by it.
//! - One look per token and core at a time, and after one that did not find it none for [`REFUSED`]. Without an answer nobody is let in; who
//!   was let in before goes on for [`CONFIRMED`] at most.

use super::{authenticate, identity_of, refuse, token_answer};
use crate::config::{Config, User};
use crate::facts::memcached::Memcached;
use crate::flights::{Flights, Landing};
use crate::middleware::token;
use crate::recent::Recent;
use crate::request::Identity;
use base::http::RequestHead;
use base::http::server::{Request, Response};
use base::io;
use base::memcache::{Lookup, Value};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// Tokens one core knows: less than 1 KiB each.
const KNOWN_MAX: usize = 10_000;
/// How long memcached's word on a token is good when no other comes: as long as a token of Keystone is kept.
const CONFIRMED: Duration = Duration::from_secs(300);
/// A word older than this is asked for again while it is used; a token that memcached lost is known here for so long.
const LOOK: Duration = Duration::from_secs(10);
/// How long a token that was not found is refused without another look. A token is used only after it was made.
const REFUSED: Duration = Duration::from_secs(1);
/// Where tokens are stored, they end at whole minutes: all that a user asks for in one minute are the same, and take one place.
const GRID_SECONDS: u64 = 60;

/// SHA-256 of a token: no list of living tokens lies in memory, and every key is of one size.
type Digest = [u8; 32];

/// The tokens as one core knows them.
pub struct Tokens {
    config: Rc<Config>,
    common: Option<Memcached>,
    known: RefCell<Recent<Digest, Known>>,
    refused: RefCell<Recent<Digest, io::Instant>>,
    looks: Rc<Flights<Digest, Option<Rc<Identity>>>>,
    nobody: Rc<Identity>,
}

struct Known {
    identity: Rc<Identity>,
    /// Since 1970.
    expires: Duration,
    /// Of a token known by memcached: when it last said so, and when it was last asked.
    confirmed: Option<(io::Instant, io::Instant)>,
    /// When it was last stored there.
    told: Option<io::Instant>,
}

impl Tokens {
    /// None known yet.
    pub fn new(config: Rc<Config>, common: Option<Memcached>) -> Rc<Tokens> {
        let (known, refused) = (RefCell::new(Recent::new(KNOWN_MAX)), RefCell::new(Recent::new(KNOWN_MAX)));
        Rc::new(Tokens { config, common, known, refused, looks: Flights::new(), nobody: Rc::default() })
    }

    /// Who sends this request. An invalid token is refused at once; none is an anonymous caller.
    pub async fn identify(self: &Rc<Self>, head: &RequestHead) -> Result<Rc<Identity>, Box<Response>> {
        let headers = &head.headers;
        let Some(given) = headers.get("X-Auth-Token").or_else(|| headers.get("X-Storage-Token")) else {
            return Ok(Rc::clone(&self.nobody));
        };
        let Some(user) = self.who(given).await else { return Err(Box::new(refuse(head))) };
        // A service asks for a user: what the service may is added to what the user may.
        let service = match headers.get("X-Service-Token") {
            Some(given) => self.who(given).await,
            None => None,
        };
        Ok(service.map_or(Rc::clone(&user), |service| Rc::new(user.with(&service))))
    }

    /// Answers who asks for a token. Where proxies share memcached it is stored there, as Swift's tempauth stores its own.
    pub async fn give(self: &Rc<Self>, request: &Request, rest: &[u8]) -> Response {
        let user = match authenticate(&self.config, request, rest) {
            Ok(user) => user,
            Err(refused) => return *refused,
        };
        let (now, life) = (io::unix_time().as_secs(), self.config.token_life.as_secs());
        let grid = if self.common.is_some() { (life / 10).clamp(1, GRID_SECONDS) } else { 1 };
        let expires = now.saturating_add(life) / grid * grid;
        let token = token::issue(&self.config, user, expires);
        self.tell(user, &token, expires, expires - now).await;
        token_answer(&self.config, &request.head.headers, user, token, expires - now)
    }

    /// Whose a token is.
    async fn who(self: &Rc<Self>, given: &[u8]) -> Option<Rc<Identity>> {
        let digest: Digest = Sha256::digest(given).into();
        if let Some(identity) = self.recall(&digest, given) {
            return Some(identity);
        }
        let text = std::str::from_utf8(given).ok()?;
        if let Some((user, expires)) = token::verify(&self.config, text, io::unix_time().as_secs()) {
            return Some(self.keep(digest, user, expires, None));
        }
        self.common.as_ref()?;
        if !token::is_swifts(&self.config, text) || self.was_refused(&digest) {
            return None;
        }
        let look = |landing| Rc::clone(self).look(digest, text.to_owned(), landing);
        // Boxed: rare, and large beside the rest.
        Box::pin(self.looks.join_to_land(digest, look)).await.flatten()
    }

    /// What this core knows.
    fn recall(self: &Rc<Self>, digest: &Digest, given: &[u8]) -> Option<Rc<Identity>> {
        let now = io::monotonic();
        let mut known = self.known.borrow_mut();
        let entry = known.get(digest)?;
        let is_stale = entry.confirmed.is_some_and(|(said, _)| now.since(said) >= CONFIRMED);
        if is_stale || io::unix_time() >= entry.expires {
            known.remove(digest);
            return None;
        }
        let identity = Rc::clone(&entry.identity);
        if let Some((_, asked)) = &mut entry.confirmed
            && now.since(*asked) >= LOOK
        {
            *asked = now;
            drop(known);
            if let Ok(text) = std::str::from_utf8(given) {
                self.looks.begin(*digest, |landing| Rc::clone(self).look(*digest, text.to_owned(), landing));
            }
        }
        Some(identity)
    }

    fn keep(&self, digest: Digest, user: &User, expires: u64, told: Option<io::Instant>) -> Rc<Identity> {
        let identity = Rc::new(identity_of(&self.config, user));
        let (expires, kept) = (Duration::from_secs(expires), Rc::clone(&identity));
        self.known.borrow_mut().insert(digest, Known { identity: kept, expires, confirmed: None, told });
        identity
    }

    fn was_refused(&self, digest: &Digest) -> bool {
        let mut refused = self.refused.borrow_mut();
        refused.get(digest).is_some_and(|since| io::monotonic().since(*since) < REFUSED)
    }

    /// Asks memcached.
    async fn look(self: Rc<Self>, digest: Digest, token: String, landing: Landing<Digest, Option<Rc<Identity>>>) {
        let Some(common) = &self.common else { return };
        let found = common.get(self.key_of(&token)).await;
        let now = io::monotonic();
        let answer = match &found {
            Lookup::Hit(value, _) => read(&self.config, value, io::unix_time()),
            Lookup::Miss(_) | Lookup::Unavailable => None,
        };
        match answer {
            Some((user, expires)) => {
                let identity = Rc::new(identity_of(&self.config, user));
                let known = Known { identity: Rc::clone(&identity), expires, confirmed: Some((now, now)), told: None };
                self.known.borrow_mut().insert(digest, known);
                landing.land(&Some(identity));
            }
            None => {
                // Without an answer what it said before is good for its time.
                if found != Lookup::Unavailable {
                    self.known.borrow_mut().remove(&digest);
                }
                self.refused.borrow_mut().insert(digest, now);
                landing.land(&None);
            }
        }
    }

    /// Stores a token that was just made.
    async fn tell(&self, user: &User, token: &str, expires: u64, life: u64) {
        let Some(common) = &self.common else { return };
        let (digest, now): (Digest, _) = (Sha256::digest(token).into(), io::monotonic());
        let told = self.known.borrow_mut().get(&digest).and_then(|known| known.told);
        if told.is_some_and(|told| now.since(told) < LOOK) {
            return;
        }
        let (groups, name) =
            (identity_of(&self.config, user).groups.join(","), format!("{}:{}", user.account, user.user));
        let life = Duration::from_secs(life.max(1));
        // Seconds with a fraction, as Python writes them.
        let fact = Value::json(serde_json::json!([expires as f64, groups]).to_string());
        let last = Value::json(serde_json::json!(token).to_string());
        if common.set(self.key_of(token), fact, life).await {
            let _ = common.set(format!("{}/user/{name}", self.config.reseller_prefix), last, life).await;
            self.keep(digest, user, expires, Some(now));
        }
    }

    /// Swift's key of a token.
    fn key_of(&self, token: &str) -> String {
        format!("{}/token/{token}", self.config.reseller_prefix)
    }
}

/// What Swift's tempauth keeps of a token, `[seconds since 1970, "account,account:user,group…"]`: whose it is, and its end. Anything that is
/// not so, or says more than our configuration does, is nobody's.
fn read<'a>(config: &'a Config, value: &Value, now: Duration) -> Option<(&'a User, Duration)> {
    let json = value.as_json()?;
    let [expires, groups] = json.as_array()?.as_slice() else { return None };
    let expires = Duration::try_from_secs_f64(expires.as_f64()?).ok().filter(|expires| *expires > now)?;
    let groups = groups.as_str()?;
    let name = groups.split(',').nth(1)?;
    let (account, user_name) = name.split_once(':')?;
    let user = config.users.iter().find(|user| user.account == account && user.user == user_name)?;
    let own = identity_of(config, user).groups.join(",");
    let set = |text: &'_ str| text.split(',').map(str::to_owned).collect::<BTreeSet<String>>();
    (set(groups) == set(&own)).then_some((user, expires))
}

#[cfg(test)]
mod tests;
