//! Core: the record that takes a damaged version out of use. No I/O, no clock, no async.
//!
//! It is written to the log, so that a replay brings back neither the damaged version nor what that had replaced, and lives there like
//! any other record (`Place::Lost`). The damaged bytes themselves stay in their volume until compaction, for whoever wants to look at them.
//!
//! ```text
//!  held    flags u8 | timestamp u64 [| offset u64] [| content type u64 [| offset u64]] [| volume u32 | place u32 | length u32]
//!          flags: bits 0-1 data, meta, tombstone; bits 2-3 volume, large, stock, lost; bit 4 the timestamp has an offset; bit 5 a content
//!          type's time follows; bit 6 that one has an offset
//! ```
//!
//! Little-endian; `place` in units of `RECORD_ALIGNMENT`.

use super::entry::bytes::{CONTENT_TYPE, CONTENT_TYPE_OFFSET, OFFSET, PLACE_SHIFT, parts_of, version_of};
use super::entry::{At, Held, Place};
use super::record::{Damage, Head, Identity, Input, Kind, RECORD_ALIGNMENT};
use crate::store::metadata::Metadata;
use base::timestamp::Timestamp;

/// The item that says which version at which place.
const HELD: &str = "held";

/// The record that takes `held` out of use.
pub(super) fn encode(identity: Identity, held: Held) -> Head {
    let mut metadata = Metadata::new();
    let mut bytes = Vec::new();
    encode_held(&held, &mut bytes);
    metadata.set(HELD, bytes);
    Head { kind: Kind::Quarantine, identity, version: held.version, metadata, body_bytes: 0, checksums: Vec::new() }
}

/// What the record takes out of use; `None` when it says nothing that can be.
pub(super) fn decode(head: &Head) -> Option<Held> {
    let mut input = Input(head.metadata.get(HELD)?);
    let held = decode_held(&mut input).ok()?;
    input.0.is_empty().then_some(held)
}

fn encode_held(held: &Held, output: &mut Vec<u8>) {
    let (flags, timestamp, content_type) = parts_of(held);
    output.push(flags);
    for time in [Some(timestamp), content_type].into_iter().flatten() {
        output.extend_from_slice(&time.raw().to_le_bytes());
        if time.offset() > 0 {
            output.extend_from_slice(&time.offset().to_le_bytes());
        }
    }
    if let Some(at) = held.place.at() {
        output.extend_from_slice(&at.volume.to_le_bytes());
        let slot = u32::try_from(at.offset / RECORD_ALIGNMENT).expect("volumes are below 256 GiB");
        output.extend_from_slice(&slot.to_le_bytes());
        output.extend_from_slice(&at.length.to_le_bytes());
    }
}

fn decode_held(input: &mut Input<'_>) -> Result<Held, Damage> {
    let flags = input.take::<1>().map(|[byte]| byte)?;
    let has_content_type = flags & CONTENT_TYPE != 0;
    if flags >> 7 != 0 || (flags & CONTENT_TYPE_OFFSET != 0 && !has_content_type) {
        return Err(damage("no flags of a version"));
    }
    let mut time = |has_offset: bool| -> Result<Timestamp, Damage> {
        let raw = input.u64()?;
        let offset = if has_offset { input.u64()? } else { 0 };
        // It is not written when there is none.
        if has_offset && offset == 0 {
            return Err(damage("an offset of zero"));
        }
        Ok(Timestamp::from_raw(raw, offset))
    };
    let timestamp = time(flags & OFFSET != 0)?;
    let content_type = if has_content_type { Some(time(flags & CONTENT_TYPE_OFFSET != 0)?) } else { None };
    let version = version_of(flags, timestamp, content_type).ok_or_else(|| damage("no kind of version"))?;
    let place = match flags >> PLACE_SHIFT & 3 {
        0 => Place::Volume(at(input)?),
        1 => Place::Large(at(input)?),
        2 => Place::Stock,
        _ => Place::Lost(at(input)?),
    };
    Ok(Held { version, place })
}

fn at(input: &mut Input<'_>) -> Result<At, Damage> {
    let volume = input.u32()?;
    let offset = u64::from(input.u32()?) * RECORD_ALIGNMENT;
    Ok(At { volume, offset, length: input.u32()? })
}

fn damage(message: &str) -> Damage {
    Damage { message: format!("a quarantine record: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::diskfile::Version;
    use base::hash_path::NameHash;

    #[test]
    fn it_names_one_version_at_one_place() {
        let at = At { volume: 3, offset: 128, length: 99 };
        let time = |offset| Timestamp::from_raw(7, offset);
        for (version, place) in [
            (Version::Data(time(1)), Place::Large(at)),
            (Version::Data(time(0)), Place::Stock),
            (Version::Tombstone(time(0)), Place::Volume(at)),
            (Version::Meta { timestamp: time(2), content_type: Some(time(1)) }, Place::Lost(at)),
            (Version::Meta { timestamp: time(0), content_type: None }, Place::Volume(at)),
        ] {
            let held = Held { version, place };
            let identity = Identity { policy: 0, hash: NameHash([1; 16]), name: "/a/c/o".to_owned() };
            assert_eq!(decode(&encode(identity, held)), Some(held));
        }
    }

    #[test]
    fn the_bytes_are_those_that_volumes_hold() {
        let held = Held {
            version: Version::Data(Timestamp::from_raw(7, 1)),
            place: Place::Large(At { volume: 3, offset: 128, length: 99 }),
        };
        let mut bytes = Vec::new();
        encode_held(&held, &mut bytes);
        assert_eq!(base::checksum::hex(&bytes), "1407000000000000000100000000000000030000000200000063000000");
    }
}
