//! The listener of one core: from accepted connection to `pipeline`.

use crate::config::Config;
use base::http::server::Drain;
use std::io;
use std::rc::Rc;

/// Runs one core of the proxy until drained: loads rings, binds with SO_REUSEPORT, serves.
pub async fn run_core(_config: Rc<Config>, _core: usize, _drain: Drain) -> io::Result<()> {
    todo!()
}
