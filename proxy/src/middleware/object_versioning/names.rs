//! Core: the reserved names of versions, as Swift makes them.
//!
//! A reserved name is parts with a NUL before each. The versions of `container` are in `\0versions\0container`; a version of
//! `object` is `\0object\0<time>`, the time inverted so that the newest stands first in a listing.

use base::timestamp::Timestamp;

const NUL: char = '\0';

/// What every versions container begins with.
pub(super) const VERSIONS_PREFIX: &str = "\0versions\0";
/// The type of an object that says that there is none.
pub(super) const DELETE_MARKER: &str = "application/x-deleted;swift_versions_deleted=1";

/// `parts` as one reserved name.
pub(super) fn reserved(parts: &[&str]) -> String {
    parts.iter().flat_map(|part| ["\0", part]).collect()
}

/// The two parts of a reserved name.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    let (first, second) = name.strip_prefix(NUL)?.split_once(NUL)?;
    (!second.contains(NUL)).then_some((first, second))
}

/// Where the versions of this container are.
pub(super) fn versions_container(container: &str) -> String {
    reserved(&["versions", container])
}

/// The container whose versions are in `name`.
pub(super) fn versioned_container(name: &str) -> Option<&str> {
    split(name).filter(|(kind, _)| *kind == "versions").map(|(_, container)| container)
}

/// The version of `object` with this id.
pub(super) fn version_object(object: &str, id: Timestamp) -> String {
    reserved(&[object, &id.inverse().internal()])
}

/// The object and the id of a version.
pub(super) fn parse_version(name: &str) -> Option<(&str, String)> {
    let (object, time) = split(name)?;
    Some((object, Timestamp::parse(time).ok()?.inverse().internal()))
}

/// The id of a version made at `time`: its offset does not count.
pub(super) fn id_of(time: Timestamp) -> Timestamp {
    Timestamp::from_raw(time.raw(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_as_swift_names_them() {
        let id = Timestamp::parse("1500000000.00000").unwrap();
        let name = version_object("o/p", id);
        assert_eq!(name, "\0o/p\08499999999.99999");
        assert_eq!(parse_version(&name), Some(("o/p", "1500000000.00000".to_owned())));
        assert_eq!(versions_container("c"), "\0versions\0c");
        assert_eq!(versioned_container("\0versions\0c"), Some("c"));
        for other in ["c", "\0c", "\0a\0b\0c", "\0o\0time"] {
            assert_eq!(parse_version(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_newer_version_stands_first() {
        let name = |raw| version_object("o", Timestamp::from_raw(raw, 0));
        assert!(name(150_000_000_000_001) < name(150_000_000_000_000));
    }
}
