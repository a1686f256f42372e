//! Core: version 1 of the ring file: JSON, then rows of 2-byte ids.

use super::gzip::{BEST, STORED, Writer};
use super::{Metadata, cut_rows, device_list, parse_object};
use crate::json::dumps;
use crate::ring::{Contents, RingError, Rows};
use serde_json::{Map, Value};

/// `bytes` begins behind the magic.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, RingError> {
    let truncated = || RingError::new("the ring ends within its JSON");
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(truncated)?;
    let (json, rows) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(truncated)?;
    let mut fields = parse_object(json)?;
    let metadata = Metadata::from_json(&fields)?;
    let replicas = fields.get("replica_count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
    let replicas = replicas.ok_or_else(|| RingError::new("the ring's replica_count is no whole number"))?;
    let big = match fields.get("byteorder").and_then(Value::as_str) {
        Some("big") => true,
        // Absent before mid-2015: the writer's order, in practice little.
        Some("little") | None => false,
        Some(other) => return Err(RingError::new(format!("the ring's byteorder {other:?} is unknown"))),
    };
    // What follows the promised rows is no concern of ours, as in Swift.
    let promised = replicas.saturating_mul(2 * metadata.partitions()).min(rows.len());
    let rows = rows.split_at(promised).0;
    let id = |bytes| if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    let rows = cut_rows(rows, metadata.partitions(), id)?;
    if rows.len() != replicas {
        return Err(RingError::new(format!("the ring promises {replicas} rows and holds {}", rows.len())));
    }
    let devices = device_list(fields.remove("devs"))?;
    Ok(metadata.with(devices, Rows::Two(rows)))
}

pub(super) fn write(contents: &Contents, file_name: &str) -> Result<Vec<u8>, RingError> {
    let Rows::Two(rows) = &contents.rows else {
        return Err(RingError::new("version 1 has no room for ids of 4 bytes; write version 2"));
    };
    let mut fields = Map::new();
    fields.insert("byteorder".into(), "little".into());
    fields.insert("devs".into(), Value::Array(contents.devices.clone()));
    fields.insert("part_shift".into(), contents.part_shift.into());
    fields.insert("replica_count".into(), rows.len().into());
    if let Some(version) = contents.version {
        fields.insert("version".into(), version.into());
    }
    if let Some(power) = contents.next_part_power {
        fields.insert("next_part_power".into(), power.into());
    }
    let json = dumps(&Value::Object(fields));
    let length =
        u32::try_from(json.len()).map_err(|_| RingError::new("the ring has too many devices for version 1"))?;
    let mut writer = Writer::new(file_name);
    writer.set_level(STORED);
    writer.write(b"R1NG\x00\x01");
    writer.set_level(BEST);
    writer.write(&length.to_be_bytes());
    writer.write(json.as_bytes());
    for row in rows {
        let bytes: Vec<u8> = row.iter().flat_map(|id| id.to_le_bytes()).collect();
        writer.write(&bytes);
    }
    Ok(writer.finish())
}
