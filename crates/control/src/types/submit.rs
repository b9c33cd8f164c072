//! Handing a failed message over.
//!
//! Owns:  the submit object and its answer.
//! Never: derives a msgID or a conversation from the message.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use super::{BothSpellings, Problem, State, one_spelling};
use crate::{DurationText, Time};

/// The body of `POST /v1/messages`, and a line of many.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submit {
    /// Names the message in this spool: 1 to 200 bytes. Absent: the message's own.
    #[serde(rename = "msgID", default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    /// The message, a JSON object, kept byte for byte.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub message: Box<RawValue>,
    /// Sent only to those who are online; such a message has a short life. Absent: as the message says, which
    /// only one of the C SDK can (`message_is_online_msg`); else no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_user_only: Option<bool>,
    /// Passed through to the resend, in the SDK's spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub web_message_instatnce: Option<Box<RawValue>>,
    /// The same in the corrected spelling. Read it with [`Submit::web_message_instance`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub web_message_instance: Option<Box<RawValue>>,
    /// What the failed send answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SendError>,
    /// Whose session sends. Absent: [`super::DEFAULT_ACCOUNT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The lane's name in its account. Absent: derived from the message's group or peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// How long to keep trying: 1 s to 365 d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<DurationText>,
    /// No attempt before this moment; the entry keeps its place in the lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
}

/// What a failed send answered. Further fields are ignored, so that a whole callback may be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SendError {
    /// The service's result code; never 0.
    pub code: i64,
    /// The service's words.
    #[serde(default)]
    pub desc: String,
}

/// The answer to a submit: the message is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// The message's id in this spool.
    #[serde(rename = "msgID")]
    pub msg_id: String,
    /// Its present state.
    pub state: State,
    /// Its lane's name.
    #[serde(default)]
    pub conversation: String,
    /// Its number in the order of acceptance.
    #[serde(default)]
    pub seq: u64,
    /// Whether it was known before; then nothing has changed.
    pub duplicate: bool,
    /// What to do about a repeat that will not be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// 201 for a new one, 200 for a repeat; only in answers to many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Number of the request's line, from 1; only in answers to many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// One line of the answer to many messages.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum SubmitAnswer {
    /// The line's message is on disk.
    Accepted(Submitted),
    /// The line was refused; the others are not affected.
    Refused(Box<Problem>),
}

impl Submit {
    /// A submit of that message with everything else left to the daemon.
    #[must_use]
    pub fn new(message: Box<RawValue>) -> Self {
        Self {
            msg_id: None,
            message,
            online_user_only: None,
            web_message_instatnce: None,
            web_message_instance: None,
            error: None,
            account: None,
            conversation: None,
            ttl: None,
            not_before: None,
        }
    }

    /// The web message instance, whichever spelling names it.
    ///
    /// # Errors
    /// [`BothSpellings`] if both do.
    pub fn web_message_instance(&self) -> Result<Option<&RawValue>, BothSpellings> {
        one_spelling(self.web_message_instatnce.as_deref(), self.web_message_instance.as_deref())
    }

    /// The account that sends.
    #[must_use]
    pub fn account(&self) -> &str {
        self.account.as_deref().unwrap_or(super::DEFAULT_ACCOUNT)
    }
}

impl SubmitAnswer {
    /// The line's result as a `Result`.
    ///
    /// # Errors
    /// The problem of a refused line.
    pub fn into_result(self) -> Result<Submitted, Box<Problem>> {
        match self {
            Self::Accepted(submitted) => Ok(submitted),
            Self::Refused(problem) => Err(problem),
        }
    }
}

// By hand: `untagged` would blame neither variant when a line fits none.
impl<'de> Deserialize<'de> for SubmitAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value.get("code").is_some() {
            let problem = serde_json::from_value(value).map_err(de::Error::custom)?;
            return Ok(Self::Refused(Box::new(problem)));
        }
        serde_json::from_value(value).map(Self::Accepted).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ProblemCode;

    #[test]
    fn a_message_keeps_its_bytes() {
        let text = r#"{"msgID":"a","message":{ "b" : 1.50, "a":"\u00e9",  "b":2 }}"#;
        let submit: Submit = serde_json::from_str(text).unwrap();
        assert_eq!(submit.message.get(), r#"{ "b" : 1.50, "a":"\u00e9",  "b":2 }"#);
        assert_eq!(serde_json::to_string(&submit).unwrap(), text);
    }

    #[test]
    fn every_field_is_written_in_the_contracts_spelling() {
        let text = concat!(
            r#"{"msgID":"m","message":{},"onlineUserOnly":true,"webMessageInstatnce":[1],"#,
            r#""error":{"code":9508,"desc":"no network"},"account":"a","conversation":"c2c:x","#,
            r#""ttl":"72h","notBefore":"2026-11-23T08:00:00.000Z"}"#
        );
        let submit: Submit = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&submit).unwrap(), text);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_but_not_inside_message_and_error() {
        let error = serde_json::from_str::<Submit>(r#"{"message":{},"msgId":"a"}"#).unwrap_err();
        assert!(error.to_string().contains("`msgId`"), "{error}");
        let whole_callback = r#"{"message":{"anything":1},"error":{"code":1,"desc":"","data":{"status":3}}}"#;
        let submit: Submit = serde_json::from_str(whole_callback).unwrap();
        assert_eq!(submit.error, Some(SendError { code: 1, desc: String::new() }));
    }

    #[test]
    fn either_spelling_of_the_web_message_instance_is_read_but_not_both() {
        for field in ["webMessageInstatnce", "webMessageInstance"] {
            let submit: Submit =
                serde_json::from_str(&format!(r#"{{"message":{{}},"{field}":{{"x":0}}}}"#)).unwrap();
            assert_eq!(submit.web_message_instance().unwrap().unwrap().get(), r#"{"x":0}"#);
        }
        let both = r#"{"message":{},"webMessageInstatnce":1,"webMessageInstance":1}"#;
        let submit: Submit = serde_json::from_str(both).unwrap();
        assert_eq!(submit.web_message_instance().unwrap_err(), BothSpellings);
    }

    #[test]
    fn a_line_of_an_answer_is_told_by_its_code() {
        let accepted = r#"{"msgID":"a","state":"queued","conversation":"c2c:x","seq":7,"duplicate":false,"status":201,"line":1}"#;
        let answer: SubmitAnswer = serde_json::from_str(accepted).unwrap();
        assert_eq!(serde_json::to_string(&answer).unwrap(), accepted);
        assert_eq!(answer.into_result().unwrap().seq, 7);

        let mut problem = Problem::new(ProblemCode::Conflict, "another payload");
        problem.line = Some(2);
        let line = serde_json::to_string(&SubmitAnswer::Refused(Box::new(problem))).unwrap();
        let answer: SubmitAnswer = serde_json::from_str(&line).unwrap();
        assert_eq!(answer.into_result().unwrap_err().line, Some(2));
        assert!(serde_json::from_str::<SubmitAnswer>("{}").unwrap_err().to_string().contains("msgID"));
    }
}
