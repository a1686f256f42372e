//! The commands that only look: nothing on disk changes.

use super::commands::{invalid, matching};
use super::options::Options;
use super::{SUCCESS, Session, Stop, WARNING, report};
use ring::FormatVersion;
use ring::builder::{Builder, Plan, TierName};
use std::cmp::Reverse;
use std::collections::BTreeMap;

impl Session<'_> {
    pub(super) fn default(&mut self, builder: &Builder) -> Result<i32, Stop> {
        let file = self.ring_file.display();
        let line = match self.load_ring() {
            Ok(None) => format!("Ring file {file} not found, probably it hasn't been written yet"),
            Err(error) => format!("Ring file {file} is invalid: {error}"),
            Ok(Some((ring, _))) if builder.ring().is_ok_and(|ours| ours == ring) => {
                format!("Ring file {file} is up-to-date")
            }
            Ok(Some(_)) => format!("Ring file {file} is obsolete"),
        };
        let text = report::overview(builder, &self.builder_file.display().to_string(), &line, self.now);
        self.say(text.trim_end_matches('\n'));
        Ok(SUCCESS)
    }

    pub(super) fn version(&mut self) -> Result<i32, Stop> {
        let file = self.ring_file.display().to_string();
        let Some((ring, format)) = self.load_ring()? else {
            return Err(Stop::error(format!("Ring file {file} not found")));
        };
        let (format, bytes) = (if format == FormatVersion::V2 { 2 } else { 1 }, ring.device_id_bytes());
        let version = ring.version().unwrap_or(0);
        self.say(&format!("{file}: Serialization version: {format} ({bytes}-byte IDs), build version: {version}"));
        Ok(SUCCESS)
    }

    pub(super) fn search(&mut self, builder: &Builder, options: &Options) -> Result<i32, Stop> {
        let found = matching(builder, options)?;
        if found.is_empty() {
            return Err(Stop::error("No matching devices found"));
        }
        let table = report::search_table(builder, &found);
        self.say(table.trim_end_matches('\n'));
        Ok(SUCCESS)
    }

    pub(super) fn list_parts(&mut self, builder: &Builder, options: &Options) -> Result<i32, Stop> {
        let found = matching(builder, options)?;
        let mut matches: BTreeMap<u64, u64> = BTreeMap::new();
        for row in 0..builder.row_count() {
            let held =
                (0..builder.parts()).filter(|part| builder.assigned(row, *part).is_some_and(|id| found.contains(&id)));
            held.for_each(|part| *matches.entry(part).or_default() += 1);
        }
        if matches.is_empty() {
            return Err(Stop::error("No matching devices found"));
        }
        let mut matches: Vec<(u64, u64)> = matches.into_iter().collect();
        matches.sort_by_key(|(part, count)| (Reverse(*count), *part));
        self.say("Partition   Matches");
        for (part, count) in matches {
            self.say(&format!("{part:9}   {count:7}"));
        }
        Ok(SUCCESS)
    }

    pub(super) fn validate(&mut self, builder: &Builder) -> Result<i32, Stop> {
        builder.validate().map_err(|error| invalid(&error.message))?;
        Ok(SUCCESS)
    }

    pub(super) fn dispersion(&mut self, builder: &Builder) -> Result<i32, Stop> {
        if !builder.ever_rebalanced() {
            let file = self.builder_file.display();
            let message = format!("Specified builder file \"{file}\" is not rebalanced yet. Please rebalance first.");
            return Err(Stop::error(message));
        }
        let plan = Plan::new(builder);
        let most: BTreeMap<&[TierName], f64> =
            plan.tiers().map(|(tier, numbers)| (tier, numbers.max_replicas)).collect();
        let at_risk = builder.dispersion_graph().map(|(tier, counts)| {
            let most = most.get(tier).copied().unwrap_or(f64::INFINITY);
            let parts: u64 = counts.iter().sum();
            let crowded = counts.iter().enumerate().filter(|(replicas, _)| *replicas as f64 > most);
            let crowded: u64 = crowded.map(|(_, parts)| parts).sum();
            (100.0 * crowded as f64 / parts.max(1) as f64, tier)
        });
        let worst =
            at_risk.fold((0.0, None), |worst, (risk, tier)| if risk > worst.0 { (risk, Some(tier)) } else { worst });
        self.say(&format!(
            "Dispersion is {:.6}, Balance is {:.6}, Overload is {:.2}%",
            builder.dispersion,
            builder.balance(),
            builder.overload * 100.0
        ));
        self.say(&format!("Required overload is {:.6}%", plan.required_overload * 100.0));
        let Some(tier) = worst.1 else { return Ok(SUCCESS) };
        self.say(&format!("Worst tier is {:.6} ({})", worst.0, tier_name(tier)));
        Ok(WARNING)
    }
}

/// `r1z2-10.0.0.1/3`.
fn tier_name(tier: &[TierName]) -> String {
    let mut name = String::new();
    for (part, prefix) in tier.iter().zip(["r", "z", "-", "/"]) {
        name.push_str(prefix);
        match part {
            TierName::Number(number) => name.push_str(&number.to_string()),
            TierName::Ip(ip) => name.push_str(ip),
        }
    }
    name
}
