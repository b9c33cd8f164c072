//! The state of a message as a reader sees it.
//!
//! Owns:  the names of the states.
//! Never: decides a state (`read` derives it from phase, lane and time).

/// The state of a message as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Due, will go as soon as there is room.
    Queued,
    /// Next attempt at a known time.
    Deferred,
    /// Behind the head of its lane.
    Blocked,
    /// Kept back until released.
    Held,
    /// An attempt is under way.
    Sending,
    /// Waits for a decision.
    Uncertain,
    /// Ended without success.
    Failed,
    /// Outlived its deadline.
    Expired,
    /// Ended by a cancel.
    Cancelled,
    /// The service has it.
    Sent,
}

impl State {
    /// All states.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Deferred,
        Self::Blocked,
        Self::Held,
        Self::Sending,
        Self::Uncertain,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Sent,
    ];

    /// The name in API and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::Sending => "sending",
            Self::Uncertain => "uncertain",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Sent => "sent",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
