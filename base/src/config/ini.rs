//! Core: Python's INI dialect: text to sections of raw options.
//!
//! `=` or `:` separates, white space around values goes, comments (`#`, `;`) stand on lines of their own, an indented
//! line continues the value above it, an empty line inside a value stays. A second section or option of one name is an
//! error; `[DEFAULT]` may come again.

use super::ConfigError;
use std::collections::BTreeMap;

/// One option as written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: String,
    /// `file:line`.
    pub(super) place: String,
}

/// Sections as written, nothing folded in.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) defaults: BTreeMap<String, Entry>,
    pub(super) sections: BTreeMap<String, BTreeMap<String, Entry>>,
    places: BTreeMap<String, String>,
}

/// How option names are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Server files.
    AsWritten,
    /// `swift.conf`.
    LowerCase,
}

impl Raw {
    /// Where a section begins.
    pub(super) fn place_of(&self, section: &str) -> String {
        self.places.get(section).cloned().unwrap_or_default()
    }

    fn options(&mut self, section: &str) -> &mut BTreeMap<String, Entry> {
        if section == DEFAULT { &mut self.defaults } else { self.sections.entry(section.to_owned()).or_default() }
    }
}

/// The option a continuation line would extend, and how far it is indented.
struct Open {
    option: String,
    indent: usize,
}

pub(super) fn parse(file: &str, text: &str, names: Names) -> Result<Raw, ConfigError> {
    let mut raw = Raw::default();
    let mut section: Option<String> = None;
    let mut open: Option<Open> = None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let value = line.trim();
        let indent = line.len() - line.trim_start().len();
        if value.starts_with(['#', ';']) {
            continue;
        }
        let current = section.as_deref().zip(open.as_ref());
        if let Some((name, open)) = current.filter(|(_, open)| value.is_empty() || indent > open.indent) {
            if let Some(entry) = raw.options(name).get_mut(&open.option) {
                entry.value.push('\n');
                entry.value.push_str(value);
            }
        } else if value.is_empty() {
            continue;
        } else if let Some(name) = section_name(value) {
            open_section(&mut raw, &place, name)?;
            section = Some(name.to_owned());
            open = None;
        } else {
            let Some(name) = section.as_deref() else {
                let message = format!("{place}: {value:?} stands before the first [section]");
                return Err(ConfigError::new(message));
            };
            let option = add_option(&mut raw, name, value, &place, names)?;
            open = Some(Open { option, indent });
        }
    }
    let values = raw.sections.values_mut().chain([&mut raw.defaults]).flat_map(BTreeMap::values_mut);
    for entry in values {
        entry.value.truncate(entry.value.trim_end().len());
    }
    Ok(raw)
}

fn section_name(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('[')?;
    let end = inner.rfind(']')?;
    inner.get(..end).filter(|name| !name.is_empty())
}

fn open_section(raw: &mut Raw, place: &str, name: &str) -> Result<(), ConfigError> {
    if name == DEFAULT {
        return Ok(());
    }
    if let Some(first) = raw.places.get(name) {
        let message = format!("{place}: section [{name}] already exists at {first}; join the two");
        return Err(ConfigError::new(message));
    }
    raw.places.insert(name.to_owned(), place.to_owned());
    raw.sections.entry(name.to_owned()).or_default();
    Ok(())
}

/// Returns the option's name as it is kept.
fn add_option(raw: &mut Raw, section: &str, line: &str, place: &str, names: Names) -> Result<String, ConfigError> {
    let (option, value) = line.split_once(['=', ':']).ok_or_else(|| {
        ConfigError::new(format!("{place}: {line:?} is neither a [section] nor an option (name = value)"))
    })?;
    let option = option.trim();
    if option.is_empty() {
        return Err(ConfigError::new(format!("{place}: {line:?} has no option name")));
    }
    let option = if names == Names::LowerCase { option.to_lowercase() } else { option.to_owned() };
    let options = raw.options(section);
    if let Some(first) = options.get(&option) {
        let message = format!(
            "{place}: option '{option}' in section [{section}] already exists at {}; keep one of them",
            first.place
        );
        return Err(ConfigError::new(message));
    }
    options.insert(option.clone(), Entry { value: value.trim().to_owned(), place: place.to_owned() });
    Ok(option)
}

/// Replaces `%(name)s` and `%%`; any other `%` is an error.
pub(super) fn interpolate<'a>(
    entry: &'a Entry,
    look_up: impl Fn(&str) -> Option<&'a str>,
) -> Result<String, ConfigError> {
    let mut result = String::new();
    replace(&entry.value, &entry.place, &look_up, 0, &mut result)?;
    Ok(result)
}

fn replace<'a>(
    value: &str,
    place: &str,
    look_up: &impl Fn(&str) -> Option<&'a str>,
    depth: usize,
    result: &mut String,
) -> Result<(), ConfigError> {
    if depth > DEPTH_MAX || result.len() > LENGTH_MAX {
        return Err(ConfigError::new(format!("{place}: the %(...)s of this option refer to one another without end")));
    }
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once('%') {
        result.push_str(before);
        if let Some(behind) = behind.strip_prefix('%') {
            result.push('%');
            rest = behind;
        } else if let Some((name, behind)) = behind.strip_prefix('(').and_then(|b| b.split_once(")s")) {
            let referred = look_up(name)
                .ok_or_else(|| ConfigError::new(format!("{place}: %({name})s refers to an option that is not set")))?;
            replace(referred, place, look_up, depth + 1, result)?;
            rest = behind;
        } else {
            let message =
                format!("{place}: '%' must be followed by '%' or '(', found: '%{behind}'; write %% for one %");
            return Err(ConfigError::new(message));
        }
    }
    result.push_str(rest);
    Ok(())
}

const DEFAULT: &str = "DEFAULT";
/// Python's limit.
const DEPTH_MAX: usize = 10;
/// Ten levels that each name the next one ten times would fill the memory.
const LENGTH_MAX: usize = 1 << 20;
