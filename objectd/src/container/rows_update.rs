//! UPDATE of a container: many rows in one JSON list, merged at once (specs §2.2). A queue of the system's own comes into being
//! by its first rows.

use super::{requested_policy, row_put};
use crate::db::key::NAME_BYTES_MAX;
use crate::db::lifecycle::{self, Change};
use crate::db::object_row::ObjectUpdate;
use crate::db::service::{self, Answer, Service};
use crate::reply;
use base::http::RequestHead;
use base::http::server::RequestBody;
use base::timestamp::{self, Timestamp};
use serde_json::Value;

/// Bytes of one list: some 10,000 rows with long names, the most a sender batches.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// 202.
pub(super) async fn update(service: &Service, head: &RequestHead, body: &mut RequestBody) -> Answer {
    let time = service::timestamp(head)?;
    let policy = requested_policy(service, head)?.unwrap_or(0);
    let bytes =
        body.collect(BODY_BYTES_MAX).await.map_err(|why| reply::status(if why.is_none() { 413 } else { 499 }))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| reply::text(400, error.to_string()))?;
    let items = value.as_array().ok_or_else(|| reply::text(400, "Invalid object type"))?;
    let updates: Option<Vec<ObjectUpdate>> = items.iter().map(row).collect();
    let updates = updates.ok_or_else(|| reply::text(400, "Invalid row"))?;

    let hash = service.hash;
    let create = row_put::may_create(service, head).then(|| Change { policy: Some(policy), ..service.change(time) });
    let merged =
        service.rows.write(move |write| lifecycle::merge_objects(write, &hash, create.as_ref(), &updates)).await;
    if merged.map_err(|error| service.failed(&error))? { Ok(reply::status(202)) } else { Err(reply::status(404)) }
}

/// One row as replication and UPDATE send it (specs §3.3); `None` when it is none.
pub(crate) fn row(item: &Value) -> Option<ObjectUpdate> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).map(str::to_owned);
    let time = |name: &str| match item.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().and_then(|text| Timestamp::parse(text).ok()).map(Some),
    };
    let update = ObjectUpdate {
        name: text("name")?,
        policy: item.get("storage_policy_index").map_or(Some(0), Value::as_u64)?.try_into().ok()?,
        created_at: text("created_at")?,
        size: item.get("size")?.as_i64()?,
        content_type: text("content_type")?,
        etag: text("etag")?,
        deleted: item.get("deleted")?.as_i64()? != 0,
        content_type_time: time("ctype_timestamp")?,
        metadata_time: time("meta_timestamp")?,
    };
    let is_valid = update.name.len() <= NAME_BYTES_MAX && timestamp::decode(&update.created_at, false).is_ok();
    is_valid.then_some(update)
}
