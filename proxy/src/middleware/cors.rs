//! cors: browsers may ask across origins where the container's owner (or the cluster's configuration) allows it.
//!
//! A preflight (OPTIONS with `Origin`) is answered by the outer layer, from the container's metadata, before anyone asks for a token: browsers
//! send none. An actual request is answered as always, and the inner layer adds the fields without which a browser hides the answer: next
//! to the application, so that an answer is its own container's affair. What a link leads to is shown where that container allows it,
//! whatever the link's says; what middleware refuses is shown to nobody.

use crate::config::Config;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::Response;
use base::http::{Headers, Method, Status};
use base::io::Job;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The outer layer.
pub struct Preflights {
    config: Rc<Config>,
    next: Rc<dyn Application>,
    /// The application itself, which knows containers.
    innermost: Rc<dyn Application>,
}

impl Preflights {
    /// Around `next`.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>, innermost: Rc<dyn Application>) -> Self {
        Self { config, next, innermost }
    }
}

impl Application for Preflights {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        if request.method != Method::Options {
            return self.next.call(request);
        }
        let (config, innermost) = (Rc::clone(&self.config), Rc::clone(&self.innermost));
        Job::new(async move {
            let asked = rules(&*innermost, &request).await;
            preflight(&config, &request, asked.as_ref())
        })
    }
}

/// The inner layer.
pub struct Origins {
    config: Rc<Config>,
    next: Rc<dyn Application>,
}

impl Origins {
    /// Around the application.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>) -> Self {
        Self { config, next }
    }
}

impl Application for Origins {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        if !request.headers.contains("Origin") {
            return self.next.call(request);
        }
        let (config, next) = (Rc::clone(&self.config), Rc::clone(&self.next));
        Job::new(async move {
            let asked = rules(&*next, &request).await;
            let mut response = next.call(request).await;
            if let Some((origin, rules)) = asked {
                decorate(&config, &mut response.head.headers, &origin, &rules);
            }
            response
        })
    }

    fn knower(&self) -> Option<&dyn Application> {
        Some(&*self.next)
    }
}

/// The origin of a request about a container or an object, and what the container's owner allows.
async fn rules(application: &dyn Application, request: &ClientRequest) -> Option<(String, Rules)> {
    // A value that cannot be an origin is never repeated.
    let origin = request.headers.get_str("Origin").filter(|origin| is_origin(origin))?.to_owned();
    request.path.container.as_ref()?;
    Some((origin, Rules::read(&*application.container_headers(request).await)))
}

/// What the container's owner allows.
#[derive(Debug, Default)]
struct Rules {
    allow_origin: String,
    expose_headers: String,
    max_age: Option<String>,
}

impl Rules {
    fn read(headers: &Headers) -> Rules {
        let get = |name: &str| headers.get_str(&format!("X-Container-Meta-Access-Control-{name}")).map(str::to_owned);
        Rules {
            allow_origin: get("Allow-Origin").unwrap_or_default(),
            expose_headers: get("Expose-Headers").unwrap_or_default(),
            max_age: get("Max-Age"),
        }
    }

    fn allow(&self, config: &Config, origin: &str) -> bool {
        let own = self.allow_origin.split_ascii_whitespace();
        own.chain(config.cors_allow_origin.iter().map(String::as_str))
            .any(|allowed| allowed == "*" || allowed == origin)
    }

    /// What `Access-Control-Allow-Origin` says: `*` where everyone is meant, so that caches can share the answer.
    fn name_origin(&self, headers: &mut Headers, origin: &str) {
        if self.allow_origin.trim() == "*" {
            headers.set("Access-Control-Allow-Origin", "*");
        } else {
            headers.set("Access-Control-Allow-Origin", origin.to_owned());
            headers.append("Vary", "Origin");
        }
    }
}

