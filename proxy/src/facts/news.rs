//! Driver: what the cores of a proxy tell each other of their writes.
//!
//! # Invariant
//!
//! - When [`written`] returns, no core of this process answers from what it knew before the write, and memcached is not believed about the
//!   name until what it may still hold has ended. So the answer to a write promises that everybody who asks this proxy sees it.
//!
//! The cores share nothing: each is told by a letter and answers when it has forgotten. A core that has ended, or has not begun, knows
//! nothing.

use super::memcached::{self, Command, Outcome};
use crate::core::Core;
use crate::facts::Numbers;
use base::io;
use base::io::post::{Inbox, Letter, Post};
use base::names::Path;
use std::rc::Rc;
use std::time::Duration;

/// Longest wait for another core. It answers between two of its requests; one that does not for so long serves nobody.
const ANSWER: Duration = Duration::from_secs(10);

/// What one core asks another.
pub enum Question {
    /// Somebody wrote to this account or container.
    Written(Path),
    /// Remove it from memcached: the one who asks has no connection.
    Remove(Path),
    /// Do this with memcached: the one who asks has no connection.
    Memcached(Command),
    /// What did you count?
    Numbers,
}

/// What it answers.
pub enum Reply {
    /// Forgotten.
    Forgotten,
    /// This came of it.
    Memcached(Outcome),
    /// These.
    Numbers(Box<Numbers>),
}

/// The letter boxes of a proxy.
pub type Letters = Post<Question, Reply>;

/// Answers the letters of the other cores as long as this one lives.
pub(crate) async fn listen(core: Rc<Core>, mut inbox: Inbox<Question, Reply>) {
    // Ends with the core.
    loop {
        let letter = inbox.next().await;
        let reply = match &letter.question {
            Question::Written(path) => {
                core.facts.forget(path);
                Reply::Forgotten
            }
            Question::Remove(path) => {
                // Not here: the next letter must not wait for memcached.
                let (core, path) = (core.clone(), path.clone());
                io::spawn(async move {
                    remove(&core, &path).await;
                    letter.answer(Reply::Forgotten);
                });
                continue;
            }
            Question::Memcached(_) => {
                io::spawn(do_for_another(core.clone(), letter));
                continue;
            }
            Question::Numbers => Reply::Numbers(Box::new(numbers_of(&core))),
        };
        letter.answer(reply);
    }
}

/// Does with memcached what a core without a connection asks for.
async fn do_for_another(core: Rc<Core>, letter: Letter<Question, Reply>) {
    if let (Question::Memcached(command), Some(memcache)) = (&letter.question, core.facts.memcache()) {
        let outcome = memcached::carry_out(memcache, command).await;
        letter.answer(Reply::Memcached(outcome));
    }
}

/// Everybody forgets what was known of a name that was written to.
pub(crate) async fn written(core: &Rc<Core>, path: &Path) {
    let path = Path { object: None, ..path.clone() };
    core.facts.forget(&path);
    let (remover, name) = (core.clone(), path.clone());
    let removing = io::spawn(async move { remove(&remover, &name).await });
    tell(core, &path).await;
    removing.await;
}

/// Removes a name from memcached.
async fn remove(core: &Rc<Core>, path: &Path) {
    let Some(shared) = core.facts.shared() else { return };
    if !shared.memcache.is_open() {
        // The first core has a connection, if only one has.
        let answer = core.letters.ask(0, Question::Remove(path.clone()));
        if io::timeout(ANSWER, answer).await.is_err() {
            tracing::error!("the first core did not remove a name from memcached within {} s", ANSWER.as_secs());
        }
        return;
    }
    let (later, name) = (core.clone(), path.clone());
    let again = async move || {
        later.facts.doubt(&name);
        tell(&later, &name).await;
    };
    shared.remove(path, again).await;
}

/// Tells the other cores, and waits until each has forgotten.
async fn tell(core: &Rc<Core>, path: &Path) {
    let others = (0..core.letters.cores()).filter(|number| *number != core.number);
    let answers: Vec<_> =
        others.map(|number| (number, core.letters.ask(number, Question::Written(path.clone())))).collect();
    for (number, answer) in answers {
        if io::timeout(ANSWER, answer).await.is_err() {
            tracing::error!(core = number, "a core did not hear of a write within {} s", ANSWER.as_secs());
        }
    }
}

/// What every core counted, in their order; a core that does not answer is left out.
pub async fn numbers(core: &Rc<Core>) -> Vec<(usize, Numbers)> {
    let mut all = Vec::new();
    for number in 0..core.letters.cores() {
        if number == core.number {
            all.push((number, numbers_of(core)));
            continue;
        }
        let answer = core.letters.ask(number, Question::Numbers);
        if let Ok(Some(Reply::Numbers(numbers))) = io::timeout(ANSWER, answer).await {
            all.push((number, *numbers));
        }
    }
    all
}

fn numbers_of(core: &Core) -> Numbers {
    let hedges = core.backend.hedges();
    Numbers { hedges: hedges.asked.get(), overtaken: hedges.won.get(), ..core.facts.numbers() }
}
