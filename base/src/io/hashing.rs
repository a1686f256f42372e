//! Driver: the MD5 of bodies, those of all uploads of a core side by side.
//!
//! What arrives in one turn of the core is hashed at its end, up to sixteen bodies at once in the lanes of AVX-512 (eight with AVX2); a
//! core owns all its uploads, so nobody else is asked and nothing is locked. Where several large bodies are under way, a piece waits a moment for
//! theirs. Two bodies or one alone are hashed one after the other, and so are all in the simulator.
//!
//! # Invariants
//!
//! - At most [`AT_ONCE`] pieces are hashed before other tasks of the core get their turn.
//! - A caller that goes away leaves at most its piece, which is hashed for nobody.

use super::{simulated, sleep, spawn};
use crate::checksum::hex;
use crate::checksum::md5_lanes::{BLOCK, START, State, compress, finish};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// Bytes of a piece from which on it is worth waiting for others.
const WORTHWHILE: usize = 1024;
/// Pieces (of 64 KiB at most) hashed in one go: about a millisecond.
const AT_ONCE: usize = 64;

/// From here on a piece takes so long alone that it is worth a moment's wait for those of others.
const LARGE: usize = 8 * 1024;
/// That moment. No upload gets slower by it than 64 MiB a second.
const PATIENCE: Duration = Duration::from_micros(500);
/// Large bodies under way for which it is worth to wait.
const CROWD: usize = 3;

/// A running MD5.
#[derive(Clone)]
pub struct Md5Stream {
    state: State,
    /// There from its first large piece on.
    is_large: Option<Large>,
    /// Less than a block.
    tail: Vec<u8>,
    length: u64,
}

impl Default for Md5Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Md5Stream {
    /// Of nothing yet.
    pub fn new() -> Self {
        Md5Stream { state: START, is_large: None, tail: Vec::new(), length: 0 }
    }

    /// Adds bytes. Dropped before its end, the stream is of no use any more.
    pub async fn update(&mut self, bytes: &Bytes) {
        self.length += bytes.len() as u64;
        let mut rest = bytes.clone();
        if !self.tail.is_empty() {
            let missing = rest.len().min(BLOCK - self.tail.len());
            self.tail.extend_from_slice(&rest.split_to(missing));
            if self.tail.len() < BLOCK {
                return;
            }
            self.state = hash_alone(self.state, &self.tail);
            self.tail.clear();
        }
        let blocks = rest.split_to(rest.len() / BLOCK * BLOCK);
        self.tail.extend_from_slice(&rest);
        if blocks.len() >= LARGE {
            self.is_large.get_or_insert_with(Large::new);
        }
        self.state = if blocks.len() < WORTHWHILE || simulated() {
            hash_alone(self.state, &blocks)
        } else {
            hash_beside_others(self.state, blocks).await
        };
    }

    /// The digest as 32 lower-case hex digits.
    pub fn finish_hex(self) -> String {
        hex(&finish(self.state, &self.tail, self.length))
    }
}

/// One of the core's large bodies, counted.
struct Large(());

impl Large {
    fn new() -> Large {
        LARGE_BODIES.set(LARGE_BODIES.get() + 1);
        Large(())
    }
}

impl Clone for Large {
    fn clone(&self) -> Large {
        Large::new()
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        LARGE_BODIES.set(LARGE_BODIES.get().saturating_sub(1));
    }
}

/// Whole blocks.
fn hash_alone(state: State, blocks: &[u8]) -> State {
    let mut states = state.map(|word| [word]);
    compress(&mut states, &[blocks], blocks.len() / BLOCK);
    states.map(|[word]| word)
}

/// A piece that waits to be hashed.
struct Piece {
    /// Before it and, once done, behind it.
    state: Cell<State>,
    /// Whole blocks, one at least.
    blocks: Bytes,
    /// Bytes of them that are not hashed yet.
    left: Cell<usize>,
    /// It was left over once, for want of others.
    has_waited: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Piece {
    fn new(state: State, blocks: Bytes) -> Piece {
        let (left, has_waited, waiting) = (Cell::new(blocks.len()), Cell::default(), Cell::default());
        Piece { state: Cell::new(state), blocks, left, has_waited, waiting }
    }

    fn rest(&self) -> &[u8] {
        self.blocks.get(self.blocks.len().saturating_sub(self.left.get())..).unwrap_or_default()
    }

    fn finish_alone(&self) {
        self.state.set(hash_alone(self.state.get(), self.rest()));
        self.left.set(0);
    }

    /// Whether much of it is left and others may come to fill the lanes: once, so that every piece comes to its end.
    fn may_wait(&self) -> bool {
        self.left.get() >= LARGE && LARGE_BODIES.get() >= CROWD && !self.has_waited.replace(true)
    }
}

/// What arrived in this turn of the core.
#[derive(Default)]
struct Gathered {
    pieces: Vec<Rc<Piece>>,
    /// A task will hash them.
    is_due: bool,
}

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
    static LARGE_BODIES: Cell<usize> = const { Cell::new(0) };
}

