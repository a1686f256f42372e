//! Core: the bytes of a DNS question for a CNAME and of the reply (RFC 1035). A reply is hostile until shown otherwise.
//!
//! ```text
//! | id 2 | flags 2 | questions 2 | answers 2 | authorities 2 | additional 2 |
//! question: | name | type 2 | class 2 |
//! record:   | name | type 2 | class 2 | ttl 4 | length 2 | data |
//! name:     | length 1 | label |…| 0 |, or a pointer | 11 and 14 bits of offset | to where it goes on
//! ```
//!
//! # Invariants
//!
//! - Every name ends: a pointer leads to a smaller offset than the one before it, and a name is at most 255 bytes long.
//! - A target that is taken holds nothing but letters, digits, `-`, `_` and dots: it becomes a field of a request.

/// A record that gives a name its canonical one.
const CNAME: u16 = 5;
/// The Internet.
const IN: u16 = 1;
/// Bytes of a name with its lengths, and of a label.
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;
/// Bytes of the largest reply that is read; we ask without extensions, so a server sends at most 512.
pub const REPLY_BYTES_MAX: usize = 4096;

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name is another name for this one, for so many seconds.
    Cname {
        /// Without a dot at the end.
        target: String,
        /// Seconds.
        ttl: u32,
    },
    /// There is no such name, or it is nobody's other name.
    Nothing,
    /// The server cannot say, or not in a way that can be used.
    Failed,
}

/// The question; `None` for what cannot be a name.
pub fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 18);
    bytes.extend(id.to_be_bytes());
    // A recursive question, one of it, and nothing else.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let head = bytes.len();
    for label in name.split('.') {
        let length =
            u8::try_from(label.len()).ok().filter(|length| (1..=LABEL_BYTES_MAX).contains(&usize::from(*length)))?;
        if !label.bytes().all(is_plain) {
            return None;
        }
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    if bytes.len() - head > NAME_BYTES_MAX {
        return None;
    }
    bytes.extend(CNAME.to_be_bytes());
    bytes.extend(IN.to_be_bytes());
    Some(bytes)
}

/// What the reply says; `None` when it is no reply to this question, whoever sent it.
pub fn answer(reply: &[u8], id: u16, name: &str) -> Option<Answer> {
    let mut reader = Reader { bytes: reply, at: 0 };
    let (reply_id, flags) = (reader.number()?, reader.number()?);
    let (questions, answers) = (reader.number()?, reader.number()?);
    reader.skip(4)?;
    let is_reply = flags & 0x8000 != 0 && flags & 0x7800 == 0;
    if reply_id != id || !is_reply || questions != 1 {
        return None;
    }
    let asked = reader.name()??;
    if !asked.eq_ignore_ascii_case(name) || (reader.number()?, reader.number()?) != (CNAME, IN) {
        return None;
    }
    Some(match flags & 0xf {
        0 => found(&mut reader, answers, name).unwrap_or(Answer::Failed),
        3 => Answer::Nothing,
        _ => Answer::Failed,
    })
    // Cut off before the record came: another server may say it in fewer words.
    .map(|answer| if flags & 0x0200 != 0 && answer == Answer::Nothing { Answer::Failed } else { answer })
}

/// The first record that fits; `None` for bytes that are no records.
fn found(reader: &mut Reader<'_>, answers: u16, name: &str) -> Option<Answer> {
    // Ends: every record takes at least 11 bytes.
    for _ in 0..answers {
        let owner = reader.name()?;
        let (kind, class) = (reader.number()?, reader.number()?);
        let ttl = u32::from(reader.number()?) << 16 | u32::from(reader.number()?);
        let length = usize::from(reader.number()?);
        let end = reader.at.checked_add(length).filter(|end| *end <= reader.bytes.len())?;
        if (kind, class) == (CNAME, IN) && owner.is_some_and(|owner| owner.eq_ignore_ascii_case(name)) {
            let target = reader.name()?.filter(|target| !target.is_empty());
            let target = target.filter(|_| reader.at == end)?;
            // RFC 2181: one with the highest bit set is none.
            let ttl = if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl };
            return Some(Answer::Cname { target, ttl });
        }
        reader.at = end;
    }
    Some(Answer::Nothing)
}

/// A place in a message.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn number(&mut self) -> Option<u16> {
        let pair = self.bytes.get(self.at..)?.first_chunk::<2>()?;
        self.skip(2)?;
        Some(u16::from_be_bytes(*pair))
    }

    /// A name from here, wherever it goes on; afterwards the reader stands behind what of it is here. The inner `None` is a name
    /// with other characters than host names have. The outer one is no name at all.
    #[expect(clippy::option_option, reason = "no name and no usable name are two things, and both end in `?`")]
    fn name(&mut self) -> Option<Option<String>> {
        let (mut at, mut behind) = (self.at, None);
        // Where the part that is read now began: a pointer must lead before it.
        let mut part = at;
        let mut text = Some(String::new());
        let mut length = 1_usize;
        // Ends: `length` grows with every label, `part` falls with every pointer.
        loop {
            let first = usize::from(*self.bytes.get(at)?);
            match first {
                0 => break,
                0xc0.. => {
                    let low = usize::from(*self.bytes.get(at + 1)?);
                    let target = (first & 0x3f) << 8 | low;
                    behind = behind.or(Some(at + 2));
                    if target >= part {
                        return None;
                    }
                    (at, part) = (target, target);
                }
                1..=LABEL_BYTES_MAX => {
                    let label = self.bytes.get(at + 1..at + 1 + first)?;
                    length += first + 1;
                    if length > NAME_BYTES_MAX {
                        return None;
                    }
                    text = text.filter(|_| label.iter().copied().all(is_plain)).map(|mut text| {
                        if !text.is_empty() {
                            text.push('.');
                        }
                        text.extend(label.iter().copied().map(char::from));
                        text
                    });
                    at += 1 + first;
                }
                _ => return None,
            }
        }
        self.at = behind.unwrap_or(at + 1);
        Some(text)
    }
}

/// What host names are made of.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
pub(crate) mod tests;
