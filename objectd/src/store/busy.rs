//! Which directories of objects a write uses, so that no clean-up takes one away under it: the bytes of a file without a name hold no
//! directory. One list per device, shared by both layouts.

use base::io::{self, fs};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Stands in for the count while the directory is being removed.
const REMOVING: usize = usize::MAX;
/// Pause of a write that waits for a removal.
const TURN: Duration = Duration::from_millis(1);

/// Directories and how many writes use them.
#[derive(Clone, Default)]
pub(crate) struct Directories(Rc<RefCell<BTreeMap<PathBuf, usize>>>);

/// Held while a write uses a directory.
pub(crate) struct Busy {
    directories: Directories,
    directory: PathBuf,
}

impl Directories {
    /// Keeps the directory, which need not be there, until the guard goes.
    pub(crate) async fn enter(&self, directory: &Path) -> Busy {
        // Ends: a removal is one system call and its mark is taken away by a guard.
        while self.0.borrow().get(directory) == Some(&REMOVING) {
            io::sleep(TURN).await;
        }
        *self.0.borrow_mut().entry(directory.to_owned()).or_insert(0) += 1;
        Busy { directories: self.clone(), directory: directory.to_owned() }
    }

    /// Removes a directory that no write uses; one that is not empty stays.
    pub(crate) async fn remove_empty(&self, directory: &Path) {
        if self.0.borrow().contains_key(directory) {
            return;
        }
        self.0.borrow_mut().insert(directory.to_owned(), REMOVING);
        let _mark = Busy { directories: self.clone(), directory: directory.to_owned() };
        let _ = fs::remove_dir(directory).await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.directories.0.borrow_mut();
        match busy.get_mut(&self.directory) {
            Some(count) if *count > 1 && *count != REMOVING => *count -= 1,
            _ => {
                busy.remove(&self.directory);
            }
        }
    }
}
