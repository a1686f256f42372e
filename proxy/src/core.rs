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

impl Core {
    /// Loads the rings; nothing else is needed to serve.
    pub async fn new(config: Rc<Config>) -> std::io::Result<Rc<Core>> {
        let backend = Backend::load(&config).await?;
        let facts = Facts::new(&config);
        Ok(Rc::new(Core { config, backend, facts }))
    }
}
