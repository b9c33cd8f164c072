//! The unreliable service's ledger: which messages it took, in which order, and what it answered.
//!
//! Owns:  the record of deliveries, de-duplication by send token, the checks for lost, doubled and reordered.
//! Never: touches a socket, decides whether a message is taken (the script does).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Received;

/// One message that the service took.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The original's msgID, as the request had it.
    pub msg_id: String,
    /// The conversation, as the request had it.
    pub conversation: String,
    /// The send token, from `Idempotency-Key`; empty where the request had none.
    pub token: String,
    /// The message, byte for byte.
    pub message: Vec<u8>,
    /// When it was taken.
    pub at: Instant,
}

/// Whether the service recognizes a repeated send token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// A token that was taken once gets the first answer again, and is not taken again.
    ByToken,
    /// Every request is taken as a new message.
    Off,
}

/// Which msgID the new message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewId {
    Fresh,
    Same,
}

/// What the service took so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) deliveries: Vec<Delivered>,
    pub(super) repeats: u64,
    answers: HashMap<String, Vec<u8>>,
}

impl Ledger {
    /// Takes a message and returns the callback that answers it, or `None` for a request without a message.
    pub(super) fn take(&mut self, received: &Received, dedup: Dedup, new_id: NewId) -> Option<Vec<u8>> {
        let dedups = dedup == Dedup::ByToken && !received.token.is_empty();
        if dedups && let Some(answer) = self.answers.get(&received.token) {
            self.repeats += 1;
            return Some(answer.clone());
        }
        let message = received.message()?;
        let number = self.deliveries.len() + 1;
        let new_msg_id = match new_id {
            NewId::Same => received.msg_id.clone(),
            NewId::Fresh => {
                let origin: String = received.token.chars().take(12).collect();
                format!("srv-{origin}-{number}")
            }
        };
        let answer =
            callback(0, "ok", message, &[("msgID", quoted(&new_msg_id)), ("status", "2".to_owned())])?;
        if dedups {
            self.answers.insert(received.token.clone(), answer.clone());
        }
        self.deliveries.push(Delivered {
            msg_id: received.msg_id.clone(),
            conversation: received.conversation.clone(),
            token: received.token.clone(),
            message: message.get().as_bytes().to_vec(),
            at: Instant::now(),
        });
        Some(answer)
    }
}

/// Builds a callback around a message, some of whose fields are replaced; the others stay as they came.
///
/// `None` if the message is not a JSON object.
pub(super) fn callback(
    code: i64,
    desc: &str,
    message: &RawValue,
    replaced: &[(&str, String)],
) -> Option<Vec<u8>> {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(message.get()).ok()?;
    let snake_case = fields.contains_key("message_msg_id");
    for (name, json) in replaced {
        let name = match (snake_case, *name) {
            (true, "msgID") => "message_msg_id",
            (true, "status") => "message_status",
            (_, name) => name,
        };
        fields.insert(name.to_owned(), RawValue::from_string(json.clone()).ok()?);
    }
    let data = serde_json::to_string(&fields).ok()?;
    Some(format!(r#"{{"code":{code},"desc":{},"data":{data}}}"#, quoted(desc)).into_bytes())
}

/// The text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The msgIDs that were taken more than once, each named once, sorted.
pub(crate) fn doubled(deliveries: &[Delivered]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut doubled = BTreeSet::new();
    for delivered in deliveries {
        if !seen.insert(&delivered.msg_id) {
            doubled.insert(&delivered.msg_id);
        }
    }
    doubled.into_iter().cloned().collect()
}

/// The expected msgIDs that were never taken, in the expected order.
pub(crate) fn lost(deliveries: &[Delivered], expected: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let taken: BTreeSet<_> = deliveries.iter().map(|delivered| &delivered.msg_id).collect();
    expected.values().flatten().filter(|msg_id| !taken.contains(msg_id)).cloned().collect()
}

/// The msgIDs that were first taken after a message that stands behind them in their conversation.
///
/// `expected` is the order of acceptance for each conversation; messages that are not in it are left out.
pub(crate) fn out_of_order(
    deliveries: &[Delivered],
    expected: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let mut places = HashMap::new();
    for (conversation, msg_ids) in expected {
        for (place, msg_id) in msg_ids.iter().enumerate() {
            places.insert((conversation.as_str(), msg_id.as_str()), place);
        }
    }
    let mut furthest: HashMap<&str, usize> = HashMap::new();
    let mut seen = BTreeSet::new();
    let mut late = Vec::new();
    for delivered in deliveries {
        let key = (delivered.conversation.as_str(), delivered.msg_id.as_str());
        let Some(&place) = places.get(&key) else { continue };
        if !seen.insert(key) {
            continue;
        }
        let front = furthest.entry(key.0).or_insert(place);
        if place < *front {
            late.push(delivered.msg_id.clone());
        }
        *front = place.max(*front);
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(conversation: &str, msg_id: &str) -> Delivered {
        Delivered {
            msg_id: msg_id.into(),
            conversation: conversation.into(),
            token: String::new(),
            message: b"{}".to_vec(),
            at: Instant::now(),
        }
    }

    fn expected(conversation: &str, msg_ids: &[&str]) -> BTreeMap<String, Vec<String>> {
        BTreeMap::from([(conversation.to_owned(), msg_ids.iter().map(|&id| id.to_owned()).collect())])
    }

    #[test]
    fn a_message_behind_its_successor_is_named_and_other_conversations_do_not_matter() {
        let order = [delivered("a", "1"), delivered("b", "9"), delivered("a", "3"), delivered("a", "2")];
        assert_eq!(out_of_order(&order, &expected("a", &["1", "2", "3"])), ["2"]);
        assert!(out_of_order(&order, &expected("a", &["1", "3", "2"])).is_empty());
    }

    #[test]
    fn doubled_and_lost_messages_are_named() {
        let order = [delivered("a", "1"), delivered("a", "2"), delivered("a", "1")];
        assert_eq!(doubled(&order), ["1"]);
        assert_eq!(lost(&order, &expected("a", &["1", "2", "3"])), ["3"]);
        assert!(out_of_order(&order, &expected("a", &["1", "2", "3"])).is_empty(), "a repeat is no disorder");
    }

    #[test]
    fn a_callback_keeps_unknown_fields_as_they_were_written() {
        let message: Box<RawValue> = serde_json::from_str(r#"{"msgID":"a", "x": 1.50, "status":3}"#).unwrap();
        let bytes = callback(0, "o\"k", &message, &[("msgID", quoted("b")), ("status", "2".into())]).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, r#"{"code":0,"desc":"o\"k","data":{"msgID":"b","status":2,"x":1.50}}"#);
    }

    #[test]
    fn a_message_in_the_shape_of_the_c_sdk_is_answered_in_that_shape() {
        let message: Box<RawValue> = serde_json::from_str(r#"{"message_msg_id":"a"}"#).unwrap();
        let bytes = callback(0, "ok", &message, &[("msgID", quoted("b")), ("status", "2".into())]).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, r#"{"code":0,"desc":"ok","data":{"message_msg_id":"b","message_status":2}}"#);
    }
}
