//! Core: forms of a time in the access log: Swift's own and the letters of strftime, as in the C locale and UTC.

use base::digits;
use base::http::date;
use std::time::Duration;

const MONTHS: [(&str, u64); 12] = [
    ("January", 31),
    ("February", 28),
    ("March", 31),
    ("April", 30),
    ("May", 31),
    ("June", 30),
    ("July", 31),
    ("August", 31),
    ("September", 30),
    ("October", 31),
    ("November", 30),
    ("December", 31),
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// With nine digits of the second.
    Seconds,
    /// `Tue May 13 16:53:20 2014`
    Asctime,
    /// `13/May/2014/16/53/20`
    Datetime,
    /// `2014-05-13T16:53:20`
    Iso8601,
    /// Whole seconds, or the first so many digits behind them.
    Whole,
    /// See above.
    Fraction(usize),
    /// A letter of strftime.
    Letter(char),
}

impl Form {
    /// What stands behind the dot.
    pub(super) fn from_name(name: &str) -> Option<Form> {
        Some(match name {
            "asctime" => Form::Asctime,
            "datetime" => Form::Datetime,
            "iso8601" => Form::Iso8601,
            "s" => Form::Whole,
            "ms" => Form::Fraction(3),
            "us" => Form::Fraction(6),
            "ns" => Form::Fraction(9),
            _ => {
                let mut letters = name.chars();
                let letter = letters.next().filter(|letter| "aAbBcdHIjmMpSUwWxXyYZ".contains(*letter))?;
                letters.next().is_none().then_some(Form::Letter(letter))?
            }
        })
    }

    /// Appends the text for a time since 1970.
    pub(super) fn write(self, time: Duration, out: &mut Vec<u8>) {
        match self {
            // The two forms of the default template.
            Form::Seconds => {
                out.extend(digits::all(time.as_secs()));
                out.push(b'.');
                out.extend(digits::last(time.subsec_nanos().into(), 9));
            }
            Form::Datetime => {
                let Day { day, month, year, hour, minute, second, .. } = Day::of(time.as_secs());
                out.extend(digits::last(day, 2));
                out.push(b'/');
                out.extend(month_name(month).bytes().take(3));
                out.push(b'/');
                out.extend(digits::all(year));
                for number in [hour, minute, second] {
                    out.push(b'/');
                    out.extend(digits::last(number, 2));
                }
            }
            _ => out.extend_from_slice(self.text(time).as_bytes()),
        }
    }

    fn text(self, time: Duration) -> String {
        let day = Day::of(time.as_secs());
        match self {
            Form::Seconds | Form::Datetime => String::new(),
            Form::Asctime => day.letter('c'),
            Form::Iso8601 => {
                let Day { month, day, year, hour, minute, second, .. } = day;
                format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
            }
            Form::Whole => time.as_secs().to_string(),
            Form::Fraction(digits) => format!("{:09}", time.subsec_nanos()).chars().take(digits).collect(),
            Form::Letter(letter) => day.letter(letter),
        }
    }
}

fn month_name(month: u64) -> &'static str {
    let place = usize::try_from(month.saturating_sub(1)).unwrap_or(0);
    MONTHS.get(place).map(|(name, _)| *name).unwrap_or("   ")
}

/// A second, taken apart.
struct Day {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    /// 0 is Sunday.
    weekday: u64,
    /// From 1.
    of_year: u64,
}

impl Day {
    fn of(seconds: u64) -> Day {
        let (year, month, day) = date::civil(seconds);
        let of_day = seconds % 86_400;
        let month = usize::try_from(month - 1).unwrap_or(0);
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let before: u64 = MONTHS.iter().take(month).map(|(_, days)| days).sum();
        Day {
            year,
            month: month as u64 + 1,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            // 1970-01-01 was a Thursday.
            weekday: (seconds / 86_400 + 4) % 7,
            of_year: before + day + u64::from(is_leap && month > 1),
        }
    }