async fn hash_beside_others(state: State, blocks: Bytes) -> State {
    let piece = Rc::new(Piece::new(state, blocks));
    let is_first = GATHERED.with_borrow_mut(|gathered| {
        gathered.pieces.push(piece.clone());
        !std::mem::replace(&mut gathered.is_due, true)
    });
    if is_first {
        // Behind every task that is ready now: those may have a piece too.
        spawn(hash_soon());
    }
    poll_fn(|context| {
        if piece.left.get() == 0 {
            return Poll::Ready(());
        }
        piece.waiting.set(Some(context.waker().clone()));
        Poll::Pending
    })
    .await;
    piece.state.get()
}

/// Waits a moment if that may fill the lanes.
async fn hash_soon() {
    let bodies = LARGE_BODIES.get();
    let is_worth_it = GATHERED.with_borrow(|gathered| {
        let are_large = gathered.pieces.iter().all(|piece| piece.blocks.len() >= LARGE);
        bodies >= CROWD && gathered.pieces.len() < bodies.min(LANES) && are_large
    });
    if is_worth_it {
        sleep(PATIENCE).await;
    }
    hash_gathered();
}

fn hash_gathered() {
    let pieces: Vec<_> = GATHERED.with_borrow_mut(|gathered| {
        let count = gathered.pieces.len().min(AT_ONCE);
        gathered.pieces.drain(..count).collect()
    });
    hash_pieces(&pieces);
    let mut left_over = Vec::new();
    for piece in pieces {
        if piece.left.get() > 0 {
            left_over.push(piece);
        } else if let Some(waker) = piece.waiting.take() {
            waker.wake();
        }
    }
    let is_more = GATHERED.with_borrow_mut(|gathered| {
        gathered.pieces.splice(..0, left_over);
        gathered.is_due = !gathered.pieces.is_empty();
        gathered.is_due
    });
    if is_more {
        spawn(hash_soon());
    }
}

fn hash_pieces(pieces: &[Rc<Piece>]) {
    let width = width();
    match width {
        Width::Sixteen => hash_in_lanes(pieces, width.least(), sixteen),
        Width::Eight => hash_in_lanes(pieces, width.least(), eight),
        Width::One => pieces.iter().for_each(|piece| piece.finish_alone()),
    }
}

/// Lanes at most.
const LANES: usize = 16;

/// What this processor has.
#[derive(Clone, Copy)]
enum Width {
    Sixteen,
    Eight,
    One,
}

impl Width {
    /// Fewer pieces are quicker one by one.
    fn least(self) -> usize {
        match self {
            Width::Sixteen => 3,
            Width::Eight => 4,
            Width::One => 1,
        }
    }
}

fn width() -> Width {
    // Remembered by the standard library.
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
        {
            return Width::Sixteen;
        }
        if is_x86_feature_detected!("avx2") {
            return Width::Eight;
        }
    }
    Width::One
}

/// Of the same number of blocks each.
type Lanes<const N: usize> = fn(&mut [[u32; N]; 4], &[&[u8]; N], usize);

