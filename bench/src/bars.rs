//! Core: rows of figures, each beside its bar: as text, as JSON, as a table of Markdown.

use serde_json::{Value, json};
use std::fmt::Write;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it must not pass; `None` for a figure that stands beside another.
    pub bar: Option<Bar>,
    /// What the figure is made of: `4.7 ms ÷ 0.031 ms`; empty when that is all there is to it.
    pub detail: String,
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

impl Row {
    /// A figure without a bar.
    pub fn figure(name: impl Into<String>, value: f64, unit: &'static str) -> Row {
        Row { name: name.into(), value, unit, bar: None, detail: String::new() }
    }

    /// A figure with a bar.
    pub fn barred(name: impl Into<String>, value: f64, unit: &'static str, bar: Bar) -> Row {
        Row { bar: Some(bar), ..Row::figure(name, value, unit) }
    }

    /// The same, made of this.
    pub fn of(self, detail: impl Into<String>) -> Row {
        Row { detail: detail.into(), ..self }
    }

    /// Whether its bar is met; `None` without one. A figure that is no number meets none.
    pub fn is_met(&self) -> Option<bool> {
        self.bar.map(|bar| match bar {
            Bar::AtLeast(least) => self.value >= least,
            Bar::AtMost(most) => self.value <= most,
        })
    }

    fn bar_text(&self) -> String {
        match self.bar {
            Some(Bar::AtLeast(least)) => format!("≥ {least}"),
            Some(Bar::AtMost(most)) => format!("≤ {most}"),
            None => String::new(),
        }
    }
}

/// A table for people.
pub fn text(rows: &[Row]) -> String {
    let mut text = format!("{:<72} {:>12} {:<10} {:>10}", "what", "measured", "", "bar");
    for row in rows {
        let verdict = match row.is_met() {
            Some(true) => "  met",
            Some(false) => "  NOT MET",
            None => "",
        };
        let detail = if row.detail.is_empty() { String::new() } else { format!("   {}", row.detail) };
        // Writing to a String cannot fail.
        let Row { name, value, unit, .. } = row;
        let _ = write!(text, "\n{name:<72} {value:>12.3} {unit:<10} {:>10}{verdict:<9}{detail}", row.bar_text());
        text.truncate(text.trim_end().len());
    }
    text
}

/// The same for a document.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = "| what | measured | of | bar | |\n|---|--:|---|---|---|".to_owned();
    for row in rows {
        let verdict = match row.is_met() {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "",
        };
        let Row { name, value, unit, detail, .. } = row;
        let decimals = if *value >= 100.0 || value.fract() == 0.0 { 0 } else { 2 };
        let measured = format!("{value:.decimals$} {unit}");
        let _ = write!(text, "\n| {name} | {} | {detail} | {} | {verdict} |", measured.trim_end(), row.bar_text());
    }
    text
}

/// The same as JSON.
pub fn json(rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let (least, most) = match row.bar {
                Some(Bar::AtLeast(least)) => (Some(least), None),
                Some(Bar::AtMost(most)) => (None, Some(most)),
                None => (None, None),
            };
            json!({
                "name": row.name, "value": row.value, "unit": row.unit, "detail": row.detail,
                "at_least": least, "at_most": most, "met": row.is_met(),
            })
        })
        .collect();
    json!({ "rows": rows })
}

/// The share of `full` that a run of this scale asks for, at least `least`.
pub fn share(full: u64, scale: f64, least: u64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a few million"
    )]
    let share = (full as f64 * scale) as u64;
    share.max(least)
}

/// The middle one; zero of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_that_is_not_met_is_said() {
        let rows = [
            Row::barred("fast", 5.5, "x", Bar::AtLeast(5.0)),
            Row::barred("slow", 1.4, "x", Bar::AtMost(1.3)).of("14 us ÷ 10 us"),
            Row::figure("beside", 1.0, ""),
            Row::barred("unknown", f64::NAN, "", Bar::AtMost(1.0)),
        ];
        let text = text(&rows);
        let line = |number| text.lines().nth(number).unwrap_or_default();
        assert!(line(1).ends_with("  met"), "{text}");
        assert!(line(2).contains("  NOT MET") && line(2).ends_with("14 us ÷ 10 us"), "{text}");
        assert!(line(4).ends_with("  NOT MET"), "{text}");
        let value = json(&rows);
        assert_eq!(value.pointer("/rows/1/met"), Some(&json!(false)));
        assert_eq!(value.pointer("/rows/2/met"), Some(&Value::Null));
        assert!(markdown(&rows).contains("| slow | 1.40 x | 14 us ÷ 10 us | ≤ 1.3 | **not met** |"));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
