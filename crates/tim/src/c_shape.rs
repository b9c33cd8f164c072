//! A message of Tencent IM in snake_case: as the C SDK, Electron, Unity and the newest Flutter SDK print it.
//!
//! Owns:  `Message` and every type inside it: the keys, and the numbers of the C header.
//! Never: the camelCase shape (`model`), the way from one shape to the other (`convert`).
//!
//! Reading is as tolerant, and writing as exact, as in [`crate::model`]: what a field cannot tell stays in
//! `rest`.
//!
//! ```
//! use outbox_tim::c_shape::{ElemType, Message};
//!
//! let json = br#"{"message_msg_id": "144-17-9", "message_elem_array": [
//!     {"elem_type": 0, "text_elem_content": "Gate 4"}
//! ]}"#;
//! let message = Message::parse(json)?;
//! let first = message.elem_array.iter().flatten().next();
//! assert_eq!(first.and_then(|element| element.elem_type), Some(ElemType::Text));
//! assert_eq!(first.and_then(|element| element.text_content.as_deref()), Some("Gate 4"));
//! # Ok::<(), outbox_tim::model::ModelError>(())
//! ```
//!
//! Sources: the vendor's C headers of 8.x, and those of 2021 for older spellings; the Flutter models of 8.9,
//! which print this shape since they call the C SDK.

mod element;
mod kinds;
mod push;

use serde_json::Value;

use crate::fields::{Shape, shape};
use crate::model::{self, MessageStatus, ModelError};
use crate::{json, mend};
pub use element::Element;
pub use kinds::{ConvType, ElemType, ImageLevel, Priority, PushFlag, Status};
pub use push::{AndroidPushConfig, IosPushConfig, OfflinePushConfig};

/// In `message_group_at_user_array`: every member of the group. The C headers of 2021 have the camelCase
/// shape's spelling, [`model::AT_ALL_TAG`]; those of 8.x have this one.
pub const AT_ALL_TAG: &str = "__kImSDK_MessageAtALL__";

/// Begins a creation id that the newest Flutter SDK makes. It may stand where a message has its name as long
/// as it has none, and is never handed on as `message_msg_id`.
pub const CREATED_ID_PREFIX: &str = "created_temp_id-";

