//! The app as transport: leases, and the reports that end them.
//!
//! Owns:  these types and the request's defaults.
//! Never: checks the limits of `max`, `wait` and `for`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{State, is_false};
use crate::{DurationText, Time};

/// Leases that a request without `max` asks for.
pub const DEFAULT_MAX: u32 = 16;
/// How long a request without `wait` waits for work.
pub const DEFAULT_WAIT: DurationText = DurationText::from_secs(30);
/// How long a lease of a request without `for` lasts.
pub const DEFAULT_FOR: DurationText = DurationText::from_secs(60);

/// The body of `POST /v1/leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// At most this many: 1 to 256.
    #[serde(default = "default_max")]
    pub max: u32,
    /// How long to wait for the first: 0 to 60 s.
    #[serde(default = "default_wait")]
    pub wait: DurationText,
    /// How long each lasts: 5 s to 10 min.
    #[serde(rename = "for", default = "default_for")]
    pub lasts: DurationText,
    /// Whose messages. Absent: [`super::DEFAULT_ACCOUNT`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Default for LeaseRequest {
    fn default() -> Self {
        Self { max: DEFAULT_MAX, wait: DEFAULT_WAIT, lasts: DEFAULT_FOR, account: None }
    }
}

const fn default_max() -> u32 {
    DEFAULT_MAX
}

const fn default_wait() -> DurationText {
    DEFAULT_WAIT
}

const fn default_for() -> DurationText {
    DEFAULT_FOR
}

/// The exclusive, time-limited right to attempt an entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Its id, for settle and extend.
    pub lease: String,
    /// The original's id.
    #[serde(rename = "msgID")]
    pub msg_id: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// The same on every automatic attempt of the message.
    pub send_token: String,
    /// Whose session sends.
    pub account: String,
    /// The lane's name.
    pub conversation: String,
    /// To be passed to the SDK's resend.
    #[serde(default)]
    pub online_user_only: bool,
    /// To be passed to the SDK's resend.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub web_message_instatnce: Option<Box<RawValue>>,
    /// The message as it was submitted.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub message: Box<RawValue>,
    /// When the lease lapses.
    pub deadline: Time,
}

/// The answer with leases; empty if there was no work.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeasePage {
    /// The leases.
    pub leases: Vec<Lease>,
}

/// The report of an attempt: the SDK's callback, and two facts that only the app knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settle {
    /// The SDK's result code; 0 for success.
    pub code: i64,
    /// The SDK's words.
    #[serde(default)]
    pub desc: String,
    /// The new message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Box<RawValue>>,
    /// Whether it is certain that nothing left the device.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_reached: bool,
    /// The service's own delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<DurationText>,
}

/// The answer to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettleAnswer {
    /// The entry's state now.
    pub state: State,
}

/// The body of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// How long the lease lasts from now: at most 1 h since it was given.
    #[serde(rename = "for")]
    pub lasts: DurationText,
}

/// The answer to an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExtendAnswer {
    /// When the lease lapses now.
    pub deadline: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_request_asks_for_the_documented_defaults() {
        let request: LeaseRequest = serde_json::from_str("{}").unwrap();
        assert_eq!(request, LeaseRequest::default());
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"max":16,"wait":"30s","for":"1m"}"#);
        let error = serde_json::from_str::<LeaseRequest>(r#"{"lasts":"9s"}"#).unwrap_err();
        assert!(error.to_string().contains("`lasts`"), "{error}");
    }

    #[test]
    fn a_report_is_a_callback_with_two_more_fields() {
        let text = r#"{"code":9508,"desc":"no network","notReached":true,"retryAfter":"5s"}"#;
        let settle: Settle = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&settle).unwrap(), text);
        let settle: Settle = serde_json::from_str(r#"{"code":0,"desc":"","data":{ "status": 2}}"#).unwrap();
        assert_eq!(settle.data.unwrap().get(), r#"{ "status": 2}"#);
        let error = serde_json::from_str::<Settle>(r#"{"code":0,"notreached":true}"#).unwrap_err();
        assert!(error.to_string().contains("`notreached`"), "{error}");
    }

    #[test]
    fn a_lease_carries_the_message_byte_for_byte() {
        let text = concat!(
            r#"{"lease":"l","msgID":"m","attempt":1,"sendToken":"t","account":"default","conversation":"c2c:x","#,
            r#""onlineUserOnly":false,"webMessageInstatnce":{"w":1},"message":{"text" :"\/"},"deadline":"2026-11-23T08:00:00.000Z"}"#
        );
        let lease: Lease = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&lease).unwrap(), text);
    }
}
