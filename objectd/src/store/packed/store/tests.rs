//! Checkpoints beside a foreground.

use super::*;
use crate::store::packed::bed::Bed;
use base::io::sim::{Sim, SimOptions};

const OBJECTS: u64 = 300;

async fn fill(bed: &Bed, time: u64) {
    for number in 0..OBJECTS {
        bed.put(&format!("/AUTH_a/c/o{number}"), time, b"small").await;
    }
}

/// Runs a checkpoint, and `meanwhile` as soon as it began; the places it came to before its end.
async fn steps(bed: &Bed, meanwhile: impl FnOnce(&Rc<Store>)) -> usize {
    let store = bed.store().clone();
    let mut seen = BTreeSet::new();
    let ended = Rc::new(Cell::new(false));
    let (running, told) = (store.clone(), ended.clone());
    io::spawn(async move {
        running.checkpoint().await.unwrap();
        told.set(true);
    });
    // Ends: with the checkpoint, each of these a moment of its own.
    while store.memory.borrow().waiting() > 0 {
        io::sleep(Duration::from_micros(1)).await;
    }
    meanwhile(&store);
    while !ended.get() {
        seen.extend(store.index.partial().map(|partial| partial.key));
        io::sleep(Duration::from_micros(10)).await;
    }
    seen.len()
}

#[test]
fn a_checkpoint_gives_way_to_a_foreground_as_long_as_it_keeps_up_with_it() {
    Sim::new(1, SimOptions::default()).run(async {
        let bed = Bed::open(Path::new("/srv/node/d1"), "packed").await;
        fill(&bed, 10).await;
        assert!(steps(&bed, |_| {}).await >= 4, "32 objects at a time");
        fill(&bed, 11).await;
        io::sleep(Duration::from_secs(1)).await;
        assert_eq!(steps(&bed, |_| {}).await, 0, "with nobody there all at once");
        fill(&bed, 12).await;
        let many = |store: &Rc<Store>| {
            for number in 0..=GENTLE_CHANGES_MAX as u128 {
                let key = Key::new(0, NameHash(number.to_be_bytes()));
                store.memory.borrow_mut().add(key, Change::Dead);
            }
        };
        assert!(steps(&bed, many).await <= 1, "all that is left at once, as others wait");
        bed.store().checkpoint_at_once().await.unwrap();
        fill(&bed, 13).await;
        let hurry = |store: &Rc<Store>| {
            let store = store.clone();
            io::spawn(async move { store.checkpoint_at_once().await.unwrap() });
        };
        assert!(steps(&bed, hurry).await <= 1, "the same for one who may not wait");
    });
}
