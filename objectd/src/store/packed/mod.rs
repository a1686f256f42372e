//! The packed layout: small objects in volumes, large ones as stock files, an index over both.
//!
//! Cores: `record` and `volume` (the bytes), `entry` (what counts of an object), `memory` (changes on their way to the index).
//! Drivers: `log` (appends, one flush for all who wait), `index`, `reader`, `writer`, `recover`.

mod reader;
pub mod record;
mod store;
pub mod volume;
mod writer;

pub use reader::Body;
pub use store::{Files, Store};
pub use writer::Writer;
