//! What is to be sent, read from either shape of a message.
//!
//! Owns:  which element becomes which part, what is required, what is refused.
//! Never: knows the names of the REST interface beyond its parts.

mod c;
mod camel;

use serde_json::{Map, Value};

use super::body::OfflinePush;
use super::parts::Part;
use super::refusal::{CannotCarry, TARGETS_MAX};
use crate::envelope::{Destination, Envelope, MessageShape};
use crate::fields::{Shape, Wire};
use crate::json::exact;
use crate::message::MessageError;
use crate::{c_shape, mend, model};

/// A message on its way, in no SDK's shape.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) sender: Option<String>,
    pub(super) to: To,
    pub(super) parts: Vec<Part>,
    /// `High`, `Normal` or `Low`.
    pub(super) priority: Option<&'static str>,
    pub(super) cloud_custom_data: Option<String>,
    pub(super) push: OfflinePush,
    /// User ids, or the tag for all.
    pub(super) at: Vec<String>,
    pub(super) needs_read_receipt: bool,
    /// The app's server is not asked before it is sent.
    pub(super) is_without_pre_hook: bool,
    /// The app's server is not told after it was sent.
    pub(super) is_without_post_hook: bool,
    pub(super) supports_extension: bool,
    pub(super) is_not_unread: bool,
    pub(super) is_not_last: bool,
}

/// Who gets it.
#[derive(Debug)]
pub(super) enum To {
    Person(String),
    Group {
        id: String,
        /// The members who alone get it; empty: all.
        members: Vec<String>,
    },
}

/// What a message says besides its content, whichever shape it has.
#[derive(Debug)]
struct Addressed {
    sender: Option<String>,
    to: To,
    at: Vec<String>,
}

/// Reads a message. A half of a character in a text is sent as U+FFFD: no service takes it otherwise.
pub(super) fn read(message: &[u8]) -> Result<Outgoing, CannotCarry> {
    let value =
        mend::parse_value(message).map_err(|error| CannotCarry::Json { reason: error.to_string() })?;
    let Value::Object(object) = &value else { return Err(CannotCarry::not_an_object(&value)) };
    let exact = exact::read_fields(message)
        .ok_or_else(|| CannotCarry::Json { reason: "its fields cannot be told apart".to_owned() })?;
    let fields = Envelope::new(object, &exact);
    let outgoing = match fields.shape() {
        MessageShape::C => {
            let addressed = addressed(fields, "message_sender", "message_group_at_user_array")?;
            c::read(&c_shape::Message::read_object(object), addressed)?
        }
        MessageShape::Camel => {
            let addressed = addressed(fields, "sender", "groupAtUserList")?;
            camel::read(&model::V2TimMessage::read_object(object), addressed)?
        }
    };
    check(outgoing)
}

/// Who sends, who gets it and who is called by name. The receiver is the one that submit took for its lane:
/// both ask the same reader.
fn addressed(fields: Envelope<'_>, sender: &'static str, at: &'static str) -> Result<Addressed, CannotCarry> {
    let to = match fields.destination()?.ok_or(CannotCarry::NoDestination)? {
        Destination::Group(id) => To::Group { id: id.to_owned(), members: fields.members()? },
        Destination::Person(id) => person(id, fields)?,
    };
    let at = fields.mentioned(at).into_iter().map(mentioned).collect();
    Ok(Addressed { sender: fields.text(sender)?.map(str::to_owned), to, at })
}

/// A list of members beside a person must not name anybody else.
fn person(id: &str, fields: Envelope<'_>) -> Result<To, CannotCarry> {
    if fields.members()?.iter().any(|member| member != id) {
        return Err(MessageError::TwoReceivers {
            one: "message_conv_id",
            other: "message_target_group_member_array",
        }
        .into());
    }
    Ok(To::Person(id.to_owned()))
}

/// The tag for all has two spellings.
fn mentioned(user: String) -> String {
    if user == c_shape::AT_ALL_TAG { model::AT_ALL_TAG.to_owned() } else { user }
}

fn check(outgoing: Outgoing) -> Result<Outgoing, CannotCarry> {
    if outgoing.parts.is_empty() {
        return Err(CannotCarry::NoElement);
    }
    if outgoing.parts.iter().filter(|part| matches!(part, Part::Custom(_))).count() > 1 {
        return Err(CannotCarry::TwoCustomElements);
    }
    match &outgoing.to {
        To::Group { members, .. } if members.len() > TARGETS_MAX => {
            Err(CannotCarry::TooManyTargets { count: members.len() })
        }
        _ => Ok(outgoing),
    }
}

/// A text of which there may be none. One that is there and is no text is not sent as if there were none.
fn text(
    field: Option<&String>,
    rest: &Map<String, Value>,
    name: &str,
    spelt: &'static str,
) -> Result<String, CannotCarry> {
    match (field, rest.get(name)) {
        (Some(text), _) => Ok(text.clone()),
        (None, None | Some(Value::Null)) => Ok(String::new()),
        (None, Some(_)) => Err(CannotCarry::Missing { field: spelt }),
    }
}

/// A text that says something.
fn said(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

/// A number that REST has as a count: not below 0, and whole. What the field could not hold is in the `rest` of
/// its element: a fraction is rounded.
fn count(field: Option<i64>, rest: &Map<String, Value>, name: &str) -> i64 {
    let rounded = || rest.get(name).and_then(f64::read).map(|number| number.round() as i64);
    field.or_else(rounded).unwrap_or(0).max(0)
}

/// VIVO's service knows two kinds of notification.
const fn vivo_classification(number: Option<i64>) -> Option<i64> {
    match number {
        Some(0 | 1) => number,
        _ => None,
    }
}
