//! A message of Tencent IM as its SDKs print it in camelCase: every field with its type and its meaning.
//!
//! Owns:  `V2TimMessage` and every type inside it: names, numbers, and which platform leaves out what.
//! Never: decides whether a message can be sent, turns it into a request, knows the C SDK's snake_case shape.
//!
//! Reading is tolerant: a field that is missing, null or of a wrong type is `None`, and what was there stays
//! in `rest`. What is read and not changed is written back equal, value for value.
//!
//! ```
//! use outbox_tim::model::{Elem, ElemType, V2TimMessage};
//!
//! let json = br#"{"elemType": 1, "seq": 7, "textElem": {"text": "Gate 4"}, "later": 1}"#;
//! let message = V2TimMessage::parse(json)?;
//! assert_eq!(message.elem_type, Some(ElemType::Text));
//! assert_eq!(message.seq.map(|seq| seq.0), Some(7));
//! let texts: Vec<_> = message
//!     .elements()
//!     .filter_map(|elem| if let Elem::Text(text) = elem { text.text.as_deref() } else { None })
//!     .collect();
//! assert_eq!(texts, ["Gate 4"]);
//! assert_eq!(message.to_json(), r#"{"elemType":1,"later":1,"seq":7,"textElem":{"text":"Gate 4"}}"#);
//! # Ok::<(), outbox_tim::model::ModelError>(())
//! ```
//!
//! Sources: the Dart models of the Flutter SDK 8.1.6122 with its Android, iOS and web bridges; the C++ header
//! beside them; the Flutter models of 8.7 and 8.9 for the newest fields; the plugin and the React Native SDK
//! of 2022 for the oldest.

mod chain;
mod elements;
mod group;
mod kinds;
mod push;

use serde_json::{Map, Value};

pub use crate::fields::NumberText;
use crate::fields::{Shape, shape};
use crate::{json, mend};
pub use chain::{Elem, Elements, V2TimElem, V2TimOtherElem};
pub use elements::{
    V2TimCustomElem, V2TimFaceElem, V2TimFileElem, V2TimImage, V2TimImageElem, V2TimLocationElem,
    V2TimMergerElem, V2TimSoundElem, V2TimTextElem, V2TimVideoElem,
};
pub use group::{
    V2TimGroupChangeInfo, V2TimGroupMemberChangeInfo, V2TimGroupMemberInfo, V2TimGroupTipsElem,
    V2TimUserFullInfo,
};
pub use kinds::{
    AllowType, ElemType, Gender, GroupChangeType, GroupTipsType, ImageType, MessageStatus, OfflinePushType,
    Priority,
};
pub use push::{OfflinePushInfo, PUSH_DEFAULT_SOUND, PUSH_NO_SOUND, V2TimOfflinePushInfo};

/// In `groupAtUserList`: every member of the group. The vendor's own spelling, with its three s.
pub const AT_ALL_TAG: &str = "__kImSDK_MesssageAtALL__";
/// In `sender`: the service itself, as in group tips.
pub const SYSTEM_SENDER: &str = "@TIM#SYSTEM";

