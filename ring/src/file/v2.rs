//! Core: version 2 of the ring file: named sections, an index with their checksums at the end.
//!
//! The index names every section with `[compressed start, plain start, compressed end, plain end, method, digest]`;
//! the digest covers the section's length and data. We read the plain data only, so the compressed offsets, which tell
//! a reader where it may start, matter when writing alone.

use super::gzip::{BEST, STORED, Writer};
use super::{Metadata, cut_rows, device_list, parse_object};
use crate::json::dumps;
use crate::ring::{Contents, RingError, Rows};
use md5::Md5;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// `plain` is the whole decompressed file.
pub(super) fn read(plain: &[u8]) -> Result<Contents, RingError> {
    let index = read_index(plain)?;
    let metadata_fields = parse_object(section(plain, &index, METADATA)?)?;
    let metadata = Metadata::from_json(&metadata_fields)?;
    let devices = serde_json::from_slice(section(plain, &index, DEVICES)?).ok();
    let devices = device_list(devices)?;
    let rows = section(plain, &index, ASSIGNMENTS)?;
    let rows = match metadata_fields.get("dev_id_bytes").and_then(Value::as_u64) {
        Some(2) => Rows::Two(cut_rows(rows, metadata.partitions(), u16::from_be_bytes)?),
        Some(4) => Rows::Four(cut_rows(rows, metadata.partitions(), u32::from_be_bytes)?),
        _ => return Err(RingError::new("the ring's dev_id_bytes is neither 2 nor 4")),
    };
    Ok(metadata.with(devices, rows))
}

fn read_index(plain: &[u8]) -> Result<Map<String, Value>, RingError> {
    let damaged = || RingError::new("the ring's index is damaged");
    let (body, tail) = plain.split_last_chunk::<16>().ok_or_else(damaged)?;
    let (at, _) = tail.split_first_chunk::<8>().ok_or_else(damaged)?;
    let at = usize::try_from(u64::from_be_bytes(*at)).map_err(|_| damaged())?;
    parse_object(blob(body, at).ok_or_else(damaged)?.1)
}

/// A section's data, verified.
fn section<'a>(plain: &'a [u8], index: &Map<String, Value>, name: &str) -> Result<&'a [u8], RingError> {
    let damaged = |what: &str| RingError::new(format!("the ring's section {name} {what}"));
    let entry = index.get(name).and_then(Value::as_array).ok_or_else(|| damaged("is missing"))?;
    let [_, start, _, end, method, digest] = entry.as_slice() else {
        return Err(damaged("has no usable place in the index"));
    };
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let start = number(start).ok_or_else(|| damaged("has no beginning"))?;
    let (whole, data) = blob(plain, start).ok_or_else(|| damaged("is cut off"))?;
    if number(end) != start.checked_add(whole.len()) {
        return Err(damaged("has another length than the index says"));
    }
    let computed = match method.as_str() {
        Some("sha256") => hex(&Sha256::digest(whole)),
        Some("md5") => hex(&Md5::digest(whole)),
        _ => return Err(damaged("has a checksum of an unknown kind")),
    };
    if digest.as_str() != Some(computed.as_str()) {
        return Err(damaged("does not match its checksum"));
    }
    Ok(data)
}

/// `be64 length` and data at an offset: with the length, and without.
fn blob(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let whole = bytes.get(at..)?;
    let (length, rest) = whole.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let data = rest.get(..length)?;
    Some((whole.get(..8 + length)?, data))
}

pub(super) fn write(contents: &Contents, file_name: &str) -> Result<Vec<u8>, RingError> {
    let (dev_id_bytes, rows): (u32, Vec<u8>) = match &contents.rows {
        Rows::Two(rows) => (2, rows.iter().flatten().flat_map(|id| id.to_be_bytes()).collect()),
        Rows::Four(rows) => (4, rows.iter().flatten().flat_map(|id| id.to_be_bytes()).collect()),
    };
    let mut metadata = json!({
        "part_shift": contents.part_shift,
        "dev_id_bytes": dev_id_bytes,
        "replica_count": contents.rows.replica_count(),
        "version": contents.version,
    });
    if let (Some(power), Some(fields)) = (contents.next_part_power, metadata.as_object_mut()) {
        fields.insert("next_part_power".into(), power.into());
    }
    let devices = dumps(&Value::Array(contents.devices.clone()));
    let mut writer = Writer::new(file_name);
    writer.set_level(STORED);
    writer.write(b"R1NG\x00\x02");
    writer.set_level(BEST);
    let mut index = Map::new();
    for (name, data) in
        [(METADATA, dumps(&metadata).as_bytes()), (DEVICES, devices.as_bytes()), (ASSIGNMENTS, rows.as_slice())]
    {
        index.insert(name.to_owned(), write_section(&mut writer, data));
    }
    let compressed_index = writer.compressed_position();
    let plain_index = writer.plain_position();
    let index = dumps(&Value::Object(index));
    writer.write(&(index.len() as u64).to_be_bytes());
    writer.write(index.as_bytes());
    // Stored, so that a reader finds both numbers at a fixed distance from the end.
    writer.set_level(STORED);
    writer.write(&plain_index.to_be_bytes());
    writer.flush();
    writer.write(&compressed_index.to_be_bytes());
    writer.flush();
    Ok(writer.finish())
}

/// Returns the section's line of the index.
fn write_section(writer: &mut Writer, data: &[u8]) -> Value {
    let (compressed_start, plain_start) = (writer.compressed_position(), writer.plain_position());
    let length = (data.len() as u64).to_be_bytes();
    let digest = Sha256::new().chain_update(length).chain_update(data).finalize();
    writer.write(&length);
    writer.write(data);
    let (compressed_end, plain_end) = (writer.compressed_position(), writer.plain_position());
    json!([compressed_start, plain_start, compressed_end, plain_end, "sha256", hex(&digest)])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const METADATA: &str = "swift/ring/metadata";
const DEVICES: &str = "swift/ring/devices";
const ASSIGNMENTS: &str = "swift/ring/assignments";
