//! Core: the bytes of an entry in the index. No I/O, no clock, no async.
//!
//! ```text
//!  entry   [dead] version … ; at least one of them, each but the last says that another follows
//!  dead    flags u8 | counter in as many bytes as it needs
//!          flags: bits 0-1 are 3; bits 2-3 bytes of the counter less one; bit 7 another follows
//!  version flags u8 | widths u8 | timestamp [| offset u64] [| content type u64 [| offset u64]] [| volume | slot | length]
//!          flags: bits 0-1 data, meta, tombstone; bits 2-3 volume, large, stock, lost; bit 4 the timestamp has an offset; bit 5 a content
//!          type's time follows; bit 6 that one has an offset; bit 7 another follows
//!          widths: bits 0-1 bytes of the timestamp less five, 2-3 of the volume, 4-5 of the slot, 6-7 of the length, each less one
//! ```
//!
//! Little-endian. A slot is the place in the volume in units of `RECORD_ALIGNMENT`. Each number takes the fewest bytes that its width can say:
//! an object has one form, and nearly all of them 14 bytes.

use super::{At, Entry, HELD_MAX, Held, Place};
use crate::store::diskfile::Version;
use crate::store::packed::record::{Damage, Input, RECORD_ALIGNMENT};
use base::timestamp::Timestamp;

const KIND: u8 = 3;
const DEAD: u8 = 3;
pub(in crate::store::packed) const PLACE_SHIFT: u8 = 2;
pub(in crate::store::packed) const OFFSET: u8 = 1 << 4;
pub(in crate::store::packed) const CONTENT_TYPE: u8 = 1 << 5;
pub(in crate::store::packed) const CONTENT_TYPE_OFFSET: u8 = 1 << 6;
const MORE: u8 = 1 << 7;
/// Fewest bytes of a timestamp: those of today take six.
const TIME_BYTES_MIN: u8 = 5;

/// The most bytes an entry takes.
pub(in crate::store::packed) const ENTRY_BYTES_MAX: usize = 5 + HELD_MAX * (2 + 4 * 8 + 3 * 4);

impl Entry {
    /// Adds the bytes. An entry without anything to say has none: it is not stored.
    pub(in crate::store::packed) fn encode(&self, output: &mut Vec<u8>) {
        assert!(!self.is_empty(), "an entry that says nothing leaves the index");
        assert!(self.held.len() <= HELD_MAX, "more versions than an entry holds");
        if self.dead > 0 {
            let width = width(u64::from(self.dead), 1);
            let more = if self.held.is_empty() { 0 } else { MORE };
            output.push(DEAD | (width - 1) << PLACE_SHIFT | more);
            push(output, u64::from(self.dead), width);
        }
        for (number, held) in self.held.iter().enumerate() {
            let more = if number + 1 < self.held.len() { MORE } else { 0 };
            encode_version(held, more, output);
        }
    }

    /// Reads one entry off the front.
    pub(in crate::store::packed) fn decode(input: &mut Input<'_>) -> Result<Entry, Damage> {
        let mut entry = Entry::default();
        entry.dead = decode_parts(input, &mut |held| entry.held.push(held))?;
        Ok(entry)
    }

    /// The same for who does not want it and knows that it was written so.
    pub(in crate::store::packed) fn skip(input: &mut Input<'_>) -> Result<(), Damage> {
        // Nearly all are one version in a volume.
        if let [0, widths, ..] = input.0 {
            let width = |shift: u8| usize::from(widths >> shift & 3) + 1;
            let fixed = 2 + usize::from(TIME_BYTES_MIN) - 1;
            return input.slice(fixed + width(0) + width(2) + width(4) + width(6)).map(drop);
        }
        decode_parts(input, &mut |_| {}).map(drop)
    }
}

/// Hands out the versions; the counter of dead records.
fn decode_parts(input: &mut Input<'_>, found: &mut impl FnMut(Held)) -> Result<u32, Damage> {
    let mut flags = byte(input)?;
    let mut dead = 0;
    if flags & KIND == DEAD {
        if flags & (OFFSET | CONTENT_TYPE | CONTENT_TYPE_OFFSET) != 0 {
            return Err(damage("no flags of a counter"));
        }
        let counted = sized(input, (flags >> PLACE_SHIFT & 3) + 1, 1)?;
        dead = u32::try_from(counted).map_err(|_| damage("a counter of more than 32 bits"))?;
        if dead == 0 {
            return Err(damage("a counter of zero"));
        }
        if flags & MORE == 0 {
            return Ok(dead);
        }
        flags = byte(input)?;
    }
    for _ in 0..HELD_MAX {
        found(decode_version(flags, input)?);
        if flags & MORE == 0 {
            return Ok(dead);
        }
        flags = byte(input)?;
    }
    Err(damage("too many versions"))
}

