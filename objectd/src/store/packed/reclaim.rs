//! Forgets deletions that every replica had time to learn of (`reclaim_age`), POSTs whose object never came, and damaged versions that have
//! nothing to keep out any more.
//!
//! # Invariants
//!
//! - An object is forgotten only when no older record of it is left in a volume (`Entry::dead`) and no file of it waits to be unlinked: an
//!   index made from the volumes again would bring older bytes back.
//! - That is judged in the transaction that forgets it, and not while the memory table knows of the object.
//! - What is forgotten still has its record until the volume is compacted. An index made again knows it again, and forgets it again.
//! - While stock files may be on the device that are not known yet, nothing is forgotten.

use super::entry::{Entry, Held, Key};
use super::store::Store;
use crate::store::diskfile::Version;
use base::io;
use base::timestamp::Timestamp;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Entries looked at in one transaction: a fraction of a millisecond.
const ENTRIES_AT_ONCE: usize = 1024;

/// Whether all that is known of an object is older than `before` or lost, and may be forgotten.
pub(super) fn is_forgettable(entry: &Entry, before: Timestamp) -> bool {
    let is_old = |version: Version| version.timestamp() < before && !matches!(version, Version::Data(_));
    let may_go = |held: &Held| held.place.is_lost() || is_old(held.version);
    entry.dead == 0 && !entry.held.is_empty() && entry.held.iter().all(may_go)
}

/// The time before which deletions may be forgotten now.
pub(super) fn before(now: Duration, age: Duration) -> Timestamp {
    Timestamp::from_unix(now.saturating_sub(age))
}

/// Walks over the whole index; `pause` after each step. Answers how many objects were forgotten.
pub async fn reclaim(store: &Rc<Store>, age: Duration, pause: Duration) -> std::io::Result<u64> {
    let mut forgotten = 0;
    let mut from: Option<Key> = None;
    // Ends: every turn goes on behind the last key, to the end of the index.
    loop {
        if store.is_adopting.get() {
            return Ok(forgotten);
        }
        let before = before(io::unix_time(), age);
        let (entries, last) = store.index.entries(from, ENTRIES_AT_ONCE).await?;
        let keys: Vec<Key> = {
            let memory = store.memory.borrow();
            let old = entries.iter().filter(|(key, entry)| is_forgettable(entry, before) && !memory.knows(key));
            old.map(|(key, _)| *key).collect()
        };
        if !keys.is_empty() {
            forgotten += store.index.forget(Arc::new(keys), before).await?;
        }
        from = last;
        if from.is_none() {
            break;
        }
        io::sleep(pause).await;
    }
    store.count(|counts| counts.forgotten += forgotten);
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::packed::entry::{At, Place};

    fn held(version: Version) -> Held {
        Held { version, place: Place::Volume(At { volume: 1, offset: 4096, length: 200 }) }
    }

    #[test]
    fn only_old_deletions_lone_posts_and_lost_versions_without_older_records_are_forgotten() {
        let before = Timestamp::from_raw(100, 0);
        let tombstone = |raw| held(Version::Tombstone(Timestamp::from_raw(raw, 0)));
        let meta = held(Version::Meta { timestamp: Timestamp::from_raw(50, 0), content_type: None });
        let data = held(Version::Data(Timestamp::from_raw(50, 0)));
        let entry = |held: &[Held], dead| Entry { held: held.iter().copied().collect(), dead };
        assert!(is_forgettable(&entry(&[tombstone(99)], 0), before));
        assert!(is_forgettable(&entry(&[tombstone(40), meta], 0), before));
        assert!(!is_forgettable(&entry(&[tombstone(100)], 0), before));
        assert!(!is_forgettable(&entry(&[tombstone(99)], 1), before));
        assert!(!is_forgettable(&entry(&[data], 0), before));
        assert!(!is_forgettable(&entry(&[data, meta], 0), before));
        assert!(!is_forgettable(&entry(&[], 0), before));
        let lost = Held { place: Place::Lost(At { volume: 2, offset: 4096, length: 200 }), ..data };
        assert!(is_forgettable(&entry(&[lost], 0), before));
        assert!(!is_forgettable(&entry(&[lost], 1), before), "the damaged record, or one that it replaced");
        assert!(!is_forgettable(&entry(&[data, Held { place: lost.place, ..meta }], 0), before));
    }
}
