//! Core: a listing as a walk over one range of rows, in slices.
//!
//! # Invariants
//!
//! - A walk visits at most `limit` rows and collapsed prefixes; a collapsed prefix costs one seek, however many rows it
//!   holds.
//! - One `advance` visits at most `budget` keys, and no more when its sink has enough, so that a read transaction stays short; the
//!   next one goes on where it stopped, in a newer view.
//! - `reverse` gives the same entries in the opposite order when nothing limits them.

use super::ROWS;
use super::key;
use base::io::kv::Read;
use std::io;
use std::ops::Bound;

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Most entries.
    pub limit: usize,
    /// Entries behind it (in the direction of the listing); empty: from the start.
    pub marker: String,
    /// Entries before it; empty: to the end.
    pub end_marker: String,
    /// Names that begin with it.
    pub prefix: String,
    /// Names that hold it behind the prefix collapse into one entry; empty: none do.
    pub delimiter: String,
    /// Swift's `path`: like a prefix with a slash, collapsed entries are not shown. Overrides prefix and delimiter.
    pub path: Option<String>,
    /// From the end to the start.
    pub reverse: bool,
    /// Show names that begin with NUL.
    pub show_reserved: bool,
}

/// One entry, borrowed from the environment: names are text, but nobody has looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A row: its name and its value.
    Row(&'a [u8], &'a [u8]),
    /// A collapsed prefix, delimiter included.
    Subdir(&'a [u8]),
}

/// Takes entries; answers whether it has space for another.
pub type Sink<'s> = dyn FnMut(Entry<'_>) -> io::Result<bool> + 's;

/// One end of a range of names or keys.
type Edge = Bound<Vec<u8>>;

/// A walk that may be interrupted.
#[derive(Clone, Debug)]
pub struct Walk {
    range: Vec<u8>,
    prefix: Vec<u8>,
    delimiter: Vec<u8>,
    is_path: bool,
    reverse: bool,
    limit: usize,
    taken: usize,
    /// The lower marker: a collapsed prefix equal to it is not shown.
    lower_marker: Vec<u8>,
    from: Edge,
    to: Edge,
}

/// Why a scan ended.
enum Stop {
    End,
    /// Behind the last row that was seen; what is next was not looked at.
    Pause,
    Skip(Vec<u8>),
}

impl Walk {
    /// Over the rows whose keys begin with `range` (`key::row_prefix`).
    pub fn new(range: Vec<u8>, selection: &Selection) -> Walk {
        let (mut prefix, mut delimiter) = (selection.prefix.clone(), selection.delimiter.clone());
        if let Some(path) = &selection.path {
            prefix = if path.is_empty() { String::new() } else { format!("{}/", path.trim_end_matches('/')) };
            "/".clone_into(&mut delimiter);
        }
        let (lower, upper) = if selection.reverse {
            (&selection.end_marker, &selection.marker)
        } else {
            (&selection.marker, &selection.end_marker)
        };
        let mut from = Bound::Included(prefix.clone().into_bytes());
        if !lower.is_empty() && lower.as_bytes() >= prefix.as_bytes() {
            from = Bound::Excluded(lower.clone().into_bytes());
        }
        if !selection.show_reserved && edge(&from).is_none_or(|name| name < b"\x01".as_slice()) {
            from = Bound::Included(vec![1]);
        }
        let mut to = key::successor(prefix.as_bytes()).map_or(Bound::Unbounded, Bound::Excluded);
        if !upper.is_empty() && edge(&to).is_none_or(|end| upper.as_bytes() < end) {
            to = Bound::Excluded(upper.clone().into_bytes());
        }
        Walk {
            range,
            prefix: prefix.into_bytes(),
            delimiter: delimiter.into_bytes(),
            is_path: selection.path.is_some(),
            reverse: selection.reverse,
            limit: selection.limit,
            taken: 0,
            lower_marker: lower.clone().into_bytes(),
            from,
            to,
        }
    }

