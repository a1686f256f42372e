//! What one core of the proxy owns: rings, backend connections, error limits, cached facts. One per core, shared by its tasks
//! through `Rc`.

use crate::backend::Backend;
use crate::config::Config;
use crate::facts::Facts;
use crate::facts::news::{self, Letters};
use base::io;
use std::rc::Rc;

/// One core of the proxy.
pub struct Core {
    /// The settings.
    pub config: Rc<Config>,
    /// Which one it is, from 0.
    pub number: usize,
    /// Rings, connections, error limits.
    pub backend: Backend,
    /// Accounts and containers as last seen.
    pub facts: Facts,
    /// The other cores.
    pub letters: Letters,
}

impl Core {
    /// The only core there is.
    pub async fn new(config: Rc<Config>) -> std::io::Result<Rc<Core>> {
        let config = Rc::new(Config { cores: 1, ..config.as_ref().clone() });
        Core::open(config, 0, Letters::new(1)).await
    }

    /// One of several: loads rings and certificates, and listens to the others.
    pub async fn open(config: Rc<Config>, number: usize, letters: Letters) -> std::io::Result<Rc<Core>> {
        let backend = Backend::load(&config).await?;
        let facts = Facts::open(&config, number).await?;
        let inbox = letters.open(number);
        let core = Rc::new(Core { config, number, backend, facts, letters });
        io::spawn(news::listen(core.clone(), inbox));
        Ok(core)
    }
}
