//! Multipart bodies as browsers send them, cut anywhere, and those that nobody should send.

use super::*;
use proptest::prelude::*;

/// The parts of a body that comes in pieces: fields and bytes of each.
fn read(boundary: &str, body: &[u8], piece: usize) -> Result<Vec<(Headers, Vec<u8>)>, MimeError> {
    let mut reader = MimeReader::new(boundary.as_bytes()).unwrap();
    let (mut pieces, mut parts) = (body.chunks(piece.max(1)), Vec::new());
    loop {
        match reader.event()? {
            Some(Event::Part(fields)) => parts.push((fields, Vec::new())),
            Some(Event::Data(bytes)) => {
                assert!(!bytes.is_empty());
                parts.last_mut().unwrap().1.extend_from_slice(&bytes);
            }
            Some(Event::PartEnd) => {}
            Some(Event::End) => return Ok(parts),
            None => match pieces.next() {
                Some(bytes) => reader.feed(bytes),
                None => reader.end_of_input(),
            },
        }
    }
}

const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--b\r\n\
    content-disposition: form-data; name=\"f\";\r\n filename=\"x\"\r\nContent-Type: text/plain\r\n\r\nline\r\n--c\r\n\r\n\r\n--b\r\n\r\n\r\n--b--\r\nepilogue";

#[test]
fn a_form_reads_the_same_however_it_is_cut() {
    for piece in 1..=FORM.len() {
        let parts = read("b", FORM.as_bytes(), piece).unwrap();
        assert_eq!(parts.len(), 3, "{piece}");
        assert_eq!(parts[0].1, b"value");
        assert_eq!(parts[1].1, b"line\r\n--c\r\n\r\n");
        assert_eq!(parts[1].0.get_str("Content-Disposition"), Some("form-data; name=\"f\"; filename=\"x\""));
        assert_eq!(parts[1].0.get_str("content-type"), Some("text/plain"));
        assert!(parts[2].0.is_empty() && parts[2].1.is_empty());
    }
}

#[test]
fn a_body_that_begins_or_ends_otherwise_is_malformed() {
    for (body, error) in [
        ("", MimeError::Start),
        ("XX--b\r\n\r\n\r\n--b--", MimeError::Start),
        ("--bb\r\n\r\n\r\n--bb--", MimeError::Start),
        ("--b--\r\n", MimeError::Start),
        ("--b", MimeError::Start),
        ("\r\n\r\n--", MimeError::Start),
        ("--b\r\n", MimeError::Fields),
        ("--b\r\nno colon\r\n\r\nx\r\n--b--", MimeError::Fields),
        ("--b\r\na: b\nc: d\r\n\r\nx\r\n--b--", MimeError::Fields),
        ("--b\r\n folded: first\r\n\r\nx\r\n--b--", MimeError::Fields),
        ("--b\r\na: b\r\n\r\ncut in the middle", MimeError::Delimiter),
        ("--b\r\na: b\r\n\r\nx\r\n--b", MimeError::Delimiter),
        ("--b\r\na: b\r\n\r\nx\r\n--bX\r\n", MimeError::Delimiter),
    ] {
        for piece in [1, 3, 1000] {
            assert_eq!(read("b", body.as_bytes(), piece), Err(error), "{body:?}");
        }
    }
    // Empty lines may stand in front, and the first line may end with LF alone, as in Swift.
    assert_eq!(read("b", b"\r\n\r\n--b\n\r\nx\r\n--b--", 1).unwrap()[0].1, b"x");
}

#[test]
fn fields_are_bounded_and_boundaries_possible() {
    let long = format!("--b\r\na: {}\r\n\r\n\r\n--b--", "x".repeat(FIELDS_BYTES_MAX));
    assert_eq!(read("b", long.as_bytes(), 4096), Err(MimeError::Fields));
    let endless = format!("--b\r\na: {}", "x".repeat(2 * FIELDS_BYTES_MAX));
    assert_eq!(read("b", endless.as_bytes(), 4096), Err(MimeError::Fields));
    let many = format!("--b\r\n{}\r\n\r\n--b--", "a: b\r\n".repeat(FIELDS_MAX + 1));
    assert_eq!(read("b", many.as_bytes(), 4096), Err(MimeError::Fields));
    for boundary in [&b""[..], b"a\rb", b"a\nb", &[b'x'; BOUNDARY_MAX + 1]] {
        assert!(MimeReader::new(boundary).is_none());
    }
}

#[test]
fn nothing_but_the_beginning_of_a_delimiter_is_held_back() {
    let mut reader = MimeReader::new(b"boundary").unwrap();
    reader.feed(b"--boundary\r\n\r\ndata\r\n--bound");
    assert_eq!(reader.event(), Ok(Some(Event::Part(Headers::new()))));
    assert_eq!(reader.event(), Ok(Some(Event::Data("data".into()))));
    assert_eq!(reader.event(), Ok(None));
    assert_eq!(reader.buffer.len(), "\r\n--bound".len());
    reader.feed(b"less\r\r");
    assert_eq!(reader.event(), Ok(Some(Event::Data("\r\n--boundless\r".into()))));
    assert_eq!(reader.buffer.len(), 1);
}

#[test]
fn parameters_are_read_as_swift_reads_them() {
    let check = |text: &str, first: &str, expected: &[(&str, &str)]| {
        assert_eq!(parameters(text), (first, expected.to_vec()), "{text}");
    };
    check("form-data; name=\"a\"; filename=\"b; c.txt\"", "form-data", &[("name", "a"), ("filename", "b; c.txt")]);
    check("form-data; name=a;filename=\"\"", "form-data", &[("name", "a"), ("filename", "")]);
    check("form-data; filename=\"a\"b\"; name=x", "form-data", &[("filename", "a\"b"), ("name", "x")]);
    check("form-data", "form-data", &[]);
    check("form-data; filename*=UTF-8''x; name=a", "form-data", &[]);
    check("form-data; name=\"never closed", "form-data", &[]);
    check("form-data; name=a; filename=\"b\"; other=\"c", "form-data", &[("name", "a"), ("filename", "b")]);
    check("multipart/form-data; boundary=----X1", "multipart/form-data", &[("boundary", "----X1")]);
}

proptest! {
    #[test]
    fn parts_come_out_as_they_went_in(parts in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-bx".to_vec()), 0..40), 0..4), piece in 1_usize..20) {
        // No part may hold what would end it.
        prop_assume!(parts.iter().all(|part| !part.windows(5).any(|bytes| bytes == b"\r\n--b")));
        let mut body = b"--b".to_vec();
        for part in &parts {
            body.extend_from_slice(b"\r\nX: y\r\n\r\n");
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n--b");
        }
        if parts.is_empty() {
            body.extend_from_slice(b"\r\n\r\n\r\n--b");
        }
        body.extend_from_slice(b"--");
        let read = read("b", &body, piece).unwrap();
        let expected = if parts.is_empty() { vec![Vec::new()] } else { parts };
        prop_assert_eq!(read.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), expected);
    }
}
