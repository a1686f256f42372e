//! Files and directories of the node that runs now: each operation takes its time, may fail as the options say, and may be
//! cut off by a crash between any two of its steps (`step`).

use super::NodeId;
use super::clock::sleep;
use super::file_system::{FileSystem, Inode};
use super::sockets::nanos;
use super::step::{Kind, clean_step, defects, step};
use super::task::spawn;
use super::world::{World, current, try_current};
use crate::io::fs::{Entry, Metadata, Space};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Linux's number for a rename or link between two file systems.
const CROSSES_DEVICES: i32 = 18;
/// Linux's number for a failing device.
pub(super) const INPUT_OUTPUT_ERROR: i32 = 5;

/// A handle of a file on the disk of one life of a node.
pub(super) struct Handle {
    node: NodeId,
    life: u64,
    pub(super) inode: Inode,
}

impl Handle {
    pub(super) fn with<T>(&self, use_it: impl FnOnce(&mut FileSystem) -> io::Result<T>) -> io::Result<T> {
        let world = current();
        if !world.is_alive(self.node, self.life) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        with_disk_of(&world, self.node, use_it)
    }

    pub(super) async fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let write = || self.with(|disk| disk.write(self.inode, offset, bytes));
        step(Kind::Write, write, |random| {
            let _ = self.with(|disk| {
                disk.write_partly(self.inode, offset, bytes, random);
                Ok(())
            });
        })
        .await
    }

    pub(super) async fn sync(&self) -> io::Result<()> {
        let sync = || match defects().skip_file_syncs {
            true => Ok(()),
            false => self.with(|disk| disk.sync_file(self.inode)),
        };
        step(Kind::SyncFile, sync, |random| {
            let _ = self.with(|disk| {
                disk.fail_sync(self.inode, random);
                Ok(())
            });
        })
        .await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(world) = try_current() else { return };
        // After a crash the inode may be another file's; the crash itself closed all handles.
        if world.is_alive(self.node, self.life) {
            let _ = with_disk_of(&world, self.node, |disk| {
                disk.close(self.inode);
                Ok(())
            });
        }
    }
}

/// An open file.
pub(in crate::io) struct File {
    handle: Handle,
    length: u64,
}

impl File {
    pub(in crate::io) async fn open(path: &Path) -> io::Result<File> {
        let (handle, length) = open_handle(path).await?;
        Ok(File { handle, length })
    }
    pub(in crate::io) fn len(&self) -> u64 {
        self.length
    }
    pub(in crate::io) async fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        take_time().await;
        fail_read_perhaps()?;
        self.handle.with(|disk| disk.read(self.handle.inode, offset, length)).map(Bytes::from)
    }
    pub(in crate::io) async fn xattr(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        take_time().await;
        fail_read_perhaps()?;
        self.handle.with(|disk| disk.attribute(self.handle.inode, name))
    }
}

/// Opens the file at `path`, and tells its length.
pub(super) async fn open_handle(path: &Path) -> io::Result<(Handle, u64)> {
    take_time().await;
    let world = current();
    let (inode, length) = with_disk(&world, |disk| {
        let stat = disk.stat(path)?;
        disk.open(stat.inode)?;
        Ok((stat.inode, stat.length))
    })?;
    Ok((handle(&world, inode)?, length))
}

/// Makes an empty file, which must not be there.
pub(super) async fn create_named(path: &Path) -> io::Result<Handle> {
    let inode = clean_step(Kind::Name, || with_disk(&current(), |disk| disk.create_named(path))).await?;
    handle(&current(), inode)
}

/// A file without a name.
pub(in crate::io) struct TempFile {
    handle: Handle,
    length: u64,
    /// Nothing changed since `prepare`.
    prepared: bool,
}

