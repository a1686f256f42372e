//! Core: digits. Decimal ones are made without the formatting machinery, which is many times dearer and felt where a dozen numbers go
//! into every answer and every line of a log.

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
    let mut unit = 10_u64.pow(count.saturating_sub(1));
    (0..count).map(move |_| {
        let digit = number / unit % 10;
        unit /= 10;
        b'0' + u8::try_from(digit).unwrap_or(0)
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
            let width = usize::try_from(count).unwrap();
            let expected = format!("{:0width$}", number % 10_u64.pow(count));
            prop_assert_eq!(last(number, count).collect::<Vec<_>>(), expected.into_bytes());
            prop_assert_eq!(at_least(number, count).collect::<Vec<_>>(), format!("{number:0width$}").into_bytes());
        }
    }

    #[test]
    fn nothing_and_the_most_have_their_digits() {
        assert_eq!(all(0).collect::<Vec<_>>(), b"0");
        assert_eq!(all(u64::MAX).collect::<Vec<_>>(), b"18446744073709551615");
    }
}