    fn letter(&self, letter: char) -> String {
        let Day { year, month, day, hour, minute, second, weekday, of_year } = *self;
        let place = |number: u64| usize::try_from(number).unwrap_or(0);
        let weekday_name = DAYS.get(place(weekday)).copied().unwrap_or_default();
        let month_name = month_name(month);
        let short = |name: &str| name.chars().take(3).collect::<String>();
        match letter {
            'a' => short(weekday_name),
            'A' => weekday_name.to_owned(),
            'b' => short(month_name),
            'B' => month_name.to_owned(),
            'c' => format!(
                "{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}",
                short(weekday_name),
                short(month_name)
            ),
            'd' => format!("{day:02}"),
            'H' => format!("{hour:02}"),
            'I' => format!("{:02}", (hour + 11) % 12 + 1),
            'j' => format!("{of_year:03}"),
            'm' => format!("{month:02}"),
            'M' => format!("{minute:02}"),
            'p' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'S' => format!("{second:02}"),
            // Weeks begin on Sunday, or on Monday; days before the first one are week 0.
            'U' => format!("{:02}", (of_year + 6 - weekday) / 7),
            'W' => format!("{:02}", (of_year + 6 - (weekday + 6) % 7) / 7),
            'w' => weekday.to_string(),
            'x' => format!("{month:02}/{day:02}/{:02}", year % 100),
            'X' => format!("{hour:02}:{minute:02}:{second:02}"),
            'y' => format!("{:02}", year % 100),
            'Y' => year.to_string(),
            'Z' => "UTC".to_owned(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_pythons() {
        // Made by Python, in the C locale, of Swift's StrFormatTime.
        for (nanos, name, expected) in [
            (1_400_000_000_123_456_789, "asctime", "Tue May 13 16:53:20 2014"),
            (1_400_000_000_123_456_789, "datetime", "13/May/2014/16/53/20"),
            (1_400_000_000_123_456_789, "iso8601", "2014-05-13T16:53:20"),
            (1_400_000_000_123_456_789, "ms", "123"),
            (1_400_000_000_123_456_789, "us", "123456"),
            (1_400_000_000_123_456_789, "ns", "123456789"),
            (1_400_000_000_123_456_789, "s", "1400000000"),
            (1_400_000_000_123_456_789, "a", "Tue"),
            (1_400_000_000_123_456_789, "A", "Tuesday"),
            (1_400_000_000_123_456_789, "b", "May"),
            (1_400_000_000_123_456_789, "B", "May"),
            (1_400_000_000_123_456_789, "c", "Tue May 13 16:53:20 2014"),
            (1_400_000_000_123_456_789, "d", "13"),
            (1_400_000_000_123_456_789, "H", "16"),
            (1_400_000_000_123_456_789, "I", "04"),
            (1_400_000_000_123_456_789, "j", "133"),
            (1_400_000_000_123_456_789, "m", "05"),
            (1_400_000_000_123_456_789, "M", "53"),
            (1_400_000_000_123_456_789, "p", "PM"),
            (1_400_000_000_123_456_789, "S", "20"),
            (1_400_000_000_123_456_789, "U", "19"),
            (1_400_000_000_123_456_789, "w", "2"),
            (1_400_000_000_123_456_789, "W", "19"),
            (1_400_000_000_123_456_789, "x", "05/13/14"),
            (1_400_000_000_123_456_789, "X", "16:53:20"),
            (1_400_000_000_123_456_789, "y", "14"),
            (1_400_000_000_123_456_789, "Y", "2014"),
            (1_400_000_000_123_456_789, "Z", "UTC"),
            (1_709_208_000_000_000_001, "c", "Thu Feb 29 12:00:00 2024"),
            (1_709_208_000_000_000_001, "I", "12"),
            (1_709_208_000_000_000_001, "p", "PM"),
            (1_709_208_000_000_000_001, "j", "060"),
            (1_709_208_000_000_000_001, "U", "08"),
            (1_709_208_000_000_000_001, "W", "09"),
            (1_709_208_000_000_000_001, "w", "4"),
            (1_709_208_000_000_000_001, "a", "Thu"),
            (1_735_689_599_999_999_999, "c", "Tue Dec 31 23:59:59 2024"),
            (1_735_689_599_999_999_999, "I", "11"),
            (1_735_689_599_999_999_999, "p", "PM"),
            (1_735_689_599_999_999_999, "j", "366"),
            (1_735_689_599_999_999_999, "U", "52"),
            (1_735_689_599_999_999_999, "W", "53"),
            (1_735_689_599_999_999_999, "w", "2"),
            (1_735_689_599_999_999_999, "a", "Tue"),
            (946_684_800_000_000_000, "c", "Sat Jan  1 00:00:00 2000"),
            (946_684_800_000_000_000, "I", "12"),
            (946_684_800_000_000_000, "p", "AM"),
            (946_684_800_000_000_000, "j", "001"),
            (946_684_800_000_000_000, "U", "00"),
            (946_684_800_000_000_000, "W", "00"),
            (946_684_800_000_000_000, "w", "6"),
            (946_684_800_000_000_000, "a", "Sat"),
        ] {
            let form = Form::from_name(name).unwrap();
            let mut text = Vec::new();
            form.write(Duration::from_nanos(nanos), &mut text);
            assert_eq!(text, expected.as_bytes(), "{nanos} {name}");
        }
        for name in ["", "G", "aa", "seconds"] {
            assert_eq!(Form::from_name(name), None);
        }
    }
}
