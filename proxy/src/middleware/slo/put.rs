//! `PUT ?multipart-manifest=put`: what the manifest names is looked at, then the manifest is stored.

use super::manifest::{Found, Part, Refused, parse, target};
use super::stored::{Stored, Writer};
use super::{MARK, STORED_ETAG, STORED_SIZE, Slo, flag, report_format};
use crate::constraints::content_type;
use crate::middleware::listing_formats::collect;
use crate::middleware::report::{Report, status_line};
use crate::middleware::work::{Heartbeat, Pile};
use crate::pipeline::Application;
use crate::request::ClientRequest;
use crate::respond;
use base::checksum::md5_hex;
use base::http::server::{BodyError, LocalFuture, RequestBody, Response, ResponseBody};
use base::http::{Method, Status};
use base::names::Path;
use base::quote::quote;
use std::collections::BTreeMap;

/// Where the listing's ETag is said.
const LISTED_ETAG: &str = "X-Object-Sysmeta-Container-Update-Override-Etag";

/// Stores the manifest, or says what is wrong with it.
pub(super) async fn put(slo: Slo, mut request: ClientRequest) -> Response {
    if request.refusal.is_some() {
        // Too much whatever its parts are: who may write is told so before they are looked at.
        return slo.next.call(request).await;
    }
    let format = report_format(&request).unwrap_or("text/plain");
    let parts = match read(&slo, &mut request).await {
        Ok(parts) => parts,
        Err(refused) => return *refused,
    };
    if !flag(&request, "heartbeat") {
        return store(slo, request, parts).await.answer(format);
    }
    let every = slo.settings().yield_frequency;
    let work = Box::pin(async move { store(slo, request, parts).await.report(format).await });
    let body = Heartbeat::new(work, every).greeting();
    Response::stream(Status(202), None, Box::new(body)).header("Content-Type", format)
}

/// The manifest as sent, as far as it can be judged alone.
async fn read(slo: &Slo, request: &mut ClientRequest) -> Result<Vec<Part>, Box<Response>> {
    if !request.body.is_framed() {
        return Err(Box::new(respond::standard(Status(411))));
    }
    let settings = slo.settings();
    let too_large = |text: String| Box::new(respond::told(Status(413), text));
    let body = request.body.collect(settings.max_manifest_size).await.map_err(|error| match error {
        None => too_large(format!("Manifest File > {} bytes", settings.max_manifest_size)),
        Some(BodyError::Disconnected) => Box::new(respond::standard(Status(499))),
        Some(BodyError::TimedOut) => Box::new(respond::standard(Status(408))),
        Some(BodyError::Malformed) => Box::new(respond::standard(Status(400))),
    })?;
    let parts = parse(&body, &request.path, settings.max_manifest_segments).map_err(|refused| match refused {
        Refused::Bad(text) => Box::new(respond::told(Status(400), text)),
        Refused::Parts(text) => Box::new(respond::bad_request(text)),
        Refused::TooMany => {
            too_large(format!("Number of object-backed segments must be <= {}", settings.max_manifest_segments))
        }
    })?;
    Ok(parts)
}

/// How it went.
enum Outcome {
    /// Parts are not as the manifest says.
    Problems(Vec<(String, String)>),
    /// The whole is not what the client's ETag says.
    Mismatch,
    /// What the store said, and the ETag of the whole.
    Asked(Response, String),
}

async fn store(slo: Slo, mut request: ClientRequest, parts: Vec<Part>) -> Outcome {
    let mut checked = match check(&slo, &request, &parts).await {
        Ok(checked) => checked.into_iter(),
        Err(problems) => return Outcome::Problems(problems),
    };
    let mut writer = Writer::new();
    for part in &parts {
        match part {
            Part::Data(bytes) => writer.add_data(bytes),
            Part::Object(_) => {
                if let Some(object) = checked.next() {
                    writer.add_object(&object);
                }
            }
        }
    }
    let (json, etag, length) = writer.finish();
    let sent = request.headers.get("Etag").map(|value| respond::bare_etag(value).to_vec());
    if sent.is_some_and(|sent| !sent.is_empty() && sent != etag.as_bytes()) {
        return Outcome::Mismatch;
    }
    let own_etag = md5_hex(&json);
    let object = request.path.object.clone().unwrap_or_default();
    let headers = &mut request.headers;
    // Listings show both ETags; whoever stands before us may have set the first.
    let listed = match headers.get_str(LISTED_ETAG) {
        Some(listed) => match listed.split_once(';') {
            Some(("", parameters)) => format!("{own_etag};{parameters}; slo_etag={etag}"),
            _ => format!("{listed}; slo_etag={etag}"),
        },
        None => format!("{own_etag}; slo_etag={etag}"),
    };
    headers.set(LISTED_ETAG, listed);
    headers.set(STORED_ETAG, etag.clone());
    headers.set(STORED_SIZE, length.to_string());
    headers.set(MARK, "True");
    headers.set("Etag", own_etag);
    let kind = content_type(headers, &object);
    headers.remove("X-Detect-Content-Type");
    headers.set("Content-Type", format!("{kind};swift_bytes={length}"));
    headers.set("X-Backend-Content-Type-Overridden", "yes");
    request.body = RequestBody::full(json);
    Outcome::Asked(slo.next.call(request).await, etag)
}

