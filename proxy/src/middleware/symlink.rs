//! symlink: an empty object that stands for another. A dynamic one (`X-Symlink-Target: container/object`) means whatever is
//! there when it is read; a static one (with `X-Symlink-Target-Etag`) means exactly the object it was made for.
//!
//! - GET and HEAD go on to the target, as the caller: the target's ACL is asked. `?symlink=get` shows the link itself.
//! - A POST cannot be passed on (the backends have applied it when the link is noticed), so it is answered by 307.
//! - What the link is stands in system metadata, and in the listing behind the ETag, as Swift keeps it.

pub(crate) mod link;
mod listing;

use crate::config::Config;
use crate::middleware::authorization;
use crate::pipeline::Application;
use crate::request::{Authority, ClientRequest, Parent, add_name};
use crate::respond;
use base::config::is_true;
use base::http::headers::with_lower;
use base::http::server::{RequestBody, Response};
use base::http::{Headers, Method, Status};
use base::io::Job;
use base::names::{Name, Path};
use link::{Link, STORED_TARGET};
use std::rc::Rc;

/// The layer.
pub struct Symlink {
    config: Rc<Config>,
    next: Rc<dyn Application>,
}

impl Symlink {
    /// Around `next`.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>) -> Self {
        Self { config, next }
    }
}

type Refused<T> = Result<T, Box<Response>>;

impl Application for Symlink {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let next = Rc::clone(&self.next);
        if request.path.container.is_none() {
            return next.call(request);
        }
        if request.path.object.is_none() {
            return if request.method == Method::Get { listing::with_links(next, request) } else { next.call(request) };
        }
        let links_max = self.config.symloop_max;
        match request.method {
            Method::Get | Method::Head if request.query.get("symlink") == Some(b"get") => Job::new(async move {
                let mut response = next.call(request).await;
                link::show(&mut response.head.headers);
                response
            }),
            Method::Get | Method::Head => Job::new(read(next, request, links_max)),
            Method::Put if request.headers.contains(link::TARGET) => {
                Job::new(async move { put(&next, request, links_max).await.unwrap_or_else(|refused| *refused) })
            }
            Method::Post => Job::new(async move { post(&next, request).await }),
            _ => next.call(request),
        }
    }
}

/// Reads the object, or what it links to.
async fn read(next: Rc<dyn Application>, mut request: ClientRequest, links_max: usize) -> Response {
    // A range is about the target, not about the empty link.
    add_name(&mut request.headers, "X-Backend-Ignore-Range-If-Metadata-Present", STORED_TARGET);
    let asked = Asked { parent: request.parent(), method: request.method, headers: request.headers.clone() };
    let response = next.call(request).await;
    if Link::stored(&response.head.headers).is_none() {
        return response;
    }
    // Boxed: the future of what is no link stays small.
    Box::pin(async move {
        let walk = Walk { next: &next, links_max, follows_dynamic: true };
        let account = asked.parent.path.account.clone();
        let end = walk.go_on(response, account, asked, None, None).await;
        end.map_or_else(|refused| *refused, |(response, _)| response)
    })
    .await
}

/// What is asked of each object on the way.
struct Asked {
    parent: Rc<Parent>,
    method: Method,
    headers: Headers,
}

/// A way through links.
struct Walk<'a> {
    next: &'a Rc<dyn Application>,
    links_max: usize,
    /// Whether dynamic links are followed, or static ones only.
    follows_dynamic: bool,
}

