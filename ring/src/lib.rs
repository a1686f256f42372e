//! Swift rings: path to partition to devices; ring files and the builder. Pure: bytes in, devices out.
//!
//! - `ring`: a loaded ring, asked on every request.
//! - `handoffs`: who stands in for a primary, in the order all of Swift agrees on.
//! - `file`: the bytes of `.ring.gz`, both versions, read and written as Swift does.
//! - `builder`: the operator's side: devices and weights in, assignments out.

pub mod builder;
mod file;
mod handoffs;
mod json;
mod ring;

pub use file::FormatVersion;
pub use handoffs::Handoffs;
pub use ring::{Device, Ring, RingError};
