//! The envelope of a message: which shape it has, and who gets it. One rule for submit and for sending.
//!
//! Owns:  how the fields of both shapes are told apart, those that name a sender or a receiver, and that all
//!        receivers that are named agree.
//! Never: looks at what the message says, guesses a receiver.

use serde_json::{Map, Value};

use crate::fields::Wire;
use crate::json;
use crate::json::exact::{self, Exact};
use crate::message::MessageError;

/// The members of a group who alone get a message, in camelCase.
const TARGETS: Names = Names { list: "targetGroupMemberList", item: "targetGroupMemberList[]" };
/// The same in the C shape.
const TARGETS_C: Names =
    Names { list: "message_target_group_member_array", item: "message_target_group_member_array[]" };

/// A list of user ids, and what its items are called in an error.
struct Names {
    list: &'static str,
    item: &'static str,
}

/// Which of the SDK's two shapes a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageShape {
    /// `V2TimMessage`.
    Camel,
    /// The C SDK's snake_case.
    C,
}

impl MessageShape {
    /// The C shape names its conversation or its elements, and has no `elemType`, which camelCase always has.
    /// What an app adds beside the SDK's fields, whatever it is called, thereby changes nothing. Newer Flutter
    /// SDKs add `elem_type`, `id`, `progress` and `ui_status` to the C shape: they do not tell it.
    ///
    /// `is_there` says of a name whether the message has it, and not as null.
    pub(crate) fn of(is_there: impl Fn(&str) -> bool) -> Self {
        let names_c = is_there("message_conv_id") || is_there("message_elem_array");
        if names_c && !is_there("elemType") { Self::C } else { Self::Camel }
    }
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// One person.
    Person(&'a str),
    /// A group, or some of its members.
    Group(&'a str),
}

impl<'a> Destination<'a> {
    pub(crate) const fn id(self) -> &'a str {
        match self {
            Self::Person(id) | Self::Group(id) => id,
        }
    }

    /// What the C SDK's `message_conv_type` has for it.
    const fn conv_type(self) -> i64 {
        match self {
            Self::Person(_) => 1,
            Self::Group(_) => 2,
        }
    }
}

/// The top-level fields of a message, read with the types that they must have. Numbers and flags may be spelt as
/// the models read them: as numbers, as text.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    /// With U+FFFD for halves of characters.
    object: &'a Map<String, Value>,
    /// As they were written.
    exact: &'a exact::Fields<'a>,
}

impl<'a> Envelope<'a> {
    /// Both are read from the same bytes.
    pub(crate) const fn new(object: &'a Map<String, Value>, exact: &'a exact::Fields<'a>) -> Self {
        Self { object, exact }
    }

    pub(crate) const fn exact(self) -> &'a exact::Fields<'a> {
        self.exact
    }

