//! Acting on one message: bodies and answers of resend, resolve, hold, release and cancel.
//!
//! Owns:  these types, and the callback in the SDK's shape.
//! Never: the submit object, which has its own file.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{BothSpellings, Entry, is_false, one_spelling};

/// The body of a resend. Empty means: as submitted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResendRequest {
    /// Replaces what the submit said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_user_only: Option<bool>,
    /// Replaces what the submit said, in the SDK's spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub web_message_instatnce: Option<Box<RawValue>>,
    /// The same in the corrected spelling. Read it with [`ResendRequest::web_message_instance`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub web_message_instance: Option<Box<RawValue>>,
}

impl ResendRequest {
    /// The web message instance, whichever spelling names it.
    ///
    /// # Errors
    /// [`BothSpellings`] if both do.
    pub fn web_message_instance(&self) -> Result<Option<&RawValue>, BothSpellings> {
        one_spelling(self.web_message_instatnce.as_deref(), self.web_message_instance.as_deref())
    }
}

/// The result of a send in the SDK's shape (V2TimValueCallback).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Callback {
    /// 0 for success; else the service's code, or one of the outbox's own (-30000 and below).
    pub code: i64,
    /// The words for it.
    #[serde(default)]
    pub desc: String,
    /// The replacement; after a failure the message as submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Box<RawValue>>,
}

/// What a resend answers: the callback where the end is known (200), else the entry (202).
#[derive(Clone, Debug)]
pub enum ResendAnswer {
    /// The attempt, or the entry, has ended.
    Callback(Callback),
    /// It is due, or still under way.
    Entry(Box<Entry>),
}

/// The body of resolve: a person saw the message arrive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// Always 0: there is nothing else to resolve to.
    pub code: i64,
    /// Words for the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// The message as it arrived, for the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Box<RawValue>>,
}

/// A body that gives only a reason: hold, release, cancel, pausing an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// Words for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a cancel achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CancelOutcome {
    /// Never sent, or known not to be delivered.
    Cancelled,
    /// It had been sent.
    TooLate,
    /// An attempt is under way; it ends sent or cancelled.
    Pending,
    /// It will not be sent again, but an earlier attempt may have arrived.
    Uncertain,
}

impl CancelOutcome {
    /// The name in API and command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::TooLate => "too_late",
            Self::Pending => "pending",
            Self::Uncertain => "uncertain",
        }
    }
}

/// The answer to a cancel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CancelAnswer {
    /// What it achieved.
    pub outcome: CancelOutcome,
    /// The replacement, where it was too late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Box<RawValue>>,
    /// Whether an earlier attempt may have arrived.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_have_arrived: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_resend_is_an_empty_object() {
        assert_eq!(serde_json::to_string(&ResendRequest::default()).unwrap(), "{}");
        let error = serde_json::from_str::<ResendRequest>(r#"{"wait":"3s"}"#).unwrap_err();
        assert!(error.to_string().contains("`wait`"), "{error}");
    }

    #[test]
    fn a_resend_refuses_both_spellings() {
        let both: ResendRequest =
            serde_json::from_str(r#"{"webMessageInstatnce":{},"webMessageInstance":{}}"#).unwrap();
        assert_eq!(both.web_message_instance().unwrap_err(), BothSpellings);
    }

    #[test]
    fn a_callback_keeps_the_bytes_of_its_data() {
        let text = r#"{"code":0,"desc":"","data":{ "msgID": "n" , "random":4294967295 }}"#;
        let callback: Callback = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&callback).unwrap(), text);
    }

    #[test]
    fn cancel_outcomes_are_spelled_as_in_the_contract() {
        for outcome in [
            CancelOutcome::Cancelled,
            CancelOutcome::TooLate,
            CancelOutcome::Pending,
            CancelOutcome::Uncertain,
        ] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }
}
