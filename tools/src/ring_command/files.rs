//! Files of the ring builder: read whole, replaced atomically, backed up as Swift's tool does.

#![expect(clippy::disallowed_methods, reason = "an operator's command runs alone and outside of any server")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The whole file; `None` when there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file: readers see the old bytes or the new ones, after a crash too.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The old file is still whole; only our attempt goes.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(directory)?.sync_all()
}

/// A copy in `backups/` beside the file, named by the second.
pub(super) fn back_up(path: &Path, bytes: &[u8], now: u64) -> io::Result<()> {
    let backups = directory_of(path).join("backups");
    fs::create_dir_all(&backups)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    replace(&backups.join(format!("{now}.{name}")), bytes)
}

/// Holds the directory's lock until it is dropped; `None` when another has it for 15 seconds.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(directory_of(path).join(".lock"))?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(lock)),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(std::time::Duration::from_millis(10)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o644).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// 15 seconds of 10 ms.
const LOCK_TRIES: u32 = 1_500;
