//! Core: what an object is by Swift's rules, written down once more, as plainly as it goes (specs: object server §3 to §5).
//!
//! One `State` is one object. `apply` says what an operation answers and what it leaves. `Known` is all the states an object may be
//! in: one, until an operation ends without an answer; then the state with it and the state without it, until an answer tells which.

use base::timestamp::Timestamp;
use bytes::Bytes;
use std::rc::Rc;

/// Bytes and their ETag.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    pub bytes: Bytes,
    pub etag: String,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Operation {
    pub verb: Verb,
    /// X-Timestamp: of the write, or the moment of the read.
    pub at: Timestamp,
}

/// What it wants.
#[derive(Clone, Debug)]
pub enum Verb {
    Put {
        content: Rc<Content>,
        content_type: u64,
        meta: u64,
        sysmeta: Option<u64>,
        delete_at: Option<u64>,
        unless_there: bool,
        of_unknown_length: bool,
    },
    Post {
        meta: u64,
        delete_at: Option<u64>,
        /// Value and `Content-Type-Timestamp`.
        content_type: Option<(u64, Option<Timestamp>)>,
    },
    Delete {
        /// X-If-Delete-At
        expected: Option<u64>,
    },
    Get {
        /// First and last byte.
        range: Option<(u64, u64)>,
    },
    Head,
}

/// What matters of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// X-Backend-Timestamp
    pub backend: Option<Timestamp>,
    pub shown: Option<Shown>,
}

/// An object as GET and HEAD show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub data: Timestamp,
    pub etag: String,
    pub content_type: u64,
    pub meta: u64,
    pub sysmeta: Option<u64>,
    pub delete_at: Option<u64>,
    pub length: u64,
    pub bytes: Option<Bytes>,
}

