//! Core: what was asked of a node, what it acknowledged and when, and what it may hold therefore. No I/O, no clock, no async.
//!
//! Every name has one client that waits for an answer before it goes on. So after a crash a name holds what its last acknowledged operation
//! left, or what one behind that left, and nothing else.
//!
//! One line an operation, as text: `name seen|- md5|-`: `seen` is the moment of the acknowledgement, `-` without one; the MD5 is the
//! body's, `-` for a deletion.

use std::collections::BTreeMap;

/// What an operation leaves: the MD5 of the body, `None` for nothing.
pub type Left = Option<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Operation {
    leaves: Left,
    /// Entries of the log of writes when it was acknowledged.
    seen: Option<u64>,
}

/// All operations of all names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    names: BTreeMap<String, Vec<Operation>>,
}

impl History {
    /// An operation starts; until it is acknowledged it may be done or not.
    pub fn begin(&mut self, name: &str, leaves: Left) {
        self.names.entry(name.to_owned()).or_default().push(Operation { leaves, seen: None });
    }

    /// The last operation of a name is acknowledged.
    pub fn acknowledge(&mut self, name: &str, seen: u64) {
        if let Some(last) = self.names.get_mut(name).and_then(|operations| operations.last_mut()) {
            last.seen = Some(seen);
        }
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Operations acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.names.values().flatten().filter(|operation| operation.seen.is_some()).count()
    }

    /// All that a name may hold on a disk that has seen `point` entries of the log.
    pub fn allowed(&self, name: &str, point: u64) -> Vec<Left> {
        let operations = self.names.get(name).map(Vec::as_slice).unwrap_or_default();
        let is_settled = |operation: &Operation| operation.seen.is_some_and(|seen| seen <= point);
        let last = operations.iter().rposition(is_settled);
        let before = if last.is_none() { Some(None) } else { None };
        let later = operations.iter().skip(last.unwrap_or(0)).map(|operation| operation.leaves.clone());
        before.into_iter().chain(later).collect()
    }

    /// As text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for (name, operations) in &self.names {
            for operation in operations {
                let seen = operation.seen.map_or_else(|| "-".to_owned(), |seen| seen.to_string());
                text += &format!("{name} {seen} {}\n", operation.leaves.as_deref().unwrap_or("-"));
            }
        }
        text
    }

    /// From text.
    pub fn decode(text: &str) -> Result<History, String> {
        let mut history = History::default();
        for line in text.lines() {
            let wrong = || format!("no line of a history: {line}");
            let mut words = line.split(' ');
            let (Some(name), Some(seen), Some(leaves)) = (words.next(), words.next(), words.next()) else {
                return Err(wrong());
            };
            history.begin(name, (leaves != "-").then(|| leaves.to_owned()));
            if seen != "-" {
                history.acknowledge(name, seen.parse().map_err(|_| wrong())?);
            }
        }
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_its_last_acknowledged_state_or_a_later_one() {
        let body = |number: u32| Some(format!("md5-{number}"));
        let mut history = History::default();
        assert_eq!(history.allowed("o", 9), [None]);
        for (leaves, seen) in [(body(1), Some(3)), (None, Some(5)), (body(2), None)] {
            history.begin("o", leaves);
            if let Some(seen) = seen {
                history.acknowledge("o", seen);
            }
        }
        assert_eq!(history.allowed("o", 2), [None, body(1), None, body(2)]);
        assert_eq!(history.allowed("o", 3), [body(1), None, body(2)]);
        assert_eq!(history.allowed("o", 9), [None, body(2)]);
        assert_eq!(History::decode(&history.encode()), Ok(history));
    }
}
