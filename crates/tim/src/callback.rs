//! The answer of a send: a V2TimValueCallback, and whether it proves that the message was sent.
//!
//! Owns:  the shape of the two callbacks, and the rule for a proven success.
//! Never: maps a code to a class (`codes`) or an answer to an outcome (the daemon).
//!
//! Half of a character (see [`mend`]) is read as U+FFFD in every text, and stays as it is in `data`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Number, from_str};

use crate::{json, mend};

/// `status` of a message that the service took.
const STATUS_SENT: i64 = 2;

/// The answer of a call that returns a value. Written as `{code, desc, data}`, in this order.
#[derive(Clone, Debug, Serialize)]
pub struct V2TimValueCallback {
    /// The result code; 0 is no error, and proves nothing alone: see [`Self::proof`].
    pub code: i64,
    /// The words that came with it; empty where there were none.
    pub desc: String,
    /// The returned value, byte for byte, for a send the V2TimMessage; written as null where there is none.
    pub data: Option<Box<RawValue>>,
    /// `MsgDropReason` beside `code`, if it is not empty: the call was accepted, the message thrown away.
    /// Read, never written; the one inside `data` stays there.
    #[serde(skip)]
    pub drop_reason: Option<String>,
}

/// The answer of a call that returns no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct V2TimCallback {
    /// The result code; 0 is no error.
    pub code: i64,
    /// The words that came with it; empty where there were none.
    pub desc: String,
}

/// What a callback says about the message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The service took the message.
    Sent {
        /// The msgID of the new message; `None` where the answer names none, so that it keeps the original's.
        new_msg_id: Option<String>,
    },
    /// The call was accepted and the message thrown away for its rate: the account has to slow down.
    Dropped {
        /// The service's reason, such as `MsgFreqCtrl`.
        reason: String,
    },
    /// Code 0 without proof: the message may have been sent, or not.
    ProvesNothing {
        /// What is missing.
        reason: &'static str,
    },
    /// A code other than 0; its class says what comes next.
    Failed,
}

/// Why bytes are not a callback.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The bytes are not one JSON value, or name a field of a callback twice.
    #[error("the callback is not valid JSON: {reason}")]
    Json {
        /// What the parser found, with line and column.
        reason: String,
    },
    /// The JSON value is not an object.
    #[error("the callback must be a JSON object")]
    NotAnObject,
    /// There is no `code`.
    #[error("the callback has no `code`")]
    NoCode,
    /// A field has a type that the SDK never writes.
    #[error("`{field}` must be {expected}, not {found}")]
    WrongType {
        /// The field, as it is spelt in the callback.
        field: &'static str,
        /// The types that it may have.
        expected: &'static str,
        /// The type that it has.
        found: &'static str,
    },
}

/// A callback as it comes, before its fields are checked.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    desc: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow, rename = "MsgDropReason")]
    drop_reason: Option<&'a RawValue>,
}

/// What a proof needs of the returned message, in either shape.
#[derive(Deserialize)]
struct Returned {
    status: Option<Box<RawValue>>,
    message_status: Option<Box<RawValue>>,
    #[serde(rename = "msgID")]
    msg_id: Option<Box<RawValue>>,
    message_msg_id: Option<Box<RawValue>>,
    #[serde(rename = "MsgDropReason")]
    drop_reason: Option<Box<RawValue>>,
}

/// Reads a callback. Fields that it does not know are ignored; `desc` and `data` may be missing or null.
///
/// The caller limits the size of the bytes; memory is in proportion to `desc` and `data`.
///
/// # Errors
/// [`CallbackError`]: not a JSON object, no `code`, or a field of the wrong type.
pub fn parse(bytes: &[u8]) -> Result<V2TimValueCallback, CallbackError> {
    match Wire::read(bytes) {
        Ok(wire) => wire.callback(wire.data.map(ToOwned::to_owned)),
        Err(error) => {
            // The parser does not look into values here, but half of a character in a field's name stops it.
            let copy = mend::mended(bytes).ok_or(error)?;
            let wire = Wire::read(&copy)?;
            wire.callback(wire.data.map(|data| original(bytes, &copy, data)))
        }
    }
}

/// The value of the original that stands where the mended copy has this one.
fn original(bytes: &[u8], copy: &[u8], mended: &RawValue) -> Box<RawValue> {
    let at = mend::place(copy, mended.get().as_bytes());
    let text = at.and_then(|at| std::str::from_utf8(bytes.get(at)?).ok());
    text.and_then(|text| RawValue::from_string(text.to_owned()).ok()).unwrap_or_else(|| mended.to_owned())
}

impl V2TimValueCallback {
    /// Makes a callback to be written.
    #[must_use]
    pub fn new(code: i64, desc: impl Into<String>, data: Option<Box<RawValue>>) -> Self {
        Self { code, desc: desc.into(), data, drop_reason: None }
    }

