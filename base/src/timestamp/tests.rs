//! Every case of Swift's own timestamps, and what random ones must keep.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/timestamps.json")).unwrap()
}

/// Numbers of the vectors are given to Python as numbers; their text means the same.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn texts_are_read_as_swift_reads_them() {
    for case in vectors()["timestamp_parse"].as_array().unwrap() {
        let (text, expected) = (text_of(&case["in"]), &case["out"]);
        let parsed = Timestamp::parse(&text);
        if expected.get("error").is_some() {
            assert_eq!(parsed, Err(InvalidTimestamp), "{text:?}");
            continue;
        }
        let parsed = parsed.unwrap_or_else(|_| panic!("{text:?} is a timestamp"));
        assert_eq!(parsed.normal(), expected["normal"], "{text:?}");
        assert_eq!(parsed.internal(), expected["internal"], "{text:?}");
        assert_eq!(parsed.short(), expected["short"], "{text:?}");
        assert_eq!(parsed.raw(), expected["raw"].as_u64().unwrap(), "{text:?}");
        assert_eq!(parsed.offset(), expected["offset"].as_u64().unwrap(), "{text:?}");
        assert_eq!(parsed.isoformat(), expected["isoformat"], "{text:?}");
        assert_eq!(parsed.ceil_seconds(), expected["ceil"].as_u64().unwrap(), "{text:?}");
    }
}

fn check_decoded(text: &str, explicit: bool, expected: &Value) {
    let decoded = decode(text, explicit);
    if expected.get("error").is_some() {
        assert_eq!(decoded, Err(InvalidTimestamp), "{text}");
        return;
    }
    let (t1, t2, t3) = decoded.unwrap();
    let got = [Some(t1), t2, t3].map(|t| t.map(Timestamp::internal));
    let wanted: Vec<_> = expected.as_array().unwrap().iter().map(|v| v.as_str().map(str::to_owned)).collect();
    assert_eq!(got.to_vec(), wanted, "{text} explicit {explicit}");
}

#[test]
fn several_times_in_one_string_are_written_and_read_as_swift_does() {
    let optional = |value: &Value| value.as_str().map(|text| Timestamp::parse(text).unwrap());
    for case in vectors()["encode"].as_array().unwrap() {
        let t1 = optional(&case["t1"]).unwrap();
        let encoded = encode(t1, optional(&case["t2"]), optional(&case["t3"]), case["explicit"].as_bool().unwrap());
        assert_eq!(encoded, case["encoded"], "{case}");
        check_decoded(&encoded, false, &case["decoded"]);
        check_decoded(&encoded, true, &case["decoded_explicit"]);
    }
    for case in vectors()["decode"].as_array().unwrap() {
        check_decoded(case["in"].as_str().unwrap(), false, &case["decoded"]);
        check_decoded(case["in"].as_str().unwrap(), true, &case["decoded_explicit"]);
    }
}

#[test]
fn text_order_of_the_internal_form_is_the_order_in_time() {
    let vectors = vectors();
    let sorted: Vec<_> = vectors["sorted_ascending"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    for pair in sorted.windows(2) {
        assert!(Timestamp::parse(pair[0]).unwrap() < Timestamp::parse(pair[1]).unwrap(), "{pair:?}");
    }
}

#[test]
fn delete_at_drops_the_fraction_and_stays_within_ten_digits() {
    for case in vectors()["normalize_delete_at"].as_array().unwrap() {
        let seconds = delete_at_seconds(&text_of(&case["in"])).unwrap();
        assert_eq!(format!("{seconds:010}"), case["normalize_delete_at"], "{case}");
    }
    assert_eq!(delete_at_seconds("soon"), None);
    assert_eq!(delete_at_seconds("nan"), None);
}

#[test]
fn the_inverse_sorts_the_other_way() {
    for case in vectors()["invert"].as_array().unwrap() {
        let timestamp = Timestamp::parse(case["in"].as_str().unwrap()).unwrap();
        assert_eq!(timestamp.inverse().internal(), case["inverse_internal"], "{case}");
    }
}

#[test]
fn listing_times_are_read_back() {
    for case in vectors()["from_isoformat"].as_array().unwrap() {
        let parsed = Timestamp::from_isoformat(case["in"].as_str().unwrap());
        match case["out"].as_str() {
            Some(normal) => assert_eq!(parsed.unwrap().normal(), normal),
            None => assert_eq!(parsed, Err(InvalidTimestamp)),
        }
    }
    assert!(Timestamp::from_isoformat("2014-02-30T00:00:00.0").is_err());
}

#[test]
fn a_clock_is_rounded_to_ten_microseconds() {
    assert_eq!(Timestamp::from_unix(Duration::from_nanos(14_999)).raw(), 1);
    assert_eq!(Timestamp::from_unix(Duration::from_nanos(15_000)).raw(), 2);
    assert_eq!(Timestamp::from_unix(Duration::MAX).internal(), "9999999999.99999");
}

proptest! {
    #[test]
    fn every_form_reads_back(raw in 0..=RAW_MAX, offset: u64) {
        let timestamp = Timestamp::from_raw(raw, offset);
        prop_assert_eq!(Timestamp::parse(&timestamp.internal()), Ok(timestamp));
        prop_assert_eq!(Timestamp::parse(&timestamp.short()), Ok(timestamp));
        prop_assert_eq!(Timestamp::from_isoformat(&timestamp.isoformat()).map(Timestamp::raw), Ok(raw));
    }

    #[test]
    fn a_form_that_is_used_again_shows_each_time(times in proptest::collection::vec((0..3_u64, 0..3_u64, 0..3_u64), 1..20)) {
        let mut form = IsoForm::default();
        for (days, seconds, units) in times {
            let time = Timestamp::from_raw((days * 86_400 + seconds) * UNITS_PER_SECOND + units, 0);
            let shown = std::str::from_utf8(form.of(time)).unwrap().to_owned();
            prop_assert_eq!(Timestamp::from_isoformat(&shown), Ok(time));
        }
    }

    #[test]
    fn the_short_cut_and_the_double_agree(raw in 0..=RAW_MAX) {
        let normal = Timestamp::from_raw(raw, 0).normal();
        prop_assert_eq!(raw_of_seconds(normal.parse().unwrap()), Ok(raw));
    }

    #[test]
    fn later_is_later_in_text_too(a in 0..=RAW_MAX, b in 0..=RAW_MAX, x: u64, y: u64) {
        let (a, b) = (Timestamp::from_raw(a, x), Timestamp::from_raw(b, y));
        prop_assert_eq!(a.cmp(&b), a.internal().cmp(&b.internal()));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[0-9+._e x-]{0,40}") {
        let _ = (Timestamp::parse(&text), decode(&text, true), Timestamp::from_isoformat(&text));
    }
}
