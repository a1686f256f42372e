//! Files and directories of the real backend.

use crate::io::fs::{Entry, Metadata, Space};
use bytes::Bytes;
use std::io;
use std::path::Path;

/// Stub.
pub(in crate::io) struct File;
/// Stub.
pub(in crate::io) struct TempFile;
/// Stub.
pub(in crate::io) struct Lock;

impl File {
    pub(in crate::io) async fn open(_path: &Path) -> io::Result<File> {
        todo!()
    }
    pub(in crate::io) fn len(&self) -> u64 {
        todo!()
    }
    pub(in crate::io) async fn read_at(&self, _offset: u64, _length: usize) -> io::Result<Bytes> {
        todo!()
    }
    pub(in crate::io) async fn xattr(&self, _name: &str) -> io::Result<Option<Vec<u8>>> {
        todo!()
    }
}
impl TempFile {
    pub(in crate::io) async fn create(_dir: &Path) -> io::Result<TempFile> {
        todo!()
    }
    pub(in crate::io) async fn allocate(&mut self, _length: u64) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) async fn append(&mut self, _bytes: Bytes) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) fn len(&self) -> u64 {
        todo!()
    }
    pub(in crate::io) async fn sync_data(&mut self) -> io::Result<()> {
        todo!()
    }
    pub(in crate::io) async fn publish(self, _target: &Path, _xattrs: Vec<(String, Vec<u8>)>) -> io::Result<()> {
        todo!()
    }
}
pub(in crate::io) async fn read_dir(_path: &Path) -> io::Result<Vec<Entry>> {
    todo!()
}
pub(in crate::io) async fn read(_path: &Path, _max: usize) -> io::Result<Vec<u8>> {
    todo!()
}
pub(in crate::io) async fn write_atomic(_path: &Path, _bytes: Vec<u8>, _mode: u32) -> io::Result<()> {
    todo!()
}
pub(in crate::io) async fn create_dir_all(_path: &Path) -> io::Result<()> {
    todo!()
}
pub(in crate::io) async fn rename(_from: &Path, _to: &Path) -> io::Result<()> {
    todo!()
}
pub(in crate::io) async fn remove_file(_path: &Path) -> io::Result<()> {
    todo!()
}
pub(in crate::io) async fn remove_dir(_path: &Path) -> io::Result<()> {
    todo!()
}
pub(in crate::io) async fn sync_dir(_path: &Path) -> io::Result<()> {
    todo!()
}
pub(in crate::io) async fn metadata(_path: &Path) -> io::Result<Metadata> {
    todo!()
}
pub(in crate::io) async fn space(_path: &Path) -> io::Result<Space> {
    todo!()
}
pub(in crate::io) async fn is_mount(_path: &Path) -> io::Result<bool> {
    todo!()
}
pub(in crate::io) async fn lock(_path: &Path) -> io::Result<Lock> {
    todo!()
}
