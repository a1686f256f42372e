//! Core: the `Range` header (specs: object server §5) with Swift's abuse limits.
//!
//! # Invariants
//!
//! - Resolved ranges lie inside the object and hold at least one byte each.
//! - One syntactically bad range makes the whole header unusable; one satisfiable range is enough for 206.

/// More ranges than this in one answer are an attack, not a reader.
const RANGES_MAX: usize = 50;
/// More pairs of overlapping ranges than this ask for the same bytes again and again.
const OVERLAPS_MAX: usize = 2;
/// So many ranges must be in ascending order.
const UNORDERED_MAX: usize = 8;

/// What a Range header asks of an object of a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// No or unusable header: the whole object, 200.
    Whole,
    /// These `(first, last)` inclusive ranges, 206.
    Ranges(Vec<(u64, u64)>),
    /// 416.
    Unsatisfiable,
}

/// Parses and resolves; `header` as sent.
pub fn resolve(header: Option<&[u8]>, length: u64) -> Resolved {
    let Some(specs) = header.and_then(parse) else {
        return Resolved::Whole;
    };
    // A suffix of nothing is the whole of nothing: no Content-Range can name zero bytes, so Swift answers 200.
    if length == 0 {
        let suffix = specs.iter().any(|spec| matches!(spec, (None, Some(1..))));
        return if suffix { Resolved::Whole } else { Resolved::Unsatisfiable };
    }
    let ranges: Vec<(u64, u64)> = specs.iter().filter_map(|&spec| satisfy(spec, length)).collect();
    if ranges.is_empty() || is_abuse(&ranges) { Resolved::Unsatisfiable } else { Resolved::Ranges(ranges) }
}

/// One range as parsed: first and last, either may be missing (suffix `-n` has no first).
pub type Spec = (Option<u64>, Option<u64>);

/// Parses only; `None` when the header is syntactically unusable.
pub fn parse(header: &[u8]) -> Option<Vec<Spec>> {
    let compact: Vec<u8> = header.iter().copied().filter(|&byte| byte != b' ').collect();
    let (unit, sets) = compact.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    sets.split(|&byte| byte == b',').map(parse_one).collect()
}

fn parse_one(spec: &[u8]) -> Option<Spec> {
    let hyphen = spec.iter().position(|&byte| byte == b'-')?;
    let first = number(spec.get(..hyphen)?)?;
    let last = number(spec.get(hyphen + 1..)?)?;
    match (first, last) {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        spec => Some(spec),
    }
}

/// Digits or nothing; `None` for anything else. A number too large for any object is the largest.
#[expect(clippy::option_option, reason = "no number and a bad number are different answers")]
fn number(digits: &[u8]) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    digits
        .iter()
        .try_fold(0_u64, |value, digit| {
            digit.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
        })
        .map(Some)
}

fn satisfy(spec: Spec, length: u64) -> Option<(u64, u64)> {
    let end = length.checked_sub(1)?;
    match spec {
        (None, None | Some(0)) => None,
        (None, Some(suffix)) => Some((length.saturating_sub(suffix), end)),
        (Some(first), _) if first > end => None,
        (Some(first), last) => Some((first, last.map_or(end, |last| last.min(end)))),
    }
}

fn is_abuse(ranges: &[(u64, u64)]) -> bool {
    if ranges.len() > RANGES_MAX {
        return true;
    }
    let mut later = ranges.iter();
    let mut overlaps = 0;
    while let Some(one) = later.next() {
        overlaps += later.clone().filter(|other| overlap(*one, **other)).count();
    }
    overlaps > OVERLAPS_MAX || (ranges.len() >= UNORDERED_MAX && !ranges.is_sorted_by_key(|&(first, _)| first))
}

