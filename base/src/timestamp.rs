//! Core: Swift's timestamps: 10-microsecond units since 1970 and an offset.
//!
//! The wire, file names and columns carry the *internal* form, whose text order is the order in time. An offset is how
//! the container reconciler moves an object to another policy without changing its time; every comparison honours it.
//!
//! # Invariants
//!
//! - A parsed timestamp lies below 10^10 seconds, so its normal form is always 16 characters.
//! - Two texts that Python reads as the same time are equal here: numbers go through a double, ties round to even.

use crate::{digits, scratch};
use bytes::Bytes;
use std::time::Duration;

/// A point in time as Swift orders events. Ordered by raw, then offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    raw: u64,
    offset: u64,
}

/// Why a text is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The zero of "never".
    pub const ZERO: Timestamp = Timestamp { raw: 0, offset: 0 };
    /// From 10 µs units and an offset.
    pub fn from_raw(raw: u64, offset: u64) -> Self {
        Self { raw, offset }
    }
    /// From a wall clock (`io::unix_time()`), rounded to 10 µs. A clock beyond the year 2286 stands still there.
    pub fn from_unix(time: Duration) -> Self {
        let raw = (time.as_nanos() + 5_000) / 10_000;
        Self { raw: u64::try_from(raw).unwrap_or(RAW_MAX).min(RAW_MAX), offset: 0 }
    }
    /// Any accepted string form (normal, internal, short, bare numbers).
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let (seconds, offset) = match text.split_once('_') {
            Some((seconds, hex)) => (seconds, parse_offset(hex)?),
            None => (text, 0),
        };
        let raw = match parse_normal(seconds.as_bytes()) {
            Some(raw) => raw,
            None => raw_of_seconds(parse_number(seconds)?)?,
        };
        Ok(Self { raw, offset })
    }
    /// The normal form, as it is written; `None` for any other, which `parse` may know.
    pub fn parse_normal(text: &[u8]) -> Option<Self> {
        parse_normal(text).map(|raw| Self { raw, offset: 0 })
    }
    /// 10 µs units.
    pub fn raw(self) -> u64 {
        self.raw
    }
    /// The offset.
    pub fn offset(self) -> u64 {
        self.offset
    }
    /// `1402464677.04188`.
    pub fn normal(self) -> String {
        let mut text = String::with_capacity(16);
        text.extend(self.normal_digits().map(char::from));
        text
    }
    /// The same for a field of one message.
    pub fn normal_field(self) -> Bytes {
        scratch::bytes(|out| out.extend(self.normal_digits()))
    }
    /// The internal form for a field of one message.
    pub fn internal_field(self) -> Bytes {
        if self.offset == 0 { self.normal_field() } else { scratch::text(&self.internal()) }
    }
    fn normal_digits(self) -> impl Iterator<Item = u8> {
        // Twice in every answer, where the formatting machinery is felt. A raw value made of anything else than a parsed text may have more than ten.
        let seconds = digits::at_least(self.raw / UNITS_PER_SECOND, 10);
        seconds.chain([b'.']).chain(digits::last(self.raw % UNITS_PER_SECOND, 5))
    }
    /// Normal, with `_%016x` if there is an offset: headers, file names, columns.
    pub fn internal(self) -> String {
        if self.offset == 0 { self.normal() } else { format!("{}_{:016x}", self.normal(), self.offset) }
    }
    /// Normal, with `_%x` if there is an offset.
    pub fn short(self) -> String {
        if self.offset == 0 { self.normal() } else { format!("{}_{:x}", self.normal(), self.offset) }
    }
    /// Seconds rounded up: `Last-Modified`.
    pub fn ceil_seconds(self) -> u64 {
        self.raw.div_ceil(UNITS_PER_SECOND)
    }
    /// Whole seconds, fraction dropped.
    pub fn seconds(self) -> u64 {
        self.raw / UNITS_PER_SECOND
    }
    /// Since 1970, the offset left out.
    pub fn since_epoch(self) -> Duration {
        Duration::from_micros(self.raw.saturating_mul(10))
    }
    /// The same time with a greater offset; `None` when the offset is used up.
    pub fn with_offset_added(self, more: u64) -> Option<Self> {
        self.offset.checked_add(more).map(|offset| Self { raw: self.raw, offset })
    }
    /// `2014-06-11T05:31:17.041880`, as listings show it.
    pub fn isoformat(self) -> String {
        let form = IsoForm::default().of(self).to_vec();
        String::from_utf8(form).unwrap_or_default()
    }
    /// The reverse of [`isoformat`](Self::isoformat): exactly that form, one to six decimals.
    pub fn from_isoformat(text: &str) -> Result<Self, InvalidTimestamp> {
        let (date, time) = text.split_once('T').ok_or(InvalidTimestamp)?;
        let (time, fraction) = time.split_once('.').ok_or(InvalidTimestamp)?;
        let [year, month, day] = three_numbers(date, '-')?;
        let [hour, minute, second] = three_numbers(time, ':')?;
        if fraction.is_empty() || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidTimestamp);
        }
        let micros: u64 = format!("{fraction:0<6}").parse().map_err(|_| InvalidTimestamp)?;
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return Err(InvalidTimestamp);
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return Err(InvalidTimestamp);
        }
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        // Through a double, as Python: the tie at half a unit must fall to the same side.
        let raw = raw_of_seconds((seconds * 1_000_000 + micros) as f64 / 1e6)?;
        Ok(Self { raw, offset: 0 })
    }
    /// The reverse-ordered twin used by versioning.
    pub fn inverse(self) -> Self {
        let raw = RAW_MAX.saturating_sub(self.raw);
        if self.offset == 0 {
            return Self { raw, offset: 0 };
        }
        Self { raw: raw.saturating_sub(1), offset: self.offset.wrapping_neg() }
    }
}

