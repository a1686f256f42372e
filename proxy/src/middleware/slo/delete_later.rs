//! `DELETE ?multipart-manifest=delete&async=yes`: the manifest goes at once; what it names is left to the expirer, a row each in
//! the queue of expiring objects, as Swift's proxies write them.

use super::Slo;
use super::delete::{self, Waiting};
use super::manifest::target;
use crate::constraints::{EXPIRER_ACCOUNT, expirer_container};
use crate::middleware::early_right::authorize_early;
use crate::request::{Authority, ClientRequest};
use crate::respond;
use base::http::server::{RequestBody, Response};
use base::http::{Method, Status};
use base::names::Path;
use base::quote::{Query, quote};
use serde_json::{Value, json};
use std::collections::BTreeSet;

type Refused<T> = Result<T, Box<Response>>;

/// Deletes the manifest; objects in several containers and manifests in it are refused, as in Swift.
pub(super) async fn delete(slo: Slo, mut request: ClientRequest) -> Refused<Response> {
    let manifest = Waiting::manifest(&request);
    let parts = delete::parts(&slo, &request, &manifest).await;
    let parts = parts.map_err(|(status, text)| refuse(status, text))?;
    if let Some(first) = parts.first() {
        check_parts(&parts)?;
        authorize(&slo, &request, request.path.clone()).await?;
        let path = target(&request.path.account, &first.name).ok_or_else(|| refuse(Status(412), String::new()))?;
        authorize(&slo, &request, path).await?;
        enqueue(&slo, &request, &parts).await?;
    }
    let version = request.query.get("version-id").map(|version| format!("version-id={}", quote(version)));
    request.query = Query::parse(version.unwrap_or_default().as_bytes());
    Ok(slo.next.call(request).await)
}

fn check_parts(parts: &[Waiting]) -> Refused<()> {
    let containers: BTreeSet<&str> = parts.iter().filter_map(|part| part.name.split('/').nth(1)).collect();
    if containers.len() > 1 {
        let quoted: Vec<String> = containers.iter().map(|name| format!("\"{}\"", quote(name.as_bytes()))).collect();
        let text = format!("All segments must be in one container. Found segments in {}", quoted.join(", "));
        return Err(refuse(Status(400), text));
    }
    if parts.iter().any(|part| part.is_manifest) {
        return Err(refuse(Status(400), "No segments may be large objects.".to_owned()));
    }
    Ok(())
}

/// The expirer asks nobody: the caller's right to delete there is asked now.
async fn authorize(slo: &Slo, request: &ClientRequest, path: Path) -> Refused<()> {
    let mut asked = request.subrequest(Method::Delete, path).by("SLO");
    let fields = slo.application.container_headers(&asked).await;
    authorize_early(&slo.config, &slo.application, &mut asked, fields.get_str("X-Container-Write")).await
}

async fn enqueue(slo: &Slo, request: &ClientRequest, parts: &[Waiting]) -> Refused<()> {
    let path = &request.path;
    let hash = slo.config.hash_path.hash(&path.account, path.container.as_deref(), path.object.as_deref());
    let container = expirer_container(request.timestamp.seconds(), &hash.0);
    let queue = Path { account: EXPIRER_ACCOUNT.into(), container: Some(container.into()), object: None };
    let mut update = request.subrequest(Method::Update, queue).by("SLO");
    update.authority = Authority::Granted;
    let rows: Vec<Value> = parts.iter().map(|part| row(request, part)).collect();
    update.body = RequestBody::full(Value::Array(rows).to_string());
    let answer = slo.application.call(update).await;
    if answer.head.status.is_success() {
        return Ok(());
    }
    tracing::error!(target: "proxy", status = answer.head.status.0, "the expirer's queue does not take the segments");
    Err(Box::new(respond::standard(Status(503))))
}

/// A job of the expirer: `<when>-<account>/<container>/<object>`, of the type that says that the object has no time of its own.
fn row(request: &ClientRequest, part: &Waiting) -> Value {
    let name = part.name.trim_start_matches('/');
    json!({
        "name": format!("{}-{}/{name}", request.timestamp.normal(), request.path.account),
        "deleted": 0,
        "created_at": request.timestamp.internal(),
        "etag": "d41d8cd98f00b204e9800998ecf8427e",
        "size": 0,
        "storage_policy_index": 0,
        "content_type": "application/async-deleted",
    })
}

fn refuse(status: Status, text: String) -> Box<Response> {
    let challenge = (status == Status(401)).then_some("Swift realm=\"unknown\"");
    let mut response = if text.is_empty() { respond::standard(status) } else { respond::told(status, text) };
    if let Some(challenge) = challenge {
        response.head.headers.set("Www-Authenticate", challenge);
    }
    Box::new(response)
}
