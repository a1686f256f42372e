//! Core: what Keystone says a token is: the JSON of `GET /v3/auth/tokens`. No I/O, no clock, no async.

use base::timestamp::Timestamp;
use serde_json::Value;

/// A token that Keystone knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub user: Named,
    /// What it is scoped to; `None` for a domain's, the system's and an unscoped one.
    pub project: Option<Named>,
    /// Names of the roles in that scope.
    pub roles: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}

/// A user or a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Unique everywhere.
    pub id: String,
    /// Unique in its domain.
    pub name: String,
    /// The id of the domain it is in.
    pub domain_id: Option<String>,
}

impl Token {
    /// Reads an answer of Keystone; `None` when it is not one, or says something that would have to be checked and cannot be.
    pub fn parse(body: &[u8]) -> Option<Token> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let token = answer.get("token")?;
        // Bound to a ticket or certificate of the caller's connection, which nobody here can see.
        if token.get("bind").and_then(Value::as_object).is_some_and(|bind| !bind.is_empty()) {
            return None;
        }
        let roles = token.get("roles").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(Token {
            user: named(token.get("user")?)?,
            project: match token.get("project") {
                None | Some(Value::Null) => None,
                Some(project) => Some(named(project)?),
            },
            roles: roles.iter().map(|role| text(role.get("name"))).collect::<Option<_>>()?,
            expires: seconds(token.get("expires_at")?.as_str()?)?,
        })
    }
}

fn named(value: &Value) -> Option<Named> {
    let domain_id = value.get("domain").and_then(|domain| text(domain.get("id")));
    Some(Named { id: text(value.get("id"))?, name: text(value.get("name"))?, domain_id })
}

/// A text that can stand in a header and a log line.
fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    (!text.is_empty() && !text.contains(|character: char| character.is_control())).then(|| text.to_owned())
}

/// `2026-11-26T09:09:49.000000Z`, with or without the fraction.
fn seconds(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?;
    let whole = if text.contains('.') { text.to_owned() } else { format!("{text}.0") };
    Timestamp::from_isoformat(&whole).ok().map(Timestamp::seconds)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// An answer as Keystone 30 gives it.
    pub(crate) fn answer(user: &str, project: &str, domain: &str, roles: &[&str], expires: &str) -> Value {
        let roles: Vec<Value> = roles.iter().map(|role| json!({"id": format!("{role}-id"), "name": role})).collect();
        let domain = json!({"id": domain, "name": domain});
        json!({"token": {
            "methods": ["password"],
            "user": {"domain": domain, "id": format!("{user}-id"), "name": user, "password_expires_at": null},
            "audit_ids": ["o9qhvZHfQKWQHvw57piBbQ"],
            "expires_at": expires,
            "issued_at": "2026-11-26T08:09:49.000000Z",
            "project": {"domain": domain, "id": format!("{project}-id"), "name": project},
            "is_domain": false,
            "roles": roles,
        }})
    }

    fn parse(answer: &Value) -> Option<Token> {
        Token::parse(answer.to_string().as_bytes())
    }

    #[test]
    fn user_project_roles_and_end_are_read() {
        let token = parse(&answer("tester", "test", "default", &["admin", "reader"], "2026-11-26T09:09:49.000000Z"));
        let token = token.unwrap();
        let named = |name: &str| Named {
            id: format!("{name}-id"),
            name: name.to_owned(),
            domain_id: Some("default".to_owned()),
        };
        assert_eq!(token.user, named("tester"));
        assert_eq!(token.project, Some(named("test")));
        assert_eq!(token.roles, ["admin", "reader"]);
        assert_eq!(token.expires, 1_795_684_189);
    }

    #[test]
    fn a_token_without_a_project_has_none() {
        let mut unscoped = answer("tester", "test", "default", &[], "2026-11-26T09:09:49Z");
        let token = unscoped["token"].as_object_mut().unwrap();
        token.remove("project");
        token.remove("roles");
        let token = parse(&unscoped).unwrap();
        assert_eq!((token.project, token.roles), (None, Vec::new()));
    }

    #[test]
    fn what_is_no_answer_of_keystone_is_no_token() {
        let good = answer("tester", "test", "default", &["admin"], "2026-11-26T09:09:49.000000Z");
        let changed = |pointer: &str, value: Value| {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            changed
        };
        for bad in [
            json!({}),
            json!({"error": {"code": 404}}),
            changed("/token/user", json!(null)),
            changed("/token/user/id", json!("")),
            changed("/token/user/id", json!(7)),
            changed("/token/project", json!("test")),
            changed("/token/project/id", json!("a\r\nX-Evil: 1")),
            changed("/token/roles", json!([{"id": "no name"}])),
            changed("/token/expires_at", json!("soon")),
            changed("/token/is_domain", json!(false)).pointer("/token").unwrap().clone(),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        let mut bound = good.clone();
        bound["token"]["bind"] = json!({"kerberos": "USER@REALM"});
        assert_eq!(parse(&bound), None, "a bound token cannot be checked");
        assert!(parse(&good).is_some());
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,30}") {
            let _ = Token::parse(&bytes);
            let _ = seconds(&text);
        }
    }
}