/// Writes [`isoformat`](Timestamp::isoformat) ten thousand times for one page of a listing: what the last one had in common is not made again.
#[derive(Clone, Debug)]
pub struct IsoForm {
    form: [u8; 26],
    /// Of the day and of the second that the form shows.
    day: u64,
    second: u64,
}

impl Default for IsoForm {
    fn default() -> Self {
        IsoForm { form: *b"0000-00-00T00:00:00.000000", day: u64::MAX, second: u64::MAX }
    }
}

impl IsoForm {
    /// The form of this time, until the next is asked for.
    pub fn of(&mut self, time: Timestamp) -> &[u8; 26] {
        let (second, day) = (time.seconds(), time.seconds() / 86_400);
        if day != self.day {
            let (year, month, date) = civil_from_days(day);
            self.put(0, 4, year);
            self.put(5, 7, month);
            self.put(8, 10, date);
            self.day = day;
        }
        if second != self.second {
            self.put(11, 13, second / 3_600 % 24);
            self.put(14, 16, second / 60 % 60);
            self.put(17, 19, second % 60);
            self.second = second;
        }
        self.put(20, 25, time.raw % UNITS_PER_SECOND);
        &self.form
    }

    /// Divided by a constant and put in place: a third of what the formatting machinery takes.
    fn put(&mut self, from: usize, to: usize, mut number: u64) {
        for place in self.form.get_mut(from..to).into_iter().flatten().rev() {
            *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
        }
    }
}

/// Seconds of an `X-Delete-At` value: fraction dropped, clamped to ten digits; `None` when it is no number.
pub fn delete_at_seconds(text: &str) -> Option<u64> {
    let seconds = parse_number(text).ok().filter(|seconds| !seconds.is_nan())?;
    Some(seconds.clamp(0.0, 9_999_999_999.0) as u64)
}

/// `t1[±hex[±hex]]`: several timestamps in one string. `explicit` shows a zero delta too. Offsets of t2 and t3 are
/// lost, as in Swift: they are times of POSTs, which have none.
pub fn encode(t1: Timestamp, t2: Option<Timestamp>, t3: Option<Timestamp>, explicit: bool) -> String {
    let mut text = t1.short();
    let Some(t2) = t2 else { return text };
    let differs = t1.raw != t2.raw || t3.is_some_and(|t3| t3.raw != t2.raw);
    if explicit || differs {
        push_delta(&mut text, t1, t2);
        if let Some(t3) = t3 {
            push_delta(&mut text, t2, t3);
        }
    }
    text
}

