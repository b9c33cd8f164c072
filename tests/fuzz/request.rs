//! Requests: what is read from a body is what stands in it, and what the contract forbids is refused.
//!
//! Owns:  an independent look at each body: its fields by name, its lines by their ends.
//! Never: needs a store or a socket.

use std::sync::OnceLock;

use outboxd::server::fuzzing::{bodies, lines, query, submit};
use serde::de::IgnoredAny;
use serde_json::Value;

const MESSAGES: &str = include_str!("../fixtures/messages.jsonl");
const CALLBACKS: &str = include_str!("../fixtures/callbacks.jsonl");

/// Bytes of a message.
const MESSAGE_MAX: u64 = 8 * 1024;

/// Bytes of a line.
const LINE_MAX: usize = 100;

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
    "\n",
    "\r\n",
    "\\u0000",
    "\\ud83d",
    "\\ude00",
    "\u{feff}",
    "\"msgID\":",
    "\"message\":{",
    "\"error\":{\"code\":0}",
    "\"account\":\"\"",
    "\"conversation\":\"c2c:\"",
    "\"webMessageInstatnce\":1",
    "\"webMessageInstance\":2",
    "\"onlineUserOnly\":true",
    "\"ttl\":\"1s\"",
    "\"notBefore\":\"2026-01-01T00:00:00Z\"",
    "\"for\":\"5s\"",
    "\"max\":1",
    "\"wait\":\"0s\"",
    "\"code\":0",
    "\"data\":{",
    "\"userID\":\"u\"",
    "\"groupID\":\"g\"",
    "limit=",
    "name=",
    "&",
    "=",
    "%00",
    "+",
    "1e400",
];

/// The fields of each body.
const FIELDS: [(&str, &[&str]); 9] = [
    ("BatchRequest", &["op", "filter", "dryRun", "expectCount", "reason"]),
    ("ConnectivityRequest", &["state"]),
    ("ExtendRequest", &["for"]),
    ("FlushRequest", &["conversation", "account"]),
    ("LeaseRequest", &["max", "wait", "for", "account"]),
    ("ReasonBody", &["reason"]),
    ("ResendRequest", &["onlineUserOnly", "webMessageInstatnce", "webMessageInstance"]),
    ("ResolveRequest", &["code", "desc", "data"]),
    ("Settle", &["code", "desc", "data", "notReached", "retryAfter"]),
];

