//! The only place where an outcome of backends becomes a status for the client.
