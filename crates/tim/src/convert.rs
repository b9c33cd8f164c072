//! From one shape of a message to the other: camelCase ([`crate::model`]) and snake_case ([`crate::c_shape`]).
//!
//! Owns:  which field of the one says the same as which field of the other, and what is lost on the way.
//! Never: reads or writes JSON; carries over `rest`, whose keys mean nothing in the other shape. One thing of it
//!        goes along: a list of target members that cannot be read, without which all members would be meant.
//!
//! What both shapes can say survives the way there and back. What one of them lacks is dropped:
//!
//! - [`to_c`] drops `messageFromWeb`, `quoteInfo` (the C shape has other keys in it), `localUrl` of pictures,
//!   pictures of a size that is not one of the three and a second one of the same size, the content of group
//!   tips, `groupReportElem`, `streamElem` and every element of an unknown type, all of `revokerInfo` but id,
//!   name and picture, the priority "default", and a number of priority that is not known.
//! - [`to_camel`] drops `message_is_online_msg`, `message_unique_id`, the client's time where the service's is
//!   known, `custom_elem_sound`, the level and format of pictures, the file types of videos,
//!   `merge_elem_compatible_text`, the content of group tips, notices of the service and every element of an
//!   unknown type, `notify_mode` and all but one of several titles of a notification, and a conversation that is
//!   neither a user nor a group.
//!
//! No result nests deeper than the 127 levels that can be read again. To that end bundles of messages inside
//! bundles lose their messages from the depth on where they would not fit, and [`to_camel`] keeps the first 124
//! elements: each hangs inside the one before.
//!
//! ```
//! use outbox_tim::{V2TimMessage, c_shape, convert};
//!
//! let camel = V2TimMessage::parse(br#"{"userID": "lena", "elemType": 8, "faceElem": {"index": 4}}"#)?;
//! let c = convert::to_c(&camel);
//! assert_eq!((c.conv_type, c.conv_id.as_deref()), (Some(c_shape::ConvType::C2c), Some("lena")));
//! assert_eq!(convert::to_camel(&c), camel);
//! # Ok::<(), outbox_tim::ModelError>(())
//! ```
//!
//! Sources: how the Flutter models of 8.9 read and write the C shape; the vendor's C header for the numbers.

mod elements;
mod media;
mod numbers;
mod push;

use serde_json::{Map, Value};

use crate::c_shape::{self, CREATED_ID_PREFIX, ConvType, SenderGroupMemberInfo, SenderProfile, Status};
use crate::model::{self, MessageStatus, NumberText, V2TimMessage, V2TimUserFullInfo};
pub use numbers::{elem_type_to_c, elem_type_to_camel, priority_to_c, priority_to_camel};
pub(crate) use push::title as push_title;

/// The list of target members in either shape.
const TARGETS: &str = "targetGroupMemberList";
const TARGETS_C: &str = "message_target_group_member_array";

/// Levels of arrays and objects that the parser reads.
const LEVELS_MAX: usize = 127;

/// The message in the C shape.
///
/// - A `msgID` that begins with [`CREATED_ID_PREFIX`] is a creation id: it becomes `id` where there is none, and
///   never `message_msg_id`.
/// - `timestamp` becomes the service's time where the service has the message: sent, revoked, or received from
///   somebody else. Otherwise it becomes the client's.
/// - The states "not sent yet" and "being sent" become `ui_status`: with the latter as `message_status` the C
///   SDK would lose random and seq.
/// - A message with a group and a user is for that member alone: the user becomes
///   `message_target_group_member_array` where that is empty.
/// - [`model::AT_ALL_TAG`] becomes [`c_shape::AT_ALL_TAG`].
///
/// What else is lost is said [above](self).
#[must_use]
pub fn to_c(message: &V2TimMessage) -> c_shape::Message {
    message_to_c(message, LEVELS_MAX)
}

/// The message in camelCase.
///
/// - `timestamp` is the service's time where it is above 0, else the client's.
/// - `status` is the C SDK's, else `ui_status`; a revocation in `ui_status` goes before.
/// - `elemType` is that of the first element, else the top-level `elem_type`.
/// - A `message_msg_id` that begins with [`CREATED_ID_PREFIX`] is treated as [`to_c`] does.
/// - [`c_shape::AT_ALL_TAG`] becomes [`model::AT_ALL_TAG`].
/// - The lowest priority becomes low: see [`priority_to_camel`].
///
/// What else is lost is said [above](self).
#[must_use]
pub fn to_camel(message: &c_shape::Message) -> V2TimMessage {
    message_to_camel(message, LEVELS_MAX)
}

