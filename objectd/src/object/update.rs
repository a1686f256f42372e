//! What a write tells the containers: the object's row and the expirer's queue (specs: object server §6, §7).
//!
//! # Invariants
//!
//! - When a write is answered, each of its updates has either succeeded or stands in a parked record that survives power loss. (A
//!   server that parks only after failure loses the update when it dies in between.)
//! - An update that succeeds after it was parked takes its record away again.
//! - A request waits for its updates at most `container_update_timeout`.

use super::headers::strip_prefix;
use super::{Target, is_set};
use crate::container::{self, Row};
use crate::db::key::NAME_BYTES_MAX;
use crate::db::object_row::ObjectUpdate;
use crate::node::{Device, Node};
use crate::store::diskfile::Object;
use crate::store::metadata::Metadata;
use crate::store::parked;
use crate::store::pending::{Operation, Pending};
use base::http::headers::title_case;
use base::http::{Headers, Method, RequestHead};
use base::io;
use base::quote::{quote, unquote};
use base::timestamp::Timestamp;
use bytes::Bytes;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

/// MD5 of nothing: the ETag of a row of the expirer's queue.
const EMPTY_MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";
/// Account of the expirer's queue.
const QUEUE_ACCOUNT: &str = ".expiring_objects";
/// Seconds of one queue container.
const QUEUE_DIVISOR: u64 = 86_400;
/// Containers among which the names of one day are spread.
const QUEUE_SHARDS: u32 = 100;

/// A row and where it is sent.
pub(super) struct Update {
    record: Pending,
    /// Policy whose `async_pending` parks it.
    policy: u32,
    destination: Destination,
}

enum Destination {
    /// Host and device of each copy, and the partition.
    Servers { partition: String, servers: Vec<(String, String)> },
    /// Parked at once; the updater sends it.
    Updater,
}

/// What a POST made of the object.
pub(super) struct Posted {
    pub(super) content_type: Bytes,
    pub(super) content_type_time: Timestamp,
    /// Of the metadata.
    pub(super) time: Timestamp,
    /// The new X-Delete-At; outer `None` when the POST did not change the metadata.
    pub(super) delete_at: Option<Option<u64>>,
}

/// Of a PUT.
pub(super) fn after_put(
    target: &Target,
    head: &RequestHead,
    metadata: &Metadata,
    timestamp: Timestamp,
    delete_at: Option<u64>,
    old_delete_at: Option<u64>,
) -> Vec<Update> {
    let item = |name| metadata.get(name).cloned().unwrap_or_default();
    let size = item("Content-Length");
    let mut row = vec![
        (Bytes::from_static(b"X-Size"), size.clone()),
        (Bytes::from_static(b"X-Content-Type"), item("Content-Type")),
        (Bytes::from_static(b"X-Timestamp"), timestamp.internal().into()),
        (Bytes::from_static(b"X-Etag"), item("ETag")),
    ];
    override_row(&mut row, &head.headers.iter().collect::<Vec<_>>());
    let mut updates: Vec<Update> = container_update(target, head, Operation::Put, row).into_iter().collect();
    updates.extend(queue_updates(target, head, timestamp, timestamp, &size, delete_at, old_delete_at));
    updates
}

/// Of a POST.
pub(super) fn after_post(target: &Target, head: &RequestHead, object: &Object, posted: Posted) -> Vec<Update> {
    let item = |name| object.data_metadata().get(name).cloned().unwrap_or_default();
    let size = item("Content-Length");
    let mut row = vec![
        (Bytes::from_static(b"X-Size"), size.clone()),
        (Bytes::from_static(b"X-Content-Type"), posted.content_type),
        (Bytes::from_static(b"X-Timestamp"), object.data_timestamp.internal().into()),
        (Bytes::from_static(b"X-Content-Type-Timestamp"), posted.content_type_time.internal().into()),
        (Bytes::from_static(b"X-Meta-Timestamp"), posted.time.internal().into()),
        (Bytes::from_static(b"X-Etag"), item("ETag")),
    ];
    override_row(&mut row, &object.data_metadata().iter().collect::<Vec<_>>());
    let mut updates: Vec<Update> = container_update(target, head, Operation::Put, row).into_iter().collect();
    if let Some(delete_at) = posted.delete_at {
        let old = object.expires();
        updates.extend(queue_updates(target, head, posted.time, object.data_timestamp, &size, delete_at, old));
    }
    updates
}

