//! Middleware, one file each; `pipeline` orders them.

pub mod account_acl;
pub mod account_quotas;
pub mod acl;
pub mod catch_errors;
pub mod container_quotas;
pub mod copy;
pub mod cors;
pub mod dlo;
pub mod domain_remap;
mod early_right;
pub mod etag_quoter;
pub mod gatekeeper;
pub mod healthcheck;
pub mod info;
pub mod listing_formats;
pub mod object_versioning;
pub mod proxy_logging;
pub mod slo;
pub mod staticweb;
pub mod symlink;
pub mod tempauth;
pub mod tempurl;
pub mod token;
pub mod versioned_writes;
mod whole_copy;
