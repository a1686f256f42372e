//! What one core of a storage node owns and knows. One per core; shared by its tasks through `Rc`, never between cores.

use crate::config::Config;
use base::io::kv::Kv;
use ring::Ring;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// One core's view of its node.
pub struct Node {
    /// The settings.
    pub config: Rc<Config>,
    /// Which core this is.
    pub core: usize,
    /// The devices this core owns, by directory name.
    pub devices: BTreeMap<String, Rc<Device>>,
    /// Rings, replaced when their files change.
    pub rings: RefCell<Rings>,
}

/// The three rings, as last loaded.
#[derive(Clone)]
pub struct Rings {
    /// object.ring.gz (policy 0).
    pub object: Rc<Ring>,
    /// container.ring.gz
    pub container: Rc<Ring>,
    /// account.ring.gz
    pub account: Rc<Ring>,
}

/// One device (disk) of this core.
pub struct Device {
    /// Directory name under `devices`.
    pub name: String,
    /// Its directory.
    pub root: PathBuf,
    /// Rows of accounts and containers; tables are `db::TABLES`, directory `<root>/db`.
    pub rows: Kv,
}

impl Node {
    /// The device, if this core owns it and it is usable now (directory there; mounted when `mount_check`). `None` is 507.
    pub async fn device(&self, _name: &str) -> Option<Rc<Device>> {
        todo!()
    }
}
