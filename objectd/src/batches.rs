//! Driver: what waits while something is under way goes next, together: no timer, and one alone waits for nobody.
//!
//! # Invariants
//!
//! - One batch at a time, in the order of arrival.
//! - Who waits is answered, or hears `None` when its batch ended without an answer for it, or too many waited. A waiter that goes away stops nothing.

use base::io;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Items of one batch: enough that what they share costs little, few enough that the first does not wait long.
const BATCH_MAX: usize = 256;
/// Items that wait at a time: above the requests that one core serves, so that only a stuck disk gets there.
const WAITING_MAX: usize = 4096;

/// Items on their way. One per goal, of one core.
pub(crate) struct Batches<T, A> {
    waiting: RefCell<VecDeque<(T, Rc<Answer<A>>)>>,
    is_running: Cell<bool>,
}

impl<T, A> Default for Batches<T, A> {
    fn default() -> Self {
        Batches { waiting: RefCell::default(), is_running: Cell::new(false) }
    }
}

impl<T: 'static, A: 'static> Batches<T, A> {
    /// Sends an item with the next batch. `send` gives an answer for each, in their order.
    pub(crate) async fn add<S, F>(self: &Rc<Self>, item: T, send: S) -> Option<A>
    where
        S: Fn(Vec<T>) -> F + 'static,
        F: Future<Output = Vec<A>> + 'static,
    {
        let answer = self.push(item)?;
        self.start(send);
        answer.given().await
    }

    /// The same for several that came together; the answers in their order.
    pub(crate) async fn add_all<S, F>(self: &Rc<Self>, items: Vec<T>, send: S) -> Vec<Option<A>>
    where
        S: Fn(Vec<T>) -> F + 'static,
        F: Future<Output = Vec<A>> + 'static,
    {
        let answers: Vec<_> = items.into_iter().map(|item| self.push(item)).collect();
        self.start(send);
        let mut given = Vec::with_capacity(answers.len());
        for answer in answers {
            given.push(match answer {
                Some(answer) => answer.given().await,
                None => None,
            });
        }
        given
    }

    fn push(&self, item: T) -> Option<Rc<Answer<A>>> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let answer = Rc::new(Answer { outcome: Cell::new(Outcome::Open), waiting: Cell::new(None) });
        waiting.push_back((item, answer.clone()));
        Some(answer)
    }

    fn start<S, F>(self: &Rc<Self>, send: S)
    where
        S: Fn(Vec<T>) -> F + 'static,
        F: Future<Output = Vec<A>> + 'static,
    {
        if !self.is_running.replace(true) {
            io::spawn(run(Running { batches: self.clone(), answers: Vec::new() }, send));
        }
    }

    /// Nothing waits and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_running.get()
    }
}

/// Ends: when nothing waits any more.
async fn run<T: 'static, A: 'static, F: Future<Output = Vec<A>>>(
    mut running: Running<T, A>,
    send: impl Fn(Vec<T>) -> F,
) {
    loop {
        let (items, answers): (Vec<T>, Vec<_>) = {
            let mut waiting = running.batches.waiting.borrow_mut();
            let count = waiting.len().min(BATCH_MAX);
            waiting.drain(..count).unzip()
        };
        if items.is_empty() {
            return;
        }
        running.answers = answers;
        let given = send(items).await;
        let mut given = given.into_iter();
        running.answers.drain(..).for_each(|answer| answer.give(given.next()));
    }
}

/// A batch under way.
struct Running<T, A> {
    batches: Rc<Batches<T, A>>,
    answers: Vec<Rc<Answer<A>>>,
}

/// Also when the sending panics or its task is dropped nobody goes on waiting.
impl<T, A> Drop for Running<T, A> {
    fn drop(&mut self) {
        self.batches.is_running.set(false);
        let left = self.batches.waiting.take();
        let answers = self.answers.drain(..).chain(left.into_iter().map(|(_, answer)| answer));
        answers.for_each(|answer| answer.give(None));
    }
}

struct Answer<A> {
    outcome: Cell<Outcome<A>>,
    waiting: Cell<Option<Waker>>,
}

enum Outcome<A> {
    Open,
    Given(Option<A>),
}

impl<A> Answer<A> {
    async fn given(&self) -> Option<A> {
        poll_fn(|context| match self.outcome.replace(Outcome::Open) {
            Outcome::Given(given) => Poll::Ready(given),
            Outcome::Open => {
                self.waiting.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    fn give(&self, given: Option<A>) {
        self.outcome.set(Outcome::Given(given));
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::io::sim::{Sim, SimOptions};
    use std::time::Duration;

    type Numbers = Rc<Batches<u32, u32>>;
    type Sizes = Rc<RefCell<Vec<usize>>>;

    /// Doubles them after a while, and notes how many came together.
    async fn double(items: Vec<u32>, sizes: Sizes) -> Vec<u32> {
        sizes.borrow_mut().push(items.len());
        io::sleep(Duration::from_millis(1)).await;
        items.iter().map(|item| item * 2).collect()
    }

    fn add(batches: &Numbers, number: u32, sizes: &Sizes) -> io::JoinHandle<Option<u32>> {
        let (batches, sizes) = (batches.clone(), sizes.clone());
        io::spawn(async move { batches.add(number, move |items| double(items, sizes.clone())).await })
    }

    #[test]
    fn what_waits_goes_together_and_each_has_its_answer() {
        Sim::new(1, SimOptions::default()).run(async {
            let (batches, sizes) = (Numbers::default(), Sizes::default());
            let first = add(&batches, 0, &sizes);
            io::sleep(Duration::from_micros(100)).await;
            let mut others: Vec<_> = (1..600).map(|number| add(&batches, number, &sizes)).collect();
            // One that goes away does not take the others along.
            drop(others.remove(0));
            let together = {
                let (batches, sizes) = (batches.clone(), sizes.clone());
                async move { batches.add_all(vec![600, 601], move |items| double(items, sizes.clone())).await }
            };
            let together = io::spawn(together);
            assert_eq!(first.await, Some(Some(0)));
            for (other, number) in others.into_iter().zip(2..) {
                assert_eq!(other.await, Some(Some(number * 2)));
            }
            assert_eq!(together.await, Some(vec![Some(1200), Some(1202)]));
            assert_eq!(*sizes.borrow(), [1, 256, 256, 89]);
            assert!(batches.is_idle());
        });
    }

    #[test]
    fn who_has_no_answer_is_told_so_and_the_next_starts_anew() {
        Sim::new(1, SimOptions::default()).run(async {
            let batches = Numbers::default();
            assert_eq!(batches.add(1, |_| async { Vec::new() }).await, None);
            assert_eq!(batches.add(1, |_| async { panic!("the disk is gone") }).await, None);
            assert!(batches.is_idle());
            assert_eq!(batches.add(1, |items| async { items }).await, Some(1));
        });
    }

    #[test]
    fn there_is_a_bound() {
        Sim::new(1, SimOptions::default()).run(async {
            let batches = Numbers::default();
            for number in 0..5000 {
                let batches = batches.clone();
                io::spawn(async move { batches.add(number, |_| std::future::pending()).await });
            }
            io::sleep(Duration::from_millis(1)).await;
            assert_eq!(batches.add(1, |items| async { items }).await, None);
            assert_eq!(batches.waiting.borrow().len(), WAITING_MAX);
        });
    }
}
