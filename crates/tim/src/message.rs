//! What submit needs to know of a message: its ids, its conversation, and what makes it the same payload.
//!
//! Owns:  which messages can never be sent, and which fields do not count for a fingerprint.
//! Never: tells the two shapes apart or reads a receiver (`envelope` does), changes a message, checks the length
//!        or the characters of an id, chooses between several accounts.

use serde_json::Value;

use crate::envelope::{self, Destination, Envelope, MessageShape};
use crate::fields::Wire;
use crate::json::exact;
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
    /// `message_is_online_msg` of the C shape: whether only those who are online shall get it. `None` where it is
    /// not said, as always in camelCase.
    pub online_user_only: Option<bool>,
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
    /// Two fields name different receivers.
    #[error("`{one}` names one receiver and `{other}` another: who is to get this message?")]
    TwoReceivers {
        /// A field, as it is spelt in the message.
        one: &'static str,
        /// The field that contradicts it.
        other: &'static str,
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

/// The fields of camelCase in which an element may stand.
const ELEMENTS: [&str; 12] = [
    "textElem",
    "customElem",
    "imageElem",
    "soundElem",
    "videoElem",
    "fileElem",
    "locationElem",
    "faceElem",
    GROUP_TIPS_ELEMENT,
    "mergerElem",
    "groupReportElem",
    "streamElem",
];
const GROUP_TIPS_ELEMENT: &str = "groupTipsElem";

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
/// half of a character, fields that name different receivers, a group-tips message, or one that somebody else
/// sent.
pub fn inspect(message: &[u8]) -> Result<Inspected, MessageError> {
    let value = mend::parse_value(message).map_err(|error| MessageError::of_parser(&error))?;
    let Value::Object(object) = &value else {
        return Err(MessageError::NotAnObject { found: json::kind(&value) });
    };
    let exact = exact::read_fields(message).ok_or_else(MessageError::of_exact_reader)?;
    let envelope = Envelope::new(object, &exact);
    refuse_group_tips(envelope)?;
    refuse_received(envelope)?;
    Ok(Inspected {
        msg_id: first(envelope.text("msgID")?, envelope.text("message_msg_id")?),
        id: first(envelope.text("id")?, None),
        conversation: envelope.destination()?.map(conversation),
        online_user_only: online_user_only(envelope),
        fingerprint: fingerprint_of(envelope),
    })
}

fn first(preferred: Option<&str>, other: Option<&str>) -> Option<String> {
    preferred.or(other).map(str::to_owned)
}

fn online_user_only(envelope: Envelope<'_>) -> Option<bool> {
    let said = envelope.value("message_is_online_msg").filter(|_| envelope.shape() == MessageShape::C);
    said.and_then(bool::read)
}

/// One element that is a note of the service is enough, wherever it stands.
fn refuse_group_tips(envelope: Envelope<'_>) -> Result<(), MessageError> {
    match group_tips_in_chain(envelope)?.or(group_tips_in_array(envelope)?) {
        Some(field) => Err(MessageError::GroupTips { field }),
        None => Ok(()),
    }
}

/// In camelCase: what the message says it is, the only element that it has, or a link of a chain.
fn group_tips_in_chain(envelope: Envelope<'_>) -> Result<Option<&'static str>, MessageError> {
    let elem_type = envelope.number("elemType")?;
    if elem_type == Some(ELEM_TYPE_GROUP_TIPS) {
        return Ok(Some("elemType"));
    }
    let filled = || ELEMENTS.iter().filter(|name| envelope.value(name).is_some_and(Value::is_object));
    if matches!(elem_type, None | Some(0)) && filled().eq([&GROUP_TIPS_ELEMENT]) {
        return Ok(Some(GROUP_TIPS_ELEMENT));
    }
    let has_tips = filled().filter_map(|name| envelope.value(name)).any(has_group_tips_behind);
    Ok(has_tips.then_some("nextElem.elemType"))
}

fn has_group_tips_behind(element: &Value) -> bool {
    let mut links = std::iter::successors(element.get("nextElem"), |link| link.get("nextElem"));
    links.any(|link| link.get("elemType").and_then(i64::read) == Some(ELEM_TYPE_GROUP_TIPS))
}

/// In the C shape the elements decide; the top-level `elem_type` only says something where there are none.
fn group_tips_in_array(envelope: Envelope<'_>) -> Result<Option<&'static str>, MessageError> {
    let elements = envelope.elements()?;
    for element in elements {
        let (elem_type, has_keys) = element_type(element)?;
        if elem_type == Some(ELEM_TYPE_C_GROUP_TIPS) {
            return Ok(Some("message_elem_array[].elem_type"));
        }
        if elem_type.is_none() && has_keys {
            return Ok(Some("message_elem_array[]"));
        }
    }
    let top = envelope.number("elem_type")?;
    Ok((elements.is_empty() && top == Some(ELEM_TYPE_GROUP_TIPS)).then_some("elem_type"))
}

/// What an element of the C shape says it is, and whether it has the keys of group tips.
fn element_type(element: &Value) -> Result<(Option<i64>, bool), MessageError> {
    let Value::Object(object) = element else {
        return Err(MessageError::WrongType {
            field: "message_elem_array[]",
            expected: "an object",
            found: json::kind(element),
        });
    };
    let elem_type = envelope::number("message_elem_array[].elem_type", object.get("elem_type"))?;
    Ok((elem_type, object.keys().any(|name| name.starts_with("group_tips_elem_"))))
}

fn refuse_received(envelope: Envelope<'_>) -> Result<(), MessageError> {
    for field in ["isSelf", "message_is_from_self"] {
        if envelope.flag(field)? == Some(false) {
            return Err(MessageError::NotOwn { field });
        }
    }
    Ok(())
}

fn conversation(destination: Destination<'_>) -> String {
    match destination {
        Destination::Person(user) => format!("c2c:{user}"),
        Destination::Group(group) => format!("group:{group}"),
    }
}

fn fingerprint_of(envelope: Envelope<'_>) -> [u8; 32] {
    let is_c_shape = envelope.shape() == MessageShape::C;
    let is_in = |names: &[&str], name: &[u8]| names.iter().any(|ignored| ignored.as_bytes() == name);
    let ignored = |name: &[u8]| is_in(&IGNORED, name) || (is_c_shape && is_in(&IGNORED_C, name));
    let all = envelope.exact().iter().map(|(name, value)| (name.as_ref(), value));
    fingerprint::of_object(all.filter(|(name, _)| !ignored(name)))
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
            | Self::TwoReceivers { other: field, .. }
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
            Self::TwoReceivers { .. } => {
                "give the message in one shape and with one receiver, as the SDK's toJson writes it"
            }
            Self::GroupTips { .. } => "do not submit group tips: the service makes them by itself",
            Self::NotOwn { .. } => "submit only messages that this account tried to send",
        }
    }
}

#[cfg(test)]
mod tests;
