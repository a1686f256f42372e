//! A plain map with Swift's rules, random operations, and a device to compare it with.
//!
//! `map` is the model, `draw` makes operations, `device` sends them to the object service of a node without a network between,
//! `drive` lets several writers work on one device and compares every answer;
//! `upkeep` is the background of a packed device, when the test wants it.

pub mod device;
pub mod draw;
pub mod drive;
pub mod map;
pub mod upkeep;
