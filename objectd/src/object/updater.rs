//! The updater: sends parked container updates until every primary of the row's container has them (specs: diskfile §7).
//!
//! One pass walks `async_pending` of every device of this core. For one row only the newest record counts. A record that reached
//! some containers is written again with their ids; one that reached all of them goes. A container server that is a sharded root
//! answers 301 with the shard's path: the record moves there, once per pass.

use super::update;
use crate::config::Config;
use crate::node::{Device, Node};
use crate::store::parked;
use crate::store::pending::Pending;
use base::http::{Headers, RequestHead};
use base::io::{self, fs};
use base::quote::unquote;
use base::timestamp::Timestamp;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Records in the air at one time: enough to hide a slow server, few enough to leave connections to the foreground.
const AT_ONCE: usize = 16;
/// Bytes of a record; headers are bounded far below.
const RECORD_MAX: usize = 256 * 1024;
/// Hex digits of the name hash in front of the dash.
const HASH_DIGITS: usize = 32;

/// The background loop of this core: sends what the foreground could not, until the process ends.
pub async fn updater(node: Rc<Node>) {
    loop {
        io::sleep(node.config.updater_interval).await;
        update_once(&node).await;
    }
}

/// One pass of it.
pub async fn update_once(node: &Rc<Node>) {
    for device in node.devices() {
        if node.device(&device.name).await.is_none() {
            continue;
        }
        for policy in &node.config.policies {
            let directory = parked::directory(&device, *policy);
            for suffix in fs::read_dir(&directory).await.unwrap_or_default() {
                if suffix.is_dir {
                    update_suffix(node, &device, *policy, &directory.join(&suffix.name)).await;
                }
            }
        }
    }
}

async fn update_suffix(node: &Rc<Node>, device: &Rc<Device>, policy: u32, directory: &Path) {
    let Ok(entries) = fs::read_dir(directory).await else { return };
    let mut last_hash = String::new();
    let mut running = Vec::new();
    // Backwards: the newest record of a row comes first, the others are behind the times.
    for entry in entries.iter().rev() {
        let Some((hash, _)) = entry.name.split_once('-').filter(|(hash, _)| hash.len() == HASH_DIGITS) else {
            continue;
        };
        let path = directory.join(&entry.name);
        if hash == last_hash {
            log_failure(parked::remove(&path).await, &path);
            continue;
        }
        hash.clone_into(&mut last_hash);
        running.push(io::spawn(update_record(node.clone(), device.clone(), policy, path)));
        if running.len() >= AT_ONCE {
            for task in running.drain(..) {
                task.await;
            }
        }
    }
    for task in running {
        task.await;
    }
    // Fails while something is left in it.
    let _ = fs::remove_dir(directory).await;
}

async fn update_record(node: Rc<Node>, device: Rc<Device>, policy: u32, path: PathBuf) {
    let Ok(bytes) = fs::read(&path, RECORD_MAX).await else { return };
    let mut record = match Pending::decode(&bytes) {
        Ok(record) => record,
        Err(why) => return quarantine(&device, &path, why).await,
    };
    let mut is_changed = false;
    // The second turn follows a redirection.
    for _ in 0..2 {
        match send(&node, &mut record).await {
            Sent::Everywhere => return log_failure(parked::remove(&path).await, &path),
            Sent::Partly => {
                is_changed = true;
                break;
            }
            Sent::Nowhere => break,
            Sent::Redirected(to) => {
                redirect(&mut record, to);
                is_changed = true;
            }
        }
    }
    if is_changed {
        log_failure(parked::park(&device, policy, &record, &node.config.hash_path).await.map(|_| ()), &path);
    }
}

enum Sent {
    Everywhere,
    Partly,
    Nowhere,
    Redirected(String),
}

