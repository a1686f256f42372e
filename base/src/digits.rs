//! Core: digits. Decimal ones are made without the formatting machinery, which is many times dearer and felt where a dozen numbers go
//! into every answer and every line of a log.

/// Of the largest number.
pub const DIGITS_MAX: usize = 20;

/// As many digits as it has, written into `space`.
pub fn written(number: u64, space: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let (mut rest, mut from) = (number, DIGITS_MAX);
    for digit in space.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        from -= 1;
        if rest == 0 {
            break;
        }
    }
    space.get(from..).unwrap_or_default()
}

/// As many digits as it has.
pub fn all(number: u64) -> impl Iterator<Item = u8> {
    at_least(number, 1)
}

/// All of them, with zeros in front up to `count`.
pub fn at_least(number: u64, count: u32) -> impl Iterator<Item = u8> {
    last(number, count.max(number.checked_ilog10().unwrap_or(0) + 1))
}

/// The last `count` digits, with zeros in front; at most twenty.
pub fn last(number: u64, count: u32) -> impl Iterator<Item = u8> {
    // From behind: dividing by a constant costs a multiplication, by a power that is looked up many times as much.
    let (mut digits, mut rest, count) = ([b'0'; DIGITS_MAX], number, count as usize);
    for digit in digits.iter_mut().rev().take(count) {
        *digit += u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    digits.into_iter().skip(DIGITS_MAX.saturating_sub(count))
}

/// The last `count` hexadecimal digits, in lower case, with zeros in front; at most sixteen.
pub fn last_hex(number: u64, count: u32) -> impl Iterator<Item = u8> {
    (0..count).rev().map(move |place| match u8::try_from(number >> (4 * place) & 15).unwrap_or(0) {
        digit @ 0..10 => b'0' + digit,
        digit => b'a' + digit - 10,
    })
}

/// Whether these are hexadecimal digits in lower case, the one way in which we write them.
pub fn are_lower_hex(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_those_of_the_formatting_machinery(number: u64, count in 1_u32..20) {
            prop_assert_eq!(all(number).collect::<Vec<_>>(), number.to_string().into_bytes());
            prop_assert_eq!(written(number, &mut [b'x'; DIGITS_MAX]).to_vec(), number.to_string().into_bytes());
            let width = usize::try_from(count).unwrap();
            let expected = format!("{:0width$}", number % 10_u64.pow(count));
            prop_assert_eq!(last(number, count).collect::<Vec<_>>(), expected.into_bytes());
            let hex = format!("{number:016x}").into_bytes();
            prop_assert_eq!(last_hex(number, 16).collect::<Vec<_>>(), hex.clone());
            prop_assert_eq!(last_hex(number, 5).collect::<Vec<_>>(), &hex[11..]);
            prop_assert_eq!(at_least(number, count).collect::<Vec<_>>(), format!("{number:0width$}").into_bytes());
        }
    }

    #[test]
    fn nothing_and_the_most_have_their_digits() {
        assert_eq!(all(0).collect::<Vec<_>>(), b"0");
        assert_eq!(written(0, &mut [0; DIGITS_MAX]), b"0");
        assert_eq!(written(u64::MAX, &mut [0; DIGITS_MAX]), b"18446744073709551615");
        assert_eq!(all(u64::MAX).collect::<Vec<_>>(), b"18446744073709551615");
    }
}
