//! The stock layout: Swift's own files (specs: diskfile), so that a disk can go back and forth.
//!
//! `files` are those of one object, `invalidation` the list of changed suffixes. The packed layout keeps its large objects here too.

mod files;
pub(crate) mod invalidation;

pub use files::{Body, Files, Writer};
pub(in crate::store) use files::{FileError, check_data, metadata_of};
