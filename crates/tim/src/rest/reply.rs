//! The reply to a call: whether the service took the message, and as what.
//!
//! Owns:  the fields of a reply, what proves a success, the new message that stands for the original.
//! Never: judges what a result code means for a retry (`codes`).

use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use super::{CallOptions, Command};
use crate::V2TimValueCallback;
use crate::envelope::MessageShape;
use crate::mend;
use crate::model::MessageStatus;

/// What the service answered. Fields that are not known are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// `OK` or `FAIL`.
    #[serde(default)]
    pub action_status: String,
    /// 0, or a result code.
    pub error_code: i64,
    /// The service's words.
    #[serde(default)]
    pub error_info: String,
    /// When it took the message, in seconds since 1970, by its own clock.
    #[serde(default)]
    pub msg_time: Option<i64>,
    /// By what a message to one person is recalled: `MsgSeq_MsgRandom_MsgTime`.
    #[serde(default)]
    pub msg_key: Option<String>,
    /// Its place in the group.
    #[serde(default)]
    pub msg_seq: Option<i64>,
    /// Why the call was accepted and the message thrown away.
    #[serde(default)]
    pub msg_drop_reason: Option<String>,
    /// The SDKs' msgID, should a newer service tell it.
    #[serde(default)]
    pub msg_id: Option<String>,
}

impl Reply {
    /// Reads a reply; `None` for anything else. The caller limits the size of the bytes.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.trim_ascii_start().first() != Some(&b'{') {
            // An array could be read as the fields in their order.
            return None;
        }
        mend::parse(body).ok()
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
            callback.data = self
                .new_message(original, options, command, time)
                .and_then(|message| to_raw_value(&message).ok());
        }
        callback
    }

    /// The original as the service has it now, in its own shape. REST tells no client msgID: where the service
    /// gives neither that nor a key, the new identity is composed as a key is.
    fn new_message(
        &self,
        original: &[u8],
        options: &CallOptions,
        command: Command,
        time: i64,
    ) -> Option<Map<String, Value>> {
        let Ok(Value::Object(mut message)) = mend::parse_value(original) else { return None };
        let seq = match command {
            Command::SendMsg => i64::from(options.seq),
            Command::SendGroupMsg => self.msg_seq.unwrap_or(0),
        };
        let told = [&self.msg_id, &self.msg_key].into_iter().flatten().find(|id| !id.is_empty());
        let msg_id = told.cloned().unwrap_or_else(|| format!("{seq}_{}_{time}", options.random));
        let sent = MessageStatus::Sent.number();
        let is_there = |name: &str| message.get(name).is_some_and(|value| !value.is_null());
        let fields: [(&str, Value); 7] = if MessageShape::of(is_there) == MessageShape::C {
            [
                ("message_msg_id", msg_id.into()),
                ("message_server_time", time.into()),
                ("message_seq", seq.into()),
                ("message_rand", options.random.into()),
                ("message_status", sent.into()),
                ("message_is_from_self", true.into()),
                ("progress", 100.into()),
            ]
        } else {
            [
                ("msgID", msg_id.into()),
                ("timestamp", time.into()),
                ("seq", seq.to_string().into()),
                ("random", options.random.into()),
                ("status", sent.into()),
                ("isSelf", true.into()),
                ("progress", 100.into()),
            ]
        };
        // The creation id named the original.
        message.remove("id");
        message.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        Some(message)
    }
}
