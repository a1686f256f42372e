//! What each fuzz target holds of whatever bytes it is given. A check that fails panics.
//!
//! The targets are one line each (`fuzz_targets`); what they check is here, so that the tests of the workspace can run the kept
//! corpus (`corpus/<target>`) through the same functions without cargo-fuzz.
//!
//! Parsers of bytes under a checksum get their bytes twice: as they are, and with the checksums made good. Otherwise no input would ever come
//! past the checksum.

mod store;
mod wire;

pub use store::{index_value, metadata, record_head, ring_file, scanner, volume_header};
pub use wire::{config, dns_reply, http_request, keystone_token, memcache_reply, mime, token};

/// A target's name and its check, which says whether the parser accepted anything.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All that must hold; `must_fail` is none of them.
pub const TARGETS: [Target; 13] = [
    ("record_head", record_head),
    ("volume_header", volume_header),
    ("scanner", scanner),
    ("index_value", index_value),
    ("metadata", metadata),
    ("ring_file", ring_file),
    ("http_request", http_request),
    ("mime", mime),
    ("config", config),
    ("token", token),
    ("dns_reply", dns_reply),
    ("keystone_token", keystone_token),
    ("memcache_reply", memcache_reply),
];

/// Fails on bytes that begin with `MLR1`: a rig that does not find them within a minute finds nothing.
pub fn must_fail(bytes: &[u8]) {
    // One comparison a byte, so that each right one is new coverage.
    let mut right = 0;
    for (byte, wanted) in bytes.iter().zip(b"MLR1") {
        if byte != wanted {
            return;
        }
        right += 1;
    }
    assert!(right < 4, "found: the rig works");
}