impl TempFile {
    pub(in crate::io) async fn create(dir: &Path) -> io::Result<TempFile> {
        let inode = clean_step(Kind::Allocate, || with_disk(&current(), |disk| disk.create_nameless(dir))).await?;
        Ok(TempFile { handle: handle(&current(), inode)?, length: 0, prepared: false })
    }
    pub(in crate::io) async fn create_within(dir: &Path, reserve: u64) -> io::Result<TempFile> {
        create_dir_all(dir).await?;
        let mut file = TempFile::create(dir).await?;
        if reserve > 0 {
            file.allocate(reserve).await?;
        }
        Ok(file)
    }
    pub(in crate::io) async fn allocate(&mut self, length: u64) -> io::Result<()> {
        clean_step(Kind::Allocate, || self.handle.with(|disk| disk.reserve(self.handle.inode, length))).await
    }
    pub(in crate::io) async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        self.prepared = false;
        self.handle.write(self.length, &bytes).await?;
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }
    pub(in crate::io) fn len(&self) -> u64 {
        self.length
    }
    pub(in crate::io) async fn sync_data(&mut self) -> io::Result<()> {
        self.handle.sync().await
    }
    /// Attributes, sync of the file, name, sync of the directory; a crash may come between any two.
    pub(in crate::io) async fn publish(self, target: &Path, xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        self.publish_with(target, xattrs, true).await
    }

    async fn publish_with(self, target: &Path, xattrs: Vec<(String, Vec<u8>)>, syncs: bool) -> io::Result<()> {
        let target = target.to_owned();
        // A task of its own: it goes on when the caller is dropped.
        spawn(async move { self.publish_steps(&target, xattrs, syncs).await }).await.unwrap_or(Err(crashed()))
    }

    /// Not a task of its own: given up, the file goes, or the next step waits for nothing that matters.
    pub(in crate::io) async fn prepare(&mut self, xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        self.set_attributes(xattrs).await?;
        self.sync_data().await?;
        self.prepared = true;
        Ok(())
    }

    async fn set_attributes(&mut self, xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        for (name, value) in xattrs {
            let set = || self.handle.with(|disk| disk.set_attribute(self.handle.inode, name, value));
            clean_step(Kind::Write, set).await?;
        }
        Ok(())
    }

    async fn publish_steps(mut self, target: &Path, xattrs: Vec<(String, Vec<u8>)>, syncs: bool) -> io::Result<()> {
        let is_stable = self.prepared && xattrs.is_empty();
        if !is_stable {
            self.set_attributes(xattrs).await?;
            if syncs {
                self.sync_data().await?;
            }
        }
        clean_step(Kind::Name, || self.handle.with(|disk| disk.link(self.handle.inode, target))).await?;
        if syncs {
            sync_dir(target.parent().ok_or(io::ErrorKind::InvalidInput)?).await?;
        }
        Ok(())
    }
}

pub(in crate::io) async fn read_dir(path: &Path) -> io::Result<Vec<Entry>> {
    take_time().await;
    fail_read_perhaps()?;
    let names = with_disk(&current(), |disk| disk.list(path))?;
    Ok(names.into_iter().map(|(name, is_dir)| Entry { name, is_dir }).collect())
}

pub(in crate::io) async fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    take_time().await;
    fail_read_perhaps()?;
    with_disk(&current(), |disk| {
        let stat = disk.stat(path)?;
        if stat.length > u64::try_from(max).unwrap_or(u64::MAX) && !stat.is_dir {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        disk.read(stat.inode, 0, max)
    })
}

pub(in crate::io) async fn write_atomic(path: &Path, bytes: Vec<u8>, _mode: u32) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = TempFile::create(dir).await?;
    file.append(Bytes::from(bytes)).await?;
    file.publish(path, Vec::new()).await
}

/// Longest wait for the lock of `append_locked`.
const APPEND_LOCK_WAIT: Duration = Duration::from_secs(10);

pub(in crate::io) async fn append_locked(path: &Path, lock_path: &Path, bytes: Vec<u8>) -> io::Result<()> {
    let (path, lock_path) = (path.to_owned(), lock_path.to_owned());
    // A task of its own: it goes on when the caller is dropped.
    spawn(async move { append_steps(&path, &lock_path, &bytes).await }).await.unwrap_or(Err(crashed()))
}

async fn append_steps(path: &Path, lock_path: &Path, bytes: &[u8]) -> io::Result<()> {
    let deadline = current().now().saturating_add(nanos(APPEND_LOCK_WAIT));
    // Ends: at the deadline.
    let _lock = loop {
        match lock(lock_path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && current().now() < deadline => {}
            other => break other?,
        }
    };
    let file = match File::open(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let empty = TempFile::create(path.parent().ok_or(io::ErrorKind::InvalidInput)?).await?;
            empty.publish_with(path, Vec::new(), false).await?;
            File::open(path).await?
        }
        other => other?,
    };
    let end = file.handle.with(|disk| disk.length(file.handle.inode))?;
    file.handle.write(end, bytes).await?;
    file.handle.sync().await
}

pub(in crate::io) async fn create_dir_all(path: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = Vec::new();
    for ancestor in path.ancestors() {
        take_time().await;
        match with_disk(&current(), |disk| disk.stat(ancestor)) {
            Ok(stat) if stat.is_dir => break,
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(ancestor),
            Err(error) => return Err(error),
        }
    }
    for dir in missing.into_iter().rev() {
        match clean_step(Kind::Name, || with_disk(&current(), |disk| disk.create_dir(dir))).await {
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        sync_dir(dir.parent().ok_or(io::ErrorKind::InvalidInput)?).await?;
    }
    Ok(())
}

pub(in crate::io) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let world = current();
    if device_of(&world, from) != device_of(&world, to) {
        return Err(io::Error::from_raw_os_error(CROSSES_DEVICES));
    }
    clean_step(Kind::Name, || with_disk(&world, |disk| disk.rename(from, to))).await
}

