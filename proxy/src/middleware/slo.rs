//! slo: static large objects. A manifest (`PUT ?multipart-manifest=put`) names objects, or carries bytes, that read as one object.
//!
//! - A PUT asks for every object named (as the caller: who may not read one cannot point to it) and stores a manifest with
//!   their sizes and ETags; `put` tells it. Listings show the size of the whole.
//! - A GET opens one object after the other, when its turn comes; `read` decides, `segments` streams. What is not as the
//!   manifest says ends it: 409 before the first byte, a cut body later.
//! - A manifest may name manifests, [`DEPTH_MAX`] deep.
//! - `DELETE ?multipart-manifest=delete` deletes what the manifest names, then the manifest; `delete` tells it. With `async=yes`
//!   the objects are left to the expirer; `delete_later` tells it.
//! - No request by signature stores a manifest: a signature does not cover the query that asks for one.

mod base64;
mod delete;
mod delete_later;
mod elements;
mod listing;
mod manifest;
mod put;
mod read;
mod segments;
mod stored;

use crate::config::Config;
use crate::middleware::listing_formats;
use crate::middleware::segment_rate::Limits;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::config::is_true;
use base::http::server::Response;
use base::http::{Headers, Method, Status};
use base::io::Job;
use std::rc::Rc;
use std::time::Duration;

/// Says what is a manifest.
const MARK: &str = "X-Static-Large-Object";
/// ETag and length of the whole, where the manifest is stored.
const STORED_ETAG: &str = "X-Object-Sysmeta-Slo-Etag";
const STORED_SIZE: &str = "X-Object-Sysmeta-Slo-Size";
/// How many manifests may stand in one another.
const DEPTH_MAX: usize = 10;
/// Most bytes of a stored manifest: what a PUT allows, and what is added of each object.
const STORED_MAX: usize = 64 * 1024 * 1024;

/// Settings of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Objects one manifest may name.
    pub max_manifest_segments: usize,
    /// Bytes of a manifest as sent.
    pub max_manifest_size: usize,
    /// Objects asked for at once by a PUT.
    pub concurrency: usize,
    /// Objects deleted at once.
    pub delete_concurrency: usize,
    /// How often a waiting client gets a blank.
    pub yield_frequency: Duration,
    /// How fast segments are opened.
    pub limits: Limits,
    /// Whether a DELETE may leave the objects to the expirer (`async=yes`).
    pub allow_async_delete: bool,
}

impl Settings {
    /// For `/info`.
    pub fn document(&self) -> serde_json::Value {
        serde_json::json!({
            "max_manifest_segments": self.max_manifest_segments,
            "max_manifest_size": self.max_manifest_size,
            "yield_frequency": self.yield_frequency.as_secs(),
            "min_segment_size": 1,
            "allow_async_delete": self.allow_async_delete,
        })
    }
}

/// The layer.
#[derive(Clone)]
pub struct Slo {
    config: Rc<Config>,
    next: Rc<dyn Application>,
    application: Rc<dyn Application>,
}

impl Slo {
    /// Around `next`; `application` knows containers and takes rows of the expirer's queue.
    pub fn new(config: Rc<Config>, next: Rc<dyn Application>, application: Rc<dyn Application>) -> Self {
        Self { config, next, application }
    }

    fn settings(&self) -> &Settings {
        &self.config.slo
    }
}

impl Application for Slo {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        // What another cluster sends is the manifest as it is stored.
        if request.path.container.is_none() || request.is_synced {
            return self.next.call(request);
        }
        let next = Rc::clone(&self.next);
        if request.path.object.is_none() {
            return if request.method == Method::Get { listing::with_etags(next, request) } else { next.call(request) };
        }
        let asked = |verb: &str| request.query.get("multipart-manifest") == Some(verb.as_bytes());
        match request.method {
            Method::Get | Method::Head => read::read(next, request, self.settings().limits),
            Method::Put if asked("put") => Job::new(put::put(self.clone(), request)),
            Method::Delete if asked("delete") && self.settings().allow_async_delete && flag(&request, "async") => {
                let deletion = delete_later::delete(self.clone(), request);
                Job::new(async move { deletion.await.unwrap_or_else(|refused| *refused) })
            }
            Method::Delete if asked("delete") => Job::ready(delete::delete(self.clone(), request)),
            _ if request.headers.contains(MARK) => Job::ready(respond::told(Status(400), RESERVED)),
            _ => next.call(request),
        }
    }
}

const RESERVED: &str = "X-Static-Large-Object is a reserved header. To create a static large object add query param multipart-manifest=put.";

fn is_manifest(headers: &Headers) -> bool {
    headers.get_str(MARK).is_some_and(is_true)
}

/// Which format of report the caller wants; `None` when it is none of ours.
fn report_format(request: &ClientRequest) -> Option<&'static str> {
    listing_formats::accepted(request.headers.get("Accept").map(|value| value.as_ref()))
}

fn flag(request: &ClientRequest, name: &str) -> bool {
    request.query.get(name).and_then(|value| std::str::from_utf8(value).ok()).is_some_and(is_true)
}

#[cfg(test)]
mod paced_tests;
#[cfg(test)]
mod tests;
