//! Letters between the cores of one process: a question, and an answer that comes back.
//!
//! A letter box has a lock that is held for a few instructions by who posts and who collects; nobody else ever touches it. Letters
//! are for what is rare (a write to a container, statistics), never for the way of a read.
//!
//! # Invariants
//!
//! - Letters to one core arrive in the order they were posted.
//! - Who asks is answered, or hears `None` when the other core is not there or ends. Nobody who asks needs to go on waiting.
//! - A box holds letters only of those who wait for their answer, so requests bound it.

#![expect(clippy::disallowed_types, reason = "the one place where cores meet")]

use super::real::oneshot::{self, oneshot};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// All letter boxes of a process. Clones are the same ones, for each core one.
pub struct Post<Q, A> {
    boxes: Arc<[Mutex<LetterBox<Q, A>>]>,
}

struct LetterBox<Q, A> {
    is_open: bool,
    letters: VecDeque<Letter<Q, A>>,
    waker: Option<Waker>,
}

/// A question and where its answer goes. Dropped, it answers `None`.
pub struct Letter<Q, A> {
    /// What is asked.
    pub question: Q,
    reply: oneshot::Sender<A>,
}

impl<Q, A> Letter<Q, A> {
    /// Answers.
    pub fn answer(self, answer: A) {
        self.reply.send(answer);
    }
}

/// An answer on its way; `None` when there will be none.
pub struct Answer<A>(Option<oneshot::Receiver<A>>);

impl<A> Future for Answer<A> {
    type Output = Option<A>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<A>> {
        match &mut self.0 {
            Some(receiver) => Pin::new(receiver).poll(context),
            None => Poll::Ready(None),
        }
    }
}

impl<Q, A> Clone for Post<Q, A> {
    fn clone(&self) -> Self {
        Self { boxes: Arc::clone(&self.boxes) }
    }
}

impl<Q, A> Post<Q, A> {
    /// A box for each of so many cores, all closed.
    pub fn new(cores: usize) -> Post<Q, A> {
        let closed = || Mutex::new(LetterBox { is_open: false, letters: VecDeque::new(), waker: None });
        Post { boxes: (0..cores).map(|_| closed()).collect() }
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.boxes.len()
    }

    /// Asks a core.
    pub fn ask(&self, core: usize, question: Q) -> Answer<A> {
        let Some(mut held) = self.lock(core).filter(|held| held.is_open) else { return Answer(None) };
        let (reply, receiver) = oneshot();
        held.letters.push_back(Letter { question, reply });
        let waker = held.waker.take();
        drop(held);
        if let Some(waker) = waker {
            waker.wake();
        }
        Answer(Some(receiver))
    }

    /// Opens the box of a core, which reads it until it drops the result.
    pub fn open(&self, core: usize) -> Inbox<Q, A> {
        if let Some(mut held) = self.lock(core) {
            held.is_open = true;
        }
        Inbox { post: self.clone(), core }
    }

    fn lock(&self, core: usize) -> Option<MutexGuard<'_, LetterBox<Q, A>>> {
        self.boxes.get(core).map(|held| held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The letters for this core.
pub struct Inbox<Q, A> {
    post: Post<Q, A>,
    core: usize,
}

impl<Q, A> Inbox<Q, A> {
    /// The next letter.
    pub async fn next(&mut self) -> Letter<Q, A> {
        poll_fn(|context| {
            let Some(mut held) = self.post.lock(self.core) else { return Poll::Pending };
            match held.letters.pop_front() {
                Some(letter) => Poll::Ready(letter),
                None => {
                    held.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<Q, A> Drop for Inbox<Q, A> {
    fn drop(&mut self) {
        let Some(mut held) = self.post.lock(self.core) else { return };
        held.is_open = false;
        let letters = std::mem::take(&mut held.letters);
        let waker = held.waker.take();
        drop(held);
        drop((letters, waker));
    }
}

#[cfg(test)]
mod tests {
    use super::Post;
    use crate::io::real::{CoreOptions, run};
    use crate::io::sim::{Sim, SimOptions};
    use crate::io::spawn;

    #[test]
    fn letters_are_answered_in_their_order_and_a_closed_box_says_nothing() {
        Sim::new(1, SimOptions::default()).run(async {
            let post = Post::<u32, u32>::new(2);
            assert_eq!(post.ask(1, 1).await, None);
            assert_eq!(post.ask(7, 1).await, None);
            let mut inbox = post.open(1);
            let answers: Vec<_> = (0..5).map(|number| post.ask(1, number)).collect();
            let reader = spawn(async move {
                for expected in 0..4 {
                    let letter = inbox.next().await;
                    assert_eq!(letter.question, expected);
                    letter.answer(expected * 2);
                }
            });
            reader.await.unwrap();
            let mut heard = Vec::new();
            for answer in answers {
                heard.push(answer.await);
            }
            // The box closed with the last letter in it.
            assert_eq!(heard, [Some(0), Some(2), Some(4), Some(6), None]);
        });
    }

    #[test]
    fn threads_answer_each_other() {
        let post = Post::<u64, u64>::new(2);
        let other = post.clone();
        let mut inbox = post.open(1);
        let thread = std::thread::spawn(move || {
            let _kept = other;
            run(CoreOptions::default(), async || {
                for _ in 0..1000 {
                    let letter = inbox.next().await;
                    let doubled = letter.question * 2;
                    letter.answer(doubled);
                }
            })
            .unwrap();
        });
        run(CoreOptions::default(), async || {
            for number in 0..1000 {
                assert_eq!(post.ask(1, number).await, Some(number * 2));
            }
        })
        .unwrap();
        thread.join().unwrap();
    }
}
