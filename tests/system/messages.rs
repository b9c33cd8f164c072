//! Messages to submit, and what was expected of them.
//!
//! Owns:  their text, the fixtures, the order of acceptance.
//! Never: talks to a daemon.

use std::collections::BTreeMap;

use outbox_control::types::Submit;
use serde_json::value::RawValue;

/// One real message of each kind, a line each.
pub(crate) const MESSAGES: &str = include_str!("../fixtures/messages.jsonl");

/// Whole callbacks of failed sends, a line each.
pub(crate) const CALLBACKS: &str = include_str!("../fixtures/callbacks.jsonl");

/// The order of acceptance, by conversation.
pub(crate) type Order = BTreeMap<String, Vec<String>>;

/// A text message from one user to another, as an SDK might write it.
pub(crate) fn message(msg_id: &str, user: &str) -> String {
    format!(
        r#"{{"msgID":"{msg_id}","userID":"{user}","elemType":1,"isSelf":true,"status":3,"textElem":{{"text":"hello {msg_id}"}}}}"#
    )
}

/// A submit object around a message to one user.
pub(crate) fn submit(msg_id: &str, user: &str) -> String {
    format!(r#"{{"message":{}}}"#, message(msg_id, user))
}

/// A submit object with more fields, such as `"ttl":"1s"`.
pub(crate) fn submit_with(msg_id: &str, user: &str, more: &str) -> String {
    format!(r#"{{"message":{},{more}}}"#, message(msg_id, user))
}

/// The same for the typed client.
pub(crate) fn typed(msg_id: &str, user: &str) -> Submit {
    Submit::new(RawValue::from_string(message(msg_id, user)).expect("JSON"))
}
