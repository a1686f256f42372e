//! LMDB against a map, and what the writer thread promises.

mod full_disk;
mod lost_pages;

use super::Kv;
use crate::io::kv::{Read, Table};
use crate::io::real::{CoreOptions, run};
use crate::io::spawn;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

const TABLES: &[&str] = &["first", "second"];
const FIRST: Table = Table(0);
const SECOND: Table = Table(1);

fn on_core<F: Future>(main: impl FnOnce() -> F) -> F::Output {
    run(CoreOptions { blocking_threads: 3, ..CoreOptions::default() }, main).unwrap()
}

#[test]
fn writes_are_there_after_reopening_and_tables_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        on_core(async || {
            let kv = Kv::open(&dir.path().join("env"), TABLES, 0).await.unwrap();
            if round == 0 {
                let write = |txn: &mut crate::io::kv::WriteTxn<'_>| {
                    txn.put(FIRST, b"key", b"value")?;
                    assert_eq!(txn.get(FIRST, b"key")?, Some(&b"value"[..]));
                    txn.put(SECOND, &[9; 1900], b"")?;
                    assert_eq!(txn.put(FIRST, &[9; 1901], b"").unwrap_err().kind(), io::ErrorKind::InvalidInput);
                    assert_eq!(txn.put(FIRST, b"", b"").unwrap_err().kind(), io::ErrorKind::InvalidInput);
                    txn.delete(FIRST, b"other")
                };
                assert!(!kv.write(write).await.unwrap());
            }
            let read = kv.read(|txn| {
                assert_eq!(txn.get(SECOND, b"key")?, None);
                assert_eq!(txn.get(SECOND, &[9; 1900])?, Some(&b""[..]));
                Ok(txn.get(FIRST, b"key")?.map(<[u8]>::to_vec))
            });
            assert_eq!(read.await.unwrap(), Some(b"value".to_vec()));
        });
    }
}

/// What must hold of either backend.
async fn append_in_order(kv: crate::io::kv::Kv) {
    let write = |txn: &mut crate::io::kv::WriteTxn<'_>| {
        txn.append(FIRST, b"b", b"1")?;
        for early in [&b"a"[..], b"b", b""] {
            assert_eq!(txn.append(FIRST, early, b"2").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        txn.append(FIRST, b"c", b"3")?;
        assert_eq!(txn.get(FIRST, b"b")?, Some(&b"1"[..]));
        Ok(txn.get(FIRST, b"c")?.map(<[u8]>::to_vec))
    };
    assert_eq!(kv.write(write).await.unwrap(), Some(b"3".to_vec()));
}

#[test]
fn only_a_key_greater_than_all_others_is_appended() {
    use crate::io::sim::{Sim, SimOptions};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("env");
    on_core(async || append_in_order(crate::io::kv::Kv::open(&path, TABLES).await.unwrap()).await);
    Sim::new(1, SimOptions::default())
        .run(async { append_in_order(crate::io::kv::Kv::open("/env".as_ref(), TABLES).await.unwrap()).await });
}

#[test]
fn a_failed_write_leaves_nothing_and_spares_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let kv = Kv::open(dir.path(), TABLES, 0).await.unwrap();
        let tasks: Vec<_> = (0..100_u8)
            .map(|number| {
                let kv = kv.clone();
                spawn(async move {
                    kv.write(move |txn| {
                        if number % 11 == 3 {
                            return Err(io::Error::other("refused before a change"));
                        }
                        txn.put(FIRST, &[number + 1], &[number])?;
                        match number % 10 {
                            3 => Err(io::Error::other("refused after a change")),
                            7 => panic!("on purpose"),
                            _ => Ok(number),
                        }
                    })
                    .await
                })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            let bad = number % 10 == 3 || number % 10 == 7 || number % 11 == 3;
            assert_eq!(task.await.unwrap().is_err(), bad, "write {number}");
        }
        let found = kv.read(|txn| {
            let mut found = Vec::new();
            txn.scan(FIRST, Bound::Unbounded, Bound::Unbounded, false, &mut |(_, value)| {
                found.push(usize::from(value[0]));
                Ok(true)
            })?;
            Ok(found)
        });
        let expected: Vec<_> = (0..100).filter(|n| n % 10 != 3 && n % 10 != 7 && n % 11 != 3).collect();
        assert_eq!(found.await.unwrap(), expected);
    });
}

