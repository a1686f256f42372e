//! The entries of an archive, one after the other, each with the bytes that belong to it.

use super::tar::{self, BLOCK, EXTENDED_MAX, Header};
use super::unpack::{Broken, Unpacked};
use bytes::{Bytes, BytesMut};

/// A file of the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// As it stands there.
    pub(super) name: Vec<u8>,
    pub(super) size: u64,
    /// Fields of its extended headers.
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

/// An archive being read.
pub(super) struct Archive {
    unpacked: Unpacked,
    waiting: Bytes,
    /// Bytes of the current file that nobody has read.
    left: u64,
    /// What fills its last block.
    padding: u64,
    has_begun: bool,
}

/// Why there is no next entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The bytes do not come, or are not compressed as was said.
    Broken(Broken),
    /// They are no archive.
    NoArchive(&'static str),
}

impl From<Broken> for Unreadable {
    fn from(broken: Broken) -> Self {
        Unreadable::Broken(broken)
    }
}

impl Archive {
    pub(super) fn new(unpacked: Unpacked) -> Archive {
        Archive { unpacked, waiting: Bytes::new(), left: 0, padding: 0, has_begun: false }
    }

    /// The next file; what was not read of the one before is passed over. `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, Unreadable> {
        let (mut long_name, mut fields) = (None, Vec::new());
        // Ends: every turn reads a block at least.
        loop {
            self.skip(self.left.saturating_add(self.padding)).await?;
            (self.left, self.padding) = (0, 0);
            let Some(block) = self.block().await? else {
                return if self.has_begun { Ok(None) } else { Err(Unreadable::NoArchive("empty file")) };
            };
            self.has_begun = true;
            match tar::header(&block).ok_or(Unreadable::NoArchive("invalid header"))? {
                Header::End => return Ok(None),
                Header::LongName { size } => {
                    let bytes = self.extended(size).await?;
                    long_name = Some(tar::text(&bytes).to_vec());
                }
                Header::Extended { size } => {
                    let bytes = self.extended(size).await?;
                    fields = tar::fields(&bytes).ok_or(Unreadable::NoArchive("invalid header"))?;
                }
                Header::Other { size } => {
                    self.skip(tar::padded(size)).await?;
                    (long_name, fields) = (None, Vec::new());
                }
                Header::File { name, size } => {
                    let field =
                        |wanted: &str| fields.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value);
                    let said = field("size").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
                    let size = said.unwrap_or(size);
                    let name = field("path").cloned().or(long_name).unwrap_or(name);
                    (self.left, self.padding) = (size, tar::padded(size).saturating_sub(size));
                    return Ok(Some(Entry { name, size, fields }));
                }
            }
        }
    }

    /// Some bytes of the current file; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Unreadable> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(piece) = self.take(self.left).await? else {
            return Err(Unreadable::NoArchive("unexpected end of data"));
        };
        self.left -= piece.len() as u64;
        Ok(Some(piece))
    }

    /// At most `most` bytes, at least one; `None` at the end.
    async fn take(&mut self, most: u64) -> Result<Option<Bytes>, Unreadable> {
        if self.waiting.is_empty() {
            match self.unpacked.next().await? {
                Some(piece) => self.waiting = piece,
                None => return Ok(None),
            }
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.waiting.len());
        Ok(Some(self.waiting.split_to(most)))
    }

    async fn skip(&mut self, mut count: u64) -> Result<(), Unreadable> {
        while count > 0 {
            let Some(piece) = self.take(count).await? else {
                return Err(Unreadable::NoArchive("unexpected end of data"));
            };
            count -= piece.len() as u64;
        }
        Ok(())
    }

    /// A whole block; `None` when nothing is left.
    async fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Unreadable> {
        let bytes = self.exactly(BLOCK as u64).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let block = <[u8; BLOCK]>::try_from(bytes.as_ref()).map_err(|_| Unreadable::NoArchive("truncated header"))?;
        Ok(Some(block))
    }

    async fn extended(&mut self, size: u64) -> Result<Bytes, Unreadable> {
        if size > EXTENDED_MAX {
            return Err(Unreadable::NoArchive("extended header too long"));
        }
        let mut bytes = self.exactly(tar::padded(size)).await?;
        if (bytes.len() as u64) < size {
            return Err(Unreadable::NoArchive("unexpected end of data"));
        }
        bytes.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// So many bytes, or fewer at the end.
    async fn exactly(&mut self, count: u64) -> Result<Bytes, Unreadable> {
        let mut bytes = BytesMut::new();
        while let Some(more) = count.checked_sub(bytes.len() as u64).filter(|more| *more > 0) {
            match self.take(more).await? {
                Some(piece) => bytes.extend_from_slice(&piece),
                None => break,
            }
        }
        Ok(bytes.freeze())
    }
}
