//! account verbs, one file each.