    /// Entries given so far.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Goes on for at most `budget` keys, or until `sink` has enough. True when the listing is complete.
    pub fn advance(&mut self, read: &impl Read, budget: usize, sink: &mut Sink<'_>) -> io::Result<bool> {
        let (mut seen, mut is_full) = (0, false);
        // Ends: every turn but the last sees at least one key, and a turn that sees none returns.
        loop {
            if self.taken >= self.limit {
                return Ok(true);
            }
            if seen >= budget || is_full {
                return Ok(false);
            }
            match self.scan(read, budget - seen, &mut seen, &mut |entry| {
                let has_space = sink(entry)?;
                is_full = !has_space;
                Ok(has_space)
            })? {
                Stop::End => return Ok(true),
                Stop::Pause => {}
                Stop::Skip(subdir) if self.reverse => {
                    // A row that is exactly the collapsed prefix is shown by `path`, and was collapsed otherwise.
                    self.to = if self.is_path { Bound::Included(subdir) } else { Bound::Excluded(subdir) };
                }
                Stop::Skip(subdir) => match key::successor(&subdir) {
                    Some(next) => self.from = Bound::Included(next),
                    None => return Ok(true),
                },
            }
        }
    }

    /// One uninterrupted run of at most `budget` rows.
    fn scan(&mut self, read: &impl Read, budget: usize, seen: &mut usize, sink: &mut Sink<'_>) -> io::Result<Stop> {
        let Some((from, to)) = self.key_bounds() else {
            return Ok(Stop::End);
        };
        let (mut stop, mut left, mut last) = (Stop::End, budget, Vec::new());
        read.scan(ROWS, borrowed(&from), borrowed(&to), self.reverse, &mut |(row_key, value)| {
            *seen += 1;
            left -= 1;
            let name = row_key.get(self.range.len()..).unwrap_or_default();
            if let Some(subdir) = self.collapsed(name) {
                if !self.is_path && subdir != self.lower_marker {
                    sink(Entry::Subdir(subdir))?;
                    self.taken += 1;
                }
                stop = Stop::Skip(subdir.to_vec());
                return Ok(false);
            }
            let mut goes_on = left > 0;
            if !(self.is_path && name == self.prefix) {
                goes_on &= sink(Entry::Row(name, value))?;
                self.taken += 1;
            }
            if goes_on && self.taken < self.limit {
                return Ok(true);
            }
            stop = Stop::Pause;
            last.extend_from_slice(name);
            Ok(false)
        })?;
        if matches!(stop, Stop::Pause) {
            if self.reverse {
                self.to = Bound::Excluded(last);
            } else {
                self.from = Bound::Excluded(last);
            }
        }
        Ok(stop)
    }

    /// The entry a name collapses into, if it does.
    fn collapsed<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = name.get(self.prefix.len()..)?;
        let at = rest.windows(self.delimiter.len()).position(|window| window == self.delimiter)?;
        let end = self.prefix.len() + at + self.delimiter.len();
        if self.is_path && end == name.len() {
            return None;
        }
        name.get(..end)
    }

    /// Bounds as keys; `None` when nothing can lie between them.
    fn key_bounds(&self) -> Option<(Edge, Edge)> {
        let whole = |name: &Vec<u8>| [self.range.as_slice(), name.as_slice()].concat();
        let from = match &self.from {
            Bound::Unbounded => Bound::Included(self.range.clone()),
            Bound::Included(name) => Bound::Included(whole(name)),
            Bound::Excluded(name) => Bound::Excluded(whole(name)),
        };
        let to = match &self.to {
            Bound::Unbounded => key::successor(&self.range).map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Included(name) => Bound::Included(whole(name)),
            Bound::Excluded(name) => Bound::Excluded(whole(name)),
        };
        let possible = match (&from, &to) {
            (Bound::Included(a), Bound::Included(b)) => a <= b,
            (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a < b,
            _ => true,
        };
        possible.then_some((from, to))
    }
}

fn edge(bound: &Edge) -> Option<&[u8]> {
    match bound {
        Bound::Included(name) | Bound::Excluded(name) => Some(name),
        Bound::Unbounded => None,
    }
}

fn borrowed(bound: &Edge) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
