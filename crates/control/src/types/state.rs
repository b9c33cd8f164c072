//! The closed sets of words in answers: states, what an entry waits for, outcomes.
//!
//! Owns:  their names.
//! Never: decides which of them applies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// State of an entry as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Due, and goes as soon as there is room.
    Queued,
    /// Waits for its next attempt's time.
    Deferred,
    /// Waits behind the head of its lane.
    Blocked,
    /// Kept back until released.
    Held,
    /// An attempt is under way.
    Sending,
    /// Nobody knows whether it arrived; a person decides.
    Uncertain,
    /// Given up; kept until the retention ends.
    Failed,
    /// Outlived its deadline; kept until the retention ends.
    Expired,
    /// Withdrawn; only its receipt is left.
    Cancelled,
    /// Arrived; only its receipt is left.
    Sent,
}

/// Text that names no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a state: one of queued, deferred, blocked, held, sending, uncertain, failed, expired, cancelled, sent"
)]
pub struct UnknownState(pub String);

impl State {
    /// All states, in the order of an entry's life.
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

    /// The name in API, command line and logs.
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

    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Failed | Self::Expired | Self::Cancelled | Self::Sent)
    }

    /// Whether lists can filter by it: the other states have no entry any more, only a receipt.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Sent)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

/// What an entry waits for: the first that applies, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum WaitsFor {
    /// The head of its lane, which `blockedBy` names.
    Head,
    /// The answer to the attempt under way.
    Answer,
    /// Somebody who releases it.
    Release,
    /// Somebody who decides about an uncertain entry, or about the head that keeps its lane.
    Decision,
    /// The end of the daemon's pause.
    Paused,
    /// An account that may send.
    Account,
    /// An app that takes leases.
    App,
    /// The link.
    Link,
    /// The pace that the service allows.
    Rate,
    /// The time of its next attempt.
    Time,
    /// Room among the attempts under way.
    Room,
}

impl WaitsFor {
    /// The name in API, command line and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Answer => "answer",
            Self::Release => "release",
            Self::Decision => "decision",
            Self::Paused => "paused",
            Self::Account => "account",
            Self::App => "app",
            Self::Link => "link",
            Self::Rate => "rate",
            Self::Time => "time",
            Self::Room => "room",
        }
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one attempt of the history ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum AttemptOutcome {
    /// The service took the message.
    Sent,
    /// The service had it already.
    Duplicate,
    /// Nothing reached the service; not counted.
    NotReached,
    /// The service may have taken it.
    MaybeReached,
    /// The service refused for now.
    Retry,
    /// The service asked for a slower pace; not counted.
    Limited,
    /// The account may not send; not counted.
    GateShut,
    /// The service refused for good.
    Reject,
}

impl AttemptOutcome {
    /// The name in API and command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Duplicate => "duplicate",
            Self::NotReached => "notReached",
            Self::MaybeReached => "maybeReached",
            Self::Retry => "retry",
            Self::Limited => "limited",
            Self::GateShut => "gateShut",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who closed an entry as sent without an answer of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ResolvedBy {
    /// A person who saw it arrive.
    Person,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_one_name_in_json_and_text() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("done".parse::<State>().unwrap_err().to_string().contains("queued, deferred"));
    }

    #[test]
    fn words_of_answers_are_written_as_the_contract_spells_them() {
        assert_eq!(serde_json::to_value(WaitsFor::Decision).unwrap(), WaitsFor::Decision.as_str());
        assert_eq!(serde_json::to_value(AttemptOutcome::NotReached).unwrap(), "notReached");
        assert_eq!(
            serde_json::to_value(AttemptOutcome::GateShut).unwrap(),
            AttemptOutcome::GateShut.as_str()
        );
        assert_eq!(serde_json::to_value(ResolvedBy::Person).unwrap(), "person");
    }
}
