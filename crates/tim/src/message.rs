//! What submit needs to know of a message: its ids, its conversation, and what makes it the same payload.
//!
//! Owns:  the two shapes of a V2TimMessage (camelCase, and the C SDK's snake_case), which messages can never
//!        be sent, and which fields do not count for a fingerprint.
//! Never: changes a message, checks the length or the characters of an id, chooses between several accounts.

use serde_json::{Map, Value};

use crate::json::exact::{self, Exact};
use crate::{fingerprint, json, mend};

/// What submit needs to know of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// `msgID`, else `message_msg_id`; `None` where both are missing, null or empty.
    pub msg_id: Option<String>,
    /// The creation id, by which the app may still know the message; `None` where it is missing, null or empty.
    pub id: Option<String>,
    /// `group:` or `c2c:` and the id of the group or the peer; `None` where the message names neither.
    pub conversation: Option<String>,
    /// BLAKE3 of the message without the fields that change while it waits. Equal for equal JSON values: the
    /// order of keys, white space and the spelling of numbers and escapes do not count. Of whole numbers every
    /// digit counts, of half a character (see [`mend`]) which half it is.
    pub fingerprint: [u8; 32],
}

/// Why a message cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The bytes are not one JSON value.
    #[error("the message is not valid JSON: {reason}")]
    Json {
        /// What the parser found, with line and column.
        reason: String,
    },
    /// Arrays and objects are nested deeper than the parser goes.
    #[error("the message is nested deeper than 127 levels")]
    TooDeep,
    /// The JSON value is not an object.
    #[error("the message must be a JSON object, not {found}")]
    NotAnObject {
        /// The type that it has.
        found: &'static str,
    },
    /// A field has a type that the SDK never writes.
    #[error("`{field}` must be {expected}, not {found}")]
    WrongType {
        /// The field, as it is spelt in the message.
        field: &'static str,
        /// The types that it may have.
        expected: &'static str,
        /// The type that it has.
        found: &'static str,
    },
    /// Half of a character in a field that names somebody or something.
    #[error(
        "`{field}` has half of a character: an escape from \\ud800 to \\udfff without its other half, which no \
         id can have"
    )]
    HalfCharacter {
        /// The field, as it is spelt in the message.
        field: &'static str,
    },
    /// A note of the service about its group; no client can send one.
    #[error("`{field}` says that this is a group-tips message, which no client can send")]
    GroupTips {
        /// The field that says so.
        field: &'static str,
    },
    /// Somebody else sent this message.
    #[error("`{field}` is false: this message was received, not sent from here")]
    NotOwn {
        /// The field that says so.
        field: &'static str,
    },
}

/// Fields that change while a message waits, in camelCase.
const IGNORED: [&str; 11] = [
    "status",
    "progress",
    "isRead",
    "isPeerRead",
    "nickName",
    "friendRemark",
    "faceUrl",
    "nameCard",
    "localCustomData",
    "localCustomInt",
    "timestamp",
];

/// Their counterparts in the C shape.
const IGNORED_C: [&str; 11] = [
    "message_status",
    "progress",
    "ui_status",
    "message_is_read",
    "message_is_peer_read",
    "message_custom_str",
    "message_custom_int",
    "message_client_time",
    "message_server_time",
    "message_sender_profile",
    // Holds the sender's name card in the group.
    "message_sender_group_member_info",
];

/// `elemType` of group tips in camelCase, and the top-level `elem_type` that newer Flutter SDKs add to the C
/// shape: there 5 is a video.
const ELEM_TYPE_GROUP_TIPS: i64 = 9;
/// `elem_type` of group tips inside `message_elem_array`: there 9 is a video.
const ELEM_TYPE_C_GROUP_TIPS: i64 = 5;

/// Reads from a message what submit needs. Linear; memory in proportion to the message, whose size the caller
/// limits. Of a key that is there twice, the last counts. Half of a character (an escape such as `\ud83d` alone)
/// may stand in any text but an id.
///
/// # Errors
/// [`MessageError`]: not a JSON object, a field that is read here has a type that the SDK never writes or an id
/// half of a character, a group-tips message, or one that somebody else sent.
pub fn inspect(message: &[u8]) -> Result<Inspected, MessageError> {
    let value = mend::parse_value(message).map_err(|error| MessageError::of_parser(&error))?;
    let Value::Object(object) = &value else {
        return Err(MessageError::NotAnObject { found: json::kind(&value) });
    };
    let exact = exact::read_fields(message).ok_or_else(MessageError::of_exact_reader)?;
    let fields = Fields { object, exact: &exact };
    refuse_group_tips(fields)?;
    refuse_received(fields)?;
    Ok(Inspected {
        msg_id: first(fields.text("msgID")?, fields.text("message_msg_id")?),
        id: first(fields.text("id")?, None),
        conversation: conversation(fields)?,
        fingerprint: fingerprint_of(fields),
    })
}

fn first(preferred: Option<&str>, other: Option<&str>) -> Option<String> {
    preferred.or(other).map(str::to_owned)
}

/// In the C shape the elements decide; the top-level `elem_type` only says something where there are none.
fn refuse_group_tips(fields: Fields<'_>) -> Result<(), MessageError> {
    if fields.number("elemType")? == Some(ELEM_TYPE_GROUP_TIPS) {
        return Err(MessageError::GroupTips { field: "elemType" });
    }
    let elements = fields.elements()?;
    for element in elements {
        if element_type(element)? == Some(ELEM_TYPE_C_GROUP_TIPS) {
            return Err(MessageError::GroupTips { field: "message_elem_array[].elem_type" });
        }
    }
    let top = fields.number("elem_type")?;
    if elements.is_empty() && top == Some(ELEM_TYPE_GROUP_TIPS) {
        return Err(MessageError::GroupTips { field: "elem_type" });
    }
    Ok(())
}

