//! Core: what stands in the queue: its containers, its rows, and what becomes of a row once its object was asked for.
//!
//! A container is named for the day of its rows, less some seconds that spread a day over many. A row is named
//! `<when>-<account>/<container>/<object>`; one of type `application/async-deleted` names an object without a time of its own,
//! which goes as soon as somebody comes to it.
//!
//! # Invariants
//!
//! - Nothing is due before its time, nor, unless it was deleted by somebody, before its delay is over.
//! - A row leaves the queue only when its object is gone, has become a newer one, or was not what the row says for `reclaim_age`.

use super::settings::{Delays, Settings};
use base::checksum::md5;
use base::names::Path;
use base::timestamp::Timestamp;
use std::rc::Rc;
use std::time::Duration;

/// The type of rows that somebody's DELETE left.
const ASYNC_DELETED: &str = "application/async-deleted";

/// What the name of a container says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Day {
    /// Some of its rows may be due; whether it is named as we would name it.
    Come { expected: bool },
    /// It and all behind it are of days to come.
    Later,
    /// No time.
    Odd,
}

impl Day {
    pub(super) fn of(name: &str, settings: &Settings, now: Timestamp) -> Day {
        let Ok(time) = Timestamp::parse(name) else { return Day::Odd };
        let seconds = time.seconds();
        if Timestamp::from_unix(Duration::from_secs(seconds)) > now {
            return Day::Later;
        }
        // How far it is from the end of its day, which gives the name to the first of its containers.
        let before = (seconds + settings.divisor - 1) % settings.divisor;
        Day::Come { expected: settings.divisor - before <= settings.containers_per_divisor }
    }
}

/// What a row says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// To be done by us, now.
    Due(Task),
    /// It and all behind it are of a time to come.
    Later,
    /// Another process does it.
    Others,
    /// Its container is kept longer.
    Delayed,
    /// No task.
    Odd,
}

/// One object to be removed, and the row that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// The row's container.
    pub(super) container: Rc<str>,
    /// Its name.
    pub(super) row: String,
    /// When the object goes.
    pub(super) time: Timestamp,
    /// Whether the object has no time of its own.
    pub(super) is_async: bool,
}

impl Row {
    pub(super) fn of(
        container: &Rc<str>,
        name: &str,
        content_type: Option<&str>,
        settings: &Settings,
        now: Timestamp,
    ) -> Row {
        let Some((time, account, target, _)) = split(name) else { return Row::Odd };
        if time > now {
            return Row::Later;
        }
        if !settings.share.has(md5(format!("{container}/{name}").as_bytes())) {
            return Row::Others;
        }
        let is_async = content_type == Some(ASYNC_DELETED);
        if !is_async && is_delayed(&settings.delays, account, target, time, now) {
            return Row::Delayed;
        }
        Row::Due(Task { container: Rc::clone(container), row: name.to_owned(), time, is_async })
    }
}

fn is_delayed(delays: &Delays, account: &str, container: &str, time: Timestamp, now: Timestamp) -> bool {
    time > ago(now, delays.of(account, container))
}

fn ago(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp::from_unix(now.since_epoch().saturating_sub(age))
}

/// Time, account, container and object. Names may hold dashes, objects slashes.
fn split(name: &str) -> Option<(Timestamp, &str, &str, &str)> {
    let (time, target) = name.split_once('-')?;
    let time = Timestamp::parse(time).ok()?;
    let (account, rest) = target.split_once('/')?;
    let (container, object) = rest.split_once('/')?;
    let is_whole = !account.is_empty() && !container.is_empty() && !object.is_empty();
    is_whole.then_some((time, account, container, object))
}

impl Task {
    /// The object.
    pub(super) fn target(&self) -> Option<Path> {
        let (_, account, container, object) = split(&self.row)?;
        Some(Path { account: account.into(), container: Some(container.into()), object: Some(object.into()) })
    }

    /// The object's container: tasks of several take turns.
    pub(super) fn turn(&self) -> &str {
        let target = self.row.split_once('-').map_or("", |(_, target)| target);
        let container = target.find('/').map_or(target.len(), |first| first + 1);
        let end =
            target.get(container..).and_then(|rest| rest.find('/')).map_or(target.len(), |length| container + length);
        target.get(..end).unwrap_or(target)
    }
}

/// What becomes of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done with.
    Pop,
    /// The next pass tries again: the object may still come to know its time.
    Wait,
    /// The next pass tries again: nobody could say.
    Fail,
}

