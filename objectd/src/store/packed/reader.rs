//! Reads of packed objects: every block is verified before it is given away.

use bytes::Bytes;

/// The bytes of an object in a volume or, when it is large, in a stock file with block checksums.
pub struct Body {}

impl Body {
    /// Bytes.
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// True for an object without bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Exactly `length` bytes, verified. `InvalidData` when they are damaged.
    pub async fn read(&self, from: u64, length: usize) -> std::io::Result<Bytes> {
        todo!("{from} {length}")
    }
}