    /// Tells whether this answer proves that the message was sent.
    ///
    /// Proven is: code 0, `data` an object whose `status` (`message_status`) is absent or 2, and no
    /// `MsgDropReason` in it or beside it. Code 0 alone is not enough: some bridges answer a failed resend
    /// with code 0 and no data.
    #[must_use]
    pub fn proof(&self) -> Proof {
        if self.code != 0 {
            return Proof::Failed;
        }
        let returned = Returned::read(self.data.as_deref());
        let in_data = || returned.as_ref().ok()?.drop_reason.as_deref().and_then(drop_reason);
        if let Some(reason) = self.drop_reason.clone().or_else(in_data) {
            return Proof::Dropped { reason };
        }
        match returned {
            Err(reason) => Proof::ProvesNothing { reason },
            Ok(returned) if !returned.is_sent() => Proof::ProvesNothing {
                reason: "code 0, but the status of the returned message is not 2 (sent)",
            },
            Ok(returned) => Proof::Sent { new_msg_id: returned.new_msg_id() },
        }
    }
}

impl V2TimCallback {
    /// Reads a callback without a value; also one with a value, which is ignored.
    ///
    /// # Errors
    /// [`CallbackError`]: not a JSON object, no `code`, or a field of the wrong type.
    pub fn parse(bytes: &[u8]) -> Result<Self, CallbackError> {
        let V2TimValueCallback { code, desc, .. } = parse(bytes)?;
        Ok(Self { code, desc })
    }
}

impl CallbackError {
    /// The field that is to blame, where it is one field.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::NoCode => Some("code"),
            Self::WrongType { field, .. } => Some(field),
            Self::Json { .. } | Self::NotAnObject => None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Json { .. } | Self::NotAnObject => {
                "send one object {\"code\": 0, \"desc\": \"\", \"data\": {}}"
            }
            Self::NoCode => "give the SDK's result code as `code`, 0 for success",
            Self::WrongType { .. } => "give the field the type that the SDK gives it, or leave `desc` out",
        }
    }
}

impl<'a> Wire<'a> {
    /// The check for `{` comes first because serde would also read an array as the fields in their order.
    fn read(bytes: &'a [u8]) -> Result<Self, CallbackError> {
        let invalid = |error: serde_json::Error| CallbackError::Json { reason: error.to_string() };
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(invalid)?;
            return Err(CallbackError::NotAnObject);
        }
        serde_json::from_slice(bytes).map_err(invalid)
    }

    fn callback(&self, data: Option<Box<RawValue>>) -> Result<V2TimValueCallback, CallbackError> {
        Ok(V2TimValueCallback {
            code: self.code()?,
            desc: self.desc()?,
            data,
            drop_reason: self.drop_reason.and_then(drop_reason),
        })
    }

    fn code(&self) -> Result<i64, CallbackError> {
        let raw = self.code.ok_or(CallbackError::NoCode)?;
        let wrong = |found| CallbackError::WrongType { field: "code", expected: "a whole number", found };
        let number: Number = from_str(raw.get()).map_err(|_| wrong(json::raw_kind(raw)))?;
        json::whole(&number).ok_or_else(|| wrong("a fraction, nor beyond 64 bits"))
    }

    fn desc(&self) -> Result<String, CallbackError> {
        let Some(raw) = self.desc else { return Ok(String::new()) };
        mend::parse_text(raw).ok_or_else(|| CallbackError::WrongType {
            field: "desc",
            expected: "a string or null",
            found: json::raw_kind(raw),
        })
    }
}

impl Returned {
    fn read(data: Option<&RawValue>) -> Result<Self, &'static str> {
        let data = data.ok_or("code 0, but no data")?;
        if !data.get().starts_with('{') {
            return Err("code 0, but data is not an object");
        }
        mend::parse(data.get().as_bytes()).map_err(|_| "code 0, but data names a field twice")
    }

    fn is_sent(&self) -> bool {
        [&self.status, &self.message_status].into_iter().flatten().all(|raw| {
            from_str::<Number>(raw.get()).is_ok_and(|number| json::whole(&number) == Some(STATUS_SENT))
        })
    }

    /// An id that is not a text is none: the message was sent all the same.
    fn new_msg_id(&self) -> Option<String> {
        let text = |raw: &Option<Box<RawValue>>| raw.as_deref().and_then(text);
        text(&self.msg_id).or_else(|| text(&self.message_msg_id))
    }
}

/// A text that is not empty.
fn text(raw: &RawValue) -> Option<String> {
    mend::parse_text(raw).filter(|text| !text.is_empty())
}

