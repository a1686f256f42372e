//! LMDB against a map, and what the writer thread promises, also on a full disk.

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
        let kv = Kv::open_sized(dir.path(), TABLES, 0, 1 << 20).await.unwrap();
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

/// A small file system in memory, where mounting is allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"]).arg(dir.path());
        let mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(SmallDisk(dir))
    }

    /// Takes all that is left.
    fn fill(&self) {
        let hog = std::fs::File::create(self.0.path().join("hog")).unwrap();
        let mut at = 0;
        for step in [1 << 20, 1 << 16, 4096] {
            while rustix::fs::fallocate(&hog, rustix::fs::FallocateFlags::empty(), at, step).is_ok() {
                at += step;
            }
        }
    }

    fn free_again(&self) {
        std::fs::remove_file(self.0.path().join("hog")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn random_row(number: u32) -> [u8; 8] {
    u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

async fn put_rows(kv: &Kv, numbers: std::ops::Range<u32>, value: usize) -> io::Result<()> {
    kv.write(move |txn| {
        numbers.clone().try_for_each(|number| txn.put(FIRST, &random_row(number), &vec![number as u8; value]))
    })
    .await
}

async fn count_rows(kv: &Kv) -> usize {
    let count = kv.read(|txn| {
        let mut count = 0;
        txn.scan(FIRST, Bound::Unbounded, Bound::Unbounded, false, &mut |(_, value)| {
            assert!(value.iter().all(|&byte| byte == value[0]));
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    });
    count.await.unwrap()
}

#[test]
fn a_full_disk_refuses_whole_writes_and_the_environment_lives_on() {
    let Some(disk) = SmallDisk::mount(8 << 20) else { return };
    on_core(async || {
        let path = disk.0.path().join("env");
        let kv = Kv::open(&path, TABLES, 0).await.unwrap();
        put_rows(&kv, 0..1000, 100).await.unwrap();
        disk.fill();
        // Large ones in a row: each is cut short somewhere else.
        for size in [2000, 500, 3000, 9000] {
            let full = put_rows(&kv, 1000..3000, size).await.unwrap_err();
            assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
            assert_eq!(count_rows(&kv).await, 1000);
        }
        disk.free_again();
        put_rows(&kv, 1000..2000, 100).await.unwrap();
        drop(kv);
        let kv = Kv::open(&path, TABLES, 0).await.unwrap();
        assert_eq!(count_rows(&kv).await, 2000);
    });
}

#[test]
fn with_a_reserve_small_writes_go_on_beside_large_ones_that_are_refused() {
    let Some(disk) = SmallDisk::mount(16 << 20) else { return };
    on_core(async || {
        let kv = Kv::open(&disk.0.path().join("env"), TABLES, 4 << 20).await.unwrap();
        put_rows(&kv, 0..10_000, 100).await.unwrap();
        disk.fill();
        for round in 0..50_u32 {
            let large = kv.clone();
            let large = spawn(async move { put_rows(&large, 20_000..25_000, 3000).await });
            let small = kv.write(move |txn| {
                let rows = round * 100..round * 100 + 100;
                rows.map(random_row).try_fold(0, |gone, row| Ok(gone + usize::from(txn.delete(FIRST, &row)?)))
            });
            assert_eq!(small.await.unwrap(), 100, "round {round}");
            assert_eq!(large.await.unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        assert_eq!(count_rows(&kv).await, 5000);
    });
}
