//! A device of every kind of object, well and damaged at every place.

use super::super::bed::{Bed, PACK_LIMIT, body, fill, see_all, small_volumes};
use super::super::store::stock_directory;
use super::super::volume::{self, HEADER_BYTES};
use super::super::{adopt, sweep};
use super::*;
use base::io::sim::{Sim, SimOptions};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROOT: &str = "/srv/node/d1";

async fn look(bed: &Bed, repair: bool) -> Report {
    let mut last = (0, 0);
    let mut tell = |done, total| {
        assert!(done >= last.0 && done <= total, "{last:?} {done} {total}");
        last = (done, total);
    };
    let reader = Reader::new("check");
    check(bed.store(), &bed.config.hash_path, &reader, repair, &mut tell).await.unwrap()
}

/// Adopted files, packed ones, large ones, deleted ones; several volumes; dead records; all of it in the index.
async fn device() -> (Bed, Vec<String>) {
    let root = Path::new(ROOT);
    let bed = Bed::open(root, "stock").await;
    let mut names = fill(&bed).await;
    drop(bed);
    let bed = Bed::open_with(root, small_volumes()).await;
    adopt::walk(bed.store(), &Reader::new("test"), &|| Duration::ZERO).await.unwrap();
    for (number, name) in names.iter().enumerate().filter(|(number, _)| number % 3 == 0) {
        let length = if number % 4 == 1 { PACK_LIMIT + 70_000 } else { 11 * number };
        bed.put(name, 20, &body(number as u64, length)).await;
    }
    for number in 0..30 {
        let name = format!("/AUTH_a/c/new{number}");
        bed.put(&name, 10, &body(number, 40_000)).await;
        match number % 4 {
            0 => bed.delete(&name, 12).await,
            1 => bed.post(&name, 12, Some(11)).await,
            2 => bed.put(&name, 12, &body(number, PACK_LIMIT + 1)).await,
            _ => {}
        }
        names.push(name);
    }
    bed.store().checkpoint().await.unwrap();
    (bed, names)
}

/// Changes one bit of a volume.
async fn flip(path: &Path, offset: u64, bit: u32) {
    let volume = fs::Volume::open(path).await.unwrap();
    let start = offset / 4096 * 4096;
    let mut block = volume.read(start, 4096).await.unwrap().to_vec();
    block[usize::try_from(offset - start).unwrap()] ^= 1 << bit;
    volume.write(start, vec![Bytes::from(block)]).await.unwrap();
}

fn volume_path(number: u32) -> PathBuf {
    Path::new(ROOT).join(store::DIRECTORY).join("volumes").join(volume::file_name(number))
}