#[test]
fn writes_that_wait_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let kv = Kv::open(dir.path(), TABLES, 0).await.unwrap();
        let store = kv.0.store.clone().unwrap();
        let before = store.env.info().last_txn_id;
        let tasks: Vec<_> = (0..500_u16)
            .map(|number| {
                let kv = kv.clone();
                spawn(async move { kv.write(move |txn| txn.put(FIRST, &number.to_be_bytes(), b"v")).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let commits = store.env.info().last_txn_id - before;
        assert!(commits < 100, "{commits} commits for 500 writes");
    });
}

#[test]
fn the_map_grows_under_readers() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let kv = Kv::open_sized(dir.path(), TABLES, 0, 1 << 20, true).await.unwrap();
        for number in 0..40_u32 {
            let reader = kv.clone();
            let reading = spawn(async move {
                reader.read(move |txn| Ok(txn.get(FIRST, &1_u32.to_be_bytes())?.map(<[u8]>::len))).await
            });
            kv.write(move |txn| txn.put(FIRST, &number.to_be_bytes(), &vec![7; 200_000])).await.unwrap();
            let length = reading.await.unwrap().unwrap();
            assert!(length.is_none_or(|length| length == 200_000));
        }
        assert!(kv.0.store.as_ref().unwrap().env.info().map_size >= 8 << 20);
    });
}

#[test]
fn a_look_up_that_only_took_long_keeps_the_next_ones_on_the_core() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let kv = Kv::open(dir.path(), TABLES, 0).await.unwrap();
        kv.write(|txn| txn.put(FIRST, b"key", b"value")).await.unwrap();
        let here = std::thread::current().id();
        for round in 0..3 {
            let begun = crate::io::monotonic();
            let look = kv.look_up(move |txn| {
                // As long as if other threads had taken the processor.
                while crate::io::monotonic().since(begun).as_millis() < 2 {
                    std::hint::spin_loop();
                }
                txn.get(FIRST, b"key")?;
                Ok(std::thread::current().id())
            });
            assert_eq!(look.await.unwrap(), here, "round {round}");
        }
    });
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Fail(Vec<u8>),
    Scan(Bound<Vec<u8>>, Bound<Vec<u8>>, bool, usize),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, 47, 255]), 1..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), prop::collection::vec(any::<u8>(), 0..5)).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key().prop_map(Step::Delete),
        1 => key().prop_map(Step::Fail),
        3 => (bound(), bound(), any::<bool>(), 0..10_usize).prop_map(|(from, to, reverse, max)| Step::Scan(from, to, reverse, max)),
    ]
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn scan_model(
    model: &BTreeMap<Vec<u8>, Vec<u8>>,
    from: &Bound<Vec<u8>>,
    to: &Bound<Vec<u8>>,
    reverse: bool,
    max: usize,
) -> Pairs {
    use std::ops::RangeBounds;
    let range = (from.clone(), to.clone());
    let inside = model.iter().filter(|(key, _)| range.contains(*key)).map(|(key, value)| (key.clone(), value.clone()));
    if reverse { inside.rev().take(max + 1).collect() } else { inside.take(max + 1).collect() }
}

async fn play(kv: &Kv, steps: Vec<Step>) {
    let mut model = BTreeMap::new();
    for step in steps {
        match step {
            Step::Put(key, value) => {
                model.insert(key.clone(), value.clone());
                kv.write(move |txn| txn.put(FIRST, &key, &value)).await.unwrap();
            }
            Step::Delete(key) => {
                let was = model.remove(&key).is_some();
                assert_eq!(kv.write(move |txn| txn.delete(FIRST, &key)).await.unwrap(), was);
            }
            Step::Fail(key) => {
                let failed = kv.write(move |txn| {
                    txn.put(FIRST, &key, b"never")?;
                    Err::<(), _>(io::Error::other("on purpose"))
                });
                failed.await.unwrap_err();
            }
            Step::Scan(from, to, reverse, max) => {
                let expected = scan_model(&model, &from, &to, reverse, max);
                let found = kv.read(move |txn| {
                    let mut found = Vec::new();
                    let (from, to) = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
                    txn.scan(FIRST, from, to, reverse, &mut |(key, value)| {
                        found.push((key.to_vec(), value.to_vec()));
                        Ok(found.len() <= max)
                    })?;
                    Ok(found)
                });
                assert_eq!(found.await.unwrap(), expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_is_an_ordered_map(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        on_core(async || {
            let kv = Kv::open(dir.path(), TABLES, 0).await.unwrap();
            play(&kv, steps).await;
        });
    }
}
