//! Who may what: the rules of Swift's keystoneauth one by one.

use super::*;
use crate::config::Config;
use crate::config::tests::sample;
use crate::middleware::authorization::authorize;
use crate::middleware::authtoken::Named;
use crate::pipeline::tests::request;
use base::config::Config as Ini;
use std::rc::Rc;

fn settings(options: &str) -> Settings {
    let ini = Ini::parse("proxy-server.conf", &format!("[filter:keystoneauth]\n{options}")).unwrap();
    Settings::parse(ini.section("filter:keystoneauth").unwrap()).unwrap()
}

/// `user@project/domain role role`; the user's and the project's id are the name and `-id`.
fn token(text: &str) -> Rc<Token> {
    let mut words = text.split(' ');
    let (user, scope) = words.next().unwrap().split_once('@').unwrap();
    let (project, domain) = scope.split_once('/').unwrap_or((scope, "default"));
    let named =
        |name: &str| Named { id: format!("{name}-id"), name: name.to_owned(), domain_id: Some(domain.to_owned()) };
    let project = (!project.is_empty()).then(|| named(project));
    Rc::new(Token { user: named(user), project, roles: words.map(str::to_owned).collect(), expires: 0 })
}

/// A request that is asked about.
#[derive(Clone, Copy)]
struct Ask<'a> {
    settings: &'a str,
    method: Method,
    path: &'a str,
    user: Option<&'a str>,
    service: Option<&'a str>,
    acl: Option<&'a str>,
    referer: Option<&'static str>,
    /// The domain the account has written down; `Some("-")`: none.
    account: Option<&'a str>,
}

const ASK: Ask<'static> = Ask {
    settings: "",
    method: Method::Get,
    path: "/AUTH_test-id/c",
    user: None,
    service: None,
    acl: None,
    referer: None,
    account: Some("-"),
};

impl Ask<'_> {
    fn request(&self) -> ClientRequest {
        let mut request = request(self.method, self.path);
        if let Some(user) = self.user {
            let confirmed = Confirmed { token: token(user), service: self.service.map(token) };
            request.identity = identity(&settings(self.settings), confirmed).into();
        }
        if let Some(referer) = self.referer {
            request.headers.set("Referer", referer);
        }
        request
    }

    fn verdict(&self) -> Verdict {
        let account = self.account.map(account);
        let acls = Acls { container: self.acl, account: account.as_ref(), sync_key: None };
        verdict(&settings(self.settings), &self.request(), acls)
    }
}

/// An account that is there, with what it has written down.
fn account(domain: &str) -> Headers {
    let mut headers = Headers::new();
    headers.set("X-Account-Container-Count", "1");
    if domain != "-" {
        headers.set(STORED_DOMAIN, domain.to_owned());
    }
    headers
}

use Verdict::{Allowed, Denied, DependsOnAccount, Owner};

#[test]
fn an_account_belongs_to_the_operators_of_its_project() {
    let check = |user: &str, method, path: &str, expected| {
        let ask = Ask { user: Some(user), method, path, ..ASK };
        assert_eq!(ask.verdict(), expected, "{user} {method:?} {path}");
    };
    check("tester@test admin", Method::Put, "/AUTH_test-id/c", Owner);
    check("tester@test SwiftOperator", Method::Post, "/AUTH_test-id", Owner);
    check("tester@test member", Method::Get, "/AUTH_test-id/c", Denied);
    check("tester@test", Method::Get, "/AUTH_test-id/c", Denied);
    check("tester@test admin", Method::Get, "/AUTH_test2-id/c", Denied);
    check("tester@test admin", Method::Get, "/SERVICE_test-id/c", Denied);
    check("tester@test admin", Method::Get, "/test-id/c", Denied);
    // By id, not by name, and not by a part of it.
    check("tester@test admin", Method::Get, "/AUTH_test/c", Denied);
    check("tester@test admin", Method::Get, "/AUTH_test-idx/c", Denied);
    // Whoever it belongs to: he does not end it.
    check("tester@test admin", Method::Delete, "/AUTH_test-id", Denied);
    check("tester@test admin", Method::Delete, "/AUTH_test-id/c", Owner);
    // A token of no project owns none, whatever its roles.
    check("tester@ admin", Method::Get, "/AUTH_/c", Denied);
    check("tester@ admin", Method::Get, "/AUTH_None/c", Denied);
    assert_eq!(Ask { method: Method::Options, ..ASK }.verdict(), Allowed);
}