fn preflight(config: &Config, request: &ClientRequest, asked: Option<&(String, Rules)>) -> Response {
    let allowed = allowed_methods(config, request);
    let response = Response::empty(Status(200)).header("Content-Type", "text/html; charset=UTF-8");
    let response = response.header("Allow", allowed.join(", "));
    let Some((origin, rules)) = asked else { return response };
    let method = request.headers.get_str("Access-Control-Request-Method").unwrap_or_default();
    if !rules.allow(config, origin) || !allowed.contains(&method) {
        // COPY is not the application's own verb, and only its consent adds it.
        let own: Vec<&str> = allowed.into_iter().filter(|method| *method != "COPY").collect();
        return respond::standard(Status(401)).header("Allow", own.join(", "));
    }
    let mut response = response.header("Access-Control-Allow-Methods", allowed.join(", "));
    let headers = &mut response.head.headers;
    headers.remove("Content-Type");
    rules.name_origin(headers, origin);
    if let Some(age) = &rules.max_age {
        headers.set("Access-Control-Max-Age", age.clone());
    }
    let wished = request.headers.get_str("Access-Control-Request-Headers").unwrap_or_default();
    let wished: Vec<&str> = wished.split(',').map(str::trim).filter(|name| is_token(name)).collect();
    if !wished.is_empty() {
        headers.set("Access-Control-Allow-Headers", wished.join(", "));
        headers.append("Vary", "Access-Control-Request-Headers");
    }
    response
}

fn decorate(config: &Config, headers: &mut Headers, origin: &str, rules: &Rules) {
    if config.strict_cors_mode && !rules.allow(config, origin) {
        return;
    }
    if !headers.contains("Access-Control-Expose-Headers") {
        headers.set("Access-Control-Expose-Headers", exposed(config, headers, rules));
    }
    if !headers.contains("Access-Control-Allow-Origin") {
        rules.name_origin(headers, origin);
    }
}

/// The simple fields, Swift's own, all metadata of this answer, and what operator and owner name.
fn exposed(config: &Config, headers: &Headers, rules: &Rules) -> String {
    let mut names: BTreeSet<String> = ALWAYS_EXPOSED.iter().map(|name| (*name).to_owned()).collect();
    names.extend(config.cors_expose_headers.iter().map(|name| name.to_lowercase()));
    let lower = headers.iter().map(|(name, _)| String::from_utf8_lossy(name).to_lowercase());
    names.extend(lower.filter(|name| name.starts_with("x-container-meta") || name.starts_with("x-object-meta")));
    names.extend(rules.expose_headers.split_ascii_whitespace().map(str::to_lowercase));
    names.into_iter().collect::<Vec<_>>().join(", ")
}

const ALWAYS_EXPOSED: [&str; 10] = [
    "cache-control",
    "content-language",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "pragma",
    "x-openstack-request-id",
    "x-timestamp",
    "x-trans-id",
];

fn allowed_methods(config: &Config, request: &ClientRequest) -> Vec<&'static str> {
    let mut methods = vec!["HEAD", "GET", "POST", "OPTIONS"];
    if request.path.container.is_some() || config.allow_account_management {
        methods.extend(["PUT", "DELETE"]);
    }
    if request.path.object.is_some() {
        methods.push("COPY");
    }
    methods
}

