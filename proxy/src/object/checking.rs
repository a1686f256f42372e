//! What the replicas of one PUT are told of its body (`body_check`), taken beside the sending.
//!
//! # Invariants
//!
//! - At most [`QUEUED_PIECES`] pieces wait to be looked at; whoever has another waits.

use crate::backend::queue::{Sender, queue};
use base::body_check::{Sum, Verdict};
use base::io::hashing::Md5Stream;
use base::io::{self, JoinHandle};
use bytes::Bytes;

/// Pieces of up to 64 KiB: as many as wait for a replica.
const QUEUED_PIECES: usize = 4;

/// The checks of one body. Dropped before its end, they come to nothing.
pub(super) struct Checking {
    pieces: Sender<Bytes>,
    verdict: JoinHandle<Verdict>,
}

impl Checking {
    /// Of nothing yet.
    pub(super) fn start() -> Self {
        let (pieces, mut receiver) = queue::<Bytes>(QUEUED_PIECES);
        let verdict = io::spawn(async move {
            let (mut md5, mut sum) = (Md5Stream::new(), Sum::default());
            // Ends: with the sender.
            while let Some(bytes) = receiver.receive().await {
                sum.update(&bytes);
                md5.update(&bytes).await;
            }
            Verdict { etag: md5.finish_hex(), sum }
        });
        Self { pieces, verdict }
    }

    /// Adds bytes.
    pub(super) async fn update(&self, bytes: &Bytes) {
        // The task takes all there is before it ends.
        let _ = self.pieces.send(bytes.clone()).await;
    }

    /// Of all bytes; `None` when the task did not come to its end.
    pub(super) async fn finish(self) -> Option<Verdict> {
        let Checking { pieces, verdict } = self;
        drop(pieces);
        verdict.await
    }
}
