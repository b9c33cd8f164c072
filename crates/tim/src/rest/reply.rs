//! The reply to a call: whether the service took the message, and as what.
//!
//! Owns:  the fields of a reply, what proves a success, the new message that stands for the original.
//! Never: judges what a result code means for a retry (`codes`).

use serde_json::Value;
use serde_json::value::RawValue;

use super::{CallOptions, Command};
use crate::V2TimValueCallback;
use crate::envelope::MessageShape;
use crate::fields::Wire;
use crate::json::exact::{self, Spelt, SpeltFields};
use crate::mend;
use crate::model::MessageStatus;

/// What the service answered. Fields that are not known are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// `OK` or `FAIL`; empty where there is none.
    pub action_status: String,
    /// 0, or a result code.
    pub error_code: i64,
    /// The service's words; empty where there are none.
    pub error_info: String,
    /// When it took the message, in seconds since 1970, by its own clock.
    pub msg_time: Option<i64>,
    /// By what a message to one person is recalled: `MsgSeq_MsgRandom_MsgTime`.
    pub msg_key: Option<String>,
    /// Its place in the group.
    pub msg_seq: Option<i64>,
    /// Why the call was accepted and the message thrown away.
    pub msg_drop_reason: Option<String>,
    /// The SDKs' msgID, should a newer service tell it.
    pub msg_id: Option<String>,
}

impl Reply {
    /// Reads a reply; `None` for anything that is no JSON object with an `ErrorCode`. The caller limits the size
    /// of the bytes.
    ///
    /// `ErrorCode` alone makes it a reply: whatever is odd in another field is as if that were missing, so that a
    /// refusal always counts, and a success never by less than what proves it. Numbers may be spelt as text.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let Ok(Value::Object(fields)) = mend::parse_value(body) else { return None };
        let number = |name: &str| fields.get(name).and_then(i64::read);
        let text = |name: &str| fields.get(name).and_then(String::read);
        Some(Self {
            action_status: text("ActionStatus").unwrap_or_default(),
            error_code: number("ErrorCode")?,
            error_info: text("ErrorInfo").unwrap_or_default(),
            msg_time: number("MsgTime"),
            msg_key: text("MsgKey"),
            msg_seq: number("MsgSeq"),
            // What is no text stands for itself, so that a drop is never missed.
            msg_drop_reason: fields
                .get("MsgDropReason")
                .filter(|reason| !reason.is_null())
                .map(|reason| String::read(reason).unwrap_or_else(|| reason.to_string())),
            msg_id: text("MsgId"),
        })
    }

    /// What the SDK would have answered: a failure with the service's code and words, or the new message.
    ///
    /// A success has `ActionStatus` `OK`, `ErrorCode` 0 and a `MsgTime`. Anything less is code 0 without data,
    /// which proves nothing.
    #[must_use]
    pub fn to_callback(
        &self,
        original: &[u8],
        options: &CallOptions,
        command: Command,
    ) -> V2TimValueCallback {
        let mut callback = V2TimValueCallback::new(self.error_code, self.error_info.clone(), None);
        callback.drop_reason = self.msg_drop_reason.clone().filter(|reason| !reason.is_empty());
        if self.error_code == 0
            && self.action_status == "OK"
            && let Some(time) = self.msg_time
        {
            callback.data = self.new_message(original, options, command, time);
        }
        callback
    }

    /// The original as the service has it now, in its own shape: what is not new stays byte for byte. REST tells
    /// no client msgID: where the service gives neither that nor a key, the new identity is composed as a key is.
    fn new_message(
        &self,
        original: &[u8],
        options: &CallOptions,
        command: Command,
        time: i64,
    ) -> Option<Box<RawValue>> {
        let fields = exact::spelt_fields(original)?;
        let seq = match command {
            Command::SendMsg => i64::from(options.seq),
            Command::SendGroupMsg => self.msg_seq.unwrap_or(0),
        };
        let told = [&self.msg_id, &self.msg_key].into_iter().flatten().find(|id| !id.is_empty());
        let new = New {
            msg_id: told.cloned().unwrap_or_else(|| format!("{seq}_{}_{time}", options.random)),
            time,
            seq,
            random: options.random,
        };
        new.put_into(&fields)
    }
}

