//! Core: Swift's configuration files: PasteDeploy's rules over Python's INI dialect (specs: internal-files §1).

use std::collections::BTreeMap;

/// A parsed file (or `x.conf.d` directory, concatenated by the caller).
#[derive(Clone, Debug, Default)]
pub struct Config {
    sections: BTreeMap<String, Section>,
}

/// One section with `[DEFAULT]` folded in and `%(name)s` resolved. Asking for an option marks it as known.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Lower-case option → value.
    pub options: BTreeMap<String, String>,
}

/// What is wrong, with file and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// One sentence that names file, line and what to do.
    pub message: String,
}

impl Config {
    /// Parses; `file` is for messages.
    pub fn parse(_file: &str, _text: &str) -> Result<Config, ConfigError> {
        todo!()
    }
    /// The section, e.g. `app:proxy-server`, with defaults applied by PasteDeploy's rules (`set x =` overrides `[DEFAULT]`).
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name)
    }
    /// Names, sorted.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }
}

impl Section {
    /// An option's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// Swift's true values: true, 1, yes, on, t, y in any case.
pub fn is_true(value: &str) -> bool {
    ["true", "1", "yes", "on", "t", "y"].iter().any(|t| value.eq_ignore_ascii_case(t))
}
