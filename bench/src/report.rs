//! What a measurement found, as tables for people and as JSON for programs.
//!
//! Owns:  both forms, and whether a target was met.
//! Never: measures, judges by its exit code.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, presets};
use serde_json::{Map, Value, json};

use crate::stats::Spread;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Ratio,
    Milliseconds,
    Bytes,
    Count,
    Percent,
}

/// One place in a table.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    Figure(Spread, Unit),
    Verdict(Verdict),
    /// There is nothing to say here.
    Nothing,
}

/// Whether a target was met, and the target.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    met: bool,
    target: String,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64, Unit),
    Below(f64, Unit),
}

impl Target {
    /// Holds a value against the target.
    pub(crate) fn verdict(self, value: f64) -> Cell {
        let (met, target) = match self {
            Self::AtLeast(least, unit) => (value >= least, format!(">= {}", number(least, unit))),
            Self::Below(limit, unit) => (value < limit, format!("< {}", number(limit, unit))),
        };
        Cell::Verdict(Verdict { met, target })
    }
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) const fn one(value: f64, unit: Unit) -> Self {
        Self::Figure(Spread::one(value), unit)
    }

    pub(crate) const fn count(value: u64) -> Self {
        Self::one(value as f64, Unit::Count)
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Figure(spread, unit) if spread.is_one() => number(spread.median, *unit),
            Self::Figure(spread, unit) => {
                let [median, min, max] = [spread.median, spread.min, spread.max].map(|n| number(n, *unit));
                format!("{median} ({min}..{max})")
            }
            Self::Verdict(Verdict { met: true, target }) => format!("met ({target})"),
            Self::Verdict(Verdict { met: false, target }) => format!("missed ({target})"),
            Self::Nothing => String::new(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Figure(spread, unit) => json!({
                "median": spread.median, "min": spread.min, "max": spread.max, "unit": unit_name(*unit),
            }),
            Self::Verdict(Verdict { met, target }) => json!({ "met": met, "target": target }),
            Self::Nothing => Value::Null,
        }
    }
}

const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::PerSecond => "perSecond",
        Unit::Ratio => "ratio",
        Unit::Milliseconds => "ms",
        Unit::Bytes => "bytes",
        Unit::Count => "count",
        Unit::Percent => "percent",
    }
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => format!("{}/s", thousands(value)),
        Unit::Ratio => format!("{value:.2}"),
        Unit::Milliseconds if value >= 10_000.0 => format!("{:.1} s", value / 1000.0),
        Unit::Milliseconds => format!("{} ms", digits(value)),
        Unit::Bytes => bytes(value),
        Unit::Count => thousands(value),
        Unit::Percent => format!("{} %", digits(value)),
    }
}

/// Three digits that count, without needless ones behind the point.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A count in thousands or millions where it is long.
fn thousands(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{} M", digits(value / 1e6)),
        size if size >= 1e4 => format!("{} k", digits(value / 1e3)),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        _ => digits(value),
    }
}

fn bytes(value: f64) -> String {
    const KIB: f64 = 1024.0;
    match value.abs() {
        size if size >= KIB * KIB * KIB => format!("{} GiB", digits(value / KIB / KIB / KIB)),
        size if size >= KIB * KIB => format!("{} MiB", digits(value / KIB / KIB)),
        size if size >= 10.0 * KIB => format!("{} KiB", digits(value / KIB)),
        _ => format!("{value:.0} B"),
    }
}

/// Rows under headings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    title: String,
    headings: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, headings: &[&str]) -> Self {
        let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
        Self { title: title.into(), headings, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    fn shown(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(&self.headings);
        for row in &self.rows {
            table.add_row(row.iter().map(Cell::shown).collect::<Vec<_>>());
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        format!("{}\n\n{}\n", self.title, lines.join("\n"))
    }

    fn json(&self) -> Value {
        let row_json = |row: &Vec<Cell>| {
            let fields = self.headings.iter().cloned().zip(row.iter().map(Cell::json));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row_json).collect::<Vec<_>>() })
    }
}

