//! Core: the names of workloads: a verb, and the size of the objects or the rows of a page.

use crate::load::{Page, Verb};

/// Bytes of an object when a name says none.
const BYTES: u64 = 4 << 10;
/// Bytes of an object at most.
const BYTES_MAX: u64 = 1 << 30;
/// Rows of a page at most, Swift's own default of `container_listing_limit`.
const ROWS_MAX: u64 = 10_000;
/// What is uploaded for a workload, or asked of it, when the command line does not say how much.
const VOLUME: u64 = 1 << 30;

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name on the command line.
    pub name: String,
    /// What every request does.
    pub verb: Verb,
    /// Bytes of an object; zero of a listing.
    pub bytes: u64,
}

/// All kinds, for help and errors.
pub const KINDS: &str = "get-SIZE, head-SIZE, put-SIZE, delete-SIZE, mixed-SIZE (nine GETs, then a PUT), range-SIZE (a sixteenth of an object), \
     list-ROWS (a page of JSON); SIZE as 4k, 64k, 1m, 100m; ROWS to 10000";

const ALL: [&str; 10] =
    ["get-4k", "head-4k", "get-64k", "get-1m", "put-4k", "put-1m", "delete-4k", "mixed-4k", "range-1m", "list-100"];

impl Workload {
    /// Reads a name.
    pub fn parse(name: &str) -> Result<Workload, String> {
        let (verb, size) = name.split_once('-').unwrap_or((name, ""));
        let unknown = || format!("no workload {name}; there are {KINDS}");
        if verb == "list" {
            let rows = if size.is_empty() { 100 } else { size.parse().map_err(|_| unknown())? };
            let rows = Some(rows).filter(|rows| (1..=ROWS_MAX).contains(rows)).ok_or_else(unknown)?;
            let page = Page { container: format!("martlet-bench-rows-{rows}"), limit: rows, marker: String::new() };
            return Ok(Workload { name: name.to_owned(), verb: Verb::List(page), bytes: 0 });
        }
        let verb = match verb {
            "get" => Verb::Get,
            "head" => Verb::Head,
            "put" => Verb::Put,
            "delete" => Verb::Delete,
            "mixed" => Verb::Mixed,
            "range" | "ranges" => Verb::Range,
            _ => return Err(unknown()),
        };
        let bytes = if size.is_empty() { BYTES } else { bytes(size).ok_or_else(unknown)? };
        Ok(Workload { name: name.to_owned(), verb, bytes })
    }

    /// The workloads of these names; the usual ones when there are none.
    pub fn named(names: &[String]) -> Result<Vec<Workload>, String> {
        if names.is_empty() { ALL.iter().map(|name| Workload::parse(name)).collect() } else { parse_all(names) }
    }

    /// Whether a server of files can be asked.
    pub fn only_reads(&self) -> bool {
        matches!(self.verb, Verb::Get | Verb::Head | Verb::Range)
    }

    /// Requests when the command line does not say: fewer of large objects.
    pub fn requests(&self) -> u64 {
        (VOLUME / self.bytes.max(1)).clamp(10, 5000)
    }

    /// Objects to spread over when the command line does not say.
    pub fn objects(&self) -> u64 {
        (VOLUME / 4 / self.bytes.max(1)).clamp(2, 256)
    }
}

fn parse_all(names: &[String]) -> Result<Vec<Workload>, String> {
    names.iter().map(|name| Workload::parse(name)).collect()
}

/// `4k`, `1m`, `100`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'm']);
    let unit = match text.get(digits.len()..)? {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| (1..=BYTES_MAX).contains(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let read = |name: &str| Workload::parse(name).map(|workload| (workload.verb, workload.bytes)).ok();
        assert_eq!(read("get"), Some((Verb::Get, 4096)));
        assert_eq!(read("put-100m"), Some((Verb::Put, 100 << 20)));
        assert_eq!(read("mixed-512"), Some((Verb::Mixed, 512)));
        assert!(matches!(read("list-10000"), Some((Verb::List(Page { limit: 10_000, .. }), 0))));
        for bad in ["", "got-4k", "get-", "get-4g", "get-k", "get-2000m", "get-km", "list-0", "list-10001", "list-4k"] {
            assert!(bad == "get-" || read(bad).is_none(), "{bad}");
        }
        assert_eq!(Workload::named(&[]).expect("all are good").len(), ALL.len());
    }

    #[test]
    fn large_objects_are_few() {
        let large = Workload::parse("get-100m").expect("good");
        assert_eq!((large.requests(), large.objects()), (10, 2));
        let small = Workload::parse("get-4k").expect("good");
        assert_eq!((small.requests(), small.objects()), (5000, 256));
    }
}
