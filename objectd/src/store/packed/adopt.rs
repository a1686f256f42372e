//! Adopts what another server of Swift's layout left on a device: its stock files become versions of the index, where they are.
//!
//! From the first moment everything is served, because look-ups also ask the object's directory while `Store::is_adopting`
//! (`files`). This walk, in the background, lists every directory once and puts what it finds into the memory table; nothing is read,
//! moved or written to the log. When all of it is in the index, look-ups stop asking.
//!
//! # What holds
//!
//! - A file is adopted before it is obsolete or never: what counts is decided by `Entry`, like for every other change.
//! - Cut off anywhere it goes on at the last partition that a checkpoint covers; what was walked twice changes nothing.
//! - What cannot be listed keeps the device adopting: its objects are still found by their directories. Nothing here is fatal to them.
//! - What Swift's servers ignore is left alone, `hashes.pkl` and its like too.

use super::entry::{Change, Held, Key, Place};
use super::store::Store;
use super::tree::{self, ObjectDirectory, Tree};
use base::io;
use base::io::maintenance::Reader;
use std::rc::Rc;
use std::time::Duration;

/// Directories between two pauses: some milliseconds of a disk.
const DIRECTORIES_PER_TURN: u64 = 32;
/// Adopted versions after which they are brought into the index.
const CHECKPOINT_CHANGES: usize = 32 * 1024;
/// Directories after which the place of the walk is kept, at the next partition.
const DIRECTORIES_PER_MARK: u64 = 64 * 1024;

/// What a walk saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Directories of objects.
    pub directories: u64,
    /// Versions in them.
    pub versions: u64,
    /// Files in them that are none that a server would serve.
    pub odd: u64,
    /// Directories that could not be listed.
    pub unreadable: u64,
    /// All is known now; look-ups no longer ask the directories.
    pub is_complete: bool,
}

/// Walks over the device, if that was not done to the end. `pause` says how long to rest after each turn of some directories.
pub async fn walk(store: &Rc<Store>, reader: &Reader, pause: &dyn Fn() -> Duration) -> std::io::Result<Adopted> {
    let mut adopted = Adopted::default();
    if !store.is_adopting.get() {
        adopted.is_complete = true;
        return Ok(adopted);
    }
    let mut mark = store.index.adoption_mark().await?;
    let mut marked_at = 0;
    let mut tree = Tree::new(&store.root, reader, mark).await;
    while let Some(directory) = tree.next().await {
        let is_full = store.memory.borrow().waiting() >= CHECKPOINT_CHANGES;
        let may_mark = tree.place() != mark && adopted.directories - marked_at >= DIRECTORIES_PER_MARK;
        if is_full || may_mark {
            store.checkpoint().await?;
        }
        if may_mark && tree.unreadable() == 0 {
            (mark, marked_at) = (tree.place(), adopted.directories);
            store.index.mark_adoption(mark).await?;
        }
        take(store, &directory, &mut adopted);
        adopted.directories += 1;
        if adopted.directories.is_multiple_of(DIRECTORIES_PER_TURN) {
            io::sleep(pause()).await;
        }
    }
    adopted.unreadable = tree.unreadable();
    store.checkpoint().await?;
    if adopted.unreadable == 0 {
        store.index.adopted().await?;
        store.is_adopting.set(false);
        adopted.is_complete = true;
    }
    if adopted.directories > 0 || adopted.unreadable > 0 {
        tracing::info!(root = %store.root.display(), ?adopted, "stock files adopted");
    }
    Ok(adopted)
}

fn take(store: &Store, directory: &ObjectDirectory, adopted: &mut Adopted) {
    let key = Key::new(directory.policy, directory.hash);
    for name in &directory.names {
        match tree::version(name) {
            Some(version) => {
                adopted.versions += 1;
                let change = Change::Insert(Held { version, place: Place::Stock });
                store.memory.borrow_mut().add(key, change);
            }
            None => adopted.odd += 1,
        }
    }
}

#[cfg(test)]
mod tests;