/// Of a DELETE.
pub(super) fn after_delete(
    target: &Target,
    head: &RequestHead,
    timestamp: Timestamp,
    old_delete_at: Option<u64>,
) -> Vec<Update> {
    let row = vec![(Bytes::from_static(b"X-Timestamp"), timestamp.internal().into())];
    let mut updates: Vec<Update> = container_update(target, head, Operation::Delete, row).into_iter().collect();
    updates.extend(queue_updates(target, head, timestamp, timestamp, &Bytes::new(), None, old_delete_at));
    updates
}

/// Values that the proxy wants in the row instead; the sysmeta prefix wins over the other.
fn override_row(row: &mut Vec<(Bytes, Bytes)>, headers: &[(&Bytes, &Bytes)]) {
    for prefix in [&b"x-backend-container-update-override-"[..], b"x-object-sysmeta-container-update-override-"] {
        for (name, value) in headers {
            let Some(rest) = strip_prefix(name, prefix).filter(|rest| !rest.is_empty()) else { continue };
            let name: Bytes = title_case(&[b"x-", rest].concat()).into();
            match row.iter_mut().find(|(header, _)| *header == name) {
                Some(header) => header.1 = (*value).clone(),
                None => row.push((name, (*value).clone())),
            }
        }
    }
}

fn container_update(
    target: &Target,
    head: &RequestHead,
    operation: Operation,
    mut row: Vec<(Bytes, Bytes)>,
) -> Option<Update> {
    let headers = &head.headers;
    let destination = destination(headers, "X-Container-Partition", "X-Container-Host", "X-Container-Device")?;
    add_common(&mut row, head, target.policy);
    let quoted = headers.get("X-Backend-Quoted-Container-Path").map(|path| unquote(path));
    let path = quoted.or_else(|| headers.get("X-Backend-Container-Path").map(|path| path.to_vec()));
    let record = Pending {
        operation,
        account: target.account.to_string(),
        container: target.container.to_string(),
        object: target.object.to_string(),
        headers: row,
        db_state: headers.get_str("X-Container-Root-Db-State").map(str::to_owned),
        container_path: path.and_then(|path| String::from_utf8(path).ok()).filter(|path| path.contains('/')),
        successes: Vec::new(),
        redirect_history: Vec::new(),
    };
    Some(Update { record, policy: target.policy, destination })
}

fn queue_updates(
    target: &Target,
    head: &RequestHead,
    timestamp: Timestamp,
    data_timestamp: Timestamp,
    size: &Bytes,
    delete_at: Option<u64>,
    old_delete_at: Option<u64>,
) -> Vec<Update> {
    let headers = &head.headers;
    let mut updates = Vec::new();
    if is_set(headers, "X-Backend-Replication") {
        return updates;
    }
    let stamp = || (Bytes::from_static(b"X-Timestamp"), Bytes::from(timestamp.internal()));
    if let Some(second) = delete_at
        && let Some(destination) =
            destination(headers, "X-Delete-At-Partition", "X-Delete-At-Host", "X-Delete-At-Device")
    {
        let mut kind = b"text/plain;swift_expirer_bytes=".to_vec();
        kind.extend_from_slice(size);
        let mut row = vec![
            stamp(),
            (Bytes::from_static(b"X-Size"), Bytes::from_static(b"0")),
            (Bytes::from_static(b"X-Content-Type"), kind.into()),
            (Bytes::from_static(b"X-Etag"), Bytes::from_static(EMPTY_MD5.as_bytes())),
            (Bytes::from_static(b"X-Content-Type-Timestamp"), data_timestamp.internal().into()),
        ];
        add_common(&mut row, head, 0);
        // The proxy's choice of container wins over our own computation.
        let container = headers.get_str("X-Delete-At-Container").filter(|name| !name.is_empty()).map(str::to_owned);
        let container = container.unwrap_or_else(|| queue_container(target, second));
        updates.push(queue_update(target, Operation::Put, container, second, row, destination));
    }
    let is_cleaned = headers.get_str("X-Backend-Clean-Expiring-Object-Queue").is_none()
        || is_set(headers, "X-Backend-Clean-Expiring-Object-Queue");
    if let Some(second) = old_delete_at.filter(|old| is_cleaned && Some(*old) != delete_at) {
        let mut row = vec![stamp()];
        add_common(&mut row, head, 0);
        let container = queue_container(target, second);
        updates.push(queue_update(target, Operation::Delete, container, second, row, Destination::Updater));
    }
    updates
}

