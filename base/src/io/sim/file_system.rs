//! Core: one simulated disk: what a file system shows, and what of it would survive a power loss.
//!
//! # What is promised, as ext4 and xfs do at the least
//!
//! - `sync_file` makes the content and the attributes of a file durable, not its name.
//! - `sync_dir` makes durable what happened to the names in that directory, and the directory's own name up to the root.
//! - A name that changed and was not synced is, after a crash, the old or the new one; a rename happened or did not.
//! - Bytes that were not synced are, after a crash, the new or the old ones (zeros where there were none) in any mixture of
//!   512-byte sectors, and the file may be shorter. Attributes that were not synced are the old or the new ones. (`content`.)

use super::content::{FileContent, SECTOR_BYTES};
use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

/// What every file and directory takes besides its bytes.
const INODE_BYTES: u64 = 512;
/// Inodes without a use that may wait for a sweep.
const INODES_UNSWEPT: usize = 256;

pub(crate) type Inode = u64;

const ROOT: Inode = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct FileSystem {
    inodes: BTreeMap<Inode, Content>,
    next_inode: Inode,
    /// Changes of names that are not durable yet, oldest first.
    pending: Vec<Change>,
    capacity: u64,
    /// Of the capacity, what is taken by others than files (key-value environments).
    outside: u64,
    changes: u64,
    /// Inodes that the last sweep left.
    swept: usize,
}

#[derive(Debug)]
enum Content {
    File(FileContent),
    Directory { names: BTreeMap<String, Inode>, durable: BTreeMap<String, Inode> },
}

#[derive(Clone, Debug)]
enum Change {
    Link { dir: Inode, name: String, inode: Inode },
    Unlink { dir: Inode, name: String },
    Rename { from_dir: Inode, from: String, to_dir: Inode, to: String },
}

impl Change {
    fn touches(&self, wanted: Inode) -> bool {
        match self {
            Change::Link { dir, .. } | Change::Unlink { dir, .. } => *dir == wanted,
            Change::Rename { from_dir, to_dir, .. } => *from_dir == wanted || *to_dir == wanted,
        }
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) inode: Inode,
    pub(crate) length: u64,
    pub(crate) is_dir: bool,
    pub(crate) modified: u64,
}

impl FileSystem {
    /// An empty one.
    pub(crate) fn new(capacity: u64) -> Self {
        let root = Content::Directory { names: BTreeMap::new(), durable: BTreeMap::new() };
        Self {
            inodes: BTreeMap::from([(ROOT, root)]),
            next_inode: ROOT + 1,
            pending: Vec::new(),
            capacity,
            outside: 0,
            changes: 0,
            swept: 1,
        }
    }

    /// All bytes, and those still free.
    pub(crate) fn space(&self) -> (u64, u64) {
        let used: u64 = self
            .inodes
            .values()
            .map(|content| match content {
                Content::File(file) if file.is_held() => INODE_BYTES + file.space(),
                Content::File(_) => 0,
                Content::Directory { .. } => INODE_BYTES,
            })
            .sum();
        (self.capacity, self.capacity.saturating_sub(used.saturating_add(self.outside)))
    }

    /// See `space`.
    pub(crate) fn set_capacity(&mut self, bytes: u64) {
        self.capacity = bytes;
    }

    /// Takes space for something that is not a file here.
    pub(crate) fn take_outside(&mut self, more: u64) -> io::Result<()> {
        self.take_space(more)?;
        self.outside += more;
        Ok(())
    }

