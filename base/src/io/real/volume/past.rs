//! Writes past the page cache, by the ring: for what is not soon read.
//!
//! A write and a sync on a thread wake the thread and the core again, copy into the page cache, and walk it twice. Here the core asks the ring, and the
//! kernel answers when the disk has it: the descriptor is open with O_DSYNC.
//!
//! Where sectors are larger than the alignment of volumes, or the file system cannot, the kernel refuses, and writes go the other way.

use crate::io::real::buffers::Sending;
use crate::io::real::fs::{borrow, once_more};
use crate::io::real::lane::Lane;
use crate::io::real::task;
use bytes::{Bytes, BytesMut};
use rustix::fs::OFlags;
use std::cell::OnceCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

/// As aligned as the memory of such a write must be.
const ALIGNMENT: usize = 4096;

/// Writes of one volume. Belongs to a core.
#[derive(Default)]
pub(super) struct Past(OnceCell<Option<Rc<monoio::fs::File>>>);

impl Past {
    /// Writes, durable when it answers `Ok`; runs to its end even if the future is dropped. `None` when the kernel refuses: nothing was written.
    pub(super) async fn write(
        &self,
        lane: &Rc<Lane>,
        file: BorrowedFd<'_>,
        offset: u64,
        parts: &[Bytes],
    ) -> Option<io::Result<()>> {
        let direct = self
            .0
            .get_or_init(|| once_more(file, OFlags::WRONLY | OFlags::DIRECT | OFlags::DSYNC).ok().map(Rc::new))
            .clone()?;
        let (lane, bytes) = (lane.clone(), aligned(parts));
        let writing = task::spawn(Box::pin(async move { write(&lane, &direct, offset, bytes).await }));
        match writing.await {
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => None,
            Some(result) => Some(result),
            None => Some(Err(io::Error::other("the write panicked"))),
        }
    }
}

/// The parts in one piece.
fn aligned(parts: &[Bytes]) -> Bytes {
    let total: usize = parts.iter().map(Bytes::len).sum();
    let mut buffer = BytesMut::with_capacity(total + ALIGNMENT);
    let pad = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    buffer.resize(pad, 0);
    parts.iter().for_each(|part| buffer.extend_from_slice(part));
    buffer.freeze().slice(pad..)
}

async fn write(lane: &Rc<Lane>, file: &monoio::fs::File, mut offset: u64, mut bytes: Bytes) -> io::Result<()> {
    // Ends: every turn writes at least a byte or fails.
    while !bytes.is_empty() {
        let waiting = lane.reading(borrow(file), offset);
        let (result, sent) = file.write_at(Sending::new(bytes), offset).await;
        waiting.came();
        bytes = sent.bytes;
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = bytes.slice(written..);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