fn queue_update(
    target: &Target,
    operation: Operation,
    container: String,
    second: u64,
    headers: Vec<(Bytes, Bytes)>,
    destination: Destination,
) -> Update {
    let record = Pending {
        operation,
        account: QUEUE_ACCOUNT.to_owned(),
        container,
        object: format!("{second:010}-{}/{}/{}", target.account, target.container, target.object),
        headers,
        db_state: None,
        container_path: None,
        successes: Vec::new(),
        redirect_history: Vec::new(),
    };
    Update { record, policy: target.policy, destination }
}

/// The day of the second, minus a shard that the name decides (specs: timestamps §5).
fn queue_container(target: &Target, second: u64) -> String {
    let hash = target.node.config.hash_path.hash(&target.account, Some(&target.container), Some(&target.object));
    let shard = hash.0.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % QUEUE_SHARDS);
    let day = second.min(9_999_999_999) / QUEUE_DIVISOR * QUEUE_DIVISOR;
    format!("{:010}", day.saturating_sub(u64::from(shard)))
}

/// Fields that every update carries.
fn add_common(row: &mut Vec<(Bytes, Bytes)>, head: &RequestHead, policy: u32) {
    let header = |name| head.headers.get(name).cloned();
    row.push((Bytes::from_static(b"X-Trans-Id"), header("X-Trans-Id").unwrap_or_else(|| Bytes::from_static(b"-"))));
    let mut referer = format!("{} http://", head.method.as_str()).into_bytes();
    referer.extend_from_slice(&header("Host").unwrap_or_default());
    referer.extend_from_slice(&head.target);
    row.push((Bytes::from_static(b"Referer"), referer.into()));
    row.push((Bytes::from_static(b"X-Backend-Storage-Policy-Index"), policy.to_string().into()));
    row.push((Bytes::from_static(b"User-Agent"), Bytes::from_static(b"object-server martlet")));
}

