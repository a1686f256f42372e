//! staticweb: a container as a web site: index pages, listings as HTML, error pages, a slash behind the names of folders.
//!
//! - `X-Container-Meta-Web-Index`, `-Error`, `-Listings`, `-Listings-CSS`, `-Listings-Label`, `-Directory-Type` say how.
//! - Only who comes without a token, by a signed URL, or with `X-Web-Mode: true` gets pages; others get the API.
//! - Everything is read as the caller: a page shows nothing that he could not read himself.

mod page;

use crate::config::Config;
use crate::middleware::listing_formats::collect;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::config::is_true;
use base::http::server::{Response, ResponseBody};
use base::http::{Headers, Method, Status};
use base::io::Job;
use base::names::Path;
use base::quote::{Query, quote};
use page::{Links, Row};
use std::rc::Rc;

/// The layer.
pub struct StaticWeb {
    config: Rc<Config>,
    next: Rc<dyn Application>,
    innermost: Rc<dyn Application>,
}

impl StaticWeb {
    /// Around `next`; `innermost` tells the container's fields.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>, innermost: Rc<dyn Application>) -> Self {
        Self { config, next, innermost }
    }
}

/// Most bytes of a listing.
const PAGE_MAX: usize = 96 * 1024 * 1024;

impl Application for StaticWeb {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let reads = matches!(request.method, Method::Get | Method::Head);
        let wants_pages = request.headers.get_str("X-Web-Mode").is_some_and(is_true);
        if !reads || request.path.container.is_none() || (request.identity.user.is_some() && !wants_pages) {
            return self.next.call(request);
        }
        let (config, next, innermost) = (Rc::clone(&self.config), Rc::clone(&self.next), Rc::clone(&self.innermost));
        Job::new(async move {
            let site = Site::read(&*innermost.container_headers(&request).await);
            let visit = Visit { config, next, site, request };
            if visit.request.path.object.is_some() { visit.object().await } else { visit.container(wants_pages).await }
        })
    }
}

/// How the owner wants the container to be shown.
#[derive(Debug, Default)]
struct Site {
    index: String,
    error: String,
    listings: String,
    css: String,
    label: String,
    directory_type: String,
}

impl Site {
    fn read(headers: &Headers) -> Site {
        let get =
            |name: &str| headers.get_str(&format!("X-Container-Meta-Web-{name}")).unwrap_or_default().trim().to_owned();
        let directory_type = Some(get("Directory-Type")).filter(|kind| !kind.is_empty());
        Site {
            index: get("Index"),
            error: get("Error"),
            listings: get("Listings"),
            css: get("Listings-Css"),
            label: get("Listings-Label"),
            directory_type: directory_type.unwrap_or_else(|| "application/directory".to_owned()),
        }
    }

    fn is_site(&self) -> bool {
        !self.listings.is_empty() || !self.index.is_empty()
    }
}

/// One request to a site.
struct Visit {
    config: Rc<Config>,
    next: Rc<dyn Application>,
    site: Site,
    request: ClientRequest,
}

impl Visit {
    async fn container(self, wants_pages: bool) -> Response {
        // Whether the caller may see it at all, before he learns that it is a site.
        let allowed = self.next.call(self.request.subrequest(Method::Head, self.request.path.clone()).by("SW")).await;
        if !allowed.head.status.is_success() {
            return self.failed(allowed).await;
        }
        if !self.site.is_site() {
            if wants_pages {
                return respond::standard(Status(404));
            }
            return self.next.call(self.request).await;
        }
        if !self.request.ends_with_slash {
            return self.with_slash();
        }
        if self.site.index.is_empty() {
            return self.listing("").await;
        }
        let index = self.ask(&self.site.index).await;
        match index.head.status.0 {
            404 => self.listing("").await,
            200..=399 => index,
            _ => self.failed(index).await,
        }
    }

    async fn object(self) -> Response {
        let name = self.request.path.object.clone().unwrap_or_default();
        let found = self.ask(&name).await;
        let status = found.head.status.0;
        if matches!(status, 200..=399) && !self.is_folder(&found) {
            return found;
        }
        if !matches!(status, 200..=399 | 404) {
            return found;
        }
        if !self.site.is_site() {
            return found;
        }
        drop(found);
        if !self.site.index.is_empty() {
            let index = self.ask(&format!("{}/{}", name.strip_suffix('/').unwrap_or(&name), self.site.index)).await;
            match index.head.status.0 {
                200..=399 if self.request.ends_with_slash => return index,
                200..=399 => return self.with_slash(),
                404 => {}
                _ => return index,
            }
        }
        if self.request.ends_with_slash {
            return self.listing(&name).await;
        }
        match self.rows(&format!("{name}/"), "&limit=1").await {
            Ok(rows) if !rows.is_empty() => self.with_slash(),
            _ => self.failed(respond::standard(Status(404))).await,
        }
    }

