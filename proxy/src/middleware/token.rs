//! Core: stateless tokens (docs/decisions/0001-stateless-tokens.md). No I/O, no clock, no async.
//!
//! ```text
//! AUTH_tk | HMAC-SHA256, 64 hex digits | expiry, 10 hex digits | hex of "account:user"
//! ```
//!
//! # Invariants
//!
//! - Any core with the same secret and users can check a token; nothing is stored.
//! - The MAC covers expiry, user and the user's key: a changed or removed key ends the tokens made with it.
//! - The comparison takes the same time wherever the first difference is.

use crate::config::{Config, User};
use base::checksum::hex;
use base::digits::are_lower_hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

const MAC_DIGITS: usize = 64;
const SWIFTS_DIGITS: usize = 32;
const _: () = assert!(SWIFTS_DIGITS < MAC_DIGITS, "no token has both shapes");
const EXPIRY_DIGITS: usize = 10;
/// Separates these MACs from any other use of the secret.
const DOMAIN: &[u8] = b"martlet token 1";

/// What every token begins with: `AUTH_tk`.
pub fn prefix(config: &Config) -> String {
    format!("{}tk", config.reseller_prefix)
}

/// A token of `user` that is good until `expires` (seconds since 1970).
pub fn issue(config: &Config, user: &User, expires: u64) -> String {
    let name = format!("{}:{}", user.account, user.user);
    format!("{}{}{expires:010x}{}", prefix(config), hex(&mac(config, user, expires)), hex(name.as_bytes()))
}

/// Whose token this is, if it is one of ours and still good at `now`, and when it ends.
pub fn verify<'a>(config: &'a Config, token: &str, now: u64) -> Option<(&'a User, u64)> {
    let rest = token.strip_prefix(&config.reseller_prefix)?.strip_prefix("tk")?;
    if !rest.is_ascii() {
        return None;
    }
    let (given_mac, rest) = rest.split_at_checked(MAC_DIGITS)?;
    let (expiry, name) = rest.split_at_checked(EXPIRY_DIGITS)?;
    let given_mac = unhex(given_mac)?;
    let expires = u64::from_str_radix(std::str::from_utf8(&check_hex(expiry)?).ok()?, 16).ok()?;
    let name = String::from_utf8(unhex(name)?).ok()?;
    let (account, user_name) = name.split_once(':')?;
    let user = config.users.iter().find(|user| user.account == account && user.user == user_name)?;
    let genuine: bool = mac(config, user, expires).ct_eq(&given_mac).into();
    (genuine && now < expires).then_some((user, expires))
}

/// Whether a token has the shape that Swift's tempauth gives its own: 32 hex digits that say nothing.
pub fn is_swifts(config: &Config, token: &str) -> bool {
    let rest = token.strip_prefix(&config.reseller_prefix).and_then(|rest| rest.strip_prefix("tk"));
    rest.is_some_and(|rest| rest.len() == SWIFTS_DIGITS && check_hex(rest).is_some())
}

/// Whether a key is the user's, in time that does not depend on where they differ.
pub fn key_matches(config: &Config, user: &User, key: &[u8]) -> bool {
    // Both sides are hashed first, so that not even the length of the real key can be measured.
    keyed(config, &[b"key", key]).ct_eq(&keyed(config, &[b"key", user.key.as_bytes()])).into()
}

fn mac(config: &Config, user: &User, expires: u64) -> [u8; 32] {
    keyed(config, &[DOMAIN, &expires.to_be_bytes(), user.account.as_bytes(), user.user.as_bytes(), user.key.as_bytes()])
}

/// HMAC-SHA256 over parts, each behind its length, so that no two lists of parts look alike.
fn keyed(config: &Config, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&config.token_secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Lower-case digits only: a token has exactly one spelling.
fn check_hex(text: &str) -> Option<Vec<u8>> {
    are_lower_hex(text.as_bytes()).then(|| text.as_bytes().to_vec())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = check_hex(text)?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let value = |digit: u8| if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
    Some(pairs.iter().map(|&[high, low]| value(high) << 4 | value(low)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::sample;

    fn tester(config: &Config) -> &User {
        config.users.iter().find(|user| user.user == "tester").unwrap()
    }

    #[test]
    fn a_token_names_its_user_until_it_expires() {
        let config = sample();
        let token = issue(&config, tester(&config), 1_000);
        assert!(token.starts_with("AUTH_tk"));
        assert_eq!(verify(&config, &token, 999).map(|(user, end)| (user.user.as_str(), end)), Some(("tester", 1_000)));
        assert!(verify(&config, &token, 1_000).is_none());
    }

    #[test]
    fn one_changed_digit_anywhere_forges_nothing() {
        let config = sample();
        let token = issue(&config, tester(&config), 1_000);
        for at in 0..token.len() {
            for with in ["0", "f", "A"] {
                let mut forged = token.clone();
                forged.replace_range(at..=at, with);
                if forged != token {
                    assert!(verify(&config, &forged, 1).is_none(), "byte {at}");
                }
            }
            assert!(verify(&config, &token[..at], 1).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn another_secret_or_another_key_ends_a_token() {
        let config = sample();
        let token = issue(&config, tester(&config), 1_000);
        let mut other = config.clone();
        other.token_secret = b"another".to_vec().into();
        assert!(verify(&other, &token, 1).is_none());
        let mut other = config.clone();
        other.users.iter_mut().for_each(|user| user.key = "changed".into());
        assert!(verify(&other, &token, 1).is_none());
        let mut other = config.clone();
        other.users.clear();
        assert!(verify(&other, &token, 1).is_none());
    }

    #[test]
    fn garbage_is_no_token() {
        let config = sample();
        for garbage in ["", "AUTH_tk", "AUTH_tk\u{e9}\u{e9}", "AUTH_", "tk", &format!("AUTH_tk{}", "z".repeat(200))] {
            assert!(verify(&config, garbage, 1).is_none(), "{garbage}");
        }
    }

    #[test]
    fn keys_are_compared_whole() {
        let config = sample();
        let user = tester(&config);
        assert!(key_matches(&config, user, b"testing"));
        for wrong in [&b""[..], b"testin", b"testing1", b"Testing"] {
            assert!(!key_matches(&config, user, wrong));
        }
    }
}
