//! Core: which step may follow which, for both sides of an exchange, in one table.
//!
//! Each end of a connection keeps an [`Exchange`] and tells it every step it takes or sees. A step the table does not list is
//! refused, by us before it is sent, from the peer as a protocol error.

use Role::{Client, Server};
use State::{Body, Closed, Done, Failed, Idle};
use Step::{Close, Data, End, Fail, Head, Informational};

/// Whose step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends requests.
    Client,
    /// Sends responses.
    Server,
}

/// How far one side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing of its message was sent.
    Idle,
    /// Its head was sent.
    Body,
    /// Its message is complete.
    Done,
    /// It sends no more.
    Closed,
    /// It broke the rules, or its connection broke.
    Failed,
}

/// What a side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A 1xx head.
    Informational,
    /// A request's head, or a final response's.
    Head,
    /// Bytes of the body.
    Data,
    /// The end of the message.
    End,
    /// The end of its sending direction.
    Close,
    /// Anything that leaves its message unfinished.
    Fail,
}

/// Every legal step: who, where from, what, where to. `Fail` is legal everywhere and not listed.
const TABLE: [(Role, State, Step, State); 13] = [
    (Client, Idle, Head, Body),
    (Client, Body, Data, Body),
    (Client, Body, End, Done),
    (Client, Idle, Close, Closed),
    (Client, Done, Close, Closed),
    (Server, Idle, Informational, Idle),
    // Also before a request was understood: the answer to bytes that are none.
    (Server, Idle, Head, Body),
    (Server, Body, Data, Body),
    (Server, Body, End, Done),
    (Server, Idle, Close, Closed),
    (Server, Done, Close, Closed),
    // A body that ends with the connection.
    (Server, Body, Close, Closed),
    (Client, Failed, Close, Closed),
];

/// A step that the table does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// Who took it.
    pub role: Role,
    /// Where it stood.
    pub from: State,
    /// What it tried.
    pub step: Step,
}

impl From<Illegal> for std::io::Error {
    fn from(illegal: Illegal) -> Self {
        let Illegal { role, from, step } = illegal;
        Self::new(std::io::ErrorKind::InvalidInput, format!("HTTP {role:?} in state {from:?} cannot do {step:?}"))
    }
}

/// One request and its response, seen from either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    client: State,
    server: State,
    keep_alive: bool,
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

impl Exchange {
    /// Before the request.
    pub const fn new() -> Self {
        Self { client: Idle, server: Idle, keep_alive: true }
    }

    /// Where a side stands.
    pub fn state(&self, role: Role) -> State {
        match role {
            Client => self.client,
            Server => self.server,
        }
    }

    /// Whether both messages are complete and both sides want another exchange.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && self.client == Done && self.server == Done
    }

    /// One side said that this exchange is the last.
    pub fn last(&mut self) {
        self.keep_alive = false;
    }

    /// Takes a step, or says that it is none.
    pub fn advance(&mut self, role: Role, step: Step) -> Result<(), Illegal> {
        let from = self.state(role);
        let to = match step {
            Fail => Some(Failed),
            // Only a request can be answered with 1xx.
            Informational if self.client == Idle => None,
            _ => TABLE
                .iter()
                .find(|(who, state, what, _)| (*who, *state, *what) == (role, from, step))
                .map(|(_, _, _, to)| *to),
        };
        let to = to.ok_or(Illegal { role, from, step })?;
        match role {
            Client => self.client = to,
            Server => self.server = to,
        }
        if matches!(to, Closed | Failed) {
            self.keep_alive = false;
        }
        Ok(())
    }

    /// The next exchange on the same connection; false when there is none.
    pub fn start_next(&mut self) -> bool {
        let reusable = self.is_reusable();
        if reusable {
            *self = Self::new();
        }
        reusable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 6] = [Informational, Head, Data, End, Close, Fail];

    fn walk(steps: &[(Role, Step)]) -> Result<Exchange, Illegal> {
        let mut exchange = Exchange::new();
        steps.iter().try_for_each(|&(role, step)| exchange.advance(role, step)).map(|()| exchange)
    }

    #[test]
    fn a_whole_exchange_leaves_the_connection_reusable() {
        let mut exchange = walk(&[
            (Client, Head),
            (Server, Informational),
            (Client, Data),
            (Client, End),
            (Server, Head),
            (Server, Data),
            (Server, End),
        ])
        .unwrap();
        assert!(exchange.is_reusable());
        assert!(exchange.start_next());
        assert_eq!(exchange, Exchange::new());
        assert!(!exchange.start_next());
    }

    #[test]
    fn an_early_answer_is_legal_and_reusable_only_when_the_request_is_complete() {
        let mut exchange = walk(&[(Client, Head), (Server, Head), (Server, End)]).unwrap();
        assert!(!exchange.is_reusable());
        exchange.advance(Client, End).unwrap();
        assert!(exchange.is_reusable());
    }

    #[test]
    fn a_last_exchange_is_not_followed_by_another() {
        let mut exchange = walk(&[(Client, Head), (Client, End), (Server, Head), (Server, End)]).unwrap();
        exchange.last();
        assert!(!exchange.start_next());
    }

    #[test]
    fn illegal_steps_are_refused() {
        for steps in [
            &[(Client, Data)][..],
            &[(Client, End)],
            &[(Client, Informational)],
            &[(Server, Informational)],
            &[(Server, Data)],
            &[(Client, Head), (Client, Head)],
            &[(Client, Head), (Client, Close)],
            &[(Client, Head), (Client, End), (Client, Data)],
            &[(Client, Head), (Server, Head), (Server, Informational)],
            &[(Client, Head), (Server, Head), (Server, End), (Server, Head)],
        ] {
            assert!(walk(steps).is_err(), "{steps:?}");
        }
    }

    #[test]
    fn no_sequence_of_five_steps_makes_an_unfinished_exchange_reusable() {
        let all: Vec<(Role, Step)> = [Client, Server].iter().flat_map(|role| STEPS.map(|step| (*role, step))).collect();
        let mut sequences: Vec<Vec<(Role, Step)>> = vec![Vec::new()];
        for _ in 0..5 {
            sequences = sequences
                .iter()
                .flat_map(|sequence| all.iter().map(move |step| [sequence.as_slice(), &[*step]].concat()))
                .filter(|sequence| walk(sequence).is_ok())
                .collect();
            for sequence in &sequences {
                let complete = [Client, Server].iter().all(|role| {
                    sequence.contains(&(*role, End))
                        && !sequence.contains(&(*role, Fail))
                        && !sequence.contains(&(*role, Close))
                });
                assert_eq!(walk(sequence).unwrap().is_reusable(), complete, "{sequence:?}");
            }
        }
    }
}
