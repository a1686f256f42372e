//! Devices that the stock layout or Swift filled, opened packed.

use super::*;
use crate::store::packed::bed::{Bed, PACK_LIMIT, body, fill, see_all};
use crate::store::packed::check::check;
use base::io::fs;
use base::io::maintenance::Reader;
use base::io::sim::{Sim, SimOptions};
use serde_json::Value as Json;
use std::path::Path;

const NO_PAUSE: &dyn Fn() -> Duration = &|| Duration::ZERO;

#[test]
fn what_the_stock_layout_wrote_is_served_before_during_and_after_the_walk() {
    Sim::new(1, SimOptions::default()).run(async {
        let root = Path::new("/srv/node/d1");
        let bed = Bed::open(root, "stock").await;
        let names = fill(&bed).await;
        let expected = see_all(&bed, &names).await;
        drop(bed);
        // Nothing of this is an object; none of it may disturb.
        for odd in ["objects/7x/abc", "objects/3/abc/0123", "objects/auditor", "objects/5/123", "objects-01/3/abc"] {
            fs::create_dir_all(&root.join(odd)).await.unwrap();
        }
        let bed = Bed::open(root, "packed").await;
        assert!(bed.store().is_adopting.get());
        assert_eq!(see_all(&bed, &names).await, expected);
        bed.put(&names[0], 20, b"new").await;
        let adopted = walk(bed.store(), &Reader::new("test"), NO_PAUSE).await.unwrap();
        assert!(adopted.is_complete && !bed.store().is_adopting.get());
        assert_eq!((adopted.directories, adopted.unreadable, adopted.odd), (48, 0, 0));
        assert_eq!(bed.see(&names[0]).await.unwrap().unwrap().0, b"new");
        assert_eq!(
            see_all(&bed, &names[1..]).await,
            expected.into_iter().filter(|(name, _)| *name != names[0]).collect()
        );
        // The replaced file is gone; and a walk that is done does nothing.
        let hash = bed.hash(&names[0]);
        assert_eq!(super::super::store::stock_directory(root, 0, hash, 8).await.unwrap(), None);
        assert_eq!(walk(bed.store(), &Reader::new("test"), NO_PAUSE).await.unwrap().directories, 0);
        drop(bed);
        let bed = Bed::open(root, "packed").await;
        assert!(!bed.store().is_adopting.get());
        let deleted = see_all(&bed, &names[2..3]).await;
        bed.put(&names[2], 11, b"older than its tombstone").await;
        assert_eq!(see_all(&bed, &names[2..3]).await, deleted);
    });
}

#[test]
fn a_walk_goes_on_where_a_checkpoint_left_it() {
    Sim::new(2, SimOptions::default()).run(async {
        let root = Path::new("/srv/node/d1");
        let bed = Bed::open(root, "stock").await;
        let names = fill(&bed).await;
        drop(bed);
        let bed = Bed::open(root, "packed").await;
        let mark = tree::Place { policy: 0, partition: 100 };
        bed.store().index.mark_adoption(mark).await.unwrap();
        assert_eq!(bed.store().index.adoption_mark().await.unwrap(), mark);
        let adopted = walk(bed.store(), &Reader::new("test"), NO_PAUSE).await.unwrap();
        let behind = names.iter().filter(|name| bed.hash(name).0[0] >= 100).count() as u64;
        assert_eq!(adopted.directories, behind);
    });
}

#[test]
fn an_empty_device_is_adopted_at_once() {
    Sim::new(3, SimOptions::default()).run(async {
        let bed = Bed::open(Path::new("/srv/node/d1"), "packed").await;
        let adopted = walk(bed.store(), &Reader::new("test"), NO_PAUSE).await.unwrap();
        assert_eq!(adopted, Adopted { is_complete: true, ..Adopted::default() });
    });
}

#[test]
fn what_swift_wrote_is_read_alike_by_both_layouts() {
    Sim::new(4, SimOptions::default()).run(async {
        let cases: Json = serde_json::from_str(include_str!("../../vectors/xattrs.json")).unwrap();
        let unhex = |text: &Json| -> Vec<u8> {
            let text = text.as_str().unwrap();
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let root = Path::new("/srv/node/d1");
        let mut names = Vec::new();
        for case in cases.as_array().unwrap() {
            let target = root.join(case["path_below_device"].as_str().unwrap());
            fs::create_dir_all(target.parent().unwrap()).await.unwrap();
            let mut file = fs::TempFile::create(target.parent().unwrap()).await.unwrap();
            file.append(unhex(&case["content_hex"]).into()).await.unwrap();
            let attributes = case["xattrs_hex"].as_object().unwrap();
            let attributes = attributes.iter().map(|(name, value)| (name.clone(), unhex(value))).collect();
            file.publish(&target, attributes).await.unwrap();
            names.push(case["decoded_metadata_as_wsgi_strings"]["name"].as_str().unwrap().to_owned());
        }
        names.sort();
        names.dedup();
        let bed = Bed::open(root, "stock").await;
        let expected = see_all(&bed, &names).await;
        drop(bed);
        let bed = Bed::open(root, "packed").await;
        assert_eq!(see_all(&bed, &names).await, expected);
        let adopted = walk(bed.store(), &Reader::new("test"), NO_PAUSE).await.unwrap();
        assert!(adopted.directories > 5 && adopted.versions > adopted.directories, "{adopted:?}");
        assert_eq!(see_all(&bed, &names).await, expected);
        assert!(bed.see(&names[0]).await.is_some());
    });
}

#[test]
fn cut_off_again_and_again_beside_writes_nothing_is_lost_and_the_device_is_well() {
    for seed in 1..=4 {
        Sim::new(seed, SimOptions::default()).run(async move {
            let root = Path::new("/srv/node/d1");
            let bed = Bed::open(root, "stock").await;
            let names = fill(&bed).await;
            let mut expected = see_all(&bed, &names).await;
            drop(bed);
            let mut time = 20;
            for round in 0_u64.. {
                let bed = Bed::open(root, "packed").await;
                let store = bed.store().clone();
                let pause = move || Duration::from_millis(10 * seed);
                let walk = io::spawn(async move {
                    let patience = Duration::from_millis(30 + 20 * round);
                    io::timeout(patience, walk(&store, &Reader::new("test"), &pause))
                        .await
                        .is_ok_and(|result| result.unwrap().is_complete)
                });
                for (number, name) in names.iter().enumerate().skip(usize::try_from(round).unwrap()).step_by(7) {
                    time += 1;
                    match number % 4 {
                        0 => bed.put(name, time, &body(time, 1000)).await,
                        1 => bed.put(name, time, &body(time, PACK_LIMIT + number)).await,
                        2 => bed.delete(name, time).await,
                        _ => bed.post(name, time, None).await,
                    }
                    expected.insert(name.clone(), bed.see(name).await);
                }
                assert_eq!(see_all(&bed, &names).await, expected, "seed {seed} round {round}");
                let is_complete = walk.await.unwrap();
                if round % 2 == 0 {
                    bed.store().checkpoint().await.unwrap();
                }
                drop(bed);
                if is_complete {
                    break;
                }
                assert!(round < 100);
            }
            let bed = Bed::open(root, "packed").await;
            assert!(!bed.store().is_adopting.get());
            assert_eq!(see_all(&bed, &names).await, expected);
            let reader = Reader::new("test");
            let report = check(bed.store(), &bed.config.hash_path, &reader, false, &mut |_, _| {}).await.unwrap();
            assert_eq!(report.findings, []);
        });
    }
}
