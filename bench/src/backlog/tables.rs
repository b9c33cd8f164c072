//! The tables of `backlog`.
//!
//! Owns:  which figure stands where, its target, and which size it is compared with.
//! Never: measures.

use super::case::{Case, Found};
use crate::report::{Cell, Table, Target, Unit};
use crate::stats::{Spread, ratio};

/// What a reader must know.
pub(super) const NOTES: [&str; 5] = [
    "fill: NDJSON requests of 2,000 lines to a paused daemon; submit: the same with a quarter of `drain` lines, beside the \
     backlog. Ratios are taken round by round against the size that `of` names",
    "ready: from the start of the process until GET /v1/health/ready says so; after a stop in order, and after kill -9 \
     right behind the submits",
    "first send: from the end of the pause to the first request at the service, after the start behind the kill; drain: \
     `drain` messages from there on, a loopback service that answers at once",
    "memory: the most that was resident (VmHWM), begun anew before the drain; end: resident behind the drain (VmRSS)",
    "questions over a kept connection: the median of 15 in each round",
];

/// Sizes that others are compared with.
const SUBMIT_BASE: u64 = 10_000;
const DRAIN_BASE: u64 = 1_000;

const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn tables(conversations: u64, cases: &[Case]) -> [Table; 3] {
    [costs(conversations, cases), starts(conversations, cases), memories(conversations, cases)]
}

fn title(what: &str, conversations: u64) -> String {
    match conversations {
        1 => format!("{what}, one conversation"),
        _ => format!("{what}, {conversations} conversations"),
    }
}

/// The backlog of this size, or the first one.
fn base(cases: &[Case], size: u64) -> Option<&Case> {
    cases.iter().find(|case| case.size == size).or(cases.first())
}

/// A ratio to the backlog that is compared with, its size, and whether the target was met. Nothing for that itself.
fn compared(case: &Case, base: Option<&Case>, of: fn(&Found) -> &Vec<f64>, target: Target) -> [Cell; 3] {
    match base.filter(|base| base.size != case.size) {
        None => [Cell::Nothing, Cell::Nothing, Cell::Nothing],
        Some(base) => {
            let spread = ratio(of(&case.found), of(&base.found));
            [Cell::Figure(spread, Unit::Ratio), Cell::count(base.size), target.verdict(spread.median)]
        }
    }
}

fn figure(values: &[f64], unit: Unit) -> Cell {
    Cell::Figure(Spread::of(values), unit)
}

fn with_target(values: &[f64], limit: f64, unit: Unit) -> [Cell; 2] {
    let spread = Spread::of(values);
    [Cell::Figure(spread, unit), Target::Below(limit, unit).verdict(spread.median)]
}

fn costs(conversations: u64, cases: &[Case]) -> Table {
    let headings = [
        "waiting",
        "fill",
        "submit a message",
        "ratio",
        "of",
        "submit target",
        "drain",
        "drain ratio",
        "drain of",
        "drain target",
    ];
    let mut table = Table::new(title("Costs", conversations), &headings);
    for case in cases {
        let found = &case.found;
        let mut row = vec![Cell::count(case.size), Cell::one(case.fill_rate, Unit::PerSecond)];
        row.push(figure(&found.submit_ms, Unit::Milliseconds));
        let submit_target = Target::Below(1.3, Unit::Ratio);
        row.extend(compared(case, base(cases, SUBMIT_BASE), |found| &found.submit_ms, submit_target));
        row.push(figure(&found.drain_rate, Unit::PerSecond));
        let drain_target = Target::AtLeast(0.85, Unit::Ratio);
        row.extend(compared(case, base(cases, DRAIN_BASE), |found| &found.drain_rate, drain_target));
        table.push(row);
    }
    table
}

fn starts(conversations: u64, cases: &[Case]) -> Table {
    let headings = [
        "waiting",
        "ready",
        "ready target",
        "ready after a kill",
        "kill target",
        "first send",
        "status",
        "status target",
        "list of 100",
        "list target",
    ];
    let mut table = Table::new(title("Starts and questions", conversations), &headings);
    for case in cases {
        let found = &case.found;
        let mut row = vec![Cell::count(case.size)];
        row.extend(with_target(&found.ready_clean_ms, 1_000.0, Unit::Milliseconds));
        row.extend(with_target(&found.ready_killed_ms, 5_000.0, Unit::Milliseconds));
        row.push(figure(&found.first_send_ms, Unit::Milliseconds));
        row.extend(with_target(&found.status_ms, 5.0, Unit::Milliseconds));
        row.extend(with_target(&found.list_ms, 20.0, Unit::Milliseconds));
        table.push(row);
    }
    table
}

fn memories(conversations: u64, cases: &[Case]) -> Table {
    let headings = ["waiting", "fill", "start", "start after a kill", "drain", "end", "most", "target"];
    let mut table = Table::new(title("Memory of the daemon", conversations), &headings);
    for case in cases {
        let found = &case.found;
        let peaks = [&found.peak_clean, &found.peak_killed, &found.peak_drain];
        let most = peaks.into_iter().flatten().copied().fold(case.peak_fill, f64::max);
        table.push(vec![
            Cell::count(case.size),
            Cell::one(case.peak_fill, Unit::Bytes),
            figure(&found.peak_clean, Unit::Bytes),
            figure(&found.peak_killed, Unit::Bytes),
            figure(&found.peak_drain, Unit::Bytes),
            figure(&found.memory_end, Unit::Bytes),
            Cell::one(most, Unit::Bytes),
            Target::Below(96.0 * MIB, Unit::Bytes).verdict(most),
        ]);
    }
    table
}
