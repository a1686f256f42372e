//! Core: what a symlink points to, as clients write it and as it is stored.

use super::{Refused, refuse, told};
use base::http::Headers;
use base::names::Path;
use base::quote::{quote, unquote};

/// `container/object`, percent-encoded.
pub(crate) const TARGET: &str = "X-Symlink-Target";
/// The target's account, when it is another one.
pub(crate) const ACCOUNT: &str = "X-Symlink-Target-Account";
/// What makes a link static.
pub(crate) const ETAG: &str = "X-Symlink-Target-Etag";
/// The target's size when a static link was made.
pub(super) const BYTES: &str = "X-Symlink-Target-Bytes";

/// Names of the same in what backends store.
pub(super) const STORED_TARGET: &str = "X-Object-Sysmeta-Symlink-Target";
const STORED_ACCOUNT: &str = "X-Object-Sysmeta-Symlink-Target-Account";
pub(crate) const STORED_ETAG: &str = "X-Object-Sysmeta-Symlink-Target-Etag";
pub(crate) const STORED_BYTES: &str = "X-Object-Sysmeta-Symlink-Target-Bytes";
/// A link of a versioned container's own, which does not count.
pub(crate) const SYMLOOP_EXTEND: &str = "X-Object-Sysmeta-Symloop-Extend";
/// A link that middleware made to a reserved name: who may read the link may read what it stands for.
pub(crate) const ALLOW_RESERVED_NAMES: &str = "X-Object-Sysmeta-Allow-Reserved-Names";
/// The ETag that the container's listing gets.
pub(super) const LISTED_ETAG: &str = "X-Object-Sysmeta-Container-Update-Override-Etag";

/// What a bad target should have looked like.
pub(super) const FORM: &str = "X-Symlink-Target header must be of the form <container name>/<object name>";
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Where a link points to. All names are percent-encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    target: String,
    account: Option<String>,
    /// Of a static link.
    pub(super) etag: Option<String>,
    /// Of a static link.
    pub(super) bytes: Option<String>,
    /// The caller knows the target's ETag and size: nothing is to be looked at.
    pub(super) is_checked: bool,
}

impl Link {
    /// From the fields of a client that makes a link at `own`.
    pub(super) fn asked(headers: &Headers, own: &Path) -> Refused<Link> {
        let target = unquote(headers.get(TARGET).map(|value| value.as_ref()).unwrap_or_default());
        let target = String::from_utf8(target).ok().filter(|target| !target.starts_with('/'));
        // Reserved names are for middleware, which says so in a field that no client can send.
        let is_internal = headers.contains(ALLOW_RESERVED_NAMES);
        let target = target.filter(|target| is_internal || !target.contains('\0'));
        let target = target.ok_or_else(|| refuse(412, FORM))?;
        let (container, object) = target.split_once('/').ok_or_else(|| told(412, FORM))?;
        if container.is_empty() || object.is_empty() {
            return Err(told(412, FORM));
        }
        let account = match headers.get(ACCOUNT) {
            None => None,
            Some(value) => match String::from_utf8(unquote(value)) {
                Ok(name) if name.is_empty() => return Err(told(412, "Account name cannot be empty")),
                Ok(name) if name.contains('/') => return Err(told(412, "Account name cannot contain slashes")),
                Ok(name) => Some(name),
                Err(_) => return Err(told(412, "Account name must be UTF-8")),
            },
        };
        let is_own = account.as_deref().is_none_or(|account| own.account == account)
            && own.container.as_deref() == Some(container)
            && own.object.as_deref() == Some(object);
        if is_own {
            return Err(refuse(400, "Symlink cannot target itself"));
        }
        let etag = headers.get(ETAG).map(|value| plain_etag(value)).filter(|etag| !etag.is_empty());
        if etag.as_ref().is_some_and(|etag| etag.contains([';', '"', '\\'])) {
            return Err(refuse(400, "Bad X-Symlink-Target-Etag format"));
        }
        let account = account.map(|account| quote(account.as_bytes()));
        let target = quote(target.as_bytes());
        let text = |name: &str| headers.get_str(name).map(str::to_owned);
        if etag.is_none() && headers.contains(STORED_ETAG) {
            let (etag, bytes) = (text(STORED_ETAG), text(STORED_BYTES));
            return Ok(Link { target, account, etag, bytes, is_checked: true });
        }
        Ok(Link { target, account, etag, bytes: None, is_checked: false })
    }

