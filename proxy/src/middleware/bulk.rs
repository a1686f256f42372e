//! bulk: many objects with one request: `PUT ?extract-archive=tar|tar.gz|tar.bz2` stores the files of an archive, `POST
//! ?bulk-delete` deletes the objects and containers that its body names, a line each.
//!
//! The answer is 200 at once, with blanks while the work goes on; how it went stands in its body. Every request of the work is
//! asked as the caller. The archive is read as it comes: a piece at a time, whatever it claims to hold.

mod archive;
mod delete;
mod extract;
mod tar;
#[cfg(test)]
mod tests;
mod unpack;

use crate::middleware::listing_formats::accepted;
use crate::middleware::report::{Report, status_line};
use crate::middleware::work::Heartbeat;
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::http::server::{LocalFuture, Response};
use base::http::{Method, Status};
use base::io::Job;
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::Duration;
use unpack::Compression;

/// Bounds of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Containers an archive may create.
    pub max_containers_per_extraction: usize,
    /// Failures that end an extraction.
    pub max_failed_extractions: usize,
    /// Names of one deletion.
    pub max_deletes_per_request: usize,
    /// Failures that end a deletion.
    pub max_failed_deletes: usize,
    /// Between two blanks.
    pub yield_frequency: Duration,
    /// Deletions at once.
    pub delete_concurrency: usize,
    /// How often a deletion is asked for again that met a conflict: a container whose last rows are on their way.
    pub delete_container_retry_count: u32,
    /// Longest name of container and object with its slashes, in bytes.
    pub max_path_length: usize,
    /// Longest file, in bytes.
    pub max_file_size: u64,
}

impl Settings {
    /// The sections of `/info`.
    pub(crate) fn documents(&self) -> [(&'static str, Value); 2] {
        let upload = json!({
            "max_containers_per_extraction": self.max_containers_per_extraction,
            "max_failed_extractions": self.max_failed_extractions,
        });
        let delete = json!({
            "max_deletes_per_request": self.max_deletes_per_request,
            "max_failed_deletes": self.max_failed_deletes,
        });
        [("bulk_upload", upload), ("bulk_delete", delete)]
    }
}

/// The layer.
pub struct Bulk {
    settings: Rc<Settings>,
    next: Rc<dyn Application>,
}

impl Bulk {
    /// Around `next`.
    pub fn new(settings: Settings, next: Rc<dyn Application>) -> Self {
        Self { settings: Rc::new(settings), next }
    }
}

impl Application for Bulk {
    fn call(&self, request: ClientRequest) -> Job<Response> {
        let (settings, next) = (Rc::clone(&self.settings), Rc::clone(&self.next));
        let format = accepted_format(&request);
        let every = self.settings.yield_frequency;
        let response = match request.method {
            Method::Post | Method::Delete if request.query.get("bulk-delete").is_some() => {
                begin(format, every, "delete", Box::pin(delete::run(settings, next, request)))
            }
            Method::Put if request.query.get("extract-archive").is_some() => match compression(&request) {
                None => respond::told(Status(400), "Unsupported archive format"),
                Some(kind) => begin(format, every, "extract", Box::pin(extract::run(settings, next, request, kind))),
            },
            _ => return self.next.call(request),
        };
        Job::ready(response)
    }
}

fn compression(request: &ClientRequest) -> Option<Compression> {
    let kind = request.query.get("extract-archive")?.to_ascii_lowercase();
    match kind.trim_ascii() {
        b"tar" | b".tar" => Some(Compression::Plain),
        b"tar.gz" | b".tar.gz" => Some(Compression::Gzip),
        b"tar.bz2" | b".tar.bz2" => Some(Compression::Bzip2),
        _ => None,
    }
}

fn accepted_format(request: &ClientRequest) -> Option<&'static str> {
    accepted(request.headers.get("Accept").map(|value| value.as_ref()))
}

/// The answer whose body comes when the work is done.
fn begin(
    format: Option<&'static str>,
    every: Duration,
    root: &'static str,
    work: LocalFuture<'static, Outcome>,
) -> Response {
    let shown = format.unwrap_or("text/plain");
    let nothing = if root == "delete" { &delete::COUNTED[..] } else { &extract::COUNTED[..] };
    let text: LocalFuture<'static, String> = Box::pin(async move {
        let outcome = if format.is_some() { work.await } else { Outcome::failed(Status(406), nothing) };
        outcome.report().render(shown, root)
    });
    let mut body = Heartbeat::new(text, every);
    if shown.ends_with("/xml") {
        body = body.beginning("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    }
    // Who can read none of the forms is told so in the one that Swift's errors have.
    let kind = format.unwrap_or("text/html; charset=UTF-8");
    Response::stream(Status(200), None, Box::new(body)).header("Content-Type", kind)
}

/// How it went.
#[derive(Debug)]
struct Outcome {
    status: Status,
    text: String,
    /// What was counted, by Swift's names.
    counts: Vec<(&'static str, u64)>,
    /// Names, percent-encoded, and what went wrong.
    failed: Vec<(String, String)>,
}

impl Outcome {
    /// It did not begin: the status says all, and nothing was done.
    fn failed(status: Status, counted: &[&'static str]) -> Outcome {
        let counts = counted.iter().map(|name| (*name, 0)).collect();
        Outcome { status, text: String::new(), counts, failed: Vec::new() }
    }

    fn report(self) -> Report {
        let mut report = Report { errors: self.failed, ..Report::default() };
        for (name, count) in self.counts {
            report.fields.insert(name.into(), count.into());
        }
        report.fields.insert("Response Body".into(), self.text.into());
        report.fields.insert("Response Status".into(), status_line(self.status).into());
        report
    }
}
