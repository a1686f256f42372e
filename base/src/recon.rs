//! recon: what `swift-recon` asks every server for: versions, checksums of rings and `swift.conf`, load, memory, disks.
//!
//! `/recon/<check>[/<type>]` is answered in JSON, as Swift's middleware does. What its daemons leave in files (`async`, `replication`,
//! `auditor` …) is read from `recon_cache_path`; a file that is not there means that nobody knows, and every value is null.
//! `system` reads what the kernel tells.

pub mod figures;
mod system;

use crate::SWIFT_VERSION;
use crate::checksum::Md5Hasher;
use crate::http::Status;
use crate::http::server::Response;
use crate::io::{self, fs};
use crate::quote::{quote, unquote, unquoted};
use serde_json::{Map, Value, json};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Where Swift's daemons leave their figures.
pub const CACHE_PATH: &str = "/var/cache/swift";

/// Bytes of a file of the kernel's or of a daemon's figures.
const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Hashed at a time; between two pieces other tasks of the core have their turn.
const PIECE_BYTES: usize = 256 * 1024;

/// What the answers are about.
#[derive(Clone, Debug)]
pub struct Recon {
    devices: PathBuf,
    swift_dir: PathBuf,
    cache: PathBuf,
    rings: Vec<PathBuf>,
}

/// Whether a path, still encoded, is one of these.
pub fn is_asked(path: &[u8]) -> bool {
    unquoted(path).starts_with(b"/recon/")
}

impl Recon {
    /// Of a node with these folders and storage policies.
    pub fn new(devices: &Path, swift_dir: &Path, cache: &Path, policies: impl IntoIterator<Item = u32>) -> Recon {
        let object = |policy| match policy {
            0 => "object.ring.gz".to_owned(),
            policy => format!("object-{policy}.ring.gz"),
        };
        let names = ["account.ring.gz", "container.ring.gz"].map(str::to_owned).into_iter();
        Recon {
            devices: devices.to_owned(),
            swift_dir: swift_dir.to_owned(),
            cache: cache.to_owned(),
            rings: names.chain(policies.into_iter().map(object)).map(|name| swift_dir.join(name)).collect(),
        }
    }

    /// The answer to a path for which `is_asked`.
    pub async fn answer(&self, path: &[u8]) -> Response {
        let text = String::from_utf8_lossy(&unquote(path)).into_owned();
        let mut parts = text.splitn(4, '/').skip(2);
        let (check, kind) = (parts.next().unwrap_or_default(), parts.next());
        match self.content(check, kind).await {
            Some(Ok(content)) => Response::full(Status(200), "application/json", content.to_string()),
            Some(Err(error)) => {
                tracing::warn!(%check, %error, "cannot answer a question of recon");
                Response::full(Status(500), "text/plain", "Internal server error.")
            }
            None => Response::full(Status(404), "text/plain", format!("Invalid path: {}", quote(text.as_bytes()))),
        }
    }

    /// `None` for what nobody can ask.
    async fn content(&self, check: &str, kind: Option<&str>) -> Option<std::io::Result<Value>> {
        if let Some((file, keys)) = cached(check, kind) {
            return Some(Ok(self.figures(file, keys).await));
        }
        Some(match check {
            "version" => Ok(json!({ "version": SWIFT_VERSION })),
            "time" => Ok(json!(io::unix_time().as_secs_f64())),
            "mem" => read("/proc/meminfo").await.map(|text| system::memory(&text)),
            "load" => read("/proc/loadavg").await.and_then(|text| system::load(&text).ok_or_else(unreadable)),
            "mounted" => read("/proc/mounts").await.map(|text| system::mounts(&text)),
            "sockstat" => sockets().await,
            "devices" => self.device_names().await,
            "unmounted" => self.unmounted().await,
            "diskusage" => self.disk_usage().await,
            "quarantined" => self.quarantined().await,
            "ringmd5" => Ok(self.ring_sums().await),
            "swiftconfmd5" => {
                let path = self.swift_dir.join("swift.conf");
                Ok(json!({ (path.display().to_string()): sum(&path).await }))
            }
            _ => return None,
        })
    }

