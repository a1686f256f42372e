//! Core: what a cluster promised, and what it was seen to hold.
//!
//! Every name has one writer that waits for the answer of one operation before it starts the next, and the proxy stamps
//! operations as they come in. So the operations of a name are ordered, and there is no doubt which is newest.
//!
//! # Properties
//!
//! - **Durable**: after the faults, a name holds what its last acknowledged operation left, or what an unacknowledged one after
//!   that left. Never something older, never nothing instead of a body.
//! - **Deleted**: the same with an acknowledged DELETE as the last operation: the body must not come back.
//! - **Intact**: a body that arrived in full was once sent for that name and matches its ETag, at any time.
//!
//! # Allowance
//!
//! There is no replication yet: an acknowledged write may be missing on a minority of its devices. The final reads therefore
//! ask for the newest of all replicas (`X-Newest: true`). Reads during the faults may be stale, as Swift's may.

use std::collections::BTreeMap;
use std::fmt;

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// An acknowledged PUT is readable with the right bytes.
    Durable,
    /// A deleted object stays deleted.
    Deleted,
    /// A body matches its ETag and was once sent.
    Intact,
    /// With all nodes back, requests are answered.
    Available,
    /// No task panics.
    Calm,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub property: Property,
    /// What was seen, and what was expected.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.property, self.what)
    }
}

/// What became of an operation, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The cluster said that it is done.
    Acknowledged,
    /// It was refused, failed or not answered: it may be done or not.
    Unknown,
}

/// What a name holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Nothing.
    Absent,
    /// The body with this number.
    Body(u64),
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    leaves: State,
    outcome: Outcome,
}

/// All operations on all names.
#[derive(Debug, Default)]
pub(super) struct History {
    operations: BTreeMap<String, Vec<Operation>>,
    violations: Vec<Violation>,
    acknowledged: u64,
    answers: BTreeMap<(&'static str, u16), u64>,
}

impl History {
    /// Takes an operation before it starts: until its outcome is known it may do anything. Gives its place.
    pub(super) fn begin(&mut self, name: &str, leaves: State) -> usize {
        let operations = self.operations.entry(name.to_owned()).or_default();
        operations.push(Operation { leaves, outcome: Outcome::Unknown });
        operations.len() - 1
    }

    /// Takes its outcome.
    pub(super) fn end(&mut self, name: &str, place: usize, outcome: Outcome) {
        if let Some(operation) = self.operations.get_mut(name).and_then(|operations| operations.get_mut(place)) {
            operation.outcome = outcome;
            self.acknowledged += u64::from(outcome == Outcome::Acknowledged);
        }
    }

    /// Counts an answer by its status; 0 is none.
    pub(super) fn answered(&mut self, what: &'static str, status: u16) {
        *self.answers.entry((what, status)).or_default() += 1;
    }

    /// How often which request had which answer.
    pub(super) fn answers(&self) -> &BTreeMap<(&'static str, u16), u64> {
        &self.answers
    }

    /// Names with at least one operation.
    pub(super) fn names(&self) -> Vec<String> {
        self.operations.keys().cloned().collect()
    }

    /// How many operations were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// A body that came back whole, at any time. `expected_etag` is the checksum of `body` as sent, if it ever was.
    pub(super) fn saw_body(&mut self, name: &str, body: Option<u64>, etag_matches: bool) {
        let was_sent = body.is_some_and(|body| {
            self.operations
                .get(name)
                .is_some_and(|all| all.iter().any(|operation| operation.leaves == State::Body(body)))
        });
        if !was_sent {
            self.violate(Property::Intact, format!("{name}: a body came back that was never sent for it"));
        } else if !etag_matches {
            self.violate(Property::Intact, format!("{name}: body {body:?} came back under another body's ETag"));
        }
    }

    /// What a name holds after the faults.
    pub(super) fn saw_finally(&mut self, name: &str, seen: State) {
        let (settled, allowed) = self.allowed(name);
        if !allowed.contains(&seen) {
            let property = match settled {
                State::Absent => Property::Deleted,
                State::Body(_) => Property::Durable,
            };
            let history = self.describe(name);
            self.violate(property, format!("{name} holds {seen:?}, allowed are {allowed:?}; its history: {history}"));
        }
    }

    /// Something else went wrong.
    pub(super) fn violate(&mut self, property: Property, what: String) {
        self.violations.push(Violation { property, what });
    }

    /// All that went wrong.
    pub(super) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// What the last acknowledged operation left, and all that the name may hold now.
    fn allowed(&self, name: &str) -> (State, Vec<State>) {
        let mut allowed = Vec::new();
        for operation in self.operations.get(name).into_iter().flatten().rev() {
            allowed.push(operation.leaves);
            if operation.outcome == Outcome::Acknowledged {
                return (operation.leaves, allowed);
            }
        }
        allowed.push(State::Absent);
        (State::Absent, allowed)
    }

    fn describe(&self, name: &str) -> String {
        let one = |operation: &Operation| {
            let doubt = if operation.outcome == Outcome::Acknowledged { "" } else { "?" };
            match operation.leaves {
                State::Absent => format!("delete{doubt}"),
                State::Body(body) => format!("put {body}{doubt}"),
            }
        };
        self.operations.get(name).into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations as (what they leave, whether acknowledged); whether `seen` is fine in the end.
    fn check(operations: &[(State, bool)], seen: State) -> Option<Property> {
        let mut history = History::default();
        for &(leaves, acknowledged) in operations {
            let place = history.begin("c/o", leaves);
            if acknowledged {
                history.end("c/o", place, Outcome::Acknowledged);
            }
        }
        history.saw_finally("c/o", seen);
        history.violations().first().map(|violation| violation.property)
    }

    #[test]
    fn the_last_acknowledged_state_or_a_later_doubtful_one_is_fine() {
        use State::{Absent, Body};
        let operations = [(Body(1), true), (Body(2), false), (Body(3), true), (Absent, false), (Body(4), false)];
        for (seen, expected) in [
            (Body(3), None),
            (Absent, None),
            (Body(4), None),
            (Body(1), Some(Property::Durable)),
            (Body(2), Some(Property::Durable)),
        ] {
            assert_eq!(check(&operations, seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn what_was_deleted_must_not_come_back() {
        use State::{Absent, Body};
        assert_eq!(check(&[(Body(1), true), (Absent, true)], Body(1)), Some(Property::Deleted));
        assert_eq!(check(&[(Body(1), true), (Absent, true)], Absent), None);
        assert_eq!(check(&[(Body(1), true)], Absent), Some(Property::Durable));
        assert_eq!(check(&[(Body(1), false)], Absent), None);
    }

    #[test]
    fn a_body_must_have_been_sent_and_match_its_etag() {
        for (body, matches, fine) in
            [(Some(1), true, true), (Some(1), false, false), (Some(2), true, false), (None, true, false)]
        {
            let mut history = History::default();
            history.begin("c/o", State::Body(1));
            history.saw_body("c/o", body, matches);
            assert_eq!(history.violations().is_empty(), fine);
        }
    }
}
