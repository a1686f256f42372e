//! A bounded queue between tasks of one core.
//!
//! # Invariants
//!
//! - Never holds more than its capacity; a sender past it waits.
//! - The receiver sees the end when the last sender is gone and the queue is empty.
//! - A sender learns that the receiver is gone and gets its item back.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Makes a queue of `capacity` items (at least one).
pub fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(RefCell::new(Shared {
        items: VecDeque::new(),
        capacity: capacity.max(1),
        senders: 1,
        receiver_gone: false,
        abandoned: false,
        receiver_waker: None,
        sender_wakers: Vec::new(),
    }));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T> {
    items: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receiver_gone: bool,
    abandoned: bool,
    receiver_waker: Option<Waker>,
    sender_wakers: Vec<Waker>,
}

/// The putting end.
pub struct Sender<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

impl<T> Sender<T> {
    /// Puts an item, waiting for room. The item comes back when nobody will read it.
    pub async fn send(&self, item: T) -> Result<(), T> {
        let mut item = Some(item);
        poll_fn(|context| {
            let mut shared = self.shared.borrow_mut();
            if shared.receiver_gone {
                return Poll::Ready(item.take().map_or(Ok(()), Err));
            }
            if shared.items.len() >= shared.capacity {
                shared.sender_wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            shared.items.extend(item.take());
            wake(shared.receiver_waker.take());
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Puts an item if there is room now.
    pub fn try_send(&self, item: T) -> Result<(), T> {
        let mut shared = self.shared.borrow_mut();
        if shared.receiver_gone || shared.items.len() >= shared.capacity {
            return Err(item);
        }
        shared.items.push_back(item);
        wake(shared.receiver_waker.take());
        Ok(())
    }

    /// Gives up on the receiver: what waits is dropped, and the receiver can tell.
    pub fn abandon(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.abandoned = true;
        let items = std::mem::take(&mut shared.items);
        drop(shared);
        drop(items);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.borrow_mut().senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.senders = shared.senders.saturating_sub(1);
        if shared.senders == 0 {
            wake(shared.receiver_waker.take());
        }
    }
}

/// The taking end.
pub struct Receiver<T> {
    shared: Rc<RefCell<Shared<T>>>,
}

impl<T> Receiver<T> {
    /// Whether a sender gave up.
    pub fn is_abandoned(&self) -> bool {
        self.shared.borrow().abandoned
    }

    /// The next item; `None` when all senders are gone.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|context| {
            let mut shared = self.shared.borrow_mut();
            if let Some(item) = shared.items.pop_front() {
                for waker in shared.sender_wakers.drain(..) {
                    waker.wake();
                }
                return Poll::Ready(Some(item));
            }
            if shared.senders == 0 {
                return Poll::Ready(None);
            }
            shared.receiver_waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.receiver_gone = true;
        let items = std::mem::take(&mut shared.items);
        let wakers = std::mem::take(&mut shared.sender_wakers);
        drop(shared);
        for waker in wakers {
            waker.wake();
        }
        drop(items);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_full_queue_makes_the_sender_wait() {
        let (sender, mut receiver) = queue(1);
        assert_eq!(poll(sender.send(1)), Poll::Ready(Ok(())));
        assert_eq!(poll(sender.send(2)), Poll::Pending);
        assert_eq!(poll(receiver.receive()), Poll::Ready(Some(1)));
        assert_eq!(poll(sender.send(3)), Poll::Ready(Ok(())));
        assert_eq!(poll(receiver.receive()), Poll::Ready(Some(3)));
        assert_eq!(poll(receiver.receive()), Poll::Pending);
    }

    #[test]
    fn both_ends_learn_that_the_other_is_gone() {
        let (sender, mut receiver) = queue(2);
        let other = sender.clone();
        assert_eq!(sender.try_send(1), Ok(()));
        drop((sender, other));
        assert_eq!(poll(receiver.receive()), Poll::Ready(Some(1)));
        assert_eq!(poll(receiver.receive()), Poll::Ready(None));

        let (sender, receiver) = queue(2);
        drop(receiver);
        assert_eq!(sender.try_send(1), Err(1));
        assert_eq!(poll(sender.send(2)), Poll::Ready(Err(2)));
    }
}
