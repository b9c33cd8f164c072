//! What happened in a schedule, line by line, and a sum over it that tells two runs apart.
//!
//! Owns:  the trace and how often each kind of thing happened.
//! Never: decides anything.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How often each kind of thing happened.
pub(crate) type Coverage = BTreeMap<String, u64>;

/// Lines after which a schedule goes round in circles: the longest have some hundreds.
const LINES_MAX: usize = 20_000;

/// Everything that happened.
pub(crate) struct Trace {
    hasher: DefaultHasher,
    lines: Vec<String>,
    pub(crate) coverage: Coverage,
}

impl Trace {
    pub(crate) fn new() -> Self {
        // Its keys are fixed, so the sum of one run can be compared with that of another.
        Self { hasher: DefaultHasher::new(), lines: Vec::new(), coverage: Coverage::new() }
    }

    pub(crate) fn line(&mut self, at_ms: u64, text: &str) {
        assert!(self.lines.len() < LINES_MAX, "a schedule without an end: {text}");
        (at_ms, text).hash(&mut self.hasher);
        self.lines.push(format!("{:>9}.{:03}  {text}", at_ms / 1000, at_ms % 1000));
    }

    /// Counts a thing that a generator must reach.
    pub(crate) fn count(&mut self, kind: &str, what: &str) {
        *self.coverage.entry(format!("{kind} {what}")).or_default() += 1;
    }

    pub(crate) fn sum(&self) -> u64 {
        self.hasher.finish()
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}
