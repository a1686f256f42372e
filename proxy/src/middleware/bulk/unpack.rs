//! The bytes of an archive, decompressed piece by piece: never more than one piece at once, however much the archive claims to hold.

use base::http::server::{BodyError, RequestBody};
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};

/// Bytes given at once.
const PIECE: usize = 64 * 1024;

/// The first byte of every gzip file.
const GZIP_MAGIC: u8 = 0x1f;
const NOT_GZIP: Broken = Broken::Data("not a gzip file");
const INVALID: Broken = Broken::Data("invalid compressed data");
const CUT: Broken = Broken::Data("unexpected end of data");

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Plain,
    Gzip,
    Bzip2,
}

/// Why there are no more bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client did not send what it announced.
    Body(BodyError),
    /// Not compressed so: why, in the words of Python's tarfile, which Swift tells.
    Data(&'static str),
}

/// The decompressed body.
pub(super) struct Unpacked {
    body: RequestBody,
    /// Received and not decompressed yet.
    waiting: Bytes,
    decoder: Decoder,
    /// A byte of the archive was seen.
    has_begun: bool,
    is_over: bool,
}

enum Decoder {
    Plain,
    /// `true`: inside a member, which must come to its end.
    Gzip(Decompress, bool),
    Bzip2(bzip2::Decompress, bool),
}

impl Unpacked {
    pub(super) fn new(body: RequestBody, compression: Compression) -> Unpacked {
        let decoder = match compression {
            Compression::Plain => Decoder::Plain,
            Compression::Gzip => Decoder::Gzip(Decompress::new_gzip(15), false),
            Compression::Bzip2 => Decoder::Bzip2(bzip2::Decompress::new(false), false),
        };
        Unpacked { body, waiting: Bytes::new(), decoder, has_begun: false, is_over: false }
    }

    /// The next piece, never empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        // Ends: a turn without a piece has taken input, which is as long as the body.
        loop {
            if self.waiting.is_empty() && !self.is_over {
                match self.body.next().await {
                    Some(Ok(bytes)) => self.waiting = bytes,
                    Some(Err(error)) => return Err(Broken::Body(error)),
                    None => self.is_over = true,
                }
            }
            if let Decoder::Plain = self.decoder {
                let piece = self.waiting.split_to(self.waiting.len().min(PIECE));
                if !piece.is_empty() || self.is_over {
                    return Ok(Some(piece).filter(|piece| !piece.is_empty()));
                }
                continue;
            }
            if !self.has_begun && !self.waiting.is_empty() {
                self.has_begun = true;
                if matches!(self.decoder, Decoder::Gzip(..)) && self.waiting.first() != Some(&GZIP_MAGIC) {
                    return Err(NOT_GZIP);
                }
            }
            let (taken, piece) = self.decoder.step(&self.waiting)?;
            self.waiting.advance(taken);
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
            if self.is_over && taken == 0 {
                return match &self.decoder {
                    Decoder::Gzip(..) if !self.has_begun => Err(NOT_GZIP),
                    decoder if decoder.is_inside() => Err(CUT),
                    _ => Ok(None),
                };
            }
        }
    }
}

impl Decoder {
    fn is_inside(&self) -> bool {
        matches!(self, Decoder::Gzip(_, true) | Decoder::Bzip2(_, true))
    }

    /// Some of `input` decompressed: how much of it was taken, and what came out.
    fn step(&mut self, input: &[u8]) -> Result<(usize, Vec<u8>), Broken> {
        if input.is_empty() && !self.is_inside() {
            return Ok((0, Vec::new()));
        }
        let mut out = Vec::with_capacity(PIECE);
        let (taken, has_ended) = match self {
            Decoder::Plain => (0, false),
            Decoder::Gzip(gzip, _) => {
                let before = gzip.total_in();
                let status = gzip.decompress_vec(input, &mut out, FlushDecompress::None).map_err(|_| INVALID)?;
                (gzip.total_in() - before, status == Status::StreamEnd)
            }
            Decoder::Bzip2(bzip2, _) => {
                let before = bzip2.total_in();
                let status = bzip2.decompress_vec(input, &mut out).map_err(|_| INVALID)?;
                (bzip2.total_in() - before, status == bzip2::Status::StreamEnd)
            }
        };
        // Another member may follow.
        match self {
            Decoder::Plain => {}
            Decoder::Gzip(gzip, inside) => {
                *inside = !has_ended;
                if has_ended {
                    *gzip = Decompress::new_gzip(15);
                }
            }
            Decoder::Bzip2(bzip2, inside) => {
                *inside = !has_ended;
                if has_ended {
                    *bzip2 = bzip2::Decompress::new(false);
                }
            }
        }
        Ok((usize::try_from(taken).unwrap_or(usize::MAX).min(input.len()), out))
    }
}
