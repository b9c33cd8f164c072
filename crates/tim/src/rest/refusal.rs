//! What REST cannot send.
//!
//! Owns:  the reasons, and who can send it instead.
//! Never: finds them (`outgoing` does).

use crate::json;
use crate::message::MessageError;

/// Members of a targeted group message: the service's limit.
pub(super) const TARGETS_MAX: usize = 50;

/// Why a message has no REST call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotCarry {
    /// It is not one JSON value.
    #[error("the message is not valid JSON: {reason}")]
    Json {
        /// What the parser found.
        reason: String,
    },
    /// It is not an object.
    #[error("the message must be a JSON object, not {found}")]
    NotAnObject {
        /// The type that it has.
        found: &'static str,
    },
    /// It names neither a peer nor a group.
    #[error("the message names no peer (userID) and no group (groupID)")]
    NoDestination,
    /// It does not say clearly who sends it or who gets it: whatever was sent might go to others.
    #[error(transparent)]
    Receiver(#[from] MessageError),
    /// It has no element.
    #[error("the message has no element that elemType names")]
    NoElement,
    /// A field that the service requires is missing, or has a type that the SDK never writes.
    #[error("{field} is missing or has the wrong type")]
    Missing {
        /// The field, as it is spelt in the message.
        field: &'static str,
    },
    /// A file that was not uploaded.
    #[error("{element} has no URL (REST cannot upload a local file)")]
    LocalFile {
        /// The element, as it is spelt in the message.
        element: &'static str,
    },
    /// A bundle of messages.
    #[error("a merged message cannot be sent over REST (it does not hold the messages that were merged)")]
    Merged,
    /// A note of the service about its group.
    #[error("a group-tips message cannot be sent by any client")]
    GroupTips,
    /// A notice of the service about the group system, a friendship or a profile.
    #[error("an element of type {elem_type} is a notice of the service, which no client can send")]
    Notice {
        /// Its number, in the message's own shape.
        elem_type: i64,
    },
    /// An element of a newer SDK.
    #[error("an element of type {elem_type} has no REST form that is known here")]
    UnknownElement {
        /// Its number; -1 for an element that says nothing.
        elem_type: i64,
    },
    /// More than one custom element.
    #[error("a message over REST can have one custom element only")]
    TwoCustomElements,
    /// Too many members are targeted.
    #[error("{count} members are targeted, and REST takes {TARGETS_MAX} at most")]
    TooManyTargets {
        /// How many.
        count: usize,
    },
}

impl CannotCarry {
    pub(super) const fn not_an_object(value: &serde_json::Value) -> Self {
        Self::NotAnObject { found: json::kind(value) }
    }

    /// Says what to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Json { .. } | Self::NotAnObject { .. } | Self::Missing { .. } | Self::NoElement => {
                "submit the V2TimMessage as the SDK's toJson writes it"
            }
            Self::Receiver(error) => error.hint(),
            Self::NoDestination => {
                "submit the message with its userID or groupID (a submit's `conversation` names a lane only)"
            }
            Self::LocalFile { .. } => {
                "let the app send it (transport.kind = \"app\"), which can upload, or submit it with a URL"
            }
            Self::Merged | Self::UnknownElement { .. } => {
                "let the app send it with its SDK (transport.kind = \"app\")"
            }
            Self::Notice { .. } => "do not submit notices of the service: it makes them by itself",
            Self::GroupTips => "do not submit group tips: the service makes them by itself",
            Self::TwoCustomElements => {
                "let the app send it with its SDK (transport.kind = \"app\"), or split the message"
            }
            Self::TooManyTargets { .. } => "submit it once for each 50 members",
        }
    }
}
