//! A whole node: its services on the wire, and its store against models, crashes and damage. One program: each costs a minute to link.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, reason = "a test")]
#![allow(unreachable_pub, reason = "every file uses its part of the bed")]

mod bed;
mod body_check;
mod model;
mod neighbours;
mod object_server;
mod object_updates;
mod rows;
mod store_crashes;
mod store_damage;
mod store_model;
