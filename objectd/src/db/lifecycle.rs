//! Core: how a database comes to be, changes and ends: PUT, POST and DELETE of accounts and containers (specs §2.1, §5).
//!
//! Every function is one write transaction: it loads the info record, decides, and stores it together with the rows.

use super::Write;
use super::container_row::ContainerUpdate;
use super::info::{self, Info, Item, Report};
use super::key::Kind;
use super::merge;
use super::object_row::ObjectUpdate;
use base::hash_path::NameHash;
use base::limits::Constraints;
use base::timestamp::Timestamp;
use std::io;

/// Bytes of all metadata of one database, system metadata and remembered deletions included. Swift has no such bound; ours
/// keeps the record, which every row update rewrites, small against a page of the log.
const METADATA_BYTES_MAX: usize = 64 * 1024;

/// Header values that sync points belong to.
const SYNC_TO: &str = "X-Container-Sync-To";

/// A request to change a database: what the driver knows before it looks.
#[derive(Clone, Debug)]
pub struct Change {
    /// Account or container.
    pub kind: Kind,
    /// Its hash.
    pub hash: NameHash,
    /// The account.
    pub account: String,
    /// The container; empty for an account.
    pub container: String,
    /// `X-Timestamp`.
    pub time: Timestamp,
    /// Wall clock.
    pub now: Timestamp,
    /// Identity of a database that has to be created.
    pub id: String,
    /// The policy that was asked for.
    pub policy: Option<u32>,
    /// The policy of a new container for which none was asked.
    pub default_policy: u32,
    /// Metadata headers, names in title case.
    pub metadata: Vec<(String, String)>,
    /// Bounds of metadata.
    pub constraints: Constraints,
    /// Deletions of metadata older than this are forgotten.
    pub forget_before: Timestamp,
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new or recreated database.
    Created(Info),
    /// It was there.
    Changed(Info),
    /// It is now deleted.
    Deleted(Info),
    /// There is none; `Some` remembers a deleted one.
    Missing(Option<Info>),
    /// Still deleted after a PUT, or not deleted after a DELETE, or not empty.
    Conflict,
    /// It has another policy.
    OtherPolicy(u32),
    /// The metadata breaks a bound; the text says which.
    Refused(String),
}

impl Change {
    fn new_info(&self) -> Info {
        let mut info = Info::new(self.kind, &self.account, &self.container, self.id.clone(), self.now, self.time);
        info.policy = self.policy.unwrap_or(self.default_policy);
        info
    }
}

/// PUT of a container.
pub fn put_container(write: &mut impl Write, change: &Change) -> io::Result<Outcome> {
    let before = info::load(write, Kind::Container, &change.hash)?;
    let mut now = before.clone().unwrap_or_else(|| change.new_info());
    let mut created = before.is_none();
    if let Some(before) = &before {
        if before.is_deleted() {
            let wanted = change.policy.unwrap_or(change.default_policy);
            if now.policy != wanted {
                (now.policy, now.status_changed_at) = (wanted, change.time);
            }
            now.put = now.put.max(change.time);
            if now.is_deleted() {
                info::store(write, &change.hash, Some(before), &now)?;
                return Ok(Outcome::Conflict);
            }
            now.status_changed_at = now.status_changed_at.max(change.time);
            created = true;
        } else if change.policy.is_some_and(|policy| policy != before.policy) {
            return Ok(Outcome::OtherPolicy(before.policy));
        }
        now.put = now.put.max(change.time);
    }
    if let Err(why) = merge_metadata(&mut now, change) {
        return Ok(Outcome::Refused(why));
    }
    info::store(write, &change.hash, before.as_ref(), &now)?;
    Ok(if created { Outcome::Created(now) } else { Outcome::Changed(now) })
}

/// PUT of an account: a deleted one cannot come back before it is reclaimed.
pub fn put_account(write: &mut impl Write, change: &Change) -> io::Result<Outcome> {
    let before = info::load(write, Kind::Account, &change.hash)?;
    if before.as_ref().is_some_and(Info::is_deleted) {
        return Ok(Outcome::Missing(before));
    }
    let mut now = before.clone().unwrap_or_else(|| change.new_info());
    now.put = now.put.max(change.time);
    if let Err(why) = merge_metadata(&mut now, change) {
        return Ok(Outcome::Refused(why));
    }
    info::store(write, &change.hash, before.as_ref(), &now)?;
    Ok(if before.is_none() { Outcome::Created(now) } else { Outcome::Changed(now) })
}

/// POST: metadata; `touch` also moves put_timestamp.
pub fn post(write: &mut impl Write, change: &Change, touch: bool) -> io::Result<Outcome> {
    let before = match info::load(write, change.kind, &change.hash)? {
        Some(before) if !before.is_deleted() => before,
        before => return Ok(Outcome::Missing(before)),
    };
    let mut now = before.clone();
    if touch {
        now.put = now.put.max(change.time);
    }
    if let Err(why) = merge_metadata(&mut now, change) {
        return Ok(Outcome::Refused(why));
    }
    info::store(write, &change.hash, Some(&before), &now)?;
    Ok(Outcome::Changed(now))
}