/// The servers that the proxy named; `None` when it named none, or lists that do not fit together.
fn destination(headers: &Headers, partition: &str, hosts: &str, devices: &str) -> Option<Destination> {
    let list = |name| -> Vec<String> {
        let items = headers.get_str(name).unwrap_or_default().split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let partition = headers.get_str(partition).filter(|text| !text.is_empty())?.to_owned();
    let (hosts, devices) = (list(hosts), list(devices));
    if hosts.len() != devices.len() {
        tracing::error!(?hosts, ?devices, "no container update: not as many hosts as devices");
        return None;
    }
    let servers: Vec<_> = hosts.into_iter().zip(devices).collect();
    (!servers.is_empty()).then_some(Destination::Servers { partition, servers })
}

/// Sends all of them and waits, at most `container_update_timeout`. What has not succeeded by then is parked when this returns.
pub(super) async fn send(node: &Rc<Node>, device: &Rc<Device>, updates: Vec<Update>) -> std::io::Result<()> {
    let end = io::monotonic().after(node.config.container_update_timeout);
    let mut running = Vec::with_capacity(updates.len());
    for update in updates {
        if matches!(update.destination, Destination::Updater) {
            parked::park(device, update.policy, &update.record, &node.config.hash_path).await?;
            continue;
        }
        let state = Rc::new(Running { update, progress: RefCell::new(Progress::Sending) });
        let task = io::spawn(Box::pin(run(node.clone(), state.clone())));
        running.push((state, task));
    }
    for (state, task) in running {
        let left = end.since(io::monotonic());
        let sent = if left.is_zero() { None } else { io::timeout(left, task).await.ok().flatten() };
        if sent != Some(true) {
            park(node, device, &state).await?;
        }
    }
    Ok(())
}

/// An update under way; shared by the request that waits for it and the task that sends it.
struct Running {
    update: Update,
    progress: RefCell<Progress>,
}

enum Progress {
    Sending,
    Sent,
    Parked(PathBuf),
}

/// Parks an update that failed or takes too long. It may succeed while its record is being written: then the record goes again.
async fn park(node: &Node, device: &Device, state: &Running) -> std::io::Result<()> {
    let path = parked::park(device, state.update.policy, &state.update.record, &node.config.hash_path).await?;
    let is_sent = matches!(*state.progress.borrow(), Progress::Sent);
    if is_sent {
        return parked::remove(&path).await;
    }
    *state.progress.borrow_mut() = Progress::Parked(path);
    Ok(())
}

/// Sends one update to its servers; true when all of them took it.
async fn run(node: Rc<Node>, state: Rc<Running>) -> bool {
    let Destination::Servers { partition, servers } = &state.update.destination else { return false };
    let record = &state.update.record;
    let mut all = true;
    if let [server] = servers.as_slice() {
        all = deliver(&node, record, server, partition).await;
    } else {
        let send = |server: &(String, String)| {
            let (node, state, server) = (node.clone(), state.clone(), server.clone());
            let partition = partition.clone();
            io::spawn(async move { deliver(&node, &state.update.record, &server, &partition).await })
        };
        let sent: Vec<_> = servers.iter().map(send).collect();
        for one in sent {
            all &= one.await.unwrap_or(false);
        }
    }
    if !all {
        return false;
    }
    let before = state.progress.replace(Progress::Sent);
    if let Progress::Parked(path) = before
        && let Err(error) = parked::remove(&path).await
    {
        tracing::debug!(%error, "a parked update that was sent stays; the updater sends it again");
    }
    true
}

/// Gives the row to one container server: what belongs to a core of this process does not go over a socket.
async fn deliver(node: &Rc<Node>, record: &Pending, (host, device): &(String, String), partition: &str) -> bool {
    let Ok(address) = host.parse::<SocketAddr>() else {
        tracing::warn!(%host, "no address of a container server");
        return false;
    };
    let core = node.core_of_containers(address);
    let Some((core, row)) = core.and_then(|core| Some((core, row(node, record)?))) else {
        // Boxed: large beside the rest.
        return Box::pin(send_one(node, address, &request(record, device, partition))).await;
    };
    let taken = match core == node.core {
        false => node.neighbours.merge(core, device, row).await,
        true => match node.device(device).await {
            Some(device) => device.intake.merge(row).await,
            None => Err("the device is not there, not mounted or broken".to_owned()),
        },
    };
    match taken {
        Ok(true) => true,
        Ok(false) => {
            tracing::info!(%address, status = 404, "a container update was refused");
            false
        }
        Err(error) => {
            tracing::info!(%address, %error, "a container update was not sent");
            false
        }
    }
}

/// What the request of a record would write. `None` for what is for the service to judge: containers of the system's own, which come into being
/// by their rows, and what it would refuse.
fn row(node: &Node, record: &Pending) -> Option<Row> {
    let (account, container) = record.target();
    if account.starts_with('.') || record.object.len() > NAME_BYTES_MAX {
        return None;
    }
    let field = |name: &str| record.header(name).and_then(|value| std::str::from_utf8(value).ok());
    let policy = field("X-Backend-Storage-Policy-Index").and_then(|text| text.parse().ok())?;
    node.config.policy_names.name(policy)?;
    let time = field("X-Timestamp").and_then(|text| Timestamp::parse(text).ok())?;
    let update = match record.operation {
        Operation::Put => container::update_of(&record.object, policy, time, field).ok()?,
        Operation::Delete => ObjectUpdate::deletion(&record.object, policy, time),
    };
    let hash = node.config.hash_path.hash(account, Some(container), None);
    Some(Row { hash, create: None, update })
}

/// The request that writes a row.
pub(super) fn request(record: &Pending, device: &str, partition: &str) -> RequestHead {
    let (account, container) = record.target();
    let path = format!("/{device}/{partition}/{account}/{container}/{}", record.object);
    let method = match record.operation {
        Operation::Put => Method::Put,
        Operation::Delete => Method::Delete,
    };
    let mut head = RequestHead::new(method, quote(path.as_bytes()));
    for (name, value) in &record.headers {
        head.headers.append(name.clone(), value.clone());
    }
    head
}

async fn send_one(node: &Rc<Node>, address: SocketAddr, head: &RequestHead) -> bool {
    match node.peers.request(address, head).await {
        Ok(answer) if answer.status().is_success() => true,
        Ok(answer) => {
            tracing::info!(%address, status = answer.status().0, "a container update was refused");
            false
        }
        Err(error) => {
            tracing::info!(%address, %error, "a container update was not sent");
            false
        }
    }
}
