//! Core: forgets tombstones and deleted databases that are old enough (specs §3.5).
//!
//! `graves` holds them in the order of time, so a step reads exactly what it may forget and an idle node reads one key.

use super::container_row::ContainerRow;
use super::info::{self, Info};
use super::key::{self, Kind, ROW_PREFIX};
use super::merge;
use super::object_row::ObjectRow;
use super::{GRAVES, INFO, PENDING, ROWS, Write};
use base::hash_path::NameHash;
use base::timestamp::Timestamp;
use std::io;
use std::ops::Bound;

/// Where a pass is and what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last grave looked at.
    pub position: Vec<u8>,
    /// Rows and databases forgotten.
    pub forgotten: usize,
    /// Nothing old is left behind `position`.
    pub done: bool,
}

/// Looks at up to `budget` graves older than `before`, behind `position`.
pub fn step(write: &mut impl Write, position: &[u8], before: Timestamp, budget: usize) -> io::Result<Progress> {
    let mut progress = Progress { position: position.to_vec(), forgotten: 0, done: true };
    let mut graves = Vec::new();
    let end = before.raw().to_be_bytes();
    if position < end.as_slice() {
        write.scan(GRAVES, Bound::Excluded(position), Bound::Excluded(&end), false, &mut |(grave, _)| {
            progress.done = graves.len() < budget;
            if progress.done {
                graves.push(grave.to_vec());
            }
            Ok(progress.done)
        })?;
    }
    for grave in graves {
        match (grave.get(8), grave.get(9..)) {
            (Some(0), Some(row_key)) => progress.forgotten += usize::from(forget_row(write, &grave, row_key)?),
            (Some(1), Some(info_key)) => {
                progress.forgotten += usize::from(forget_database(write, &grave, info_key, before)?)
            }
            _ => return Err(super::codec::corrupt("grave")),
        }
        progress.position = grave;
    }
    Ok(progress)
}

fn forget_row(write: &mut impl Write, grave: &[u8], row_key: &[u8]) -> io::Result<bool> {
    let broken = || super::codec::corrupt("grave of a row");
    let (prefix, name) = row_key.split_at_checked(ROW_PREFIX).ok_or_else(broken)?;
    let hash = NameHash(prefix.get(..16).and_then(|hash| hash.try_into().ok()).ok_or_else(broken)?);
    let policy =
        prefix.get(17..).and_then(|policy| policy.try_into().ok()).map(u32::from_be_bytes).ok_or_else(broken)?;
    let name = std::str::from_utf8(name).map_err(|_| broken())?;
    let Some(value) = write.get(ROWS, row_key)?.map(<[u8]>::to_vec) else {
        write.delete(GRAVES, grave)?;
        return Ok(false);
    };
    if let Some(before) = info::load(write, Kind::Container, &hash)? {
        let mut now = before.clone();
        merge::forget_object(write, &hash, &mut now, policy, name, &ObjectRow::decode(&value)?)?;
        info::store(write, &hash, Some(&before), &now)?;
    } else if let Some(before) = info::load(write, Kind::Account, &hash)? {
        let mut now = before.clone();
        merge::forget_container(write, &hash, &mut now, name, &ContainerRow::decode(&value)?)?;
        info::store(write, &hash, Some(&before), &now)?;
    } else {
        return Err(broken());
    }
    Ok(true)
}

/// Only when it has no row of any kind left and its account knows that it is gone; else it stays for a later pass.
fn forget_database(write: &mut impl Write, grave: &[u8], info_key: &[u8], before: Timestamp) -> io::Result<bool> {
    let Some(info) = write.get(INFO, info_key)?.map(Info::decode).transpose()? else {
        write.delete(GRAVES, grave)?;
        return Ok(false);
    };
    let hash: [u8; 16] = info_key
        .get(1..)
        .and_then(|hash| hash.try_into().ok())
        .ok_or_else(|| super::codec::corrupt("grave of a database"))?;
    let unreported = write.get(PENDING, &hash)?.is_some();
    if !info.is_deleted() || info.put >= before || unreported || has_rows(write, &hash)? {
        return Ok(false);
    }
    write.delete(INFO, info_key)?;
    write.delete(GRAVES, grave)?;
    Ok(true)
}

fn has_rows(write: &impl Write, hash: &[u8; 16]) -> io::Result<bool> {
    let mut found = false;
    let end = key::successor(hash);
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    write.scan(ROWS, Bound::Included(hash), to, false, &mut |_| {
        found = true;
        Ok(false)
    })?;
    Ok(found)
}
