//! Swift rings: path to partition to devices; ring files and the builder. Pure: bytes in, devices out.

pub mod builder;
mod handoffs;
mod ring;

pub use ring::{Device, Ring, RingError};
