//! What the outbox tells about a message: the entry, its history, and why it waits.
//!
//! Owns:  the entry, pages of entries, the answer of `why`.
//! Never: holds the payload, which has its own call.

use serde::{Deserialize, Serialize};

use super::{AttemptOutcome, ResolvedBy, State, WaitsFor, is_false};
use crate::Time;

/// A message's delivery record.
///
/// For a sent or cancelled message it is built from the receipt, and lacks what the receipt does not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The message's id in this spool.
    #[serde(rename = "msgID")]
    pub msg_id: String,
    /// The creation id, an alias in look-ups; `null` if there is none.
    #[serde(default)]
    pub id: Option<String>,
    /// Whose session sends.
    #[serde(default)]
    pub account: String,
    /// The lane's name in its account.
    #[serde(default)]
    pub conversation: String,
    /// Number in the order of acceptance.
    #[serde(default)]
    pub seq: u64,
    /// Its present state.
    pub state: State,
    /// Whether it is sent only to those who are online.
    #[serde(default)]
    pub online_user_only: bool,
    /// Attempts that may have reached the service.
    #[serde(default)]
    pub attempts: u32,
    /// Leases given out, counted attempts or not.
    #[serde(default)]
    pub starts: u32,
    /// For a blocked one, the message of its conversation that goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// When it was accepted.
    #[serde(default)]
    pub submitted_at: Time,
    /// No attempt before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// The earliest moment at which anything will be tried.
    #[serde(default)]
    pub next_attempt_at: Option<Time>,
    /// Its deadline; absent while it is held and for ended ones.
    #[serde(default)]
    pub expires_at: Option<Time>,
    /// Length of the payload.
    #[serde(default)]
    pub bytes: u64,
    /// The latest failure; `null` before the first.
    #[serde(default)]
    pub last_error: Option<LastError>,
    /// The latest 20 attempts, oldest first. Attempt 0 is what the app reported at submit.
    #[serde(default)]
    pub history: Vec<AttemptRecord>,
    /// Id of the replacement of a sent one.
    #[serde(rename = "newMsgID", default, skip_serializing_if = "Option::is_none")]
    pub new_msg_id: Option<String>,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Time>,
    /// Whether a resend of it may have been its second arrival.
    #[serde(default)]
    pub possible_duplicate: bool,
    /// Start of the first attempt that nobody knows the end of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unresolved_since: Option<Time>,
    /// Whether it is cancelled as soon as its attempt under way allows it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancel_requested: bool,
    /// Whether an ended one may have arrived after all.
    #[serde(default, skip_serializing_if = "is_false")]
    pub may_have_arrived: bool,
    /// Who closed it as sent, if not the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<ResolvedBy>,
    /// The words given with hold or cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The latest failure of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastError {
    /// The service's result code, an HTTP status, or one of the outbox's own (-30000 and below).
    pub code: i64,
    /// The service's words.
    #[serde(default)]
    pub desc: String,
    /// What the code means for the message, such as `transient_server`.
    #[serde(default)]
    pub class: String,
    /// When it happened.
    pub at: Time,
    /// The code's name, such as `ERR_USER_SIG_EXPIRED`; absent for a code in no table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the code means, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// One line of an entry's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// Number of the attempt; an uncounted one is repeated by the next.
    pub attempt: u32,
    /// When it began.
    pub at: Time,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The result code.
    pub code: i64,
    /// The service's words.
    #[serde(default)]
    pub desc: String,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
}

/// A page of entries in the order of acceptance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessagePage {
    /// The entries; a page may be short without being the last.
    pub messages: Vec<Entry>,
    /// Cursor of the next page; `null` on the last.
    pub next: Option<String>,
}

/// Why a message is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// Its present state.
    pub state: State,
    /// What it waits for; `null` for an ended one.
    pub waits_for: Option<WaitsFor>,
    /// msgID of the head that blocks its lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// Since when this is so.
    pub since: Time,
    /// The earliest moment at which anything will be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// The reason as a sentence.
    pub detail: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = concat!(
        r#"{"msgID":"m","id":"i","account":"default","conversation":"c2c:x","seq":3,"state":"deferred","#,
        r#""onlineUserOnly":false,"attempts":1,"starts":2,"submittedAt":"2026-11-23T08:00:00.000Z","#,
        r#""nextAttemptAt":"2026-11-23T08:01:00.000Z","expiresAt":"2026-11-26T08:00:00.000Z","bytes":12,"#,
        r#""lastError":{"code":-30001,"desc":"lost","class":"unknown","at":"2026-11-23T08:00:01.000Z"},"#,
        r#""history":[{"attempt":1,"at":"2026-11-23T08:00:00.500Z","outcome":"maybeReached","code":-30001,"#,
        r#""desc":"lost","tookMs":500}],"possibleDuplicate":false,"unresolvedSince":"2026-11-23T08:00:00.500Z"}"#
    );

    #[test]
    fn an_entry_comes_back_as_it_was_written() {
        let entry: Entry = serde_json::from_str(ENTRY).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), ENTRY);
    }

    #[test]
    fn a_field_of_a_newer_daemon_is_ignored() {
        let newer = ENTRY.replacen('{', r#"{"colour":"green","#, 1);
        let entry: Entry = serde_json::from_str(&newer).unwrap();
        assert_eq!(entry, serde_json::from_str(ENTRY).unwrap());
    }

    #[test]
    fn an_entry_made_from_a_receipt_needs_only_its_id_and_state() {
        let entry: Entry = serde_json::from_str(r#"{"msgID":"m","state":"sent","newMsgID":"n"}"#).unwrap();
        assert_eq!((entry.state, entry.new_msg_id.as_deref()), (State::Sent, Some("n")));
    }

    #[test]
    fn the_last_page_and_an_ended_entry_say_null() {
        let page = MessagePage { messages: Vec::new(), next: None };
        assert_eq!(serde_json::to_string(&page).unwrap(), r#"{"messages":[],"next":null}"#);
        let why = Why {
            state: State::Failed,
            waits_for: None,
            blocked_by: None,
            since: Time::from_ms(0),
            next_attempt_at: None,
            detail: "refused".into(),
            hint: None,
        };
        let expected =
            r#"{"state":"failed","waitsFor":null,"since":"1970-01-01T00:00:00.000Z","detail":"refused"}"#;
        assert_eq!(serde_json::to_string(&why).unwrap(), expected);
    }
}
