//! Core: an ordered list of header fields; names compare without case, values are bytes.
//!
//! A message on its way takes half a dozen such lists. Those that are made with their space, or copied, come from a few that a core uses again;
//! what keeps one for longer than a request takes one of its own ([`Headers::into_kept`]).

use bytes::Bytes;
use std::cell::RefCell;

/// Name and value.
type Field = (Bytes, Bytes);

/// Space of a list that is used again: nearly all messages fit.
const LIST_FIELDS: usize = 24;
/// Lists that one core keeps: 100 KiB. Under way may be more.
const KEPT_MAX: usize = 64;

thread_local! {
    static KEPT: RefCell<Vec<Vec<Field>>> = const { RefCell::new(Vec::new()) };
}

/// Header fields in order of arrival.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<Field>,
}

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }
    /// None yet, with space for `count`.
    pub fn with_capacity(count: usize) -> Self {
        let kept = if count <= LIST_FIELDS { KEPT.with_borrow_mut(Vec::pop) } else { None };
        Self { fields: kept.unwrap_or_else(|| Vec::with_capacity(count.max(LIST_FIELDS))) }
    }
    /// The same in a list that is no longer than they are.
    #[must_use]
    pub fn into_kept(mut self) -> Self {
        self.fields.shrink_to_fit();
        self
    }
    /// The first value of `name`, surrounding blanks removed at parse.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }
    /// The first value as UTF-8; `None` also when it is not UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|v| std::str::from_utf8(v).ok())
    }
    /// All values of `name`.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> + 'a {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }
    /// Whether it is there.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    /// Adds a field behind the others. Panics in debug if name or value hold CR, LF or NUL: callers validate.
    pub fn append(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (name, value) = (name.into(), value.into());
        debug_assert!(is_plain(&name) && is_plain(&value), "a field with a line end would be read as two");
        self.fields.push((name, value));
    }
    /// Replaces every field of that name by one.
    pub fn set(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let name = name.into();
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
        self.append(name, value);
    }
    /// Removes every field of that name; gives the first value.
    pub fn remove(&mut self, name: &str) -> Option<Bytes> {
        let found = self.get(name).cloned();
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name.as_bytes()));
        found
    }
    /// Keeps fields for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        self.fields.retain(|(n, v)| keep(n, v));
    }
    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.fields.iter().map(|(n, v)| (n, v))
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.fields.len()
    }
    /// None there.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl Clone for Headers {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.fields.len());
        copy.fields.extend_from_slice(&self.fields);
        copy
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // One that grew, or was made for few, is not worth keeping.
        if self.fields.capacity() != LIST_FIELDS {
            return;
        }
        let mut list = std::mem::take(&mut self.fields);
        list.clear();
        // At the end of the thread there may be nowhere to keep it.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT_MAX {
                kept.push(list);
            }
        });
    }
}

/// Without CR, LF and NUL. The encoders write a blank for each of these, should one get that far.
fn is_plain(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Lets `look` see a name in lower case; allocates only for one longer than any in use.
pub fn with_lower<T>(name: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let mut space = [0_u8; 64];
    match space.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            look(lower)
        }
        None => look(&name.to_ascii_lowercase()),
    }
}

/// Title case as Swift stores header names: each run of ASCII letters starts upper, goes on lower.
pub fn title_case(name: &[u8]) -> Vec<u8> {
    let mut previous_is_letter = false;
    name.iter()
        .map(|&byte| {
            let cased = if previous_is_letter { byte.to_ascii_lowercase() } else { byte.to_ascii_uppercase() };
            previous_is_letter = byte.is_ascii_alphabetic();
            cased
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_used_again_and_nothing_of_it_is_left() {
        let mut first = Headers::with_capacity(3);
        first.append("X-A", "1");
        let place = first.fields.as_ptr();
        drop(first);
        let second = Headers::with_capacity(LIST_FIELDS);
        assert_eq!((second.fields.as_ptr(), second.len()), (place, 0));
        let third = second.clone();
        assert_ne!(third.fields.as_ptr(), place);
    }

    #[test]
    fn lists_that_are_kept_or_grew_are_not_used_again_and_only_so_many_are() {
        let mut long = Headers::with_capacity(1);
        (0..=LIST_FIELDS).for_each(|_| long.append("X-A", "1"));
        let mut kept = Headers::with_capacity(1);
        kept.append("X-A", "1");
        let kept = kept.into_kept();
        assert_eq!(kept.fields.capacity(), 1);
        drop((kept, long, Headers::with_capacity(LIST_FIELDS + 1)));
        assert!(KEPT.with_borrow(Vec::is_empty));
        drop((0..2 * KEPT_MAX).map(Headers::with_capacity).collect::<Vec<_>>());
        drop((0..2 * KEPT_MAX).map(|_| Headers::with_capacity(2)).collect::<Vec<_>>());
        assert_eq!(KEPT.with_borrow(Vec::len), KEPT_MAX);
    }
}
