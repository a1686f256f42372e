//! Core: how updates of rows become rows, statistics and hashes, in one transaction.
//!
//! Delete and insert, never update: every merge gives the row a new id, so that replication can send what is new in the
//! order of ids. Statistics and hash move with the row.

use super::container_row::{self, ContainerRow, ContainerUpdate};
use super::info::Info;
use super::key::{self, State};
use super::object_row::{ObjectRow, ObjectUpdate};
use super::{GRAVES, ORDER, ROWS, Write, chexor};
use base::hash_path::NameHash;
use base::io::kv::Read;
use std::collections::BTreeMap;
use std::io;

/// The bytes of a stored row and whether it is live; looks at the live range first.
pub fn find(read: &impl Read, hash: &NameHash, policy: u32, name: &str) -> io::Result<Option<(State, Vec<u8>)>> {
    for state in [State::Live, State::Dead] {
        if let Some(value) = read.get(ROWS, &key::row(hash, state, policy, name)?)? {
            return Ok(Some((state, value.to_vec())));
        }
    }
    Ok(None)
}

/// Merges updates of objects into a container's rows, in order; `info` is stored by the caller. True when a row changed.
/// A row is written once, however many of the updates concern it.
pub fn merge_objects(
    write: &mut impl Write,
    hash: &NameHash,
    info: &mut Info,
    updates: &[ObjectUpdate],
) -> io::Result<bool> {
    let mut touched: Vec<Touched<'_>> = Vec::with_capacity(updates.len());
    let mut places: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    for update in updates {
        let place = *places.entry((update.policy, update.name.as_str())).or_insert(touched.len());
        if place == touched.len() {
            let stored = find(write, hash, update.policy, &update.name)?.map(|(_, value)| value);
            touched.push(Touched { update, stored, row: None });
        }
        let touched = touched.get_mut(place).expect("places are indexes of what was pushed");
        let stored = touched.stored.as_deref().map(ObjectRow::decode).transpose()?;
        let base = touched.row.as_ref().map(ObjectRow::borrowed).or(stored);
        if let Some(row) = update.merge(base.as_ref())? {
            touched.row = Some(row);
        }
    }
    let mut changed = false;
    for Touched { update, stored, row } in touched {
        if let Some(row) = row {
            let stored = stored.as_deref().map(ObjectRow::decode).transpose()?;
            replace_object(write, hash, info, (update.policy, &update.name), stored.as_ref(), row)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// A row that updates concern.
struct Touched<'u> {
    /// The first of them: for its name and policy.
    update: &'u ObjectUpdate,
    /// What is stored.
    stored: Option<Vec<u8>>,
    /// What it becomes, if anything was newer.
    row: Option<ObjectRow<String>>,
}

fn replace_object(
    write: &mut impl Write,
    hash: &NameHash,
    info: &mut Info,
    (policy, name): (u32, &str),
    stored: Option<&ObjectRow<&str>>,
    mut row: ObjectRow<String>,
) -> io::Result<()> {
    if let Some(stored) = stored {
        forget_object(write, hash, info, policy, name, stored)?;
    }
    info.max_row += 1;
    row.row_id = info.max_row;
    let row_key = key::row(hash, state_of(row.deleted), policy, name)?;
    write.put(ROWS, &row_key, &row.encode())?;
    write.put(ORDER, &key::order(hash, row.row_id), row_key.get(16..).unwrap_or_default())?;
    if row.deleted {
        let [data, ..] = row.times()?;
        write.put(GRAVES, &key::grave_of_row(data.raw(), &row_key), &[])?;
    }
    count_object(info, policy, &row, 1);
    chexor::toggle(&mut info.hash, name, &row.created_at);
    Ok(())
}

/// Removes an object's row with all that points to it, and takes it out of statistics and hash.
pub fn forget_object(
    write: &mut impl Write,
    hash: &NameHash,
    info: &mut Info,
    policy: u32,
    name: &str,
    row: &ObjectRow<&str>,
) -> io::Result<()> {
    let row_key = key::row(hash, state_of(row.deleted), policy, name)?;
    if row.deleted {
        let [data, ..] = row.times()?;
        write.delete(GRAVES, &key::grave_of_row(data.raw(), &row_key))?;
    }
    write.delete(ROWS, &row_key)?;
    write.delete(ORDER, &key::order(hash, row.row_id))?;
    count_object(info, policy, row, -1);
    chexor::toggle(&mut info.hash, name, row.created_at);
    Ok(())
}

/// Counts wrap rather than stop a writer: what was added is taken out again exactly.
fn count_object<T>(info: &mut Info, policy: u32, row: &ObjectRow<T>, sign: i64) {
    let stats = info.stats.entry(policy).or_default();
    stats.objects += sign * i64::from(!row.deleted);
    stats.bytes = stats.bytes.wrapping_add(row.size.wrapping_mul(sign));
}

/// Merges one update of a container into an account's rows; `info` is stored by the caller.
pub fn merge_container(
    write: &mut impl Write,
    hash: &NameHash,
    info: &mut Info,
    update: &ContainerUpdate,
) -> io::Result<()> {
    let found = find(write, hash, 0, &update.name)?;
    let stored = found.as_ref().map(|(_, value)| ContainerRow::decode(value)).transpose()?;
    let mut row = update.merge(stored.as_ref());
    if let Some(stored) = &stored {
        forget_container(write, hash, info, &update.name, stored)?;
    }
    info.max_row += 1;
    row.row_id = info.max_row;
    let row_key = key::row(hash, state_of(row.deleted), 0, &update.name)?;
    write.put(ROWS, &row_key, &row.encode())?;
    write.put(ORDER, &key::order(hash, row.row_id), row_key.get(16..).unwrap_or_default())?;
    if row.deleted {
        write.put(GRAVES, &key::grave_of_row(container_row::value(&row.delete).raw(), &row_key), &[])?;
    }
    count_container(info, &row, 1);
    chexor::toggle(&mut info.hash, &update.name, &row.hashed());
    Ok(())
}

/// Removes a container's row with all that points to it, and takes it out of statistics and hash.
pub fn forget_container(
    write: &mut impl Write,
    hash: &NameHash,
    info: &mut Info,
    name: &str,
    row: &ContainerRow<&str>,
) -> io::Result<()> {
    let row_key = key::row(hash, state_of(row.deleted), 0, name)?;
    if row.deleted {
        write.delete(GRAVES, &key::grave_of_row(container_row::value(row.delete).raw(), &row_key))?;
    }
    write.delete(ROWS, &row_key)?;
    write.delete(ORDER, &key::order(hash, row.row_id))?;
    count_container(info, row, -1);
    chexor::toggle(&mut info.hash, name, &row.hashed());
    Ok(())
}

fn count_container<T>(info: &mut Info, row: &ContainerRow<T>, sign: i64) {
    let stats = info.stats.entry(row.policy).or_default();
    stats.containers += sign * i64::from(!row.deleted);
    stats.objects = stats.objects.wrapping_add(row.objects.wrapping_mul(sign));
    stats.bytes = stats.bytes.wrapping_add(row.bytes.wrapping_mul(sign));
}

fn state_of(deleted: bool) -> State {
    if deleted { State::Dead } else { State::Live }
}