pub(in crate::io) async fn remove_file(path: &Path) -> io::Result<()> {
    clean_step(Kind::Unlink, || with_disk(&current(), |disk| disk.remove_file(path))).await
}

pub(in crate::io) async fn remove_dir(path: &Path) -> io::Result<()> {
    clean_step(Kind::Unlink, || with_disk(&current(), |disk| disk.remove_dir(path))).await
}

pub(in crate::io) async fn sync_dir(path: &Path) -> io::Result<()> {
    let sync = || match defects().skip_dir_syncs {
        true => Ok(()),
        false => with_disk(&current(), |disk| disk.sync_dir(path)),
    };
    clean_step(Kind::SyncDir, sync).await
}

pub(in crate::io) async fn metadata(path: &Path) -> io::Result<Metadata> {
    take_time().await;
    let world = current();
    let stat = with_disk(&world, |disk| disk.stat(path))?;
    let device = device_of(&world, path);
    Ok(Metadata { len: stat.length, is_dir: stat.is_dir, device, modified_nanos: i128::from(stat.modified) })
}

pub(in crate::io) async fn space(path: &Path) -> io::Result<Space> {
    take_time().await;
    with_disk(&current(), |disk| {
        disk.stat(path)?;
        let (total, available) = disk.space();
        Ok(Space { total, available, inodes: (u64::from(u32::MAX), u64::from(u32::MAX)) })
    })
}

pub(in crate::io) async fn is_mount(path: &Path) -> io::Result<bool> {
    take_time().await;
    let world = current();
    with_disk(&world, |disk| disk.stat(path))?;
    Ok(path.parent().is_none_or(|parent| device_of(&world, path) != device_of(&world, parent)))
}

/// Holds a lock file until dropped, or until its node crashes.
pub(in crate::io) struct Lock {
    node: NodeId,
    life: u64,
    path: PathBuf,
}

pub(in crate::io) async fn lock(path: &Path) -> io::Result<Lock> {
    take_time().await;
    let world = current();
    let node = world.node();
    let life = world.life(node).ok_or_else(crashed)?;
    with_disk(&world, |disk| disk.find(path.parent().ok_or(io::ErrorKind::InvalidInput)?))?;
    let mut nodes = world.nodes.borrow_mut();
    let state = nodes.get_mut(node.0).ok_or_else(crashed)?;
    if !state.locks.insert(path.to_owned()) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(Lock { node, life, path: path.to_owned() })
}

impl Drop for Lock {
    fn drop(&mut self) {
        let Some(world) = try_current() else { return };
        if world.is_alive(self.node, self.life)
            && let Some(state) = world.nodes.borrow_mut().get_mut(self.node.0)
        {
            state.locks.remove(&self.path);
        }
    }
}

/// What an operation of a disk takes: tens of microseconds, sometimes very long.
pub(in crate::io) async fn take_time() {
    let world = current();
    let options = &world.options;
    let (low, high) = (nanos(options.disk_time.0), nanos(options.disk_time.1));
    let usual = world.with_random(|random| random.between(low, high));
    let time = if world.fault(options.slow_disk_chance) {
        world.note("slow disk", 0, 0);
        world.with_random(|random| random.between(high, nanos(options.slow_disk)))
    } else {
        usual
    };
    sleep(Duration::from_nanos(time)).await;
}

pub(super) fn fail_read_perhaps() -> io::Result<()> {
    let world = current();
    if world.fault(world.options.read_error_chance) {
        world.note("disk error", 0, 0);
        return Err(io::Error::from_raw_os_error(INPUT_OUTPUT_ERROR));
    }
    Ok(())
}

fn handle(world: &World, inode: Inode) -> io::Result<Handle> {
    let node = world.node();
    Ok(Handle { node, life: world.life(node).ok_or_else(crashed)?, inode })
}

pub(super) fn with_disk<T>(world: &World, use_it: impl FnOnce(&mut FileSystem) -> io::Result<T>) -> io::Result<T> {
    with_disk_of(world, world.node(), use_it)
}

fn with_disk_of<T>(
    world: &World,
    node: NodeId,
    use_it: impl FnOnce(&mut FileSystem) -> io::Result<T>,
) -> io::Result<T> {
    use_it(&mut world.nodes.borrow_mut().get_mut(node.0).ok_or_else(crashed)?.disk)
}

/// The longest mount point above the path, as a number.
fn device_of(world: &World, path: &Path) -> u64 {
    let nodes = world.nodes.borrow();
    let Some(node) = nodes.get(world.node().0) else { return 0 };
    let found = node.mounts.iter().enumerate().filter(|(_, mount)| path.starts_with(mount));
    let longest = found.max_by_key(|(_, mount)| mount.components().count());
    longest.map_or(1, |(at, _)| 2 + u64::try_from(at).unwrap_or(0))
}

pub(super) fn crashed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the node is down")
}
