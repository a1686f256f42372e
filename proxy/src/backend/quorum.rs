//! Core: what the answers of several nodes to one request amount to. No I/O, no clock, no async.
//!
//! # Invariants
//!
//! - The answer to the client is one that at least `quorum_size(nodes)` nodes agree on by class (2xx before 3xx before 4xx);
//!   otherwise 503.
//! - A node that gave no answer counts as 503.
//! - Once successes reach the quorum, later answers cannot take that back.

/// Nodes that must agree: Swift's `quorum_size`, half of them rounded up.
pub fn quorum_size(nodes: usize) -> usize {
    nodes.div_ceil(2)
}

/// Container updates to spread over the object requests so that every quorum of objects reaches a quorum of containers.
pub fn container_updates(containers: usize, objects: usize) -> usize {
    containers.max(quorum_size(containers) + objects.saturating_sub(quorum_size(objects)))
}

/// What is known of the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Answers still matter.
    Open,
    /// Some class has its quorum; the rest may still finish within the grace time.
    Decided,
    /// Every node has answered.
    Complete,
}

/// What to tell the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// The answer with this index (order of arrival) speaks for all.
    Answer(usize),
    /// No class agreed until some statuses were read as others (DELETE: 404 as 204); this status.
    Status(u16),
    /// No agreement: 503.
    Unavailable,
}

/// Statuses of the nodes asked, in order of arrival.
#[derive(Clone, Debug)]
pub struct Quorum {
    nodes: usize,
    statuses: Vec<u16>,
}

impl Quorum {
    /// For a request sent to `nodes` nodes.
    pub fn new(nodes: usize) -> Self {
        Self { nodes, statuses: Vec::with_capacity(nodes) }
    }

    /// Takes one node's status; a node without an answer gives 503.
    pub fn answer(&mut self, status: u16) -> Progress {
        debug_assert!(self.statuses.len() < self.nodes, "more answers than nodes");
        self.statuses.push(status);
        self.progress()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        if self.statuses.len() >= self.nodes {
            Progress::Complete
        } else if CLASSES.iter().any(|&class| count(&self.statuses, class) >= quorum_size(self.nodes)) {
            Progress::Decided
        } else {
            Progress::Open
        }
    }

    /// The outcome of what has arrived; missing answers count as 503. `read_as` lists `(status, read as)` for a second look
    /// when no class agrees.
    pub fn best(&self, read_as: &[(u16, u16)]) -> Best {
        if let Some(index) = speaker(&self.statuses, quorum_size(self.nodes)) {
            return Best::Answer(index);
        }
        let translate = |status: u16| read_as.iter().find(|(from, _)| *from == status).map_or(status, |(_, to)| *to);
        let translated: Vec<u16> = self.statuses.iter().map(|&status| translate(status)).collect();
        match speaker(&translated, quorum_size(self.nodes)) {
            Some(index) if translated.get(index) == self.statuses.get(index) => Best::Answer(index),
            Some(index) => translated.get(index).map_or(Best::Unavailable, |&status| Best::Status(status)),
            None => Best::Unavailable,
        }
    }
}

const CLASSES: [u16; 4] = [1, 2, 3, 4];

fn count(statuses: &[u16], class: u16) -> usize {
    statuses.iter().filter(|&&status| status / 100 == class).count()
}

