//! Buckets of any objects are read back; divided they stay in order.

use super::*;
use crate::store::diskfile::Version;
use crate::store::packed::entry::{At, Held, Place};
use base::timestamp::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn entry(number: u64) -> Entry {
    let at = At { volume: 1, offset: 64 * number, length: 700 };
    let held = |raw| Held { version: Version::Data(Timestamp::from_raw(raw, number % 2)), place: Place::Volume(at) };
    Entry { held: (0..=number % 3).map(|more| held(170_000_000_000_000 + number + more)).collect(), dead: 0 }
}

/// Hashes that begin alike, so that keys of buckets are long as well as short.
fn any_objects(most: usize) -> impl Strategy<Value = Vec<Object>> {
    let hash = (any::<u64>(), 0_u32..3, any::<u8>());
    proptest::collection::vec(hash, 1..most).prop_map(|list| {
        let objects: BTreeMap<Key, Entry> = list
            .into_iter()
            .map(|(random, alike, last)| {
                let mut hash = [0; 16];
                hash[..8].copy_from_slice(&(random >> (alike * 24)).to_be_bytes());
                hash[15] = last;
                (Key::new(3, NameHash(hash)), entry(random % 100))
            })
            .collect();
        objects.into_iter().collect()
    })
}

fn one_bucket(name: &[u8], objects: &[Object]) -> Vec<u8> {
    let mut packer = Packer::new(name.to_vec());
    for (key, entry) in objects {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        packer.add(*key, &bytes);
    }
    packer.finish().1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_bucket_is_read_back_and_a_flipped_bit_is_noticed(objects in any_objects(60), bit in any::<prop::sample::Index>()) {
        let name = first_name(&objects[0].0);
        let mut value = one_bucket(&name, &objects);
        prop_assert_eq!(decode(&name, &value), Ok(objects.clone()));
        for (key, entry) in &objects {
            prop_assert_eq!(find(&name, &value, key), Ok(Some(entry.clone())));
            let mut hash = key.hash();
            hash.0[15] ^= 1;
            let other = Key::new(3, hash);
            let known = objects.iter().find(|(key, _)| *key == other).map(|(_, entry)| entry.clone());
            prop_assert_eq!(find(&name, &value, &other), Ok(known));
        }
        let bit = bit.index(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode(&name, &value).is_err());
        let found: Vec<_> = objects.iter().map(|(key, _)| find(&name, &value, key)).collect();
        let is_right = |(found, (_, entry)): (&Result<Option<Entry>, Damage>, &Object)| match found {
            Ok(found) => found.as_ref() == Some(entry),
            Err(_) => true,
        };
        prop_assert!(found.iter().zip(&objects).all(is_right), "what is in another section is found, or nothing");
        prop_assert!(found.iter().any(Result::is_err));
        value[bit / 8] ^= 1 << (bit % 8);
        let mut other_name = name.clone();
        other_name.push(0);
        prop_assert!(decode(&other_name, &value).is_err(), "a value of another key");
    }

    #[test]
    fn what_is_divided_stays_in_order_and_small(objects in any_objects(200)) {
        let buckets = divide(first_name(&objects[0].0), &objects);
        let bytes: usize = buckets.iter().map(|(_, value)| value.len()).sum();
        prop_assert!(buckets.len() <= 1 + bytes.div_ceil(BYTES_MAX / 3), "{} of {bytes} bytes", buckets.len());
        let mut all = Vec::new();
        for (number, (name, value)) in buckets.iter().enumerate() {
            prop_assert!(value.len() <= BYTES_MAX, "{}", value.len());
            let objects = decode(name, value).unwrap();
            let next = buckets.get(number + 1);
            for (key, _) in &objects {
                prop_assert!(key.bytes() >= name.as_slice());
                prop_assert!(next.is_none_or(|(next, _)| key.bytes() < next.as_slice()));
            }
            all.extend(objects);
        }
        prop_assert_eq!(all, objects);
    }
}

#[test]
fn what_could_not_have_been_written_is_refused_even_with_good_checksums() {
    let object = |first: u8| (Key::new(3, NameHash([first; 16])), entry(1));
    let objects: Vec<Object> = (1..=20).map(object).collect();
    let name = first_name(&objects[0].0);
    let bytes: Vec<Vec<u8>> = objects
        .iter()
        .map(|(key, entry)| {
            let mut bytes = key.hash().0.to_vec();
            entry.encode(&mut bytes);
            bytes
        })
        .collect();
    // A bucket of these sections, with what each says its first hash begins with.
    let forge = |name: &[u8], shared: u8, sections: &[(u8, &[Vec<u8>])]| {
        let (mut front, mut objects) = (vec![shared, u8::try_from(sections.len()).unwrap()], Vec::new());
        for (first, section) in sections {
            objects.extend(section.concat());
            front.extend(crc32c(&section.concat()).to_le_bytes());
            front.extend(u16::try_from(objects.len()).unwrap().to_le_bytes());
            front.extend([*first; 4]);
        }
        let sum = checksum(name, &front).to_le_bytes();
        decode(name, &[sum.as_slice(), &front, &objects].concat())
    };
    let (first, second) = bytes.split_at(16);
    assert_eq!(forge(&name, 0, &[(1, first), (17, second)]).as_ref(), Ok(&objects));
    assert!(forge(&name, 0, &[]).is_err(), "no object");
    assert!(forge(&[0], 0, &[(1, first), (17, second)]).is_err(), "no policy");
    assert!(forge(&[0, 3, 2], 0, &[(1, first), (17, second)]).is_err(), "an object below the bucket");
    assert!(forge(&name, 0, &[(17, second), (1, first)]).is_err(), "the wrong order");
    assert!(forge(&name, 0, &[(2, &[first, &first[15..]].concat()[1..])]).is_err(), "one object twice");
    assert!(forge(&name, 0, &[(1, &first[..15]), (16, &bytes[15..])]).is_err(), "a section that is not full");
    assert!(forge(&name, 0, &[(1, &bytes)]).is_err(), "a section that is too full");
    assert!(forge(&name, 0, &[(1, first), (17, second), (20, &[])]).is_err(), "an empty section");
    assert!(forge(&name, 0, &[(1, first), (16, second)]).is_err(), "another first object than it says");
    assert!(forge(&name, 0, &[(1, &first[..1])]).is_err(), "a lone hash shares all of itself");
    assert!(forge(&name, 17, &[(1, first), (17, second)]).is_err(), "more of a hash than there is");
}

#[test]
fn keys_between_are_short() {
    let key = |front: [u8; 4]| {
        let mut hash = [9; 16];
        hash[..4].copy_from_slice(&front);
        Key::new(0x0102, NameHash(hash))
    };
    assert_eq!(name_between(&key([1, 2, 3, 4]), &key([1, 2, 7, 0])), [1, 2, 1, 2, 7]);
    assert_eq!(name_between(&key([1, 2, 3, 4]), &key([2, 0, 0, 0])), [1, 2, 2]);
    let other_policy = Key::new(0x0100, NameHash([255; 16]));
    assert_eq!(name_between(&other_policy, &key([2, 0, 0, 0])), [1, 2]);
}
