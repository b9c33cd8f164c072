//! What the daemon counts about itself, and its text form for Prometheus.
//!
//! Owns:  attempts by outcome, the time that commits take; names and help of every metric.
//! Never: waits: counting happens on the store's writer thread.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use outbox::{Notices, Outcome, SpoolStatus};

use crate::engine::{LinkState, View};

/// Upper ends of the groups that commits are sorted into, in seconds: a commit takes a tenth of a millisecond on a
/// good drive and seconds on a bad one.
const COMMIT_BUCKETS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// Counts since the daemon's start.
#[derive(Debug, Default)]
pub struct Metrics {
    attempts: [AtomicU64; Outcome::ALL.len()],
    /// By bucket, each commit in the first that it fits into; the last is for all others.
    commits: [AtomicU64; COMMIT_BUCKETS.len() + 1],
    commits_us: AtomicU64,
}

/// What a scrape shows beside what is counted.
pub struct Gauges {
    /// The store as a whole.
    pub spool: SpoolStatus,
    /// The engine.
    pub view: View,
    /// Age of the oldest message that waits.
    pub oldest_waiting_ms: u64,
}

impl Metrics {
    /// Counts what happened in one group.
    pub fn observe(&self, notices: &Notices) {
        for outcome in &notices.outcomes {
            let at = Outcome::ALL.iter().position(|known| known == outcome);
            if let Some(counter) = at.and_then(|at| self.attempts.get(at)) {
                counter.fetch_add(1, Relaxed);
            }
        }
        let took = notices.commit_took;
        if !took.is_zero() {
            let bucket = COMMIT_BUCKETS.iter().position(|end| took.as_secs_f64() <= *end);
            if let Some(counter) = self.commits.get(bucket.unwrap_or(COMMIT_BUCKETS.len())) {
                counter.fetch_add(1, Relaxed);
            }
            self.commits_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
        }
    }

    /// Everything in the text format of Prometheus.
    #[must_use]
    pub fn text(&self, gauges: &Gauges) -> String {
        let mut page = Page::default();
        let Gauges { spool, view, oldest_waiting_ms } = gauges;
        let counters = &spool.counters;
        page.family("outbox_entries", "gauge", "Entries by state.");
        for (state, count) in [
            ("queued", counters.ready),
            ("deferred", counters.deferred),
            ("blocked", counters.blocked()),
            ("held", counters.held),
            ("sending", counters.sending),
            ("uncertain", counters.uncertain),
            ("failed", counters.failed),
            ("expired", counters.expired),
        ] {
            page.line(&format!("outbox_entries{{state=\"{state}\"}}"), count);
        }
        self.attempts(&mut page);
        self.commits(&mut page);
        page.one(
            "outbox_sent_total",
            "counter",
            "Messages sent since the spool was made.",
            counters.sent_total,
        );
        let oldest = seconds(*oldest_waiting_ms);
        page.one(
            "outbox_oldest_waiting_seconds",
            "gauge",
            "Age of the oldest message that waits; 0 if none does.",
            oldest,
        );
        page.one(
            "outbox_link_up",
            "gauge",
            "Whether attempts are answered.",
            u8::from(view.link == LinkState::Up),
        );
        page.one("outbox_paused", "gauge", "Whether everything is paused.", u8::from(counters.paused));
        page.one("outbox_in_flight", "gauge", "Attempts under way in this process.", view.in_flight);
        page.one("outbox_payload_bytes", "gauge", "Payload bytes of all entries.", counters.payload_bytes);
        page.one("outbox_receipts", "gauge", "Receipts kept.", counters.receipts);
        page.one(
            "outbox_quarantined_total",
            "counter",
            "Records set aside because they could not be read.",
            counters.quarantined,
        );
        page.one(
            "outbox_store_damaged",
            "gauge",
            "Whether a part of the store could not be read, at the start or since.",
            u8::from(spool.is_damaged),
        );
        page.one(
            "outbox_missing",
            "gauge",
            "Messages and receipts that the start found missing.",
            spool.missing,
        );
        page.one(
            "outbox_damaged_files",
            "gauge",
            "Files of large messages and replacements that were met and cannot be read.",
            spool.damaged_files,
        );
        page.one(
            "outbox_store_failed",
            "gauge",
            "Whether the store takes no changes.",
            u8::from(spool.has_failed),
        );
        page.one(
            "outbox_spool_free_bytes",
            "gauge",
            "Free bytes of the spool's file system.",
            spool.free_bytes,
        );
        page.text
    }

    fn attempts(&self, page: &mut Page) {
        page.family(
            "outbox_attempts_total",
            "counter",
            "Attempts that ended, by outcome, since the daemon's start.",
        );
        let mut names: Vec<&str> = Vec::new();
        for outcome in Outcome::ALL {
            // Two kinds have one name to a reader.
            if names.contains(&outcome.as_str()) {
                continue;
            }
            names.push(outcome.as_str());
            let same = Outcome::ALL
                .iter()
                .zip(&self.attempts)
                .filter(|(known, _)| known.as_str() == outcome.as_str());
            let count: u64 = same.map(|(_, counter)| counter.load(Relaxed)).sum();
            page.line(&format!("outbox_attempts_total{{outcome=\"{}\"}}", outcome.as_str()), count);
        }
    }

    fn commits(&self, page: &mut Page) {
        page.family("outbox_commit_seconds", "histogram", "Time to make a group of changes durable.");
        let mut count = 0;
        let ends = COMMIT_BUCKETS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (end, counter) in ends.zip(&self.commits) {
            count += counter.load(Relaxed);
            page.line(&format!("outbox_commit_seconds_bucket{{le=\"{end}\"}}"), count);
        }
        let sum = std::time::Duration::from_micros(self.commits_us.load(Relaxed)).as_secs_f64();
        page.line("outbox_commit_seconds_sum", sum);
        page.line("outbox_commit_seconds_count", count);
    }
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// The text under construction.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.text, "{name} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn commits_add_up_over_the_buckets_and_outcomes_with_one_name_are_one() {
        let metrics = Metrics::default();
        for (took_us, outcome) in [
            (0, Outcome::Sent),
            (80, Outcome::MaybeReached),
            (3_000, Outcome::ProvesNothing),
            (9_000_000, Outcome::Sent),
        ] {
            let commit_took = Duration::from_micros(took_us);
            metrics.observe(&Notices { outcomes: vec![outcome], commit_took, ..Notices::default() });
        }
        let mut page = Page::default();
        metrics.attempts(&mut page);
        metrics.commits(&mut page);
        for line in [
            "outbox_attempts_total{outcome=\"sent\"} 2\n",
            "outbox_attempts_total{outcome=\"maybeReached\"} 2\n",
            "outbox_attempts_total{outcome=\"reject\"} 0\n",
            "outbox_commit_seconds_bucket{le=\"0.0001\"} 1\n",
            "outbox_commit_seconds_bucket{le=\"0.005\"} 2\n",
            "outbox_commit_seconds_bucket{le=\"2.5\"} 2\n",
            "outbox_commit_seconds_bucket{le=\"+Inf\"} 3\n",
            "outbox_commit_seconds_sum 9.00308\n",
            "outbox_commit_seconds_count 3\n",
        ] {
            assert!(page.text.contains(line), "no {line}{}", page.text);
        }
        assert_eq!(page.text.matches("maybeReached").count(), 1);
    }
}
