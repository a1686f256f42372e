//! Core: Swift's timestamps (specs: timestamps-and-hashing §1): 10-microsecond units since 1970 and an offset.

use std::time::Duration;

/// A point in time as Swift orders events. Ordered by raw, then offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    raw: u64,
    offset: u64,
}

/// Why a text is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The zero of "never".
    pub const ZERO: Timestamp = Timestamp { raw: 0, offset: 0 };
    /// From 10 µs units and an offset.
    pub fn from_raw(raw: u64, offset: u64) -> Self {
        Self { raw, offset }
    }
    /// From a wall clock (`io::unix_time()`), rounded to 10 µs.
    pub fn from_unix(time: Duration) -> Self {
        let _ = time;
        todo!()
    }
    /// Any accepted string form (normal, internal, short, bare numbers).
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let _ = text;
        todo!()
    }
    /// 10 µs units.
    pub fn raw(self) -> u64 {
        self.raw
    }
    /// The offset.
    pub fn offset(self) -> u64 {
        self.offset
    }
    /// `1402464677.04188`.
    pub fn normal(self) -> String {
        todo!()
    }
    /// Normal, with `_%016x` if there is an offset: headers, file names, columns.
    pub fn internal(self) -> String {
        todo!()
    }
    /// Normal, with `_%x` if there is an offset.
    pub fn short(self) -> String {
        todo!()
    }
    /// Seconds rounded up: `Last-Modified`.
    pub fn ceil_seconds(self) -> u64 {
        todo!()
    }
    /// Whole seconds, fraction dropped.
    pub fn seconds(self) -> u64 {
        todo!()
    }
    /// `2014-06-11T05:31:17.041880`, as listings show it.
    pub fn isoformat(self) -> String {
        todo!()
    }
    /// The reverse-ordered twin used by versioning.
    pub fn inverse(self) -> Self {
        todo!()
    }
}

/// `t1[±hex[±hex]]`: several timestamps in one string (specs §1.2). `explicit` shows a zero delta too.
pub fn encode(_t1: Timestamp, _t2: Option<Timestamp>, _t3: Option<Timestamp>, _explicit: bool) -> String {
    todo!()
}
/// The reverse; missing ones are `None` when `explicit`, else equal to the one before.
pub fn decode(
    _text: &str,
    _explicit: bool,
) -> Result<(Timestamp, Option<Timestamp>, Option<Timestamp>), InvalidTimestamp> {
    todo!()
}
