//! The table of readers of an environment, kept off its disk.
//!
//! LMDB maps a second file, `lock.mdb`, and each reader writes to it. On a disk that does not answer such a write waits for the file system's
//! journal, on the core itself, and all that the core serves waits with it. So an environment is opened through a directory in memory, where
//! that file lies, with a link to the data on the disk; once it is open the directory goes. What the table guards against, two processes in
//! one environment, is what the lock of the device is for; other programs must not open an environment that is in use.
//!
//! Where no file system in memory is to be had, the table lies beside the data as LMDB has it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// A directory to open the environment through, until dropped.
pub(super) struct Door(PathBuf);

impl Door {
    /// To the environment in the directory `path`. The same environment has the same door in all of the process, so that LMDB sees when it is
    /// opened twice.
    pub(super) fn make(path: &Path) -> io::Result<Door> {
        let place = std::fs::metadata(path)?;
        let name = format!("martlet-{}-{:x}-{:x}", std::process::id(), place.dev(), place.ino());
        let directory = Path::new(MEMORY).join(name);
        // Of a process that had our number and was killed.
        let _ = std::fs::remove_dir_all(&directory);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let door = Door(directory);
        symlink(path.join("data.mdb"), door.0.join("data.mdb"))?;
        Ok(door)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