/// As Swift counts: an end of one lies strictly inside the other. Equal ranges do not overlap by this rule.
fn overlap((first, last): (u64, u64), (other_first, other_last): (u64, u64)) -> bool {
    let (end, other_end) = (last.saturating_add(1), other_last.saturating_add(1));
    (first < other_first && other_first < end)
        || (first < other_end && other_end < end)
        || (other_first < first && first < other_end)
        || (other_first < end && end < other_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(header: &str, length: u64, expected: Resolved) {
        assert_eq!(resolve(Some(header.as_bytes()), length), expected, "{header} of {length}");
    }

    fn ranges(list: &[(u64, u64)]) -> Resolved {
        Resolved::Ranges(list.to_vec())
    }

    #[test]
    fn satisfiable_ranges_are_cut_to_the_object() {
        check("bytes=0-1", 26, ranges(&[(0, 1)]));
        check("bytes=0-1,24-99", 26, ranges(&[(0, 1), (24, 25)]));
        check("BYTES= 5 - 6 , -2", 26, ranges(&[(5, 6), (24, 25)]));
        check("bytes=10-", 26, ranges(&[(10, 25)]));
        check("bytes=-100", 26, ranges(&[(0, 25)]));
        check("bytes=25-25", 26, ranges(&[(25, 25)]));
        check("bytes=0-99999999999999999999999999", 26, ranges(&[(0, 25)]));
        check("bytes=26-,0-0", 26, ranges(&[(0, 0)]));
    }

    #[test]
    fn unusable_headers_are_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=5-2",
            "bytes=-",
            "bytes=5",
            "bytes=a-b",
            "bytes=1-2,",
            "bytes=--0",
            "octets=1-2",
            "bytes=+1-2",
            "bytes=1-2,5-2",
            "bytes=1-2-3",
            "bytes=0x1-2",
        ] {
            check(header, 26, Resolved::Whole);
        }
        assert_eq!(resolve(None, 26), Resolved::Whole);
    }

    #[test]
    fn nothing_satisfiable_is_416() {
        check("bytes=26-", 26, Resolved::Unsatisfiable);
        check("bytes=-0", 26, Resolved::Unsatisfiable);
        check("bytes=99-100,200-", 26, Resolved::Unsatisfiable);
        check("bytes=0-0", 0, Resolved::Unsatisfiable);
        check("bytes=-5", 0, Resolved::Whole);
    }

    #[test]
    fn abuse_is_416() {
        let many = |count: u64| {
            let list: Vec<String> = (0..count).map(|i| format!("{}-{}", i * 10, i * 10 + 1)).collect();
            format!("bytes={}", list.join(","))
        };
        assert!(matches!(resolve(Some(many(50).as_bytes()), 10_000), Resolved::Ranges(list) if list.len() == 50));
        check(&many(51), 10_000, Resolved::Unsatisfiable);
        check("bytes=0-10,5-15,12-20", 100, ranges(&[(0, 10), (5, 15), (12, 20)]));
        check("bytes=0-10,5-15,8-20", 100, Resolved::Unsatisfiable);
        check("bytes=7-7,6-6,5-5,4-4,3-3,2-2,1-1,0-0", 100, Resolved::Unsatisfiable);
        check(
            "bytes=6-6,5-5,4-4,3-3,2-2,1-1,0-0",
            100,
            ranges(&[(6, 6), (5, 5), (4, 4), (3, 3), (2, 2), (1, 1), (0, 0)]),
        );
        check("bytes=1-2,1-2,1-2,1-2", 100, ranges(&[(1, 2); 4]));
    }

    proptest! {
        #[test]
        fn ranges_lie_inside_the_object(header in "bytes=[0-9,-]{0,40}", length in 0_u64..100) {
            if let Resolved::Ranges(list) = resolve(Some(header.as_bytes()), length) {
                prop_assert!(!list.is_empty());
                prop_assert!(list.iter().all(|&(first, last)| first <= last && last < length));
            }
        }

        #[test]
        fn any_bytes_are_safe(header in proptest::collection::vec(any::<u8>(), 0..80), length in any::<u64>()) {
            let _ = resolve(Some(&header), length);
        }
    }
}
