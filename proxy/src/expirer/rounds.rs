//! Core: tasks in the order to do them: their containers take turns, so that one with many does not have all of a cluster's pace on
//! the few nodes that hold it.
//!
//! # Invariants
//!
//! - Every task comes out once; those of one container in the order they came in.
//! - Between two tasks of a container every other one that has tasks gets its turn.
//! - Nothing is put in while `is_full`: so many tasks and so many bytes of names are held, and one task more.

use super::task::Task;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Names held at a time. Swift's hundred thousand tasks have some 8 MB of them, usually; at most they could have 150.
const NAME_BYTES_MAX: usize = 16 << 20;

/// See the module.
pub(super) struct Rounds {
    /// By the container of the object.
    queues: BTreeMap<String, VecDeque<Task>>,
    /// Whose turn it was.
    last: String,
    tasks: usize,
    name_bytes: usize,
    tasks_max: usize,
}

impl Rounds {
    pub(super) fn new(tasks_max: usize) -> Rounds {
        Rounds { queues: BTreeMap::new(), last: String::new(), tasks: 0, name_bytes: 0, tasks_max }
    }

    pub(super) fn is_full(&self) -> bool {
        self.tasks >= self.tasks_max || self.name_bytes >= NAME_BYTES_MAX
    }

    pub(super) fn push(&mut self, task: Task) {
        self.tasks += 1;
        self.name_bytes += task.row.len();
        match self.queues.get_mut(task.turn()) {
            Some(queue) => queue.push_back(task),
            None => {
                let turn = task.turn().to_owned();
                self.queues.insert(turn, VecDeque::from([task]));
            }
        }
    }

    /// The first task of the next container.
    pub(super) fn next(&mut self) -> Option<Task> {
        let behind = (Bound::Excluded(self.last.as_str()), Bound::Unbounded);
        let turn = self.queues.range::<str, _>(behind).next().or_else(|| self.queues.first_key_value());
        self.last = turn?.0.clone();
        let queue = self.queues.get_mut(&self.last)?;
        let task = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&self.last);
        }
        let task = task?;
        self.tasks = self.tasks.saturating_sub(1);
        self.name_bytes = self.name_bytes.saturating_sub(task.row.len());
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::timestamp::Timestamp;

    fn task(target: &str) -> Task {
        Task { container: "0".into(), row: format!("1-{target}"), time: Timestamp::ZERO, is_async: false }
    }

    fn all(rounds: &mut Rounds) -> Vec<String> {
        std::iter::from_fn(|| rounds.next()).map(|task| task.row).collect()
    }

    #[test]
    fn containers_take_turns_and_keep_their_own_order() {
        let mut rounds = Rounds::new(100);
        for target in ["a/c/3", "a/c/1", "a/c/2", "a/d/1", "b/c/1", "b/c/0"] {
            rounds.push(task(target));
        }
        assert_eq!(all(&mut rounds), ["1-a/c/3", "1-a/d/1", "1-b/c/1", "1-a/c/1", "1-b/c/0", "1-a/c/2"]);
        assert!(rounds.next().is_none());
    }

    #[test]
    fn it_is_full_of_tasks_or_of_names() {
        let mut rounds = Rounds::new(2);
        rounds.push(task("a/c/1"));
        assert!(!rounds.is_full());
        rounds.push(task("a/c/2"));
        assert!(rounds.is_full());
        all(&mut rounds);
        assert!(!rounds.is_full());
        let mut rounds = Rounds::new(usize::MAX);
        let long = "n".repeat(1024);
        let pushed =
            std::iter::from_fn(|| (!rounds.is_full()).then(|| rounds.push(task(&format!("a/c/{long}"))))).count();
        assert_eq!(pushed, NAME_BYTES_MAX.div_ceil(long.len() + 6));
    }
}