/// The reverse; missing ones are `None` when `explicit`, else equal to the one before.
pub fn decode(
    text: &str,
    explicit: bool,
) -> Result<(Timestamp, Option<Timestamp>, Option<Timestamp>), InvalidTimestamp> {
    // Nearly all objects have one time, in its common form.
    if let Some(raw) = parse_normal(text.as_bytes()) {
        let (time, same) = (Timestamp { raw, offset: 0 }, |time| (!explicit).then_some(time));
        return Ok((time, same(time), same(time)));
    }
    let (first, deltas) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
    let t1 = Timestamp::parse(first)?;
    let (second, third) = match deltas.get(1..).and_then(|rest| rest.find(['+', '-'])) {
        Some(at) => deltas.split_at(at + 1),
        None => (deltas, ""),
    };
    // What follows a third delta is ignored, as Python does.
    let third = match third.get(1..).and_then(|rest| rest.find(['+', '-'])) {
        Some(at) => third.split_at(at + 1).0,
        None => third,
    };
    let t2 = apply_delta(t1, second, explicit)?;
    let t3 = match t2 {
        Some(t2) => apply_delta(t2, third, explicit)?,
        None => None,
    };
    Ok((t1, t2, t3))
}

fn push_delta(text: &mut String, from: Timestamp, to: Timestamp) {
    let sign = if to.raw < from.raw { '-' } else { '+' };
    text.push(sign);
    text.push_str(&format!("{:x}", to.raw.abs_diff(from.raw)));
}

/// A zero delta keeps the timestamp with its offset, another one starts from the time alone.
fn apply_delta(from: Timestamp, delta: &str, explicit: bool) -> Result<Option<Timestamp>, InvalidTimestamp> {
    let (sign, hex) = match (delta.strip_prefix('+'), delta.strip_prefix('-')) {
        (Some(hex), _) => (1, hex),
        (_, Some(hex)) => (-1, hex),
        _ => return Ok(if explicit { None } else { Some(from) }),
    };
    if hex.is_empty() || hex.len() > OFFSET_DIGITS || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(InvalidTimestamp);
    }
    let units = i128::from(u64::from_str_radix(hex, 16).map_err(|_| InvalidTimestamp)?);
    if units == 0 {
        return Ok(Some(from));
    }
    let raw = u64::try_from(i128::from(from.raw) + sign * units).map_err(|_| InvalidTimestamp)?;
    if raw > RAW_MAX { Err(InvalidTimestamp) } else { Ok(Some(Timestamp { raw, offset: 0 })) }
}

/// The common form, without the detour over a double: ten digits, a point, five digits.
fn parse_normal(text: &[u8]) -> Option<u64> {
    if text.len() != 16 || text.get(10) != Some(&b'.') {
        return None;
    }
    let mut raw = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => raw = raw * 10 + u64::from(byte - b'0'),
            b'.' if at == 10 => {}
            _ => return None,
        }
    }
    Some(raw)
}

/// What Python's `float()` accepts, less the underscores between digits.
fn parse_number(text: &str) -> Result<f64, InvalidTimestamp> {
    text.trim().parse().map_err(|_| InvalidTimestamp)
}

fn raw_of_seconds(seconds: f64) -> Result<u64, InvalidTimestamp> {
    let raw = (seconds / 1e-5).round_ties_even();
    // NaN fails both comparisons; a tiny negative number rounds to -0.0 and passes.
    if raw >= 0.0 && raw <= RAW_MAX as f64 { Ok(raw as u64) } else { Err(InvalidTimestamp) }
}

fn parse_offset(hex: &str) -> Result<u64, InvalidTimestamp> {
    if hex.len() > OFFSET_DIGITS {
        return Err(InvalidTimestamp);
    }
    if hex.is_empty() {
        return Ok(0);
    }
    let hex = hex.trim();
    if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(InvalidTimestamp);
    }
    u64::from_str_radix(hex, 16).map_err(|_| InvalidTimestamp)
}

fn three_numbers(text: &str, separator: char) -> Result<[u64; 3], InvalidTimestamp> {
    let mut parts = text.split(separator);
    let mut next = || {
        let part = parts.next().filter(|p| (1..=4).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
        part.and_then(|p| p.parse().ok()).ok_or(InvalidTimestamp)
    };
    let numbers = [next()?, next()?, next()?];
    if parts.next().is_some() { Err(InvalidTimestamp) } else { Ok(numbers) }
}

/// Days since 1970-01-01 as a date of the Gregorian calendar. Counts in eras of 400 years that begin on 1 March, so
/// that the leap day is the last of its year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let era = days / DAYS_PER_ERA;
    let day_of_era = days % DAYS_PER_ERA;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day.max(1) - 1;
    era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_1970
}

const UNITS_PER_SECOND: u64 = 100_000;
/// One unit below 10^10 seconds: the last time of ten digits.
const RAW_MAX: u64 = 999_999_999_999_999;
const OFFSET_DIGITS: usize = 16;
const DAYS_PER_ERA: u64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests;
