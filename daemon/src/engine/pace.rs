//! Pace: how many attempts may be under way at once.
//!
//! Owns:  the window: one after an outage, more with each success, half after trouble.
//! Never: counts what is under way, waits.

use outbox::Outcome;

/// Trouble does not narrow the window below this: where one answer is lost and the next message hangs, other
/// conversations must not wait for its time-out.
const TROUBLE_MIN: usize = 4;

/// The window of attempts.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    window: usize,
    max: usize,
    /// Successes still to come before trouble halves the window again: the attempts of one moment fail
    /// together, and that is one trouble.
    grace: usize,
}

impl Pace {
    /// Begins with one attempt; `max` is the configured concurrency.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { window: 1, max, grace: 0 }
    }

    /// Attempts that may be under way.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.window
    }

    /// Begins anew, after an outage.
    pub const fn restart(&mut self) {
        self.window = 1;
        self.grace = 0;
    }

    /// Learns from an attempt.
    pub fn attempt_ended(&mut self, outcome: Outcome) {
        self.grace = self.grace.saturating_sub(1);
        match outcome {
            Outcome::Sent | Outcome::Duplicate | Outcome::Reject | Outcome::ProvesNothing => {
                self.window = (self.window + 1).min(self.max);
            }
            Outcome::Retry | Outcome::Limited | Outcome::MaybeReached if self.grace == 0 => {
                self.grace = self.window;
                self.window = (self.window / 2).max(self.window.min(TROUBLE_MIN));
            }
            Outcome::Retry | Outcome::Limited | Outcome::MaybeReached | Outcome::GateShut => {}
            Outcome::NotReached => self.restart(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_from_one_with_each_success_up_to_the_maximum() {
        let mut pace = Pace::new(4);
        let mut windows = Vec::new();
        for _ in 0..5 {
            windows.push(pace.window());
            pace.attempt_ended(Outcome::Sent);
        }
        assert_eq!(windows, [1, 2, 3, 4, 4]);
    }

    #[test]
    fn the_failures_of_one_moment_halve_it_once() {
        let mut pace = Pace::new(16);
        for _ in 0..15 {
            pace.attempt_ended(Outcome::Sent);
        }
        for _ in 0..10 {
            pace.attempt_ended(Outcome::Retry);
        }
        assert_eq!(pace.window(), 8);
        for _ in 0..10 {
            pace.attempt_ended(Outcome::Retry);
        }
        assert_eq!(pace.window(), 4);
        for _ in 0..10 {
            pace.attempt_ended(Outcome::MaybeReached);
        }
        assert_eq!(pace.window(), 4, "one lost answer after another does not stop the rest");
        pace.attempt_ended(Outcome::NotReached);
        assert_eq!(pace.window(), 1);
    }
}
