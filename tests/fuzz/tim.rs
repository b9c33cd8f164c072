//! Messages: reading and writing changes nothing, and nothing is taken for a proof that is none.
//!
//! Owns:  an independent look at messages and callbacks as plain JSON.
//! Never: repeats the rules of the model.

use outbox_tim::rest::{CallOptions, Reply, call};
use outbox_tim::{Proof, V2TimMessage, c_shape, callback, convert, mend, message};
use serde_json::Value;

const MESSAGES: &str = include_str!("../fixtures/messages.jsonl");
const CALLBACKS: &str = include_str!("../fixtures/callbacks.jsonl");

pub(crate) const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "null",
    "true",
    "\\ud83d",
    "\\ude00",
    "\\u0000",
    "\"elemType\":9",
    "\"nextElem\":{",
    "\"msgID\":\"\"",
    "\"message_msg_id\":\"b\"",
    "\"message_elem_array\":[",
    "\"elem_type\":5",
    "\"userID\":\"u\"",
    "\"groupID\":\"g\"",
    "\"message_conv_type\":2",
    "\"message_conv_id\":\"g\"",
    "\"isSelf\":false",
    "\"status\":2",
    "\"message_status\":3",
    "\"data\":{\"message_status\":3}",
    "\"status\":3",
    "\"MsgDropReason\":\"x\"",
    "\"code\":0",
    "\"code\":-0.0",
    "\"data\":{}",
    "\"data\":[2]",
    "\"textElem\":{",
    "\"customElem\":{\"data\":\"x\"}",
    "\"mergerElem\":{",
    "\"offlinePushInfo\":{",
    "\"random\":4294967296",
    "1e400",
    "0.10",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let camel = MESSAGES.lines().map(|line| line.as_bytes().to_vec());
    let c = MESSAGES.lines().filter_map(|line| {
        Some(convert::to_c(&V2TimMessage::parse(line.as_bytes()).ok()?).to_json().into_bytes())
    });
    let replies = [
        r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","MsgTime":1731500001,"MsgKey":"1_2_3","MsgId":"m"}"#,
        r#"{"ActionStatus":"FAIL","ErrorCode":20003,"ErrorInfo":"no such account"}"#,
        r#"{"code":0,"desc":"ok","data":{"msgID":"n","status":2}}"#,
        r#"{"code":0,"desc":"ok","data":{"message_msg_id":"n","message_status":2}}"#,
        r#"{"code":0,"desc":"ok","data":{"msgID":"n","status":2,"message_status":2,"MsgDropReason":""}}"#,
    ];
    camel.chain(c).chain(CALLBACKS.lines().chain(replies).map(|line| line.as_bytes().to_vec())).collect()
}

/// Whether every number is one that any reader keeps exactly.
fn has_plain_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.as_f64().is_some_and(|float| float.abs() < 1e15),
        Value::Array(items) => items.iter().all(has_plain_numbers),
        Value::Object(fields) => fields.values().all(has_plain_numbers),
        _ => true,
    }
}

pub(crate) fn check(data: &[u8]) {
    // As it is where every reader agrees on it; halves of characters and numbers beyond floats have rules of their own.
    let value = serde_json::from_slice::<Value>(data).ok();
    let written = V2TimMessage::parse(data).map(|message| message.to_json());
    check_round(value.as_ref(), written.as_deref().ok(), |text| {
        V2TimMessage::parse(text).map(|message| message.to_json()).ok()
    });
    let written = c_shape::Message::parse(data).map(|message| message.to_json());
    check_round(value.as_ref(), written.as_deref().ok(), |text| {
        c_shape::Message::parse(text).map(|message| message.to_json()).ok()
    });
    check_conversions(data);
    check_inspect(data, value.as_ref());
    check_callback(data, value.as_ref());
    check_call(data);
    let _ = Reply::parse(data);
    if let Some(mended) = mend::mended(data) {
        assert_eq!(mended.len(), data.len(), "a mended copy has another length");
        assert_eq!(mend::mended(&mended), None, "something is left to mend");
    }
}

