//! Core: the storage policies this node knows, by index.

use std::collections::BTreeMap;

/// Index → name. Policy 0 is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    names: BTreeMap<u32, String>,
}

impl Default for Policies {
    fn default() -> Self {
        Self::new([(0, "Policy-0".to_owned())])
    }
}

impl Policies {
    /// From `swift.conf`'s `[storage-policy:N]` sections.
    pub fn new(names: impl IntoIterator<Item = (u32, String)>) -> Self {
        Self { names: names.into_iter().collect() }
    }
    /// The name; `None` when this node does not know the policy.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.names.get(&index).map(String::as_str)
    }
}