#[test]
fn resellers_own_all_accounts_and_system_readers_read_them() {
    let check = |user: &str, method, path: &str, expected| {
        let ask = Ask { settings: "system_reader_roles = Auditor, other\n", user: Some(user), method, path, ..ASK };
        assert_eq!(ask.verdict(), expected, "{user} {method:?} {path}");
    };
    for path in ["/AUTH_test-id", "/AUTH_test2-id/c", "/OTHER/c/o"] {
        check("boss@test reselleradmin", Method::Delete, path, Owner);
        check("boss@ ResellerAdmin", Method::Put, path, Owner);
        check("eye@ auditor", Method::Get, path, Allowed);
        check("eye@ auditor", Method::Head, path, Allowed);
        check("eye@ auditor", Method::Post, path, Denied);
    }
    // Who reads the system still writes his own.
    check("eye@test auditor admin", Method::Put, "/AUTH_test-id/c/log", Owner);
    let ask = Ask { settings: "reseller_admin_role = King\n", user: Some("boss@x king"), ..ASK };
    assert_eq!(ask.verdict(), Owner);
    assert!(ask.request().identity.is_reseller);
    assert!(
        !Ask { settings: "reseller_admin_role = King\n", user: Some("b@x ResellerAdmin"), ..ASK }
            .request()
            .identity
            .is_reseller
    );
}

#[test]
fn a_prefix_with_service_roles_needs_user_and_service() {
    let options =
        "reseller_prefix = AUTH, SERVICE\nSERVICE_service_roles = service\nSERVICE_project_reader_roles = reader\n";
    let check = |path: &str, user: Option<&str>, service: Option<&str>, expected| {
        let ask = Ask { settings: options, path, user, service, ..ASK };
        assert_eq!(ask.verdict(), expected, "{path} {user:?} {service:?}");
    };
    let (own, shared) = ("/AUTH_test-id/c", "/SERVICE_test-id/c");
    let (admin, service) = (Some("tester@test admin"), Some("glance@service service"));
    check(own, admin, None, Owner);
    check(own, admin, service, Owner);
    check(shared, admin, service, Owner);
    check(shared, admin, None, Denied);
    check(shared, admin, Some("tester@test admin"), Denied);
    check(shared, Some("tester3@test member"), service, Denied);
    check(shared, Some("tester2@test2 admin"), service, Denied);
    // The service alone has no right to it.
    check(shared, service, service, Denied);
    check(shared, Some("tester3@test reader"), None, Allowed);
    check(own, Some("tester3@test reader"), None, Denied);
}

#[test]
fn options_of_a_prefix_go_before_those_of_all() {
    let settings = settings(
        "reseller_prefix = '', NEW, NEW_\noperator_roles = Boss\nNEW_operator_roles = chief , Head\n''service_roles = s\n\
         project_reader_roles = r\n",
    );
    let [empty, new] = settings.resellers.as_slice() else { panic!("two, got {:?}", settings.resellers) };
    assert_eq!((empty.prefix.as_str(), new.prefix.as_str()), ("", "NEW_"));
    assert_eq!(
        (&empty.operator_roles, &new.operator_roles),
        (&vec!["boss".into()], &vec!["chief".into(), "head".into()])
    );
    assert_eq!((&empty.service_roles, &new.service_roles), (&vec!["s".to_owned()], &vec![]));
    assert_eq!((&empty.project_reader_roles, &new.project_reader_roles), (&vec!["r".into()], &vec!["r".to_owned()]));
    let prefix = |account| settings.reseller(account).map(|reseller| reseller.prefix.as_str());
    assert_eq!((prefix("NEW_x"), prefix("x")), (Some("NEW_"), Some("")));
    let ini = Ini::parse("p", "[filter:keystoneauth]\nreseller_prefix = A/B\n").unwrap();
    assert!(Settings::parse(ini.section("filter:keystoneauth").unwrap()).is_err());
}

