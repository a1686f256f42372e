//! Histories of one object in any order, and what becomes of damaged versions.

use super::*;
use crate::store::packed::record::Input;
use proptest::prelude::*;

fn time(raw: u64) -> Timestamp {
    Timestamp::from_raw(raw, raw % 3)
}

/// Mostly POSTs of few times: that is where the rules are.
fn any_version() -> impl Strategy<Value = Version> {
    (0_u8..6, 1_u64..7, proptest::option::of(1_u64..7)).prop_map(|(kind, raw, content_type)| match kind {
        0 => Version::Data(time(raw)),
        1 => Version::Tombstone(time(raw)),
        _ => {
            // A POST's content type is never newer than the POST (specs: object server §4).
            let content_type = content_type.filter(|content_type| *content_type <= raw).map(time);
            Version::Meta { timestamp: time(raw), content_type }
        }
    })
}

fn entry_of(changes: &[Change]) -> Entry {
    let mut entry = Entry::default();
    for change in changes {
        entry.apply(*change, &mut Vec::new());
    }
    entry.held.sort_by_key(|held| held.version.file_name());
    entry
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn entries_are_read_back(
        versions in proptest::collection::vec(any_version(), 0..5), dead in any::<u32>(), size in 0_u32..32,
        raw in any::<u64>(),
    ) {
        let at = At { volume: 7 << (size % 28), offset: 64 * u64::from(99_u32 << (size % 25)), length: 4711_u32 >> (size % 13) };
        let places = [Place::Volume(at), Place::Large(at), Place::Stock, Place::Lost(at)];
        let held = versions.into_iter().zip(places.into_iter().cycle());
        let mut entry = Entry { held: held.map(|(version, place)| Held { version, place }).collect(), dead: dead >> size };
        if let Some(first) = entry.held.first_mut() {
            first.version = Version::Data(Timestamp::from_raw(raw >> size, u64::from(dead)));
        }
        prop_assume!(!entry.is_empty());
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        prop_assert!(bytes.len() <= ENTRY_BYTES_MAX);
        bytes.push(0xaa);
        for skips in [false, true] {
            let mut input = Input(&bytes);
            match skips {
                true => Entry::skip(&mut input).unwrap(),
                false => prop_assert_eq!(Entry::decode(&mut input).unwrap(), entry.clone()),
            }
            prop_assert_eq!(input.0, &[0xaa]);
        }
        for length in 0..bytes.len() - 1 {
            prop_assert!(Entry::decode(&mut Input(&bytes[..length])).is_err());
        }
    }

    #[test]
    fn bytes_that_are_read_are_what_would_be_written(bytes in proptest::collection::vec(any::<u8>(), 1..80), flags in 0_u8..16) {
        let mut bytes = bytes;
        bytes[0] = bytes[0] & 0xf0 | flags;
        let mut input = Input(&bytes);
        if let Ok(entry) = Entry::decode(&mut input) {
            let mut again = Vec::new();
            entry.encode(&mut again);
            prop_assert_eq!(&again, &bytes[..bytes.len() - input.0.len()]);
        }
    }

    #[test]
    fn the_order_of_changes_does_not_matter(
        versions in proptest::collection::vec(any_version(), 1..7), seed in any::<u64>(),
    ) {
        let changes: Vec<Change> = versions
            .iter()
            .enumerate()
            .map(|(index, version)| {
                let at = At { volume: 1, offset: 64 * index as u64, length: 100 };
                Change::Insert(Held { version: *version, place: Place::Volume(at) })
            })
            .collect();
        let forward = entry_of(&changes);
        let mut shuffled = changes.clone();
        let length = shuffled.len();
        for index in 0..length {
            shuffled.swap(index, usize::try_from(seed >> (index * 8)).unwrap() % length);
        }
        let backward = entry_of(&shuffled);
        prop_assert_eq!(&forward.held, &backward.held);
        prop_assert_eq!(forward.dead, backward.dead);
        let names: Vec<String> = versions.iter().map(|version| version.file_name()).collect();
        let listing = Listing::choose(names.iter().map(String::as_str));
        let chosen = forward.choose();
        let name = |held: Option<Held>| held.map(|held| held.version.file_name());
        prop_assert_eq!(name(chosen.data), listing.data.map(|chosen| chosen.name));
        prop_assert_eq!(name(chosen.tombstone), listing.tombstone.map(|chosen| chosen.name));
        prop_assert_eq!(name(chosen.meta), listing.meta.map(|chosen| chosen.name));
    }
}