    /// An empty object that only marks a folder.
    fn is_folder(&self, found: &Response) -> bool {
        let headers = &found.head.headers;
        let length = headers.get_str("Content-Length").and_then(|text| text.parse::<u64>().ok());
        let length = length.or(match &found.body {
            ResponseBody::Stream { length, .. } => *length,
            ResponseBody::Full(bytes) => u64::try_from(bytes.len()).ok(),
            ResponseBody::Empty => Some(0),
        });
        headers.get_str("Content-Type") == Some(self.site.directory_type.as_str()) && length.unwrap_or(0) <= 1
    }

    /// The request, for an object of the container.
    async fn ask(&self, name: &str) -> Response {
        let path = Path { object: Some(name.into()), ..self.request.path.clone() };
        let mut request = self.request.subrequest(self.request.method, path).by("SW");
        request.headers = self.request.headers.clone();
        request.query = self.request.query.clone();
        self.next.call(request).await
    }

    /// An answer that is an error, with the site's own page for it if there is one.
    async fn failed(&self, response: Response) -> Response {
        if self.site.error.is_empty() {
            return response;
        }
        let name = format!("{}{}", response.head.status.0, self.site.error);
        let path = Path { object: Some(name.into()), ..self.request.path.clone() };
        let mut page = self.next.call(self.request.subrequest(Method::Get, path).by("SW")).await;
        if !page.head.status.is_success() {
            return response;
        }
        page.head.status = response.head.status;
        page
    }

    async fn rows(&self, prefix: &str, more: &str) -> Result<Vec<Row>, Box<Response>> {
        let mut request =
            self.request.subrequest(Method::Get, Path { object: None, ..self.request.path.clone() }).by("SW");
        let query = format!("format=json&delimiter=/&prefix={}{more}", quote(prefix.as_bytes()));
        request.query = Query::parse(query.as_bytes());
        let response = self.next.call(request).await;
        if !response.head.status.is_success() {
            return Err(Box::new(response));
        }
        let body = collect(response.body, PAGE_MAX).await;
        let rows = body.map(|body| if body.is_empty() { Some(Vec::new()) } else { page::rows(&body) });
        rows.flatten().ok_or_else(|| Box::new(respond::standard(Status(503))))
    }

    async fn listing(&self, prefix: &str) -> Response {
        let label = self.label();
        if !is_true(&self.site.listings) {
            let body = page::disabled(&label, &self.css(prefix), &self.site.index);
            return self.failed(html(Status(404), body)).await;
        }
        let rows = match self.rows(prefix, "").await {
            Ok(rows) if rows.is_empty() && !prefix.is_empty() => {
                return self.failed(respond::standard(Status(404))).await;
            }
            Ok(rows) => rows,
            Err(refused) => return self.failed(*refused).await,
        };
        let links =
            Links::of(&self.request.query, matches!(self.request.authority, crate::request::Authority::Signed { .. }));
        let body = page::listing(&label, &self.css(prefix), prefix, &rows, &links);
        html(Status(200), body).header("X-Backend-Content-Generator", "staticweb")
    }

    /// What the page calls itself: the path, or the owner's name for the container and the path in it.
    fn label(&self) -> String {
        let path = &self.request.path;
        let (container, object) =
            (path.container.as_deref().unwrap_or_default(), path.object.as_deref().unwrap_or_default());
        if self.site.label.is_empty() {
            format!("/v1/{}/{container}/{object}", path.account)
        } else {
            format!("{}/{object}", self.site.label)
        }
    }

    /// Where the style sheet is, seen from a listing of `prefix`.
    fn css(&self, prefix: &str) -> String {
        let css = &self.site.css;
        if css.is_empty() {
            String::new()
        } else if css.starts_with('/') || css.starts_with("http://") || css.starts_with("https://") {
            quote(css.as_bytes()).replace("%3A", ":")
        } else {
            format!("{}{}", "../".repeat(prefix.matches('/').count()), quote(css.as_bytes()))
        }
    }

    /// Sends a browser to the same name with a slash, so that the links of the page fit.
    fn with_slash(&self) -> Response {
        let base = self.config.staticweb_url_base.clone().unwrap_or_else(|| {
            let scheme = self.config.storage_url_scheme.as_deref().unwrap_or("http");
            format!("{scheme}://{}", self.request.headers.get_str("Host").unwrap_or_default())
        });
        let location = format!("{base}/v1{}/", self.request.path.quoted());
        respond::standard(Status(301)).header("Location", location)
    }
}

fn html(status: Status, body: String) -> Response {
    Response::full(status, "text/html; charset=UTF-8", body)
}
