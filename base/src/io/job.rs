//! Work that a core begins for each request, as a future that nobody can name, in memory that is used again.
//!
//! Each layer a request passes makes one, up to some KiB large, and past 1 KiB an allocator takes its slow way. Here a block goes from one
//! request to the next.
//!
//! # Invariants
//!
//! - A future stays where it was put until it is dropped, which happens once, and before its block is given back.
//! - A core keeps at most [`KEPT_MAX`] blocks of a size. A future that fits none has a box of its own.

#![expect(unsafe_code, reason = "a block is used for one future after the other, each of another type")]

use std::alloc::Layout;
use std::cell::RefCell;
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// Bytes of the blocks: what is larger is rare and long.
const SIZES: [usize; 6] = [256, 512, 1024, 2048, 4096, 8192];
/// Of one size: a megabyte in all. Under way may be more.
const KEPT_MAX: usize = 64;

/// A block is made of these: futures of requests ask for no greater alignment.
#[repr(align(16))]
struct Unit(#[expect(dead_code, reason = "space")] [u8; 16]);

type Block = [MaybeUninit<Unit>];

thread_local! {
    static KEPT: RefCell<[Vec<Box<Block>>; SIZES.len()]> = const { RefCell::new([const { Vec::new() }; SIZES.len()]) };
}

/// A future of any kind that gives `T`, on the core that made it.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Job<T: 'static> {
    future: NonNull<dyn Future<Output = T>>,
    /// Where it lies; `None`: in a box of its own.
    block: Option<NonNull<Block>>,
}

impl<T> Job<T> {
    /// Begins with the first poll, as futures do.
    pub fn new<F: Future<Output = T> + 'static>(future: F) -> Job<T> {
        let Some(block) = take(Layout::new::<F>()) else {
            return Job { future: NonNull::from(Box::leak(Box::new(future))), block: None };
        };
        let block = NonNull::from(Box::leak(block));
        let place = block.cast::<F>();
        // SAFETY: nobody else has the block, and `take` gives only one that is large and aligned enough for `F`.
        unsafe { place.write(future) };
        Job { future: place, block: Some(block) }
    }

    /// What is known already.
    pub fn ready(value: T) -> Job<T> {
        Job::new(std::future::ready(value))
    }
}

impl<T> Future for Job<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the future was written by `new` and lives until `drop`; whoever polls has the only reference to this owner.
        let future = unsafe { self.future.as_mut() };
        // SAFETY: it is moved by nobody: it stays in its block, or its box, until it is dropped there.
        unsafe { Pin::new_unchecked(future) }.poll(context)
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let Some(block) = self.block else {
            // SAFETY: leaked by `new`, and taken back only here.
            return drop(unsafe { Box::from_raw(self.future.as_ptr()) });
        };
        // SAFETY: written by `new`; nobody uses it after this. Should it panic, the block is lost, and no more.
        unsafe { self.future.drop_in_place() };
        // SAFETY: leaked by `new`, taken back only here, and nothing lies in it any more.
        give_back(unsafe { Box::from_raw(block.as_ptr()) });
    }
}

/// A block in which such a value fits.
fn take(layout: Layout) -> Option<Box<Block>> {
    let class = SIZES.iter().position(|size| *size >= layout.size())?;
    if layout.align() > align_of::<Unit>() {
        return None;
    }
    let kept = with_kept(class, Vec::pop).flatten();
    kept.or_else(|| Some(Box::new_uninit_slice(SIZES.get(class)? / size_of::<Unit>())))
}

fn give_back(block: Box<Block>) {
    let Some(class) = SIZES.iter().position(|size| *size == size_of_val(&*block)) else { return };
    with_kept(class, |kept| {
        if kept.len() < KEPT_MAX {
            kept.push(block);
        }
    });
}

/// `None` at the end of the thread, when there is no list any more.
fn with_kept<T>(class: usize, body: impl FnOnce(&mut Vec<Box<Block>>) -> T) -> Option<T> {
    KEPT.try_with(|kept| kept.borrow_mut().get_mut(class).map(body)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::Waker;

    /// Says when it is dropped.
    struct Told(Rc<Cell<u32>>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn poll<T>(job: &mut Job<T>) -> Poll<T> {
        Pin::new(job).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// A job with `SIZE` bytes that must stay what they are while it waits once.
    fn waiting<const SIZE: usize>(byte: u8, told: Told) -> Job<usize> {
        Job::new(async move {
            let bytes = [byte; SIZE];
            let mut waited = false;
            poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
            drop(told);
            bytes.iter().filter(|held| **held == byte).count()
        })
    }

    fn kept() -> [usize; SIZES.len()] {
        KEPT.with_borrow(|kept| kept.each_ref().map(Vec::len))
    }

    #[test]
    fn jobs_of_all_sizes_run_to_their_end_and_each_is_dropped_once() {
        let dropped = Rc::new(Cell::new(0));
        for round in 1..=3 {
            let told = || Told(dropped.clone());
            let mut jobs = [
                (waiting::<1>(1, told()), 1),
                (waiting::<900>(2, told()), 900),
                (waiting::<900>(3, told()), 900),
                (waiting::<3_900>(4, told()), 3_900),
                (waiting::<20_000>(5, told()), 20_000),
            ];
            assert!(jobs.iter_mut().all(|(job, _)| poll(job).is_pending()));
            for (job, bytes) in &mut jobs {
                assert_eq!(poll(job), Poll::Ready(*bytes));
            }
            drop(jobs);
            assert_eq!(dropped.get(), 5 * round);
        }
        let given_up = waiting::<100>(6, Told(dropped.clone()));
        drop(given_up);
        assert_eq!(dropped.get(), 16);
    }

    #[test]
    fn a_block_is_used_again_and_only_so_many_are_kept() {
        let place = |job: &Job<u32>| job.block.expect("it is small").cast::<u8>();
        let first = Job::ready(1_u32);
        let was = place(&first);
        drop(first);
        let second = Job::ready(2_u32);
        assert_eq!(place(&second), was);
        let many: Vec<Job<u32>> = (0..2 * KEPT_MAX as u32).map(Job::ready).collect();
        drop((second, many));
        assert_eq!(kept(), [KEPT_MAX, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn one_that_wants_a_greater_alignment_has_a_box() {
        #[repr(align(128))]
        struct Aligned(u8);
        let mut job = Job::new(async {
            let aligned = Aligned(7);
            poll_fn(|_| Poll::Ready(())).await;
            (&raw const aligned).addr() % 128 + usize::from(aligned.0)
        });
        assert!(job.block.is_none());
        assert_eq!(poll(&mut job), Poll::Ready(7));
    }

    #[test]
    fn one_job_in_another_and_one_that_outlives_the_lists_are_no_trouble() {
        thread_local! {
            static LATE: RefCell<Option<Job<u32>>> = const { RefCell::new(None) };
        }
        let ended = std::thread::spawn(|| {
            // Made before the lists are, so that it goes after them or before: either must do.
            LATE.with_borrow_mut(|late| *late = Some(Job::new(async { Job::ready(3).await + Job::ready(4).await })));
            LATE.with_borrow_mut(|late| late.as_mut().map(poll))
        });
        assert_eq!(ended.join().expect("no panic"), Some(Poll::Ready(7)));
    }
}
