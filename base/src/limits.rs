//! Core: every bound, in one place, with its reason. Swift's constraints carry Swift's names.

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
    /// Bytes of a request line.
    pub max_request_line: usize,
    /// Header lines allowed on top of [`max_header_count`](Self::max_header_count)'s own.
    pub extra_header_count: usize,
    /// First segments of client paths.
    pub valid_api_versions: Vec<String>,
    /// Accounts that begin so are made on first use by internal clients.
    pub auto_create_account_prefix: String,
}

impl Constraints {
    /// Header lines of a request: one per metadata item, and 36 that HTTP and Swift's daemons use themselves.
    pub fn max_header_count(&self) -> usize {
        self.max_meta_count.saturating_add(self.extra_header_count).saturating_add(36)
    }
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
            max_request_line: 8192,
            extra_header_count: 0,
            valid_api_versions: vec!["v1".to_owned(), "v1.0".to_owned()],
            auto_create_account_prefix: ".".to_owned(),
        }
    }
}

/// Bytes of one piece of a body on its way: large enough to amortise a system call, small enough that a thousand
/// streams fit into memory.
pub const BODY_CHUNK: usize = 64 * 1024;
