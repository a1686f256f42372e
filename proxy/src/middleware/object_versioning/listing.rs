//! `?versions`: the rows of a container and those of its versions, as one listing.

use super::container::{Row, rows};
use super::names::{DELETE_MARKER, parse_version, reserved, split, version_object};
use super::{ObjectVersioning, Refused, refuse};
use crate::request::ClientRequest;
use base::config::is_true;
use base::http::Method;
use base::names::Path;
use base::quote::{Query, quote};
use base::timestamp::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// `primary` are the container's own rows; links among them still have the path of their version.
pub(super) async fn with_versions(
    layer: &ObjectVersioning,
    asked: &ClientRequest,
    versions: &str,
    primary: Vec<Row>,
) -> Refused<Vec<Row>> {
    let query = versions_query(&asked.query)?;
    let path = Path { container: Some(versions.into()), ..asked.path.clone() };
    // A listing of what is not there is dear: every node is asked.
    let probe = asked.subrequest(Method::Head, path.clone()).by("OV");
    let is_there = !layer.application.container_headers(&probe).await.is_empty();
    let mut second = None;
    if is_there {
        let mut get = layer.granted(asked, Method::Get, path);
        get.query = query;
        let mut response = layer.next.call(get).await;
        match response.head.status.0 {
            200..=299 => second = rows(&mut response).await,
            404 => {}
            _ => return Err(Box::new(response)),
        }
    }
    let most = layer.config.constraints.container_listing_limit;
    let limit = asked.query.get("limit").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(most);
    let is_reversed = asked.query.get("reverse").is_some_and(|value| std::str::from_utf8(value).is_ok_and(is_true));
    let mut merged = merge(primary, second);
    merged.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    if is_reversed {
        // Rows of one name stay in their order, as Python's sort leaves them.
        merged.sort_by(|a, b| name_of(b).cmp(name_of(a)));
    }
    merged.truncate(limit.min(most));
    Ok(merged)
}

/// The client's parameters, about names of versions.
fn versions_query(query: &Query) -> Refused<Query> {
    let text = |name: &str| query.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let marker = match (text("marker"), text("version_marker")) {
        (None, None) => None,
        (None, Some(_)) => return Err(refuse(400, "version_marker param requires marker")),
        // Behind all versions of this name, whose times are digits; before them; behind one.
        (Some(object), None) => Some(reserved(&[&object, ":"])),
        (Some(object), Some(version)) if version == "null" => Some(reserved(&[&object, ""])),
        (Some(object), Some(version)) => {
            let id = Timestamp::parse(&version).map_err(|_| refuse(400, "invalid version_marker param"))?;
            Some(version_object(&object, id))
        }
    };
    let delimiter = text("delimiter");
    if delimiter.as_deref().is_some_and(|text| text.contains(|c: char| c.is_ascii_digit() || matches!(c, '.' | '\0'))) {
        return Err(refuse(400, "invalid delimiter param"));
    }
    let prefix = text("prefix").map(|prefix| reserved(&[&prefix]));
    let parameters = [
        ("prefix", prefix),
        ("marker", marker),
        ("limit", text("limit")),
        ("delimiter", delimiter),
        ("reverse", text("reverse")),
    ];
    let said = parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let said: Vec<String> = said.map(|(name, value)| format!("{name}={}", quote(value.as_bytes()))).collect();
    Ok(Query::parse(said.join("&").as_bytes()))
}

/// All rows, each with its version and whether it is the newest. Without a second listing, links are all that is known.
pub(super) fn merge(primary: Vec<Row>, second: Option<Vec<Row>>) -> Vec<Row> {
    let (mut merged, mut subdirs) = (Vec::new(), BTreeSet::new());
    let (mut links, mut latest) = (BTreeMap::new(), BTreeSet::new());
    for mut row in primary {
        if let Some(subdir) = row.get("subdir").and_then(Value::as_str) {
            subdirs.insert(subdir.to_owned());
        } else if let Some(target) = linked_version(&row) {
            links.insert(target, row);
        } else {
            latest.insert(name_of(&row).to_owned());
            row.insert("version_id".into(), "null".into());
            row.insert("is_latest".into(), true.into());
            merged.push(row);
        }
    }
    for mut row in second.unwrap_or_default() {
        if let Some(subdir) = row.get("subdir").and_then(Value::as_str) {
            // The name between the two NULs, as far as the delimiter.
            let shown = split(subdir).map_or_else(|| subdir.trim_start_matches('\0'), |(name, _)| name);
            subdirs.insert(shown.to_owned());
            continue;
        }
        let stored = name_of(&row).to_owned();
        let Some((name, id)) = parse_version(&stored) else { continue };
        let is_marker = row.get("content_type").and_then(Value::as_str) == Some(DELETE_MARKER);
        // The newest stands first: a marker without anything newer is what there is.
        let is_latest = links.remove(&stored).is_some() || (is_marker && !latest.contains(name));
        if is_latest {
            latest.insert(name.to_owned());
        }
        row.insert("is_latest".into(), is_latest.into());
        row.insert("version_id".into(), id.into());
        row.insert("name".into(), name.into());
        merged.push(row);
    }
    merged.extend(subdirs.into_iter().map(|subdir| Row::from_iter([("subdir".to_owned(), Value::from(subdir))])));
    merged.extend(links.iter().filter_map(|(target, row)| broken(target, row)));
    merged
}

/// The version that this row of a link stands for.
fn linked_version(row: &Row) -> Option<String> {
    row.get("version_symlink")?;
    let path = row.get("symlink_path")?.as_str()?.strip_prefix("/v1")?;
    Path::parse_reserved(path.as_bytes()).ok()?.object.map(String::from)
}

/// A link whose version is not listed: beyond this page, or gone.
fn broken(target: &str, row: &Row) -> Option<Row> {
    let (name, id) = parse_version(target)?;
    let mut shown = Row::new();
    shown.insert("name".into(), name.into());
    shown.insert("is_latest".into(), json!(true));
    shown.insert("version_id".into(), id.into());
    for field in ["content_type", "bytes", "hash", "last_modified"] {
        shown.insert(field.into(), row.get(field).cloned().unwrap_or_default());
    }
    Some(shown)
}

/// What a listing is sorted by.
fn name_of(row: &Row) -> &str {
    row.get("name").or(row.get("subdir")).and_then(Value::as_str).unwrap_or_default()
}