/// What is new in a message that was sent.
struct New {
    msg_id: String,
    time: i64,
    seq: i64,
    random: u32,
}

/// Fields of the original that no longer hold in either shape: the creation id named the original, and a reason
/// for dropping would be read as the service's.
const GONE: [&str; 2] = ["id", "MsgDropReason"];
/// Further ones of camelCase: an app may have added these of the other shape, where a reader would look as well.
const GONE_CAMEL: [&str; 2] = ["message_msg_id", "message_status"];
/// Further ones of the C shape: so for camelCase; and an older name of the original, of 64 bits.
const GONE_C: [&str; 3] = ["msgID", "status", "message_unique_id"];

impl New {
    fn put_into(&self, fields: &SpeltFields<'_>) -> Option<Box<RawValue>> {
        let value = |name: &str| fields.get(name.as_bytes()).map(|field| field.value);
        let (gone, mut new) = match MessageShape::of(|name| value(name).is_some_and(|value| value != b"null"))
        {
            MessageShape::Camel => (GONE_CAMEL.as_slice(), self.camel(value("seq"))),
            MessageShape::C => (GONE_C.as_slice(), self.c(value("message_seq"))),
        };
        // The Flutter models alone have it, and show it instead of the status.
        if value("ui_status").is_some() {
            new.push(("ui_status", MessageStatus::Sent.number().into()));
        }
        let is_old = |name: &[u8]| {
            let stale = GONE.iter().chain(gone).chain(new.iter().map(|(name, _)| name));
            stale.into_iter().any(|stale| stale.as_bytes() == name)
        };
        let kept = fields.iter().filter(|(name, _)| !is_old(name)).map(|(_, field)| *field);
        let mut json = Vec::new();
        for (name, value) in &new {
            let (name, value) = (Value::from(*name).to_string(), value.to_string());
            add(&mut json, Spelt { name: name.as_bytes(), value: value.as_bytes() });
        }
        kept.for_each(|field| add(&mut json, field));
        json.push(b'}');
        RawValue::from_string(String::from_utf8(json).ok()?).ok()
    }

    fn camel(&self, seq: Option<&[u8]>) -> Vec<(&'static str, Value)> {
        vec![
            ("msgID", self.msg_id.as_str().into()),
            ("timestamp", self.time.into()),
            ("seq", as_it_was(self.seq, seq, self.seq.to_string().into())),
            ("random", self.random.into()),
            ("status", MessageStatus::Sent.number().into()),
            ("isSelf", true.into()),
            ("progress", 100.into()),
        ]
    }

    fn c(&self, seq: Option<&[u8]>) -> Vec<(&'static str, Value)> {
        vec![
            ("message_msg_id", self.msg_id.as_str().into()),
            ("message_server_time", self.time.into()),
            ("message_seq", as_it_was(self.seq, seq, self.seq.into())),
            ("message_rand", self.random.into()),
            ("message_status", MessageStatus::Sent.number().into()),
            ("message_is_from_self", true.into()),
            ("progress", 100.into()),
        ]
    }
}

/// A number as number or as text, as the original has it: an older reader of a shape understands one of them
/// alone. `usual` is what the shape has today.
fn as_it_was(number: i64, original: Option<&[u8]>, usual: Value) -> Value {
    match original.and_then(<[u8]>::first) {
        Some(b'0'..=b'9' | b'-') => number.into(),
        Some(b'"') => number.to_string().into(),
        _ => usual,
    }
}

fn add(json: &mut Vec<u8>, field: Spelt<'_>) {
    json.push(if json.is_empty() { b'{' } else { b',' });
    json.extend_from_slice(field.name);
    json.push(b':');
    json.extend_from_slice(field.value);
}
