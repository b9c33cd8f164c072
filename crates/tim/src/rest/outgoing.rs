//! What is to be sent, read from either shape of a message.
//!
//! Owns:  which element becomes which part, what is required, what is refused.
//! Never: knows the names of the REST interface beyond its parts.

mod c;
mod camel;

use serde_json::Value;

use super::body::OfflinePush;
use super::parts::Part;
use super::refusal::{CannotCarry, TARGETS_MAX};
use crate::fields::Shape;
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

/// Reads a message. A half of a character in a text is sent as U+FFFD: no service takes it otherwise.
pub(super) fn read(message: &[u8]) -> Result<Outgoing, CannotCarry> {
    let value =
        mend::parse_value(message).map_err(|error| CannotCarry::Json { reason: error.to_string() })?;
    let Value::Object(object) = &value else { return Err(CannotCarry::not_an_object(&value)) };
    let outgoing = if is_c_shape(object) {
        c::read(&c_shape::Message::read_object(object))?
    } else {
        camel::read(&model::V2TimMessage::read_object(object))?
    };
    check(outgoing)
}

/// Fields of the C shape begin with `message_`; no field of the other does.
pub(super) fn is_c_shape(object: &serde_json::Map<String, Value>) -> bool {
    object.keys().any(|name| name.starts_with("message_"))
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

/// A text that says something.
fn said(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}
