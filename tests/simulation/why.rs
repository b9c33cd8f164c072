//! What an entry waits for, by the contract's order of reasons and from public answers alone.
//!
//! Owns:  the reasons, and whether each names a time or an actor.
//! Never: takes the daemon's own word for a reason.

use outbox::{EntryView, Gate, Moment, Outbox, Phase, State, Timestamp};
use outboxd::engine::{LinkState, View};

use crate::setting::{Kind, Setting};

/// Why an entry waits, and what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Behind this one's head; the reasons of that one count.
    Head,
    /// For an answer.
    Answer,
    /// For a person.
    Person(&'static str),
    /// For the app to ask.
    App,
    /// For the link: until then at the latest something is tried, if nothing is under way.
    Link(Option<Timestamp>),
    /// For the account, until then if it is known.
    Account(Option<Timestamp>),
    /// For its time.
    Time(Timestamp),
    /// For nothing: it goes as soon as there is room.
    Room,
}

impl Waits {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Answer => "answer",
            Self::Person(who) => who,
            Self::App => "app",
            Self::Link(_) => "link",
            Self::Account(_) => "account or rate",
            Self::Time(_) => "time",
            Self::Room => "room",
        }
    }
}

/// What an entry waits for; `None` once it has ended.
pub(crate) fn waits(view: &EntryView, outbox: &Outbox, engine: &View, setting: &Setting) -> Option<Waits> {
    let now = outbox.now();
    match &view.entry.delivery.phase {
        Phase::Failed { .. } | Phase::Expired { .. } => None,
        Phase::Sending { .. } => Some(Waits::Answer),
        Phase::Held { .. } => Some(Waits::Person("release")),
        Phase::Uncertain { .. } => Some(Waits::Person("decision")),
        Phase::Waiting { .. } if view.state == State::Blocked => Some(Waits::Head),
        Phase::Waiting { due, .. } => Some(head_waits(view, *due, outbox, engine, setting, now)),
    }
}

fn head_waits(
    view: &EntryView,
    due: Timestamp,
    outbox: &Outbox,
    engine: &View,
    setting: &Setting,
    now: Moment,
) -> Waits {
    if outbox.counters().paused {
        return Waits::Person("resume");
    }
    let account = outbox.account(&view.entry.identity.account).unwrap();
    let gate = account.map_or(Gate::Open, |account| account.gate);
    if let Gate::Paused { try_at, .. } = gate {
        return try_at
            .filter(|_| setting.kind == Kind::Push)
            .map_or(Waits::Person("account"), |at| Waits::Account(Some(at.max(due))));
    }
    if setting.kind == Kind::App && !engine.app_attached {
        return Waits::App;
    }
    let unknown_is_fine = !setting.probed;
    let may_send = engine.link == LinkState::Up && engine.next_scout.is_none()
        || engine.link == LinkState::Unknown && unknown_is_fine;
    if !may_send {
        return Waits::Link(engine.next_scout);
    }
    if let Gate::Limited { until, .. } = gate
        && until > now.time
    {
        return Waits::Account(Some(until.max(due)));
    }
    if due > now.time {
        return Waits::Time(due);
    }
    let slowed = engine.slowed.iter().find(|(name, _)| *name == view.entry.identity.account);
    match slowed {
        Some((_, at)) if *at > now.time => Waits::Account(Some(*at)),
        _ => Waits::Room,
    }
}
