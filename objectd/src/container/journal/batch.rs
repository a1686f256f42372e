//! Core: the bytes of one batch of the journal of rows. No I/O, no clock, no async.
//!
//! ```text
//!   0  magic 8 | crc32c u32 of bytes 12 to the end | bytes u32, to the end | sequence u64 | rows u32
//!  28  { hash 16 | deleted 1 | policy 4 | size 8 | name | created_at | content type | etag | time | time } …
//!      zeros to a multiple of 4096
//! ```
//!
//! Little-endian. Texts are a length (4) and that many bytes of UTF-8; a time (of the content type, of the metadata) is a flag, and where that is 1
//! raw (8) and offset (8). The magic holds a byte that no text can hold, so what a row says is never taken for a batch.

use super::super::intake::Row;
use crate::db::codec::{Reader, Writer, corrupt};
use crate::db::object_row::ObjectUpdate;
use base::checksum::crc32c;
use base::hash_path::NameHash;
use base::timestamp::Timestamp;
use std::io;

/// A batch begins and ends at a multiple of this.
pub(super) const ALIGNMENT: usize = 4096;

const MAGIC: &[u8; 8] = b"MLRows\xff\x01";
/// Magic and checksum.
const SEALED_FROM: usize = 12;
const HEAD_BYTES: usize = 28;
/// Of a row beside its texts, at most.
const ROW_BYTES: usize = 16 + 1 + 4 + 8 + 4 * 4 + 2 * 17;

/// Rows that were made durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Each batch has the next number.
    pub(super) sequence: u64,
    /// With the hash of their container.
    pub(super) rows: Vec<(NameHash, ObjectUpdate)>,
}