/// Flags of a version, its timestamp and its content type's: the same in an entry and in a quarantine record.
pub(in crate::store::packed) fn parts_of(held: &Held) -> (u8, Timestamp, Option<Timestamp>) {
    let (kind, timestamp, content_type) = match held.version {
        Version::Data(timestamp) => (0, timestamp, None),
        Version::Meta { timestamp, content_type } => (1, timestamp, content_type),
        Version::Tombstone(timestamp) => (2, timestamp, None),
    };
    let place = match held.place {
        Place::Volume(_) => 0,
        Place::Large(_) => 1,
        Place::Stock => 2,
        Place::Lost(_) => 3,
    };
    let mut flags = kind | place << PLACE_SHIFT;
    if timestamp.offset() > 0 {
        flags |= OFFSET;
    }
    if let Some(content_type) = content_type {
        flags |= CONTENT_TYPE;
        if content_type.offset() > 0 {
            flags |= CONTENT_TYPE_OFFSET;
        }
    }
    (flags, timestamp, content_type)
}

/// The version that such flags and times mean; `None` when there is none.
pub(in crate::store::packed) fn version_of(
    flags: u8,
    timestamp: Timestamp,
    content_type: Option<Timestamp>,
) -> Option<Version> {
    match (flags & KIND, content_type) {
        (0, None) => Some(Version::Data(timestamp)),
        (1, content_type) => Some(Version::Meta { timestamp, content_type }),
        (2, None) => Some(Version::Tombstone(timestamp)),
        _ => None,
    }
}

fn encode_version(held: &Held, more: u8, output: &mut Vec<u8>) {
    let (flags, timestamp, content_type) = parts_of(held);
    let time_width = width(timestamp.raw(), TIME_BYTES_MIN);
    let place = held.place.at().map(|at| {
        let slot = u32::try_from(at.offset / RECORD_ALIGNMENT).expect("volumes are below 256 GiB");
        [at.volume, slot, at.length].map(|number| (u64::from(number), width(u64::from(number), 1)))
    });
    let mut widths = time_width - TIME_BYTES_MIN;
    for ((_, width), shift) in place.iter().flatten().zip([2, 4, 6]) {
        widths |= (width - 1) << shift;
    }
    output.extend_from_slice(&[flags | more, widths]);
    push(output, timestamp.raw(), time_width);
    if timestamp.offset() > 0 {
        push(output, timestamp.offset(), 8);
    }
    if let Some(content_type) = content_type {
        push(output, content_type.raw(), 8);
        if content_type.offset() > 0 {
            push(output, content_type.offset(), 8);
        }
    }
    for (number, width) in place.into_iter().flatten() {
        push(output, number, width);
    }
}

fn decode_version(flags: u8, input: &mut Input<'_>) -> Result<Held, Damage> {
    let has_content_type = flags & CONTENT_TYPE != 0;
    if flags & CONTENT_TYPE_OFFSET != 0 && !has_content_type {
        return Err(damage("no flags of a version"));
    }
    let widths = byte(input)?;
    let offset = |input: &mut Input<'_>, is_there: bool| match is_there {
        // It is not written when there is none.
        true => input.u64().and_then(|offset| if offset > 0 { Ok(offset) } else { Err(damage("an offset of zero")) }),
        false => Ok(0),
    };
    let raw = sized(input, (widths & 3) + TIME_BYTES_MIN, TIME_BYTES_MIN)?;
    let timestamp = Timestamp::from_raw(raw, offset(input, flags & OFFSET != 0)?);
    let content_type = match has_content_type {
        true => {
            let raw = input.u64()?;
            Some(Timestamp::from_raw(raw, offset(input, flags & CONTENT_TYPE_OFFSET != 0)?))
        }
        false => None,
    };
    let version = version_of(flags, timestamp, content_type).ok_or_else(|| damage("no kind of version"))?;
    let place = match flags >> PLACE_SHIFT & 3 {
        0 => Place::Volume(at(widths, input)?),
        1 => Place::Large(at(widths, input)?),
        2 if widths >> 2 == 0 => Place::Stock,
        2 => return Err(damage("a place of what has none")),
        _ => Place::Lost(at(widths, input)?),
    };
    Ok(Held { version, place })
}

fn at(widths: u8, input: &mut Input<'_>) -> Result<At, Damage> {
    let mut number = |shift: u8| -> Result<u32, Damage> {
        let number = sized(input, (widths >> shift & 3) + 1, 1)?;
        u32::try_from(number).map_err(|_| damage("a number of more than 32 bits"))
    };
    let (volume, slot, length) = (number(2)?, number(4)?, number(6)?);
    Ok(At { volume, offset: u64::from(slot) * RECORD_ALIGNMENT, length })
}

/// Bytes that a number needs, and no fewer than `least`.
fn width(number: u64, least: u8) -> u8 {
    let bytes = u64::BITS.div_ceil(8) - number.leading_zeros() / 8;
    u8::try_from(bytes).expect("at most eight").max(least)
}

fn push(output: &mut Vec<u8>, number: u64, width: u8) {
    output.extend(number.to_le_bytes().iter().take(usize::from(width)));
}

/// A number of `width` bytes; fewer must not have been enough.
fn sized(input: &mut Input<'_>, width: u8, least: u8) -> Result<u64, Damage> {
    let bytes = input.slice(usize::from(width))?;
    let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    if self::width(number, least) != width {
        return Err(damage("a number wider than it need be"));
    }
    Ok(number)
}

fn byte(input: &mut Input<'_>) -> Result<u8, Damage> {
    input.take::<1>().map(|[byte]| byte)
}

fn damage(message: &str) -> Damage {
    Damage { message: format!("a value of the index: {message}") }
}
