//! The link: connectivity as the daemon sees it, and what it permits.
//!
//! Owns:  the link's state, when to probe, and the one canary that may go before the link is up.
//! Never: opens a connection, reads a clock, draws random numbers.
//!
//! ```text
//!            ┌── probe succeeded: one canary ──┐
//!   unknown ─┤                                 ├─ answered ─▶ up
//!      ▲     └── not reached ─▶ down ──────────┘              │
//!      │                        ▲  └ probe, with backoff      │
//!      └── app's word, or 5 min └────────── not reached ──────┘
//! ```

use std::time::Duration;

use outbox::{Moment, Outcome, Timestamp, WallTime, jittered};

/// How long the app's "down" holds without being repeated.
const APP_DOWN_HOLDS: Duration = Duration::from_secs(300);

/// Part of a probe delay by which chance makes it longer or shorter.
const PROBE_JITTER: f64 = 0.5;

/// The link's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Attempts are answered.
    Up,
    /// Nobody is reached, or the app says so.
    Down,
    /// Nobody has tried.
    Unknown,
}

/// What told the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The daemon's start.
    Start,
    /// A probe.
    Probe,
    /// An attempt.
    Attempt,
    /// The app's own word.
    App,
}

/// How much may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Whatever the pace allows.
    All,
    /// One attempt, to find out.
    Canary,
    /// Nothing.
    Nothing,
}

/// Who finds out whether the service can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scout {
    /// A probe, then a canary.
    Probe,
    /// The canary alone: there is no address to probe.
    Canary,
}

/// Delays between probes.
#[derive(Clone, Copy, Debug)]
pub struct LinkOptions {
    /// The first.
    pub probe_initial: Duration,
    /// The longest, before jitter.
    pub probe_max: Duration,
    /// Who finds out.
    pub scout: Scout,
}

/// The link.
#[derive(Clone, Debug)]
pub struct Link {
    options: LinkOptions,
    state: LinkState,
    since: WallTime,
    source: Source,
    next_scout: Timestamp,
    interval: Duration,
    probing: bool,
    canary: Canary,
    /// Until when the app's "down" holds.
    app_down_until: Option<Timestamp>,
    /// The app says that a link which was down is up, and no attempt has been answered since.
    only_said: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    None,
    Allowed,
    UnderWay,
}

