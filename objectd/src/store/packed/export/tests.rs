//! Packed devices turned into stock ones.

use super::*;
use crate::store::packed::bed::{Bed, PACK_LIMIT, PART_POWER, body, config, fill, see_all};
use base::io::sim::{Sim, SimOptions};
use std::time::Duration;

const ROOT: &str = "/srv/node/d1";

async fn export(progress: Progress<'_>) -> std::io::Result<Exported> {
    run(Path::new(ROOT), &config("packed"), PART_POWER, progress).await
}

#[test]
fn every_object_is_served_by_the_stock_layout_afterwards() {
    Sim::new(1, SimOptions::default()).run(async {
        let root = Path::new(ROOT);
        let bed = Bed::open(root, "packed").await;
        let names = fill(&bed).await;
        let expected = see_all(&bed, &names).await;
        drop(bed);
        fs::create_dir_all(&root.join("objects/3")).await.unwrap();
        fs::write_atomic(&root.join("objects/3/hashes.pkl"), b"old".to_vec(), 0o644).await.unwrap();
        let mut told = Vec::new();
        let exported = export(&mut |done, total| told.push((done, total))).await.unwrap();
        // 12 each of: plain objects, tombstones, posted objects with one or two POSTs.
        assert_eq!((exported.versions, exported.large, exported.lost), (12 * 4 + 6, 12, 0));
        assert!(
            told.iter().all(|(done, total)| done <= total) && told.last().is_some_and(|(done, total)| done == total)
        );
        assert!(told.is_sorted());
        let left: Vec<String> = fs::read_dir(root).await.unwrap().into_iter().map(|entry| entry.name).collect();
        assert!(!left.iter().any(|name| name.starts_with("martlet-store")), "{left:?}");
        assert!(fs::metadata(&root.join("objects/3/hashes.pkl")).await.is_err());
        let bed = Bed::open(root, "stock").await;
        assert_eq!(see_all(&bed, &names).await, expected);
        drop(bed);
        assert_eq!(export(&mut |_, _| {}).await.unwrap(), Exported::default());
    });
}

#[test]
fn cut_off_again_and_again_it_ends_all_the_same_and_nothing_is_missing_meanwhile() {
    for seed in 1..=3 {
        Sim::new(seed, SimOptions::default()).run(async move {
            let root = Path::new(ROOT);
            let bed = Bed::open(root, "packed").await;
            let mut names = fill(&bed).await;
            // Three volumes of eight mebibytes.
            for number in 0..200 {
                names.push(format!("/AUTH_a/c/filler{number}"));
                bed.put(&names[names.len() - 1], 10, &body(number, PACK_LIMIT)).await;
            }
            let expected = see_all(&bed, &names).await;
            drop(bed);
            let mut patience = Duration::from_millis(20 * seed);
            let mut turns = 0;
            while !io::timeout(patience, export(&mut |_, _| {})).await.is_ok_and(|result| result.is_ok()) {
                patience += Duration::from_millis(37);
                turns += 1;
                // What was under way ends.
                io::sleep(Duration::from_secs(1)).await;
                if turns % 3 == 0 && fs::metadata(&root.join(store::DIRECTORY)).await.is_ok() {
                    let bed = Bed::open(root, "packed").await;
                    assert_eq!(see_all(&bed, &names).await, expected);
                    bed.put(&names[0], 10, &body(0, 0)).await;
                    drop(bed);
                }
                assert!(turns < 1000);
            }
            let bed = Bed::open(root, "stock").await;
            assert_eq!(see_all(&bed, &names).await, expected);
            println!("seed {seed}: {turns} turns");
        });
    }
}

#[test]
fn a_damaged_record_is_told_and_its_volume_kept() {
    Sim::new(9, SimOptions::default()).run(async {
        let root = Path::new(ROOT);
        let bed = Bed::open(root, "packed").await;
        let names = fill(&bed).await;
        let expected = see_all(&bed, &names).await;
        let entry = bed.store().lookup(Key::new(0, bed.hash(&names[4]))).await.unwrap();
        let at = entry.held[0].place.at().unwrap();
        bed.store().checkpoint().await.unwrap();
        let volume = bed.store().log.volume(at.volume).await.unwrap();
        let start = at.offset / 4096 * 4096;
        let mut block = volume.read(start, 4096).await.unwrap().to_vec();
        block[usize::try_from(at.offset - start).unwrap() + 40] ^= 1;
        volume.write(start, vec![block.into()]).await.unwrap();
        drop((volume, bed));
        let exported = export(&mut |_, _| {}).await.unwrap();
        assert_eq!((exported.lost, exported.lost_names.len()), (1, 1));
        let kept = fs::read_dir(&root.join("quarantined/martlet-volumes")).await.unwrap();
        assert_eq!(kept.len(), 1);
        let bed = Bed::open(root, "stock").await;
        assert_eq!(bed.see(&names[4]).await, None);
        let others: Vec<String> = names.iter().filter(|name| **name != names[4]).cloned().collect();
        let expected: BTreeMap<_, _> = expected.into_iter().filter(|(name, _)| *name != names[4]).collect();
        assert_eq!(see_all(&bed, &others).await, expected);
    });
}