#[test]
fn project_readers_read_their_project_only() {
    let check = |user: &str, method, path: &str, expected| {
        let ask = Ask { settings: "project_reader_roles = Reader\n", user: Some(user), method, path, ..ASK };
        assert_eq!(ask.verdict(), expected, "{user} {method:?} {path}");
    };
    check("tester3@test reader", Method::Get, "/AUTH_test-id", Allowed);
    check("tester3@test reader", Method::Head, "/AUTH_test-id/c/o", Allowed);
    check("tester3@test reader", Method::Put, "/AUTH_test-id/c/o", Denied);
    check("tester3@test reader", Method::Get, "/AUTH_test2-id", Denied);
}

#[test]
fn acls_name_project_and_user_by_id() {
    let check = |acl: &str, user: &str, expected| {
        let ask = Ask { acl: Some(acl), user: Some(user), ..ASK };
        assert_eq!(ask.verdict(), expected, "{acl} {user}");
    };
    for acl in ["test2-id:tester2-id", "*:tester2-id", "test2-id:*", "*:*", "x,test2-id:tester2-id"] {
        check(acl, "tester2@test2/far", Allowed);
    }
    check("test2-id:tester2-id", "tester@test2/far", Denied);
    check("test2-id:tester2-id", "tester2@test/far member", Denied);
    check("test2-id", "tester2@test2/far", Denied);
    check("*", "tester2@test2/far", Denied);
    // A user without a project is met by the star only.
    check("*:tester2-id", "tester2@", Allowed);
    check("test2-id:tester2-id", "tester2@", Denied);
    // An ACL of a container reaches no further up.
    let ask = Ask { acl: Some("*:*"), user: Some("tester2@test2"), path: "/AUTH_test-id", ..ASK };
    assert_eq!(ask.verdict(), Denied);
    // A role counts in the account's own project.
    check("Member", "tester3@test member", Allowed);
    check("member", "tester2@test2 member", Denied);
}

#[test]
fn names_count_where_everybody_is_in_the_default_domain() {
    let by_name = Ask { acl: Some("test2:tester2"), user: Some("tester2@test2"), ..ASK };
    let check = |ask: Ask<'_>, expected| assert_eq!(ask.verdict(), expected, "{:?} {:?}", ask.user, ask.account);
    check(by_name, Allowed);
    check(Ask { account: Some("default"), ..by_name }, Allowed);
    check(Ask { acl: Some("test2:*"), ..by_name }, Allowed);
    check(Ask { acl: Some("*:tester2"), ..by_name }, Allowed);
    check(Ask { acl: Some("test2-id:tester2"), ..by_name }, Allowed);
    // Others may have the same name elsewhere.
    check(Ask { user: Some("tester2@test2/far"), ..by_name }, Denied);
    check(Ask { account: Some("far"), ..by_name }, Denied);
    check(Ask { account: Some(UNKNOWN_DOMAIN), ..by_name }, Denied);
    check(Ask { settings: "allow_names_in_acls = no\n", ..by_name }, Denied);
    check(Ask { settings: "default_domain_id = far\n", user: Some("tester2@test2/far"), ..by_name }, Allowed);
    // In the caller's own account nothing needs to be known of it.
    check(Ask { acl: Some("test:tester3"), user: Some("tester3@test"), account: Some("far"), ..by_name }, Allowed);
}

#[test]
fn the_account_is_asked_for_only_where_it_decides() {
    let ask = Ask { acl: Some("test2:tester2"), user: Some("tester2@test2"), account: None, ..ASK };
    assert_eq!(ask.verdict(), DependsOnAccount);
    assert_eq!(Ask { acl: Some("test2-id:tester2-id"), ..ask }.verdict(), Allowed);
    assert_eq!(Ask { acl: Some("other:tester2"), ..ask }.verdict(), Denied);
    assert_eq!(Ask { acl: Some("test2:tester2,.r:*"), path: "/AUTH_test-id/c/o", ..ask }.verdict(), Allowed);
    assert_eq!(Ask { user: Some("tester2@test2/far"), ..ask }.verdict(), Denied);
    // An account that could not be asked (no field of it came back) opens nothing.
    let acls = Acls { container: ask.acl, account: Some(&Headers::new()), sync_key: None };
    assert_eq!(verdict(&settings(""), &ask.request(), acls), Denied);
}

