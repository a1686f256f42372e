//! A bit flips somewhere: in a volume, a stock file or its attributes, the index. Nothing damaged is served, and all damage is noticed, by reading
//! or by `check`. On a real disk.

use crate::bed::prepare;
use crate::model::draw::Draw;
use crate::model::drive::{Shared, Writer, perform};
use crate::model::{device, upkeep};
use base::io::sim::Random;
use base::io::{self, real};
use objectd::config::Config;
use objectd::node::Node;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const OBJECTS: usize = 40;
const PACK_LIMIT: usize = 16_384;
/// Flips tried of each kind of file.
const FLIPS: u64 = if cfg!(debug_assertions) { 12 } else { 60 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    /// Bytes of the log that were written.
    Volume,
    /// A large object's file.
    StockFile,
    /// A page of the index that is in use.
    Index,
}

#[test]
fn a_flipped_bit_of_a_volume_is_noticed_and_not_served() {
    flip_many(Where::Volume);
}

#[test]
fn a_flipped_bit_of_a_large_object_is_noticed_and_not_served() {
    flip_many(Where::StockFile);
}

#[test]
fn a_flipped_bit_of_a_value_of_the_index_is_noticed_and_not_served() {
    flip_many(Where::Index);
}

/// Makes a device once; for each flip works on a copy.
fn flip_many(place: Where) {
    let directory = tempfile::tempdir().unwrap();
    let original = directory.path().join("original");
    let writer = make(&original);
    let mut random = Random::new(place as u64);
    for flip in 0..FLIPS {
        let copy = directory.path().join("copy");
        let status = std::process::Command::new("cp").arg("-a").arg(&original).arg(&copy).status().unwrap();
        assert!(status.success());
        let what = damage(&copy, place, &mut random);
        let (wrong, missing, found) = look(&copy, &writer);
        assert_eq!(wrong, Vec::<String>::new(), "{place:?} flip {flip}, {what}: damaged bytes were served");
        assert!(missing > 0 || found, "{place:?} flip {flip}, {what}: nobody noticed");
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

fn config(root: &Path) -> Rc<Config> {
    let text = format!(
        "[DEFAULT]\nswift_dir = {}\ndevices = {}\nbind_ip = 127.0.0.1\nmount_check = false\nfallocate_reserve = 0\n\
         layout = packed\nvolume_size = 8388608\npack_limit = {PACK_LIMIT}\n",
        root.join("etc").display(),
        root.join("srv").display(),
    );
    Rc::new(Config::parse("objectd.conf", &text, crate::bed::SWIFT_CONF).unwrap())
}

/// Small and large objects, posted and deleted ones; all in the index.
fn make(root: &Path) -> Shared {
    let config = config(root);
    let root = root.to_owned();
    real::run(real::CoreOptions::default(), || async move {
        prepare(&root.join("etc"), &root.join("srv"), "127.0.0.1", [6200, 6201, 6202]).await;
        let writer = Writer::new(0, Draw::new(1, io::unix_time().as_secs() - 100, PACK_LIMIT), OBJECTS);
        let node = Node::open(config, 0).await.unwrap();
        for object in 0..OBJECTS {
            let size = [900, 30_000, 100, 9_000][object % 4];
            let put = writer.borrow_mut().draw.put_of(size);
            assert!(perform(&node, &writer, object, &put).await);
            let more = match object % 5 {
                0 => writer.borrow_mut().draw.post_now(),
                1 => writer.borrow_mut().draw.delete_now(),
                _ => continue,
            };
            assert!(perform(&node, &writer, object, &more).await);
        }
        upkeep::checkpoint(&node).await;
        writer
    })
    .unwrap()
}

/// Flips one bit; says where.
fn damage(root: &Path, place: Where, random: &mut Random) -> String {
    let mut files = Vec::new();
    list(&root.join("srv/d1"), &mut files);
    files.retain(|path| match place {
        Where::Volume => path.extension().is_some_and(|extension| extension == "volume"),
        Where::StockFile => path.extension().is_some_and(|extension| extension == "data"),
        Where::Index => path.ends_with("martlet-store/index/data.mdb"),
    });
    files.retain(|path| std::fs::read(path).unwrap().iter().any(|&byte| byte != 0));
    files.sort();
    let path = files[random.index(files.len())].clone();
    let bytes = std::fs::read(&path).unwrap();
    let range = match place {
        Where::Index => value(&bytes, random),
        // Zeros behind the end of the log mean nothing yet.
        _ => 0..bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1,
    };
    let offset = range.start + random.index(range.len());
    let file: File = OpenOptions::new().write(true).open(&path).unwrap();
    let bit = 1 << random.below(8);
    file.write_all_at(&[bytes[offset] ^ bit], offset as u64).unwrap();
    format!("{} at {offset}, bit {bit:#x}", path.display())
}

/// Some of a bucket: an object's place in it, found by the end of its hash, which no other object shares.
fn value(index: &[u8], random: &mut Random) -> std::ops::Range<usize> {
    let hash_path = base::hash_path::HashPath::new("specprefix", "specsuffix");
    for _ in 0..1000 {
        let name = format!("o0-{}", random.index(OBJECTS));
        let hash = hash_path.hash("a", Some("c"), Some(&name)).0;
        let rest = &hash[4..];
        let places: Vec<usize> =
            index.windows(rest.len()).enumerate().filter(|(_, window)| *window == rest).map(|(at, _)| at).collect();
        // Behind the hash stand flags, widths, a timestamp and mostly a place.
        if let [only] = places.as_slice() {
            return *only..only + rest.len() + 8;
        }
    }
    panic!("no object is in the index, or each of them twice");
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => list(&entry.path(), files),
            false => files.push(entry.path()),
        }
    }
}

/// Reads every object: what was wrong in an answer, how many were not answered or not there, and whether `check` finds something. A node that
/// refuses to open has noticed.
fn look(root: &Path, writer: &Shared) -> (Vec<String>, u64, bool) {
    let config = config(root);
    let (objects, look) = (writer.borrow().objects.clone(), writer.borrow().draw.look());
    real::run(real::CoreOptions::default(), || async move {
        let Ok(node) = Node::open(config.clone(), 0).await else { return (Vec::new(), 1, true) };
        // Before the reads: they quarantine what they find.
        let found = upkeep::complaints(&node, &config, false).await;
        let (mut wrong, mut missing) = (Vec::new(), 0);
        for (name, known) in objects {
            let wanted = known.clone().begin(&look).remove(0).0;
            match device::send(&node, &name, &look).await {
                Some(answer) if answer == wanted => {}
                Some(answer) if answer.status == 404 => missing += 1,
                None => missing += 1,
                Some(answer) => wrong.push(format!("{name}: {} with {:?}", answer.status, answer.backend)),
            }
        }
        (wrong, missing, !found.is_empty())
    })
    .unwrap()
}