/// What is read and written is the same value, and after that the same text.
fn check_round(value: Option<&Value>, written: Option<&str>, again: impl Fn(&[u8]) -> Option<String>) {
    let Some(written) = written else {
        assert!(value.is_none_or(|value| !value.is_object()), "an object is refused: {value:?}");
        return;
    };
    let back: Value = serde_json::from_str(written).expect("what was written is JSON");
    assert!(value.is_none_or(|value| *value == back), "{value:?} is written as {written}");
    assert_eq!(
        again(written.as_bytes()).as_deref(),
        Some(written),
        "it is written differently the second time"
    );
}

fn check_conversions(data: &[u8]) {
    if let Ok(camel) = V2TimMessage::parse(data) {
        let c = convert::to_c(&camel).to_json();
        let c = c_shape::Message::parse(c.as_bytes()).expect("a converted message reads");
        let back = convert::to_camel(&c).to_json();
        V2TimMessage::parse(back.as_bytes()).expect("a message converted back reads");
    }
    if let Ok(c) = c_shape::Message::parse(data) {
        let camel = convert::to_camel(&c).to_json();
        V2TimMessage::parse(camel.as_bytes()).expect("a converted message reads");
    }
}

fn check_inspect(data: &[u8], value: Option<&Value>) {
    let Ok(inspected) = message::inspect(data) else { return };
    assert!(value.is_none_or(Value::is_object), "not an object is taken for a message");
    for id in [&inspected.msg_id, &inspected.id] {
        assert!(id.as_ref().is_none_or(|id| !id.is_empty()), "an empty id");
    }
    if let Some(conversation) = &inspected.conversation {
        let (kind, id) = conversation.split_once(':').expect("a kind and an id");
        assert!(matches!(kind, "c2c" | "group") && !id.is_empty(), "{conversation}");
    }
    let spaced = [b" \n", data, b"\t\r "].concat();
    assert_eq!(message::inspect(&spaced).as_ref(), Ok(&inspected), "white space counts");
    if let Some(value) = value.filter(|value| has_plain_numbers(value)) {
        // Keys in another order, other white space, other escapes.
        let pretty = serde_json::to_vec_pretty(value).expect("JSON");
        assert_eq!(message::inspect(&pretty).as_ref(), Ok(&inspected), "another spelling counts");
    }
}

fn check_callback(data: &[u8], value: Option<&Value>) {
    let Ok(callback) = callback::parse(data) else { return };
    assert!(value.is_none_or(Value::is_object), "not an object is taken for a callback");
    let proof = callback.proof();
    let Proof::Sent { new_msg_id } = &proof else { return };
    assert_eq!(callback.code, 0, "a failure is taken for a success");
    assert!(new_msg_id.as_ref().is_none_or(|id| !id.is_empty()), "an empty id");
    let Some(value) = value else { return };
    let fields = value["data"].as_object().expect("no data, or no object, proves nothing");
    for name in ["status", "message_status"] {
        let status = fields.get(name).filter(|status| !status.is_null());
        assert!(status.is_none_or(|status| status.as_f64() == Some(2.0)), "{name} is {status:?}");
    }
    for place in [value.get("MsgDropReason"), fields.get("MsgDropReason")] {
        assert!(
            place.is_none_or(|reason| reason.is_null() || reason == ""),
            "it was dropped: {reason:?}",
            reason = place
        );
    }
}

fn check_call(data: &[u8]) {
    let options = CallOptions { online_user_only: false, random: 4_000_000_000, seq: 7 };
    let Ok(call) = call(data, &options) else { return };
    let body: Value = serde_json::from_slice(call.body.as_ref()).expect("a call is JSON");
    let random = body.get("MsgRandom").or(body.get("Random"));
    assert_eq!(random, Some(&Value::from(options.random)), "{body}");
    assert!(body["MsgBody"].as_array().is_some_and(|elements| !elements.is_empty()), "{body}");
    let to_group = body.get("GroupId").is_some();
    assert_eq!(to_group, call.group.is_some(), "{body}");
    assert!(to_group || body.get("To_Account").is_some(), "to nobody: {body}");
}
