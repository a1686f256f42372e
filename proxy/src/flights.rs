//! One flight per key: whoever asks for what is already being asked for waits for the same answer.
//!
//! # Invariants
//!
//! - A flight is a task of its own: whoever began it may go away, the others still get their answer.
//! - When it ends, however it ends, its key is free again; who waited for one that failed gets nothing, and nobody waits for ever
//!   as long as the work has a deadline.

use crate::backend::queue::{Sender, queue};
use base::io;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

/// The flights of one kind of question. One per core.
pub struct Flights<K: Ord, V> {
    waiting: RefCell<BTreeMap<K, Vec<Sender<V>>>>,
}

impl<K: Ord + Clone + 'static, V: Clone + 'static> Flights<K, V> {
    /// None under way.
    pub fn new() -> Rc<Flights<K, V>> {
        Rc::new(Flights { waiting: RefCell::default() })
    }

    /// The answer for `key`: of the flight under way, or of `work`, which begins one.
    pub async fn join<F: Future<Output = V> + 'static>(self: &Rc<Self>, key: K, work: impl FnOnce() -> F) -> Option<V> {
        let (sender, mut receiver) = queue(1);
        let is_first = {
            let mut waiting = self.waiting.borrow_mut();
            let others = waiting.get_mut(&key);
            let is_first = others.is_none();
            match others {
                Some(others) => others.push(sender),
                None => drop(waiting.insert(key.clone(), vec![sender])),
            }
            is_first
        };
        if is_first {
            let landing = Landing { flights: Rc::clone(self), key };
            let work = work();
            io::spawn(async move {
                let answer = work.await;
                for waiter in landing.waiters() {
                    // Who went away has no use for it.
                    let _ = waiter.try_send(answer.clone());
                }
            });
        }
        receiver.receive().await
    }
}

/// Frees the key when the flight ends.
struct Landing<K: Ord, V> {
    flights: Rc<Flights<K, V>>,
    key: K,
}

impl<K: Ord, V> Landing<K, V> {
    fn waiters(&self) -> Vec<Sender<V>> {
        self.flights.waiting.borrow_mut().remove(&self.key).unwrap_or_default()
    }
}

impl<K: Ord, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        drop(self.waiters());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::io::sim::{Sim, SimOptions};
    use std::cell::Cell;
    use std::time::Duration;

    #[test]
    fn all_who_ask_at_once_share_one_answer() {
        Sim::new(1, SimOptions::default()).run(async {
            let (flights, flown) = (Flights::new(), Rc::new(Cell::new(0)));
            let work = |flown: Rc<Cell<u32>>| async move {
                io::sleep(Duration::from_secs(1)).await;
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
                io::sleep(Duration::from_secs(2)).await;
                7
            };
            let first = io::timeout(Duration::from_secs(1), flights.join(1, slow)).await;
            assert!(first.is_err());
            assert_eq!(flights.join(1, || async { 8 }).await, Some(7), "the flight of who left");

            let landing = Landing { flights: Rc::clone(&flights), key: 2 };
            let (sender, mut receiver) = queue::<i32>(1);
            flights.waiting.borrow_mut().insert(2, vec![sender]);
            drop(landing);
            assert_eq!(receiver.receive().await, None);
            assert_eq!(flights.join(2, || async { 9 }).await, Some(9));
        });
    }
}