/// A whole measurement.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    command: &'static str,
    settings: Map<String, Value>,
    tables: Vec<Table>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(command: &'static str) -> Self {
        Self { command, settings: Map::new(), tables: Vec::new(), notes: Vec::new() }
    }

    /// Records what the measurement was made with.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    pub(crate) fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Adds a sentence that a reader of the figures must know.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn shown(&self) -> String {
        let settings: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
        let mut text = format!("{}: {}\n", self.command, settings.join(", "));
        for table in &self.tables {
            text += &format!("\n{}", table.shown());
        }
        for note in &self.notes {
            text += &format!("\n- {note}");
        }
        text + "\n"
    }

    fn json(&self) -> Value {
        json!({
            "command": self.command,
            "settings": self.settings,
            "tables": self.tables.iter().map(Table::json).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    /// Prints the tables, and writes the JSON to where it was asked for. With `-` only the JSON is printed.
    pub(crate) fn give(&self, json: Option<&Path>) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json.is_some_and(|path| path == Path::new("-")) {
            return writeln!(out, "{:#}", self.json()).context("printing the JSON");
        }
        write!(out, "{}", self.shown()).context("printing the tables")?;
        if let Some(path) = json {
            std::fs::write(path, format!("{:#}\n", self.json()))
                .with_context(|| format!("writing the JSON to {}", path.display()))?;
        }
        Ok(())
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count_and_a_unit() {
        for (value, unit, text) in [
            (12_345.0, Unit::PerSecond, "12.3 k/s"),
            (987.6, Unit::PerSecond, "988/s"),
            (0.6, Unit::Ratio, "0.60"),
            (0.0421, Unit::Milliseconds, "0.042 ms"),
            (61_000.0, Unit::Milliseconds, "61.0 s"),
            (96.0 * 1024.0 * 1024.0, Unit::Bytes, "96.0 MiB"),
            (1_000_000.0, Unit::Count, "1.00 M"),
            (0.05, Unit::Percent, "0.050 %"),
        ] {
            assert_eq!(number(value, unit), text);
        }
    }

    #[test]
    fn a_target_says_what_it_is_and_whether_it_was_met() {
        let target = Target::AtLeast(0.6, Unit::Ratio);
        assert_eq!(target.verdict(0.6).shown(), "met (>= 0.60)");
        assert_eq!(target.verdict(0.59).json(), json!({ "met": false, "target": ">= 0.60" }));
        assert_eq!(Target::Below(5.0, Unit::Milliseconds).verdict(5.0).shown(), "missed (< 5.00 ms)");
    }

    #[test]
    fn a_report_is_the_same_in_both_forms() {
        let mut table = Table::new("rates", &["what", "rate", "ratio", "target"]);
        let spread = Spread { median: 2.0, min: 1.0, max: 3.0 };
        table.push(vec![
            Cell::text("one"),
            Cell::Figure(spread, Unit::PerSecond),
            Cell::one(0.5, Unit::Ratio),
            Cell::Nothing,
        ]);
        let mut report = Report::new("submit");
        report.set("rounds", 5);
        report.table(table);
        report.note("a note");
        let text = report.shown();
        assert!(text.starts_with("submit: rounds 5\n\nrates\n\n"), "{text}");
        assert!(text.contains("one   2/s (1/s..3/s)  0.50"), "{text}");
        assert!(text.ends_with("\n- a note\n"), "{text}");
        let json = report.json();
        assert_eq!(json["settings"]["rounds"], 5);
        assert_eq!(
            json["tables"][0]["rows"][0],
            json!({
                "what": "one",
                "rate": { "median": 2.0, "min": 1.0, "max": 3.0, "unit": "perSecond" },
                "ratio": { "median": 0.5, "min": 0.5, "max": 0.5, "unit": "ratio" },
                "target": null,
            })
        );
    }
}