#[test]
fn referrers_open_objects_and_with_rlistings_listings() {
    let check = |user: Option<&str>, path: &str, acl: &str, referer, expected| {
        let ask = Ask { user, path, acl: Some(acl), referer, ..ASK };
        assert_eq!(ask.verdict(), expected, "{user:?} {path} {acl}");
    };
    let (container, object) = ("/AUTH_test-id/c", "/AUTH_test-id/c/o");
    for user in [None, Some("tester2@test2")] {
        check(user, object, ".r:*", None, Allowed);
        check(user, container, ".r:*", None, Denied);
        check(user, container, ".r:*,.rlistings", None, Allowed);
        check(user, container, ".rlistings", None, Denied);
        check(user, object, ".r:.example.com", Some("http://www.example.com/"), Allowed);
        check(user, object, ".r:.example.com", Some("http://www.example.org/"), Denied);
    }
    check(None, "/OTHER_test-id/c/o", ".r:*", None, Denied);
    check(Some("tester3@test member"), container, ".r:*,member", None, Denied);
    check(Some("tester3@test member"), container, ".r:x,member", None, Allowed);
}

#[test]
fn nobody_is_401_and_somebody_is_403() {
    let config = Config { keystoneauth: Some(settings("")), ..sample() };
    let status = |ask: Ask<'_>| {
        let mut request = ask.request();
        let refused = authorize(&config, &mut request, Acls::default());
        (refused.err().map_or(200, |refused| refused.head.status.0), request.is_owner)
    };
    assert_eq!(status(ASK), (401, false));
    assert_eq!(status(Ask { user: Some("tester2@test2 admin"), ..ASK }), (403, false));
    assert_eq!(status(Ask { user: Some("tester@test admin"), ..ASK }), (200, true));
}

/// What is written down when `user` writes to an account that has `known` (`None`: it is not there).
fn noted(user: &str, method: Method, path: &str, known: Option<&str>) -> Option<String> {
    let mut request = Ask { user: Some(user), method, path, ..ASK }.request();
    let info = match known {
        Some(domain) => Info { status: 204, headers: account(domain) },
        None => Info { status: 404, headers: Headers::new() },
    };
    if may_note_domain(&request) {
        note_project_domain(&settings(""), &mut request, &info);
    }
    request.headers.get_str(STORED_DOMAIN).map(str::to_owned)
}

#[test]
fn a_new_account_writes_the_domain_of_its_project_down() {
    let (own, boss) = ("tester@test/far admin", "boss@test2 ResellerAdmin");
    let check = |user, method, path: &str, known, expected: Option<&str>| {
        assert_eq!(noted(user, method, path, known).as_deref(), expected, "{user} {method:?} {path} {known:?}");
    };
    let (account, container, object) = ("/AUTH_test-id", "/AUTH_test-id/c", "/AUTH_test-id/c/o");
    check(own, Method::Put, account, None, Some("far"));
    check(own, Method::Post, account, None, Some("far"));
    check(own, Method::Put, container, None, Some("far"));
    check(own, Method::Post, container, None, None);
    check(own, Method::Put, object, None, None);
    check(own, Method::Get, account, None, None);
    // Who makes an account for others does not know where they are.
    check(boss, Method::Put, container, None, Some(UNKNOWN_DOMAIN));
    check(boss, Method::Put, container, Some(UNKNOWN_DOMAIN), None);
    check(own, Method::Put, container, Some(UNKNOWN_DOMAIN), Some("far"));
    // One of before there were domains is in the default one, or its owner will say.
    check("tester@test admin", Method::Post, account, Some("-"), Some("default"));
    check(own, Method::Post, account, Some("-"), None);
    check(own, Method::Post, account, Some("other"), None);
    check(own, Method::Post, account, Some("far"), None);
}

#[test]
fn nothing_is_written_down_while_nobody_knows_or_by_nobody() {
    let mut request = Ask { user: Some("tester@test/far admin"), method: Method::Put, ..ASK }.request();
    let info = Info { status: 503, headers: Headers::new() };
    note_project_domain(&settings(""), &mut request, &info);
    assert!(!request.headers.contains(STORED_DOMAIN));
    assert!(!may_note_domain(&Ask { method: Method::Put, ..ASK }.request()));
}

#[test]
fn readers_of_the_account_see_the_domain() {
    let mut headers = account("far");
    show_project_domain(&mut headers);
    assert_eq!(headers.get_str(SHOWN_DOMAIN), Some("far"));
    let mut none = account("-");
    show_project_domain(&mut none);
    assert!(!none.contains(SHOWN_DOMAIN));
}