    /// Values of a daemon's file.
    async fn figures(&self, file: &str, keys: &[&str]) -> Value {
        let path = self.cache.join(file);
        let found = match fs::read(&path, FILE_BYTES_MAX).await {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = &found
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot read the figures of a daemon");
        }
        let found = found.unwrap_or_default();
        let value = |key: &&str| ((*key).to_owned(), found.get(*key).cloned().unwrap_or_default());
        Value::Object(keys.iter().map(value).collect())
    }

    async fn device_names(&self) -> std::io::Result<Value> {
        let names = match fs::read_dir(&self.devices).await {
            Ok(entries) => entries.into_iter().map(|entry| Value::from(entry.name)).collect(),
            Err(error) => {
                tracing::warn!(path = %self.devices.display(), %error, "cannot list the devices");
                Value::Null
            }
        };
        Ok(json!({ (self.devices.display().to_string()): names }))
    }

    /// Folders of devices, each with whether it is mounted, or why that is not known.
    async fn device_folders(&self) -> std::io::Result<Vec<(String, std::io::Result<bool>)>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.devices).await?.into_iter().filter(|entry| entry.is_dir) {
            let mounted = fs::is_mount(&self.devices.join(&entry.name)).await;
            folders.push((entry.name, mounted));
        }
        Ok(folders)
    }

    async fn unmounted(&self) -> std::io::Result<Value> {
        let folders = self.device_folders().await?.into_iter();
        let told = folders.filter_map(|(device, mounted)| match mounted {
            Ok(true) => None,
            Ok(false) => Some(json!({ "device": device, "mounted": false })),
            Err(error) => Some(json!({ "device": device, "mounted": error.to_string() })),
        });
        Ok(told.collect())
    }

    async fn disk_usage(&self) -> std::io::Result<Value> {
        let mut told = Vec::new();
        for (device, mounted) in self.device_folders().await? {
            let mounted = match mounted {
                Ok(true) => {
                    let space = fs::space(&self.devices.join(&device)).await?;
                    let used = space.total.saturating_sub(space.available);
                    told.push(json!({ "device": device, "mounted": true, "size": space.total, "used": used,
                        "avail": space.available }));
                    continue;
                }
                Ok(false) => Value::Bool(false),
                Err(error) => Value::from(error.to_string()),
            };
            told.push(json!({ "device": device, "mounted": mounted, "size": "", "used": "", "avail": "" }));
        }
        Ok(Value::Array(told))
    }

    /// What was set aside, by kind and by storage policy.
    async fn quarantined(&self) -> std::io::Result<Value> {
        let mut kinds = [("accounts", 0_u64), ("containers", 0), ("objects", 0)];
        let mut policies = Map::new();
        for device in fs::read_dir(&self.devices).await? {
            let folder = self.devices.join(&device.name).join("quarantined");
            for kind in fs::read_dir(&folder).await.unwrap_or_default().into_iter().filter(|kind| kind.is_dir) {
                let entries = fs::read_dir(&folder.join(&kind.name)).await.unwrap_or_default();
                let count = entries.iter().filter(|entry| entry.is_dir).count() as u64;
                let (name, policy) = match kind.name.strip_prefix("objects") {
                    Some(rest) => ("objects", Some(rest.strip_prefix('-').unwrap_or("0").to_owned())),
                    None => (kind.name.as_str(), None),
                };
                let Some((_, sum)) = kinds.iter_mut().find(|(known, _)| *known == name && count > 0) else { continue };
                *sum += count;
                if let Some(policy) = policy {
                    let before = policies.get(&policy).and_then(|entry| entry.get("objects")).and_then(Value::as_u64);
                    policies.insert(policy, json!({ "objects": before.unwrap_or(0) + count }));
                }
            }
        }
        let [accounts, containers, objects] = kinds.map(|(_, count)| count);
        Ok(json!({ "objects": objects, "containers": containers, "accounts": accounts, "policies": policies }))
    }

    /// Only of rings that are there.
    async fn ring_sums(&self) -> Value {
        let mut sums = Map::new();
        for path in &self.rings {
            if fs::metadata(path).await.is_ok() {
                sums.insert(path.display().to_string(), json!(sum(path).await));
            }
        }
        Value::Object(sums)
    }
}

