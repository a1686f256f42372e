//! Core: a value and its flags, as Swift stores them.

use bytes::Bytes;

/// Python's pickle: written by old versions, never read here.
const PICKLE: u32 = 1;
/// JSON text.
const JSON: u32 = 2;

/// Largest value taken or sent: memcached's own limit unless its operator raised it.
pub const BYTES_MAX: usize = 1024 * 1024;

/// What memcached holds for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// How to read the bytes.
    pub flags: u32,
    /// The bytes.
    pub bytes: Bytes,
}

impl Value {
    /// JSON text.
    pub fn json(text: impl Into<Bytes>) -> Value {
        Value { flags: JSON, bytes: text.into() }
    }

    /// Plain text, which is what counters are.
    pub fn text(text: impl Into<Bytes>) -> Value {
        Value { flags: 0, bytes: text.into() }
    }

    /// The JSON it holds. `None` for everything else: a pickle is a miss, as is what does not parse. Deep nesting is refused by
    /// the parser.
    pub fn as_json(&self) -> Option<serde_json::Value> {
        if self.flags & PICKLE != 0 || self.flags & JSON == 0 {
            return None;
        }
        serde_json::from_slice(&self.bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pickle_is_never_read_whatever_it_looks_like() {
        for flags in [1, 3, 1 | 1 << 16] {
            assert_eq!(Value { flags, bytes: Bytes::from_static(b"{}") }.as_json(), None, "{flags}");
        }
        assert_eq!(Value::text("1").as_json(), None);
        assert!(Value::json("{}").as_json().is_some());
        assert_eq!(Value::json("{").as_json(), None);
        assert_eq!(Value::json("[".repeat(100_000)).as_json(), None);
    }
}
