//! Core: replies of memcached, read as what they are: bytes of a stranger.
//!
//! # Invariants
//!
//! - A line is at most [`LINE_BYTES_MAX`], a value [`value::BYTES_MAX`](super::value::BYTES_MAX), all values of one reply
//!   [`VALUES_BYTES_MAX`]: what is announced larger is refused before it is read.
//! - A value is taken only for a key that was asked for, and once.
//! - Nothing is taken out of the buffer before a reply is complete; how the bytes were cut on their way does not matter.
//! - What is not exactly a reply to the command is refused; the connection is then good for closing only.

use super::key::{LENGTH, WireKey};
use super::value::{self, Value};
use bytes::{Buf, BytesMut};

/// Longest line; the longest one of memcached is an error's sentence.
pub const LINE_BYTES_MAX: usize = 1024;
/// Bytes of all values of one reply.
pub const VALUES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Digits of the largest number there is, 2^64 - 1.
const DIGITS_MAX: usize = 20;

/// What a command waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `get`: values of these keys.
    Values(Vec<WireKey>),
    /// `set`, `add`.
    Stored,
    /// `incr`, `decr`.
    Number,
    /// `delete`.
    Deleted,
}

/// What memcached answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// In the order of the keys asked for.
    Values(Vec<Option<Value>>),
    /// It is stored.
    Stored,
    /// `add`: there is one already.
    NotStored,
    /// A counter's new value.
    Number(u64),
    /// It was there, and is gone.
    Deleted,
    /// There is nothing of that key.
    NotFound,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server's own sentence (`SERVER_ERROR object too large for cache`), without control characters.
    Said(String),
    /// It does not speak the protocol, or not to this command.
    Protocol(&'static str),
}

/// Takes one complete reply out of `buffer`; `None` when more bytes are needed.
pub fn next(buffer: &mut BytesMut, wanted: &Wanted) -> Result<Option<Reply>, Refusal> {
    match wanted {
        Wanted::Values(keys) => values(buffer, keys),
        Wanted::Stored | Wanted::Number | Wanted::Deleted => {
            let Some((line, length)) = line_at(buffer, 0)? else { return Ok(None) };
            let reply = one_line(line, wanted)?;
            buffer.advance(length);
            Ok(Some(reply))
        }
    }
}

fn one_line(line: &[u8], wanted: &Wanted) -> Result<Reply, Refusal> {
    match (wanted, line) {
        (Wanted::Stored, b"STORED") => Ok(Reply::Stored),
        (Wanted::Stored, b"NOT_STORED") => Ok(Reply::NotStored),
        (Wanted::Deleted, b"DELETED") => Ok(Reply::Deleted),
        (Wanted::Deleted | Wanted::Number, b"NOT_FOUND") => Ok(Reply::NotFound),
        (Wanted::Number, _) if line.first().is_some_and(u8::is_ascii_digit) => {
            // Older servers pad a counter that became shorter with blanks.
            number(line.trim_ascii_end()).map(Reply::Number)
        }
        _ => Err(refused(line)),
    }
}

/// `VALUE` lines with their data, then `END`.
fn values(buffer: &mut BytesMut, keys: &[WireKey]) -> Result<Option<Reply>, Refusal> {
    // Where each value lies; nothing is copied before the end is there.
    let mut found: Vec<Option<(u32, usize, usize)>> = vec![None; keys.len()];
    let (mut at, mut total) = (0_usize, 0_usize);
    // Ends: every turn goes on by a line of at least six bytes, or returns.
    loop {
        let Some((line, length)) = line_at(buffer, at)? else { return Ok(None) };
        if line == b"END" {
            at += length;
            break;
        }
        let (key, flags, size) = value_line(line)?;
        total = total.saturating_add(size);
        if size > value::BYTES_MAX || total > VALUES_BYTES_MAX {
            return Err(Refusal::Protocol("a value is larger than is taken"));
        }
        let mut places = keys.iter().zip(&mut found).filter(|(asked, _)| asked.as_bytes() == key);
        let Some((_, place)) = places.find(|(_, place)| place.is_none()) else {
            return Err(Refusal::Protocol("a value that was not asked for"));
        };
        let start = at + length;
        *place = Some((flags, start, size));
        let end = start + size;
        match buffer.get(end..end + 2) {
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err(Refusal::Protocol("a value has another length than was said")),
            None => return Ok(None),
        }
    }
    let bytes = buffer.split_to(at).freeze();
    let values = found.into_iter().map(|place| {
        let (flags, start, size) = place?;
        Some(Value { flags, bytes: bytes.slice(start..start + size) })
    });
    Ok(Some(Reply::Values(values.collect())))
}

