//! Core: commands as Swift writes them. Every one asks for a reply: without it a delete could be overtaken by a get on another
//! connection.

use super::key::WireKey;
use super::value::Value;
use bytes::{BufMut, Bytes, BytesMut};
use std::time::Duration;

/// Longer times to live are sent as a point in time, which memcached tells apart by their size.
const RELATIVE_MAX: u64 = 30 * 24 * 60 * 60;

/// What memcached is told of a time to live: seconds from now, or past 30 days the second of the end. Fractions are cut, 0 is for ever.
pub fn expiry(life: Duration, unix_now: Duration) -> u64 {
    if life > Duration::from_secs(RELATIVE_MAX) { life.saturating_add(unix_now).as_secs() } else { life.as_secs() }
}

/// `get` of one key or several.
pub fn get(keys: &[WireKey]) -> Bytes {
    let mut line = BytesMut::with_capacity(5 + keys.len() * 33);
    line.put_slice(b"get");
    for key in keys {
        line.put_u8(b' ');
        line.put_slice(key.as_bytes());
    }
    line.put_slice(b"\r\n");
    line.freeze()
}

/// `set`: stores in any case.
pub fn set(key: &WireKey, value: &Value, expiry: u64) -> Bytes {
    store(b"set ", key, value, expiry)
}

/// `add`: stores what is not there yet.
pub fn add(key: &WireKey, value: &Value, expiry: u64) -> Bytes {
    store(b"add ", key, value, expiry)
}

fn store(verb: &[u8], key: &WireKey, value: &Value, expiry: u64) -> Bytes {
    let mut command = BytesMut::with_capacity(96 + value.bytes.len());
    command.put_slice(verb);
    command.put_slice(key.as_bytes());
    command.put_slice(format!(" {} {expiry} {}\r\n", value.flags, value.bytes.len()).as_bytes());
    command.put_slice(&value.bytes);
    command.put_slice(b"\r\n");
    command.freeze()
}

/// `incr`, or `decr` of what is negative; memcached stops at zero.
pub fn count(key: &WireKey, delta: i64) -> Bytes {
    let verb: &[u8] = if delta < 0 { b"decr " } else { b"incr " };
    let mut line = BytesMut::with_capacity(64);
    line.put_slice(verb);
    line.put_slice(key.as_bytes());
    line.put_slice(format!(" {}\r\n", delta.unsigned_abs()).as_bytes());
    line.freeze()
}

/// What a counter that is not there becomes.
pub fn first_count(delta: i64) -> u64 {
    u64::try_from(delta).unwrap_or(0)
}

/// `delete`.
pub fn delete(key: &WireKey) -> Bytes {
    let mut line = BytesMut::with_capacity(48);
    line.put_slice(b"delete ");
    line.put_slice(key.as_bytes());
    line.put_slice(b"\r\n");
    line.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_thirty_days_is_a_point_in_time() {
        let now = Duration::from_secs(1_800_000_000);
        let check = |life: f64, sent: u64| assert_eq!(expiry(Duration::from_secs_f64(life), now), sent, "{life}");
        check(0.0, 0);
        check(0.9, 0);
        check(6.0, 6);
        check(60.9, 60);
        check(2_592_000.0, 2_592_000);
        check(2_592_000.5, 1_802_592_000);
        check(2_592_001.0, 1_802_592_001);
    }
}