shape! {
    /// One message, as `toJson` of the Flutter and React Native SDKs writes it.
    pub struct V2TimMessage {
        /// The message's name for the SDK: the sender's number, the second of its making and `random`,
        /// joined by `-` in what the SDKs make today; nothing may be read from it. Null or empty until
        /// `sendMessage` was called.
        msg_id: String = "msgID",
        /// Seconds since 1970: the sender's clock until the service has taken the message, the service's
        /// clock after.
        timestamp: i64 = "timestamp",
        /// How much of a file is uploaded, 0 to 100; 100 for a message without one. iOS does not write it.
        progress: i64 = "progress",
        /// The sender's user id.
        sender: String = "sender",
        /// The sender's name, as set by the sender.
        nick_name: String = "nickName",
        /// How the reader has named the sender. Empty for those who are no friends, and always on the web.
        friend_remark: String = "friendRemark",
        /// Where the sender's picture is. Native APIs spell it `faceURL`; in a message it is `faceUrl`
        /// everywhere.
        face_url: String = "faceUrl",
        /// The sender's name in the group.
        name_card: String = "nameCard",
        /// The group. The models read an empty text as null.
        group_id: String = "groupID",
        /// The peer, also in a message of one's own; or the member whom a message in a group is for. The
        /// models read an empty text as null.
        user_id: String = "userID",
        /// What has become of it. The Android and iOS bridges set it to failed in the answer to a failed
        /// send; the web bridge writes 0 for what was not sent yet.
        status: MessageStatus = "status",
        /// Which of the elements below it begins with. The models read a missing one as 0.
        elem_type: ElemType = "elemType",
        /// The text, if `elemType` is 1.
        text_elem: Box<V2TimTextElem> = "textElem",
        /// The app's own data, if `elemType` is 2.
        custom_elem: Box<V2TimCustomElem> = "customElem",
        /// The picture, if `elemType` is 3.
        image_elem: Box<V2TimImageElem> = "imageElem",
        /// The recording, if `elemType` is 4.
        sound_elem: Box<V2TimSoundElem> = "soundElem",
        /// The video, if `elemType` is 5.
        video_elem: Box<V2TimVideoElem> = "videoElem",
        /// The file, if `elemType` is 6.
        file_elem: Box<V2TimFileElem> = "fileElem",
        /// The place, if `elemType` is 7.
        location_elem: Box<V2TimLocationElem> = "locationElem",
        /// The face, if `elemType` is 8.
        face_elem: Box<V2TimFaceElem> = "faceElem",
        /// The note about the group, if `elemType` is 9. Such a message cannot be sent.
        group_tips_elem: Box<V2TimGroupTipsElem> = "groupTipsElem",
        /// The bundle of messages, if `elemType` is 10.
        merger_elem: Box<V2TimMergerElem> = "mergerElem",
        /// A notice of the group system, of the newest Flutter models; its fields are in the element's
        /// `rest`.
        group_report_elem: Box<V2TimOtherElem> = "groupReportElem",
        /// A text that grows while it is shown, of the newest Flutter models; its fields are in the
        /// element's `rest`.
        stream_elem: Box<V2TimOtherElem> = "streamElem",
        /// The app's own note about the message, on this device alone. iOS leaves it out where there is
        /// none; the web always writes an empty text.
        local_custom_data: String = "localCustomData",
        /// The app's own number for the message, 32 bits, on this device alone. The web always writes 0.
        local_custom_int: i64 = "localCustomInt",
        /// The app's own note that travels with the message and counts for its size. Sent to the peer. The
        /// oldest plugin does not write it; iOS leaves it out where there is none.
        cloud_custom_data: String = "cloudCustomData",
        /// Whether the signed-in user sent it.
        is_self: bool = "isSelf",
        /// Whether the signed-in user has read it.
        is_read: bool = "isRead",
        /// Whether the peer has read it; only between two users.
        is_peer_read: bool = "isPeerRead",
        /// How urgent it is; only in groups. iOS does not write it: its SDK cannot say it of a message.
        priority: Priority = "priority",
        /// What the recipient's phone shows. Android writes `{}` or four fields of it, whatever was sent;
        /// iOS writes it where there is one; the web never.
        offline_push_info: Box<OfflinePushInfo> = "offlinePushInfo",
        /// The members who are called by name; [`AT_ALL_TAG`] for all. The models read null as an empty
        /// list.
        group_at_user_list: Vec<String> = "groupAtUserList",
        /// Its number: in a group the service's, rising; between two users the sender's, not unique. A text
        /// since the Flutter SDK; a number in the oldest plugin.
        seq: NumberText = "seq",
        /// Its random number, 32 bits without a sign: above 2^31 is usual. The oldest plugin does not write
        /// it.
        random: i64 = "random",
        /// Whether it does not count as unread. The web always writes false; the oldest plugin does not
        /// write it.
        is_excluded_from_unread_count: bool = "isExcludedFromUnreadCount",
        /// Whether it is not shown as the conversation's last. The web does not write it.
        is_excluded_from_last_message: bool = "isExcludedFromLastMessage",
        /// Whether others may attach values to it. Not in the oldest plugin, nor on the web.
        is_support_message_extension: bool = "isSupportMessageExtension",
        /// The web SDK's own message, as JSON text: what the web SDK wants back to send it again. Null
        /// elsewhere.
        message_from_web: String = "messageFromWeb",
        /// The creation id, by which the app knows the message before it has a `msgID`. The SDK's answers
        /// to `sendMessage` and its progress events carry it; those to `reSendMessage` do not.
        id: String = "id",
        /// Whether the readers shall confirm. In groups since 6.1, between two users since 6.2.
        need_read_receipt: bool = "needReadReceipt",
        /// Whether the service found its content risky. Not on the web.
        has_risk_content: bool = "hasRiskContent",
        /// Why it was revoked. Not on the web.
        revoke_reason: String = "revokeReason",
        /// Whether it is a broadcast to live groups. Not on the web.
        is_broadcast_message: bool = "isBroadcastMessage",
        /// Whether no one checks its content. Not on the web.
        is_excluded_from_content_moderation: bool = "isExcludedFromContentModeration",
        /// Who revoked it; null for most. iOS leaves it out then.
        revoker_info: Box<V2TimUserFullInfo> = "revokerInfo",
        /// Whether the app's server is not asked before it is sent. Since the Flutter SDK 8.2.
        is_disable_cloud_message_pre_hook: bool = "isDisableCloudMessagePreHook",
        /// Whether the app's server is not told after it was sent. Since the Flutter SDK 8.2.
        is_disable_cloud_message_post_hook: bool = "isDisableCloudMessagePostHook",
        /// The members of the group who alone receive it; it does not count as unread then. Not together
        /// with `groupAtUserList`, nor in communities and live groups. Newest Flutter models.
        target_group_member_list: Vec<String> = "targetGroupMemberList",
        /// The message that it answers: `msgID`, `messageTime`, `messageSequence`. Newest Flutter models.
        quote_info: Map<String, Value> = "quoteInfo",
    }

    /// What `createTextMessage` and its sisters answer: the message before it is sent, with its creation id.
    pub struct V2TimMsgCreateInfoResult {
        /// The creation id that `sendMessage` takes. The SDK forgets it after the first attempt, also a
        /// failed one.
        id: String = "id",
        /// The message; it has no `msgID` yet.
        message_info: Box<V2TimMessage> = "messageInfo",
    }
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The bytes are not one JSON value.
    #[error("the message is not valid JSON: {reason}")]
    Json {
        /// What the parser found, with line and column.
        reason: String,
    },
    /// The JSON value is not an object.
    #[error("the message must be a JSON object, not {found}")]
    NotAnObject {
        /// The type that it has.
        found: &'static str,
    },
}

impl ModelError {
    /// Says what to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Json { .. } => "give the V2TimMessage as the SDK's toJson writes it, in UTF-8",
            Self::NotAnObject { .. } => {
                "give the V2TimMessage itself, not a text that contains it, nor a list"
            }
        }
    }
}

impl V2TimMessage {
    /// Reads a message. No field can make this fail: what is not understood stays in `rest`.
    ///
    /// Some things are not written back to the letter: half of a character, an escape from `\ud800` to
    /// `\udfff` without its other half, is read as U+FFFD; a number of more than 64 bits is a float, and one
    /// beyond all floats null.
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
