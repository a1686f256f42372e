//! Core: an ordered list of header fields; names compare without case, values are bytes.

use bytes::Bytes;

/// Header fields in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(Bytes, Bytes)>,
}

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }
    /// None yet, with space for `count`.
    pub fn with_capacity(count: usize) -> Self {
        Self { fields: Vec::with_capacity(count) }
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
