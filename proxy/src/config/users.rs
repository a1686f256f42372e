//! Core: tempauth's users: `user_<account>_<user> = <key> [group …] [url]`; `user64_` has both names in base64.

use super::User;
use base::config::{ConfigError, Section};

/// All users of the section, in the order of their option names.
pub(super) fn users(section: &Section) -> Result<Vec<User>, ConfigError> {
    let mut users: Vec<User> = Vec::new();
    let names = section.options.keys().filter(|name| name.starts_with("user_") || name.starts_with("user64_"));
    for name in names.cloned().collect::<Vec<_>>() {
        let (account, user) = user_names(&name)
            .ok_or_else(|| ConfigError::new(format!("tempauth: {name} must be user_<account>_<user>")))?;
        let mut words = section.get(&name).unwrap_or_default().split_whitespace().map(str::to_owned);
        let key = words.next().ok_or_else(|| ConfigError::new(format!("tempauth: {name} has no key")))?;
        let mut groups: Vec<String> = words.collect();
        let url = groups
            .pop_if(|word| word.starts_with("http://") || word.starts_with("https://") || word.starts_with("$HOST"));
        if users.iter().any(|other| other.account == account && other.user == user) {
            return Err(ConfigError::new(format!("tempauth: {account}:{user} is configured twice")));
        }
        users.push(User { account, user, key, groups, url });
    }
    Ok(users)
}

fn user_names(option: &str) -> Option<(String, String)> {
    let (names, encoded) = match option.strip_prefix("user64_") {
        Some(names) => (names, true),
        None => (option.strip_prefix("user_")?, false),
    };
    let (account, user) = names.split_once('_')?;
    let decode = |text: &str| if encoded { from_base64(text) } else { Some(text.to_owned()) };
    let (account, user) = (decode(account)?, decode(user)?);
    // A colon in the account would make `account:user` ambiguous, and a control character could reach a header.
    let clean = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control());
    (clean(&account) && clean(&user) && !account.contains([':', '/'])).then_some((account, user))
}

/// Base64 whose padding may be missing, as option names cannot hold `=`.
fn from_base64(text: &str) -> Option<String> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}