impl Walk<'_> {
    /// Asks what `response` links to, if it does, in the account it came from; `etag` is what the object before it says the first must
    /// be, `at` where the first is when it is a target itself. Gives the last answer and where it is.
    async fn go_on(
        &self,
        mut response: Response,
        mut account: Name,
        asked: Asked,
        mut etag: Option<String>,
        mut at: Option<String>,
    ) -> Refused<(Response, Option<String>)> {
        let mut followed = 0;
        // Ends: every turn but those through a versioned object's own link counts, and those are as many.
        loop {
            let found = response.head.headers.get("Etag").map(|value| link::plain_etag(value));
            let link = Link::stored(&response.head.headers).filter(|link| link.etag.is_some() || self.follows_dynamic);
            let Some(link) = link else {
                if let (Some(found), Some(wanted)) = (&found, &etag)
                    && found != wanted
                {
                    let text = format!("Object Etag '{found}' does not match X-Symlink-Target-Etag header '{wanted}'");
                    return Err(conflict(&text, at.as_deref()));
                }
                if let Some(at) = &at {
                    response.head.headers.set("Content-Location", at.clone());
                }
                return Ok((response, at));
            };
            let is_extended = response.head.headers.get_str(link::SYMLOOP_EXTEND).is_some_and(is_true);
            let is_granted = response.head.headers.contains(link::ALLOW_RESERVED_NAMES);
            drop(response);
            if etag.is_some() && etag != link.etag.clone().or(found) {
                return Err(conflict("X-Symlink-Target-Etag headers do not match", at.as_deref()));
            }
            if followed >= self.links_max {
                let text = format!("Too many levels of symbolic links, maximum allowed is {}", self.links_max);
                return Err(conflict(&text, None));
            }
            followed += usize::from(!is_extended);
            let (path, location) = link.place(&account).ok_or_else(|| Box::new(respond::standard(Status(412))))?;
            at = Some(location);
            etag = link.etag;
            account.clone_from(&path.account);
            let mut request = asked.parent.subrequest(asked.method, path).by("SYM");
            request.headers = asked.headers.clone();
            if is_granted {
                request.authority = Authority::Granted;
            }
            response = self.next.call(request).await;
        }
    }
}

/// Stores a link. A static one is made only for what is there.
async fn put(next: &Rc<dyn Application>, mut request: ClientRequest, links_max: usize) -> Refused<Response> {
    if !is_empty(&mut request.body).await {
        return Err(refuse(400, "Symlink requests require a zero byte body"));
    }
    request.body = RequestBody::full("");
    let mut link = Link::asked(&request.headers, &request.path)?;
    let content_type_missing = request.headers.get("Content-Type").is_none_or(|value| value.is_empty());
    let mut target_etag = None;
    if request.is_synced && link.etag.is_some() {
        // The target may follow later.
        link.bytes = request.headers.get_str(link::BYTES).map(str::to_owned);
    } else if let Some(etag) = link.etag.clone().filter(|_| !link.is_checked) {
        let target = link.path(&request.path.account).ok_or_else(|| refuse(412, link::FORM))?;
        let (found, is_slo) = check_target(next, &request, target, etag, links_max).await?;
        if content_type_missing && let Some(value) = found.get("Content-Type") {
            request.headers.set("Content-Type", value.clone());
        }
        link.bytes = found.get_str("X-Object-Sysmeta-Slo-Size").or(found.get_str("Content-Length")).map(str::to_owned);
        target_etag = is_slo;
    } else if content_type_missing {
        request.headers.set("Content-Type", "application/symlink");
    }
    link.store(&mut request.headers, target_etag.as_deref());
    let content_type = request.headers.get("Content-Type").cloned();
    let mut response = next.call(request).await;
    if let Some(content_type) = content_type {
        // Middleware outside may have left the choice to us.
        response.head.headers.set("X-Backend-Content-Type", content_type);
    }
    Ok(response)
}

/// The fields of the object a static link is made for, and its ETag as listings show it, when that differs.
async fn check_target(
    next: &Rc<dyn Application>,
    request: &ClientRequest,
    target: Path,
    etag: String,
    links_max: usize,
) -> Refused<(Headers, Option<String>)> {
    let walk = Walk { next, links_max, follows_dynamic: false };
    let (account, at) = (target.account.clone(), format!("/v1{}", target.quoted()));
    let mut head = request.subrequest(Method::Head, target).by("SYM");
    let asked = Asked { parent: head.parent(), method: Method::Head, headers: head.headers.clone() };
    let first = next.call(head).await;
    let (response, at) = walk.go_on(first, account, asked, Some(etag), Some(at)).await?;
    match response.head.status.0 {
        404 => Err(conflict("X-Symlink-Target does not exist", at.as_deref())),
        200..=299 => {
            let found = response.head.headers;
            let listed = found.get_str(link::LISTED_ETAG).and_then(|value| value.split_once(';'));
            let listed = listed.map(|(_, parameters)| parameters.trim().to_owned());
            let slo = || found.get_str("X-Object-Sysmeta-Slo-Etag").map(|etag| format!("slo_etag={etag}"));
            let shown = listed.or_else(slo);
            Ok((found, shown))
        }
        // In the name of the link: who asks is told where he would have to have a right, not where the link leads.
        401 => Err(Box::new(authorization::unauthorized(Some(&request.path.account)))),
        status => Err(Box::new(respond::standard(Status(status)))),
    }
}

