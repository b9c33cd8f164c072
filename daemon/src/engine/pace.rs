//! Pace: how many attempts may be under way at once, and how fast they end messages.
//!
//! Owns:  the window: one after an outage, more with success, half after trouble; the smoothed rate of endings, and
//!        the estimate of when the backlog is gone.
//! Never: counts what is under way, reads a clock, waits.

use outbox::{Outcome, Timestamp};

/// Trouble does not narrow the window below this: where one answer is lost and the next message hangs, other
/// conversations must not wait for its time-out.
const TROUBLE_MIN: usize = 4;

/// The window of attempts.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    window: usize,
    max: usize,
    /// Up to here each success widens the window by one, which doubles it with each round of answers. Beyond, where
    /// there was trouble before, a whole round does.
    careful_from: usize,
    /// Successes of the present round beyond that.
    round: usize,
    /// Successes still to come before trouble halves the window again: the attempts of one moment fail
    /// together, and that is one trouble.
    grace: usize,
}

impl Pace {
    /// Begins with one attempt; `max` is the configured concurrency.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { window: 1, max, careful_from: max, round: 0, grace: 0 }
    }

    /// Attempts that may be under way.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.window
    }

    /// How many more may begin. `stranded` of those under way began before an outage: they may hang until their
    /// time-out and count for nothing, but together there are never more than twice the maximum.
    #[must_use]
    pub fn room(&self, under_way: usize, stranded: usize) -> usize {
        let fresh = under_way.saturating_sub(stranded);
        let most = self.max.saturating_mul(2);
        self.window.saturating_sub(fresh).min(most.saturating_sub(under_way))
    }

    /// Goes on with another maximum.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
        self.window = self.window.min(max);
    }

    /// Begins anew, after an outage.
    pub fn restart(&mut self) {
        if self.window > 1 {
            self.careful_from = (self.window / 2).max(TROUBLE_MIN);
        }
        self.window = 1;
        self.grace = 0;
        self.round = 0;
    }

    fn widen(&mut self) {
        self.round += 1;
        if self.window < self.careful_from || self.round >= self.window {
            self.window = (self.window + 1).min(self.max);
            self.round = 0;
        }
    }

    fn narrow(&mut self) {
        self.grace = self.window;
        self.window = (self.window / 2).max(self.window.min(TROUBLE_MIN));
        self.careful_from = self.window;
        self.round = 0;
    }

    /// Learns from an attempt.
    pub fn attempt_ended(&mut self, outcome: Outcome) {
        self.grace = self.grace.saturating_sub(1);
        match outcome {
            Outcome::Sent | Outcome::Duplicate | Outcome::Reject | Outcome::ProvesNothing => self.widen(),
            Outcome::Retry | Outcome::Limited | Outcome::MaybeReached if self.grace == 0 => self.narrow(),
            Outcome::Retry | Outcome::Limited | Outcome::MaybeReached | Outcome::GateShut => {}
            Outcome::NotReached => self.restart(),
        }
    }
}

/// Endings count less the longer ago they were: after this many milliseconds by a factor of e. Long enough to
/// smooth over a slow answer, short enough to follow a change of pace.
const FADE_MS: f64 = 10_000.0;

/// A rate that was watched for less says nothing yet.
const WATCH_MS_MIN: u64 = 1_000;

/// Without an ending for so long the rate is not known any more.
const SILENCE_MS_MAX: u64 = 30_000;

/// How fast messages end: sent, or refused for good.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drain {
    /// Endings after the first, faded to the moment of the last.
    level: f64,
    /// The first and the last ending of those that are counted.
    span: Option<(Timestamp, Timestamp)>,
}

impl Drain {
    /// Learns from an attempt.
    pub fn attempt_ended(&mut self, outcome: Outcome, now: Timestamp) {
        if !matches!(outcome, Outcome::Sent | Outcome::Duplicate | Outcome::Reject) {
            return;
        }
        match self.span {
            Some((first, last)) if now.since_ms(last) < SILENCE_MS_MAX => {
                self.level = faded(self.level, now.since_ms(last)) + 1.0;
                self.span = Some((first, now));
            }
            _ => *self = Self { level: 0.0, span: Some((now, now)) },
        }
    }

