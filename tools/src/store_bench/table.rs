//! Core: the rows of the report: what was measured, beside its bar.

use serde_json::{Value, json};
use std::fmt::Write;

/// One figure.
pub(super) struct Row {
    /// What was measured.
    pub(super) name: String,
    /// The figure.
    pub(super) value: f64,
    /// Its unit.
    pub(super) unit: &'static str,
    /// What it must not pass; `None` for a figure that stands beside another.
    pub(super) bar: Option<Bar>,
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bar {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

impl Row {
    /// A figure without a bar.
    pub(super) fn figure(name: impl Into<String>, value: f64, unit: &'static str) -> Row {
        Row { name: name.into(), value, unit, bar: None }
    }

    /// A figure with a bar.
    pub(super) fn barred(name: impl Into<String>, value: f64, unit: &'static str, bar: Bar) -> Row {
        Row { name: name.into(), value, unit, bar: Some(bar) }
    }

    fn is_met(&self) -> Option<bool> {
        self.bar.map(|bar| match bar {
            Bar::AtLeast(least) => self.value >= least,
            Bar::AtMost(most) => self.value <= most,
        })
    }
}

/// A table for people.
pub(super) fn text(rows: &[Row]) -> String {
    let mut text = format!("{:<72} {:>12} {:<10} {:>10}", "what", "measured", "", "bar");
    for row in rows {
        let bar = match row.bar {
            Some(Bar::AtLeast(least)) => format!("≥ {least}"),
            Some(Bar::AtMost(most)) => format!("≤ {most}"),
            None => String::new(),
        };
        let verdict = match row.is_met() {
            Some(true) => "  met",
            Some(false) => "  NOT MET",
            None => "",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{:<72} {:>12.3} {:<10} {bar:>10}{verdict}", row.name, row.value, row.unit);
    }
    text
}

/// The same as JSON.
pub(super) fn json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let (least, most) = match row.bar {
                Some(Bar::AtLeast(least)) => (Some(least), None),
                Some(Bar::AtMost(most)) => (None, Some(most)),
                None => (None, None),
            };
            json!({ "name": row.name, "value": row.value, "unit": row.unit, "at_least": least, "at_most": most, "met": row.is_met() })
        })
        .collect();
    format!("{:#}", json!({ "rows": rows }))
}

/// The middle one; zero of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
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
            Row::barred("slow", 1.4, "x", Bar::AtMost(1.3)),
            Row::figure("beside", 1.0, ""),
        ];
        let text = text(&rows);
        assert!(text.lines().nth(1).is_some_and(|line| line.ends_with("  met")), "{text}");
        assert!(text.lines().nth(2).is_some_and(|line| line.ends_with("  NOT MET")), "{text}");
        let value: Value = serde_json::from_str(&json(&rows)).expect("JSON");
        assert_eq!(value.pointer("/rows/1/met"), Some(&json!(false)));
        assert_eq!(value.pointer("/rows/2/met"), Some(&Value::Null));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