/// Sends a record to the primaries that do not have it.
async fn send(node: &Rc<Node>, record: &mut Pending) -> Sent {
    let (account, container) = record.target();
    let hash = node.config.hash_path.hash(account, Some(container), None);
    let ring = node.rings().container;
    let partition = ring.partition(&hash.0);
    let mut requests = Vec::new();
    let mut unreachable = false;
    for primary in ring.primaries(partition) {
        let id = i64::from(primary.id);
        if record.successes.contains(&id) {
            continue;
        }
        let Ok(ip) = primary.replication_ip.parse::<IpAddr>() else {
            tracing::warn!(ip = %primary.replication_ip, "no address of a container server in the ring");
            unreachable = true;
            continue;
        };
        let mut head = update::request(record, &primary.device, &partition.to_string());
        for (name, value) in [
            ("User-Agent", "object-updater martlet"),
            ("X-Backend-Accept-Redirect", "true"),
            ("X-Backend-Accept-Quoted-Location", "true"),
        ] {
            head.headers.set(name, value);
        }
        let address = SocketAddr::new(ip, primary.replication_port);
        requests.push(io::spawn(send_one(node.clone(), address, head, id)));
    }
    let (mut reached, mut missed) = (0, unreachable);
    let mut newest: Option<(Timestamp, String)> = None;
    for request in requests {
        match request.await {
            Some(Answered::Taken(id)) => {
                record.successes.push(id);
                reached += 1;
            }
            Some(Answered::Elsewhere(time, path)) => {
                missed = true;
                if newest.as_ref().is_none_or(|(best, _)| time > *best) {
                    newest = Some((time, path));
                }
            }
            Some(Answered::Refused) | None => missed = true,
        }
    }
    match (newest, missed, reached) {
        (Some((_, path)), _, _) => Sent::Redirected(path),
        (None, false, _) => Sent::Everywhere,
        (None, true, 0) => Sent::Nowhere,
        (None, true, _) => Sent::Partly,
    }
}

enum Answered {
    Taken(i64),
    Elsewhere(Timestamp, String),
    Refused,
}

async fn send_one(node: Rc<Node>, address: SocketAddr, head: RequestHead, id: i64) -> Answered {
    match node.peers.request(address, &head).await {
        Ok(answer) if answer.status().is_success() => Answered::Taken(id),
        Ok(answer) if answer.status().0 == 301 => location(&answer.head.headers).unwrap_or(Answered::Refused),
        _ => Answered::Refused,
    }
}

/// `/<account>/<container>/<object>` of a redirection, and its time.
fn location(headers: &Headers) -> Option<Answered> {
    let time = headers.get_str("X-Backend-Redirect-Timestamp").and_then(|text| Timestamp::parse(text).ok())?;
    let location = headers.get("Location")?;
    let path =
        if super::is_set(headers, "X-Backend-Location-Is-Quoted") { unquote(location) } else { location.to_vec() };
    let path = String::from_utf8(path).ok()?;
    let mut parts = path.strip_prefix('/')?.splitn(3, '/');
    let (account, container) = (parts.next()?, parts.next()?);
    (!account.is_empty() && !container.is_empty()).then(|| Answered::Elsewhere(time, format!("{account}/{container}")))
}

/// Points a record at a shard; going in a circle leads back to the root.
fn redirect(record: &mut Pending, to: String) {
    record.successes.clear();
    if record.redirect_history.contains(&to) {
        record.container_path = None;
        record.redirect_history.clear();
        return;
    }
    record.redirect_history.push(to.clone());
    record.container_path = Some(to);
}

async fn quarantine(device: &Device, path: &Path, why: &str) {
    let directory = device.root.join("quarantined").join(Config::policy_directory("objects", 0));
    let Some(name) = path.file_name() else { return };
    tracing::error!(path = %path.display(), "quarantined: {why}");
    let result = async {
        fs::create_dir_all(&directory).await?;
        fs::rename(path, &directory.join(name)).await
    };
    log_failure(result.await, path);
}

fn log_failure(result: std::io::Result<()>, path: &Path) {
    if let Err(error) = result {
        tracing::warn!(path = %path.display(), %error, "a parked update could not be changed");
    }
}