fn element_type(element: &Value) -> Result<Option<i64>, MessageError> {
    let Value::Object(object) = element else {
        return Err(MessageError::WrongType {
            field: "message_elem_array[]",
            expected: "an object",
            found: json::kind(element),
        });
    };
    number("message_elem_array[].elem_type", object.get("elem_type"))
}

fn refuse_received(fields: Fields<'_>) -> Result<(), MessageError> {
    for field in ["isSelf", "message_is_from_self"] {
        if fields.flag(field)? == Some(false) {
            return Err(MessageError::NotOwn { field });
        }
    }
    Ok(())
}

/// A message with both a group and a user is shown in the group, to that user alone: it belongs to the group.
fn conversation(fields: Fields<'_>) -> Result<Option<String>, MessageError> {
    let group = fields.text("groupID")?;
    let user = fields.text("userID")?;
    let kind = fields.number("message_conv_type")?;
    let peer = fields.text("message_conv_id")?;
    Ok(match (group, user, kind, peer) {
        (Some(group), ..) | (None, None, Some(2), Some(group)) => Some(format!("group:{group}")),
        (None, Some(user), ..) | (None, None, Some(1), Some(user)) => Some(format!("c2c:{user}")),
        _ => None,
    })
}

fn fingerprint_of(fields: Fields<'_>) -> [u8; 32] {
    let is_c_shape = fields.exact.keys().any(|name| name.starts_with(b"message_"));
    let is_in = |names: &[&str], name: &[u8]| names.iter().any(|ignored| ignored.as_bytes() == name);
    let ignored = |name: &[u8]| is_in(&IGNORED, name) || (is_c_shape && is_in(&IGNORED_C, name));
    let all = fields.exact.iter().map(|(name, value)| (name.as_ref(), value));
    fingerprint::of_object(all.filter(|(name, _)| !ignored(name)))
}

/// The top-level fields of a message, read with the types that they must have.
#[derive(Clone, Copy)]
struct Fields<'a> {
    /// With U+FFFD for halves of characters.
    object: &'a Map<String, Value>,
    /// As they were written.
    exact: &'a exact::Fields<'a>,
}

impl<'a> Fields<'a> {
    /// `None` for a missing, null or empty text: the SDKs write all three for "not set".
    fn text(self, field: &'static str) -> Result<Option<&'a str>, MessageError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(_))
                if self.exact.get(field.as_bytes()).is_some_and(Exact::is_text_with_half) =>
            {
                Err(MessageError::HalfCharacter { field })
            }
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(other) => Err(wrong_type(field, "a string or null", other)),
        }
    }

    fn flag(self, field: &'static str) -> Result<Option<bool>, MessageError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type(field, "a boolean or null", other)),
        }
    }

    fn number(self, field: &'static str) -> Result<Option<i64>, MessageError> {
        number(field, self.object.get(field))
    }

    fn elements(self) -> Result<&'a [Value], MessageError> {
        const FIELD: &str = "message_elem_array";
        match self.object.get(FIELD) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(elements)) => Ok(elements),
            Some(other) => Err(wrong_type(FIELD, "an array or null", other)),
        }
    }
}

/// A number with a fraction counts as none: it equals no constant of the SDK.
fn number(field: &'static str, value: Option<&Value>) -> Result<Option<i64>, MessageError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(json::whole(number)),
        Some(other) => Err(wrong_type(field, "a number or null", other)),
    }
}

const fn wrong_type(field: &'static str, expected: &'static str, found: &Value) -> MessageError {
    MessageError::WrongType { field, expected, found: json::kind(found) }
}

impl MessageError {
    /// The parser tells its depth limit from other errors by its text alone; a test pins it.
    fn of_parser(error: &serde_json::Error) -> Self {
        let reason = error.to_string();
        if reason.starts_with("recursion limit exceeded") { Self::TooDeep } else { Self::Json { reason } }
    }

    /// Never seen: it reads whatever the parser has accepted.
    fn of_exact_reader() -> Self {
        Self::Json { reason: "its fields cannot be told apart".to_owned() }
    }

    /// The field that is to blame, where it is one field.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::WrongType { field, .. }
            | Self::HalfCharacter { field }
            | Self::GroupTips { field }
            | Self::NotOwn { field } => Some(field),
            Self::Json { .. } | Self::TooDeep | Self::NotAnObject { .. } => None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Json { .. } => "send the V2TimMessage as the SDK's toJson writes it, in UTF-8",
            Self::TooDeep => "put deeply nested app data into a text, for example into customElem.data",
            Self::NotAnObject { .. } => {
                "send the V2TimMessage itself, not a text that contains it, nor a list"
            }
            Self::WrongType { .. } => "give the field the type that the SDK gives it, or leave it out",
            Self::HalfCharacter { .. } => "give the id as the SDK gave it; only texts may be cut like this",
            Self::GroupTips { .. } => "do not submit group tips: the service makes them by itself",
            Self::NotOwn { .. } => "submit only messages that this account tried to send",
        }
    }
}

#[cfg(test)]
mod tests;
