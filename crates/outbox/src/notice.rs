//! Notices: what an observer hears after a group is on disk.
//!
//! Owns:  the types of events.
//! Never: delivers anything before it is durable, waits for an observer.

use std::time::Duration;

use crate::clock::{Timestamp, WallTime};
use crate::entry::{Counters, Gate};
use crate::outcome::Outcome;
use crate::state::State;

/// What happened in one group.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    /// Events, in order.
    pub events: Vec<Event>,
    /// The earliest moment for which something new may be due, if that changed.
    pub wake: Option<Timestamp>,
    /// How the attempts ended that ended in it, for whoever counts them.
    pub outcomes: Vec<Outcome>,
    /// The counts after the group.
    pub counters: Counters,
    /// How long it took to make it durable; zero for a group that changed nothing.
    pub commit_took: Duration,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the contract's own")]
pub enum EventKind {
    Submitted,
    Deferred,
    Sending,
    Sent,
    Failed,
    Expired,
    Cancelled,
    Held,
    Released,
    Uncertain,
    Quarantined,
    Account,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Durable sequence; `None` for events that are live only.
    pub seq: Option<u64>,
    /// The newest durable sequence before it: where a live event belongs among the durable ones.
    pub after: u64,
    /// Its kind.
    pub kind: EventKind,
    /// When.
    pub at: WallTime,
    /// The message.
    pub msg_id: Option<String>,
    /// Its account.
    pub account: Option<String>,
    /// Its conversation.
    pub conversation: Option<String>,
    /// Its state after the event.
    pub state: Option<State>,
    /// A result code.
    pub code: Option<i64>,
    /// The service's words.
    pub desc: Option<String>,
    /// The replacement's msgID.
    pub new_msg_id: Option<String>,
    /// The account's gate after the event, where it is about one.
    pub gate: Option<Gate>,
    /// A person's or the account's reason.
    pub reason: Option<String>,
    /// It did not end as sent, and may have arrived all the same.
    pub may_have_arrived: bool,
}

impl EventKind {
    /// All kinds; the position is the number on disk: append only.
    pub const ALL: [Self; 12] = [
        Self::Submitted,
        Self::Deferred,
        Self::Sending,
        Self::Sent,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Held,
        Self::Released,
        Self::Uncertain,
        Self::Quarantined,
        Self::Account,
    ];

    /// The name in API and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Deferred => "deferred",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Held => "held",
            Self::Released => "released",
            Self::Uncertain => "uncertain",
            Self::Quarantined => "quarantined",
            Self::Account => "account",
        }
    }

    /// Whether it is kept and can be asked for later.
    #[must_use]
    pub const fn is_durable(self) -> bool {
        matches!(
            self,
            Self::Sent | Self::Failed | Self::Expired | Self::Cancelled | Self::Uncertain | Self::Quarantined
        )
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    pub(crate) fn number(self) -> u8 {
        Self::ALL
            .iter()
            .position(|kind| *kind == self)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(u8::MAX)
    }
}
