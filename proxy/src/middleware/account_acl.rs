//! Core: the ACL of an account: JSON in `X-Account-Access-Control` that names groups for three roles (Swift's ACL version 2).

use serde_json::{Map, Value};

/// The roles, strongest first, and their keys.
const ROLES: [(Role, &str); 3] =
    [(Role::Admin, "admin"), (Role::ReadWrite, "read-write"), (Role::ReadOnly, "read-only")];

/// What a group may do with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What its owner may, except delete it.
    Admin,
    /// Everything in its containers; its own listing.
    ReadWrite,
    /// Reading.
    ReadOnly,
}

/// A stored ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountAcl(Map<String, Value>);

impl AccountAcl {
    /// The strongest role of any of these groups.
    pub fn role(&self, groups: &[String]) -> Option<Role> {
        let names = |key: &str| self.0.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_member = |key: &str| names(key).iter().any(|name| groups.iter().any(|group| name == group));
        ROLES.into_iter().find(|(_, key)| is_member(key)).map(|(role, _)| role)
    }

    /// As clients see it: keys in order, no spaces, ASCII only; empty when nobody is named.
    pub fn format(&self) -> String {
        let named: Map<String, Value> =
            self.0.iter().filter(|(_, names)| names != &&Value::Array(Vec::new())).map(own).collect();
        if named.is_empty() { String::new() } else { ascii(&Value::Object(named).to_string()) }
    }
}

fn own((key, names): (&String, &Value)) -> (String, Value) {
    (key.clone(), names.clone())
}

/// Reads a stored ACL; `None` when there is none or it means nothing.
pub fn parse(stored: &str) -> Option<AccountAcl> {
    match serde_json::from_str(stored).ok()? {
        Value::Object(roles) => Some(AccountAcl(roles)),
        _ => None,
    }
}

/// What to store for a client's value; the error says what is wrong with it. An empty value removes the ACL.
pub fn clean(value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let AccountAcl(roles) = parse(value).ok_or_else(|| format!("Syntax error in input ({})", python_quoted(value)))?;
    if let Some(key) = roles.keys().find(|key| ROLES.iter().all(|(_, known)| known != key)) {
        return Err(format!("Key {} not recognized", Value::from(key.as_str())));
    }
    for (_, key) in ROLES {
        match roles.get(key) {
            None => {}
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {}
            Some(Value::Array(_)) => return Err(format!("Elements of {} list must be strings", Value::from(key))),
            Some(_) => return Err(format!("Value for key {} must be a list", Value::from(key))),
        }
    }
    Ok(ascii(&Value::Object(roles).to_string()))
}

/// JSON with everything beyond ASCII escaped, as header values should be.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// A string as Python shows it, which clients compare.
fn python_quoted(value: &str) -> String {
    let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
    let escaped = value.replace('\\', "\\\\");
    let escaped = if quote == '\'' { escaped.replace('\'', "\\'") } else { escaped };
    format!("{quote}{escaped}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_role_counts() {
        let acl = parse(r#"{"admin":["a"],"read-write":["b","a"],"read-only":["c","*"]}"#).unwrap();
        let role = |groups: &[&str]| acl.role(&groups.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>());
        assert_eq!(role(&["a", "b"]), Some(Role::Admin));
        assert_eq!(role(&["x", "b"]), Some(Role::ReadWrite));
        assert_eq!(role(&["c"]), Some(Role::ReadOnly));
        assert_eq!(role(&["x"]), None);
    }

    #[test]
    fn what_is_no_acl_is_refused_with_a_reason() {
        for (value, reason) in [
            ("nope", "Syntax error in input ('nope')"),
            ("[]", "Syntax error in input ('[]')"),
            (r#"{"other":[]}"#, "Key \"other\" not recognized"),
            (r#"{"admin":"x"}"#, "Value for key \"admin\" must be a list"),
            (r#"{"admin":[1]}"#, "Elements of \"admin\" list must be strings"),
        ] {
            assert_eq!(clean(value), Err(reason.to_owned()), "{value}");
        }
    }

    #[test]
    fn it_is_shown_in_order_and_in_ascii() {
        let stored = clean("{\"read-only\": [\"ü\"], \"admin\": []}").unwrap();
        assert_eq!(parse(&stored).unwrap().format(), "{\"read-only\":[\"\\u00fc\"]}");
        assert_eq!(clean(""), Ok(String::new()));
    }
}