    /// A field as it is, with U+FFFD for halves of characters.
    pub(crate) fn value(self, field: &str) -> Option<&'a Value> {
        self.object.get(field)
    }

    pub(crate) fn shape(self) -> MessageShape {
        MessageShape::of(|name| self.object.get(name).is_some_and(|value| !value.is_null()))
    }

    /// The receiver that the message names, in either shape's fields; `None` where it names none.
    ///
    /// A message with both a group and a user is shown in the group, to that user alone: it belongs to the
    /// group.
    ///
    /// # Errors
    /// [`MessageError::TwoReceivers`] where the fields of both shapes are there and do not agree.
    pub(crate) fn destination(self) -> Result<Option<Destination<'a>>, MessageError> {
        let user = self.text("userID")?.map(Destination::Person);
        let camel = self.text("groupID")?.map(Destination::Group).or(user);
        let (kind, id) = (self.number("message_conv_type")?, self.text("message_conv_id")?);
        let Some(camel) = camel else {
            return Ok(match (kind, id) {
                (Some(1), Some(id)) => Some(Destination::Person(id)),
                (Some(2), Some(id)) => Some(Destination::Group(id)),
                _ => None,
            });
        };
        let one = if matches!(camel, Destination::Group(_)) { "groupID" } else { "userID" };
        if id.is_some_and(|id| id != camel.id()) {
            return Err(MessageError::TwoReceivers { one, other: "message_conv_id" });
        }
        // Other numbers name nobody.
        if matches!(kind, Some(1 | 2)) && kind != Some(camel.conv_type()) {
            return Err(MessageError::TwoReceivers { one, other: "message_conv_type" });
        }
        Ok(Some(camel))
    }

    /// The members of a group who alone get the message; empty: all.
    ///
    /// # Errors
    /// [`MessageError`] where a list is no list of user ids: with an item left out, or with none, the message
    /// would go to others than it says. Also where two fields name different people.
    pub(crate) fn members(self) -> Result<Vec<String>, MessageError> {
        let user = self.text("userID")?.map(str::to_owned).into_iter().collect();
        let named = [
            ("userID", user),
            (TARGETS.list, self.names(&TARGETS)?),
            (TARGETS_C.list, self.names(&TARGETS_C)?),
        ];
        let mut named = named.into_iter().filter(|(_, members)| !members.is_empty());
        let Some((one, members)) = named.next() else { return Ok(Vec::new()) };
        match named.find(|(_, others)| !is_same_set(&members, others)) {
            Some((other, _)) => Err(MessageError::TwoReceivers { one, other }),
            None => Ok(members),
        }
    }

    /// The user ids of a list. Missing, null and empty lists are all "not set".
    fn names(self, names: &Names) -> Result<Vec<String>, MessageError> {
        let wrong = |field, expected, found| MessageError::WrongType { field, expected, found };
        let items = match self.exact.get(names.list.as_bytes()) {
            None | Some(Exact::Null) => return Ok(Vec::new()),
            Some(Exact::Array(items)) => items,
            Some(other) => return Err(wrong(names.list, "an array of user ids or null", other.kind())),
        };
        let name = |item: &Exact<'_>| match item {
            Exact::Text(text) if text.is_empty() => Err(wrong(names.item, "a user id", "an empty string")),
            Exact::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(MessageError::HalfCharacter { field: names.item }),
            },
            other => Err(wrong(names.item, "a user id", other.kind())),
        };
        items.iter().map(name).collect()
    }

    /// The texts of a list that can name somebody. Whatever else is in it is left out, as is all of what is no
    /// list: that nobody is called by name never changes who gets a message.
    pub(crate) fn mentioned(self, list: &str) -> Vec<String> {
        let items = match self.exact.get(list.as_bytes()) {
            Some(Exact::Array(items)) => items.as_slice(),
            _ => &[],
        };
        let text = |item: &Exact<'_>| match item {
            Exact::Text(text) => std::str::from_utf8(text).ok().map(str::to_owned),
            _ => None,
        };
        items.iter().filter_map(text).filter(|name| !name.is_empty()).collect()
    }

    /// `None` for a missing, null or empty text: the SDKs write all three for "not set".
    pub(crate) fn text(self, field: &'static str) -> Result<Option<&'a str>, MessageError> {
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

    pub(crate) fn flag(self, field: &'static str) -> Result<Option<bool>, MessageError> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) if is_empty_text(value) => Ok(None),
            Some(value) => match bool::read(value) {
                Some(flag) => Ok(Some(flag)),
                None => Err(wrong_type(field, "a boolean or null", value)),
            },
        }
    }

    pub(crate) fn number(self, field: &'static str) -> Result<Option<i64>, MessageError> {
        number(field, self.object.get(field))
    }

    pub(crate) fn elements(self) -> Result<&'a [Value], MessageError> {
        const FIELD: &str = "message_elem_array";
        match self.object.get(FIELD) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(elements)) => Ok(elements),
            Some(other) => Err(wrong_type(FIELD, "an array or null", other)),
        }
    }
}

/// A number with a fraction counts as none: it equals no constant of the SDK.
pub(crate) fn number(field: &'static str, value: Option<&Value>) -> Result<Option<i64>, MessageError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(json::whole(number)),
        Some(value) if is_empty_text(value) => Ok(None),
        Some(value) => match i64::read(value) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong_type(field, "a number or null", value)),
        },
    }
}

fn is_empty_text(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

const fn wrong_type(field: &'static str, expected: &'static str, found: &Value) -> MessageError {
    MessageError::WrongType { field, expected, found: json::kind(found) }
}

fn is_same_set(left: &[String], right: &[String]) -> bool {
    left.iter().all(|name| right.contains(name)) && right.iter().all(|name| left.contains(name))
}
