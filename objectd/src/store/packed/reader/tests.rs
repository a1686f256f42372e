//! What is kept of the records that are read again and again.

use super::*;
use crate::store::packed::bed::Bed;
use crate::store::packed::entry::Key;
use base::io::sim::{NodeId, Sim, SimHandle, SimOptions};
use std::path::Path;

const ROOT: &str = "/srv/node/d1";
const HOT: &str = "/AUTH_a/c/hot";
const COLD: &str = "/AUTH_a/c/cold";

/// Runs on a node of the simulator.
fn on_a_node<F: Future<Output = ()> + 'static>(main: impl FnOnce(SimHandle, NodeId) -> F + 'static) {
    let sim = Sim::new(1, SimOptions::default());
    let node = sim.node("storage", "10.0.0.2".parse().unwrap());
    sim.start(node, std::future::pending);
    let handle = sim.handle();
    sim.run(async move {
        let main = main(handle.clone(), node);
        if handle.run_on(node, main).await.is_none() {
            panic!("{:?}", handle.panics());
        }
    });
}

async fn seen(bed: &Bed, name: &str) -> Option<Vec<u8>> {
    bed.see(name).await.and_then(Result::ok).map(|(body, ..)| body)
}

/// Turns a bit of the body of an object's record around, on the disk.
async fn damage(handle: &SimHandle, node: NodeId, bed: &Bed, name: &str) {
    let entry = bed.store().lookup(Key::new(0, bed.hash(name))).await.unwrap();
    let at = entry.choose().data.unwrap().place.at().unwrap();
    let path = format!("{ROOT}/martlet-store/volumes/{:08}.volume", at.volume);
    handle.damage(node, path.as_ref(), at.offset + u64::from(at.length) - 1).unwrap();
}

#[test]
fn what_was_read_twice_is_not_read_again_until_it_is_replaced() {
    on_a_node(async |handle, node| {
        let bed = Bed::open(Path::new(ROOT), "packed").await;
        for name in [HOT, COLD] {
            bed.put(name, 10, b"first").await;
            assert_eq!(seen(&bed, name).await.unwrap(), b"first");
        }
        assert_eq!(seen(&bed, HOT).await.unwrap(), b"first");
        for name in [HOT, COLD] {
            damage(&handle, node, &bed, name).await;
        }
        // Its items are those of the record too.
        let (body, items, _) = bed.see(HOT).await.unwrap().unwrap();
        assert_eq!((body.as_slice(), items[b"X-Object-Meta-Time".as_slice()].as_slice()), (&b"first"[..], &b"10"[..]));
        bed.post(HOT, 11, None).await;
        let (body, items, _) = bed.see(HOT).await.unwrap().unwrap();
        assert_eq!((body.as_slice(), items[b"X-Object-Meta-Post".as_slice()].as_slice()), (&b"first"[..], &b"11"[..]));
        bed.put(HOT, 12, b"second").await;
        for _ in 0..3 {
            assert_eq!(seen(&bed, HOT).await.unwrap(), b"second");
        }
        bed.delete(HOT, 13).await;
        assert!(bed.see(HOT).await.unwrap().is_err());
        // Read once and damaged since.
        let Stored::Object(object) = bed.file(COLD).open(Want::Bytes).await.unwrap() else { panic!("it is there") };
        assert_eq!(object.body.read(0, 5).await.unwrap_err().kind(), ErrorKind::InvalidData);
    });
}

#[test]
fn a_kept_record_is_given_to_none_but_who_means_its_object_and_version() {
    on_a_node(async |_, _| {
        let bed = Bed::open(Path::new(ROOT), "packed").await;
        for name in [HOT, COLD] {
            bed.put(name, 10, b"first").await;
            seen(&bed, name).await.unwrap();
        }
        seen(&bed, HOT).await.unwrap();
        let (hot, cold) = (bed.files(HOT), bed.files(COLD));
        let [of_hot, of_cold] = [hot.entry().await.unwrap().held[0], cold.entry().await.unwrap().held[0]];
        let at = of_hot.place.at().unwrap();
        assert!(hot.kept(of_hot, at).is_some());
        assert!(cold.kept(of_hot, at).is_none(), "another object");
        assert!(hot.kept(Held { place: of_cold.place, ..of_hot }, at).is_none(), "another version");
    });
}
