//! Driver: memcached for middleware: tokens and rates, which all proxies of a cluster share under Swift's keys.
//!
//! # Invariants
//!
//! - Nobody waits for longer than `pool_timeout`; who hears nothing goes on as if there were no memcached.
//! - A core without a connection has the first core ask.

use super::news::{Question, Reply};
use crate::core::Core;
use base::io;
use base::memcache::{Lookup, Memcache, Value};
use std::rc::Rc;
use std::time::Duration;

/// Memcached as one core reaches it.
#[derive(Clone)]
pub struct Memcached {
    core: Rc<Core>,
}

/// What is done with a key.
pub enum Command {
    /// Look it up.
    Get(String),
    /// Store this for so long; zero is for ever.
    Set(String, Value, Duration),
    /// Count up or down a counter that lives for ever.
    Count(String, i64),
}

/// What came of it.
pub enum Outcome {
    /// Of a look.
    Found(Lookup),
    /// Whether it was stored.
    Stored(bool),
    /// What the counter says; `None`: nobody knows.
    Number(Option<u64>),
}

impl Memcached {
    /// `None` without memcached.
    pub fn of(core: &Rc<Core>) -> Option<Memcached> {
        core.facts.memcache().map(|_| Memcached { core: Rc::clone(core) })
    }

    /// Looks a key up.
    pub async fn get(&self, key: String) -> Lookup {
        match self.run(Command::Get(key)).await {
            Some(Outcome::Found(found)) => found,
            _ => Lookup::Unavailable,
        }
    }

    /// Stores a value; whether a server said that it did.
    pub async fn set(&self, key: String, value: Value, life: Duration) -> bool {
        matches!(self.run(Command::Set(key, value, life)).await, Some(Outcome::Stored(true)))
    }

    /// Counts up or down.
    pub async fn count(&self, key: String, delta: i64) -> Option<u64> {
        match self.run(Command::Count(key, delta)).await {
            Some(Outcome::Number(number)) => number,
            _ => None,
        }
    }

    async fn run(&self, command: Command) -> Option<Outcome> {
        let memcache = self.core.facts.memcache()?;
        let patience = memcache.settings().pool_timeout;
        if memcache.is_open() {
            return io::timeout(patience, carry_out(memcache, &command)).await.ok();
        }
        let answer = self.core.letters.ask(0, Question::Memcached(command));
        match io::timeout(patience, answer).await {
            Ok(Some(Reply::Memcached(outcome))) => Some(outcome),
            _ => None,
        }
    }
}

/// Does it on this core.
pub(super) async fn carry_out(memcache: &Memcache, command: &Command) -> Outcome {
    match command {
        Command::Get(key) => Outcome::Found(memcache.get(key).await),
        Command::Set(key, value, life) => Outcome::Stored(memcache.set(key, value, *life).await.is_some()),
        Command::Count(key, delta) => Outcome::Number(memcache.count(key, *delta, Duration::ZERO).await),
    }
}