#[test]
fn a_moved_record_leaves_a_dead_one() {
    let place = |offset| Place::Volume(At { volume: 1, offset, length: 64 });
    let version = Version::Data(time(3));
    let mut displaced = Vec::new();
    let mut entry = Entry::default();
    for offset in [64, 128, 64, 128] {
        entry.apply(Change::Insert(Held { version, place: place(offset) }), &mut displaced);
    }
    assert_eq!(*entry.held, [Held { version, place: place(128) }]);
    assert_eq!(displaced.first(), Some(&Held { version, place: place(64) }));
    entry.apply(Change::Remove(Held { version, place: place(64) }), &mut displaced);
    assert_eq!(entry.held.len(), 1, "only the version at that place is damaged");
}

fn record(offset: u64) -> At {
    At { volume: 1, offset, length: 64 }
}

fn data(raw: u64, offset: u64) -> Held {
    Held { version: Version::Data(time(raw)), place: Place::Volume(record(offset)) }
}

#[test]
fn a_lost_version_keeps_out_what_is_older_until_it_is_healed() {
    let (old, damaged) = (data(3, 64), data(6, 128));
    let lose = Change::Lose { gone: damaged, by: record(192) };
    let lost = Held { version: damaged.version, place: Place::Lost(record(192)) };
    for history in [
        vec![Change::Insert(old), Change::Insert(damaged), lose],
        // Its record cannot be read any more, and the older one can.
        vec![Change::Insert(old), lose],
        // An older write comes later.
        vec![Change::Insert(damaged), lose, Change::Insert(data(3, 256))],
    ] {
        let dead = u32::try_from(history.len() - 1).unwrap();
        let entry = entry_of(&history);
        assert_eq!((&*entry.held, entry.dead), ([lost].as_slice(), dead), "{history:?}");
        assert_eq!(entry.choose().data, Some(lost));
        let mut newer = vec![Change::Insert(data(6, 320)), Change::Insert(data(9, 320))];
        for healing in newer.drain(..) {
            let healed = entry_of(&[history.as_slice(), &[healing]].concat());
            let Change::Insert(expected) = healing else { unreachable!() };
            assert_eq!((&*healed.held, healed.dead), ([expected].as_slice(), dead + 1));
        }
    }
}

#[test]
fn a_version_is_lost_where_it_was_damaged_and_nowhere_else() {
    let (damaged, moved, lose) = (data(6, 64), data(6, 128), Change::Lose { gone: data(6, 64), by: record(192) });
    // Moved by a compaction while a reader found the old place damaged.
    let entry = entry_of(&[Change::Insert(damaged), Change::Insert(moved), lose]);
    assert_eq!((&*entry.held, entry.dead), ([moved].as_slice(), 2));
    // The record that says so is moved while a replica heals.
    let again = Change::Lose { gone: damaged, by: record(320) };
    let entry = entry_of(&[Change::Insert(damaged), lose, Change::Insert(data(6, 256)), again]);
    assert_eq!((&*entry.held, entry.dead), ([data(6, 256)].as_slice(), 3));
    // It is moved, and nothing else happens.
    let entry = entry_of(&[Change::Insert(damaged), lose, again]);
    let lost = Held { version: damaged.version, place: Place::Lost(record(320)) };
    assert_eq!((&*entry.held, entry.dead), ([lost].as_slice(), 2));
    // A newer one is there.
    let entry = entry_of(&[Change::Insert(damaged), Change::Insert(data(9, 128)), lose]);
    assert_eq!((&*entry.held, entry.dead), ([data(9, 128)].as_slice(), 2));
}

#[test]
fn an_object_of_today_takes_few_bytes() {
    let at = At { volume: 200, offset: 64 * 3_000_000, length: 1200 };
    let version = Version::Data(Timestamp::from_raw(178_000_000_000_000, 0));
    let mut bytes = Vec::new();
    Entry { held: Versions::One(Held { version, place: Place::Volume(at) }), dead: 0 }.encode(&mut bytes);
    assert_eq!(bytes.len(), 14);
}
