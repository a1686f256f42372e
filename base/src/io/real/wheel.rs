//! Core: the timers of one core, by the tick at which they are due. No I/O, no clock, no async.
//!
//! Two rings of slots: the near one has a slot a tick, the far one a slot for as many ticks as the near one has. What is far moves to the
//! near ring when its slot begins, what is farther than both stays in the last slot and is looked at again there. Nearly all timers are
//! deadlines that are given up: both arming and giving up are a few writes to lists that are linked by numbers.
//!
//! # Invariants
//!
//! - No timer is due before its tick, and `next` is never later than the first tick that is due.
//! - A waker is handed out, never dropped here: it may be the last hold on a task, whose end disarms other timers.

use std::task::Waker;

/// Of each ring.
const SLOTS: u64 = 1024;
const WORDS: usize = SLOTS as usize / 64;
const NONE: u32 = u32::MAX;

/// A timer that was armed and not disarmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

/// The timers.
pub(super) struct Wheel {
    /// Everything up to this tick has been handed out.
    now: u64,
    timers: Vec<Timer>,
    /// Begins the list of timers that are not in use.
    free: u32,
    near: Ring,
    far: Ring,
}

struct Timer {
    due: u64,
    waker: Option<Waker>,
    /// Where it is: whether in the far ring, and the slot. `None`: handed out, or not in use.
    place: Option<(bool, u64)>,
    before: u32,
    behind: u32,
}

/// Lists of timers, and a bit for each that is not empty.
struct Ring {
    heads: Vec<u32>,
    bits: [u64; WORDS],
}

impl Wheel {
    pub(super) fn new() -> Wheel {
        Wheel { now: 0, timers: Vec::new(), free: NONE, near: Ring::new(), far: Ring::new() }
    }

    /// Wakes `waker` when `advance` comes to `due`.
    pub(super) fn arm(&mut self, due: u64, waker: Waker) -> Key {
        let timer = Timer { due, waker: Some(waker), place: None, before: NONE, behind: NONE };
        let number = match self.free {
            NONE => {
                self.timers.push(timer);
                u32::try_from(self.timers.len() - 1).expect("fewer timers than memory could hold")
            }
            number => {
                self.free = std::mem::replace(self.timer(number), timer).behind;
                number
            }
        };
        self.link(number);
        Key(number)
    }

    /// Whether it was handed out; else `waker` is woken instead of the one before, which is given back.
    pub(super) fn look(&mut self, Key(number): Key, waker: &Waker) -> (bool, Option<Waker>) {
        let timer = self.timer(number);
        if timer.place.is_none() {
            return (true, None);
        }
        let is_same = timer.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        (false, if is_same { None } else { timer.waker.replace(waker.clone()) })
    }

    /// Ends a timer, handed out or not.
    #[must_use]
    pub(super) fn disarm(&mut self, Key(number): Key) -> Option<Waker> {
        self.unlink(number);
        let free = std::mem::replace(&mut self.free, number);
        let timer = self.timer(number);
        timer.behind = free;
        timer.waker.take()
    }

    /// Hands out what is due at the tick `now` or before.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<Waker>) {
        if now <= self.now {
            return;
        }
        let before = std::mem::replace(&mut self.now, now);
        for tick in before + 1..=now.min(before + SLOTS) {
            self.hand_out(false, tick % SLOTS, due);
        }
        for turn in before / SLOTS + 1..=(now / SLOTS).min(before / SLOTS + SLOTS) {
            self.hand_out(true, turn % SLOTS, due);
        }
    }

    /// The tick at which `advance` has something to do, if it has.
    pub(super) fn next(&self) -> Option<u64> {
        let near = self.near.first_from(self.now + 1);
        let far = self.far.first_from(self.now / SLOTS + 1).map(|turn| turn * SLOTS);
        [near, far].into_iter().flatten().min()
    }

    /// Timers that were armed and not disarmed.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        let unused = std::iter::successors(Some(self.free), |number| Some(self.timers.get(*number as usize)?.behind));
        self.timers.len() - unused.take_while(|number| *number != NONE).count()
    }

    /// Hands out all of them, whenever they are due.
    pub(super) fn clear(&mut self, due: &mut Vec<Waker>) {
        for number in 0..self.timers.len() {
            let number = u32::try_from(number).expect("as in `arm`");
            self.unlink(number);
            due.extend(self.timer(number).waker.take());
        }
    }

    /// Takes the timers of a slot out; those that are not due are put where they belong now.
    fn hand_out(&mut self, is_far: bool, slot: u64, due: &mut Vec<Waker>) {
        let mut number = self.ring(is_far).take(slot);
        // Ends: the list is finite, and was taken out.
        while number != NONE {
            let now = self.now;
            let timer = self.timer(number);
            let behind = timer.behind;
            if timer.due <= now {
                timer.place = None;
                due.extend(timer.waker.take());
            } else {
                self.link(number);
            }
            number = behind;
        }
    }

    fn link(&mut self, number: u32) {
        let now = self.now;
        let due = self.timer(number).due.max(now + 1);
        let is_far = due - now >= SLOTS;
        let slot = if is_far { (due / SLOTS).min(now / SLOTS + SLOTS - 1) % SLOTS } else { due % SLOTS };
        let behind = self.ring(is_far).put(slot, number);
        let timer = self.timer(number);
        (timer.place, timer.before, timer.behind) = (Some((is_far, slot)), NONE, behind);
        if behind != NONE {
            self.timer(behind).before = number;
        }
    }

    fn unlink(&mut self, number: u32) {
        let timer = self.timer(number);
        let Some((is_far, slot)) = timer.place.take() else { return };
        let (before, behind) = (timer.before, timer.behind);
        if behind != NONE {
            self.timer(behind).before = before;
        }
        if before == NONE {
            self.ring(is_far).begin(slot, behind);
        } else {
            self.timer(before).behind = behind;
        }
    }

    fn timer(&mut self, number: u32) -> &mut Timer {
        self.timers.get_mut(number as usize).expect("numbers are of timers")
    }

    fn ring(&mut self, is_far: bool) -> &mut Ring {
        if is_far { &mut self.far } else { &mut self.near }
    }
}

