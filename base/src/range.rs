//! Core: the `Range` header (specs: object server §5) with Swift's abuse limits.

/// What a Range header asks of an object of a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// No or unusable header: the whole object, 200.
    Whole,
    /// These `(first, last)` inclusive ranges, 206.
    Ranges(Vec<(u64, u64)>),
    /// 416.
    Unsatisfiable,
}

/// Parses and resolves; `header` as sent.
pub fn resolve(_header: Option<&[u8]>, _length: u64) -> Resolved {
    todo!()
}
/// One range as parsed: first and last, either may be missing (suffix `-n` has no first).
pub type Spec = (Option<u64>, Option<u64>);
/// Parses only; `None` when the header is syntactically unusable.
pub fn parse(_header: &[u8]) -> Option<Vec<Spec>> {
    todo!()
}
