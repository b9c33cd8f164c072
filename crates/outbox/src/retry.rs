//! Retry policy: when the next attempt is due, and when to give up.
//!
//! Owns:  delay arithmetic, jitter, floors, limits of attempts; it is backoff's only door.
//! Never: reads a clock, touches the spool, sleeps, draws random numbers (the caller gives the roll).

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::limits::RETRY_AFTER_MAX;

/// Growth of the delay between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Delay after the first failed attempt.
    pub initial: Duration,
    /// Factor from one delay to the next; over 1.
    pub multiplier: f64,
    /// Largest delay before jitter.
    pub max: Duration,
    /// Part of the delay by which it may be longer or shorter, 0 to 1 (1 can give no delay at all).
    pub jitter: f64,
    /// Attempts after which a message fails; 0 for no limit.
    pub max_attempts: u32,
    /// Attempts with an unknown code after which a message fails.
    pub unknown_max_attempts: u32,
}

impl Default for RetryPolicy {
    /// The defaults of the configuration: 1 s, doubled up to 5 min, ±50 %, no limit but age.
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            multiplier: 2.0,
            max: Duration::from_secs(300),
            jitter: 0.5,
            max_attempts: 0,
            unknown_max_attempts: 5,
        }
    }
}

/// The delay to wait now, and the one to continue from after the next failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// To wait, jitter and floor applied, in milliseconds.
    pub wait_ms: u64,
    /// To persist, in milliseconds.
    pub next_interval_ms: u64,
}

impl RetryPolicy {
    /// The delay after a failed attempt. `interval_ms` is what the last call gave to persist (0 at
    /// first), `roll` a uniform number from 0 to 1, `floor` the service's own delay.
    #[must_use]
    pub fn delay(&self, interval_ms: u64, roll: f64, floor: Option<Duration>) -> Delay {
        self.delay_from(self.initial, interval_ms, roll, floor)
    }

    /// The same with another first delay.
    #[must_use]
    pub fn delay_from(
        &self,
        initial: Duration,
        interval_ms: u64,
        roll: f64,
        floor: Option<Duration>,
    ) -> Delay {
        let max = self.max.max(initial);
        let current = Duration::from_millis(interval_ms).clamp(initial, max);
        let mut growth = ExponentialBackoff {
            current_interval: current,
            initial_interval: initial,
            // Ours is applied below, with the caller's roll, so that a run can be repeated.
            randomization_factor: 0.0,
            multiplier: self.multiplier,
            max_interval: max,
            // Age is the lifecycle's business; the crate's default gives up after 15 minutes.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let base = growth.next_backoff().unwrap_or(max);
        let wait = jittered(base, self.jitter, roll).max(floor.unwrap_or_default().min(RETRY_AFTER_MAX));
        Delay { wait_ms: millis(wait), next_interval_ms: millis(growth.current_interval).max(1) }
    }
}

/// `base` made longer or shorter by up to `jitter` of itself: `roll` 0 gives the shortest, 1 the longest.
#[must_use]
pub fn jittered(base: Duration, jitter: f64, roll: f64) -> Duration {
    let jitter = jitter.clamp(0.0, 1.0);
    base.mul_f64(1.0 - jitter + 2.0 * jitter * roll.clamp(0.0, 1.0))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(policy: &RetryPolicy, roll: f64, steps: usize) -> Vec<u64> {
        let mut interval_ms = 0;
        let mut waits = Vec::new();
        for _ in 0..steps {
            let delay = policy.delay(interval_ms, roll, None);
            interval_ms = delay.next_interval_ms;
            waits.push(delay.wait_ms);
        }
        waits
    }

    #[test]
    fn the_default_schedule_doubles_from_one_second_to_five_minutes() {
        let policy = RetryPolicy::default();
        assert_eq!(
            schedule(&policy, 0.5, 11),
            [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]
        );
        assert_eq!(schedule(&policy, 0.0, 4), [500, 1_000, 2_000, 4_000]);
        assert_eq!(schedule(&policy, 1.0, 10).last(), Some(&450_000));
    }

    #[test]
    fn a_floor_applies_after_jitter_and_is_clamped_to_an_hour() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(0, 0.0, Some(Duration::from_secs(7))).wait_ms, 7_000);
        assert_eq!(policy.delay(0, 0.5, Some(Duration::from_millis(3))).wait_ms, 1_000);
        assert_eq!(policy.delay(0, 0.5, Some(Duration::from_secs(86_400))).wait_ms, 3_600_000);
    }

    #[test]
    fn another_first_delay_holds_wherever_the_schedule_stands() {
        let policy = RetryPolicy::default();
        let upload = Duration::from_secs(30);
        for (interval_ms, wait_ms) in [(0, 30_000), (2_000, 30_000), (64_000, 64_000)] {
            assert_eq!(policy.delay_from(upload, interval_ms, 0.5, None).wait_ms, wait_ms, "{interval_ms}");
        }
    }

    #[test]
    fn a_persisted_interval_continues_after_a_restart_and_follows_a_lowered_maximum() {
        let policy = RetryPolicy { max: Duration::from_secs(10), ..RetryPolicy::default() };
        assert_eq!(policy.delay(256_000, 0.5, None), Delay { wait_ms: 10_000, next_interval_ms: 10_000 });
    }
}
