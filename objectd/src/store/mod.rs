//! Object bytes of a device, in one of two layouts behind one seam (`diskfile`).
//!
//! `stock` is Swift's own files, `packed` volumes and an index for small objects, stock files for large ones. Shared by both: `pickle`
//! (Python's serialisation, read as data only), `metadata` (the items of an object), `listing` (which versions count). `pending`
//! and `parked` are the container updates that wait, in Swift's form whatever the layout.

pub(crate) mod busy;
pub mod diskfile;
pub mod listing;
pub mod metadata;
pub mod packed;
pub mod parked;
pub mod pending;
pub mod pickle;
pub mod stock;
