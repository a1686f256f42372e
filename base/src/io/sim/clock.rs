//! Time and chance of the simulator.

use std::time::Duration;

pub(in crate::io) fn monotonic_nanos() -> u64 {
    todo!()
}
pub(in crate::io) fn unix_time() -> Duration {
    todo!()
}
pub(in crate::io) fn random_u64() -> u64 {
    todo!()
}
/// Waits; dropped, nothing is left of it.
pub(in crate::io) async fn sleep(_duration: Duration) {
    todo!()
}