    /// From the fields of a stored object, if it is a link.
    pub(super) fn stored(headers: &Headers) -> Option<Link> {
        let text = |name: &str| headers.get_str(name).map(str::to_owned);
        let target = text(STORED_TARGET)?;
        Some(Link {
            target,
            account: text(STORED_ACCOUNT),
            etag: text(STORED_ETAG),
            bytes: text(STORED_BYTES),
            is_checked: true,
        })
    }

    /// Replaces a client's fields by the stored ones. `parameters` come from the target's own entry in its listing.
    pub(super) fn store(&self, headers: &mut Headers, parameters: Option<&str>) {
        for name in [TARGET, ACCOUNT, ETAG, BYTES] {
            headers.remove(name);
        }
        let mut listed = headers.get_str(LISTED_ETAG).unwrap_or(MD5_OF_NOTHING).to_owned();
        if let (Some(parameters), false) = (parameters, headers.contains(LISTED_ETAG)) {
            listed.push_str(&format!("; {parameters}"));
        }
        listed.push_str(&format!("; symlink_target={}", self.target));
        headers.set(STORED_TARGET, self.target.clone());
        if let Some(account) = &self.account {
            headers.set(STORED_ACCOUNT, account.clone());
            listed.push_str(&format!("; symlink_target_account={account}"));
        }
        if let Some(etag) = &self.etag {
            let bytes = self.bytes.as_deref().unwrap_or("0");
            headers.set(STORED_ETAG, etag.clone());
            headers.set(STORED_BYTES, bytes.to_owned());
            listed.push_str(&format!("; symlink_target_etag={etag}; symlink_target_bytes={bytes}"));
        }
        headers.set(LISTED_ETAG, listed);
    }

    /// The target of a link in `account`.
    pub(super) fn path(&self, account: &str) -> Option<Path> {
        self.place(account).map(|(path, _)| path)
    }

    /// The target and its location as clients see it.
    pub(super) fn place(&self, account: &str) -> Option<(Path, String)> {
        let account = self.account.clone().unwrap_or_else(|| quote(account.as_bytes()));
        let location = format!("/{account}/{}", self.target.trim_start_matches('/'));
        let path = Path::parse_reserved(location.as_bytes()).ok().filter(|path| path.object.is_some())?;
        Some((path, format!("/v1{location}")))
    }
}

/// Shows what is stored under the names that clients know.
pub(super) fn show(headers: &mut Headers) {
    let pairs = [(TARGET, STORED_TARGET), (ACCOUNT, STORED_ACCOUNT), (ETAG, STORED_ETAG), (BYTES, STORED_BYTES)];
    for (shown, stored) in pairs {
        if let Some(value) = headers.remove(stored) {
            headers.set(shown, value);
        }
    }
}

/// Without quotes and weakness.
pub(super) fn plain_etag(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let text = text.strip_prefix("W/").unwrap_or(&text);
    text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Path {
        Path { account: "a".into(), container: Some("c".into()), object: Some("o".into()) }
    }

    fn asked(target: &str) -> Result<Link, u16> {
        let mut headers = Headers::new();
        headers.set(TARGET, target.to_owned());
        Link::asked(&headers, &own()).map_err(|refused| refused.head.status.0)
    }

    #[test]
    fn targets_are_a_container_and_an_object_that_is_not_the_link() {
        assert_eq!(asked("c/o"), Err(400));
        for bad in ["c", "c/", "/c/o", "", "%2Fc/o", "/"] {
            assert_eq!(asked(bad), Err(412), "{bad}");
        }
        assert_eq!(asked("c/o o").unwrap().target, "c/o%20o");
    }

    #[test]
    fn what_is_stored_is_found_again() {
        let mut headers = Headers::new();
        headers.set(TARGET, "c/p");
        headers.set(ACCOUNT, "other");
        headers.set(ETAG, "\"tag\"");
        let mut link = Link::asked(&headers, &own()).ok().expect("a link");
        link.bytes = Some("7".into());
        link.is_checked = true;
        link.store(&mut headers, None);
        assert_eq!(Link::stored(&headers), Some(link.clone()));
        assert_eq!(
            headers.get_str(LISTED_ETAG),
            Some(
                "d41d8cd98f00b204e9800998ecf8427e; symlink_target=c/p; symlink_target_account=other; \
                 symlink_target_etag=tag; symlink_target_bytes=7"
            )
        );
        assert_eq!(link.place("a").unwrap().1, "/v1/other/c/p");
        show(&mut headers);
        assert_eq!(headers.get_str(TARGET), Some("c/p"));
        assert!(!headers.contains(STORED_TARGET));
    }
}
