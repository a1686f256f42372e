//! Pages that vanish under the map: a file is cut short, which raises the same signal as a disk that cannot give a page.

#![expect(clippy::disallowed_methods, reason = "tests do to files what must not happen to them")]

use super::*;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const ROWS: u32 = 20_000;

async fn filled(path: &Path) -> Kv {
    let kv = Kv::open(path, TABLES, 0).await.unwrap();
    kv.write(|txn| (0..ROWS).try_for_each(|row| txn.put(FIRST, &row.to_be_bytes(), &[7; 100]))).await.unwrap();
    // Values of several pages.
    kv.write(|txn| (0..20_u32).try_for_each(|row| txn.put(SECOND, &row.to_be_bytes(), &[9; 30_000]))).await.unwrap();
    kv
}

fn cut(path: &Path, bytes: u64) {
    std::fs::File::options().write(true).open(path.join("data.mdb")).unwrap().set_len(bytes).unwrap();
}

async fn get(kv: &Kv, table: Table, row: u32) -> io::Result<Option<Vec<u8>>> {
    kv.read(move |txn| Ok(txn.get(table, &row.to_be_bytes())?.map(<[u8]>::to_vec))).await
}

async fn look_up(kv: &Kv, table: Table, row: u32) -> io::Result<Option<Vec<u8>>> {
    kv.look_up(move |txn| Ok(txn.get(table, &row.to_be_bytes())?.map(<[u8]>::to_vec))).await
}

async fn walk(kv: &Kv, table: Table, reverse: bool) -> io::Result<usize> {
    kv.read(move |txn| {
        let mut count = 0;
        txn.scan(table, Bound::Unbounded, Bound::Unbounded, reverse, &mut |(key, value)| {
            count += usize::from(key.len() + value.iter().map(|byte| usize::from(*byte)).sum::<usize>() > 0);
            Ok(true)
        })?;
        Ok(count)
    })
    .await
}

/// All that may be done with an environment of which pages were lost: what is answered is right, and in the end nothing is.
async fn every_use_fails_sooner_or_later(kv: &Kv) {
    for row in (0..ROWS).step_by(97) {
        for found in [get(kv, FIRST, row).await, look_up(kv, FIRST, row).await] {
            assert!(found.is_err() || found.unwrap() == Some(vec![7; 100]));
        }
    }
    for row in 0..20 {
        let found = look_up(kv, SECOND, row).await;
        assert!(found.is_err() || found.unwrap() == Some(vec![9; 30_000]));
    }
    for reverse in [false, true] {
        let count = walk(kv, FIRST, reverse).await;
        assert!(count.is_err() || count.unwrap() == ROWS as usize);
    }
    for table in [FIRST, SECOND] {
        walk(kv, table, false).await.unwrap_err();
    }
    assert!(kv.failed().is_some());
    get(kv, FIRST, 0).await.unwrap_err();
    look_up(kv, FIRST, 0).await.unwrap_err();
    kv.write(|txn| txn.put(FIRST, b"new", b"")).await.unwrap_err();
}

#[test]
fn readers_of_lost_pages_get_errors_and_other_environments_go_on() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let good = filled(&dir.path().join("good")).await;
        // From nothing at all to all but the last pages; each leaves another part of the trees.
        for pages in [0, 1, 2, 3, 5, 10, 50, 200, 400, 600] {
            let path = dir.path().join(pages.to_string());
            let kv = filled(&path).await;
            assert!(kv.failed().is_none());
            cut(&path, pages * 4096);
            every_use_fails_sooner_or_later(&kv).await;
            assert!(good.failed().is_none());
            assert_eq!(walk(&good, FIRST, false).await.unwrap(), ROWS as usize);
            good.write(|txn| txn.put(FIRST, &0_u32.to_be_bytes(), &[7; 100])).await.unwrap();
        }
    });
}

