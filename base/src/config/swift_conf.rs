//! Core: `swift.conf`: the salt of all name hashes and the limits of the cluster. The same on every node.
//!
//! The salt is bytes, not text: the file is read as Latin-1, which keeps every byte, and the values are turned back.

use super::ConfigError;
use super::ini::{self, Entry, Names, Raw};
use crate::hash_path::HashPath;
use crate::limits::Constraints;
use std::collections::BTreeMap;

/// What `swift.conf` says.
#[derive(Clone, Debug)]
pub struct SwiftConf {
    /// `[swift-hash]`.
    pub hash_path: HashPath,
    /// `[swift-constraints]`, Swift's defaults where it is silent.
    pub constraints: Constraints,
}

impl SwiftConf {
    /// Parses the file's bytes (or text); refuses a cluster without a salt, in Swift's words.
    pub fn parse(file: &str, bytes: impl AsRef<[u8]>) -> Result<SwiftConf, ConfigError> {
        let text: String = bytes.as_ref().iter().map(|&byte| char::from(byte)).collect();
        let raw = ini::parse(file, &text, Names::LowerCase)?;
        let options = Options { raw: &raw };
        let salt = |name: &str| Ok(to_bytes(&options.get("swift-hash", name)?.unwrap_or_default()));
        let (prefix, suffix) = (salt("swift_hash_path_prefix")?, salt("swift_hash_path_suffix")?);
        if prefix.is_empty() && suffix.is_empty() {
            return Err(ConfigError::new(format!(
                "[swift-hash]: both swift_hash_path_suffix and swift_hash_path_prefix are missing from {file}"
            )));
        }
        Ok(SwiftConf { hash_path: HashPath::new(prefix, suffix), constraints: options.constraints()? })
    }
}

struct Options<'a> {
    raw: &'a Raw,
}

impl Options<'_> {
    fn entry(&self, section: &str, name: &str) -> Option<(&BTreeMap<String, Entry>, &Entry)> {
        let own = self.raw.sections.get(section)?;
        own.get(name).or_else(|| self.raw.defaults.get(name)).map(|entry| (own, entry))
    }

    fn get(&self, section: &str, name: &str) -> Result<Option<String>, ConfigError> {
        let Some((own, entry)) = self.entry(section, name) else { return Ok(None) };
        let look_up = |name: &str| {
            let name = name.to_lowercase();
            own.get(&name).or_else(|| self.raw.defaults.get(&name)).map(|e| e.value.as_str())
        };
        ini::interpolate(entry, look_up).map(Some)
    }

    fn constraints(&self) -> Result<Constraints, ConfigError> {
        let mut constraints = Constraints::default();
        let Constraints { max_file_size, valid_api_versions, auto_create_account_prefix, .. } = &mut constraints;
        self.number("max_file_size", max_file_size)?;
        if let Some(list) = self.get(CONSTRAINTS, "valid_api_versions")? {
            let versions = list.split(',').map(str::trim).filter(|version| !version.is_empty());
            *valid_api_versions = versions.map(str::to_owned).collect();
        }
        if let Some(prefix) = self.get(CONSTRAINTS, "auto_create_account_prefix")? {
            *auto_create_account_prefix = prefix;
        }
        for (name, target) in [
            ("max_meta_name_length", &mut constraints.max_meta_name_length),
            ("max_meta_value_length", &mut constraints.max_meta_value_length),
            ("max_meta_count", &mut constraints.max_meta_count),
            ("max_meta_overall_size", &mut constraints.max_meta_overall_size),
            ("max_header_size", &mut constraints.max_header_size),
            ("max_request_line", &mut constraints.max_request_line),
            ("extra_header_count", &mut constraints.extra_header_count),
            ("max_object_name_length", &mut constraints.max_object_name_length),
            ("max_container_name_length", &mut constraints.max_container_name_length),
            ("max_account_name_length", &mut constraints.max_account_name_length),
            ("container_listing_limit", &mut constraints.container_listing_limit),
            ("account_listing_limit", &mut constraints.account_listing_limit),
        ] {
            self.number(name, target)?;
        }
        Ok(constraints)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, target: &mut T) -> Result<(), ConfigError> {
        let Some(value) = self.get(CONSTRAINTS, name)? else { return Ok(()) };
        let place = self.entry(CONSTRAINTS, name).map_or("", |(_, entry)| &entry.place);
        *target = value.parse().map_err(|_| {
            ConfigError::new(format!("{place}: {name} = {value} is not possible, it must be a whole number"))
        })?;
        Ok(())
    }
}

/// Undoes the reading as Latin-1.
fn to_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

const CONSTRAINTS: &str = "swift-constraints";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_salt_is_read_as_swift_reads_it() {
        let cases: Value = serde_json::from_str(include_str!("../../tests/vectors/swift-hash.json")).unwrap();
        let bytes_of = |hex: &Value| -> Vec<u8> {
            let hex = hex.as_str().unwrap();
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
        };
        assert_eq!(cases.as_array().unwrap().len(), 15);
        for case in cases.as_array().unwrap() {
            let mut file = b"[swift-hash]\n".to_vec();
            file.extend(bytes_of(&case["section_body_hex"]));
            let parsed = SwiftConf::parse("/etc/swift/swift.conf", &file);
            if case.get("error").is_some() {
                assert!(parsed.is_err(), "{case}");
                continue;
            }
            let expected = HashPath::new(bytes_of(&case["prefix_hex"]), bytes_of(&case["suffix_hex"]));
            let hash = |salt: &HashPath| salt.hash("a", Some("c"), Some("o")).hex();
            let parsed = parsed.unwrap();
            assert_eq!(hash(&parsed.hash_path), case["hash_of_/a/c/o"], "{case}");
            assert_eq!(hash(&parsed.hash_path), hash(&expected), "{case}");
        }
    }

    #[test]
    fn a_missing_salt_is_refused_in_swifts_words() {
        let error = SwiftConf::parse("/etc/swift/swift.conf", "[swift-hash]\n").unwrap_err();
        assert_eq!(
            error.message,
            "[swift-hash]: both swift_hash_path_suffix and swift_hash_path_prefix are missing from /etc/swift/swift.conf"
        );
        assert!(SwiftConf::parse("f", "").is_err());
    }

    #[test]
    fn constraints_override_the_defaults() {
        let salt = "[swift-hash]\nswift_hash_path_suffix = s\n";
        let parse = |text: &str| SwiftConf::parse("swift.conf", format!("{salt}{text}")).map(|c| c.constraints);
        assert_eq!(parse("").unwrap(), Constraints::default());
        let set = parse("[swift-constraints]\nMAX_FILE_SIZE = 10\nmax_meta_count: 3\nvalid_api_versions = v1, v9\n");
        let expected = Constraints {
            max_file_size: 10,
            max_meta_count: 3,
            valid_api_versions: vec!["v1".into(), "v9".into()],
            ..Constraints::default()
        };
        assert_eq!(set.unwrap(), expected);
        let error = parse("[swift-constraints]\nmax_meta_count = many\n").unwrap_err();
        assert!(error.message.starts_with("swift.conf:4: max_meta_count = many"), "{error}");
    }
}
