//! object verbs, one file each.