type Problems = Vec<(String, String)>;

/// Looks at every object once, however often it is named. What is found comes in the order of the parts; what is wrong, all of
/// an object where it is named first.
async fn check(slo: &Slo, request: &ClientRequest, parts: &[Part]) -> Result<Vec<Stored>, Problems> {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places: Vec<(&str, Vec<usize>)> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let Part::Object(wanted) = part else { continue };
        let at = *first.entry(&wanted.path).or_insert(places.len());
        match places.get_mut(at) {
            Some((_, places)) => places.push(place),
            None => places.push((&wanted.path, vec![place])),
        }
    }
    let mut pile = Pile::new(slo.settings().concurrency);
    let mut waiting = places.iter();
    let (mut checked, mut problems) = (BTreeMap::new(), BTreeMap::new());
    // Ends: every path is asked for once.
    loop {
        while !pile.is_full()
            && let Some((path, places)) = waiting.next()
        {
            pile.push(look(slo, request, path, places.clone()));
        }
        let Some((places, found)) = pile.next().await else { break };
        let mut wrong = Vec::new();
        let named_first = places.first().copied();
        for place in places {
            let Some(Part::Object(wanted)) = parts.get(place) else { continue };
            let name = || quote(wanted.path.as_bytes());
            match &found {
                Ok(found) => match wanted.check(found, place + 1 == parts.len()) {
                    Ok(part) => {
                        checked.insert(place, part);
                    }
                    Err(texts) => wrong.extend(texts.into_iter().map(|text| (name(), text.to_owned()))),
                },
                Err(status) => wrong.push((name(), status_line(*status))),
            }
        }
        if !wrong.is_empty() {
            problems.insert(named_first, wrong);
        }
    }
    if problems.is_empty() {
        Ok(checked.into_values().collect())
    } else {
        Err(problems.into_values().flatten().collect())
    }
}

type Looked = (Vec<usize>, Result<Found, Status>);

/// A HEAD as the caller; of a manifest, as of the whole it stands for.
fn look(slo: &Slo, request: &ClientRequest, path: &str, places: Vec<usize>) -> LocalFuture<'static, Looked> {
    let head = target(&request.path.account, path)
        .map(|path: Path| slo.call(request.subrequest(Method::Head, path).by("SLO")));
    Box::pin(async move {
        let Some(head) = head else { return (places, Err(Status(412))) };
        let response = head.await;
        if !response.head.status.is_success() {
            return (places, Err(response.head.status));
        }
        (places, Found::read(&response.head.headers).ok_or(Status(503)))
    })
}

impl Outcome {
    /// The answer to who waited for it.
    fn answer(self, format: &'static str) -> Response {
        match self {
            Outcome::Problems(errors) => {
                let report = Report { errors, ..Report::default() };
                Response::full(Status(400), format, report.render(format, "upload"))
            }
            Outcome::Mismatch => respond::standard(Status(422)),
            Outcome::Asked(mut response, etag) => {
                if response.head.status.is_success() {
                    response.head.headers.set("Etag", format!("\"{etag}\""));
                }
                response
            }
        }
    }

    /// The same in the body of an answer that has begun.
    async fn report(self, format: &'static str) -> String {
        let mut report = Report::default();
        let (status, mut text) = match self {
            Outcome::Problems(errors) => {
                report.errors = errors;
                (Status(400), None)
            }
            Outcome::Mismatch => (Status(422), None),
            Outcome::Asked(mut response, etag) => {
                let status = response.head.status;
                if status.is_success() {
                    report.fields.insert("Etag".into(), format!("\"{etag}\"").into());
                    let modified = response.head.headers.get_str("Last-Modified").unwrap_or_default();
                    report.fields.insert("Last Modified".into(), modified.into());
                }
                let body = std::mem::replace(&mut response.body, ResponseBody::Empty);
                let body = collect(body, EXPLANATION_MAX).await.unwrap_or_default();
                (status, Some(String::from_utf8_lossy(&body).into_owned()))
            }
        };
        if text.is_none() {
            text = Some(format!("{}\n{}", status.reason(), respond::explanation(status)));
        }
        report.fields.insert("Response Status".into(), status_line(status).into());
        report.fields.insert("Response Body".into(), text.unwrap_or_default().into());
        report.render(format, "upload")
    }
}

/// Longer than any explanation of a status.
const EXPLANATION_MAX: usize = 64 * 1024;
