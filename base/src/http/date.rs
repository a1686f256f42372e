//! Core: HTTP dates (RFC 1123), written and read in all three forms of RFC 9110.
//!
//! Reading is as lenient as Swift's: the weekday is not compared with the date and the zone counts as GMT.

use crate::digits::last;
use crate::scratch;
use bytes::Bytes;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_SECONDS: u64 = 86_400;
/// The last second of the year 9999: four digits hold no later one.
const LAST_SECOND: u64 = 253_402_300_799;

/// `Wed, 11 Jun 2014 05:31:18 GMT` for seconds since 1970.
pub fn format(unix_seconds: u64) -> String {
    let mut text = String::with_capacity(29);
    text.extend(characters(unix_seconds).map(char::from));
    text
}

/// The same for a field of one message.
pub fn field(unix_seconds: u64) -> Bytes {
    scratch::bytes(|out| out.extend(characters(unix_seconds)))
}

fn characters(unix_seconds: u64) -> impl Iterator<Item = u8> {
    let seconds = unix_seconds.min(LAST_SECOND);
    let days = seconds / DAY_SECONDS;
    let (year, month, day) = civil_from_days(days);
    let of_day = seconds % DAY_SECONDS;
    // 1970-01-01 was a Thursday.
    let weekday = DAYS.get(usize::try_from((days + 4) % 7).unwrap_or(0)).copied().unwrap_or_default();
    let month = MONTHS.get(usize::try_from(month - 1).unwrap_or(0)).copied().unwrap_or_default();
    let date = weekday.bytes().chain(*b", ").chain(last(day, 2)).chain([b' ']).chain(month.bytes()).chain([b' ']);
    let clock = [(b' ', of_day / 3600), (b':', of_day / 60 % 60), (b':', of_day % 60)];
    let time = clock.into_iter().flat_map(|(before, number)| std::iter::once(before).chain(last(number, 2)));
    date.chain(last(year, 4)).chain(time).chain(*b" GMT")
}

/// Year, month and day of the month, both from 1, of seconds since 1970.
pub fn civil(unix_seconds: u64) -> (u64, u64, u64) {
    civil_from_days(unix_seconds.min(LAST_SECOND) / DAY_SECONDS)
}

/// Seconds since 1970; `None` when it is no date.
pub fn parse(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    // `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
    let parts: Vec<&str> = text.split([' ', ',', '-']).filter(|part| !part.is_empty()).take(8).collect();
    let (day, month, year, time) = match parts.as_slice() {
        [_, day, month, year, time] | [_, day, month, year, time, _] if number(day, 2).is_some() => {
            (*day, *month, *year, *time)
        }
        [_, month, day, time, year] => (*day, *month, *year, *time),
        _ => return None,
    };
    let month = 1 + MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let day = number(day, 2)?;
    let year = full_year(year)?;
    let mut clock = time.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // A leap second is read as the second before it.
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 60 || day == 0 {
        return None;
    }
    let month = u64::try_from(month).ok()?;
    if day > month_days(year, month) {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    Some(days * DAY_SECONDS + hour * 3600 + minute * 60 + second.min(59))
}

fn number(text: &str, digits_max: usize) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= digits_max && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Four digits as they stand; two as RFC 850 dates have them: 69 to 99 are of the last century.
fn full_year(text: &str) -> Option<u64> {
    let year = number(text, 4)?;
    match (text.len(), year) {
        (4, _) => Some(year),
        (2, 69..) => Some(1900 + year),
        (2, _) => Some(2000 + year),
        _ => None,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years counted from March, so that the leap day is the last of its year; 719,468 days lie between 0000-03-01 and 1970.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let march_year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (march_year / 400, march_year % 400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates_are_written_and_read() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_402_464_678, "Wed, 11 Jun 2014 05:31:18 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (LAST_SECOND, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(format(seconds), text);
            assert_eq!(parse(text.as_bytes()), Some(seconds));
        }
    }

    #[test]
    fn all_three_forms_are_read() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "now",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nob 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 29 Feb 2001 08:49:37 GMT",
            "\u{fc}",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 19940 08:49:37 GMT",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_comes_back(seconds in 0..=LAST_SECOND) {
            prop_assert_eq!(parse(format(seconds).as_bytes()), Some(seconds));
        }

        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
