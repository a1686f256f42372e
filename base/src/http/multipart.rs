//! Core: multipart/byteranges bodies: what stands around each part, and the length of the whole.
//!
//! Swift's shape: each part is preceded by its head and followed by CRLF, which [`part_tail`] gives; the body ends
//! with `--X--` and no line end.

/// The bytes before a part's data, e.g. `--X\r\nContent-Type: t\r\nContent-Range: bytes a-b/len\r\n\r\n`.
pub fn part_head(boundary: &str, content_type: &str, first: u64, last: u64, length: u64) -> Vec<u8> {
    format!("--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{length}\r\n\r\n")
        .into_bytes()
}

/// What stands behind a part's data.
pub fn part_tail() -> &'static [u8] {
    b"\r\n"
}

/// What closes the body: `--X--`.
pub fn tail(boundary: &str) -> Vec<u8> {
    format!("--{boundary}--").into_bytes()
}

/// Length of the whole body for these `(first, last)` ranges of an object of `length` bytes.
pub fn body_length(boundary: &str, content_type: &str, ranges: &[(u64, u64)], length: u64) -> u64 {
    let parts = ranges.iter().map(|&(first, last)| {
        let head = part_head(boundary, content_type, first, last, length).len();
        let around = u64::try_from(head + part_tail().len()).unwrap_or(u64::MAX);
        around.saturating_add(last.saturating_sub(first)).saturating_add(1)
    });
    let tail = u64::try_from(tail(boundary).len()).unwrap_or(u64::MAX);
    parts.fold(tail, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_swift_is_made_byte_by_byte() {
        let boundary = "85d2f6a59c368381bd0d5e13153fb26d";
        let expected = "--85d2f6a59c368381bd0d5e13153fb26d\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/26\r\n\r\n\
                        AB\r\n--85d2f6a59c368381bd0d5e13153fb26d\r\nContent-Type: text/plain\r\n\
                        Content-Range: bytes 24-25/26\r\n\r\nYZ\r\n--85d2f6a59c368381bd0d5e13153fb26d--";
        let mut body = Vec::new();
        for (first, last, data) in [(0, 1, "AB"), (24, 25, "YZ")] {
            body.extend(part_head(boundary, "text/plain", first, last, 26));
            body.extend(data.bytes());
            body.extend(part_tail());
        }
        body.extend(tail(boundary));
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        assert_eq!(body_length(boundary, "text/plain", &[(0, 1), (24, 25)], 26), 232);
    }
}
