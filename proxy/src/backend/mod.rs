//! Backends: nodes of a partition in the order to try, exchanges with deadlines, pooled connections, error limits.

/// Rings, pooled connections and error limits of one core.
pub struct Backend {}
