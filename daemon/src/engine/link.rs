//! The link: connectivity as the daemon sees it, and what it permits.
//!
//! Owns:  the link's state, when to probe, and the one canary that may go before the link is up.
//!        News of the system brings a probe forward, or makes an open link doubted until a probe has looked;
//!        it never says up or down.
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

use super::news::{News, Urge};

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

/// Which probe a result belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round(u64);

/// The link.
#[derive(Clone, Debug)]
pub struct Link {
    options: LinkOptions,
    state: LinkState,
    since: WallTime,
    source: Source,
    next_scout: Timestamp,
    interval: Duration,
    /// The newest probe.
    round: Round,
    /// Whether it is under way.
    probing: bool,
    canary: Canary,
    /// Until when the app's "down" holds.
    app_down_until: Option<Timestamp>,
    /// The app says that a link which was down is up, and no attempt has been answered since.
    only_said: bool,
    /// The link is up, but news says that something went: nothing new begins until a probe has looked.
    doubted: bool,
    /// News says that there is no carrier at all: probes go on, but seldom.
    dark: bool,
    urge: Urge,
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
            round: Round::default(),
            probing: false,
            canary: Canary::None,
            app_down_until: None,
            only_said: false,
            doubted: false,
            dark: false,
            urge: Urge::new(),
        }
    }

    /// Goes on with other delays between probes.
    pub fn set_options(&mut self, options: LinkOptions, now: Moment) {
        self.options = options;
        self.interval = self.interval.max(options.probe_initial).min(options.probe_max);
        self.next_scout = self.next_scout.min(now.time.plus(self.interval));
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
            LinkState::Up if self.is_open() => None,
            LinkState::Unknown if self.options.scout == Scout::Canary => None,
            _ => Some(self.app_down_until.unwrap_or_else(|| self.urged_scout())),
        }
    }

    fn urged_scout(&self) -> Timestamp {
        self.urge.at().map_or(self.next_scout, |at| at.min(self.next_scout))
    }

    /// When the link has something to do by itself: `None` while it waits for a probe or a canary to end.
    #[must_use]
    pub fn alarm(&self) -> Option<Timestamp> {
        match self.options.scout {
            _ if self.app_down_until.is_some() => self.app_down_until,
            _ if self.canary != Canary::None => None,
            // Only news makes a second probe worth while before the first has ended.
            _ if self.probing => self.urge.at(),
            Scout::Probe | Scout::Canary => self.next_scout(),
        }
    }

    /// How much may be tried now.
    #[must_use]
    pub fn permit(&self) -> Permit {
        match (self.state, self.canary) {
            (LinkState::Up, _) if self.is_open() => Permit::All,
            // An app that asks for work may have all of it until one of its sends reaches nobody.
            (LinkState::Unknown, _) if self.options.scout == Scout::Canary => Permit::All,
            (_, Canary::Allowed) => Permit::Canary,
            _ => Permit::Nothing,
        }
    }

    /// Whether a probe should start now. It counts as started when this says so, and one that was under way as
    /// given up: it began before the news, and its packets may be lost with the network that went.
    pub fn start_probe(&mut self, now: Moment) -> Option<Round> {
        self.forget_app_word(now);
        if self.options.scout != Scout::Probe || !self.may_scout() {
            return None;
        }
        let urged = self.urge.is_due(now.time);
        if !urged && (self.probing || now.time < self.next_scout) {
            return None;
        }
        if urged {
            self.urge.begin(now.time);
        }
        self.probing = true;
        self.round.0 += 1;
        Some(self.round)
    }

    /// Without an address to probe, lets a canary go when its time has come.
    pub fn release_canary(&mut self, now: Moment, roll: f64) {
        self.forget_app_word(now);
        if self.options.scout == Scout::Canary
            && self.state != LinkState::Unknown
            && self.may_scout()
            && now.time >= self.next_scout
        {
            self.canary = Canary::Allowed;
            self.delay_scout(now, roll);
        }
    }

    fn may_scout(&self) -> bool {
        !self.is_open() && self.canary == Canary::None && self.app_down_until.is_none()
    }

    const fn is_open(&self) -> bool {
        matches!(self.state, LinkState::Up) && !self.only_said && !self.doubted
    }

    fn forget_app_word(&mut self, now: Moment) {
        if self.app_down_until.is_some_and(|until| now.time >= until) {
            self.app_down_until = None;
            self.next_scout = now.time;
            self.set(LinkState::Unknown, Source::App, now);
        }
    }

    /// A probe ended. One that was given up tells nothing: then the answer is `false`.
    pub fn probed(&mut self, round: Round, reached: bool, now: Moment, roll: f64) -> bool {
        let counts = self.probing && round == self.round;
        if counts {
            self.probing = false;
            self.learn_from_probe(reached, now, roll);
        }
        counts
    }

    fn learn_from_probe(&mut self, reached: bool, now: Moment, roll: f64) {
        if self.is_open() {
            return;
        }
        if reached && self.doubted {
            // It was up, and still is: the news meant another network.
            self.doubted = false;
            self.urge.settle();
            return;
        }
        let soon = if reached || self.dark { None } else { self.urge.follow_up() };
        match soon.map(|delay| delay.min(self.interval)) {
            Some(delay) => self.next_scout = now.time.plus(jittered(delay, PROBE_JITTER, roll)),
            None => self.delay_scout(now, roll),
        }
        if self.app_down_until.is_none() && reached && self.canary == Canary::None {
            self.canary = Canary::Allowed;
        } else if !reached {
            self.set(LinkState::Down, Source::Probe, now);
        }
    }

    /// News of the network: while the link is not up, a probe goes at once, within an allowance; while it is, the
    /// loss of something makes it doubted. Where no carrier is left, there is no haste: a probe of a neighbour that
    /// cannot answer also makes the system wait before it asks again. Without an address to probe news changes
    /// nothing, and under the app's "down" neither. The answer says whether a doubt began.
    pub fn hear(&mut self, news: News, now: Moment) -> bool {
        if self.options.scout == Scout::Canary || self.app_down_until.is_some() {
            return false;
        }
        let gone = news != News::Came;
        self.dark = news == News::Dark;
        // Beyond the allowance attempts find out by themselves: a doubt without a probe would only delay.
        let doubt = gone && self.is_open() && self.urge.may_go(now.time);
        if doubt {
            self.doubted = true;
            self.next_scout = now.time;
        }
        if gone && self.canary == Canary::UnderWay {
            // Its way may be gone. It may still be answered, but no other waits for that.
            self.canary = Canary::None;
        }
        if doubt || (!self.is_open() && !self.dark) {
            self.urge.hear(now.time);
        } else if self.dark {
            self.urge.settle();
        }
        doubt
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
            // Its answer may have come just before what went.
            _ if self.doubted => {}
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
                // One at a time, however often it is said.
                if self.canary != Canary::UnderWay {
                    self.canary = Canary::Allowed;
                }
            }
            LinkState::Up => self.go_up(Source::App, now),
            LinkState::Down => {
                self.canary = Canary::None;
                self.app_down_until = Some(now.time.plus(APP_DOWN_HOLDS));
                self.set(LinkState::Down, Source::App, now);
            }
            LinkState::Unknown => {
                self.next_scout = now.time;
                self.set(LinkState::Unknown, Source::App, now);
            }
        }
    }

    fn go_up(&mut self, source: Source, now: Moment) {
        self.canary = Canary::None;
        self.app_down_until = None;
        self.only_said = false;
        self.doubted = false;
        self.dark = false;
        self.urge.settle();
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
        self.doubted = false;
        self.state = state;
        self.source = source;
    }

    fn delay_scout(&mut self, now: Moment, roll: f64) {
        let delay = if self.dark { self.options.probe_max } else { self.interval };
        self.next_scout = now.time.plus(jittered(delay, PROBE_JITTER, roll));
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
#[path = "link_tests.rs"]
mod tests;