/// The fields of a submit object.
const SUBMIT_FIELDS: &[&str] = &[
    "msgID",
    "message",
    "onlineUserOnly",
    "webMessageInstatnce",
    "webMessageInstance",
    "error",
    "account",
    "conversation",
    "ttl",
    "notBefore",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let submits = MESSAGES.lines().map(|message| format!(r#"{{"message":{message}}}"#));
    let failed = MESSAGES.lines().zip(CALLBACKS.lines()).map(|(message, callback)| {
        format!(r#"{{"msgID":"m","account":"a","ttl":"72h","error":{callback},"message":{message}}}"#)
    });
    let others = [
        "",
        r#"{"op":"hold","filter":{"state":["queued"],"olderThan":"1h"},"dryRun":true,"expectCount":3}"#,
        r#"{"state":"up"}"#,
        r#"{"for":"60s"}"#,
        r#"{"conversation":"c2c:u","account":"default"}"#,
        r#"{"max":16,"wait":"30s","for":"60s","account":"default"}"#,
        r#"{"reason":"look at it"}"#,
        r#"{"onlineUserOnly":true,"webMessageInstatnce":{"a":[1.50]}}"#,
        r#"{"code":0,"desc":"ok","data":{"msgID":"n"}}"#,
        r#"{"code":6012,"desc":"cut \ud83d","retryAfter":"5s"}"#,
        r#"{"code":1,"notReached":true}"#,
        "{\"message\":{\"msgID\":\"a\",\"userID\":\"u\"}}\n\n  \n{\"x\":1}\r\nlast",
        "limit=10&name=a%20b&name=c+d",
    ]
    .map(str::to_owned);
    submits
        .chain(failed)
        .chain(CALLBACKS.lines().map(str::to_owned))
        .chain(others)
        .map(String::into_bytes)
        .collect()
}

/// The object in a body, as another reader sees it; `None` where halves of characters keep it from that.
fn object(data: &[u8]) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_slice(data) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn is_json_object(data: &[u8]) -> bool {
    data.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(data).is_ok()
}

pub(crate) fn check(data: &[u8]) {
    check_submit(data);
    check_bodies(data);
    check_lines(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok((limit, _)) = query(text)
    {
        assert!((1..=1000).contains(&limit), "a page of {limit}");
    }
}

fn check_submit(data: &[u8]) {
    let submit = match submit(data, MESSAGE_MAX) {
        Ok(submit) => submit,
        Err(problem) => {
            assert!(matches!(problem.status_code().as_u16(), 400 | 413), "{problem:?}");
            assert!(!problem.detail.is_empty(), "{problem:?}");
            return;
        }
    };
    assert!(is_json_object(data), "not an object is taken for a submit");
    let text = std::str::from_utf8(data).expect("bytes that are not UTF-8 are taken for a submit");
    let message = std::str::from_utf8(&submit.message).expect("a message that is not UTF-8");
    assert!(text.contains(message), "the message is not kept as it came: {message}");
    assert!(is_json_object(&submit.message), "a message that is no object");
    let bytes = submit.message.len() + submit.web_message_instance.as_ref().map_or(0, Vec::len);
    assert!(bytes as u64 <= MESSAGE_MAX, "a message of {bytes} bytes");
    assert!(submit.first_error.as_ref().is_none_or(|error| error.code != 0), "a success is sent again");
    let Some(object) = object(data) else { return };
    for name in object.keys() {
        assert!(SUBMIT_FIELDS.contains(&name.as_str()), "the field {name:?} is passed over");
    }
    let given = |name| object.get(name).is_some_and(|value| !value.is_null());
    assert!(!(given("webMessageInstatnce") && given("webMessageInstance")), "one of two is passed over");
    if let Some(msg_id) = object.get("msgID").and_then(Value::as_str) {
        assert_eq!(submit.msg_id, msg_id);
    }
    if let Some(conversation) = object.get("conversation").and_then(Value::as_str) {
        assert_eq!(submit.conversation, conversation);
    } else {
        let named = submit.conversation.split_once(':').expect("a kind and an id");
        assert!(matches!(named.0, "c2c" | "group") && !named.1.is_empty(), "{named:?}");
        assert_eq!(submit.to_group, named.0 == "group");
    }
}

fn check_bodies(data: &[u8]) {
    for (name, read) in bodies(data) {
        let Err(problem) = read else {
            assert!(
                data.trim_ascii().is_empty() || is_json_object(data),
                "not an object is taken for {name}"
            );
            let fields = FIELDS.iter().find(|(known, _)| *known == name).expect(name).1;
            for field in object(data).unwrap_or_default().keys() {
                assert!(fields.contains(&field.as_str()), "{name} passes over the field {field:?}");
            }
            continue;
        };
        assert_eq!(problem.status_code().as_u16(), 400, "{name}: {problem:?}");
        assert!(!problem.detail.is_empty(), "{name}: {problem:?}");
    }
}

fn check_lines(data: &[u8]) {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime =
        RUNTIME.get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
    let pieces = |length: usize| data.chunks(length.max(1)).map(<[u8]>::to_vec).collect();
    let whole = runtime.block_on(lines(pieces(data.len()), LINE_MAX));
    // As many pieces as there are bytes only where that is quick.
    let first = usize::from(data.first().copied().unwrap_or(1));
    let shortest = if data.len() < 400 { 1 } else { data.len() / 40 };
    for length in [shortest, shortest + first % 7] {
        let split = runtime.block_on(lines(pieces(length), LINE_MAX));
        assert_eq!(split, whole, "pieces of {length} bytes change the lines");
    }
    let mut expected = Vec::new();
    let mut rest = data;
    let mut number = 0;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[][..], |end| &rest[end + 1..]);
        number += 1;
        if line.len() > LINE_MAX {
            expected.push((number, None));
        } else if !line.trim_ascii().is_empty() {
            expected.push((number, Some(line.to_vec())));
        }
    }
    assert_eq!(whole, expected, "lines end elsewhere");
}
