//! Receipts: the lasting record of an outcome.
//!
//! Owns:  the receipt and pages of receipts.
//! Never: decides how long one is kept.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ResolvedBy, State, is_false};
use crate::Time;

/// The record that is left of a message once it has ended.
///
/// Fields that do not apply are absent: a cancelled message has no `newMsgID`, `data` and `sentAt`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Durable number of the event that ended it; rises, not dense.
    pub seq: u64,
    /// The original's id.
    #[serde(rename = "msgID")]
    pub msg_id: String,
    /// Id of the replacement.
    #[serde(rename = "newMsgID", default, skip_serializing_if = "Option::is_none")]
    pub new_msg_id: Option<String>,
    /// How it ended: `sent`, `cancelled`, `failed` or `expired`.
    #[serde(default = "sent")]
    pub state: State,
    /// Whose session sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its lane's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The last result code; 0 for a sent one.
    pub code: i64,
    /// The words for it.
    #[serde(default)]
    pub desc: String,
    /// The replacement. Absent for readers without the right to payloads, and where `dataDropped` or `dataDamaged` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Box<RawValue>>,
    /// Whether `data` was given up to keep within the receipts' limit of bytes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub data_dropped: bool,
    /// Whether the file with `data` cannot be read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub data_damaged: bool,
    /// Attempts that may have reached the service.
    #[serde(default)]
    pub attempts: u32,
    /// When the original was accepted.
    #[serde(default)]
    pub submitted_at: Time,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Time>,
    /// When it ended, whatever the end was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Whether it may have arrived more than once.
    #[serde(default)]
    pub possible_duplicate: bool,
    /// Whether one that was not sent may have arrived after all.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_have_arrived: bool,
    /// Who closed it as sent, if not the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<ResolvedBy>,
    /// The words given with cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of receipts, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentPage {
    /// The receipts.
    pub sent: Vec<Receipt>,
    /// What to give as `since` for the next page.
    #[serde(default)]
    pub next: u64,
}

// A receipt that does not say otherwise is that of a sent message.
const fn sent() -> State {
    State::Sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sent_receipt_comes_back_as_it_was_written() {
        let text = concat!(
            r#"{"sent":[{"seq":9,"msgID":"m","newMsgID":"n","state":"sent","code":0,"desc":"","data":{ "status":2 },"#,
            r#""attempts":2,"submittedAt":"2026-11-23T08:00:00.000Z","sentAt":"2026-11-23T08:00:09.000Z","#,
            r#""possibleDuplicate":true}],"next":9}"#
        );
        let page: SentPage = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&page).unwrap(), text);
    }

    #[test]
    fn a_cancelled_receipt_has_no_trace_of_a_replacement() {
        let text = concat!(
            r#"{"seq":9,"msgID":"m","state":"cancelled","code":-30003,"desc":"","attempts":1,"#,
            r#""submittedAt":"2026-11-23T08:00:00.000Z","possibleDuplicate":false,"mayHaveArrived":true,"reason":"typo"}"#
        );
        let receipt: Receipt = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&receipt).unwrap(), text);
    }

    #[test]
    fn a_receipt_without_a_state_is_a_sent_one() {
        let receipt: Receipt = serde_json::from_str(r#"{"seq":1,"msgID":"m","code":0}"#).unwrap();
        assert_eq!(receipt.state, State::Sent);
    }
}
