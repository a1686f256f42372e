//! Volumes on a real disk, on io_uring and on epoll.

use crate::io::real::tests::{on_both, pattern};
use crate::io::{fs, sleep, spawn};
use bytes::Bytes;
use std::cell::Cell;
use std::future::Future;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
}

#[test]
fn a_volume_keeps_what_is_written_anywhere_in_it() {
    on_both(|| async {
        let dir = directory();
        let path = dir.path().join("1.volume");
        let volume = fs::Volume::create(&path, 1 << 20).await.unwrap();
        assert_eq!(volume.len(), 1 << 20);
        let again = fs::Volume::create(&path, 1 << 20).await.map(|_| ()).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);

        let content = pattern(40_960);
        let mut parts: Vec<Bytes> = content.chunks(17).map(|chunk| content.slice_ref(chunk)).collect();
        parts.insert(3, Bytes::new());
        assert!(parts.len() > 2000, "more than one call takes");
        volume.write(8192, parts).await.unwrap();
        volume.write(0, vec![pattern(4096)]).await.unwrap();
        assert_eq!(volume.read(8192, 40_960).await.unwrap(), content);
        assert_eq!(volume.read(8200, 100).await.unwrap(), content.slice(8..108));
        assert_eq!(volume.read(4096, 4096).await.unwrap(), vec![0; 4096]);
        assert_eq!(volume.read((1 << 20) - 5, 100).await.unwrap().len(), 5);
        for (offset, length) in [(1, 4096), (0, 100), (512, 4096)] {
            let refused = volume.write(offset, vec![pattern(length)]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        }
        drop(volume);

        let volume = fs::Volume::open(&path).await.unwrap();
        assert_eq!((volume.len(), std::fs::metadata(&path).unwrap().len()), (1 << 20, 1 << 20));
        assert_eq!(volume.read(8192, 40_960).await.unwrap(), content);
        volume.write(8192, vec![vec![7; 4096].into()]).await.unwrap();
        assert_eq!(volume.read(8192, 4096).await.unwrap(), vec![7; 4096]);
        let missing = fs::Volume::open(&dir.path().join("none")).await.map(|_| ()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn what_is_written_past_the_page_cache_is_read_like_the_rest() {
    on_both(|| async {
        let dir = directory();
        let path = dir.path().join("v");
        let volume = Rc::new(fs::Volume::create(&path, 1 << 20).await.unwrap());
        volume.prewrite(Duration::ZERO).await.unwrap();
        assert_eq!(volume.read(8192, 4096).await.unwrap(), vec![0; 4096], "in the page cache now");
        let content = pattern(40_960);
        let parts: Vec<Bytes> = content.chunks(1000).map(|chunk| content.slice_ref(chunk)).collect();
        volume.write_past(4096, parts).await.unwrap();
        assert_eq!(volume.read(4096, 40_960).await.unwrap(), content);
        volume.write(8192, vec![pattern(4096)]).await.unwrap();
        volume.write_past(12_288, vec![pattern(4096)]).await.unwrap();
        assert_eq!(volume.read(8192, 8192).await.unwrap(), [pattern(4096), pattern(4096)].concat());
        let refused = volume.write_past(512, vec![pattern(4096)]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        {
            let mut writing = std::pin::pin!(volume.write_past(65_536, vec![pattern(8192)]));
            let first = std::future::poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
            assert!(first.is_pending());
        }
        drop(volume);
        let volume = fs::Volume::open(&path).await.unwrap();
        for _ in 0..200 {
            if volume.read(65_536, 8192).await.unwrap() == pattern(8192) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("a write that was given up did not happen");
    });
}

#[test]
fn a_volume_that_does_not_fit_leaves_nothing() {
    on_both(|| async {
        let dir = directory();
        let far_too_long = fs::space(dir.path()).await.unwrap().total + (1 << 30);
        let refused = fs::Volume::create(&dir.path().join("v"), far_too_long).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        assert!(fs::read_dir(dir.path()).await.unwrap().is_empty());
        let nowhere = fs::Volume::create(&dir.path().join("none/v"), 4096).await.map(|_| ()).unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_write_given_up_with_its_volume_still_happens() {
    on_both(|| async {
        let dir = directory();
        let path = dir.path().join("v");
        {
            let volume = fs::Volume::create(&path, 1 << 20).await.unwrap();
            let mut writing = std::pin::pin!(volume.write(4096, vec![pattern(8192)]));
            let first = std::future::poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
            assert!(first.is_pending());
        }
        let volume = fs::Volume::open(&path).await.unwrap();
        for _ in 0..200 {
            if volume.read(4096, 8192).await.unwrap() == pattern(8192) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the write never happened");
    });
}

#[test]
fn a_prepared_file_has_no_name_until_it_is_published() {
    on_both(|| async {
        let dir = directory();
        for late in [None, Some(pattern(10))] {
            let mut file = fs::TempFile::create(dir.path()).await.unwrap();
            file.append(pattern(300_000)).await.unwrap();
            file.append(pattern(50)).await.unwrap();
            file.prepare(vec![("user.meta".to_owned(), b"m".to_vec())]).await.unwrap();
            assert_eq!(file.len(), 300_050);
            let published = dir.path().join("object");
            assert!(!published.exists());
            let length = 300_050 + late.as_ref().map_or(0, Bytes::len);
            if let Some(late) = late {
                file.append(late).await.unwrap();
            }
            file.publish(&published, vec![]).await.unwrap();
            let file = fs::File::open(&published).await.unwrap();
            let mut expected = [pattern(300_000), pattern(50), pattern(10)].concat();
            expected.truncate(length);
            assert_eq!(file.read_at(0, 400_000).await.unwrap(), expected);
            assert_eq!(file.xattr("user.meta").await.unwrap(), Some(b"m".to_vec()));
            fs::remove_file(&published).await.unwrap();
        }
        let mut file = fs::TempFile::create(dir.path()).await.unwrap();
        file.append(pattern(10)).await.unwrap();
        file.prepare(vec![]).await.unwrap();
        drop(file);
        assert!(fs::read_dir(dir.path()).await.unwrap().is_empty());
    });
}

#[test]
fn zeros_written_ahead_change_nothing_and_give_way_to_a_write() {
    on_both(|| async {
        // On a disk, and in memory where there is no O_DIRECT or another one.
        for dir in [directory(), tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| directory())] {
            let path = dir.path().join("v");
            let length = (5 << 20) + 8192;
            let volume = fs::Volume::create(&path, length).await.unwrap();
            volume.prewrite(Duration::ZERO).await.unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
            assert_eq!(volume.read(0, 9 << 20).await.unwrap(), vec![0; length as usize]);
            fs::remove_file(&path).await.unwrap();

            let volume = std::rc::Rc::new(fs::Volume::create(&path, length).await.unwrap());
            let ahead = volume.clone();
            let zeroing = spawn(async move { ahead.prewrite(Duration::from_millis(1)).await });
            sleep(Duration::from_millis(2)).await;
            let mut content = vec![7; 4 << 20];
            volume.write(4096, vec![content.clone().into()]).await.unwrap();
            zeroing.await.unwrap().unwrap();
            volume.prewrite(Duration::ZERO).await.unwrap();
            content.splice(0..0, [0; 4096]);
            assert_eq!(volume.read(0, content.len()).await.unwrap(), content);
        }
    });
}

#[test]
fn a_first_read_leaves_the_page_cache_alone_and_a_second_one_stays() {
    on_both(|| async {
        let dir = directory();
        let path = dir.path().join("v");
        let volume = fs::Volume::create(&path, 1 << 20).await.unwrap();
        let content = pattern(512 * 1024);
        volume.write(4096, vec![content.clone()]).await.unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let cached = |offset: u64, length: usize| volume.is_cached(offset, u32::try_from(length).unwrap());
        assert!(cached(4096, content.len()), "what was just written is in memory");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let is_direct = !crate::io::real::core().epoll
            && super::cold::knows_cache()
            && rustix::fs::open(&path, rustix::fs::OFlags::DIRECT, rustix::fs::Mode::empty()).is_ok();
        for (number, length) in
            [1, 100, 511, 512, 513, 4096, 4448, 5000, 20_000, 65_536, 70_000].into_iter().enumerate()
        {
            let start = number * 40_000 + number * 64;
            let offset = 4096 + start as u64;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let expected = content.slice(start..start + length);
            assert_eq!(volume.read(offset, length).await.unwrap(), expected, "{offset} {length}");
            let is_past_cache = is_direct && length <= super::cold::BYTES_MAX;
            assert_eq!(cached(offset, length), !is_past_cache, "{offset} {length}");
            assert_eq!(volume.read(offset, length).await.unwrap(), expected, "{offset} {length}");
            assert!(cached(offset, length), "{offset} {length}");
            assert_eq!(volume.read(offset, length).await.unwrap(), expected, "{offset} {length}");
        }
        // Behind the end, and what is written after a direct read beside it.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(volume.read((1 << 20) - 5, 100).await.unwrap(), vec![0; 5]);
        assert_eq!(volume.read(1 << 20, 100).await.unwrap().len(), 0);
        for round in 0..50_u8 {
            let offset = 768 * 1024 + u64::from(round % 3) * 4096;
            volume.write(offset, vec![vec![round; 4096].into()]).await.unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let at = offset + u64::from(round) * 8;
            assert_eq!(volume.read(at, 1000).await.unwrap(), vec![round; 1000]);
            assert_eq!(volume.read(at, 1000).await.unwrap(), vec![round; 1000]);
        }
    });
}

#[test]
fn reads_see_every_write_that_was_answered_whatever_way_they_take() {
    on_both(|| async {
        let dir = directory();
        let path = dir.path().join("v");
        let volume = Rc::new(fs::Volume::create(&path, 4 << 20).await.unwrap());
        let written = Rc::new(Cell::new(0_u64));
        // Records of changing lengths one behind the other, as a log has them, while others read any of them.
        let readers: Vec<_> = (0..8_u64)
            .map(|reader| {
                let (volume, written, path) = (volume.clone(), written.clone(), path.clone());
                spawn(async move {
                    let file = std::fs::File::open(path).unwrap();
                    let mut random = reader;
                    while written.get() < 1000 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let Some(record) = (random >> 33).checked_rem(written.get()) else {
                            sleep(Duration::from_micros(50)).await;
                            continue;
                        };
                        if random % 3 == 0 {
                            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
                        }
                        let inside = random >> 40 & 0xfff;
                        let length = usize::try_from(4096 - inside).unwrap();
                        let read = volume.read(record * 4096 + inside, length).await.unwrap();
                        assert_eq!(read, vec![u8::try_from(record % 251).unwrap(); length], "{record}");
                    }
                })
            })
            .collect();
        for record in 0..1000_u64 {
            let block = vec![u8::try_from(record % 251).unwrap(); 4096];
            volume.write(record * 4096, vec![block.into()]).await.unwrap();
            written.set(record + 1);
        }
        for reader in readers {
            reader.await.expect("no reader panicked");
        }
    });
}
