//! container verbs, one file each.
