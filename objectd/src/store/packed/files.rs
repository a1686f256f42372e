//! One object of a packed device.

use super::entry::{Change, Entry, Held, Key, Place};
use super::quarantine;
use super::reader::Body;
use super::store::Store;
use super::tree;
use crate::node::Device;
use crate::store::stock;
use base::hash_path::NameHash;
use base::io::fs;
use std::io::ErrorKind;
use std::rc::Rc;

/// One object of a packed device. `reader` opens it, `writer` writes it.
#[derive(Clone)]
pub struct Files {
    pub(super) store: Rc<Store>,
    /// Where its bytes are when it is large.
    pub(super) stock: stock::Files,
    pub(super) policy: u32,
    pub(super) hash: NameHash,
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

    /// What is known of it; while stock files are being adopted the directory is asked as well.
    pub(super) async fn entry(&self) -> std::io::Result<Entry> {
        let mut entry = self.store.lookup(Key::new(self.policy, self.hash)).await?;
        if self.store.is_adopting.get() {
            let mut displaced = Vec::new();
            for name in self.stock.names().await? {
                if let Some(version) = tree::version(&name) {
                    entry.apply(Change::Insert(Held { version, place: Place::Stock }), &mut displaced);
                }
            }
        }
        Ok(entry)
    }

    /// The version of this body counts no more.
    pub async fn quarantine(&self, body: &Body, why: &str) {
        self.quarantine_held(body.held, why).await;
    }

    /// As in the stock layout.
    pub async fn quarantine_stock(&self, why: &str) {
        self.stock.quarantine(why).await;
    }

    /// A file goes where the operator finds it; a record stays in its volume until compaction. The replicas heal what is missing then;
    /// until they do, nothing older is served.
    pub(super) async fn quarantine_held(&self, held: Held, why: &str) {
        if held.place.is_lost() {
            return;
        }
        // Several readers may find the same damage. It is told once.
        let name = (Key::new(self.policy, self.hash), held.version.file_name());
        if !self.store.quarantining.borrow_mut().insert(name.clone()) {
            return;
        }
        let _quarantining = Quarantining { store: &self.store, name };
        if self.entry().await.is_ok_and(|entry| !entry.held.contains(&held)) {
            return;
        }
        tracing::error!(device = %self.device().name, name = %self.stock.name, place = ?held.place, "quarantined: {why}");
        // The record first: a replay that finds neither file nor record would bring back what is older.
        let result = self.store.lose(quarantine::encode(self.identity(), held), held).await;
        if let Err(error) = result {
            tracing::error!(name = %self.stock.name, %error, "could not be taken out of the index");
        }
        if held.place.has_file()
            && let Err(error) = self.move_file_away(&held).await
        {
            tracing::error!(name = %self.stock.name, %error, "could not be moved to quarantine");
        }
    }

    async fn move_file_away(&self, held: &Held) -> std::io::Result<()> {
        let name = held.version.file_name();
        let parent = self.stock.quarantine_directory();
        fs::create_dir_all(&parent).await?;
        match fs::rename(&self.stock.path(&name), &parent.join(&name)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// Takes a version off the list of those being quarantined.
struct Quarantining<'a> {
    store: &'a Store,
    name: (Key, String),
}

impl Drop for Quarantining<'_> {
    fn drop(&mut self) {
        self.store.quarantining.borrow_mut().remove(&self.name);
    }
}
