//! `DELETE ?multipart-manifest=delete`: what a manifest names, manifests in it, and at last the manifest itself.
//!
//! The answer begins at once where it takes long, so that its real status stands in a report in the body.

use super::manifest::target;
use super::stored::{self, Kind};
use super::{MARK, STORED_MAX, Slo, is_manifest, report_format};
use crate::middleware::listing_formats::collect;
use crate::middleware::report::{Report, status_line};
use crate::middleware::work::{Heartbeat, Pile};
use crate::request::{ClientRequest, add_name};
use crate::respond;
use base::http::server::{LocalFuture, Response};
use base::http::{Method, Status};
use base::names::Name;
use base::quote::{Query, quote};
use std::collections::VecDeque;

/// More failures than this end it.
const FAILURES_MAX: usize = 1_000;

/// Starts the work.
pub(super) fn delete(slo: Slo, request: ClientRequest) -> Response {
    let format = report_format(&request);
    let shown = format.unwrap_or("text/plain");
    let every = slo.settings().yield_frequency;
    let work: LocalFuture<'static, String> = match format {
        Some(format) => Box::pin(async move { Deletion::new(slo, request).run().await.render(format, "delete") }),
        None => Box::pin(async move {
            let mut deletion = Deletion::new(slo, request);
            deletion.status = Status(406);
            deletion.text = respond::explanation(Status(406)).to_owned();
            deletion.report().render("text/plain", "delete")
        }),
    };
    let mut body = Heartbeat::new(work, every);
    if shown.ends_with("/xml") {
        body = body.beginning("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    }
    Response::stream(Status(200), None, Box::new(body)).header("Content-Type", shown)
}

/// What is still to be deleted.
pub(super) struct Waiting {
    /// `/container/object`
    pub(super) name: String,
    /// Its parts first.
    pub(super) is_manifest: bool,
    version: Option<Vec<u8>>,
}

impl Waiting {
    /// The object that a request names.
    pub(super) fn manifest(request: &ClientRequest) -> Waiting {
        let part = |name: &Option<Name>| name.clone().unwrap_or_default();
        let name = format!("/{}/{}", part(&request.path.container), part(&request.path.object));
        Waiting { name, is_manifest: true, version: request.query.get("version-id").map(<[u8]>::to_vec) }
    }
}

pub(super) struct Deletion {
    slo: Slo,
    request: ClientRequest,
    waiting: VecDeque<Waiting>,
    deleted: u64,
    not_found: u64,
    failed: Vec<(String, String)>,
    status: Status,
    text: String,
}

impl Deletion {
    pub(super) fn new(slo: Slo, request: ClientRequest) -> Deletion {
        let waiting = VecDeque::from([Waiting::manifest(&request)]);
        let (status, text) = (Status(200), String::new());
        Deletion { slo, request, waiting, deleted: 0, not_found: 0, failed: Vec::new(), status, text }
    }

    pub(super) async fn run(mut self) -> Report {
        let longest = self.slo.settings().max_manifest_segments.saturating_mul(10);
        let mut pile = Pile::new(self.slo.settings().delete_concurrency);
        // Ends: every manifest is opened once for each time it is named, and what waits is bounded.
        loop {
            while !pile.is_full()
                && let Some(next) = self.waiting.pop_front()
            {
                if self.waiting.len() > longest {
                    self.refuse("Too many buffered slo segments to delete.");
                    return self.report();
                }
                if next.is_manifest {
                    self.expand(next).await;
                } else {
                    pile.push(self.ask(next));
                }
            }
            let Some((name, status)) = pile.next().await else { break };
            self.count(&name, status);
            if self.failed.len() >= FAILURES_MAX {
                self.waiting.clear();
                self.refuse("Max delete failures exceeded");
            }
        }
        if self.deleted == 0 && self.not_found == 0 && self.failed.is_empty() {
            self.refuse("Invalid bulk delete.");
        }
        self.report()
    }

    fn refuse(&mut self, text: &str) {
        (self.status, self.text) = (Status(400), text.to_owned());
    }

    /// Its parts are put behind what waits, and it behind them.
    async fn expand(&mut self, manifest: Waiting) {
        match parts(&self.slo, &self.request, &manifest).await {
            Ok(parts) => {
                self.waiting.extend(parts);
                self.waiting.push_back(Waiting { is_manifest: false, ..manifest });
            }
            Err((Status(404), _)) => self.not_found += 1,
            Err((_, text)) => self.fail(&manifest.name, text),
        }
    }

    fn ask(&self, waiting: Waiting) -> LocalFuture<'static, (String, Status)> {
        let request = target(&self.request.path.account, &waiting.name).map(|path| {
            let mut delete = self.request.subrequest(Method::Delete, path).by("SLO");
            if let Some(version) = &waiting.version {
                delete.query = Query::parse(format!("version-id={}", quote(version)).as_bytes());
            }
            self.slo.next.call(delete)
        });
        Box::pin(async move {
            match request {
                Some(answer) => (waiting.name, answer.await.head.status),
                None => (waiting.name, Status(412)),
            }
        })
    }

    fn count(&mut self, name: &str, status: Status) {
        match status.0 {
            200..=299 => self.deleted += 1,
            404 => self.not_found += 1,
            _ => {
                self.fail(name, status_line(status));
                if status.is_server_error() {
                    self.status = Status(502);
                }
            }
        }
    }

    fn fail(&mut self, name: &str, text: String) {
        if self.status == Status(200) {
            self.status = Status(400);
        }
        self.failed.push((quote(name.as_bytes()), text));
    }

    fn report(self) -> Report {
        let mut report = Report { errors: self.failed, ..Report::default() };
        report.fields.insert("Response Status".into(), status_line(self.status).into());
        report.fields.insert("Response Body".into(), self.text.into());
        report.fields.insert("Number Deleted".into(), self.deleted.into());
        report.fields.insert("Number Not Found".into(), self.not_found.into());
        report
    }
}

