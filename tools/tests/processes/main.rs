//! Real processes: clusters and nodes as a user starts them. One program: each costs a minute to link.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a user's side of the command line, outside any core"
)]

mod bench;
mod cluster;
mod daemon;
mod end_to_end;
mod full_device;
mod kill_storm;
mod lost_device;
mod near;
mod silent_device;
mod system_calls;
