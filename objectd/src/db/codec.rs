//! Core: little-endian values with explicit widths, written by `Writer` and read by `Reader`.
//!
//! A reader refuses what a writer could not have written: a short value, bytes left over, text that is not UTF-8.

use base::timestamp::Timestamp;
use std::io;

/// What is said about bytes that could not have been written by us.
pub fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unreadable {what} in the row database"))
}

/// Builds a value.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Of nothing yet.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }
    /// One byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }
    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }
    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }
    /// Eight bytes.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }
    /// Two u64: raw and offset.
    pub fn time(&mut self, value: Timestamp) -> &mut Self {
        self.u64(value.raw()).u64(value.offset())
    }
    /// A u32 length and the bytes.
    pub fn text(&mut self, value: &str) -> &mut Self {
        let length = u32::try_from(value.len()).expect("texts are bounded far below 4 GiB by header limits");
        self.u32(length).bytes(value.as_bytes())
    }
    /// Bytes as they are.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }
    /// The value.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a value apart, front to back.
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Over `bytes`; `what` is for messages.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }
    /// `count` bytes.
    pub fn bytes(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| corrupt(self.what))?;
        self.rest = rest;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let what = self.what;
        self.bytes(N)?.try_into().map_err(|_| corrupt(what))
    }
    /// Sixteen bytes.
    pub fn digest(&mut self) -> io::Result<[u8; 16]> {
        self.array()
    }
    /// One byte.
    pub fn u8(&mut self) -> io::Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
    /// A byte that is 0 or 1.
    pub fn flag(&mut self) -> io::Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(corrupt(self.what)),
        }
    }
    /// Refuses any version but `version`.
    pub fn version(&mut self, version: u8) -> io::Result<()> {
        if self.u8()? == version { Ok(()) } else { Err(corrupt(self.what)) }
    }
    /// Four bytes.
    pub fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }
    /// Eight bytes.
    pub fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
    /// Eight bytes.
    pub fn i64(&mut self) -> io::Result<i64> {
        self.array().map(i64::from_le_bytes)
    }
    /// Raw and offset.
    pub fn time(&mut self) -> io::Result<Timestamp> {
        Ok(Timestamp::from_raw(self.u64()?, self.u64()?))
    }
    /// A length and that many bytes of UTF-8.
    pub fn text(&mut self) -> io::Result<&'a str> {
        let length = usize::try_from(self.u32()?).map_err(|_| corrupt(self.what))?;
        let what = self.what;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| corrupt(what))
    }
    /// Nothing may be left.
    pub fn end(self) -> io::Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(corrupt(self.what)) }
    }
}
