//! Core: percent-encoding as Swift does it, and query strings.

/// Encodes everything but unreserved characters and `/` (Python's `quote`).
pub fn quote(_text: &[u8]) -> String {
    todo!()
}
/// Decodes `%XX`; a broken escape stays as it is (Python's `unquote_to_bytes`). `+` is not a blank.
pub fn unquote(_text: &[u8]) -> Vec<u8> {
    todo!()
}
/// Query parameters in order, decoded, `+` as blank; the first of a name wins on `get`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Query {
    /// Parses at most 1,000 parameters; the rest is ignored.
    pub fn parse(_query: &[u8]) -> Query {
        todo!()
    }
    /// Value of `name`, raw bytes.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, v)| v.as_slice())
    }
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(n, v)| (n.as_slice(), v.as_slice()))
    }
}
