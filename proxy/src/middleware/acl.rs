//! Core: container ACLs (`X-Container-Read`, `X-Container-Write`): cleaned when set, read when asked.
//!
//! An ACL is a comma list. `.r:host`, `.r:.domain`, `.r:*` allow by referrer, a `-` before the host forbids; the last match wins.
//! `.rlistings` extends referrers to listings. Everything else names a group: an account, or `account:user`.

use base::quote::unquote;

/// A parsed ACL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// Hosts behind `.r:`, in order.
    pub referrers: Vec<String>,
    /// Groups, `.rlistings` among them.
    pub groups: Vec<String>,
}

/// Whether a cleaned value is for reading or for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `X-Container-Read`.
    Read,
    /// `X-Container-Write`: referrers are refused, they are said by the client.
    Write,
}

/// Brings a value into the form that is stored; the error is the sentence for the client.
pub fn clean_acl(kind: Kind, value: &str) -> Result<String, String> {
    let mut cleaned = Vec::new();
    for item in value.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match item.split_once(':').map(|(first, second)| (first.trim(), second.trim())) {
            Some((first, second)) if first.starts_with('.') => {
                cleaned.push(clean_designator(kind, item, first, second)?)
            }
            _ => cleaned.push(item.to_owned()),
        }
    }
    Ok(cleaned.join(","))
}

fn clean_designator(kind: Kind, item: &str, first: &str, second: &str) -> Result<String, String> {
    if ![".r", ".ref", ".referer", ".referrer"].contains(&first) {
        return Err(format!("Unknown designator '{first}' in ACL: '{item}'"));
    }
    if kind == Kind::Write {
        return Err(format!("Referrers not allowed in write ACL: '{item}'"));
    }
    let (negation, host) = match second.strip_prefix('-') {
        Some(host) => ("-", host.trim()),
        None => ("", second),
    };
    // `*.example.com` means what `.example.com` does.
    let domain = host.strip_prefix('*').filter(|_| host != "*").map(str::trim);
    // `*-x` would become what denies `x`, and `***` what is read as another one the next time.
    let is_unclear = domain.is_some_and(|domain| domain.starts_with(['-', '*']));
    let host = domain.unwrap_or(host);
    if host.is_empty() || host == "." || is_unclear {
        return Err(format!("No host/domain value after referrer designation in ACL: '{item}'"));
    }
    Ok(format!(".r:{negation}{host}"))
}

/// Reads a stored ACL.
pub fn parse_acl(value: &str) -> Acl {
    let mut acl = Acl::default();
    for item in value.split(',').filter(|item| !item.is_empty()) {
        match item.strip_prefix(".r:") {
            Some(host) => acl.referrers.push(host.to_owned()),
            None => acl.groups.push(String::from_utf8_lossy(&unquote(item.as_bytes())).into_owned()),
        }
    }
    acl
}

/// Whether the `Referer` is allowed; a missing one has the host `unknown`.
pub fn referrer_allowed(referer: Option<&str>, referrers: &[String]) -> bool {
    if referrers.is_empty() {
        return false;
    }
    let host = referer.and_then(host_of).unwrap_or_else(|| "unknown".to_owned());
    referrers.iter().fold(false, |allowed, pattern| match pattern.strip_prefix('-') {
        Some(pattern) if host_matches(pattern, &host) => false,
        Some(_) => allowed,
        None => allowed || pattern == "*" || host_matches(pattern, &host),
    })
}

fn host_matches(pattern: &str, host: &str) -> bool {
    pattern == host || (pattern.starts_with('.') && host.ends_with(pattern))
}

/// The host of a URL, lower case, without user and port.
fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("//")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cleaning_normalises_what_swift_normalises() {
        let check = |value: &str, cleaned: &str| assert_eq!(clean_acl(Kind::Read, value).as_deref(), Ok(cleaned));
        check("", "");
        check(" bob , sue ", "bob,sue");
        check("test:tester,,test2", "test:tester,test2");
        check(".referrer : *", ".r:*");
        check(".ref:*.example.com", ".r:.example.com");
        check(".r: - *.thief.example.com", ".r:-.thief.example.com");
        check(".rlistings", ".rlistings");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (kind, value) in [
            (Kind::Write, ".r:*"),
            (Kind::Read, ".unknown:x"),
            (Kind::Read, ".r:"),
            (Kind::Read, ".r:-"),
            (Kind::Read, ".r:*."),
            (Kind::Read, " .r : "),
        ] {
            assert!(clean_acl(kind, value).is_err(), "{kind:?} {value}");
        }
    }

    #[test]
    fn the_last_matching_referrer_decides() {
        let check = |acl: &str, referer: Option<&str>, expected: bool| {
            assert_eq!(referrer_allowed(referer, &parse_acl(acl).referrers), expected, "{acl} {referer:?}");
        };
        check("", None, false);
        check(".r:*", None, true);
        check(".r:*,.r:-.thief.com", Some("http://www.thief.com/x"), false);
        check(".r:-.thief.com,.r:*", Some("http://www.thief.com/x"), true);
        check(".r:.example.com", Some("http://example.com/x"), false);
        check(".r:example.com", Some("https://user@EXAMPLE.com:8080/x"), true);
        check(".r:example.com", Some("http://example.com.evil.org"), false);
        check(".r:example.com", Some("not a url example.com"), false);
    }

    #[test]
    fn groups_are_unquoted() {
        let acl = parse_acl("test%2Fx:a,.rlistings,.r:*");
        assert_eq!(acl.groups, ["test/x:a", ".rlistings"]);
        assert_eq!(acl.referrers, ["*"]);
    }

    #[test]
    fn a_referrer_that_would_mean_another_one_is_refused() {
        for value in [".r:*-", ".r:*-x", ".r:**", ".r:-*-x", ".r:* -."] {
            assert!(clean_acl(Kind::Read, value).is_err(), "{value}");
        }
        assert_eq!(clean_acl(Kind::Read, ".r:*.example.com, .r:-*.x").unwrap(), ".r:.example.com,.r:-.x");
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(value in "[a-z.:*, -]{0,40}") {
            if let Ok(once) = clean_acl(Kind::Read, &value) {
                prop_assert_eq!(clean_acl(Kind::Read, &once), Ok(once));
            }
        }

        #[test]
        fn a_write_acl_never_holds_a_referrer(value in "[a-z.:*, -]{0,40}") {
            if let Ok(cleaned) = clean_acl(Kind::Write, &value) {
                prop_assert!(parse_acl(&cleaned).referrers.is_empty());
            }
        }

        #[test]
        fn no_input_panics(value in "\\PC{0,60}", referer in "\\PC{0,60}") {
            let _ = clean_acl(Kind::Read, &value);
            let _ = referrer_allowed(Some(&referer), &parse_acl(&value).referrers);
        }
    }
}
