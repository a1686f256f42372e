//! What one core of the proxy owns: rings, backend connections, error limits, cached facts. One per core, shared by its tasks
//! through `Rc`.

use crate::backend::Backend;
use crate::config::Config;
use crate::facts::Facts;
use std::rc::Rc;

/// One core of the proxy.
pub struct Core {
    /// The settings.
    pub config: Rc<Config>,
    /// Rings, connections, error limits.
    pub backend: Backend,
    /// Accounts and containers as last seen.
    pub facts: Facts,
}
