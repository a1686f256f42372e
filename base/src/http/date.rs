//! Core: HTTP dates (RFC 1123), written and read in all three forms of RFC 9110.

/// `Wed, 11 Jun 2014 05:31:18 GMT` for seconds since 1970.
pub fn format(_unix_seconds: u64) -> String {
    todo!()
}
/// Seconds since 1970; `None` when it is no date.
pub fn parse(_value: &[u8]) -> Option<u64> {
    todo!()
}
