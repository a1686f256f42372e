//! Core: the record that takes a damaged version out of use. No I/O, no clock, no async.
//!
//! It is written to the log, so that a replay brings back neither the damaged version nor what that had replaced, and lives there like
//! any other record (`Place::Lost`). The damaged bytes themselves stay in their volume until compaction, for whoever wants to look at them.

use super::entry::{self, Held};
use super::record::{Head, Identity, Kind};
use crate::store::metadata::Metadata;

/// The item that says which version at which place.
const HELD: &str = "held";

/// The record that takes `held` out of use.
pub(super) fn encode(identity: Identity, held: Held) -> Head {
    let mut metadata = Metadata::new();
    let mut bytes = Vec::new();
    entry::encode_held(&held, &mut bytes);
    metadata.set(HELD, bytes);
    Head { kind: Kind::Quarantine, identity, version: held.version, metadata, body_bytes: 0, checksums: Vec::new() }
}

/// What the record takes out of use; `None` when it says nothing that can be.
pub(super) fn decode(head: &Head) -> Option<Held> {
    entry::decode_held_bytes(head.metadata.get(HELD)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::diskfile::Version;
    use crate::store::packed::entry::{At, Place};
    use base::hash_path::NameHash;
    use base::timestamp::Timestamp;

    #[test]
    fn it_names_one_version_at_one_place() {
        let version = Version::Data(Timestamp::from_raw(7, 1));
        let held = Held { version, place: Place::Large(At { volume: 3, offset: 128, length: 99 }) };
        let identity = Identity { policy: 0, hash: NameHash([1; 16]), name: "/a/c/o".to_owned() };
        assert_eq!(decode(&encode(identity, held)), Some(held));
    }
}