/// The bytes of a batch, padded.
pub(super) fn encode(sequence: u64, rows: &[Row]) -> Vec<u8> {
    let texts = |row: &Row| {
        let update = &row.update;
        update.name.len() + update.created_at.len() + update.content_type.len() + update.etag.len()
    };
    let capacity = HEAD_BYTES + rows.iter().map(|row| ROW_BYTES + texts(row)).sum::<usize>();
    let mut to = Writer::with_capacity(capacity.next_multiple_of(ALIGNMENT));
    let count = u32::try_from(rows.len()).expect("a batch is bounded far below 2^32");
    to.bytes(MAGIC).u32(0).u32(0).u64(sequence).u32(count);
    for Row { hash, update, .. } in rows {
        to.bytes(&hash.0).u8(u8::from(update.deleted)).u32(update.policy).i64(update.size);
        to.text(&update.name).text(&update.created_at).text(&update.content_type).text(&update.etag);
        for time in [update.content_type_time, update.metadata_time] {
            match time {
                Some(time) => to.u8(1).time(time),
                None => to.u8(0),
            };
        }
    }
    let mut bytes = to.finish();
    let length = u32::try_from(bytes.len()).expect("a batch is bounded far below 4 GiB");
    bytes.get_mut(SEALED_FROM..16).expect("a head").copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c(bytes.get(SEALED_FROM..).unwrap_or_default());
    bytes.get_mut(8..SEALED_FROM).expect("a head").copy_from_slice(&checksum.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

/// Every batch in the bytes of the journal that is whole and has a number above `moved`, in their order. Fails where one is whole but cannot be
/// read: another release wrote it, and passing over it would lose rows.
pub(super) fn find(mut bytes: &[u8], moved: u64) -> io::Result<Vec<Batch>> {
    let mut found = Vec::new();
    // Ends: every turn goes on by a block at least.
    while let Some(block) = bytes.get(..ALIGNMENT) {
        let passed = match sealed(bytes, block)? {
            None => ALIGNMENT,
            Some((sequence, from, length)) => {
                if sequence > moved {
                    found.push(Batch { sequence, rows: rows(from)? });
                }
                length.next_multiple_of(ALIGNMENT)
            }
        };
        bytes = bytes.get(passed..).unwrap_or_default();
    }
    found.sort_by_key(|batch| batch.sequence);
    Ok(found)
}

/// The number of the batch that begins here, its rows, and its bytes; `None` when none does.
fn sealed<'b>(bytes: &'b [u8], block: &[u8]) -> io::Result<Option<(u64, Reader<'b>, usize)>> {
    let mut head = Reader::new(block, WHAT);
    if head.bytes(MAGIC.len())? != MAGIC {
        return Ok(None);
    }
    let (checksum, length) = (head.u32()?, usize::try_from(head.u32()?).unwrap_or(usize::MAX));
    let Some(sealed) = bytes.get(SEALED_FROM..length).filter(|sealed| crc32c(sealed) == checksum) else {
        return Ok(None);
    };
    let mut from = Reader::new(sealed, WHAT);
    from.u32()?;
    Ok(Some((from.u64()?, from, length)))
}

fn rows(mut from: Reader<'_>) -> io::Result<Vec<(NameHash, ObjectUpdate)>> {
    let mut rows = Vec::new();
    for _ in 0..from.u32()? {
        let (hash, deleted, policy, size) = (NameHash(from.digest()?), from.flag()?, from.u32()?, from.i64()?);
        let [name, created_at, content_type, etag] =
            [from.text()?, from.text()?, from.text()?, from.text()?].map(str::to_owned);
        let (content_type_time, metadata_time) = (time(&mut from)?, time(&mut from)?);
        rows.push((
            hash,
            ObjectUpdate {
                name,
                policy,
                created_at,
                size,
                content_type,
                etag,
                deleted,
                content_type_time,
                metadata_time,
            },
        ));
    }
    from.end().map_err(|_| corrupt(WHAT))?;
    Ok(rows)
}

fn time(from: &mut Reader<'_>) -> io::Result<Option<Timestamp>> {
    Ok(if from.flag()? { Some(from.time()?) } else { None })
}

const WHAT: &str = "batch of the journal";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Row {
        let update = ObjectUpdate {
            content_type_time: Some(Timestamp::from_raw(7, 1)),
            size: -3,
            ..ObjectUpdate::deletion(name, 2, Timestamp::from_raw(5, 0))
        };
        Row { hash: NameHash([9; 16]), create: None, update }
    }

    fn plain(rows: &[Row]) -> Vec<(NameHash, ObjectUpdate)> {
        rows.iter().map(|row| (row.hash, row.update.clone())).collect()
    }

    #[test]
    fn batches_are_found_wherever_they_lie_in_the_order_of_their_numbers() {
        let (few, many) = (vec![row("é"), row("")], vec![row(&"n".repeat(1_800)); 7]);
        let mut bytes = [encode(9, &few), vec![0; ALIGNMENT], encode(8, &many), encode(7, &few)].concat();
        bytes.resize(bytes.len() + 100, 1);
        let expected = [Batch { sequence: 8, rows: plain(&many) }, Batch { sequence: 9, rows: plain(&few) }];
        assert_eq!(find(&bytes, 7).unwrap(), expected);
        assert_eq!(find(&bytes, 9).unwrap(), []);
    }

    #[test]
    fn a_batch_that_is_not_whole_is_none_and_hides_no_other() {
        let rows = vec![row("one"), row(&"n".repeat(1_800)), row(&"m".repeat(1_800)), row(&"o".repeat(1_800))];
        let good = encode(1, &rows);
        let length = u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
        assert!(length > ALIGNMENT, "of two blocks");
        for place in (0..length).step_by(3).chain([length - 1]) {
            let mut bytes = [good.clone(), encode(2, &rows[..1])].concat();
            bytes[place] ^= 1;
            let found = find(&bytes, 0).unwrap();
            assert_eq!(found, [Batch { sequence: 2, rows: plain(&rows[..1]) }], "byte {place}");
        }
        assert_eq!(find(&good[..ALIGNMENT], 0).unwrap(), [], "cut short");
    }

    #[test]
    fn one_that_is_whole_and_cannot_be_read_is_an_error() {
        let mut bytes = encode(1, &[row("n")]);
        bytes[24] = 2; // Rows.
        let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        let checksum = crc32c(&bytes[12..length]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        assert!(find(&bytes, 0).is_err());
        assert_eq!(find(&bytes, 1).unwrap(), [], "its rows are in the database");
    }
}