/// The objects a manifest names, asked for as the caller.
pub(super) async fn parts(
    slo: &Slo,
    request: &ClientRequest,
    manifest: &Waiting,
) -> Result<Vec<Waiting>, (Status, String)> {
    let refused = |status: u16, text: &str| (Status(status), text.to_owned());
    let path = target(&request.path.account, &manifest.name);
    let path = path.ok_or_else(|| refused(500, "Unable to load SLO manifest"))?;
    let mut get = request.subrequest(Method::Get, path).by("SLO");
    let version = manifest.version.as_ref().map(|version| format!("&version-id={}", quote(version)));
    get.query = Query::parse(format!("multipart-manifest=get{}", version.unwrap_or_default()).as_bytes());
    // Of what is no manifest one byte is enough.
    get.headers.set("Range", "bytes=-1");
    add_name(&mut get.headers, "X-Backend-Ignore-Range-If-Metadata-Present", MARK);
    let response = slo.next.call(get).await;
    match response.head.status.0 {
        200..=299 | 416 if !is_manifest(&response.head.headers) => Err(refused(400, "Not an SLO manifest")),
        200..=299 => {
            let segments = collect(response.body, STORED_MAX).await.as_deref().and_then(stored::segments);
            let segments = segments.ok_or_else(|| refused(500, "Unable to load SLO manifest"))?;
            let objects = segments.into_iter().filter_map(|segment| match segment.kind {
                Kind::Object(object) => {
                    Some(Waiting { name: object.name, is_manifest: object.is_manifest, version: None })
                }
                Kind::Data(_) => None,
            });
            Ok(objects.collect())
        }
        404 => Err(refused(404, "SLO manifest not found")),
        401 => Err(refused(401, "401 Unauthorized")),
        _ => Err(refused(500, "Unable to load SLO manifest or segment.")),
    }
}
