//! Cached facts of accounts and containers (Swift's account_info and container_info), bounded, per core.

/// The cache.
pub struct Facts {}