fn is_origin(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'<' && byte != b'>')
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::symlink::Symlink;
    use crate::pipeline::tests::{Fake, block_on, request};

    fn run(request: ClientRequest, allow: &'static str, strict: bool) -> Response {
        let fake = Fake::new(move |request: ClientRequest| match request.path.object {
            None => Response::empty(Status(204)).header("X-Container-Meta-Access-Control-Allow-Origin", allow),
            Some(_) => Response::empty(Status(200)).header("X-Object-Meta-Color", "blue"),
        });
        let mut config = crate::config::tests::sample();
        config.strict_cors_mode = strict;
        let config = Rc::new(config);
        let inner: Rc<dyn Application> = Rc::new(Origins::new(Rc::clone(&config), fake));
        block_on(Preflights::new(config, Rc::clone(&inner), inner).call(request))
    }

    fn preflight_of(origin: &'static str, method: &'static str) -> ClientRequest {
        let mut options = request(Method::Options, "/AUTH_test/c/o");
        options.headers.set("Origin", origin);
        options.headers.set("Access-Control-Request-Method", method);
        options.headers.set("Access-Control-Request-Headers", "X-One, x-two,bad name");
        options
    }

    #[test]
    fn a_preflight_is_answered_from_the_containers_metadata() {
        let response = run(preflight_of("http://a.example", "COPY"), "http://b.example http://a.example", true);
        assert_eq!(response.head.status, Status(200));
        let get = |name: &str| response.head.headers.get_str(name);
        assert_eq!(get("Access-Control-Allow-Origin"), Some("http://a.example"));
        assert_eq!(get("Access-Control-Allow-Headers"), Some("X-One, x-two"));
        assert_eq!(get("Content-Type"), None, "there is no body");
        assert!(get("Access-Control-Allow-Methods").unwrap().contains("COPY"));
        let all = run(preflight_of("http://a.example", "GET"), "*", true);
        assert_eq!(all.head.headers.get_str("Access-Control-Allow-Origin"), Some("*"));
    }

    #[test]
    fn other_origins_and_verbs_are_refused() {
        assert_eq!(run(preflight_of("http://evil.example", "GET"), "http://a.example", true).head.status, Status(401));
        assert_eq!(run(preflight_of("http://a.example", "BREW"), "http://a.example", true).head.status, Status(401));
    }

    #[test]
    fn an_actual_request_gets_what_a_browser_needs() {
        let mut get = request(Method::Get, "/AUTH_test/c/o");
        get.headers.set("Origin", "http://a.example");
        let response = run(get, "http://a.example", true);
        let exposed = response.head.headers.get_str("Access-Control-Expose-Headers").unwrap();
        assert!(exposed.contains("x-object-meta-color") && exposed.contains("etag"), "{exposed}");
        assert_eq!(response.head.headers.get_str("Vary"), Some("Origin"));
    }

    #[test]
    fn what_a_link_leads_to_is_shown_where_its_own_container_allows_it() {
        let fake = Fake::new(|request: ClientRequest| match (request.path.container.as_deref(), request.path.object) {
            (Some("links"), Some(_)) => {
                Response::empty(Status(200)).header("X-Object-Sysmeta-Symlink-Target", "private/o")
            }
            (Some("private"), Some(_)) => Response::empty(Status(404)),
            (Some("links"), None) => {
                Response::empty(Status(204)).header("X-Container-Meta-Access-Control-Allow-Origin", "*")
            }
            _ => {
                Response::empty(Status(204)).header("X-Container-Meta-Access-Control-Allow-Origin", "http://a.example")
            }
        });
        let config = Rc::new(crate::config::tests::sample());
        let links = Symlink::new(Rc::clone(&config), Rc::new(Origins::new(Rc::clone(&config), fake)));
        let shown = |origin: &'static str| {
            let mut get = request(Method::Get, "/AUTH_test/links/o");
            get.headers.set("Origin", origin);
            let response = block_on(links.call(get));
            assert_eq!(response.head.status, Status(404));
            response.head.headers.get_str("Access-Control-Allow-Origin").map(str::to_owned)
        };
        assert_eq!(shown("http://a.example").as_deref(), Some("http://a.example"));
        assert_eq!(shown("http://evil.example"), None);
    }

    #[test]
    fn strictness_decides_about_strangers() {
        let stranger = || {
            let mut get = request(Method::Get, "/AUTH_test/c/o");
            get.headers.set("Origin", "http://evil.example");
            get
        };
        assert!(!run(stranger(), "http://a.example", true).head.headers.contains("Access-Control-Allow-Origin"));
        assert!(run(stranger(), "http://a.example", false).head.headers.contains("Access-Control-Allow-Origin"));
    }
}
