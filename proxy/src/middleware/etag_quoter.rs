//! etag-quoter: ETags with the quotes that RFC 9110 wants, where the owner of a container or of an account says so.
//!
//! Swift has always sent them bare, and clients rely on it; caches and CDNs rely on the quotes.

use crate::pipeline::Application;
use crate::request::ClientRequest;
use base::config::is_true;
use base::http::Headers;
use base::http::server::Response;
use base::io::Job;
use std::rc::Rc;

/// The layer.
pub struct EtagQuoter {
    by_default: bool,
    next: Rc<dyn Application>,
    application: Rc<dyn Application>,
}

impl EtagQuoter {
    /// Around `next`; `application` is the innermost one, which knows containers and accounts.
    pub fn new(by_default: bool, next: Rc<dyn Application>, application: Rc<dyn Application>) -> Self {
        Self { by_default, next, application }
    }
}

impl Application for EtagQuoter {
    fn call(&self, mut request: ClientRequest) -> Job<Response> {
        let next = Rc::clone(&self.next);
        if request.path.object.is_none() {
            let kind = if request.path.container.is_some() { "Container" } else { "Account" };
            set_flag(&mut request.headers, kind);
            return Job::new(async move {
                let mut response = next.call(request).await;
                if let Some(flag) = response.head.headers.remove(&stored(kind)) {
                    response.head.headers.set(format!("X-{kind}-Rfc-Compliant-Etags"), flag);
                }
                response
            });
        }
        let (application, by_default) = (Rc::clone(&self.application), self.by_default);
        Job::new(async move {
            let container = application.container_headers(&request).await;
            let mut flag = flag_of(&container, "Container");
            if flag.is_none() && !container.is_empty() {
                flag = flag_of(&*application.account_headers(&request).await, "Account");
            }
            let mut response = next.call(request).await;
            if flag.unwrap_or(by_default && !container.is_empty()) {
                quote(&mut response.head.headers);
            }
            response
        })
    }
}

fn stored(kind: &str) -> String {
    format!("X-{kind}-Sysmeta-Rfc-Compliant-Etags")
}

fn flag_of(headers: &Headers, kind: &str) -> Option<bool> {
    headers.get_str(&stored(kind)).filter(|flag| !flag.is_empty()).map(is_true)
}

/// What the client says becomes system metadata; nothing, or `X-Remove-…`, takes it away.
fn set_flag(headers: &mut Headers, kind: &str) {
    let removed =
        headers.remove(&format!("X-Remove-{kind}-Rfc-Compliant-Etags")).is_some_and(|value| !value.is_empty());
    let flag = match headers.remove(&format!("X-{kind}-Rfc-Compliant-Etags")) {
        _ if removed => "",
        None => return,
        Some(value) if value.is_empty() => "",
        Some(value) if std::str::from_utf8(&value).is_ok_and(is_true) => "True",
        Some(_) => "False",
    };
    headers.set(stored(kind), flag);
}

fn quote(headers: &mut Headers) {
    let Some(etag) = headers.get_str("Etag") else { return };
    let is_quoted = (etag.starts_with('"') || etag.starts_with("W/\"")) && etag.ends_with('"');
    if !is_quoted {
        let quoted = format!("\"{etag}\"");
        headers.set("Etag", quoted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{Fake, block_on, request};
    use base::http::{Method, Status};

    /// The ETag of an object when container and account say this.
    fn etag(
        container: Option<&'static str>,
        account: Option<&'static str>,
        by_default: bool,
        etag: &'static str,
    ) -> String {
        let application = Fake::new(move |request: ClientRequest| {
            let mut response = Response::empty(Status(204)).header("X-Timestamp", "1");
            let (kind, flag) = match (&request.path.container, &request.path.object) {
                (_, Some(_)) => return response.header("Etag", etag),
                (Some(_), None) => ("Container", container),
                (None, None) => ("Account", account),
            };
            if let Some(flag) = flag {
                response = response.header(stored(kind), flag);
            }
            response
        });
        let layer = EtagQuoter::new(by_default, Rc::clone(&application), application);
        let response = block_on(layer.call(request(Method::Get, "/AUTH_test/c/o")));
        response.head.headers.get_str("Etag").unwrap().to_owned()
    }

    #[test]
    fn the_container_decides_then_the_account_then_the_configuration() {
        assert_eq!(etag(None, None, false, "e"), "e");
        assert_eq!(etag(None, None, true, "e"), "\"e\"");
        assert_eq!(etag(None, Some("True"), false, "e"), "\"e\"");
        assert_eq!(etag(Some("False"), Some("True"), true, "e"), "e");
        assert_eq!(etag(Some("True"), Some("False"), false, "e"), "\"e\"");
        assert_eq!(etag(Some(""), Some("True"), false, "e"), "\"e\"");
        for quoted in ["\"e\"", "W/\"e\""] {
            assert_eq!(etag(Some("True"), None, false, quoted), quoted);
        }
    }

    #[test]
    fn what_is_said_of_a_container_is_stored_and_shown() {
        let application = Fake::new(|request: ClientRequest| {
            let said = request.headers.get_str("X-Container-Sysmeta-Rfc-Compliant-Etags").unwrap_or("-").to_owned();
            Response::empty(Status(204)).header("X-Container-Sysmeta-Rfc-Compliant-Etags", said)
        });
        let layer = EtagQuoter::new(false, Rc::clone(&application), application);
        for (name, value, expected) in [
            ("X-Container-Rfc-Compliant-Etags", "yes", "True"),
            ("X-Container-Rfc-Compliant-Etags", "no", "False"),
            ("X-Container-Rfc-Compliant-Etags", "", ""),
            ("X-Remove-Container-Rfc-Compliant-Etags", "x", ""),
            ("X-Container-Meta-Color", "red", "-"),
        ] {
            let mut post = request(Method::Post, "/AUTH_test/c");
            post.headers.set(name, value);
            let response = block_on(layer.call(post));
            assert_eq!(
                response.head.headers.get_str("X-Container-Rfc-Compliant-Etags"),
                Some(expected),
                "{name}: {value}"
            );
        }
    }
}
