//! One flight per key: whoever asks for what is already being asked for waits for the same answer.
//!
//! # Invariants
//!
//! - A flight is a task of its own: whoever began it may go away, the others still get their answer.
//! - When it ends, however it ends, its key is free again; who waited for one that failed gets nothing, and nobody waits for ever
//!   as long as the work has a deadline.
//! - After [`Flights::forget`] whoever asks begins anew; who waited before gets the answer that was on its way.

use crate::backend::queue::{Sender, queue};
use base::io;
use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

/// The flights of one kind of question. One per core.
pub struct Flights<K: Ord, V> {
    under_way: RefCell<BTreeMap<K, Rc<Waiters<V>>>>,
}

type Waiters<V> = RefCell<Vec<Sender<V>>>;

impl<K: Ord + Clone + 'static, V: Clone + 'static> Flights<K, V> {
    /// None under way.
    pub fn new() -> Rc<Flights<K, V>> {
        Rc::new(Flights { under_way: RefCell::default() })
    }

    /// The answer for `key`: of the flight under way, or of `work`, which begins one.
    pub async fn join<F: Future<Output = V> + 'static>(self: &Rc<Self>, key: K, work: impl FnOnce() -> F) -> Option<V> {
        self.join_to_land(key, |landing| {
            let work = work();
            async move { landing.land(&work.await) }
        })
        .await
    }

    /// The same with work that lands by itself, and may have more to do then. What it drops without landing has failed.
    pub async fn join_to_land<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        key: K,
        work: impl FnOnce(Landing<K, V>) -> F,
    ) -> Option<V> {
        let (sender, mut receiver) = queue(1);
        let others = self.under_way.borrow().get(&key).cloned();
        match others {
            Some(others) => others.borrow_mut().push(sender),
            None => self.start(key, vec![sender], work),
        }
        receiver.receive().await
    }

    /// Begins a flight that nobody waits for yet, if there is none.
    pub fn begin<F: Future<Output = ()> + 'static>(self: &Rc<Self>, key: K, work: impl FnOnce(Landing<K, V>) -> F) {
        if !self.is_under_way(&key) {
            self.start(key, Vec::new(), work);
        }
    }

    /// Whether there is one.
    pub fn is_under_way<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.under_way.borrow().contains_key(key)
    }

    /// What is on its way is out of date.
    pub fn forget<Q: Ord + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.under_way.borrow_mut().remove(key);
    }

    fn start<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        key: K,
        waiters: Vec<Sender<V>>,
        work: impl FnOnce(Landing<K, V>) -> F,
    ) {
        let waiters: Rc<Waiters<V>> = Rc::new(RefCell::new(waiters));
        self.under_way.borrow_mut().insert(key.clone(), Rc::clone(&waiters));
        let work = work(Landing { flights: Rc::clone(self), key, waiters });
        io::spawn(work);
    }
}

/// The end of a flight, held by its work. Dropping it frees the key.
pub struct Landing<K: Ord, V> {
    flights: Rc<Flights<K, V>>,
    key: K,
    waiters: Rc<Waiters<V>>,
}

impl<K: Ord, V> Landing<K, V> {
    /// Whether nobody called it out of date.
    pub fn is_current(&self) -> bool {
        let under_way = self.flights.under_way.borrow();
        under_way.get::<K>(&self.key).is_some_and(|current| Rc::ptr_eq(current, &self.waiters))
    }

    /// Whether somebody wants the answer.
    pub fn is_awaited(&self) -> bool {
        !RefCell::borrow(&self.waiters).is_empty()
    }
}

impl<K: Ord, V: Clone> Landing<K, V> {
    /// Frees the key and tells who waits.
    pub fn land(self, answer: &V) {
        let waiters: Vec<Sender<V>> = self.waiters.take();
        drop(self);
        for waiter in waiters {
            // Who went away has no use for it.
            let _ = waiter.try_send(answer.clone());
        }
    }
}

impl<K: Ord, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        if self.is_current() {
            self.flights.under_way.borrow_mut().remove::<K>(&self.key);
        }
        // Nobody can come any more, and who waits shall not wait for a flight that has ended.
        drop(self.waiters.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::io::sim::{Sim, SimOptions};
    use std::cell::Cell;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn all_who_ask_at_once_share_one_answer() {
        Sim::new(1, SimOptions::default()).run(async {
            let (flights, flown) = (Flights::new(), Rc::new(Cell::new(0)));
            let work = |flown: Rc<Cell<u32>>| async move {
                io::sleep(SECOND).await;
                flown.set(flown.get() + 1);
                flown.get()
            };
            let mut asking = Vec::new();
            for _ in 0..10 {
                let (flights, flown) = (Rc::clone(&flights), Rc::clone(&flown));
                asking.push(io::spawn(async move { flights.join("key", || work(flown)).await }));
            }
            for asker in asking {
                assert_eq!(asker.await, Some(Some(1)));
            }
            assert_eq!(flights.join("key", || work(Rc::clone(&flown))).await, Some(2));
        });
    }

    #[test]
    fn a_flight_goes_on_when_the_first_leaves_and_frees_its_key_when_it_fails() {
        Sim::new(2, SimOptions::default()).run(async {
            let flights = Flights::new();
            let slow = || async {
                io::sleep(2 * SECOND).await;
                7
            };
            let first = io::timeout(SECOND, flights.join(1, slow)).await;
            assert!(first.is_err());
            assert_eq!(flights.join(1, || async { 8 }).await, Some(7), "the flight of who left");

            let failed = flights.join_to_land(2, |landing| async move { drop(landing) }).await;
            assert_eq!(failed, None);
            assert_eq!(flights.join(2, || async { 9 }).await, Some(9));
        });
    }

    #[test]
    fn who_asks_after_it_was_forgotten_does_not_get_what_was_on_its_way() {
        Sim::new(3, SimOptions::default()).run(async {
            let flights = Flights::<&str, u32>::new();
            let (was_current, old) = (Rc::new(Cell::new(true)), Rc::clone(&flights));
            let seen = Rc::clone(&was_current);
            let before = io::spawn(async move {
                old.join_to_land("key", |landing| async move {
                    io::sleep(SECOND).await;
                    seen.set(landing.is_current());
                    landing.land(&1);
                })
                .await
            });
            io::sleep(SECOND / 2).await;
            flights.forget("key");
            assert!(!flights.is_under_way("key"));
            let after = flights.join("key", || async {
                io::sleep(SECOND).await;
                2
            });
            assert_eq!(after.await, Some(2));
            assert_eq!((before.await, was_current.get()), (Some(Some(1)), false));
        });
    }

    #[test]
    fn one_that_nobody_waits_for_is_joined_by_who_comes() {
        Sim::new(4, SimOptions::default()).run(async {
            let flights = Flights::<u32, bool>::new();
            let work = |landing: Landing<u32, bool>| async move {
                assert!(!landing.is_awaited());
                io::sleep(SECOND).await;
                let is_awaited = landing.is_awaited();
                landing.land(&is_awaited);
            };
            flights.begin(1, work);
            flights.begin(1, |_| async { panic!("there is one already") });
            io::sleep(SECOND / 2).await;
            assert_eq!(flights.join(1, || async { panic!("there is one already") }).await, Some(true));
            assert!(!flights.is_under_way(&1));
        });
    }
}
