//! The listeners of one core and the way from a request to its service.

use crate::config::Config;
use base::http::server::Drain;
use std::io;
use std::rc::Rc;

/// Runs one core of the node until drained: opens its devices, binds its three ports, starts its background loops.
pub async fn run_core(_config: Rc<Config>, _core: usize, _drain: Drain) -> io::Result<()> {
    todo!()
}