/// Where a daemon keeps the answer, and which of its figures it is.
fn cached(check: &str, kind: Option<&str>) -> Option<(&'static str, &'static [&'static str])> {
    const DATABASE_REPLICATION: &[&str] = &["replication_time", "replication_stats", "replication_last"];
    Some(match (check, kind) {
        ("async", _) => ("object.recon", &["async_pending", "async_pending_last"]),
        ("replication", Some("account")) => ("account.recon", DATABASE_REPLICATION),
        ("replication", Some("container")) => ("container.recon", DATABASE_REPLICATION),
        ("replication", Some("object") | None) => (
            "object.recon",
            &[
                "replication_time",
                "replication_stats",
                "replication_last",
                "object_replication_time",
                "object_replication_last",
            ],
        ),
        ("updater", Some("container")) => ("container.recon", &["container_updater_sweep"]),
        ("updater", Some("object")) => {
            ("object.recon", &["object_updater_sweep", "object_updater_stats", "object_updater_last"])
        }
        ("auditor", Some("account")) => (
            "account.recon",
            &[
                "account_audits_passed",
                "account_auditor_pass_completed",
                "account_audits_since",
                "account_audits_failed",
            ],
        ),
        ("auditor", Some("container")) => (
            "container.recon",
            &[
                "container_audits_passed",
                "container_auditor_pass_completed",
                "container_audits_since",
                "container_audits_failed",
            ],
        ),
        ("auditor", Some("object")) => ("object.recon", &["object_auditor_stats_ALL", "object_auditor_stats_ZBF"]),
        ("expirer", Some("object")) => ("object.recon", &["object_expiration_pass", "expired_last_pass"]),
        ("reconstruction", Some("object")) => {
            ("object.recon", &["object_reconstruction_last", "object_reconstruction_time"])
        }
        ("driveaudit", _) => ("drive.recon", &["drive_audit_errors"]),
        ("sharding", _) => ("container.recon", &["sharding_stats", "sharding_time", "sharding_last"]),
        ("relinker", _) => ("relinker.recon", &["devices", "workers"]),
        _ => return None,
    })
}

/// Text of a file of the kernel.
async fn read(path: &str) -> std::io::Result<String> {
    let bytes = fs::read(Path::new(path), FILE_BYTES_MAX).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable() -> Error {
    Error::new(ErrorKind::InvalidData, "the kernel's file has another form than expected")
}

/// A kernel without IPv6, or in a sandbox, has less to tell.
async fn sockets() -> std::io::Result<Value> {
    let (old, new) = (read("/proc/net/sockstat").await, read("/proc/net/sockstat6").await);
    let text = |found: std::io::Result<String>| match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        found => found,
    };
    system::sockets(&text(old)?, &text(new)?, io::page_bytes()).ok_or_else(unreadable)
}

/// MD5 of a file in hex; `None` when it cannot be read.
async fn sum(path: &Path) -> Option<String> {
    let hashed = async {
        let file = fs::File::open(path).await?;
        let mut hasher = Md5Hasher::new();
        let mut offset = 0;
        while offset < file.len() {
            let piece = file.read_at(offset, PIECE_BYTES).await?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            offset += piece.len() as u64;
        }
        Ok::<_, Error>(hasher.finish_hex())
    };
    match hashed.await {
        Ok(sum) => Some(sum),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "cannot take the checksum of a file");
            }
            None
        }
    }
}

#[cfg(test)]
mod tests;