async fn post(next: &Rc<dyn Application>, request: ClientRequest) -> Response {
    if request.headers.contains(link::TARGET) {
        return *refuse(400, "A PUT request is required to set a symlink target");
    }
    let account = request.path.account.clone();
    let response = next.call(request).await;
    let link = Link::stored(&response.head.headers).filter(|_| response.head.status.is_success());
    let Some((link, (_, location))) = link.and_then(|link| link.place(&account).map(|place| (link, place))) else {
        return response;
    };
    let text = "The requested POST was applied to a symlink. POST directly to the target to apply requested metadata.";
    let mut redirect = Response::full(Status(307), "text/html; charset=UTF-8", text).header("Location", location);
    // Middleware outside knows its own links by them.
    for (name, value) in response.head.headers.iter() {
        if with_lower(name, |lower| lower.starts_with(b"x-object-sysmeta-")) {
            redirect.head.headers.set(name.clone(), value.clone());
        }
    }
    match link.etag {
        Some(etag) => redirect.header(link::ETAG, etag),
        None => redirect,
    }
}

async fn is_empty(body: &mut RequestBody) -> bool {
    match body.length() {
        Some(length) => length == 0,
        None => !matches!(body.next().await, Some(Ok(bytes)) if !bytes.is_empty()),
    }
}

fn refuse(status: u16, text: &str) -> Box<Response> {
    Box::new(respond::explained(Status(status), text))
}

fn told(status: u16, text: &str) -> Box<Response> {
    Box::new(respond::told(Status(status), text))
}

fn conflict(text: &str, at: Option<&str>) -> Box<Response> {
    let response = respond::explained(Status(409), text);
    Box::new(match at {
        Some(at) => response.header("Content-Location", at.to_owned()),
        None => response,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::tests::{Fake, block_on, request};

    /// What a PUT of a static link to `/v1/other/c/o` is answered when its target answers so.
    fn put_to(target: u16) -> Response {
        let application =
            Fake::new(move |request: ClientRequest| match (request.method, request.path.account.as_str()) {
                (Method::Head, "other") if target == 401 => authorization::unauthorized(Some("other")),
                (Method::Head, "other") => {
                    Response::empty(Status(target)).header("Etag", "tag").header("Content-Length", "5")
                }
                (Method::Put, "AUTH_test") => Response::empty(Status(201)),
                _ => Response::empty(Status(500)),
            });
        let layer = Symlink::new(Rc::new(crate::config::tests::sample()), application);
        let mut put = request(Method::Put, "/AUTH_test/c/link");
        for (name, value) in [(link::TARGET, "c/o"), ("X-Symlink-Target-Account", "other"), (link::ETAG, "tag")] {
            put.headers.set(name, value);
        }
        block_on(layer.call(put))
    }

    #[test]
    fn who_may_not_see_the_target_of_a_static_link_is_refused_in_the_name_of_the_link() {
        assert_eq!(put_to(200).head.status, Status(201));
        let refused = put_to(401);
        assert_eq!(refused.head.status, Status(401));
        assert_eq!(refused.head.headers.get_str("Www-Authenticate"), Some("Swift realm=\"AUTH_test\""));
        assert_eq!([put_to(403), put_to(404), put_to(503)].map(|refused| refused.head.status.0), [403, 409, 503]);
    }
}
