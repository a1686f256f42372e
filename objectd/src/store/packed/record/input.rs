//! Core: reading numbers off the front of bytes. No I/O, no clock, no async.

use super::{Damage, damage};

/// What is left to read.
pub(in crate::store::packed) struct Input<'a>(pub(in crate::store::packed) &'a [u8]);

impl<'a> Input<'a> {
    pub(in crate::store::packed) fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| damage("it ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }
    pub(in crate::store::packed) fn slice(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| damage("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }
    pub(in crate::store::packed) fn u16(&mut self) -> Result<u16, Damage> {
        self.take().map(u16::from_le_bytes)
    }
    pub(in crate::store::packed) fn u32(&mut self) -> Result<u32, Damage> {
        self.take().map(u32::from_le_bytes)
    }
    pub(in crate::store::packed) fn u64(&mut self) -> Result<u64, Damage> {
        self.take().map(u64::from_le_bytes)
    }
}