impl Ring {
    fn new() -> Ring {
        Ring { heads: vec![NONE; WORDS * 64], bits: [0; WORDS] }
    }

    /// Lets a slot's list begin with `head`; gives what it began with.
    fn put(&mut self, slot: u64, head: u32) -> u32 {
        let before = self.head(slot);
        self.begin(slot, head);
        before
    }

    fn take(&mut self, slot: u64) -> u32 {
        match self.head(slot) {
            NONE => NONE,
            _ => self.put(slot, NONE),
        }
    }

    fn begin(&mut self, slot: u64, head: u32) {
        if let Some(known) = self.heads.get_mut(slot as usize) {
            *known = head;
        }
        if let Some(word) = self.bits.get_mut(slot as usize / 64) {
            let bit = 1 << (slot % 64);
            *word = if head == NONE { *word & !bit } else { *word | bit };
        }
    }

    fn head(&self, slot: u64) -> u32 {
        self.heads.get(slot as usize).copied().unwrap_or(NONE)
    }

    /// The first of the `SLOTS` numbers from `first` on whose slot is not empty.
    fn first_from(&self, first: u64) -> Option<u64> {
        let start = first % SLOTS;
        // The word of the start comes twice: its upper bits first, its lower ones last.
        (0..=WORDS).find_map(|turn| {
            let place = (start as usize / 64 + turn) % WORDS;
            let upper = u64::MAX << (start % 64);
            let mask = if turn == 0 {
                upper
            } else if turn == WORDS {
                !upper
            } else {
                u64::MAX
            };
            let word = self.bits.get(place)? & mask;
            let slot = place as u64 * 64 + u64::from(word.trailing_zeros());
            (word != 0).then(|| first + (slot + SLOTS - start) % SLOTS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::Wake;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The wheel beside a plain map, with the same seed for ever.
    #[test]
    fn timers_are_due_at_their_tick_and_those_given_up_never() {
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut wheel, mut now, mut woken_of_all) = (Wheel::new(), 0, 0);
        let mut armed: BTreeMap<u32, (Key, u64, Arc<Count>)> = BTreeMap::new();
        for step in 0..60_000 {
            match next(8) {
                0..4 => {
                    let spans = [1, 3, 60, 1_000, 1_024, 1_025, 5_000, 300_000, 3_000_000];
                    let span = spans[next(spans.len() as u64) as usize];
                    let due = now + next(span + 1);
                    let count = Arc::new(Count::default());
                    let key = wheel.arm(due, count.clone().into());
                    assert!(armed.insert(key.0, (key, due, count)).is_none(), "a key that is in use");
                }
                4..6 => {
                    let place = next(armed.len() as u64 + 1) as usize;
                    if let Some(number) = armed.keys().nth(place).copied() {
                        let (key, _, count) = armed.remove(&number).unwrap();
                        drop(wheel.disarm(key));
                        assert_eq!(Arc::strong_count(&count), 1, "the wheel holds nothing of it");
                    }
                }
                _ => {
                    let spans = [2, 50, 1_500, 200_000, 2_000_000];
                    let span = spans[if step % 50 == 0 { next(5) as usize } else { next(3) as usize }];
                    now += next(span);
                    let mut due = Vec::new();
                    wheel.advance(now, &mut due);
                    due.into_iter().for_each(Waker::wake);
                    armed.retain(|_, (key, at, count)| {
                        let woken = count.0.load(Ordering::Relaxed);
                        // Already past when it was armed: the next tick at the latest.
                        assert_eq!(woken > 0, wheel.timers[key.0 as usize].place.is_none(), "at {at}");
                        assert!(woken == 0 || *at <= now, "{at} is due at {now}");
                        assert!(woken > 0 || *at >= now, "{at} was missed at {now}");
                        woken_of_all += woken;
                        if woken > 0 {
                            assert_eq!(wheel.disarm(*key).map(drop), None);
                        }
                        woken == 0
                    });
                    let first = armed.values().map(|(_, at, _)| (*at).max(now + 1)).min();
                    assert!(wheel.next().is_some() == first.is_some() && wheel.next() <= first, "{first:?}");
                }
            }
        }
        assert!(woken_of_all > 5_000, "{woken_of_all}");
    }

    #[test]
    fn looking_again_replaces_the_waker_and_clearing_hands_all_out() {
        let mut wheel = Wheel::new();
        let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
        let waker = |number: usize| Waker::from(Arc::clone(&counts[number]));
        let key = wheel.arm(5, waker(0));
        assert!(matches!(wheel.look(key, &waker(1)), (false, Some(_))));
        wheel.arm(1 << 40, waker(2));
        let mut due = Vec::new();
        wheel.advance(5, &mut due);
        wheel.clear(&mut due);
        due.into_iter().for_each(Waker::wake);
        assert!(wheel.look(key, &waker(1)).0);
        assert_eq!(counts.iter().map(|count| count.0.load(Ordering::Relaxed)).collect::<Vec<_>>(), [0, 1, 1]);
        assert_eq!(wheel.next(), None);
    }
}