/// `VALUE <key> <flags> <bytes>`.
fn value_line(line: &[u8]) -> Result<(&[u8], u32, usize), Refusal> {
    let Some(rest) = line.strip_prefix(b"VALUE ") else { return Err(refused(line)) };
    let mut words = rest.split(|&byte| byte == b' ');
    let (Some(key), Some(flags), Some(size), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(Refusal::Protocol("a VALUE line with other than three words"));
    };
    if key.len() != LENGTH {
        return Err(Refusal::Protocol("a key that is none of ours"));
    }
    let flags = u32::try_from(number(flags)?).map_err(|_| Refusal::Protocol("flags of more than 32 bits"))?;
    let size = usize::try_from(number(size)?).map_err(|_| Refusal::Protocol("a value is larger than is taken"))?;
    Ok((key, flags, size))
}

fn number(digits: &[u8]) -> Result<u64, Refusal> {
    let is_number = !digits.is_empty() && digits.len() <= DIGITS_MAX && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok()).ok_or(Refusal::Protocol("not a number"))
}

/// The line that begins at `at`, without its end, and its length with it.
fn line_at(buffer: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Refusal> {
    let rest = buffer.get(at..).unwrap_or_default();
    let Some(end) = rest.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
        return if rest.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Refusal::Protocol("a line without an end")) };
    };
    match rest.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
        Some(line) => Ok(Some((line, end + 1))),
        None => Err(Refusal::Protocol("a line ends without CR")),
    }
}