/// DELETE of a container. A deletion that is not newer than the last PUT leaves its time but not its effect.
pub fn delete_container(write: &mut impl Write, change: &Change) -> io::Result<Outcome> {
    let Some(before) = info::load(write, Kind::Container, &change.hash)? else {
        return Ok(Outcome::Missing(None));
    };
    if !before.is_empty() {
        return Ok(Outcome::Conflict);
    }
    let existed = !before.is_deleted();
    let mut now = before.clone();
    mark_deleted(&mut now, change.time);
    info::store(write, &change.hash, Some(&before), &now)?;
    Ok(match (now.is_deleted(), existed) {
        (false, _) => Outcome::Conflict,
        (true, true) => Outcome::Deleted(now),
        (true, false) => Outcome::Missing(Some(now)),
    })
}

/// DELETE of an account, empty or not, newer than its PUT or not.
pub fn delete_account(write: &mut impl Write, change: &Change) -> io::Result<Outcome> {
    let before = match info::load(write, Kind::Account, &change.hash)? {
        Some(before) if !before.is_deleted() => before,
        before => return Ok(Outcome::Missing(before)),
    };
    let mut now = before.clone();
    mark_deleted(&mut now, change.time);
    info::store(write, &change.hash, Some(&before), &now)?;
    Ok(Outcome::Deleted(now))
}

fn mark_deleted(info: &mut Info, time: Timestamp) {
    // What a shard must remember about its root survives the deletion.
    const KEPT: [&str; 3] =
        ["x-container-sysmeta-shard-quoted-root", "x-container-sysmeta-shard-root", "x-container-sysmeta-sharding"];
    for (name, item) in &mut info.metadata {
        if item.time < time && !KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            *item = Item { value: String::new(), time };
        }
    }
    if info.delete < time {
        (info.delete, info.status_changed_at, info.marked_deleted) = (time, time, true);
    }
}

/// Merges rows of objects. A missing container is created when `create` is given; false when there is none. A deleted
/// one accepts rows.
pub fn merge_objects(
    write: &mut impl Write,
    hash: &NameHash,
    create: Option<&Change>,
    updates: &[ObjectUpdate],
) -> io::Result<bool> {
    let before = info::load(write, Kind::Container, hash)?;
    let Some(mut now) = before.clone().or_else(|| create.map(Change::new_info)) else {
        return Ok(false);
    };
    let changed = merge::merge_objects(write, hash, &mut now, updates)? || before.is_none();
    if changed {
        info::store(write, hash, before.as_ref(), &now)?;
    }
    Ok(true)
}

/// Merges rows of containers. A missing account is created when `create` is given; false when there is none, or when it
/// is deleted and that is not overridden.
pub fn merge_containers(
    write: &mut impl Write,
    hash: &NameHash,
    create: Option<&Change>,
    override_deleted: bool,
    updates: &[ContainerUpdate],
) -> io::Result<bool> {
    let before = info::load(write, Kind::Account, hash)?;
    let Some(mut now) = before.clone().or_else(|| create.map(Change::new_info)) else {
        return Ok(false);
    };
    if now.is_deleted() && !override_deleted {
        return Ok(false);
    }
    for update in updates {
        merge::merge_container(write, hash, &mut now, update)?;
    }
    info::store(write, hash, before.as_ref(), &now)?;
    Ok(true)
}

/// Remembers what an account was told about a container.
pub fn reported(write: &mut impl Write, hash: &NameHash, report: Report) -> io::Result<()> {
    if let Some(before) = info::load(write, Kind::Container, hash)? {
        let mut now = before.clone();
        now.reported = report;
        info::store(write, hash, Some(&before), &now)?;
    }
    Ok(())
}

/// Merges metadata item by item, the newer wins, the stored one on equality; then checks the whole set.
fn merge_metadata(info: &mut Info, change: &Change) -> Result<(), String> {
    for (name, value) in &change.metadata {
        let stored = info.metadata.get(name);
        if stored.is_some_and(|item| item.time >= change.time) {
            continue;
        }
        if name.eq_ignore_ascii_case(SYNC_TO) && stored.map_or("", |item| &item.value) != value {
            let [_, _, reconciler] = info.sync_points;
            info.sync_points = [-1, -1, reconciler];
        }
        info.metadata.insert(name.clone(), Item { value: value.clone(), time: change.time });
    }
    if change.metadata.is_empty() {
        return Ok(());
    }
    info.metadata.retain(|_, item| !item.value.is_empty() || item.time >= change.forget_before);
    check_metadata(info, &change.constraints)
}

fn check_metadata(info: &Info, constraints: &Constraints) -> Result<(), String> {
    let (mut count, mut size, mut all) = (0, 0, 0);
    for (name, item) in &info.metadata {
        all += name.len() + item.value.len();
        let user = ["X-Container-Meta-", "X-Account-Meta-"]
            .iter()
            .find_map(|prefix| name.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix)));
        if let (Some(prefix), false) = (user, item.value.is_empty()) {
            count += 1;
            size += name.len() - prefix.len() + item.value.len();
        }
    }
    if count > constraints.max_meta_count {
        return Err(format!("Too many metadata items; max {}", constraints.max_meta_count));
    }
    if size > constraints.max_meta_overall_size {
        return Err(format!("Total metadata too large; max {}", constraints.max_meta_overall_size));
    }
    if all > METADATA_BYTES_MAX {
        return Err(format!("Total metadata too large; max {METADATA_BYTES_MAX}"));
    }
    Ok(())
}
