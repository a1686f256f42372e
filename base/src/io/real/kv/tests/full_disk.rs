//! Environments on a disk that is full, where a small one can be mounted.

#![expect(clippy::disallowed_methods, reason = "tests fill the disk from outside the door")]

use super::*;

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