/// A lane that ends goes on with the next piece, as long as there are `least`.
fn hash_in_lanes<const N: usize>(pieces: &[Rc<Piece>], least: usize, compress: Lanes<N>) {
    let mut next = pieces.iter();
    let mut lanes: Vec<(&Piece, &[u8])> = Vec::with_capacity(N);
    // Ends: every turn ends one piece at least, or is the last.
    loop {
        lanes.extend(next.by_ref().take(N - lanes.len()).map(|piece| (&**piece, piece.rest())));
        if lanes.len() < least {
            return lanes.iter().filter(|(piece, _)| !piece.may_wait()).for_each(|(piece, _)| piece.finish_alone());
        }
        let blocks = lanes.iter().map(|(_, left)| left.len()).min().unwrap_or(0) / BLOCK;
        let mut states = [[0; N]; 4];
        // Lanes that nobody needs hash what the first one does.
        let first = lanes.first().map_or(&[][..], |(_, left)| left);
        let mut messages = [first; N];
        for (lane, (piece, left)) in lanes.iter().enumerate() {
            for (words, word) in states.iter_mut().zip(piece.state.get()) {
                if let Some(place) = words.get_mut(lane) {
                    *place = word;
                }
            }
            if let Some(message) = messages.get_mut(lane) {
                *message = left;
            }
        }
        compress(&mut states, &messages, blocks);
        for (lane, (piece, left)) in lanes.iter_mut().enumerate() {
            piece.state.set(states.map(|words| words.get(lane).copied().unwrap_or_default()));
            *left = left.get(blocks * BLOCK..).unwrap_or_default();
            piece.left.set(left.len());
        }
        lanes.retain(|(_, left)| !left.is_empty());
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "functions compiled for a processor that has the feature")]
fn sixteen(states: &mut [[u32; 16]; 4], messages: &[&[u8]; 16], blocks: usize) {
    #[target_feature(enable = "avx512f,avx512vl,avx512bw")]
    fn wide(states: &mut [[u32; 16]; 4], messages: &[&[u8]; 16], blocks: usize) {
        compress(states, messages, blocks);
    }
    // SAFETY: `width` found the features, and nobody else calls this.
    unsafe { wide(states, messages, blocks) }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "functions compiled for a processor that has the feature")]
fn eight(states: &mut [[u32; 8]; 4], messages: &[&[u8]; 8], blocks: usize) {
    #[target_feature(enable = "avx2")]
    fn wide(states: &mut [[u32; 8]; 4], messages: &[&[u8]; 8], blocks: usize) {
        compress(states, messages, blocks);
    }
    // SAFETY: `width` found the feature, and nobody else calls this.
    unsafe { wide(states, messages, blocks) }
}

#[cfg(not(target_arch = "x86_64"))]
use {compress as sixteen, compress as eight};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::md5_hex;
    use crate::io::real::{CoreOptions, run};

    fn piece(length: usize, seed: usize) -> Rc<Piece> {
        let blocks = (0..length).map(|place| u8::try_from((place * 31 + seed * 7) % 251).unwrap()).collect();
        Rc::new(Piece::new(START, blocks))
    }

    #[test]
    fn lanes_of_any_number_and_length_are_as_one_by_one() {
        for count in [1, 2, 3, 5, 8, 16, 17, 40] {
            let pieces: Vec<_> = (0..count).map(|seed| piece((1 + seed * 13 % 37) * BLOCK, seed)).collect();
            hash_pieces(&pieces);
            for piece in pieces {
                assert_eq!(piece.state.get(), hash_alone(START, &piece.blocks));
            }
        }
    }

    #[test]
    fn what_is_left_over_waits_once_and_no_more() {
        let crowd = [(); CROWD].map(|()| Large::new());
        let pieces: Vec<_> = [1, 2, 40, 41].map(|parts| piece(parts * LARGE, parts)).into();
        hash_pieces(&pieces);
        let left: Vec<_> = pieces.iter().map(|piece| piece.left.get()).collect();
        assert_eq!(left.iter().filter(|left| **left > 0).count(), width().least() - 1, "{left:?}");
        hash_pieces(&pieces.iter().filter(|piece| piece.left.get() > 0).cloned().collect::<Vec<_>>());
        for piece in pieces {
            assert_eq!((piece.left.get(), piece.state.get()), (0, hash_alone(START, &piece.blocks)));
        }
        drop(crowd);
    }

    #[test]
    fn bodies_hashed_beside_each_other_keep_their_own_digests() {
        let ended = run(CoreOptions::default(), || async {
            let bodies: Vec<Bytes> = (1..50_usize).map(|seed| piece(seed * 977, seed).blocks.clone()).collect();
            let tasks: Vec<_> = bodies
                .iter()
                .map(|body| {
                    let mut body = body.clone();
                    spawn(async move {
                        let mut md5 = Md5Stream::new();
                        while !body.is_empty() {
                            md5.update(&body.split_to(body.len().min(5000))).await;
                        }
                        md5.finish_hex()
                    })
                })
                .collect();
            // One that goes away takes nobody with it.
            drop(spawn(async {
                let mut md5 = Md5Stream::new();
                let body = Bytes::from(vec![7; 4096]);
                let update = md5.update(&body);
                let _ = super::super::timeout(std::time::Duration::ZERO, update).await;
            }));
            for (task, body) in tasks.into_iter().zip(&bodies) {
                assert_eq!(task.await, Some(md5_hex(body)));
            }
        });
        ended.unwrap();
    }
}
