//! Core: Swift's configuration files: PasteDeploy's rules over Python's INI dialect.
//!
//! - `ini` turns text into sections of raw options and refuses what Python refuses, with file and line.
//! - This file folds `[DEFAULT]` in, resolves `%(name)s`, and hands out options.
//! - `swift_conf` reads `swift.conf`, which every daemon of a cluster shares.
//!
//! Option names are case-sensitive in server files, because Swift's are (`user_<account>_<user>` needs it); asking
//! falls back to any case. A section of PasteDeploy (`app:`, `filter:`, `pipeline:` …) cannot override an option of
//! `[DEFAULT]` except with `set name = value`; other sections (`[object-updater]` …) simply override it.

mod ini;
mod swift_conf;

pub use swift_conf::SwiftConf;

use ini::{Entry, Raw};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A parsed file (or `x.conf.d` directory, concatenated by the caller).
#[derive(Clone, Debug, Default)]
pub struct Config {
    sections: BTreeMap<String, Section>,
    defaults: Section,
}

/// One section with `[DEFAULT]` folded in and `%(name)s` resolved. Asking for an option marks it as known.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Option, as written → value.
    pub options: BTreeMap<String, String>,
    /// Where each option was written in this very section: `file:line`.
    places: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
    place: String,
}

/// What is wrong, with file and line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// One sentence that names file, line and what to do.
    pub message: String,
}

impl ConfigError {
    /// With this sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Parses; `file` is for messages and for `%(here)s`.
    pub fn parse(file: &str, text: &str) -> Result<Config, ConfigError> {
        let raw = ini::parse(file, text, ini::Names::AsWritten)?;
        let mut defaults = built_in_defaults(file);
        defaults.extend(raw.defaults.clone());
        let interpolate = |own: &BTreeMap<String, Entry>, entry: &Entry| {
            let look_up = |name: &str| own.get(name).or_else(|| defaults.get(name)).map(|e| e.value.as_str());
            // Swift leaves values alone that hold no `%(`, so that `1%` means one per cent.
            if entry.value.contains("%(") { ini::interpolate(entry, look_up) } else { Ok(entry.value.clone()) }
        };
        let mut config = Config::default();
        let none = BTreeMap::new();
        for (name, entry) in &raw.defaults {
            config.defaults.options.insert(name.clone(), interpolate(&none, entry)?);
            config.defaults.places.insert(name.clone(), entry.place.clone());
        }
        config.defaults.place = file.to_owned();
        for (name, own) in &raw.sections {
            let mut section = config.defaults.clone();
            section.places.clear();
            section.place = raw.place_of(name);
            for (option, entry) in own {
                section.add(name, option, interpolate(own, entry)?, entry, &raw);
            }
            config.sections.insert(name.clone(), section);
        }
        Ok(config)
    }
    /// The section, e.g. `app:proxy-server`, with defaults applied by PasteDeploy's rules (`set x =` overrides `[DEFAULT]`).
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name)
    }
    /// The section, or the defaults alone when the file has none of this name.
    pub fn section_or_defaults(&self, name: &str) -> &Section {
        self.sections.get(name).unwrap_or(&self.defaults)
    }
    /// `[DEFAULT]` itself.
    pub fn defaults(&self) -> &Section {
        &self.defaults
    }
    /// Names, sorted.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }
}

impl Section {
    /// An option's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = self.written_name(name)?;
        self.asked.borrow_mut().insert(name.to_owned());
        self.options.get(name).map(String::as_str)
    }
    /// A number within `bounds`, or `default`.
    pub fn integer(&self, name: &str, default: u64, bounds: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|number| bounds.contains(number));
        let wanted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        number.ok_or_else(|| self.error(name, &wanted))
    }
    /// A finite number within `bounds`, or `default`.
    pub fn float(&self, name: &str, default: f64, bounds: RangeInclusive<f64>) -> Result<f64, ConfigError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.parse().ok().filter(|number: &f64| bounds.contains(number));
        let wanted = format!("a number from {} to {}", bounds.start(), bounds.end());
        number.ok_or_else(|| self.error(name, &wanted))
    }
    /// Seconds, perhaps with a fraction; up to ten years.
    pub fn seconds(&self, name: &str, default: f64) -> Result<Duration, ConfigError> {
        self.float(name, default, 0.0..=315_576_000.0).map(Duration::from_secs_f64)
    }
    /// Swift's true values; everything else is false.
    pub fn boolean(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, is_true)
    }
    /// A comma-separated list, blanks stripped, empty items dropped.
    pub fn list(&self, name: &str, default: &str) -> Vec<String> {
        let items = self.get(name).unwrap_or(default).split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }
    /// The sentence that refuses an option's value: where it stands, what it is, what it should be.
    pub fn error(&self, name: &str, wanted: &str) -> ConfigError {
        let written = self.written_name(name).unwrap_or(name);
        let place = self.places.get(written).unwrap_or(&self.place);
        let value = self.options.get(written).map_or("", String::as_str);
        ConfigError::new(format!("{place}: {written} = {value} is not possible, it must be {wanted}"))
    }
    /// Options written in this very section that nobody asked for, each with `file:line`. `use` is PasteDeploy's own.
    pub fn unknown(&self) -> Vec<(String, String)> {
        let asked = self.asked.borrow();
        let unknown = self.places.iter().filter(|(name, _)| *name != "use" && !asked.contains(*name));
        unknown.map(|(name, place)| (name.clone(), place.clone())).collect()
    }

    fn written_name<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.options.contains_key(name) {
            return Some(name);
        }
        self.options.keys().find(|key| key.eq_ignore_ascii_case(name)).map(String::as_str)
    }

    /// One option of `section`, by the rules of its kind.
    fn add(&mut self, section: &str, option: &str, value: String, entry: &Entry, raw: &Raw) {
        let name = if !is_paste(section) {
            option
        } else if let Some(name) = option.strip_prefix("set ") {
            name.trim()
        } else if let Some(name) = option.strip_prefix("get ") {
            let global = self.options.get(&value).cloned().unwrap_or_default();
            return self.insert(name.trim(), global, entry);
        } else if raw.defaults.contains_key(option) {
            return;
        } else {
            option
        };
        self.insert(name, value, entry);
    }

    fn insert(&mut self, name: &str, value: String, entry: &Entry) {
        self.options.insert(name.to_owned(), value);
        self.places.insert(name.to_owned(), entry.place.clone());
    }
}

/// Swift's true values: true, 1, yes, on, t, y in any case.
pub fn is_true(value: &str) -> bool {
    ["true", "1", "yes", "on", "t", "y"].iter().any(|t| value.eq_ignore_ascii_case(t))
}

fn is_paste(section: &str) -> bool {
    let kind = section.split_once(':').map_or(section, |(kind, _)| kind);
    let kinds = ["app", "application", "filter", "filter-app", "pipeline", "composite", "composit", "server"];
    kinds.contains(&kind)
}

/// What PasteDeploy offers to interpolation: the file and its directory.
fn built_in_defaults(file: &str) -> BTreeMap<String, Entry> {
    let here = file.rsplit_once('/').map_or(".", |(directory, _)| directory);
    let entry = |value: &str| Entry { value: value.to_owned(), place: file.to_owned() };
    BTreeMap::from([("here".to_owned(), entry(here)), ("__file__".to_owned(), entry(file))])
}

#[cfg(test)]
mod tests;
