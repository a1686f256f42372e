//! Core: every bound, in one place, with its reason. Swift's constraints (specs: internal-files §1.3) with Swift's names.

/// Swift's `[swift-constraints]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraints {
    /// Bytes of one object: 5 GiB + 2, as Swift.
    pub max_file_size: u64,
    /// Bytes of a metadata name behind its prefix.
    pub max_meta_name_length: usize,
    /// Bytes of a metadata value.
    pub max_meta_value_length: usize,
    /// Metadata items of one request.
    pub max_meta_count: usize,
    /// Names and values of all metadata items together.
    pub max_meta_overall_size: usize,
    /// Bytes of a header line.
    pub max_header_size: usize,
    /// Bytes of an object name.
    pub max_object_name_length: usize,
    /// Bytes of a container name.
    pub max_container_name_length: usize,
    /// Bytes of an account name.
    pub max_account_name_length: usize,
    /// Rows of one container listing.
    pub container_listing_limit: usize,
    /// Rows of one account listing.
    pub account_listing_limit: usize,
}

impl Default for Constraints {
    fn default() -> Self {
        Self {
            max_file_size: 5_368_709_122,
            max_meta_name_length: 128,
            max_meta_value_length: 256,
            max_meta_count: 90,
            max_meta_overall_size: 4096,
            max_header_size: 8192,
            max_object_name_length: 1024,
            max_container_name_length: 256,
            max_account_name_length: 256,
            container_listing_limit: 10_000,
            account_listing_limit: 10_000,
        }
    }
}

/// Bytes of one piece of a body on its way: large enough to amortise a system call, small enough that a thousand
/// streams fit into memory.
pub const BODY_CHUNK: usize = 64 * 1024;