/// Anything but an empty text is a reason; what is no text stands for itself, so that a drop is never missed.
fn drop_reason(raw: &RawValue) -> Option<String> {
    match mend::parse_text(raw) {
        Some(reason) => Some(reason).filter(|reason| !reason.is_empty()),
        None => Some(raw.get().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLBACKS: &str = include_str!("../../../tests/fixtures/callbacks.jsonl");

    fn proof(text: &str) -> Proof {
        parse(text.as_bytes()).unwrap().proof()
    }

    fn sent(new_msg_id: &str) -> Proof {
        Proof::Sent { new_msg_id: Some(new_msg_id).filter(|id| !id.is_empty()).map(str::to_owned) }
    }

    #[test]
    fn every_example_proves_what_it_must() {
        let expected = [
            (6012, "request timeout", Proof::Failed),
            (6008, "upload failed", Proof::Failed),
            (0, "ok", sent("144115225971632901-1731500131-555010203")),
            (-1, "msg is not exist", Proof::Failed),
            (0, "重发失败!", Proof::ProvesNothing { reason: "code 0, but no data" }),
            (10_017, "muted", Proof::Failed),
            (120_042, "blocked by app", Proof::Failed),
        ];
        assert_eq!(CALLBACKS.lines().count(), expected.len());
        for (line, (code, desc, proof)) in CALLBACKS.lines().zip(expected) {
            let callback = parse(line.as_bytes()).unwrap();
            assert_eq!((callback.code, callback.desc.as_str(), callback.proof()), (code, desc, proof));
            assert_eq!(callback.data.is_some(), line.contains("\"data\": {"));
        }
    }

    #[test]
    fn a_success_is_proven_by_data_with_the_status_sent_or_none() {
        for (text, expected) in [
            (r#"{"code": 0, "data": {"msgID": "a", "message_msg_id": "b"}}"#, "a"),
            (r#"{"code": 0, "data": {"msgID": "", "message_msg_id": "b"}}"#, "b"),
            (r#"{"code": 0, "data": {"msgID": null, "message_msg_id": "b", "message_status": 2}}"#, "b"),
            (r#"{"code": 0, "data": {"msgID": "a", "status": 2.0}}"#, "a"),
            (r#"{"code": 0, "data": {"m\u0073gID": "a", "status": null, "message_status": null}}"#, "a"),
            (r#"{"code": 0.0, "data": {"msgID": "a", "MsgDropReason": ""}, "MsgDropReason": null}"#, "a"),
            (r#"{"code": 0, "data": {"msgID": 7}}"#, ""),
            (r#"{"code": 0, "data": {}}"#, ""),
        ] {
            assert_eq!(proof(text), sent(expected), "{text}");
        }
    }

    #[test]
    fn half_a_character_in_a_callback_is_read_as_a_replacement_character() {
        let callback = parse(br#"{"code": 6012, "desc": "cut \uD83D", "MsgDropReason": "\ude00"}"#).unwrap();
        assert_eq!((callback.code, callback.desc.as_str()), (6012, "cut \u{fffd}"));
        assert_eq!(callback.drop_reason.as_deref(), Some("\u{fffd}"));
        let short = V2TimCallback::parse(br#"{"code": 6012, "desc": "\ud83d"}"#).unwrap();
        assert_eq!(short.desc, "\u{fffd}");
        let dropped = r#"{"code": 0, "data": {"MsgDropReason": "Msg\ud83d"}}"#;
        assert_eq!(proof(dropped), Proof::Dropped { reason: "Msg\u{fffd}".to_owned() });
        for (data, expected) in [
            (r#"{"msgID": "a", "textElem": {"text": "\ud83d"}}"#, "a"),
            (r#"{"msgID": "a\ud83d", "status": 2}"#, "a\u{fffd}"),
            (r#"{"message_msg_id": "\ude00"}"#, "\u{fffd}"),
            (r#"{"msgID": "a", "\ud83d": 1}"#, "a"),
            (r#"{"msgID": "a\\ud83d"}"#, r"a\ud83d"),
        ] {
            let text = format!(r#"{{"code": 0, "data": {data}}}"#);
            assert_eq!(proof(&text), sent(expected), "{text}");
        }
    }

    #[test]
    fn half_a_character_stays_in_the_data_of_a_callback() {
        let data = r#"{ "msgID":"a",  "textElem" : {"text":"\ud83d"}, "\uDE00": 1 }"#;
        for text in [
            format!(r#"{{"code": 0, "desc": "\ud83d", "data": {data} }}"#),
            format!(r#"{{"\ud83d": 1, "code": 0, "data": {data}, "desc": "\ud83d"}}"#),
        ] {
            let callback = parse(text.as_bytes()).unwrap();
            assert_eq!(callback.desc, "\u{fffd}", "{text}");
            assert_eq!(callback.data.as_ref().unwrap().get(), data, "{text}");
            assert_eq!(callback.proof(), sent("a"), "{text}");
            assert_eq!(V2TimCallback::parse(text.as_bytes()).unwrap().desc, "\u{fffd}");
        }
        let error = parse(br#"{"\ud83d": 1, "code": 0, "code": 1}"#).unwrap_err();
        assert!(error.to_string().contains("duplicate field `code`"), "{error}");
    }

    #[test]
    fn code_0_without_proof_proves_nothing() {
        for (text, part) in [
            (r#"{"code": 0}"#, "no data"),
            (r#"{"code": 0, "data": null}"#, "no data"),
            (r#"{"code": 0, "data": []}"#, "not an object"),
            (r#"{"code": 0, "data": "{}"}"#, "not an object"),
            (r#"{"code": 0, "data": {"status": 3}}"#, "status"),
            (r#"{"code": 0, "data": {"status": 0}}"#, "status"),
            (r#"{"code": 0, "data": {"status": "2"}}"#, "status"),
            (r#"{"code": 0, "data": {"status": 2, "message_status": 1}}"#, "status"),
            (r#"{"code": 0, "data": {"status": 2, "status": 3}}"#, "twice"),
        ] {
            let Proof::ProvesNothing { reason } = proof(text) else { panic!("{text} proves something") };
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn a_drop_reason_anywhere_makes_it_dropped() {
        for (text, expected) in [
            (r#"{"code": 0, "data": {"status": 2, "MsgDropReason": "MsgFreqCtrl"}}"#, "MsgFreqCtrl"),
            (r#"{"code": 0, "data": {"status": 2}, "MsgDropReason": "MsgFreqCtrl"}"#, "MsgFreqCtrl"),
            (r#"{"code": 0, "MsgDropReason": "MsgFreqCtrl"}"#, "MsgFreqCtrl"),
            (r#"{"code": 0, "data": {"status": 3, "MsgDropReason": 4}}"#, "4"),
        ] {
            assert_eq!(proof(text), Proof::Dropped { reason: expected.to_owned() }, "{text}");
        }
        assert_eq!(proof(r#"{"code": 10023, "MsgDropReason": "MsgFreqCtrl"}"#), Proof::Failed);
    }

    #[test]
    fn a_callback_is_written_in_the_order_of_the_sdk_with_its_data_byte_for_byte() {
        let text = r#" { "data" : {"b": 1.0,  "a":"\u00e9"} , "new": [1], "desc": "ok", "code": 0 } "#;
        let callback = parse(text.as_bytes()).unwrap();
        let written = serde_json::to_string(&callback).unwrap();
        assert_eq!(written, r#"{"code":0,"desc":"ok","data":{"b": 1.0,  "a":"\u00e9"}}"#);
        let failed = V2TimValueCallback::new(-30_000, "not reached", None);
        let written = serde_json::to_string(&failed).unwrap();
        assert_eq!(written, r#"{"code":-30000,"desc":"not reached","data":null}"#);
    }

    #[test]
    fn a_callback_without_a_value_is_read_from_either_kind() {
        for text in [r#"{"code": 6012, "desc": "late"}"#, r#"{"data": {}, "code": 6012, "desc": "late"}"#] {
            let callback = V2TimCallback::parse(text.as_bytes()).unwrap();
            assert_eq!(callback, V2TimCallback { code: 6012, desc: "late".to_owned() });
            assert_eq!(serde_json::to_string(&callback).unwrap(), r#"{"code":6012,"desc":"late"}"#);
        }
        assert_eq!(V2TimCallback::parse(br#"{"code": 1, "desc": null}"#).unwrap().desc, "");
    }

    #[test]
    fn what_is_not_a_callback_is_refused_clearly() {
        for (text, part) in [
            ("", "not valid JSON"),
            ("<html>", "not valid JSON"),
            (r#"{"code": 0"#, "not valid JSON"),
            (r#"{"code": 0} x"#, "not valid JSON"),
            (r#"{"code": 0, "code": 1}"#, "duplicate field `code`"),
            (r#"[0, "ok", {}]"#, "must be a JSON object"),
            ("null", "must be a JSON object"),
            ("{}", "has no `code`"),
            (r#"{"code": null}"#, "has no `code`"),
            (r#"{"code": "0"}"#, "`code` must be a whole number, not a string"),
            (r#"{"code": 0.5}"#, "`code` must be a whole number, not a fraction"),
            (r#"{"code": 99999999999999999999}"#, "nor beyond 64 bits"),
            (r#"{"code": 0, "desc": 1}"#, "`desc` must be a string or null, not a number"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(error.hint().len() > 20, "{text}");
            assert_eq!(V2TimCallback::parse(text.as_bytes()).unwrap_err(), error);
        }
    }

    #[test]
    fn deep_data_is_kept_and_proven_without_recursion() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let text = format!(r#"{{"code": 0, "data": {{"msgID": "a", "x": {deep}}}}}"#);
        assert_eq!(proof(&text), sent("a"));
    }
}
