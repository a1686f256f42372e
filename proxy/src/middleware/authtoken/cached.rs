//! Driver: tokens as keystonemiddleware keeps them in Swift's memcached (`cache = swift.cache`): under a digest of the token Keystone's answer,
//! as JSON within JSON.
//!
//! Whoever can write there says who somebody is, as with keystonemiddleware: memcached must be as far from clients as the backends are.

use super::Key;
use super::token::Token;
use crate::facts::memcached::Memcached;
use base::checksum::hex;
use base::memcache::{Lookup, Value};
use bytes::Bytes;
use std::rc::Rc;
use std::time::Duration;

/// How long a core goes without another look.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// What proxies share.
#[derive(Clone)]
pub(super) struct Cached {
    common: Memcached,
    life: Duration,
}

impl Cached {
    pub(super) fn new(common: Memcached, life: Duration) -> Cached {
        Cached { common, life }
    }

    /// What a proxy heard of a token not longer ago than `token_cache_time`.
    pub(super) async fn get(&self, key: &Key) -> Option<Rc<Token>> {
        match self.common.get(name(key)).await {
            Lookup::Hit(value, _) => read(&value).map(Rc::new),
            Lookup::Miss(_) | Lookup::Unavailable => None,
        }
    }

    /// Keeps Keystone's answer.
    pub(super) async fn set(&self, key: &Key, said: &Bytes) {
        if let Some(value) = write(said) {
            let _ = self.common.set(name(key), value, self.life).await;
        }
    }
}

fn name(key: &Key) -> String {
    format!("tokens/{}", hex(key))
}

fn write(said: &Bytes) -> Option<Value> {
    let text = std::str::from_utf8(said).ok()?;
    Some(Value::json(serde_json::Value::from(text).to_string()))
}

/// A token restricted by access rules is left to Keystone, which keeps it from who does not obey them; keystonemiddleware does.
fn read(value: &Value) -> Option<Token> {
    let json = value.as_json()?;
    let said = json.as_str()?;
    let answer: serde_json::Value = serde_json::from_str(said).ok()?;
    let rules = answer.pointer("/token/application_credential/access_rules");
    if rules.is_some_and(|rules| !rules.is_null()) {
        return None;
    }
    Token::parse(said.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::token::tests::answer;
    use super::*;
    use serde_json::json;
    use sha2::{Digest, Sha256};

    #[test]
    fn what_is_kept_is_read_again_and_is_text_in_json() {
        let said = answer("tester", "test", "default", &["admin"], "2026-11-26T09:09:49.000000Z").to_string();
        let value = write(&Bytes::from(said.clone())).unwrap();
        assert_eq!(value.as_json(), Some(json!(said)));
        assert_eq!(read(&value), Token::parse(said.as_bytes()));
        assert!(read(&value).is_some());
    }

    /// Made by keystonemiddleware 13.0.1 on Swift's client 2.38.3: the key, and the bytes as memcached had them.
    const KEY_OF_PYTHON: &str = "tokens/b11a3c5fa53f3d220525be33f57f386ab9a300e12a9439c2389ceb7701f017b5";
    const VALUE_OF_PYTHON: &str = r#""{\"token\": {\"methods\": [\"password\"], \"user\": {\"domain\": {\"id\": \"default\", \"name\": \"Default\"}, \"id\": \"u1\", \"name\": \"t\\u00e9ster\", \"password_expires_at\": null}, \"expires_at\": \"2026-11-26T09:09:49.000000Z\", \"project\": {\"domain\": {\"id\": \"default\", \"name\": \"Default\"}, \"id\": \"p1\", \"name\": \"test\"}, \"roles\": [{\"id\": \"r1\", \"name\": \"admin\"}]}}""#;

    #[test]
    fn what_keystonemiddleware_kept_is_read_under_its_key() {
        assert_eq!(name(&Sha256::digest("gAAAAAtoken").into()), KEY_OF_PYTHON);
        let token = read(&Value::json(VALUE_OF_PYTHON)).unwrap();
        assert_eq!((token.user.name.as_str(), token.roles), ("t\u{e9}ster", vec!["admin".to_owned()]));
        assert_eq!(token.project.map(|project| project.id), Some("p1".to_owned()));
    }

    #[test]
    fn what_is_no_answer_or_has_rules_is_none() {
        let said = answer("tester", "test", "default", &["admin"], "2026-11-26T09:09:49.000000Z");
        let mut ruled = said.clone();
        ruled["token"]["application_credential"] = json!({"id": "a", "access_rules": [{"id": "r"}]});
        let mut free = said.clone();
        free["token"]["application_credential"] = json!({"id": "a", "access_rules": null});
        let kept = |said: &serde_json::Value| Value::json(json!(said.to_string()).to_string());
        assert!(read(&kept(&free)).is_some());
        for bad in
            [kept(&ruled), Value::json(said.to_string()), Value::text("x"), Value::json("null"), kept(&json!([]))]
        {
            assert_eq!(read(&bad), None, "{bad:?}");
        }
        let pickled = Value { flags: 1, ..kept(&said) };
        assert_eq!(read(&pickled), None);
    }
}
