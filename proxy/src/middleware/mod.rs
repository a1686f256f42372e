//! Middleware, one file each; `pipeline` orders them.

pub mod tempauth;
