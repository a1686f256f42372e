//! Tells accounts about their containers: within PUT and DELETE (specs §2.5), and in the background what was missed (§7).
//!
//! The table `pending` holds exactly the containers that differ from what their account was last told, so a pass over an
//! idle device reads one key. One loop per core.

use crate::db::info::{self, Info, Report};
use crate::db::key::Kind;
use crate::db::service::Service;
use crate::db::{PENDING, lifecycle};
use crate::node::{Device, Node};
use crate::reply;
use base::hash_path::NameHash;
use base::http::server::Response;
use base::http::{Method, RequestHead};
use base::io;
use base::io::kv::Read;
use base::quote::quote;
use base::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;

/// Account replicas one container request may name: more than any ring has.
const ACCOUNTS_MAX: usize = 16;
/// Containers looked up in one transaction.
const BATCH: usize = 100;
/// How long an account that did not take a report is left alone (Swift's account_suppression_time).
const SUPPRESSION: Duration = Duration::from_secs(60);
/// Suppressed accounts remembered at a time; beyond it an account is only asked again sooner.
const SUPPRESSED_MAX: usize = 10_000;

/// One replica of the account, as the request names it.
pub(super) struct AccountReplica {
    address: SocketAddr,
    device: String,
    partition: String,
}

/// The replicas of the account that a request wants told.
pub(super) fn accounts_of(head: &RequestHead) -> Result<Vec<AccountReplica>, Response> {
    let list = |name: &str| {
        let text = head.headers.get_str(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (hosts, devices) = (list("X-Account-Host"), list("X-Account-Device"));
    let Some(partition) = head.headers.get_str("X-Account-Partition").filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    if hosts.len() != devices.len() || hosts.len() > ACCOUNTS_MAX {
        return Err(reply::text(400, "X-Account-Host and X-Account-Device differ in length"));
    }
    let replica = |(host, device): (String, String)| {
        let address = host.parse().map_err(|_| reply::text(400, format!("Invalid X-Account-Host {host}")))?;
        Ok(AccountReplica { address, device, partition: partition.to_owned() })
    };
    hosts.into_iter().zip(devices).map(replica).collect()
}

/// Tells them. Only "no such account" from all of them fails the request; whatever else is missed, the background sends.
pub(super) async fn tell_accounts(
    service: &Service,
    head: &RequestHead,
    info: &Info,
    accounts: Vec<AccountReplica>,
) -> Result<(), Response> {
    let Some(node) = service.node.as_ref().filter(|_| !accounts.is_empty()) else { return Ok(()) };
    let mut told = Vec::with_capacity(accounts.len());
    for account in &accounts {
        let mut request = row_request(info, &info.report(), &account.device, &account.partition);
        let headers = &mut request.headers;
        for name in ["X-Trans-Id", "X-Account-Override-Deleted"] {
            if let Some(value) = head.headers.get(name) {
                headers.set(name, value.clone());
            }
        }
        headers.set("User-Agent", format!("container-server {}", std::process::id()));
        let target = String::from_utf8_lossy(head.path()).into_owned();
        headers.set("Referer", format!("{} http://{}{target}", head.method.as_str(), service.device));
        told.push(send(node, account.address, &request).await);
    }
    if told.iter().all(|status| *status == Some(404)) { Err(reply::status(404)) } else { Ok(()) }
}

/// The PUT of a container's row.
fn row_request(info: &Info, report: &Report, device: &str, partition: &str) -> RequestHead {
    let path = format!("/{device}/{partition}/{}/{}", info.account, info.container);
    let mut request = RequestHead::new(Method::Put, quote(path.as_bytes()));
    // "Never" is "0" on this wire, and the account's hash is made of the text.
    let time = |time: Timestamp| if time == Timestamp::ZERO { "0".to_owned() } else { time.internal() };
    request.headers.set("X-Put-Timestamp", time(report.put));
    request.headers.set("X-Delete-Timestamp", time(report.delete));
    request.headers.set("X-Object-Count", report.objects.to_string());
    request.headers.set("X-Bytes-Used", report.bytes.to_string());
    request.headers.set("X-Backend-Storage-Policy-Index", info.policy.to_string());
    request
}

/// The status, `None` when there was no answer in time.
async fn send(node: &Rc<Node>, address: SocketAddr, request: &RequestHead) -> Option<u16> {
    match node.peers.request(address, request).await {
        Ok(answer) => Some(answer.status().0),
        Err(error) => {
            tracing::debug!(%address, %error, "an account was not told about a container");
            None
        }
    }
}

/// The background loop of this core: tells accounts what the foreground could not, until the process ends.
pub async fn updater(node: Rc<Node>) {
    let mut suppressed = BTreeMap::new();
    loop {
        io::sleep(node.config.updater_interval).await;
        pass(&node, &mut suppressed).await;
    }
}

/// One pass of it; accounts that did not answer before are asked again.
pub async fn update_once(node: &Rc<Node>) {
    pass(node, &mut BTreeMap::new()).await;
}

async fn pass(node: &Rc<Node>, suppressed: &mut BTreeMap<String, io::Instant>) {
    for device in node.devices() {
        if node.device(&device.name).await.is_none() {
            continue;
        }
        if let Err(error) = pass_device(node, &device, suppressed).await {
            tracing::error!(device = %device.name, %error, "container updater");
        }
    }
}

async fn pass_device(
    node: &Rc<Node>,
    device: &Device,
    suppressed: &mut BTreeMap<String, io::Instant>,
) -> std::io::Result<()> {
    if let Err(error) = device.intake.settle_all().await {
        tracing::warn!(device = %device.name, error, "accounts are told without the rows that wait in the journal");
    }
    let mut position = Vec::new();
    // Ends: `position` moves through the keys of `pending` in order, and the pass stops at its end.
    loop {
        let behind = position.clone();
        let batch = device.rows.read(move |read| pending(read, &behind)).await?;
        let Some((last, _)) = batch.last() else { return Ok(()) };
        position = last.0.to_vec();
        for (hash, info) in batch {
            let Some(info) = info else { continue };
            let now = io::monotonic();
            if suppressed.get(&info.account).is_some_and(|until| *until > now) {
                continue;
            }
            if tell_primaries(node, &info).await {
                let report = info.report();
                device.rows.write(move |write| lifecycle::reported(write, &hash, report)).await?;
            } else {
                suppressed.retain(|_, until| *until > now);
                if suppressed.len() < SUPPRESSED_MAX {
                    suppressed.insert(info.account, now.after(SUPPRESSION));
                }
            }
        }
    }
}

/// The next containers that have something to tell.
fn pending(read: &impl Read, behind: &[u8]) -> std::io::Result<Vec<(NameHash, Option<Info>)>> {
    let mut hashes = Vec::new();
    let from = if behind.is_empty() { Bound::Unbounded } else { Bound::Excluded(behind) };
    read.scan(PENDING, from, Bound::Unbounded, false, &mut |(hash, _)| {
        hashes.push(NameHash(hash.try_into().map_err(|_| crate::db::codec::corrupt("pending container"))?));
        Ok(hashes.len() < BATCH)
    })?;
    let load = |hash| Ok((hash, info::load(read, Kind::Container, &hash)?));
    hashes.into_iter().map(load).collect()
}

/// Sends a container's row to all account primaries; true when a majority took it.
async fn tell_primaries(node: &Rc<Node>, info: &Info) -> bool {
    let ring = node.rings().account;
    let partition = ring.partition(&node.config.hash_path.hash(&info.account, None, None).0);
    let primaries = ring.primaries(partition);
    let mut successes = 0;
    for primary in &primaries {
        let Ok(ip) = primary.replication_ip.parse() else { continue };
        let mut request = row_request(info, &info.report(), &primary.device, &partition.to_string());
        request.headers.set("X-Account-Override-Deleted", "yes");
        request.headers.set("User-Agent", format!("container-updater {}", std::process::id()));
        let status = send(node, SocketAddr::new(ip, primary.replication_port), &request).await;
        successes += usize::from(status.is_some_and(|status| status / 100 == 2));
    }
    successes > primaries.len() / 2
}

/// Removes what is old enough from one device's rows; shared with the account service, whose rows lie beside.
pub(crate) async fn reclaim(node: &Rc<Node>, device: &Device) -> std::io::Result<usize> {
    let before = Timestamp::from_unix(io::unix_time().saturating_sub(node.config.reclaim_age));
    // A row in the journal belongs to a container that is there.
    let _hold = device.intake.hold().await.map_err(std::io::Error::other)?;
    let (mut position, mut forgotten) = (Vec::new(), 0);
    // Ends: every step moves behind at least one grave or is done.
    loop {
        let behind = position;
        let progress = device.rows.write(move |write| crate::db::reclaim::step(write, &behind, before, BATCH)).await?;
        forgotten += progress.forgotten;
        if progress.done {
            return Ok(forgotten);
        }
        position = progress.position;
        io::sleep(Duration::from_millis(50)).await;
    }
}
