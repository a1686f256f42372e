//! Rows of accounts and containers in one key-value environment per device (design §6).

/// Tables of a device's environment.
pub const TABLES: &[&str] = &["info", "rows", "pending"];
