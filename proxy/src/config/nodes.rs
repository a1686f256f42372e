//! Core: the options that say which nodes are preferred, of the application and of `[proxy-server:policy:<index>]`.

use crate::backend::affinity::{Count, Preference, Sorting, parse_read, parse_write};
use crate::backend::hedge::Hedging;
use base::config::{Config as Ini, ConfigError, Section, is_true};
use std::collections::BTreeMap;

/// The application's, or those of a policy, which fall back to the application's.
pub(super) fn preference(app: &Section, own: Option<&Section>) -> Result<Preference, ConfigError> {
    // Every option is asked for at both places, so that it is known at both.
    let find = |name: &str| {
        let general = app.get(name);
        match own.and_then(|own| own.get(name).map(|value| (own, value))) {
            Some(found) => Some(found),
            None => general.map(|value| (app, value)),
        }
    };
    let sorting = match find("sorting_method") {
        None => Sorting::Shuffle,
        Some((section, value)) => match value.to_ascii_lowercase().as_str() {
            "shuffle" => Sorting::Shuffle,
            "timing" => Sorting::Timing,
            "affinity" => Sorting::Affinity,
            _ => return Err(section.error("sorting_method", "shuffle, timing or affinity")),
        },
    };
    let read = find("read_affinity").map_or(Ok(Vec::new()), |(section, value)| {
        parse_read(value)
            .ok_or_else(|| section.error("read_affinity", "places with priorities, as in r1z1=100, r2=200"))
    })?;
    let write = find("write_affinity").map_or(Ok(Vec::new()), |(section, value)| {
        parse_write(value).ok_or_else(|| section.error("write_affinity", "places, as in r1, r2z3"))
    })?;
    let write_node_count = find("write_affinity_node_count").map_or(Ok(Count::PerReplica(2)), |(section, value)| {
        count(value).ok_or_else(|| section.error("write_affinity_node_count", "a number, or `2 * replicas`"))
    })?;
    let handoff_delete_count = match find("write_affinity_handoff_delete_count") {
        None | Some((_, "auto")) => None,
        Some((section, value)) => {
            let wanted = "a whole number up to 1024, or auto";
            let parsed = value.parse().ok().filter(|count| *count <= NODES_MAX);
            Some(parsed.ok_or_else(|| section.error("write_affinity_handoff_delete_count", wanted))?)
        }
    };
    let hedging = hedging(app, find("concurrent_gets").map(|(_, value)| value), find("concurrency_timeout"))?;
    let missing_left_out = match find("rebalance_missing_suppression_count") {
        None => 1,
        Some((section, _)) => {
            let count = section.integer("rebalance_missing_suppression_count", 1, 0..=NODES_MAX as u64)?;
            usize::try_from(count).unwrap_or(NODES_MAX)
        }
    };
    Ok(Preference { sorting, read, write, write_node_count, handoff_delete_count, hedging, missing_left_out })
}

/// Swift's two options; without them, or with `concurrent_gets = measured`, it is measured when a second node is asked.
fn hedging(app: &Section, concurrent: Option<&str>, timeout: Option<(&Section, &str)>) -> Result<Hedging, ConfigError> {
    let timeout = match timeout {
        Some((section, _)) => section.seconds("concurrency_timeout", 0.5)?,
        None => app.seconds("conn_timeout", 0.5)?,
    };
    Ok(match concurrent {
        None | Some("measured") => Hedging::Measured,
        Some(value) if is_true(value) => Hedging::After(timeout),
        Some(_) => Hedging::Off,
    })
}

/// Those of every policy that has a section of its own.
pub(super) fn of_policies(file: &str, ini: &Ini, app: &Section) -> Result<BTreeMap<u32, Preference>, ConfigError> {
    let mut found = BTreeMap::new();
    for name in ini.sections().filter(|name| name.starts_with(SECTION)) {
        let Some(section) = ini.section(name) else { continue };
        let index = name.strip_prefix(SECTION).and_then(|index| index.trim().parse().ok());
        let index =
            index.ok_or_else(|| ConfigError::new(format!("{file}: [{name}] must end with a policy's number")))?;
        found.insert(index, preference(app, Some(section))?);
    }
    Ok(found)
}

const SECTION: &str = "proxy-server:policy:";
/// More nodes than any request asks.
const NODES_MAX: usize = 1024;

fn count(text: &str) -> Option<Count> {
    let number = |text: &str| text.parse().ok().filter(|count| *count <= NODES_MAX);
    match text.to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().as_slice() {
        [count] => number(count).map(Count::Nodes),
        [count, "*", "replicas"] => number(count).map(Count::PerReplica),
        _ => None,
    }
}