impl Verdict {
    /// From the answer to the object's DELETE.
    pub(super) fn of(task: &Task, status: u16, now: Timestamp, reclaim_age: Duration) -> Verdict {
        match status {
            200..=299 | 409 => Verdict::Pop,
            404 if task.is_async => Verdict::Pop,
            404 | 412 if task.time <= ago(now, reclaim_age) => Verdict::Pop,
            404 | 412 => Verdict::Wait,
            _ => Verdict::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::File;
    use super::*;

    fn settings(options: &str) -> Settings {
        File::parse("object-expirer.conf", &format!("[object-expirer]\n{options}")).unwrap().settings
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(Duration::from_secs(seconds))
    }

    fn row(name: &str, kind: &str, options: &str, now: u64) -> Row {
        Row::of(&"1795391960".into(), name, Some(kind), &settings(options), at(now))
    }

    const PLAIN: &str = "text/plain;swift_expirer_bytes=5";

    #[test]
    fn containers_come_with_their_day_and_odd_names_are_passed_over() {
        let day = |name: &str, now: u64| Day::of(name, &settings(""), at(now));
        assert_eq!(day("1795391960", 1_795_391_959), Day::Later);
        assert_eq!(day("1795391960", 1_795_391_960), Day::Come { expected: true });
        assert_eq!(day("1795392000", 1_795_392_000), Day::Come { expected: true }, "of shard 0");
        assert_eq!(day("1795391901", 1_795_392_000), Day::Come { expected: true }, "of shard 99");
        assert_eq!(day("1795391900", 1_795_392_000), Day::Come { expected: false });
        assert_eq!(day("0000000000", 1), Day::Come { expected: true });
        for odd in ["", "tasks", "-5", "nan"] {
            assert_eq!(day(odd, 1_795_392_000), Day::Odd, "{odd}");
        }
    }

    #[test]
    fn a_row_is_due_from_its_second_on() {
        let name = "1795431875-AUTH_test/c1/hello.txt";
        assert_eq!(row(name, PLAIN, "", 1_795_431_874), Row::Later);
        let Row::Due(task) = row(name, PLAIN, "", 1_795_431_875) else { panic!("it is due") };
        assert_eq!(task.time.normal(), "1795431875.00000");
        assert_eq!(task.target().unwrap().plain(), "/AUTH_test/c1/hello.txt");
        assert_eq!((task.turn(), task.is_async), ("AUTH_test/c1", false));
    }

    #[test]
    fn names_hold_dashes_slashes_and_letters_of_any_kind() {
        let Row::Due(task) = row("1795431875-AUTH_a-b/c-d/e-f//g/h – ü", PLAIN, "", 1_795_431_875) else { panic!() };
        let target = task.target().unwrap();
        assert_eq!((target.account.as_str(), target.container.as_deref()), ("AUTH_a-b", Some("c-d")));
        assert_eq!((target.object.as_deref(), task.turn()), (Some("e-f//g/h – ü"), "AUTH_a-b/c-d"));
        for odd in
            ["1795431875", "1795431875-", "1795431875-a/c", "1795431875-a/c/", "1795431875-/c/o", "1-a//o", "x-a/c/o"]
        {
            assert_eq!(row(odd, PLAIN, "", 1_795_431_875), Row::Odd, "{odd}");
        }
    }

    #[test]
    fn what_was_deleted_has_the_time_of_the_deletion() {
        let name = "1795431875.12345-AUTH_test/segments/1";
        assert_eq!(row(name, ASYNC_DELETED, "", 1_795_431_875), Row::Later);
        let Row::Due(task) = row(name, ASYNC_DELETED, "", 1_795_431_876) else { panic!("it is due") };
        assert_eq!((task.time.normal().as_str(), task.is_async), ("1795431875.12345", true));
    }

    #[test]
    fn a_delay_holds_back_what_expired_not_what_was_deleted() {
        let (name, delay) = ("1795431875-AUTH_test/c1/o", "delay_reaping_AUTH_test = 60\n");
        assert_eq!(row(name, PLAIN, delay, 1_795_431_934), Row::Delayed);
        assert!(matches!(row(name, PLAIN, delay, 1_795_431_935), Row::Due(_)));
        assert!(matches!(row(name, ASYNC_DELETED, delay, 1_795_431_875), Row::Due(_)));
        assert!(matches!(row(name, PLAIN, "delay_reaping_AUTH_other = 60\n", 1_795_431_875), Row::Due(_)));
    }

    #[test]
    fn of_two_processes_one_takes_a_row() {
        let name = "1795431875-AUTH_test/c1/o";
        let rows =
            ["0", "1"].map(|process| row(name, PLAIN, &format!("processes = 2\nprocess = {process}\n"), 1_795_431_875));
        assert_eq!(rows.iter().filter(|row| matches!(row, Row::Due(_))).count(), 1);
        assert_eq!(rows.iter().filter(|row| **row == Row::Others).count(), 1);
        // int(md5(b'1795391960/1795431875-AUTH_test/c1/o').hexdigest(), 16) % 2 is 1 in Python.
        assert_eq!(rows[0], Row::Others);
    }

    #[test]
    fn a_row_goes_when_its_object_is_gone_or_another() {
        let task = |kind| match row("1795431875-a/c/o", kind, "", 1_795_431_875) {
            Row::Due(task) => task,
            other => panic!("{other:?}"),
        };
        let week = Duration::from_secs(604_800);
        let verdict = |kind, status, later: u64| Verdict::of(&task(kind), status, at(1_795_431_875 + later), week);
        use Verdict::{Fail, Pop, Wait};
        let cases = [
            (PLAIN, 204, 0, Pop),
            (PLAIN, 409, 0, Pop),
            (PLAIN, 404, 0, Wait),
            (PLAIN, 412, 604_799, Wait),
            (PLAIN, 404, 604_800, Pop),
            (PLAIN, 412, 604_800, Pop),
            (PLAIN, 503, 604_800, Fail),
            (PLAIN, 400, 0, Fail),
            (ASYNC_DELETED, 204, 0, Pop),
            (ASYNC_DELETED, 409, 0, Pop),
            (ASYNC_DELETED, 404, 0, Pop),
            (ASYNC_DELETED, 412, 0, Wait),
            (ASYNC_DELETED, 503, 604_800, Fail),
        ];
        for (kind, status, later, expected) in cases {
            assert_eq!(verdict(kind, status, later), expected, "{kind} {status} after {later} s");
        }
    }
}
