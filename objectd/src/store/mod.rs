//! Object bytes of a device. The stock layout: Swift's own files (specs: diskfile), so that a disk can go back and forth.
//!
//! Cores: `pickle` (Python's serialisation, read as data only), `metadata` (the items kept in extended attributes), `listing`
//! (which files of a directory count), `pending` (parked container updates). Drivers: `diskfile`, `invalidation` (the
//! list of changed suffixes) and `parked` (the files of `pending`).

pub mod diskfile;
pub mod invalidation;
pub mod listing;
pub mod metadata;
pub mod parked;
pub mod pending;
pub mod pickle;
