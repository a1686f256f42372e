//! Core: multipart/byteranges bodies: what stands around each part, and the length of the whole.

/// The bytes before a part's data, e.g. `--X\r\nContent-Type: t\r\nContent-Range: bytes a-b/len\r\n\r\n`.
pub fn part_head(_boundary: &str, _content_type: &str, _first: u64, _last: u64, _length: u64) -> Vec<u8> {
    todo!()
}
/// What closes the body: `--X--`.
pub fn tail(_boundary: &str) -> Vec<u8> {
    todo!()
}
/// Length of the whole body for these `(first, last)` ranges of an object of `length` bytes.
pub fn body_length(_boundary: &str, _content_type: &str, _ranges: &[(u64, u64)], _length: u64) -> u64 {
    todo!()
}