/// The largest status of the first class that has `needed` members.
fn speaker(statuses: &[u16], needed: usize) -> Option<usize> {
    let class = CLASSES.into_iter().find(|&class| needed > 0 && count(statuses, class) >= needed)?;
    let of_class = statuses.iter().enumerate().filter(|(_, status)| **status / 100 == class);
    // The first of equals, so that the outcome does not depend on who came last.
    of_class.rev().max_by_key(|(_, status)| **status).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: [u16; 7] = [201, 202, 304, 404, 409, 503, 507];

    /// Calls `check` with every sequence of `length` answers.
    fn every_sequence(length: usize, check: &mut impl FnMut(&[u16])) {
        fn extend(prefix: &mut Vec<u16>, length: usize, check: &mut impl FnMut(&[u16])) {
            if prefix.len() == length {
                return check(prefix);
            }
            for status in ANSWERS {
                prefix.push(status);
                extend(prefix, length, check);
                prefix.pop();
            }
        }
        extend(&mut Vec::new(), length, check);
    }

    fn status_of(statuses: &[u16], best: Best) -> u16 {
        match best {
            Best::Answer(index) => statuses[index],
            Best::Status(status) => status,
            Best::Unavailable => 503,
        }
    }

    fn after(nodes: usize, statuses: &[u16]) -> Quorum {
        let mut quorum = Quorum::new(nodes);
        for &status in statuses {
            quorum.answer(status);
        }
        quorum
    }

    #[test]
    fn sizes_are_swifts() {
        assert_eq!([1, 2, 3, 4, 5, 6].map(quorum_size), [1, 1, 2, 2, 3, 3]);
        assert_eq!(container_updates(3, 3), 3);
        assert_eq!(container_updates(3, 1), 3);
        assert_eq!(container_updates(1, 3), 2);
    }

    #[test]
    fn a_success_needs_a_quorum_of_successes_in_every_sequence() {
        for nodes in 1..=5 {
            every_sequence(nodes, &mut |statuses| {
                let status = status_of(statuses, after(nodes, statuses).best(&[]));
                assert_eq!(status / 100 == 2, count(statuses, 2) >= quorum_size(nodes), "{statuses:?}");
                assert!(status == 503 || count(statuses, status / 100) >= quorum_size(nodes), "{statuses:?}");
                assert!(status == 503 || statuses.contains(&status));
            });
        }
    }

    #[test]
    fn an_acknowledged_success_stays_one_whatever_comes_later() {
        for nodes in 1..=4 {
            every_sequence(nodes, &mut |statuses| {
                for known in 1..nodes {
                    let early = after(nodes, &statuses[..known]);
                    let said = status_of(statuses, early.best(&[]));
                    let later = status_of(statuses, after(nodes, statuses).best(&[]));
                    if said / 100 == 2 {
                        assert_eq!(later / 100, 2, "{statuses:?}");
                        assert_eq!(early.progress(), Progress::Decided);
                    }
                }
            });
        }
    }

    #[test]
    fn with_odd_replicas_a_decision_of_any_class_stays() {
        for nodes in [1, 3, 5] {
            every_sequence(nodes, &mut |statuses| {
                for known in 1..nodes {
                    let early = after(nodes, &statuses[..known]);
                    if early.progress() == Progress::Decided {
                        let (said, later) = (early.best(&[]), after(nodes, statuses).best(&[]));
                        assert_eq!(status_of(statuses, said) / 100, status_of(statuses, later) / 100, "{statuses:?}");
                    }
                }
            });
        }
    }

    #[test]
    fn a_missing_object_counts_as_deleted_only_beside_a_deletion() {
        let check = |statuses: &[u16], expected: u16| {
            let best = after(3, statuses).best(&[(404, 204)]);
            assert_eq!(status_of(statuses, best), expected, "{statuses:?}");
        };
        check(&[204, 404, 503], 204);
        check(&[404, 404, 204], 404);
        check(&[404, 204, 204], 204);
        check(&[404, 503, 503], 503);
        check(&[409, 404, 503], 409);
        check(&[204, 409, 503], 503);
    }

    #[test]
    fn the_largest_status_of_the_class_speaks() {
        assert_eq!(after(3, &[201, 202, 201]).best(&[]), Best::Answer(1));
        assert_eq!(after(3, &[404, 409, 404]).best(&[]), Best::Answer(1));
        assert_eq!(after(3, &[201, 201, 503]).best(&[]), Best::Answer(0));
    }
}