    /// Messages that end in a second, lately; `None` if too little was seen lately to say.
    #[must_use]
    pub fn per_second(&self, now: Timestamp) -> Option<f64> {
        let (first, last) = self.span?;
        let watched = now.since_ms(first);
        if watched < WATCH_MS_MIN || now.since_ms(last) >= SILENCE_MS_MAX {
            return None;
        }
        // What a steady rate of one in a millisecond would have left of itself.
        let seen = FADE_MS * (1.0 - (-(watched as f64) / FADE_MS).exp());
        Some(faded(self.level, now.since_ms(last)) / seen * 1_000.0)
    }

    /// When so many messages will be gone at this rate, in milliseconds; `None` if there is none.
    #[must_use]
    pub fn gone_in_ms(&self, backlog: u64, now: Timestamp) -> Option<u64> {
        let rate = self.per_second(now).filter(|rate| *rate > 0.0)?;
        Some((backlog as f64 / rate * 1_000.0).ceil() as u64)
    }
}

fn faded(level: f64, ms: u64) -> f64 {
    level * (-(ms as f64) / FADE_MS).exp()
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

    #[test]
    fn beyond_the_window_that_met_trouble_it_takes_a_whole_round_to_widen_it() {
        let mut pace = Pace::new(64);
        for _ in 0..31 {
            pace.attempt_ended(Outcome::Sent);
        }
        pace.attempt_ended(Outcome::Limited);
        assert_eq!(pace.window(), 16);
        let mut answers = 0;
        while pace.window() < 18 {
            pace.attempt_ended(Outcome::Sent);
            answers += 1;
        }
        assert_eq!(answers, 16 + 17);
        pace.restart();
        let mut windows = Vec::new();
        for _ in 0..12 {
            pace.attempt_ended(Outcome::Sent);
            windows.push(pace.window());
        }
        assert_eq!(windows, [2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9], "quick up to half of what it was");
    }

    #[test]
    fn what_hangs_since_before_an_outage_takes_no_room_and_never_more_than_the_maximum_again() {
        let mut pace = Pace::new(4);
        for _ in 0..8 {
            pace.attempt_ended(Outcome::Sent);
        }
        assert_eq!((pace.room(0, 0), pace.room(3, 0), pace.room(9, 0)), (4, 1, 0));
        assert_eq!((pace.room(4, 4), pace.room(6, 4), pace.room(8, 4)), (4, 2, 0));
        assert_eq!((pace.room(8, 8), pace.room(9, 9)), (0, 0));
        pace.restart();
        assert_eq!((pace.room(4, 4), pace.room(5, 4)), (1, 0));
    }

    /// A drain that has seen an ending every so many milliseconds for a while, and when it saw the last.
    fn steady(every_ms: usize, for_ms: u64) -> (Drain, Timestamp) {
        let mut drain = Drain::default();
        let mut last = Timestamp(0);
        for ms in (1_000..=1_000 + for_ms).step_by(every_ms) {
            last = Timestamp(ms);
            drain.attempt_ended(Outcome::Sent, last);
        }
        (drain, last)
    }

    #[test]
    fn a_steady_rate_is_told_as_it_is_from_the_first_second_on() {
        for for_ms in [1_000, 5_000, 300_000] {
            let (drain, now) = steady(20, for_ms);
            let rate = drain.per_second(now).unwrap();
            assert!((48.0..=52.0).contains(&rate), "{rate} after {for_ms} ms");
            let gone = drain.gone_in_ms(5_000, now).unwrap();
            assert!((96_000..=104_000).contains(&gone), "{gone} after {for_ms} ms");
        }
    }

    #[test]
    fn nothing_is_estimated_from_too_little_or_from_long_ago() {
        assert_eq!(Drain::default().gone_in_ms(10, Timestamp(5_000)), None);
        let (drain, now) = steady(20, 500);
        assert_eq!(drain.gone_in_ms(10, now), None);
        let (drain, now) = steady(20, 5_000);
        assert!(drain.per_second(now.plus_ms(10_000)).unwrap() < 25.0, "a stall shows");
        assert_eq!(drain.per_second(now.plus_ms(SILENCE_MS_MAX)), None);
        let mut failing = drain;
        failing.attempt_ended(Outcome::Retry, now.plus_ms(1));
        assert_eq!(failing, drain, "a message that comes back has not ended");
        assert_eq!(drain.gone_in_ms(0, now), Some(0));
        assert_eq!(steady(5_000, 0).0.gone_in_ms(10, Timestamp(9_000)), None, "one ending is no rate");
    }
}
