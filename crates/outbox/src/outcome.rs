//! How an attempt ended, in the words of the store: outcome, class and the report that `settle` takes.
//!
//! Owns:  the closed sets of outcomes and classes, and their names in records, API and logs.
//! Never: knows a service's result codes (a transport maps them to a class), decides what happens next
//!        (`lifecycle`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service proved that it took the message.
    Sent,
    /// The service says that it already has the message: as good as sent.
    Duplicate,
    /// Nothing was written to the service; the attempt does not count.
    NotReached,
    /// The service may have taken the message: the answer was lost, or the code does not tell.
    MaybeReached,
    /// The service answered "success" without proof: uncertain at once.
    ProvesNothing,
    /// The service refused for now.
    Retry,
    /// The service asked for a slower pace: the account slows, the attempt does not count.
    Limited,
    /// The account may not send: it pauses, the attempt does not count.
    GateShut,
    /// The service refused for good.
    Reject,
}

/// What an error code means for the future of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// No error.
    Ok,
    /// The network failed: wait for the link.
    TransientNetwork,
    /// The service failed for now: back off.
    TransientServer,
    /// Too fast: the account slows.
    RateLimited,
    /// Login trouble: the account pauses.
    Auth,
    /// This content will never be accepted.
    PermanentContent,
    /// This recipient does not take it.
    PermanentRecipient,
    /// The request itself is wrong.
    PermanentRequest,
    /// An upload failed: retry on a slower schedule.
    FileUpload,
    /// Not in any table: retry a few times.
    Unknown,
    /// An attempt's outcome is unknown and the policy is to give up (`on_uncertain = "fail"`).
    Uncertain,
    /// The process died three times in a row while it attempted this message.
    CrashLoop,
    /// The message outlived its deadline.
    Expired,
    /// A person or the app cancelled it.
    Cancelled,
}

/// What a transport saw of one attempt; the argument of `settle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// The service's result code, an HTTP status without a callback, or one of the outbox's own
    /// (-30000 not reached, -30001 maybe reached).
    pub code: i64,
    /// The service's words. Cut to [`crate::limits::DESC_BYTES_MAX`] when recorded.
    pub desc: String,
    /// What the code means.
    pub class: Class,
    /// The service's own delay: a floor for the next attempt, clamped to one hour.
    pub retry_after: Option<Duration>,
    /// The new message, for [`Outcome::Sent`] and [`Outcome::Duplicate`].
    pub replacement: Option<Replacement>,
}

/// The new message that the service returned for an original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Its msgID; `None` where the service gave none (the original's is kept).
    pub new_msg_id: Option<String>,
    /// The message as the service returned it, byte for byte.
    pub data: Vec<u8>,
}

/// Code of an attempt that reached nobody, where no service gave one.
pub const CODE_NOT_REACHED: i64 = -30000;
/// Code of an attempt whose answer was lost, where no service gave one.
pub const CODE_MAYBE_REACHED: i64 = -30001;
/// Code of an expired message.
pub const CODE_EXPIRED: i64 = -30002;
/// Code of a cancelled message.
pub const CODE_CANCELLED: i64 = -30003;
/// Code of a message that took the process down three times.
pub const CODE_CRASH_LOOP: i64 = -30004;
/// Code of a message that the transport has no way to carry.
pub const CODE_CANNOT_CARRY: i64 = -30005;
/// Code of a message whose payload's file cannot be read now.
pub const CODE_PAYLOAD_UNREADABLE: i64 = -30006;

impl Outcome {
    /// All outcomes, in the order of the contract.
    pub const ALL: [Self; 9] = [
        Self::Sent,
        Self::Duplicate,
        Self::NotReached,
        Self::MaybeReached,
        Self::ProvesNothing,
        Self::Retry,
        Self::Limited,
        Self::GateShut,
        Self::Reject,
    ];

    /// The name in records, API and logs. An answer without proof is `maybeReached` to a reader.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Duplicate => "duplicate",
            Self::NotReached => "notReached",
            Self::MaybeReached | Self::ProvesNothing => "maybeReached",
            Self::Retry => "retry",
            Self::Limited => "limited",
            Self::GateShut => "gateShut",
            Self::Reject => "reject",
        }
    }

    /// Whether the attempt counts: it may have reached the service, and the account was not the reason.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::NotReached | Self::Limited | Self::GateShut)
    }
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::TransientNetwork,
        Self::TransientServer,
        Self::RateLimited,
        Self::Auth,
        Self::PermanentContent,
        Self::PermanentRecipient,
        Self::PermanentRequest,
        Self::FileUpload,
        Self::Unknown,
        Self::Uncertain,
        Self::CrashLoop,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The name in records, configuration, API and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TransientNetwork => "transient_network",
            Self::TransientServer => "transient_server",
            Self::RateLimited => "rate_limited",
            Self::Auth => "auth",
            Self::PermanentContent => "permanent_content",
            Self::PermanentRecipient => "permanent_recipient",
            Self::PermanentRequest => "permanent_request",
            Self::FileUpload => "file_upload",
            Self::Unknown => "unknown",
            Self::Uncertain => "uncertain",
            Self::CrashLoop => "crash_loop",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether no repetition can help.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::PermanentContent | Self::PermanentRecipient | Self::PermanentRequest)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a class")]
pub struct UnknownClass(pub String);

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_again_by_its_name() {
        for class in Class::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        assert_eq!("sent".parse::<Class>(), Err(UnknownClass("sent".into())));
    }
}
