//! Core: the connections of one core to one server: so many and never more, and who waits for one.
//!
//! Who wants a connection asks; a slot is granted (with an idle connection in it, or empty: then he connects), or he waits. Who is
//! done gives the slot back, with the connection if it is still good. A slot that comes back goes to who waited longest, before
//! anybody who asks later.
//!
//! # Invariants
//!
//! - Slots taken and idle connections together are never more than `slice`: every connection lives in a slot.
//! - A slot is granted once, and comes back once: [`Grant`] is neither cloned nor made elsewhere.
//! - Nobody waits while a slot is free; who waits longest is next.
//! - At most [`WAITERS_MAX`] wait.

use slab::Slab;
use std::collections::VecDeque;

/// Who may wait for one server on one core: past it, one goes on without memcached at once.
pub const WAITERS_MAX: usize = 1024;

/// One core's slots of one server.
#[derive(Debug)]
pub struct Slots<C> {
    slice: usize,
    /// One entry per slot in use: `None` while somebody has it, else an idle connection.
    slots: Slab<Option<C>>,
    /// Idle ones, the one used last at the end.
    idle: Vec<usize>,
    waiting: VecDeque<Ticket>,
    /// Granted to who waits, and not yet fetched.
    granted: Vec<(Ticket, Grant<C>)>,
    tickets: u64,
    most: usize,
}

/// A slot of one's own, until it is given back.
#[derive(Debug)]
pub struct Grant<C> {
    key: usize,
    /// The idle connection that was in it.
    pub connection: Option<C>,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What comes of asking.
#[derive(Debug)]
pub enum Asked<C> {
    /// A slot.
    Granted(Grant<C>),
    /// A place in the queue: ask [`Slots::fetch`] when woken.
    Wait(Ticket),
    /// Too many wait, or there is no slot at all.
    Refused,
}

impl<C> Slots<C> {
    /// None in use yet.
    pub fn new(slice: usize) -> Slots<C> {
        Slots {
            slice,
            slots: Slab::new(),
            idle: Vec::new(),
            waiting: VecDeque::new(),
            granted: Vec::new(),
            tickets: 0,
            most: 0,
        }
    }

    /// How many there are.
    pub fn slice(&self) -> usize {
        self.slice
    }

    /// Slots in use: connections there are or are being made.
    pub fn in_use(&self) -> usize {
        self.slots.len()
    }

    /// The most that were ever in use.
    pub fn most_in_use(&self) -> usize {
        self.most
    }

    /// Who waits, those included whose slot is ready.
    pub fn waiters(&self) -> usize {
        self.waiting.len() + self.granted.len()
    }

