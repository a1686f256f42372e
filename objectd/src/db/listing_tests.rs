//! Listings against a model, over random rows, selections and slices.

use super::key::{self, Kind, State};
use super::lifecycle;
use super::listing::{Entry, Selection, Walk};
use super::memory::Memory;
use super::object_row::{ObjectRow, ObjectUpdate};
use super::tests::{at, change, check_container, hash, put_object};
use base::io::kv::{Pair, Read, Table};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;

/// A listing told in the plainest way: every name in order, one after the other.
fn model(names: &BTreeSet<String>, selection: &Selection) -> Vec<(bool, String)> {
    let (mut prefix, mut delimiter) = (selection.prefix.clone(), selection.delimiter.clone());
    if let Some(path) = &selection.path {
        prefix = if path.is_empty() { String::new() } else { format!("{}/", path.trim_end_matches('/')) };
        delimiter = "/".to_owned();
    }
    let (mut lower, mut upper) = (&selection.marker, &selection.end_marker);
    if selection.reverse {
        (lower, upper) = (upper, lower);
    }
    let mut entries = Vec::new();
    for name in names.iter().filter(|name| {
        name.starts_with(&prefix)
            && (lower.is_empty() || *name > lower)
            && (upper.is_empty() || *name < upper)
            && (selection.show_reserved || !name.starts_with('\0'))
    }) {
        let end = (!delimiter.is_empty())
            .then(|| name[prefix.len()..].find(&delimiter).map(|found| prefix.len() + found + delimiter.len()))
            .flatten();
        match end {
            Some(end) if selection.path.is_some() && end < name.len() => {}
            Some(end) if selection.path.is_none() => entries.push((true, name[..end].to_owned())),
            _ if selection.path.is_some() && *name == prefix => {}
            _ => entries.push((false, name.clone())),
        }
    }
    entries.dedup();
    entries.retain(|(is_subdir, name)| !is_subdir || name != lower);
    if selection.reverse {
        entries.reverse();
    }
    entries.truncate(selection.limit);
    entries
}

/// By a sink that has space for so many entries at a time.
fn listed(memory: &Memory, policy: u32, selection: &Selection, budget: usize, space: usize) -> Vec<(bool, String)> {
    let mut walk = Walk::new(key::row_prefix(&hash("c"), State::Live, policy), selection);
    let mut entries = Vec::new();
    for _ in 0..10_000 {
        let full_at = entries.len() + space;
        let done = walk
            .advance(memory, budget, &mut |entry| {
                assert!(entries.len() < full_at, "nothing is given to a sink that has enough");
                entries.push(match entry {
                    Entry::Row(name, value) => {
                        assert!(!ObjectRow::decode(value)?.deleted);
                        (false, String::from_utf8(name.to_vec()).unwrap())
                    }
                    Entry::Subdir(name) => (true, String::from_utf8(name.to_vec()).unwrap()),
                });
                Ok(entries.len() < full_at)
            })
            .unwrap();
        if done {
            return entries;
        }
    }
    panic!("a walk ends");
}

/// Short names over an alphabet in which prefixes, delimiters and their neighbours collide often.
fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![4 => Just('a'), 4 => Just('/'), 2 => Just('0'), 2 => Just('.'), 1 => Just('é'),
        1 => Just('\0'), 1 => Just('\u{1}')],
        1..6,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn maybe_name() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 3 => name()]
}

fn selection() -> impl Strategy<Value = Selection> {
    let delimiter = prop_oneof![2 => Just(""), 3 => Just("/"), 1 => Just("//"), 1 => Just("a/"), 1 => Just("é")];
    let path = prop_oneof![3 => Just(None), 1 => maybe_name().prop_map(Some)];
    let limit = prop_oneof![3 => Just(10_000_usize), 2 => 0..6_usize];
    (limit, maybe_name(), maybe_name(), maybe_name(), delimiter, path, any::<bool>(), any::<bool>()).prop_map(
        |(limit, marker, end_marker, prefix, delimiter, path, reverse, show_reserved)| Selection {
            limit,
            marker,
            end_marker,
            prefix,
            delimiter: delimiter.to_owned(),
            path,
            reverse,
            show_reserved,
        },
    )
}

/// Counts the keys a walk looks at.
struct Counting<'m>(&'m Memory, Cell<usize>);

impl Read for Counting<'_> {
    fn get(&self, table: Table, key: &[u8]) -> io::Result<Option<&[u8]>> {
        self.0.get(table, key)
    }
    fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(Pair<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.0.scan(table, from, to, reverse, &mut |pair| {
            self.1.set(self.1.get() + 1);
            visit(pair)
        })
    }
}

#[test]
fn a_collapsed_prefix_and_its_tombstones_cost_one_seek() {
    let mut memory = Memory::new();
    let create = change(Kind::Container, 1);
    let mut updates = Vec::new();
    for n in 0..500 {
        updates.extend([put_object(&format!("a/{n}"), 2, 1, 0), put_object(&format!("b/{n}"), 2, 1, 0)]);
        updates.push(ObjectUpdate::deletion(&format!("a0{n}"), 0, at(2)));
    }
    lifecycle::merge_objects(&mut memory, &create.hash, Some(&create), &updates).unwrap();
    for reverse in [false, true] {
        let selection = Selection { limit: 10_000, delimiter: "/".to_owned(), reverse, ..Selection::default() };
        let read = Counting(&memory, Cell::new(0));
        let mut walk = Walk::new(key::row_prefix(&create.hash, State::Live, 0), &selection);
        let mut found = 0;
        let done = walk.advance(&read, 1_000, &mut |_| {
            found += 1;
            Ok(true)
        });
        assert!(done.unwrap());
        assert_eq!((found, read.1.get()), (2, 2), "reverse {reverse}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random changes in two policies; then every listing equals the model's, whatever the slices.
    #[test]
    fn listings_equal_a_walk_over_a_plain_set(
        operations in proptest::collection::vec((name(), 1..20_u64, any::<bool>(), 0..2_u32, 0..100_i64), 0..40),
        selections in proptest::collection::vec((selection(), 1..5_usize), 1..12),
    ) {
        let mut memory = Memory::new();
        let create = change(Kind::Container, 1);
        lifecycle::put_container(&mut memory, &create).unwrap();
        let mut newest: BTreeMap<(u32, String), (u64, bool)> = BTreeMap::new();
        for (name, seconds, deleted, policy, size) in operations {
            let update = match deleted {
                true => ObjectUpdate::deletion(&name, policy, at(seconds)),
                false => put_object(&name, seconds, size, policy),
            };
            lifecycle::merge_objects(&mut memory, &create.hash, None, &[update]).unwrap();
            let stored = newest.entry((policy, name)).or_insert((0, true));
            if stored.0 < seconds {
                *stored = (seconds, deleted);
            }
        }
        check_container(&memory, &create.hash);
        for policy in 0..2 {
            let names: BTreeSet<String> = newest.iter()
                .filter(|((of, _), (_, deleted))| *of == policy && !deleted)
                .map(|((_, name), _)| name.clone())
                .collect();
            for (selection, budget) in &selections {
                let expected = model(&names, selection);
                for (budget, space) in [(*budget, 1000), (1000, *budget), (1000, 1000)] {
                    let found = listed(&memory, policy, selection, budget, space);
                    prop_assert_eq!(found, expected.clone(), "{:?} {} {}", selection, budget, space);
                }
            }
        }
    }
}
