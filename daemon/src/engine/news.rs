//! News that may change the link: what it says, how often it starts a probe, and a machine's sleep as such.
//!
//! Owns:  the words for news, the allowance of probes out of turn, the comparison of two clocks.
//! Never: says whether the service is reached: news is a hint, only attempts and probes tell.

use std::time::Duration;

use outbox::Timestamp;
use tokio::time::Instant;

/// Probes that news may start at once, one after the other: a network that returns tells it in several pieces
/// (carrier, address, routes of both families), and the last one is the one that matters.
const BURST: u64 = 8;

/// After a burst, news may start one probe in this time: a cable that flaps for a day costs no more.
const REFILL: Duration = Duration::from_secs(5);

/// When a probe that news has started fails, the next ones come so soon, outside the backoff: neighbours, name servers
/// and switch ports are often ready only a moment after the last news, and none of them tells it.
const FOLLOW_UPS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

/// A sleep shorter than this breaks no connection, and lies near what a busy machine does to timers.
const SLEEP_MIN: Duration = Duration::from_secs(2);

/// What the operating system tells about the network, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// A carrier, an address or a route came, or changed.
    Came,
    /// One went; or news was lost, or the machine slept, so that any may have gone.
    Gone,
    /// One went, and no interface has a carrier any more: probes are worth little until one comes, which will be news.
    Dark,
}

/// The wish of news for a probe out of turn, within its allowance.
#[derive(Clone, Debug)]
pub(super) struct Urge {
    at: Option<Timestamp>,
    /// When the whole allowance is there again.
    full_at: Timestamp,
    /// Follow-ups that the last wanted probe has used up.
    followed: usize,
}

impl Urge {
    /// Nothing is wanted, and the whole allowance is there.
    pub(super) const fn new() -> Self {
        Self { at: None, full_at: Timestamp(0), followed: FOLLOW_UPS.len() }
    }

    /// News arrived: a probe is wanted as soon as the allowance has one.
    pub(super) fn hear(&mut self, now: Timestamp) {
        let at = self.next(now);
        self.at = Some(self.at.map_or(at, |earlier| earlier.min(at)));
    }

    /// When a probe is wanted out of turn.
    pub(super) const fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Whether a probe is wanted now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.at.is_some_and(|at| now >= at)
    }

    /// Whether the allowance has a probe now.
    pub(super) fn may_go(&self, now: Timestamp) -> bool {
        self.next(now) == now
    }

    /// The wanted probe starts.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.at = None;
        self.full_at = self.full_at.max(now).plus(REFILL);
        self.followed = 0;
    }

    /// A probe failed: how soon the next one comes, if news has earned one outside the backoff.
    pub(super) fn follow_up(&mut self) -> Option<Duration> {
        let delay = FOLLOW_UPS.get(self.followed).copied();
        self.followed += usize::from(delay.is_some());
        delay
    }

    /// Nothing is wanted any more; what was spent stays spent.
    pub(super) const fn settle(&mut self) {
        self.at = None;
        self.followed = FOLLOW_UPS.len();
    }

    fn next(&self, now: Timestamp) -> Timestamp {
        let behind = REFILL.as_millis() as u64 * (BURST - 1);
        now.max(Timestamp(self.full_at.0.saturating_sub(behind)))
    }
}

/// Notices that the machine slept: the boot clock went on and the timers' clock stood still.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slumber {
    time: Timestamp,
    awake: Instant,
}

impl Slumber {
    /// Begins to compare.
    pub(super) const fn new(time: Timestamp, awake: Instant) -> Self {
        Self { time, awake }
    }

    /// How long the machine slept since the last look, if it did. `time` counts sleep, `awake` does not.
    pub(super) fn notice(&mut self, time: Timestamp, awake: Instant) -> Option<Duration> {
        let passed = Duration::from_millis(time.since_ms(self.time));
        let slept = passed.saturating_sub(awake.saturating_duration_since(self.awake));
        *self = Self { time, awake };
        (slept >= SLEEP_MIN).then_some(slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_network_gets_a_burst_and_then_one_probe_in_five_seconds() {
        let mut urge = Urge::new();
        let mut probes = Vec::new();
        for ms in (0..60_000).step_by(100) {
            let now = Timestamp(1_000_000 + ms);
            urge.hear(now);
            if urge.is_due(now) {
                urge.begin(now);
                probes.push(ms);
            }
        }
        assert_eq!(probes.iter().filter(|ms| **ms < 1_000).count(), 8);
        assert!(probes.len() <= 8 + 60 / 5, "{probes:?}");
    }

    #[test]
    fn news_beyond_the_allowance_is_late_but_not_forgotten() {
        let mut urge = Urge::new();
        let now = Timestamp(1_000_000);
        for _ in 0..8 {
            urge.hear(now);
            assert!(urge.is_due(now));
            urge.begin(now);
        }
        urge.hear(now);
        assert!(!urge.is_due(now) && !urge.may_go(now));
        assert_eq!(urge.at(), Some(now.plus(REFILL)));
        urge.hear(now.plus_ms(4_999));
        assert_eq!(urge.at(), Some(now.plus(REFILL)), "more news does not put it off");
        assert!(urge.is_due(now.plus(REFILL)));
    }

    #[test]
    fn only_a_probe_that_news_started_has_follow_ups() {
        let mut urge = Urge::new();
        assert_eq!(urge.follow_up(), None);
        urge.hear(Timestamp(1));
        urge.begin(Timestamp(1));
        assert!(FOLLOW_UPS.into_iter().all(|delay| urge.follow_up() == Some(delay)));
        assert_eq!(urge.follow_up(), None);
        urge.begin(Timestamp(2));
        urge.settle();
        assert_eq!(urge.follow_up(), None);
    }

    #[test]
    fn a_sleep_is_noticed_once_and_a_late_timer_is_none() {
        let (time, awake) = (Timestamp(500), Instant::now());
        let seconds = Duration::from_secs;
        let mut slumber = Slumber::new(time, awake);
        // Late by a minute, but both clocks ran.
        assert_eq!(slumber.notice(time.plus(seconds(60)), awake + seconds(60)), None);
        assert_eq!(slumber.notice(time.plus(seconds(3_600)), awake + seconds(61)), Some(seconds(3_539)));
        assert_eq!(slumber.notice(time.plus(seconds(3_601)), awake + seconds(62)), None);
        // Small differences do not add up.
        for n in 1..100 {
            let time = time.plus_ms(3_601_000 + n * 1_100);
            assert_eq!(slumber.notice(time, awake + seconds(62 + n)), None);
        }
    }
}