    /// Asks for a slot.
    pub fn ask(&mut self) -> Asked<C> {
        if self.slice == 0 {
            return Asked::Refused;
        }
        // Nobody waits while a slot is free, so a free one is for who asks now.
        if let Some(grant) = self.grant() {
            return Asked::Granted(grant);
        }
        if self.waiters() >= WAITERS_MAX {
            return Asked::Refused;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.push_back(ticket);
        Asked::Wait(ticket)
    }

    /// The slot of who waited, once.
    pub fn fetch(&mut self, ticket: Ticket) -> Option<Grant<C>> {
        let place = self.granted.iter().position(|(owner, _)| *owner == ticket)?;
        Some(self.granted.swap_remove(place).1)
    }

    /// Leaves the queue; a slot that was ready goes on to the next, who is to be woken.
    pub fn leave(&mut self, ticket: Ticket) -> Option<Ticket> {
        if let Some(grant) = self.fetch(ticket) {
            let connection = grant.connection;
            return self.pass_on(grant.key, connection);
        }
        self.waiting.retain(|other| *other != ticket);
        None
    }

    /// A slot comes back, with a connection that is good for another exchange or without. The one to wake, if somebody waits.
    pub fn give_back(&mut self, grant: Grant<C>) -> Option<Ticket> {
        self.pass_on(grant.key, grant.connection)
    }

    /// Takes the idle connections out, to be closed: their server is not what it was.
    pub fn take_idle(&mut self) -> Vec<C> {
        let idle = std::mem::take(&mut self.idle);
        idle.into_iter().filter_map(|key| self.slots.try_remove(key).flatten()).collect()
    }

    fn pass_on(&mut self, key: usize, connection: Option<C>) -> Option<Ticket> {
        if let Some(next) = self.waiting.pop_front() {
            self.granted.push((next, Grant { key, connection }));
            return Some(next);
        }
        match (connection, self.slots.get_mut(key)) {
            (Some(connection), Some(slot)) => {
                *slot = Some(connection);
                self.idle.push(key);
            }
            _ => {
                self.slots.try_remove(key);
            }
        }
        None
    }

    fn grant(&mut self) -> Option<Grant<C>> {
        if let Some(key) = self.idle.pop() {
            return Some(Grant { key, connection: self.slots.get_mut(key).and_then(Option::take) });
        }
        if self.slots.len() >= self.slice {
            return None;
        }
        let key = self.slots.insert(None);
        self.most = self.most.max(self.slots.len());
        Some(Grant { key, connection: None })
    }
}

/// The slice of core `core` of `cores`, from a total per server. What does not divide goes to the first cores.
pub fn slice(total: usize, cores: usize, core: usize) -> usize {
    let cores = cores.max(1);
    total / cores + usize::from(core < total % cores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slices_add_up_to_the_total() {
        for total in 0..40 {
            for cores in 1..12 {
                let slices: Vec<usize> = (0..cores).map(|core| slice(total, cores, core)).collect();
                assert_eq!(slices.iter().sum::<usize>(), total);
                assert!(slices.iter().max().unwrap() - slices.iter().min().unwrap() <= 1);
                assert_eq!(slices.iter().filter(|slice| **slice == 0).count(), cores.saturating_sub(total));
            }
        }
    }

    #[test]
    fn who_waits_longest_is_next_and_who_leaves_passes_the_slot_on() {
        let mut slots = Slots::<u8>::new(1);
        let Asked::Granted(first) = slots.ask() else { panic!("a free slot") };
        let tickets: Vec<Ticket> = (0..3)
            .map(|_| match slots.ask() {
                Asked::Wait(ticket) => ticket,
                other => panic!("{other:?}"),
            })
            .collect();
        slots.leave(tickets[1]);
        assert_eq!(slots.give_back(Grant { connection: Some(7), ..first }), Some(tickets[0]));
        // He was woken, and goes away before he fetches it.
        assert_eq!(slots.leave(tickets[0]), Some(tickets[2]));
        let last = slots.fetch(tickets[2]).unwrap();
        assert_eq!((last.connection, slots.in_use(), slots.waiters()), (Some(7), 1, 0));
        assert_eq!(slots.give_back(Grant { connection: None, ..last }), None);
        assert_eq!(slots.in_use(), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_the_slice_and_nobody_waits_while_a_slot_is_free(
            size in 0_usize..4,
            steps in proptest::collection::vec((0_u8..5, any::<prop::sample::Index>(), any::<bool>()), 0..200),
        ) {
            let mut slots = Slots::<u32>::new(size);
            let (mut held, mut queue) = (Vec::new(), Vec::new());
            let mut made = 0;
            for (step, which, good) in steps {
                match step {
                    0 | 1 => match slots.ask() {
                        Asked::Granted(grant) => held.push(grant),
                        Asked::Wait(ticket) => queue.push(ticket),
                        Asked::Refused => prop_assert_eq!(size, 0),
                    },
                    2 if !held.is_empty() => {
                        let mut grant = held.swap_remove(which.index(held.len()));
                        made += 1;
                        grant.connection = good.then_some(made);
                        let waited = queue.first().copied();
                        prop_assert_eq!(slots.give_back(grant), waited);
                        if waited.is_some() {
                            held.push(slots.fetch(queue.remove(0)).unwrap());
                        }
                    }
                    3 if !queue.is_empty() => {
                        prop_assert_eq!(slots.leave(queue.remove(which.index(queue.len()))), None);
                    }
                    4 => drop(slots.take_idle()),
                    _ => {}
                }
                prop_assert!(slots.in_use() <= size);
                prop_assert!(slots.in_use() >= held.len());
                prop_assert!(queue.is_empty() || held.len() == size);
            }
        }
    }
}