fn refused(line: &[u8]) -> Refusal {
    let is_error = line == b"ERROR" || line.starts_with(b"SERVER_ERROR ") || line.starts_with(b"CLIENT_ERROR ");
    if !is_error {
        return Refusal::Protocol("not a reply to what was asked");
    }
    let shown = line.iter().map(|&byte| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '?' });
    Refusal::Said(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn keys() -> Vec<WireKey> {
        vec![WireKey::of("a"), WireKey::of("b")]
    }

    fn text(key: &WireKey) -> String {
        String::from_utf8(key.as_bytes().to_vec()).unwrap()
    }

    /// Reads `stream` however it is cut: the same outcome and the same rest.
    fn read(stream: &str, wanted: &Wanted) -> (Result<Option<Reply>, Refusal>, String) {
        let mut outcomes = Vec::new();
        for size in [1, 7, stream.len().max(1)] {
            let mut buffer = BytesMut::new();
            let mut pieces = stream.as_bytes().chunks(size);
            let outcome = loop {
                match next(&mut buffer, wanted) {
                    Ok(None) => match pieces.next() {
                        Some(piece) => buffer.extend_from_slice(piece),
                        None => break Ok(None),
                    },
                    outcome => break outcome,
                }
            };
            let rest: Vec<u8> = buffer.iter().copied().chain(pieces.flatten().copied()).collect();
            outcomes.push((outcome, String::from_utf8_lossy(&rest).into_owned()));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0].0 == pair[1].0), "{outcomes:?}");
        if outcomes[0].0.is_ok() {
            assert!(outcomes.windows(2).all(|pair| pair[0].1 == pair[1].1), "{outcomes:?}");
        }
        outcomes.swap_remove(0)
    }

    fn refuses(stream: &str, wanted: &Wanted) {
        let (outcome, _) = read(stream, wanted);
        assert!(outcome.is_err(), "{stream:?}: {outcome:?}");
    }

    #[test]
    fn values_come_in_the_order_asked() {
        let [a, b] = [0, 1].map(|place| text(&keys()[place]));
        let stream = format!("VALUE {b} 2 4\r\n\r\n\"x\r\nVALUE {a} 0 0\r\n\r\nEND\r\nrest");
        let (outcome, rest) = read(&stream, &Wanted::Values(keys()));
        let value = |flags, bytes| Some(Value { flags, bytes: Bytes::from_static(bytes) });
        assert_eq!(outcome, Ok(Some(Reply::Values(vec![value(0, b""), value(2, b"\r\n\"x")]))));
        assert_eq!(rest, "rest");
        assert_eq!(read("END\r\n", &Wanted::Values(keys())).0, Ok(Some(Reply::Values(vec![None, None]))));
    }

    #[test]
    fn every_one_line_reply_answers_only_its_own_commands() {
        let wanted = [Wanted::Stored, Wanted::Number, Wanted::Deleted, Wanted::Values(keys())];
        let replies: [(&str, Reply, &[usize]); 5] = [
            ("STORED\r\n", Reply::Stored, &[0]),
            ("NOT_STORED\r\n", Reply::NotStored, &[0]),
            ("18446744073709551615  \r\n", Reply::Number(u64::MAX), &[1]),
            ("DELETED\r\n", Reply::Deleted, &[2]),
            ("NOT_FOUND\r\n", Reply::NotFound, &[1, 2]),
        ];
        for (stream, reply, answers) in replies {
            for (number, wanted) in wanted.iter().enumerate() {
                match answers.contains(&number) {
                    true => assert_eq!(read(stream, wanted).0, Ok(Some(reply.clone()))),
                    false => refuses(stream, wanted),
                }
            }
        }
    }

    #[test]
    fn errors_of_the_server_are_told_without_control_characters() {
        let (outcome, _) = read("SERVER_ERROR \u{1b}[31mout of memory\r\n", &Wanted::Stored);
        assert_eq!(outcome, Err(Refusal::Said("SERVER_ERROR ?[31mout of memory".to_owned())));
        assert_eq!(read("ERROR\r\n", &Wanted::Values(keys())).0, Err(Refusal::Said("ERROR".to_owned())));
    }

    #[test]
    fn what_lies_about_keys_and_lengths_is_refused() {
        let wanted = Wanted::Values(keys());
        let a = text(&keys()[0]);
        let other = text(&WireKey::of("c"));
        for stream in [
            format!("VALUE {other} 0 1\r\nx\r\nEND\r\n"),
            format!("VALUE {a} 0 1\r\nx\r\nVALUE {a} 0 1\r\ny\r\nEND\r\n"),
            format!("VALUE {a} 0 1\r\nxy\r\nEND\r\n"),
            format!("VALUE {a} 0 3\r\nx\r\nEND\r\n"),
            format!("VALUE {a} 0 -1\r\nEND\r\n"),
            format!("VALUE {a} 0 +1\r\nx\r\nEND\r\n"),
            format!("VALUE {a} 0 99999999999999999999\r\nEND\r\n"),
            format!("VALUE {a} 0 1048577\r\n"),
            format!("VALUE {a} 4294967296 1\r\nx\r\nEND\r\n"),
            format!("VALUE {a} 0 1 7\r\nx\r\nEND\r\n"),
            format!("VALUE  {a} 0 1\r\nx\r\nEND\r\n"),
            format!("value {a} 0 1\r\nx\r\nEND\r\n"),
            "END\n".to_owned(),
            "x".repeat(LINE_BYTES_MAX),
        ] {
            refuses(&stream, &wanted);
        }
        refuses("1844674407370955161600000\r\n", &Wanted::Number);
        refuses("18446744073709551616\r\n", &Wanted::Number);
        refuses("1x\r\n", &Wanted::Number);
    }

    #[test]
    fn what_is_not_complete_waits() {
        let a = text(&keys()[0]);
        for stream in
            ["".to_owned(), "EN".to_owned(), format!("VALUE {a} 0 1\r\nx"), format!("VALUE {a} 0 1\r\nx\r\nEND\r")]
        {
            assert_eq!(read(&stream, &Wanted::Values(keys())).0, Ok(None), "{stream:?}");
        }
    }
}
