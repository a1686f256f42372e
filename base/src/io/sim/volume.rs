//! Volumes of the simulator: files that are written in place, their unsynced sectors kept, dropped or torn by a crash.

use super::clock::sleep;
use super::disk::{self, Handle, fail_read_perhaps, sync_dir, take_time};
use super::step::{Kind, clean_step};
use super::task::spawn;
use crate::io::fs;
use bytes::Bytes;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

pub(in crate::io) struct Volume {
    handle: Rc<Handle>,
    length: u64,
}

impl Volume {
    pub(in crate::io) async fn create(path: &Path, length: u64) -> io::Result<Volume> {
        let handle = disk::create_named(path).await?;
        let filled = Volume::fill(&handle, path, length).await;
        if let Err(error) = filled {
            disk::remove_file(path).await?;
            return Err(error);
        }
        Ok(Volume { handle: Rc::new(handle), length })
    }

    async fn fill(handle: &Handle, path: &Path, length: u64) -> io::Result<()> {
        clean_step(Kind::Allocate, || handle.with(|disk| disk.extend(handle.inode, length))).await?;
        handle.sync().await?;
        sync_dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?).await
    }

    pub(in crate::io) async fn open(path: &Path) -> io::Result<Volume> {
        let (handle, length) = disk::open_handle(path).await?;
        Ok(Volume { handle: Rc::new(handle), length })
    }

    /// One step for all of it: zeros over zeros change nothing that a crash could show.
    pub(in crate::io) async fn prewrite(&self, pause: Duration) -> io::Result<()> {
        sleep(pause).await;
        clean_step(Kind::Write, || Ok(())).await
    }

    pub(in crate::io) fn len(&self) -> u64 {
        self.length
    }

    pub(in crate::io) async fn write(&self, offset: u64, parts: Vec<Bytes>) -> io::Result<()> {
        let handle = Rc::clone(&self.handle);
        // A task of its own: it goes on when the caller is dropped.
        spawn(async move {
            handle.write(offset, &parts.concat()).await?;
            handle.sync().await
        })
        .await
        .unwrap_or_else(|| Err(disk::crashed()))
    }

    /// The simulator has no page cache; half of all places take each way of who asks.
    pub(in crate::io) fn is_cached(offset: u64) -> bool {
        (offset / fs::Volume::ALIGNMENT).is_multiple_of(2)
    }

    pub(in crate::io) async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        take_time().await;
        fail_read_perhaps()?;
        self.handle.with(|disk| disk.read(self.handle.inode, offset, length)).map(Bytes::from)
    }
}