impl Link {
    /// A link that nothing is known of.
    #[must_use]
    pub fn new(options: LinkOptions, now: Moment) -> Self {
        Self {
            options,
            state: LinkState::Unknown,
            since: now.wall,
            source: Source::Start,
            next_scout: now.time,
            interval: options.probe_initial,
            probing: false,
            canary: Canary::None,
            app_down_until: None,
            only_said: false,
        }
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> LinkState {
        self.state
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> WallTime {
        self.since
    }

    /// What told it.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// When it is next tried whether the service can be reached, while the link is not up.
    #[must_use]
    pub fn next_scout(&self) -> Option<Timestamp> {
        match self.state {
            LinkState::Up if !self.only_said => None,
            LinkState::Unknown if self.options.scout == Scout::Canary => None,
            _ => Some(self.app_down_until.unwrap_or(self.next_scout)),
        }
    }

    /// When the link has something to do by itself: `None` while it waits for a probe or a canary to end.
    #[must_use]
    pub fn alarm(&self) -> Option<Timestamp> {
        match self.options.scout {
            _ if self.app_down_until.is_some() => self.app_down_until,
            _ if self.probing || self.canary != Canary::None => None,
            Scout::Probe | Scout::Canary => self.next_scout(),
        }
    }

    /// How much may be tried now.
    #[must_use]
    pub fn permit(&self) -> Permit {
        match (self.state, self.canary) {
            (LinkState::Up, _) if !self.only_said => Permit::All,
            // An app that asks for work may have all of it until one of its sends reaches nobody.
            (LinkState::Unknown, _) if self.options.scout == Scout::Canary => Permit::All,
            (_, Canary::Allowed) => Permit::Canary,
            _ => Permit::Nothing,
        }
    }

    /// Whether a probe should start now. It counts as started when this says so.
    pub fn start_probe(&mut self, now: Moment) -> bool {
        self.forget_app_word(now);
        let due = self.scout_is_due(now) && self.options.scout == Scout::Probe && !self.probing;
        self.probing |= due;
        due
    }

    /// Without an address to probe, lets a canary go when its time has come.
    pub fn release_canary(&mut self, now: Moment, roll: f64) {
        self.forget_app_word(now);
        if self.options.scout == Scout::Canary && self.state != LinkState::Unknown && self.scout_is_due(now) {
            self.canary = Canary::Allowed;
            self.delay_scout(now, roll);
        }
    }

    fn scout_is_due(&self, now: Moment) -> bool {
        !self.is_open()
            && self.canary == Canary::None
            && self.app_down_until.is_none()
            && now.time >= self.next_scout
    }

    const fn is_open(&self) -> bool {
        matches!(self.state, LinkState::Up) && !self.only_said
    }

    fn forget_app_word(&mut self, now: Moment) {
        if self.app_down_until.is_some_and(|until| now.time >= until) {
            self.app_down_until = None;
            self.next_scout = now.time;
            self.set(LinkState::Unknown, Source::App, now);
        }
    }

    /// A probe ended.
    pub fn probed(&mut self, reached: bool, now: Moment, roll: f64) {
        self.probing = false;
        if self.is_open() {
            return;
        }
        self.delay_scout(now, roll);
        if reached && self.app_down_until.is_none() {
            self.canary = Canary::Allowed;
        } else if !reached {
            self.set(LinkState::Down, Source::Probe, now);
        }
    }

    /// An attempt began: if it is the canary, there is no second one.
    pub fn attempt_began(&mut self) {
        if self.canary == Canary::Allowed {
            self.canary = Canary::UnderWay;
        }
    }

    /// An app has the canary. It may never be heard of again, so the next one waits for the next probe's time
    /// and for nothing else.
    pub fn canary_given_away(&mut self) {
        self.canary = Canary::None;
    }

    /// An attempt ended.
    pub fn attempt_ended(&mut self, outcome: Outcome, now: Moment, roll: f64) {
        let was_canary = self.canary == Canary::UnderWay;
        match outcome {
            Outcome::NotReached => {
                self.canary = Canary::None;
                if self.state != LinkState::Down {
                    self.set(LinkState::Down, Source::Attempt, now);
                    self.delay_scout(now, roll);
                }
            }
            // The app knows better why it wants quiet; only a message that went through says that it is wrong.
            _ if self.app_down_until.is_some() && !matches!(outcome, Outcome::Sent | Outcome::Duplicate) => {
                if was_canary {
                    self.canary = Canary::None;
                }
            }
            // No answer proves nothing about the link; another canary may go after the next probe.
            Outcome::MaybeReached if was_canary => self.canary = Canary::None,
            Outcome::MaybeReached => {}
            _ => self.go_up(Source::Attempt, now),
        }
    }

    /// The app's own word.
    pub fn app_says(&mut self, state: LinkState, now: Moment) {
        self.app_down_until = None;
        match state {
            // What was down is tried with one attempt at once, and opened by its answer.
            LinkState::Up if self.state == LinkState::Down || self.only_said => {
                self.set(LinkState::Up, Source::App, now);
                self.only_said = true;
                self.canary = Canary::Allowed;
            }
            LinkState::Up => self.go_up(Source::App, now),
            LinkState::Down => {
                self.canary = Canary::None;
                self.app_down_until = Some(now.time.plus(APP_DOWN_HOLDS));
                self.set(LinkState::Down, Source::App, now);
            }
            LinkState::Unknown => {
                self.next_scout = now.time;
                self.interval = self.options.probe_initial;
                self.set(LinkState::Unknown, Source::App, now);
            }
        }
    }

    fn go_up(&mut self, source: Source, now: Moment) {
        self.canary = Canary::None;
        self.app_down_until = None;
        self.only_said = false;
        self.interval = self.options.probe_initial;
        self.next_scout = now.time;
        if self.state != LinkState::Up {
            self.set(LinkState::Up, source, now);
        }
    }

    fn set(&mut self, state: LinkState, source: Source, now: Moment) {
        if self.state != state {
            self.since = now.wall;
        }
        self.only_said = false;
        self.state = state;
        self.source = source;
    }

    fn delay_scout(&mut self, now: Moment, roll: f64) {
        self.next_scout = now.time.plus(jittered(self.interval, PROBE_JITTER, roll));
        self.interval = (self.interval * 2).min(self.options.probe_max);
    }
}

impl LinkState {
    /// The name in API and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

impl Source {
    /// The name in API and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Probe => "probe",
            Self::Attempt => "attempt",
            Self::App => "app",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment { time: Timestamp(ms), wall: WallTime(i64::try_from(ms).unwrap()) }
    }

    fn link(scout: Scout) -> Link {
        let options = LinkOptions {
            probe_initial: Duration::from_millis(100),
            probe_max: Duration::from_millis(400),
            scout,
        };
        Link::new(options, at(0))
    }

    #[test]
    fn a_probe_permits_one_canary_and_only_an_answer_opens_the_link() {
        let mut link = link(Scout::Probe);
        assert_eq!(link.permit(), Permit::Nothing);
        assert!(link.start_probe(at(0)));
        assert!(!link.start_probe(at(0)), "one probe at a time");
        link.probed(true, at(1), 0.5);
        assert_eq!((link.state(), link.permit()), (LinkState::Unknown, Permit::Canary));
        link.attempt_began();
        assert_eq!(link.permit(), Permit::Nothing);
        link.attempt_ended(Outcome::MaybeReached, at(2), 0.5);
        assert_eq!(link.permit(), Permit::Nothing);
        assert!(link.start_probe(at(500)));
        link.probed(true, at(501), 0.5);
        link.attempt_began();
        link.attempt_ended(Outcome::Retry, at(502), 0.5);
        assert_eq!((link.state(), link.permit()), (LinkState::Up, Permit::All));
    }

    #[test]
    fn probe_delays_double_to_the_maximum_and_start_over_after_an_answer() {
        let mut link = link(Scout::Probe);
        let mut delays = Vec::new();
        let mut now = 0;
        for _ in 0..5 {
            assert!(link.start_probe(at(now)));
            link.probed(false, at(now), 1.0);
            let next = link.next_scout().unwrap().0;
            delays.push(next - now);
            assert!(!link.start_probe(at(next - 1)));
            now = next;
        }
        assert_eq!(delays, [150, 300, 600, 600, 600], "never over one and a half of the maximum");
        link.attempt_ended(Outcome::Sent, at(now), 0.5);
        link.attempt_ended(Outcome::NotReached, at(now), 0.5);
        assert_eq!(link.next_scout().unwrap().0 - now, 100);
    }

    #[test]
    fn the_apps_down_holds_until_its_next_word_an_answer_or_five_minutes() {
        let mut link = link(Scout::Probe);
        link.app_says(LinkState::Down, at(0));
        assert!(!link.start_probe(at(299_999)));
        assert_eq!(link.next_scout(), Some(Timestamp(300_000)));
        assert!(link.start_probe(at(300_000)));
        assert_eq!(link.state(), LinkState::Unknown);
        link.app_says(LinkState::Down, at(300_001));
        link.attempt_ended(Outcome::Sent, at(300_002), 0.5);
        assert_eq!(link.state(), LinkState::Up);
        link.app_says(LinkState::Down, at(300_003));
        link.app_says(LinkState::Up, at(300_004));
        assert_eq!((link.state(), link.source()), (LinkState::Up, Source::App));
        assert_eq!(link.permit(), Permit::Canary, "its word is tried with one attempt");
        link.attempt_began();
        assert_eq!(link.permit(), Permit::Nothing);
        link.attempt_ended(Outcome::Sent, at(300_005), 0.5);
        assert_eq!(link.permit(), Permit::All);
    }

    #[test]
    fn a_probe_that_ends_under_the_apps_down_permits_nothing() {
        let mut link = link(Scout::Probe);
        assert!(link.start_probe(at(0)));
        link.app_says(LinkState::Down, at(1));
        link.probed(true, at(2), 0.5);
        assert_eq!(link.permit(), Permit::Nothing);
    }

    #[test]
    fn only_a_message_that_went_through_overrules_the_apps_down() {
        let mut link = link(Scout::Canary);
        link.app_says(LinkState::Down, at(0));
        link.attempt_ended(Outcome::Retry, at(1), 0.5);
        link.attempt_ended(Outcome::GateShut, at(2), 0.5);
        assert_eq!((link.state(), link.permit()), (LinkState::Down, Permit::Nothing));
        link.attempt_ended(Outcome::Duplicate, at(3), 0.5);
        assert_eq!((link.state(), link.permit()), (LinkState::Up, Permit::All));
    }

    #[test]
    fn nothing_is_to_be_done_while_a_probe_or_a_canary_is_under_way() {
        let mut link = link(Scout::Probe);
        assert_eq!(link.alarm(), Some(Timestamp(0)));
        assert!(link.start_probe(at(0)));
        assert_eq!(link.alarm(), None);
        link.probed(true, at(1), 0.5);
        link.attempt_began();
        assert_eq!(link.alarm(), None, "an attempt may take longer than the probe's delay");
        link.attempt_ended(Outcome::MaybeReached, at(60_000), 0.5);
        assert_eq!(link.alarm(), Some(Timestamp(101)));
    }

    #[test]
    fn without_an_address_to_probe_one_canary_goes_at_each_delay() {
        let mut link = link(Scout::Canary);
        assert_eq!(link.permit(), Permit::All);
        link.attempt_ended(Outcome::NotReached, at(0), 0.5);
        assert_eq!((link.state(), link.permit()), (LinkState::Down, Permit::Nothing));
        link.release_canary(at(99), 0.5);
        assert_eq!(link.permit(), Permit::Nothing);
        link.release_canary(at(100), 0.5);
        assert_eq!(link.permit(), Permit::Canary);
        link.attempt_began();
        link.canary_given_away();
        link.release_canary(at(299), 0.5);
        assert_eq!(link.permit(), Permit::Nothing, "the delay has doubled");
        link.release_canary(at(300), 0.5);
        assert_eq!(link.permit(), Permit::Canary, "one that is never heard of stops nothing");
        link.app_says(LinkState::Up, at(10_001));
        assert_eq!(link.permit(), Permit::Canary);
        link.attempt_ended(Outcome::Retry, at(10_002), 0.5);
        assert_eq!(link.permit(), Permit::All);
    }
}
