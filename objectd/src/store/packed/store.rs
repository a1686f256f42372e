//! The packed store of one device, and one object in it.

use super::{Body, Writer};
use crate::node::Device;
use crate::store::diskfile::{OpenError, Stored};
use crate::store::stock;
use base::hash_path::NameHash;
use std::rc::Rc;

/// Volumes and index of one device. One per device, on the core that owns it.
pub struct Store {}

/// One object of a packed device.
#[derive(Clone)]
pub struct Files {
    store: Rc<Store>,
    stock: stock::Files,
    policy: u32,
    hash: NameHash,
}

impl Files {
    /// The object's place; `stock` is where its large bytes are.
    pub fn new(store: Rc<Store>, stock: stock::Files, policy: u32, hash: NameHash) -> Self {
        Self { store, stock, policy, hash }
    }
    /// The device.
    pub fn device(&self) -> &Rc<Device> {
        &self.stock.device
    }
    /// Looks what is there.
    pub async fn open(&self) -> Result<Stored, OpenError> {
        let _ = (&self.store, self.policy, self.hash);
        todo!()
    }
    /// Starts a write.
    pub async fn create(&self, size: Option<u64>) -> std::io::Result<Writer> {
        todo!("{size:?}")
    }
    /// The record of this body counts no more.
    pub async fn quarantine(&self, body: &Body, why: &str) {
        todo!("{why} {}", body.len())
    }
    /// As in the stock layout.
    pub async fn quarantine_stock(&self, why: &str) {
        self.stock.quarantine(why).await;
    }
}
