//! Core: the headers of a tar archive: ustar, GNU's long names and POSIX extended headers (IEEE Std 1003.1, `pax`).
//!
//! A header is a block of 512 bytes; what belongs to it follows, filled up to whole blocks.

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;
/// Longest extended header: names and metadata, not files.
pub(super) const EXTENDED_MAX: u64 = 1 << 20;

/// What a block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A block of zeros: the end.
    End,
    /// A regular file of so many bytes.
    File { name: Vec<u8>, size: u64 },
    /// The name of the next entry, in so many bytes.
    LongName { size: u64 },
    /// Fields of the next entry, in so many bytes.
    Extended { size: u64 },
    /// Anything else, with its bytes to skip.
    Other { size: u64 },
}

/// Reads a block; `None` when it is no header.
pub(super) fn header(block: &[u8; BLOCK]) -> Option<Header> {
    if block.iter().all(|&byte| byte == 0) {
        return Some(Header::End);
    }
    if number(block.get(148..156)?)? != checksum(block) {
        return None;
    }
    let size = number(block.get(124..136)?)?;
    let kind = *block.get(156)?;
    let mut name = text(block.get(..100)?).to_vec();
    // POSIX puts the beginning of a long name elsewhere; GNU has other things there.
    let prefix = text(block.get(345..500)?);
    if block.get(257..263)? == b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    Some(match kind {
        // Old archives say directory by a slash.
        0 if name.ends_with(b"/") => Header::Other { size },
        0 | b'0' | b'7' => Header::File { name, size },
        b'L' => Header::LongName { size },
        b'x' | b'X' => Header::Extended { size },
        // Links and devices have no bytes, whatever they say.
        b'1'..=b'6' => Header::Other { size: 0 },
        _ => Header::Other { size },
    })
}

/// Blocks that `size` bytes fill, in bytes.
pub(super) fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64).saturating_mul(BLOCK as u64)
}

/// Fields of an extended header: `<length> <name>=<value>\n`, the length counting all of it. `None` when it is none.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() && bytes.first() != Some(&0) {
        let blank = bytes.iter().take(20).position(|&byte| byte == b' ')?;
        let length: usize = std::str::from_utf8(bytes.get(..blank)?).ok()?.parse().ok()?;
        let field = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
        let equals = field.iter().position(|&byte| byte == b'=')?;
        let name = String::from_utf8(field.get(..equals)?.to_vec()).ok()?;
        fields.push((name, field.get(equals + 1..)?.to_vec()));
        bytes = bytes.get(length..)?;
    }
    Some(fields)
}

/// Up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Octal digits, or GNU's binary form for what is too large for them.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((&0x80, rest)) = field.split_first() {
        return rest.iter().try_fold(0_u64, |sum, &byte| sum.checked_mul(256)?.checked_add(u64::from(byte)));
    }
    let digits = std::str::from_utf8(text(field)).ok()?.trim_matches(' ');
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The sum of all bytes, its own field counted as blanks.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let own = 148..156;
    block.iter().enumerate().map(|(at, &byte)| u64::from(if own.contains(&at) { b' ' } else { byte })).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header as `tar` writes it.
    pub(in super::super) fn block(name: &str, kind: u8, size: usize) -> Vec<u8> {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = kind;
        block[257..263].copy_from_slice(b"ustar\0");
        let sum = checksum(&block);
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block.to_vec()
    }

    fn read(block: Vec<u8>) -> Option<Header> {
        header(&block.try_into().unwrap())
    }

    #[test]
    fn headers_are_told_apart() {
        assert_eq!(read(block("a/b", b'0', 5)), Some(Header::File { name: b"a/b".to_vec(), size: 5 }));
        assert_eq!(read(block("d/", 0, 0)), Some(Header::Other { size: 0 }));
        assert_eq!(read(block("l", b'2', 9)), Some(Header::Other { size: 0 }));
        assert_eq!(read(block("x", b'x', 9)), Some(Header::Extended { size: 9 }));
        assert_eq!(read(vec![0; BLOCK]), Some(Header::End));
        assert_eq!(read(vec![b'a'; BLOCK]), None);
        let mut long = block("tail", b'0', 0);
        long[345..349].copy_from_slice(b"head");
        long[148..156].copy_from_slice(b"        ");
        let sum: u64 = long.iter().map(|&byte| u64::from(byte)).sum();
        long[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        assert_eq!(read(long), Some(Header::File { name: b"head/tail".to_vec(), size: 0 }));
    }

    #[test]
    fn extended_fields_are_read_whole_or_not() {
        let read = fields(b"30 SCHILY.xattr.user.meta.a=b\n9 path=x\n\0\0").unwrap();
        assert_eq!(read, [("SCHILY.xattr.user.meta.a".into(), b"b".to_vec()), ("path".into(), b"x".to_vec())]);
        for bad in [b"5 a=b".as_slice(), b"x a=b\n", b"99 a=b\n", b"3 a\n", b"0 a=b\n"] {
            assert_eq!(fields(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), BLOCK), more in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = header(&bytes.try_into().unwrap());
            let _ = fields(&more);
        }
    }
}
