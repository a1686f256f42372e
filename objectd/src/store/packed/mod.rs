//! The packed layout: small objects in volumes, large ones as stock files, an index over both (docs/formats/volume.md).
//!
//! Cores: `record`, `volume` and `scan` (the bytes of the log), `verdict` (whether damage was acknowledged once), `entry` (what counts of
//! an object), `bucket` (objects beside each other in the index), `memory` (changes on their way to the index), `hot` (small records that are read all the time), `quarantine` (the record that takes a version out of use), `victim` and `pace`
//! (which volume is compacted, and how fast). Drivers: `log` (appends,
//! one flush for all who wait), `index`, `store` (the three together), `recover` (opening after a crash), `files` with `reader` and
//! `writer` (one object), `maintain` with `compact` and `reclaim` (the background), `info`.

pub mod adopt;
#[cfg(test)]
mod bed;
pub mod bucket;
pub mod check;
pub mod compact;
pub mod entry;
pub mod export;
mod files;
mod hot;
mod index;
pub mod info;
mod log;
pub mod maintain;
mod memory;
pub mod pace;
mod quarantine;
mod reader;
pub mod rebuild;
pub mod reclaim;
pub mod record;
#[cfg(test)]
mod recount;
mod recover;
pub mod scan;
mod spare;
mod store;
mod sweep;
mod tree;
pub mod verdict;
pub mod victim;
pub mod volume;
mod window;
mod writer;

pub use files::Files;
pub use reader::Body;
pub use store::Store;
pub use sweep::Progress;
pub use writer::Writer;
