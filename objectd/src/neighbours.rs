//! Driver: rows for devices that other cores of this process own. They go by letter, not over a socket; what waits for the same device while a
//! letter is under way goes with the next.
//!
//! # Invariants
//!
//! - A device is used by the core that owns it alone: that core looks whether it may be used, and merges.
//! - Every letter has a deadline. What came of rows without an answer is unknown: they are sent again later.

use crate::batches::Batches;
use crate::container::{Row, Taken};
use crate::node::Node;
use base::io;
use base::io::post::{Inbox, Letter, Post};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Devices of other cores that rows are under way to.
const GOALS_MAX: usize = 1024;

/// Rows for a device of the core that is asked.
pub struct Question {
    device: String,
    rows: Vec<Row>,
}

/// What became of each.
pub struct Reply(Vec<Taken>);

/// The letter boxes of a node.
pub type Letters = Post<Question, Reply>;

/// What one core knows of the others.
pub(crate) struct Neighbours {
    letters: Letters,
    deadline: Duration,
    goals: RefCell<BTreeMap<(usize, String), Rc<Goal>>>,
}

/// What is under way to one device.
type Goal = Batches<Row, Taken>;

impl Neighbours {
    /// `deadline` is that of one letter.
    pub(crate) fn new(letters: Letters, deadline: Duration) -> Rc<Neighbours> {
        Rc::new(Neighbours { letters, deadline, goals: RefCell::default() })
    }

    /// Has a core merge a row into the database of one of its devices: durable when this answers `Ok(true)`.
    pub(crate) async fn merge(self: &Rc<Self>, core: usize, device: &str, row: Row) -> Taken {
        let Some(goal) = self.goal(core, device) else { return Err("too many devices at a time".to_owned()) };
        let (neighbours, device) = (self.clone(), device.to_owned());
        let taken = goal.add(row, move |rows| neighbours.clone().send(core, device.clone(), rows)).await;
        taken.unwrap_or_else(|| Err("the core that owns the device did not answer".to_owned()))
    }

    async fn send(self: Rc<Self>, core: usize, device: String, rows: Vec<Row>) -> Vec<Taken> {
        let answer = io::timeout(self.deadline, self.letters.ask(core, Question { device, rows })).await;
        answer.ok().flatten().map(|reply| reply.0).unwrap_or_default()
    }

    fn goal(&self, core: usize, device: &str) -> Option<Rc<Goal>> {
        let mut goals = self.goals.borrow_mut();
        if goals.len() >= GOALS_MAX {
            goals.retain(|_, goal| !goal.is_idle());
            if goals.len() >= GOALS_MAX {
                return None;
            }
        }
        Some(goals.entry((core, device.to_owned())).or_default().clone())
    }
}

/// Answers the letters of the other cores as long as this one lives.
pub(crate) async fn listen(node: Rc<Node>, mut inbox: Inbox<Question, Reply>) {
    // Ends with the core.
    loop {
        let letter = inbox.next().await;
        // Not here: the next letter is about another device.
        io::spawn(answer(node.clone(), letter));
    }
}

async fn answer(node: Rc<Node>, mut letter: Letter<Question, Reply>) {
    let _unfinished = node.unfinished();
    let rows = std::mem::take(&mut letter.question.rows);
    let taken = match node.device(&letter.question.device).await {
        Some(device) => device.intake.merge_all(rows).await,
        None => vec![Err("the device is not there, not mounted or broken".to_owned()); rows.len()],
    };
    letter.answer(Reply(taken));
}
