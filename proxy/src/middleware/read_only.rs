//! read_only: a cluster or single accounts that take no writes: 405.
//!
//! `X-Account-Sysmeta-Read-Only` of an account, which only a backend's client can set, overrules the cluster's setting both ways.

use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::config::is_true;
use base::http::server::Response;
use base::http::{Method, Status};
use base::names::Path;
use base::quote::unquote;
use std::rc::Rc;

/// What marks an account.
const MARK: &str = "X-Account-Sysmeta-Read-Only";

/// Settings of the member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `read_only`: the whole cluster.
    pub read_only: bool,
    /// `allow_deletes`: DELETE is no write.
    pub allow_deletes: bool,
}

/// The refusal of a write to an account that takes none. `application` knows the account.
pub(crate) async fn refuse(
    settings: Settings,
    application: &Rc<dyn Application>,
    request: &ClientRequest,
) -> Option<Response> {
    let is_write = match request.method {
        Method::Copy | Method::Post | Method::Put => true,
        Method::Delete => !settings.allow_deletes,
        _ => false,
    };
    if !is_write {
        return None;
    }
    let path = Path { account: written(request)?.into(), container: None, object: None };
    let asked = request.subrequest(Method::Head, path).by("RO");
    let account = application.account_headers(&asked).await;
    let mark = account.get_str(MARK).filter(|mark| !mark.is_empty());
    let is_read_only = mark.map_or(settings.read_only, is_true);
    is_read_only.then(|| respond::told(Status(405), "Writes are disabled for this account."))
}

/// The account that would be written to; `None` for one that copy will refuse.
fn written(request: &ClientRequest) -> Option<String> {
    let target = request.headers.get("Destination-Account").filter(|_| request.method == Method::Copy);
    match target {
        None => Some(request.path.account.to_string()),
        Some(name) => String::from_utf8(unquote(name)).ok().filter(|name| !name.is_empty() && !name.contains('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{Fake, block_on, request};

    fn application() -> Rc<dyn Application> {
        Fake::new(|request: ClientRequest| {
            let mark = match request.path.account.as_str() {
                "AUTH_closed" => "true",
                "AUTH_open" => "false",
                _ => "",
            };
            assert_eq!(request.method, Method::Head);
            Response::empty(Status(204)).header(MARK, mark)
        })
    }

    fn status(settings: Settings, method: Method, path: &str, destination: Option<&'static str>) -> u16 {
        let mut request = request(method, path);
        if let Some(account) = destination {
            request.headers.set("Destination-Account", account);
        }
        block_on(refuse(settings, &application(), &request)).map_or(200, |response| response.head.status.0)
    }

    #[test]
    fn the_accounts_own_mark_counts_before_the_clusters() {
        let cluster = Settings { read_only: true, allow_deletes: false };
        for (account, open, closed) in [("/AUTH_a", 200, 405), ("/AUTH_closed", 405, 405), ("/AUTH_open", 200, 200)] {
            for method in [Method::Put, Method::Post, Method::Delete, Method::Copy] {
                for path in [account.to_owned(), format!("{account}/c"), format!("{account}/c/o")] {
                    assert_eq!(status(Settings::default(), method, &path, None), open, "{method:?} {path}");
                    assert_eq!(status(cluster, method, &path, None), closed, "{method:?} {path}");
                }
            }
            for method in [Method::Get, Method::Head, Method::Options] {
                assert_eq!(status(cluster, method, account, None), 200);
            }
        }
    }

    #[test]
    fn deletes_may_be_allowed() {
        let settings = Settings { read_only: true, allow_deletes: true };
        assert_eq!(status(settings, Method::Delete, "/AUTH_a/c/o", None), 200);
        assert_eq!(status(settings, Method::Put, "/AUTH_a/c/o", None), 405);
    }

    #[test]
    fn a_copy_writes_to_its_destination() {
        let check = |account, destination, expected| {
            assert_eq!(status(Settings::default(), Method::Copy, account, Some(destination)), expected);
        };
        check("/AUTH_closed/c/o", "AUTH_a", 200);
        check("/AUTH_a/c/o", "AUTH_closed", 405);
        check("/AUTH_a/c/o", "AUTH_%63losed", 405);
        check("/AUTH_closed/c/o", "AUTH/closed", 200); // copy's to refuse
    }
}