fn message_to_c(message: &V2TimMessage, levels: usize) -> c_shape::Message {
    let (conv_type, conv_id) = conversation(message);
    let (client_time, server_time) = times(message);
    let (status, ui_status) = states(message.status);
    let revoker = message.revoker_info.as_deref().cloned().unwrap_or_default();
    c_shape::Message {
        msg_id: name(message.msg_id.as_ref()),
        id: creation_id(message.id.as_ref(), message.msg_id.as_ref()),
        conv_id,
        conv_type,
        sender: message.sender.clone(),
        priority: message.priority.and_then(priority_to_c),
        client_time,
        server_time,
        is_from_self: message.is_self,
        is_read: message.is_read,
        is_peer_read: message.is_peer_read,
        need_read_receipt: message.need_read_receipt,
        status,
        ui_status,
        seq: message.seq.map(|seq| seq.0),
        rand: message.random,
        custom_int: message.local_custom_int,
        custom_str: message.local_custom_data.clone(),
        cloud_custom_str: message.cloud_custom_data.clone(),
        is_excluded_from_unread_count: message.is_excluded_from_unread_count,
        excluded_from_last_message: message.is_excluded_from_last_message,
        excluded_from_content_moderation: message.is_excluded_from_content_moderation,
        support_message_extension: message.is_support_message_extension,
        group_at_user_array: tags(
            message.group_at_user_list.as_deref(),
            model::AT_ALL_TAG,
            c_shape::AT_ALL_TAG,
        ),
        target_group_member_array: targets(message),
        offline_push_config: message.offline_push_info.as_deref().map(push::to_c).map(Box::new),
        elem_array: elements::to_c(message, levels),
        sender_profile: sender_profile(message).map(Box::new),
        sender_group_member_info: sender_in_group(message).map(Box::new),
        is_broadcast_message: message.is_broadcast_message,
        has_risk_content: message.has_risk_content,
        revoke_reason: message.revoke_reason.clone(),
        revoker_user_id: revoker.user_id,
        revoker_nick_name: revoker.nick_name,
        revoker_face_url: revoker.face_url,
        disable_cloud_message_pre_hook: message.is_disable_cloud_message_pre_hook,
        disable_cloud_message_post_hook: message.is_disable_cloud_message_post_hook,
        progress: message.progress,
        elem_type: message.elem_type,
        rest: unread_targets(message).map(|list| (TARGETS_C.to_owned(), list)).into_iter().collect(),
        ..c_shape::Message::default()
    }
}

fn message_to_camel(message: &c_shape::Message, levels: usize) -> V2TimMessage {
    let (group_id, user_id) = receivers(message);
    let sender = message.sender_profile.as_deref().cloned().unwrap_or_default();
    let mut camel = V2TimMessage {
        msg_id: name(message.msg_id.as_ref()),
        id: creation_id(message.id.as_ref(), message.msg_id.as_ref()),
        timestamp: timestamp(message),
        progress: message.progress,
        sender: message.sender.clone(),
        nick_name: sender.nick_name,
        friend_remark: sender.friend_remark,
        face_url: sender.face_url,
        name_card: message.sender_group_member_info.as_deref().and_then(|info| info.name_card.clone()),
        group_id,
        user_id,
        status: state(message),
        elem_type: message.elem_type,
        local_custom_data: message.custom_str.clone(),
        local_custom_int: message.custom_int,
        cloud_custom_data: message.cloud_custom_str.clone(),
        is_self: message.is_from_self,
        is_read: message.is_read,
        is_peer_read: message.is_peer_read,
        priority: message.priority.and_then(priority_to_camel),
        offline_push_info: message.offline_push_config.as_deref().map(push::to_camel).map(Box::new),
        group_at_user_list: tags(
            message.group_at_user_array.as_deref(),
            c_shape::AT_ALL_TAG,
            model::AT_ALL_TAG,
        ),
        seq: message.seq.map(NumberText),
        random: message.rand,
        is_excluded_from_unread_count: message.is_excluded_from_unread_count,
        is_excluded_from_last_message: message.excluded_from_last_message,
        is_support_message_extension: message.support_message_extension,
        need_read_receipt: message.need_read_receipt,
        has_risk_content: message.has_risk_content,
        revoke_reason: message.revoke_reason.clone(),
        is_broadcast_message: message.is_broadcast_message,
        is_excluded_from_content_moderation: message.excluded_from_content_moderation,
        revoker_info: revoker(message).map(Box::new),
        is_disable_cloud_message_pre_hook: message.disable_cloud_message_pre_hook,
        is_disable_cloud_message_post_hook: message.disable_cloud_message_post_hook,
        target_group_member_list: message.target_group_member_array.clone(),
        rest: unread(message.target_group_member_array.as_ref(), &message.rest, TARGETS_C)
            .map(|list| (TARGETS.to_owned(), list))
            .into_iter()
            .collect(),
        ..V2TimMessage::default()
    };
    if let Some(first) = elements::to_camel(message.elem_array.as_deref().unwrap_or_default(), levels) {
        elements::begin_with(&mut camel, first);
    }
    camel
}