/// An object, or what is known of one that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    data: Option<Data>,
    deleted: Option<Timestamp>,
    /// Lives on behind a deletion that is older: Swift keeps the file, and a PUT in between meets it again.
    post: Option<Post>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Data {
    at: Timestamp,
    content: Rc<Content>,
    content_type: u64,
    meta: u64,
    sysmeta: Option<u64>,
    delete_at: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Post {
    at: Timestamp,
    meta: u64,
    delete_at: Option<u64>,
    content_type: Option<(u64, Timestamp)>,
}

impl State {
    /// The answer, and what is there afterwards.
    pub fn apply(&self, operation: &Operation) -> (Answer, State) {
        let at = operation.at;
        match &operation.verb {
            Verb::Put { unless_there, .. } => match self.refuses_put(at, *unless_there) {
                Some(answer) => (answer, self.clone()),
                None => (status(201), self.put(operation)),
            },
            Verb::Post { .. } => self.post(operation),
            Verb::Delete { expected } => self.delete(at, *expected),
            Verb::Get { range } => (self.read(at, Some(*range)), self.clone()),
            Verb::Head => (self.read(at, None), self.clone()),
        }
    }

    fn existing(&self) -> Option<Timestamp> {
        self.data.as_ref().map(|data| data.at).or(self.deleted)
    }

    fn delete_at(&self) -> Option<u64> {
        let data = self.data.as_ref()?;
        self.post.as_ref().map_or(data.delete_at, |post| post.delete_at)
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        self.delete_at().is_some_and(|second| Timestamp::from_raw(second * 100_000, 0) <= now)
    }

    /// Newest of data and POST.
    fn newest(&self) -> Timestamp {
        let data = self.data.as_ref().map(|data| data.at);
        self.post.as_ref().map(|post| post.at).max(data).unwrap_or(Timestamp::ZERO)
    }

    fn content_type(&self, data: &Data) -> (u64, Timestamp) {
        let posted = self.post.as_ref().and_then(|post| post.content_type);
        posted.filter(|(_, at)| *at > data.at).unwrap_or((data.content_type, data.at))
    }

    fn refuses_put(&self, at: Timestamp, unless_there: bool) -> Option<Answer> {
        if unless_there && self.data.is_some() && !self.is_expired(at) {
            return Some(status(412));
        }
        let existing = self.existing().filter(|existing| *existing >= at)?;
        Some(Answer { status: 409, backend: Some(existing), shown: None })
    }

    fn put(&self, operation: &Operation) -> State {
        let Verb::Put { content, content_type, meta, sysmeta, delete_at, .. } = &operation.verb else { unreachable!() };
        let at = operation.at;
        let (content, content_type, meta) = (content.clone(), *content_type, *meta);
        let data = Data { at, content, content_type, meta, sysmeta: *sysmeta, delete_at: *delete_at };
        State { data: Some(data), deleted: None, post: self.post.clone().filter(|post| post.at > at) }
    }

    fn post(&self, operation: &Operation) -> (Answer, State) {
        let Verb::Post { meta, delete_at, content_type } = &operation.verb else { unreachable!() };
        let at = operation.at;
        let Some(data) = self.data.as_ref().filter(|_| !self.is_expired(at)) else {
            return (status(404), self.clone());
        };
        let (newest, (type_now, type_since)) = (self.newest(), self.content_type(data));
        let sent_at = content_type.map_or(Timestamp::ZERO, |(_, stated)| stated.unwrap_or(at));
        if newest >= at && type_since >= sent_at {
            return (Answer { status: 409, backend: Some(newest), shown: None }, self.clone());
        }
        let content_type = match content_type {
            Some((value, _)) if sent_at > type_since => (*value, sent_at),
            _ => (type_now, type_since),
        };
        let content_type = Some(content_type).filter(|(_, since)| *since > data.at);
        let post = match &self.post {
            Some(post) if at <= newest => Post { content_type, ..post.clone() },
            _ => Post { at, meta: *meta, delete_at: *delete_at, content_type },
        };
        (status(202), State { post: Some(post), ..self.clone() })
    }

    fn delete(&self, at: Timestamp, expected: Option<u64>) -> (Answer, State) {
        let existing = self.existing().unwrap_or(Timestamp::ZERO);
        let mut code = match &self.data {
            Some(_) if self.is_expired(at) => 404,
            Some(data) if data.at < at => 204,
            Some(_) => 409,
            None => 404,
        };
        if let Some(expected) = expected {
            let refused = match existing {
                Timestamp::ZERO => Some(404),
                _ if existing >= at => Some(409),
                _ if self.delete_at() != Some(expected) => Some(412),
                _ => None,
            };
            if let Some(code) = refused {
                return (status(code), self.clone());
            }
            code = 204;
        }
        let answer = Answer { status: code, backend: Some(existing.max(at)), shown: None };
        if existing >= at {
            return (answer, self.clone());
        }
        let post = self.post.clone().filter(|post| post.at > at);
        (answer, State { data: None, deleted: Some(at), post })
    }

    /// `body`: `None` for HEAD, else the range.
    fn read(&self, now: Timestamp, body: Option<Option<(u64, u64)>>) -> Answer {
        let Some(data) = &self.data else { return Answer { status: 404, backend: self.deleted, shown: None } };
        let backend = Some(self.newest());
        if self.is_expired(now) {
            return Answer { status: 404, backend, shown: None };
        }
        let all = &data.content.bytes;
        let size = all.len() as u64;
        let (code, bytes) = match body {
            None => (200, None),
            Some(None) => (200, Some(all.clone())),
            Some(Some((first, _))) if first >= size => (416, None),
            Some(Some((first, last))) => {
                let end = usize::try_from((last + 1).min(size)).unwrap();
                (206, Some(all.slice(usize::try_from(first).unwrap()..end)))
            }
        };
        let meta = self.post.as_ref().map_or(data.meta, |post| post.meta);
        let shown = Shown {
            data: data.at,
            etag: data.content.etag.clone(),
            content_type: self.content_type(data).0,
            meta,
            sysmeta: data.sysmeta,
            delete_at: self.delete_at(),
            length: bytes.as_ref().map_or(size, |bytes| bytes.len() as u64),
            bytes,
        };
        Answer { status: code, backend, shown: (code != 416).then_some(shown) }
    }
}

fn status(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

/// All that one object may be.
#[derive(Clone, Debug)]
pub struct Known {
    states: Vec<State>,
    /// What it may be again after a power cut, although a read saw something newer: an operation that failed may be shown and not durable.
    shaky: Vec<State>,
    /// The longest body of a PUT that failed.
    failed_bytes: usize,
}

impl Default for Known {
    fn default() -> Self {
        Known { states: vec![State::default()], shaky: Vec::new(), failed_bytes: 0 }
    }
}

impl Known {
    /// An operation starts: until its answer it may be done or not. Gives what `answered` wants back.
    pub fn begin(&mut self, operation: &Operation) -> Vec<(Answer, State)> {
        let outcomes: Vec<(Answer, State)> = self.states.iter().map(|state| state.apply(operation)).collect();
        for (_, after) in &outcomes {
            if !self.states.contains(after) {
                self.states.push(after.clone());
            }
        }
        outcomes
    }

    /// It was refused by the device, or broke off.
    pub fn failed(&mut self, operation: &Operation) {
        self.shaky.extend(self.states.iter().cloned());
        if let Verb::Put { content, .. } = &operation.verb {
            self.failed_bytes = self.failed_bytes.max(content.bytes.len());
        }
    }

    /// The longest body of a PUT that failed.
    pub fn failed_bytes(&self) -> usize {
        self.failed_bytes
    }

    /// The power went out, and what failed before may be undone even where it was seen.
    pub fn forget_what_was_seen(&mut self) {
        self.states.append(&mut self.shaky);
    }

    /// It was answered: only what explains the answer stays. `Err` with what would have.
    pub fn answered(
        &mut self,
        operation: &Operation,
        outcomes: Vec<(Answer, State)>,
        answer: &Answer,
    ) -> Result<(), Vec<Answer>> {
        for state in &mut self.shaky {
            *state = state.apply(operation).1;
        }
        let possible: Vec<Answer> = outcomes.iter().map(|(possible, _)| possible.clone()).collect();
        self.states.clear();
        for (_, state) in outcomes.into_iter().filter(|(possible, _)| possible == answer) {
            if !self.states.contains(&state) {
                self.states.push(state);
            }
        }
        if self.states.is_empty() { Err(possible) } else { Ok(()) }
    }
}
