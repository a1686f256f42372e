//! Core: the elements of a JSON list, one at a time.
//!
//! A manifest of 8 MiB may have a million elements: as one document they would take hundreds of megabytes, one by one they take
//! what the largest takes.

use serde_json::{Deserializer, Value};

/// The text is not JSON (any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// Not JSON.
    Json,
    /// JSON, and no list.
    NoList,
}

/// The list being read.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Behind the bracket.
    First,
    /// Behind a comma.
    More,
    /// Behind the last bracket, or broken.
    Over,
}

impl<'a> Elements<'a> {
    /// Begins a list.
    pub(super) fn new(text: &'a [u8]) -> Result<Elements<'a>, Invalid> {
        let text = behind_blanks(text);
        match text.strip_prefix(b"[") {
            Some(rest) => Ok(Elements { rest, state: State::First }),
            None if serde_json::from_slice::<Value>(text).is_ok() => Err(Invalid::NoList),
            None => Err(Invalid::Json),
        }
    }

    fn element(&mut self) -> Result<Option<Value>, Invalid> {
        self.rest = behind_blanks(self.rest);
        if self.state == State::First && self.rest.starts_with(b"]") {
            return self.end().map(|()| None);
        }
        let mut values = Deserializer::from_slice(self.rest).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else { return Err(Invalid::Json) };
        self.rest = behind_blanks(self.rest.get(values.byte_offset()..).unwrap_or_default());
        match self.rest.first() {
            Some(b',') => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                self.state = State::More;
            }
            Some(b']') => self.end()?,
            _ => return Err(Invalid::Json),
        }
        Ok(Some(value))
    }

    /// The bracket, and nothing behind it.
    fn end(&mut self) -> Result<(), Invalid> {
        self.state = State::Over;
        let rest = behind_blanks(self.rest.get(1..).unwrap_or_default());
        if rest.is_empty() { Ok(()) } else { Err(Invalid::Json) }
    }
}

impl Iterator for Elements<'_> {
    type Item = Result<Value, Invalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Over {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.state = State::Over;
        }
        element.transpose()
    }
}

fn behind_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    text.get(blanks..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Value>, Invalid> {
        Elements::new(text.as_bytes())?.collect()
    }

    #[test]
    fn lists_are_read_and_others_refused() {
        assert_eq!(read(" [ ] ").unwrap().len(), 0);
        assert_eq!(read("[1, \"a,]\" ,{\"a\":[1,2]},null]\n").unwrap().len(), 4);
        for text in ["", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "[1] x", "{", "[\"a]", "x"] {
            assert_eq!(read(text), Err(Invalid::Json), "{text}");
        }
        for text in ["{}", "1", "\"a\"", " null "] {
            assert_eq!(read(text), Err(Invalid::NoList), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_same_as_of_the_whole_document(text in "[\\[\\]{},:\"a1 -]{0,24}") {
            match serde_json::from_str::<Value>(&text) {
                Ok(Value::Array(values)) => prop_assert_eq!(read(&text), Ok(values)),
                Ok(_) => prop_assert_eq!(read(&text), Err(Invalid::NoList)),
                Err(_) => prop_assert_eq!(read(&text), Err(Invalid::Json)),
            }
        }
    }
}