#[test]
fn a_device_that_is_well_is_found_so_and_stays_as_it_is() {
    Sim::new(1, SimOptions::default()).run(async {
        let (bed, names) = device().await;
        let seen = see_all(&bed, &names).await;
        for repair in [false, true] {
            let report = look(&bed, repair).await;
            assert_eq!(report.findings, []);
            assert!(report.sums_compared && report.is_clean() && report.volumes > 2, "{report:?}");
            assert!(report.living > 30 && report.large > 5 && report.stock_versions > 20, "{report:?}");
            assert_eq!(report.json()["clean"], true);
        }
        assert_eq!(see_all(&bed, &names).await, seen);
        // What a quarantine and a restart leave is well, too.
        bed.quarantine(&names[50]).await;
        bed.quarantine(&names[51]).await;
        assert_eq!(look(&bed, false).await.findings, []);
        let served = run(Path::new(ROOT), &small_volumes(), false, &mut |_, _| {}).await;
        assert_eq!(served.unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(bed);
        let report = run(Path::new(ROOT), &small_volumes(), false, &mut |_, _| {}).await.unwrap();
        assert_eq!(report.findings, []);
    });
}

#[test]
fn every_flipped_bit_of_a_volume_is_noticed() {
    Sim::new(2, SimOptions::default()).run(async {
        let (bed, _) = device().await;
        let end = bed.store().memory.borrow().end();
        let mut places = Vec::new();
        for number in 1..=end.volume {
            let limit = match number == end.volume {
                true => end.offset,
                false => sweep::log_end(&bed.store().log, number).await.unwrap(),
            };
            // The header, the first records with their padding, and all over the place.
            places.extend((0..4).map(|step| (number, step * 13 % HEADER_BYTES, limit)));
            places.extend((0..4).map(|step| (number, 4000 + step * 977 % (limit - 4000), limit)));
            places.extend((0..16).map(|step: u64| (number, step.wrapping_mul(0x9e37_79b9) % limit, limit)));
            places.extend((0..2).map(|step| (number, limit + step * 4097 % (512 * 1024 - limit).max(1), limit)));
        }
        assert!(places.len() > 70);
        for (number, offset, limit) in places.into_iter().filter(|(_, offset, _)| *offset < 512 * 1024) {
            let path = volume_path(number);
            flip(&path, offset, (offset % 8) as u32).await;
            let report = look(&bed, false).await;
            assert_eq!(report.found.contains_key(&What::Tail), offset >= limit, "{number} {offset} {report:?}");
            assert_eq!(report.is_clean(), offset >= limit, "{number} {offset} {report:?}");
            flip(&path, offset, (offset % 8) as u32).await;
        }
        assert_eq!(look(&bed, false).await.findings, []);
    });
}

#[test]
fn every_flipped_bit_of_the_index_is_noticed() {
    Sim::new(3, SimOptions::default()).run(async {
        let (bed, _) = device().await;
        // Entries, what is alive in each volume, and what the index says of itself.
        for table in [0, 1, 3] {
            for step in 0..60 {
                let (row, bit) = (step * 7, step * 13);
                assert!(bed.store().index.flip(table, row, bit).await);
                let report = look(&bed, false).await;
                assert!(!report.is_clean(), "{table} {row} {bit} {report:?}");
                assert!(bed.store().index.flip(table, row, bit).await);
            }
        }
        assert_eq!(look(&bed, false).await.findings, []);
        assert!(bed.store().index.flip(1, 0, 3).await);
        assert_eq!(look(&bed, true).await.repaired, 1);
        assert_eq!(look(&bed, false).await.findings, []);
    });
}

/// Replaces a stock file by one that differs in one bit of its bytes or of an attribute.
async fn spoil(path: &Path, byte: Option<usize>, attribute: Option<(&str, usize)>) {
    let file = fs::File::open(path).await.unwrap();
    let mut bytes = file.read_at(0, usize::try_from(file.len()).unwrap()).await.unwrap().to_vec();
    if let Some(byte) = byte {
        let position = byte % bytes.len();
        bytes[position] ^= 4;
    }
    let mut attributes = Vec::new();
    for name in ["user.swift.metadata", "user.swift.metadata_checksum"] {
        let mut value = file.xattr(name).await.unwrap().unwrap();
        if let Some((spoilt, byte)) = attribute
            && spoilt == name
        {
            let position = byte % value.len();
            value[position] ^= 1;
        }
        attributes.push((name.to_owned(), value));
    }
    let mut copy = fs::TempFile::create(path.parent().unwrap()).await.unwrap();
    if !bytes.is_empty() {
        copy.append(bytes.into()).await.unwrap();
    }
    copy.publish(path, attributes).await.unwrap();
}

#[test]
fn every_flipped_bit_of_a_stock_file_is_noticed() {
    Sim::new(4, SimOptions::default()).run(async {
        let (bed, names) = device().await;
        let mut files = Vec::new();
        for name in &names {
            let key = Key::new(0, bed.hash(name));
            for held in bed.store().lookup(key).await.unwrap().held.iter().filter(|held| held.place.has_file()) {
                let directory = stock_directory(Path::new(ROOT), 0, key.hash(), 8).await.unwrap().unwrap().0;
                files.push(directory.join(held.version.file_name()));
            }
        }
        assert!(files.len() > 40);
        for (step, path) in files.iter().enumerate() {
            let has_bytes = fs::metadata(path).await.unwrap().len > 0;
            match step % 3 {
                0 if has_bytes => spoil(path, Some(step * 7919), None).await,
                1 => spoil(path, None, Some(("user.swift.metadata_checksum", step))).await,
                _ => spoil(path, None, Some(("user.swift.metadata", step * 31))).await,
            }
        }
        let report = look(&bed, false).await;
        assert_eq!((report.found[&What::File], report.lost), (files.len() as u64, files.len() as u64), "{report:?}");
        assert_eq!(report.found.len(), 1, "{:?}", report.found);
    });
}

#[test]
fn what_is_damaged_is_quarantined_when_asked_and_the_device_is_well_afterwards() {
    Sim::new(5, SimOptions::default()).run(async {
        let (bed, names) = device().await;
        let mut damaged = BTreeSet::new();
        for name in names.iter().rev().step_by(5) {
            let key = Key::new(0, bed.hash(name));
            let entry = bed.store().lookup(key).await.unwrap();
            let Some(held) = entry.choose().data else { continue };
            match held.place {
                // Half of them lose what says whose they are.
                Place::Volume(at) => flip(&volume_path(at.volume), at.offset + 8 + 120 * (at.offset / 64 % 2), 3).await,
                Place::Large(_) | Place::Stock => {
                    let directory = stock_directory(Path::new(ROOT), 0, key.hash(), 8).await.unwrap().unwrap().0;
                    fs::remove_file(&directory.join(held.version.file_name())).await.unwrap();
                }
                Place::Lost(_) => unreachable!("nothing is lost yet"),
            }
            damaged.insert(name.clone());
        }
        // A file that nobody knows.
        let stray = Path::new(ROOT).join("objects/0/abc/00000000000000000000000000000abc");
        fs::create_dir_all(&stray).await.unwrap();
        fs::write_atomic(&stray.join("1700000000.00000.data"), b"stray".to_vec(), 0o644).await.unwrap();
        let well: Vec<String> = names.iter().filter(|name| !damaged.contains(*name)).cloned().collect();
        let seen = see_all(&bed, &well).await;
        let report = look(&bed, true).await;
        assert_eq!(report.lost, damaged.len() as u64, "{report:?}");
        assert_eq!(report.found[&What::Orphan], 1);
        assert_eq!(report.repaired, damaged.len() as u64 + 1);
        for name in &damaged {
            assert_eq!(bed.see(name).await, None, "{name}");
        }
        assert_eq!(see_all(&bed, &well).await, seen);
        let report = look(&bed, false).await;
        assert_eq!(report.lost, 0, "{report:?}");
        // The spoilt bytes are still in the volumes; nothing else is wrong.
        assert!(report.found.keys().all(|what| matches!(what, What::Garbage | What::Dead)), "{report:?}");
        assert!(fs::metadata(&Path::new(ROOT).join("quarantined/objects")).await.is_ok());
    });
}

#[test]
fn a_device_that_is_written_meanwhile_is_well() {
    Sim::new(6, SimOptions::default()).run(async {
        let (bed, names) = device().await;
        let bed = Rc::new(bed);
        let (writer, writers_names) = (bed.clone(), names.clone());
        let writes = base::io::spawn(async move {
            for time in 30..33 {
                for (number, name) in writers_names.iter().enumerate() {
                    match number % 3 {
                        0 => writer.put(name, time, &body(time, 30_000)).await,
                        1 => writer.put(name, time, &body(time, PACK_LIMIT + 5)).await,
                        _ => writer.delete(name, time).await,
                    }
                    if number % 20 == 0 {
                        writer.store().checkpoint().await.unwrap();
                    }
                }
            }
        });
        let mut compared = false;
        for _ in 0..8 {
            let report = look(&bed, true).await;
            assert_eq!(report.findings, []);
            compared |= report.sums_compared;
        }
        writes.await.unwrap();
        assert_eq!(look(&bed, false).await.findings, []);
        println!("compared meanwhile: {compared}");
    });
}
