//! Core: pages that are asked for again and again, as they were rendered. No I/O, no clock, no async.
//!
//! # Invariants
//!
//! - A page is good as long as the info record is byte for byte that of the view it was rendered from: a row never changes without the record, whose
//!   largest row id goes up with each (`merge`), and whose id no other database has.
//! - What is asked for once takes no space, and a core keeps at most [`PAGES`] pages of [`PAGE_BYTES_MAX`].

use super::listing::Selection;
use super::render::Format;
use base::hash_path::NameHash;
use bytes::Bytes;
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Of one core: 4 MiB, and enough for the containers that are listed all the time.
const PAGES: usize = 64;
/// Longer pages go out in pieces.
pub(super) const PAGE_BYTES_MAX: usize = 64 * 1024;

/// What a page depends on beside the rows.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) device: String,
    pub(super) hash: NameHash,
    pub(super) selection: Selection,
    pub(super) policy: Option<u32>,
    pub(super) format: Format,
}

impl Asked {
    /// A number for it, which another may share.
    pub(super) fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// A page and the record it belongs to.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) info: Bytes,
    pub(super) body: Bytes,
}

/// By the marks of what they answer: the last of those that share a place.
type Pages = Vec<Option<(Arc<Asked>, Kept)>>;

thread_local! {
    static PAGES_KEPT: RefCell<Pages> = const { RefCell::new(Vec::new()) };
}

/// The page that answered this, if it is kept.
pub(super) fn find(asked: &Asked, mark: u64) -> Option<Kept> {
    PAGES_KEPT.with_borrow(|pages| {
        let (of, kept) = pages.get(place(mark))?.as_ref()?;
        (**of == *asked).then(|| kept.clone())
    })
}

/// Keeps it, if it is not too long.
pub(super) fn keep(asked: Arc<Asked>, mark: u64, page: Kept) {
    if page.body.len() > PAGE_BYTES_MAX {
        return;
    }
    PAGES_KEPT.with_borrow_mut(|pages| {
        if pages.is_empty() {
            pages.resize_with(PAGES, || None);
        }
        if let Some(kept) = pages.get_mut(place(mark)) {
            *kept = Some((asked, page));
        }
    });
}

fn place(mark: u64) -> usize {
    usize::try_from(mark % PAGES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_by_all_it_depends_on_and_a_long_one_is_not_kept() {
        let asked = |device: &str, limit| Asked {
            device: device.to_owned(),
            hash: NameHash([1; 16]),
            selection: Selection { limit, ..Selection::default() },
            policy: None,
            format: Format::Json,
        };
        let page = |length| Kept { info: Bytes::new(), body: vec![0; length].into() };
        keep(Arc::new(asked("d1", 1)), 5, page(PAGE_BYTES_MAX));
        assert!(find(&asked("d1", 1), 5).is_some());
        // Whatever the marks: two may be the same.
        assert!(find(&asked("d2", 1), 5).is_none() && find(&asked("d1", 2), 5).is_none());
        keep(Arc::new(asked("d1", 2)), 5, page(PAGE_BYTES_MAX + 1));
        assert!(find(&asked("d1", 2), 5).is_none());
        keep(Arc::new(asked("d1", 2)), 5, page(1));
        assert!(find(&asked("d1", 1), 5).is_none(), "one for each place");
    }
}
