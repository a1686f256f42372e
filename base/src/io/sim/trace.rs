//! Core: the running hash of everything a simulation decided, and, when asked for, its text.
//!
//! Two runs with the same seed must end with the same hash; if they do not, something above the door depends on hash order,
//! addresses or the real clock.

use std::collections::VecDeque;
use std::fmt::Write;

/// Lines kept of the text: enough to see how a run ended, small enough for a thousand runs.
const TEXT_LINES_MAX: usize = 20_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    text: Option<VecDeque<String>>,
}

impl Trace {
    /// Nothing decided yet. `text`: keep lines too.
    pub(crate) fn new(text: bool) -> Self {
        // The offset basis of FNV-1a.
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, text: text.then(VecDeque::new) }
    }
    /// Takes one decision: what it was, and up to two numbers.
    pub(crate) fn note(&mut self, now: u64, what: &'static str, a: u64, b: u64) {
        self.events += 1;
        what.bytes().for_each(|byte| self.mix(u64::from(byte)));
        for number in [now, a, b] {
            self.mix(number);
        }
        if self.text.is_some() {
            let mut line = String::new();
            let _ = write!(line, "{:>12}us {what} {a} {b}", now / 1000);
            self.push(line);
        }
    }
    /// A line for the reader of the text only; not part of the hash.
    pub(crate) fn say(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.text.is_some() {
            let line = format!("{:>12}us {}", now / 1000, line());
            self.push(line);
        }
    }
    /// The hash so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
    /// Decisions so far.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }
    /// The last lines.
    pub(crate) fn text(&self) -> Vec<String> {
        self.text.iter().flatten().cloned().collect()
    }
    fn push(&mut self, line: String) {
        if let Some(lines) = &mut self.text {
            if lines.len() == TEXT_LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }
    fn mix(&mut self, number: u64) {
        // FNV-1a over words instead of bytes, with a rotation so that high bits reach low ones.
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
}