#[test]
fn writers_on_lost_pages_get_errors_and_nothing_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        for pages in [0, 2, 5, 20, 100, 300, 500] {
            let path = dir.path().join(pages.to_string());
            let kv = filled(&path).await;
            let before = std::fs::read(path.join("data.mdb")).unwrap();
            cut(&path, pages * 4096);
            // Many wait for one thread that will not answer; the writes change every leaf.
            let writes: Vec<_> = (0..10_u32)
                .map(|first| {
                    let kv = kv.clone();
                    spawn(async move {
                        kv.write(move |txn| {
                            (first..ROWS)
                                .step_by(10)
                                .try_for_each(|row| txn.delete(FIRST, &row.to_be_bytes()).map(drop))
                        })
                        .await
                    })
                })
                .collect();
            for write in writes {
                write.await.unwrap().unwrap_err();
            }
            assert!(kv.failed().is_some());
            get(&kv, FIRST, 0).await.unwrap_err();
            let after = std::fs::read(path.join("data.mdb")).unwrap();
            // Neither of the two pages that say what is committed.
            let metas = |bytes: &[u8]| bytes.get(..2 * 4096).map(<[u8]>::to_vec);
            assert!(after.len() < 2 * 4096 || metas(&after) == metas(&before), "{pages} pages");
        }
    });
}

#[test]
fn readers_and_writers_at_once_survive_the_loss() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        for round in 0..6_u64 {
            let path = dir.path().join(round.to_string());
            let kv = filled(&path).await;
            let mut tasks = Vec::new();
            for number in 0..8_u32 {
                let kv = kv.clone();
                tasks.push(spawn(async move {
                    // Ends: with the first error.
                    for turn in 0.. {
                        let row = (turn * 7919 + number * 2503) % ROWS;
                        let failed = match number {
                            0 => kv.write(move |txn| txn.put(FIRST, &row.to_be_bytes(), &[7; 100])).await.is_err(),
                            1 => look_up(&kv, FIRST, row).await.is_err(),
                            _ => get(&kv, FIRST, row).await.is_err(),
                        };
                        if failed {
                            return;
                        }
                        // Look-ups on the core leave nobody else a turn.
                        crate::io::sleep(Duration::from_millis(u64::from(number == 1))).await;
                    }
                }));
            }
            crate::io::sleep(Duration::from_millis(20)).await;
            cut(&path, round * 40 * 4096);
            // (Whether a page was lost is not asked: a commit under way may make the file longer again, with zeros, which are damage that
            // LMDB finds itself.)
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
}

#[test]
fn a_map_that_grew_is_watched_where_it_lies_now() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let kv = Kv::open_sized(dir.path(), TABLES, 0, 1 << 20, true).await.unwrap();
        for row in 0..40_u32 {
            kv.write(move |txn| txn.put(FIRST, &row.to_be_bytes(), &[7; 200_000])).await.unwrap();
        }
        assert!(kv.0.store.as_ref().unwrap().env.info().map_size >= 8 << 20);
        assert!(kv.failed().is_none());
        cut(dir.path(), 8192);
        walk(&kv, FIRST, false).await.unwrap_err();
        assert!(kv.failed().is_some());
    });
}

/// The child of the next test: reads what is not there.
fn read_what_is_lost(path: &Path, is_watched: bool) {
    on_core(async || {
        drop(filled(path).await);
        let kv = Kv::open_sized(path, TABLES, 0, 1 << 28, is_watched).await.unwrap();
        cut(path, 10 * 4096);
        walk(&kv, FIRST, false).await.unwrap_err();
    });
}

#[test]
fn without_a_watch_a_lost_page_ends_the_process() {
    const CHILD: &str = "MARTLET_TEST_READS_LOST_PAGES";
    if let Ok(path) = std::env::var(CHILD) {
        let (path, is_watched) = path.split_once(' ').map_or((path.as_str(), false), |(path, _)| (path, true));
        return read_what_is_lost(Path::new(path), is_watched);
    }
    let name = "io::real::kv::tests::lost_pages::without_a_watch_a_lost_page_ends_the_process";
    for is_watched in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = format!("{}{}", dir.path().display(), if is_watched { " watched" } else { "" });
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name]).env(CHILD, path).output().unwrap();
        let signal = output.status.signal();
        assert_eq!(signal, (!is_watched).then_some(libc::SIGBUS), "{output:?}");
        assert!(!is_watched || output.status.success(), "{output:?}");
    }
}
