//! Core: the checksums of a body, one for each 64 KiB. No I/O, no clock, no async.

use super::{BLOCK_BYTES, Damage};
use base::checksum::{crc32c, crc32c_append};
use bytes::Bytes;

/// The checksums of a body that comes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    done: Vec<u32>,
    current: u32,
    filled: usize,
}

impl Blocks {
    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        // Ends: every turn takes at least one byte.
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.current = crc32c_append(self.current, now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                self.done.push(std::mem::take(&mut self.current));
                self.filled = 0;
            }
            bytes = later;
        }
    }

    /// One for each block.
    pub fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.done.push(self.current);
        }
        self.done
    }
}

/// crc32c of each block of a body in pieces.
pub fn checksums(body: &[Bytes]) -> Vec<u32> {
    let mut blocks = Blocks::default();
    for bytes in body {
        blocks.update(bytes);
    }
    blocks.finish()
}

/// Compares whole blocks (the last may be short) with their checksums; `first` is the number of the first one.
pub fn verify_blocks(checksums: &[u32], first: usize, bytes: &[u8]) -> Result<(), Damage> {
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        if checksums.get(first + number) != Some(&crc32c(block)) {
            return Err(Damage { message: format!("block {} does not fit its checksum", first + number) });
        }
    }
    Ok(())
}
