//! Many messages at once, and reading the configuration again.
//!
//! Owns:  these types.
//! Never: decides what a filter matches.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::State;
use crate::duration::DurationText;

/// What a batch does to each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum BatchOp {
    /// Make it due now, or bring it back.
    Resend,
    /// Keep it back until it is released.
    Hold,
    /// Let it go.
    Release,
    /// Withdraw it.
    Cancel,
}

impl BatchOp {
    /// The name in API and command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Cancel => "cancel",
        }
    }
}

/// One state or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum States {
    /// This one.
    One(State),
    /// Any of these.
    Any(Vec<State>),
}

impl States {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[State] {
        match self {
            Self::One(state) => std::slice::from_ref(state),
            Self::Any(states) => states,
        }
    }
}

impl<'de> Deserialize<'de> for States {
    /// Names the state that is none, which a choice between two forms would not.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a state or a list of states")]
        enum Text {
            One(String),
            Any(Vec<String>),
        }
        let state = |text: String| text.parse::<State>().map_err(de::Error::custom);
        match Text::deserialize(deserializer)? {
            Text::One(text) => state(text).map(Self::One),
            Text::Any(texts) => texts.into_iter().map(state).collect::<Result<_, _>>().map(Self::Any),
        }
    }
}

/// Which messages a batch is about: those that match everything that is given. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchFilter {
    /// Only this state, or these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<States>,
    /// Only this conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Only this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only those whose last error has this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Only those that were accepted longer ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<DurationText>,
}

/// The body of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchRequest {
    /// What to do.
    pub op: BatchOp,
    /// To which messages.
    pub filter: BatchFilter,
    /// Only count them.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub dry_run: bool,
    /// Do nothing if another number of messages matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_count: Option<u64>,
    /// Words for the record of a hold or a cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchAnswer {
    /// Messages that matched when it began.
    pub matched: u64,
    /// Done.
    pub done: u64,
    /// To be cancelled as soon as the attempt under way ends.
    #[serde(default)]
    pub pending: u64,
    /// Moved on in the meantime, or not in a state for it.
    #[serde(default)]
    pub skipped: u64,
}

/// The answer to a reload: options by their full names, such as `retry.initial`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReloadAnswer {
    /// In force from now on.
    pub changed: Vec<String>,
    /// Changed in the configuration, and as before until the next start.
    pub needs_restart: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_the_names_of_the_contract_and_names_what_it_does_not_know() {
        let text =
            r#"{"op":"cancel","filter":{"state":"failed","olderThan":"72h"},"dryRun":true,"expectCount":3}"#;
        let request: BatchRequest = serde_json::from_str(text).unwrap();
        assert_eq!(request.filter.state.as_ref().map(States::as_slice), Some(&[State::Failed][..]));
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        for (text, part) in [
            (r#"{"op":"hold"}"#, "`filter`"),
            (r#"{"filter":{}}"#, "`op`"),
            (r#"{"op":"hold","filter":{},"all":true}"#, "`all`"),
            (r#"{"op":"hold","filter":{"states":[]}}"#, "`states`"),
            (r#"{"op":"destroy","filter":{}}"#, "`destroy`"),
            (r#"{"op":"hold","filter":{"state":"gone"}}"#, "`gone`"),
        ] {
            let error = serde_json::from_str::<BatchRequest>(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let any: BatchFilter = serde_json::from_str(r#"{"state":["held","queued"]}"#).unwrap();
        assert_eq!(any.state.unwrap().as_slice(), [State::Held, State::Queued]);
    }
}