    /// The inode at `path`.
    pub(crate) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut at = ROOT;
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => {
                    let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
                    at = *self.names(at)?.get(name).ok_or(io::ErrorKind::NotFound)?;
                }
                Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
            }
        }
        Ok(at)
    }

    /// What stands at `path`.
    pub(crate) fn stat(&self, path: &Path) -> io::Result<Stat> {
        let inode = self.find(path)?;
        Ok(match self.content(inode)? {
            Content::File(file) => Stat { inode, length: file.length(), is_dir: false, modified: file.modified },
            Content::Directory { names, .. } => {
                Stat { inode, length: as_u64(names.len()), is_dir: true, modified: self.changes }
            }
        })
    }

    /// Names in a directory, each with whether it is one itself.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let names = self.names(self.find(path)?)?;
        let is_dir = |inode: &Inode| matches!(self.inodes.get(inode), Some(Content::Directory { .. }));
        Ok(names.iter().map(|(name, inode)| (name.clone(), is_dir(inode))).collect())
    }

    /// A new file without a name, with one handle.
    pub(crate) fn create_nameless(&mut self, dir: &Path) -> io::Result<Inode> {
        self.names(self.find(dir)?)?;
        self.take_space(INODE_BYTES)?;
        let file = FileContent::with_handle();
        Ok(self.insert(Content::File(file)))
    }

    /// A new, empty file with a name, which must be free, and one handle.
    pub(crate) fn create_named(&mut self, path: &Path) -> io::Result<Inode> {
        let (dir, name) = self.place(path)?;
        if self.names(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.create_nameless(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        self.change(Change::Link { dir, name, inode });
        Ok(inode)
    }

    /// Another handle of a file.
    pub(crate) fn open(&mut self, inode: Inode) -> io::Result<()> {
        self.file_mut(inode)?.handles += 1;
        Ok(())
    }

    /// A handle goes; a file without a name and without handles takes no space any more.
    pub(crate) fn close(&mut self, inode: Inode) {
        if let Ok(file) = self.file_mut(inode) {
            file.handles = file.handles.saturating_sub(1);
        }
    }

    /// Sets `length` bytes aside.
    pub(crate) fn reserve(&mut self, inode: Inode, length: u64) -> io::Result<()> {
        let file = self.file_mut(inode)?;
        let more = length.saturating_sub(file.space());
        self.take_space(more)?;
        let file = self.file_mut(inode)?;
        file.reserved = file.reserved.max(length);
        Ok(())
    }

    /// Makes the file longer, with zeros that are taken from the free space.
    pub(crate) fn extend(&mut self, inode: Inode, length: u64) -> io::Result<()> {
        self.reserve(inode, length)?;
        self.file_mut(inode)?.extend(usize::try_from(length).map_err(|_| io::ErrorKind::StorageFull)?);
        Ok(())
    }

    pub(crate) fn write(&mut self, inode: Inode, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let more = (offset + as_u64(bytes.len())).saturating_sub(self.file(inode)?.space());
        self.take_space(more)?;
        self.changes += 1;
        let modified = self.changes;
        let file = self.file_mut(inode)?;
        file.write(usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull)?, bytes);
        file.modified = modified;
        Ok(())
    }

    /// Up to `length` bytes from `offset`.
    pub(crate) fn read(&self, inode: Inode, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.file(inode)?.bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    pub(crate) fn length(&self, inode: Inode) -> io::Result<u64> {
        Ok(self.file(inode)?.length())
    }

    pub(crate) fn attribute(&self, inode: Inode, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.file(inode)?.attributes.get(name).cloned())
    }

    pub(crate) fn set_attribute(&mut self, inode: Inode, name: String, value: Vec<u8>) -> io::Result<()> {
        self.file_mut(inode)?.attributes.insert(name, value);
        Ok(())
    }

    /// Content and attributes of the file survive from here on.
    pub(crate) fn sync_file(&mut self, inode: Inode) -> io::Result<()> {
        self.file_mut(inode)?.sync();
        Ok(())
    }

    /// A write that fails after some sectors.
    pub(crate) fn write_partly(&mut self, inode: Inode, offset: u64, bytes: &[u8], random: &mut Random) {
        let written = random.index(bytes.len().div_ceil(SECTOR_BYTES) + 1).saturating_mul(SECTOR_BYTES);
        let part = bytes.get(..written).unwrap_or(bytes);
        // That it has no room for the part is a failure as well.
        let _ = self.write(inode, offset, part);
    }

    /// A sync that fails: what it did not write is lost.
    pub(crate) fn fail_sync(&mut self, inode: Inode, random: &mut Random) {
        if let Ok(file) = self.file_mut(inode) {
            file.fail_sync(random);
        }
    }

    /// Flips a bit of the byte at `offset`.
    pub(crate) fn damage(&mut self, path: &Path, offset: u64) -> io::Result<()> {
        let inode = self.find(path)?;
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        match self.file_mut(inode)?.damage(offset) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "the file has no such byte")),
        }
    }

    /// Gives a file the name `path`, taking it from what has it.
    pub(crate) fn link(&mut self, inode: Inode, path: &Path) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        if self.names(dir)?.get(&name).is_some_and(|there| self.names(*there).is_ok()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.change(Change::Link { dir, name, inode });
        Ok(())
    }

    /// Makes one directory; its parent must be there.
    pub(crate) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        if self.names(dir)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.take_space(INODE_BYTES)?;
        let inode = self.insert(Content::Directory { names: BTreeMap::new(), durable: BTreeMap::new() });
        self.change(Change::Link { dir, name, inode });
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let moved = self.find(from)?;
        let (from_dir, from_name) = self.place(from)?;
        let (to_dir, to_name) = self.place(to)?;
        if let Some(&there) = self.names(to_dir)?.get(&to_name) {
            match (self.names(moved).is_ok(), self.names(there)) {
                (true, Ok(names)) if !names.is_empty() => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
                (true, Err(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                (false, Ok(_)) => return Err(io::ErrorKind::IsADirectory.into()),
                _ if there == moved => return Ok(()),
                _ => {}
            }
        }
        if to.starts_with(from) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.change(Change::Rename { from_dir, from: from_name, to_dir, to: to_name });
        Ok(())
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        if self.names(self.find(path)?).is_ok() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let (dir, name) = self.place(path)?;
        self.change(Change::Unlink { dir, name });
        Ok(())
    }

    pub(crate) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        if !self.names(self.find(path)?)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = self.place(path)?;
        self.change(Change::Unlink { dir, name });
        Ok(())
    }

    /// Names in this directory, and its own up to the root, survive from here on.
    pub(crate) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut dirs = BTreeSet::new();
        for ancestor in path.ancestors() {
            let dir = self.find(ancestor)?;
            self.names(dir)?;
            dirs.insert((dir, ancestor == path));
        }
        let own_names: BTreeSet<Inode> = dirs.iter().map(|&(dir, _)| dir).collect();
        let (settled, left) = std::mem::take(&mut self.pending).into_iter().partition(|change: &Change| {
            let holds_ancestor = matches!(change, Change::Link { inode, .. } if own_names.contains(inode));
            holds_ancestor || dirs.iter().any(|&(dir, is_target)| is_target && change.touches(dir))
        });
        self.pending = left;
        let settled: Vec<Change> = settled;
        settled.iter().for_each(|change| self.apply(change, true));
        // Looking at everything at every sync would make long simulations quadratic.
        if self.inodes.len() > 2 * self.swept + INODES_UNSWEPT {
            self.sweep();
        }
        Ok(())
    }

    /// Power loss: the volatile part is dropped or torn, as the generator decides; all handles are gone.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        // Some crashes lose all, some nothing, most a mixture.
        let kept = *random.pick(&[0.0, 0.5, 0.5, 0.9, 1.0]).unwrap_or(&0.5);
        for change in std::mem::take(&mut self.pending) {
            if random.chance(kept) {
                self.apply(&change, true);
            }
        }
        let mut links: BTreeMap<Inode, usize> = BTreeMap::new();
        for content in self.inodes.values_mut() {
            match content {
                Content::Directory { names, durable } => {
                    names.clone_from(durable);
                    names.values().for_each(|inode| *links.entry(*inode).or_default() += 1);
                }
                Content::File(file) => file.crash(kept, random),
            }
        }
        for (&inode, content) in &mut self.inodes {
            if let Content::File(file) = content {
                file.links = links.get(&inode).copied().unwrap_or_default();
            }
        }
        self.sweep();
    }

    fn change(&mut self, change: Change) {
        self.changes += 1;
        self.apply(&change, false);
        self.pending.push(change);
    }

    /// Applies a change to the names shown, or to the durable ones. A durable change whose object is gone does nothing.
    fn apply(&mut self, change: &Change, durable: bool) {
        let mut gone = None;
        match change {
            Change::Link { dir, name, inode } => {
                if let Some(names) = self.table(*dir, durable) {
                    gone = names.insert(name.clone(), *inode);
                    self.count_links(*inode, durable, 1);
                }
            }
            Change::Unlink { dir, name } => {
                gone = self.table(*dir, durable).and_then(|names| names.remove(name));
            }
            Change::Rename { from_dir, from, to_dir, to } => {
                let moved = self.table(*from_dir, durable).and_then(|names| names.remove(from));
                if let Some(moved) = moved {
                    gone = self.table(*to_dir, durable).and_then(|names| names.insert(to.clone(), moved));
                }
            }
        }
        if let Some(gone) = gone {
            self.count_links(gone, durable, -1);
        }
    }

    fn count_links(&mut self, inode: Inode, durable: bool, change: isize) {
        if !durable && let Ok(file) = self.file_mut(inode) {
            file.links = file.links.saturating_add_signed(change);
        }
    }

    fn table(&mut self, dir: Inode, durable_one: bool) -> Option<&mut BTreeMap<String, Inode>> {
        match self.inodes.get_mut(&dir)? {
            Content::Directory { names, durable } => Some(if durable_one { durable } else { names }),
            Content::File(_) => None,
        }
    }

    /// Frees what nothing leads to any more: no name shown, no durable name, no pending change, no handle.
    fn sweep(&mut self) {
        let mut living = BTreeSet::from([ROOT]);
        let mut left: Vec<Inode> = vec![ROOT];
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Link { inode, .. } => Some(*inode),
            _ => None,
        });
        left.extend(pending);
        let is_held = |content: &Content| matches!(content, Content::File(file) if file.handles > 0);
        left.extend(self.inodes.iter().filter(|(_, content)| is_held(content)).map(|(&inode, _)| inode));
        living.extend(left.iter().copied());
        // Ends: an inode enters `left` once.
        while let Some(inode) = left.pop() {
            if let Some(Content::Directory { names, durable }) = self.inodes.get(&inode) {
                left.extend(names.values().chain(durable.values()).copied().filter(|inode| living.insert(*inode)));
            }
        }
        self.inodes.retain(|inode, _| living.contains(inode));
        self.swept = self.inodes.len();
    }

    fn take_space(&self, more: u64) -> io::Result<()> {
        if more > 0 && self.space().1 < more { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn insert(&mut self, content: Content) -> Inode {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, content);
        inode
    }

    /// The directory and the name a path ends in.
    fn place(&self, path: &Path) -> io::Result<(Inode, String)> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.find(parent)?;
        self.names(dir)?;
        Ok((dir, name.to_owned()))
    }

    fn content(&self, inode: Inode) -> io::Result<&Content> {
        self.inodes.get(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, inode: Inode) -> io::Result<&BTreeMap<String, Inode>> {
        match self.content(inode)? {
            Content::Directory { names, .. } => Ok(names),
            Content::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, inode: Inode) -> io::Result<&FileContent> {
        match self.content(inode)? {
            Content::File(file) => Ok(file),
            Content::Directory { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, inode: Inode) -> io::Result<&mut FileContent> {
        match self.inodes.get_mut(&inode) {
            Some(Content::File(file)) => Ok(file),
            Some(Content::Directory { .. }) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