/// A text that says something.
fn said(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A part that says something.
fn filled<T: Default + PartialEq>(part: T) -> Option<Box<T>> {
    (part != T::default()).then(|| Box::new(part))
}

fn is_created(id: &str) -> bool {
    id.starts_with(CREATED_ID_PREFIX)
}

/// The message's name, unless a creation id stands in its place.
fn name(msg_id: Option<&String>) -> Option<String> {
    msg_id.filter(|id| !is_created(id)).cloned()
}

fn creation_id(id: Option<&String>, msg_id: Option<&String>) -> Option<String> {
    let of_its_own = id.filter(|id| !id.is_empty());
    let instead = msg_id.filter(|msg_id| is_created(msg_id));
    of_its_own.or(instead).or(id).cloned()
}

/// A message with a group belongs to the group, whoever is named beside it.
fn conversation(message: &V2TimMessage) -> (Option<ConvType>, Option<String>) {
    match (said(&message.group_id), said(&message.user_id)) {
        (Some(group), _) => (Some(ConvType::Group), Some(group.to_owned())),
        (None, Some(user)) => (Some(ConvType::C2c), Some(user.to_owned())),
        (None, None) => (None, None),
    }
}

/// The group and the user of the camelCase shape.
fn receivers(message: &c_shape::Message) -> (Option<String>, Option<String>) {
    let id = said(&message.conv_id).map(str::to_owned);
    match message.conv_type {
        Some(ConvType::Group) => (id, None),
        Some(ConvType::C2c) => (None, id),
        _ => (None, None),
    }
}

/// A list of target members that cannot be read.
fn unread_targets(message: &V2TimMessage) -> Option<Value> {
    unread(message.target_group_member_list.as_ref(), &message.rest, TARGETS)
}

fn unread(field: Option<&Vec<String>>, rest: &Map<String, Value>, name: &str) -> Option<Value> {
    rest.get(name).filter(|list| field.is_none() && !list.is_null()).cloned()
}

/// Who alone receives it. Without the user here, a message for one member would go to the whole group.
fn targets(message: &V2TimMessage) -> Option<Vec<String>> {
    if unread_targets(message).is_some() {
        return None;
    }
    let listed = message.target_group_member_list.as_ref();
    let alone = said(&message.group_id).and(said(&message.user_id)).map(|user| vec![user.to_owned()]);
    listed.filter(|list| !list.is_empty()).cloned().or(alone).or_else(|| listed.cloned())
}

/// The client's time and the service's.
fn times(message: &V2TimMessage) -> (Option<i64>, Option<i64>) {
    let is_at_service = matches!(message.status, Some(MessageStatus::Sent | MessageStatus::Revoked));
    let is_received = message.is_self == Some(false);
    if is_at_service || is_received { (None, message.timestamp) } else { (message.timestamp, None) }
}

fn timestamp(message: &c_shape::Message) -> Option<i64> {
    let of_service = message.server_time.filter(|time| *time > 0);
    of_service.or(message.client_time).or(message.server_time)
}

/// What the C SDK may be told of the state, and what the user interface alone may know.
fn states(status: Option<MessageStatus>) -> (Option<Status>, Option<MessageStatus>) {
    match status {
        Some(MessageStatus::Unsent | MessageStatus::Sending) => (None, status),
        // Beside these the numbers are the same.
        _ => (status.map(|status| Status::of(status.number())), None),
    }
}

fn state(message: &c_shape::Message) -> Option<MessageStatus> {
    let of_sdk = message.status.map(|status| MessageStatus::of(status.number()));
    match message.ui_status {
        Some(MessageStatus::Revoked) => message.ui_status,
        shown => of_sdk.or(shown),
    }
}

/// The members who are called by name, with the other shape's word for all.
fn tags(members: Option<&[String]>, from: &str, to: &str) -> Option<Vec<String>> {
    let tag = |member: &String| if member == from { to.to_owned() } else { member.clone() };
    members.map(|members| members.iter().map(tag).collect())
}

/// Only where anything beside the id is known.
fn sender_profile(message: &V2TimMessage) -> Option<SenderProfile> {
    let is_known =
        [&message.nick_name, &message.face_url, &message.friend_remark].into_iter().any(Option::is_some);
    is_known.then(|| SenderProfile {
        user_id: message.sender.clone(),
        nick_name: message.nick_name.clone(),
        face_url: message.face_url.clone(),
        friend_remark: message.friend_remark.clone(),
        ..SenderProfile::default()
    })
}

/// Only where anything beside the id is known.
fn sender_in_group(message: &V2TimMessage) -> Option<SenderGroupMemberInfo> {
    message.name_card.is_some().then(|| SenderGroupMemberInfo {
        user_id: message.sender.clone(),
        name_card: message.name_card.clone(),
        ..SenderGroupMemberInfo::default()
    })
}

/// Only where its id is known: the C SDK writes empty texts for a message that nobody revoked.
fn revoker(message: &c_shape::Message) -> Option<V2TimUserFullInfo> {
    said(&message.revoker_user_id).map(|user| V2TimUserFullInfo {
        user_id: Some(user.to_owned()),
        nick_name: message.revoker_nick_name.clone(),
        face_url: message.revoker_face_url.clone(),
        ..V2TimUserFullInfo::default()
    })
}

#[cfg(test)]
mod tests;
