//! Files of parked container updates on a device: written, listed, removed. What stands in them is `pending`'s.
//!
//! After `park` the record survives power loss. A record that exists already under the same name (same row, same time) is replaced.

use super::pending::Pending;
use crate::config::Config;
use crate::node::Device;
use base::hash_path::HashPath;
use base::io::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Where a policy's records are.
pub fn directory(device: &Device, policy: u32) -> PathBuf {
    device.root.join(Config::policy_directory("async_pending", policy))
}

/// Writes the record durably.
pub async fn park(device: &Device, policy: u32, record: &Pending, hash_path: &HashPath) -> std::io::Result<PathBuf> {
    let (suffix, name) = record.place(hash_path);
    let directory = directory(device, policy).join(suffix);
    let path = directory.join(name);
    let bytes = record.encode();
    // The updater removes an empty suffix directory; when it does so between the two steps, once more is enough.
    for _ in 0..2 {
        fs::create_dir_all(&directory).await?;
        match fs::write_atomic(&path, bytes.clone(), 0o600).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
    Err(Error::new(ErrorKind::NotFound, format!("{}: vanishes again and again", directory.display())))
}

/// Removes a record; one that is gone is fine.
pub async fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