shape! {
    /// One message. Keys from the vendor's C header, where nothing else is said. Keys of the header that say
    /// nothing to an outbox stay in `rest`: platform, counts of receipts, version, pinners, moderation ids.
    pub struct Message {
        /// The message's name for the SDK: the sender's number, the second of its making and `rand`, joined by
        /// `-` in what the SDKs make today; nothing may be read from it. Missing or empty until it is sent.
        msg_id: String = "message_msg_id",
        /// The conversation: the user's id or the group's, without a prefix.
        conv_id: String = "message_conv_id",
        /// What `conv_id` names.
        conv_type: ConvType = "message_conv_type",
        /// The sender's user id.
        sender: String = "message_sender",
        /// How urgent it is; only in groups.
        priority: Priority = "message_priority",
        /// Seconds since 1970 by the sender's clock.
        client_time: i64 = "message_client_time",
        /// Seconds since 1970 by the service's clock; 0 or missing until the service has taken it.
        server_time: i64 = "message_server_time",
        /// Whether the signed-in user sent it.
        is_from_self: bool = "message_is_from_self",
        /// Whether the signed-in user has read it.
        is_read: bool = "message_is_read",
        /// Whether the peer has read the conversation up to it; only between two users.
        is_peer_read: bool = "message_is_peer_read",
        /// Whether only those who are online get it; the service does not keep it. The camelCase shape lacks
        /// it: there it is a parameter of `sendMessage`.
        is_online_msg: bool = "message_is_online_msg",
        /// Whether the readers shall confirm. Since 6.1.
        need_read_receipt: bool = "message_need_read_receipt",
        /// What has become of it, as the C SDK knows it.
        status: Status = "message_status",
        /// Its number: in a group the service's, rising; between two users the sender's, not unique. A number
        /// here, a text in the camelCase shape.
        seq: i64 = "message_seq",
        /// Its random number, 32 bits without a sign.
        rand: i64 = "message_rand",
        /// The app's own number for the message, 32 bits, on this device alone.
        custom_int: i64 = "message_custom_int",
        /// The app's own note about the message, on this device alone.
        custom_str: String = "message_custom_str",
        /// The app's own note that travels with the message. Counts for its size.
        cloud_custom_str: String = "message_cloud_custom_str",
        /// Whether it does not count as unread.
        is_excluded_from_unread_count: bool = "message_is_excluded_from_unread_count",
        /// Whether it is not shown as the conversation's last.
        excluded_from_last_message: bool = "message_excluded_from_last_message",
        /// Whether no one checks its content. Not in the C headers of 2021.
        excluded_from_content_moderation: bool = "message_excluded_from_content_moderation",
        /// Whether others may attach values to it. Not in the C headers of 2021.
        support_message_extension: bool = "message_support_message_extension",
        /// The members who are called by name; [`AT_ALL_TAG`] for all.
        group_at_user_array: Vec<String> = "message_group_at_user_array",
        /// The members of the group who alone receive it; it does not count as unread then. Not together
        /// with `group_at_user_array`, nor in communities and live groups.
        target_group_member_array: Vec<String> = "message_target_group_member_array",
        /// What the recipient's phone shows. The C headers and the Unity SDK of 2021 spell the key
        /// `message_offlie_push_config`.
        offline_push_config: Box<OfflinePushConfig> =
            "message_offline_push_config" | "message_offlie_push_config",
        /// What it says, in order. The C SDK wants it in what it sends.
        elem_array: Vec<Element> = "message_elem_array",
        /// Who the sender is.
        sender_profile: Box<SenderProfile> = "message_sender_profile",
        /// Who the sender is in the group; only there.
        sender_group_member_info: Box<SenderGroupMemberInfo> = "message_sender_group_member_info",
        /// An older name for the message, 64 bits; `msg_id` has replaced it. Above 2^63 it stays in `rest`.
        unique_id: i64 = "message_unique_id",
        /// Whether it is a broadcast to live groups. Since 6.5.
        is_broadcast_message: bool = "message_is_broadcast_message",
        /// Whether the service found its content risky. Since 7.4; the Flutter models of 8.9 have a number of
        /// another name instead.
        has_risk_content: bool = "message_has_risk_content",
        /// Why it was revoked. Since 7.4.
        revoke_reason: String = "message_revoke_reason",
        /// The id of who revoked it. Since 7.4.
        revoker_user_id: String = "message_revoker_user_id",
        /// The name of who revoked it. Since 7.4.
        revoker_nick_name: String = "message_revoker_nick_name",
        /// Where the picture of who revoked it is. Since 7.4.
        revoker_face_url: String = "message_revoker_face_url",
        /// Whether the app's server is not asked before it is sent. From the Flutter models of 8.9.
        disable_cloud_message_pre_hook: bool = "message_disable_cloud_message_pre_hook",
        /// Whether the app's server is not told after it was sent. From the Flutter models of 8.9.
        disable_cloud_message_post_hook: bool = "message_disable_cloud_message_post_hook",
        /// The creation id, by which the app knows the message before it has a `msg_id`. The Flutter models
        /// alone write it.
        id: String = "id",
        /// How much of a file is uploaded, 0 to 100. The Flutter models alone write it.
        progress: i64 = "progress",
        /// What the user interface shows of its state, in the camelCase shape's numbers. The Flutter models
        /// alone write it: what must not reach the C SDK as `status` stands here.
        ui_status: MessageStatus = "ui_status",
        /// What it begins with, **in the camelCase shape's numbers**. The Flutter models alone write it, and
        /// read it only where `elem_array` is empty.
        elem_type: model::ElemType = "elem_type",
    }

    /// Who the sender is (the vendor's C header, `UserProfile`, as far as a message has it).
    pub struct SenderProfile {
        /// The user's id.
        user_id: String = "user_profile_identifier",
        /// The name, as set by the user.
        nick_name: String = "user_profile_nick_name",
        /// Where the picture is.
        face_url: String = "user_profile_face_url",
        /// How the reader has named the user. The Flutter models of 8.9 alone write it here.
        friend_remark: String = "user_profile_friend_remark",
    }

    /// Who the sender is in a group (the vendor's C header, `GroupMemberInfo`; of a message the SDK fills in
    /// these two alone).
    pub struct SenderGroupMemberInfo {
        /// The user's id.
        user_id: String = "group_member_info_identifier",
        /// The name in the group.
        name_card: String = "group_member_info_name_card",
    }
}

impl Message {
    /// Reads a message. No field can make this fail: what is not understood stays in `rest`.
    ///
    /// Halves of characters and numbers of more than 64 bits are read as [`model::V2TimMessage::parse`] reads
    /// them.
    ///
    /// # Errors
    /// [`ModelError`] if the bytes are not one JSON object, or nest deeper than 127 levels, where the parser
    /// stops.
    pub fn parse(message: &[u8]) -> Result<Self, ModelError> {
        let value =
            mend::parse_value(message).map_err(|error| ModelError::Json { reason: error.to_string() })?;
        match &value {
            Value::Object(object) => Ok(Self::read_object(object)),
            other => Err(ModelError::NotAnObject { found: json::kind(other) }),
        }
    }

    /// Writes the message as JSON. A message that was read and not changed is the same JSON value again; the
    /// order of keys is the alphabet's.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.write_object()).to_string()
    }
}

#[cfg(test)]
mod tests;
