//! What the service tells about groups and people: notes about a group, members, profiles.
//!
//! Owns:  the fields of group tips and of the people in them.
//! Never: says that group tips can be sent; they cannot.

use serde_json::{Map, Value};

use super::chain::V2TimElem;
use super::kinds::{AllowType, Gender, GroupChangeType, GroupTipsType};
use crate::fields::shape;

shape! {
    /// A note of the service about a group.
    pub struct V2TimGroupTipsElem {
        /// The group.
        group_id: String = "groupID",
        /// What it is about; `type` in JSON.
        kind: GroupTipsType = "type",
        /// Who did it. The Dart model reads a missing one as an empty object.
        op_member: V2TimGroupMemberInfo = "opMember",
        /// To whom it was done.
        member_list: Vec<V2TimGroupMemberInfo> = "memberList",
        /// What of the group changed.
        group_change_info_list: Vec<V2TimGroupChangeInfo> = "groupChangeInfoList",
        /// Which members changed.
        member_change_info_list: Vec<V2TimGroupMemberChangeInfo> = "memberChangeInfoList",
        /// How many members the group has; 0 where the web bridge does not know it.
        member_count: i64 = "memberCount",
        /// The element after it. The Android bridge alone can write one here; the Dart model drops it.
        next_elem: Box<V2TimElem> = "nextElem",
    }

    /// A member of a group.
    pub struct V2TimGroupMemberInfo {
        /// The member's user id. The Dart model reads null as an empty text.
        user_id: String = "userID",
        /// The member's name, as set by the member.
        nick_name: String = "nickName",
        /// The member's name in the group.
        name_card: String = "nameCard",
        /// How the reader has named the member.
        friend_remark: String = "friendRemark",
        /// Where the member's picture is. iOS spells it `faceURL` here.
        face_url: String = "faceUrl" | "faceURL",
        /// The kinds of devices that the member is signed in on. No bridge writes it in group tips; the
        /// Android bridge writes it elsewhere, under a key with a blank at its end.
        online_devices: Vec<String> = "onlineDevices" | "onlineDevices ",
    }

    /// One thing about a group that changed.
    pub struct V2TimGroupChangeInfo {
        /// What changed; `type` in JSON.
        kind: GroupChangeType = "type",
        /// What it is now, where that is a text.
        value: String = "value",
        /// The name of the app's own field that changed.
        key: String = "key",
        /// What it is now, where that is yes or no. Not in the oldest plugin, nor on the web.
        bool_value: bool = "boolValue",
        /// What it is now, where that is a number: 0 received, 1 not, 2 without notification; or 0 nobody
        /// joins, 1 with consent, 2 anybody. The bridges leave it out in group tips; the Dart model writes
        /// null.
        int_value: i64 = "intValue",
    }

    /// A member who was muted or may speak again.
    pub struct V2TimGroupMemberChangeInfo {
        /// The member's user id.
        user_id: String = "userID",
        /// Seconds for which the member cannot speak; 0 once that is over.
        mute_time: i64 = "muteTime",
    }

    /// A user's profile.
    pub struct V2TimUserFullInfo {
        /// The user's id. The Dart model reads null as an empty text.
        user_id: String = "userID",
        /// The user's name, as set by the user.
        nick_name: String = "nickName",
        /// Where the user's picture is.
        face_url: String = "faceUrl",
        /// What the user says of themselves.
        self_signature: String = "selfSignature",
        /// The gender, as far as given.
        gender: Gender = "gender",
        /// Who may become a friend.
        allow_type: AllowType = "allowType",
        /// The app's own fields, each a text.
        custom_info: Map<String, Value> = "customInfo",
        /// A number of the app's own.
        role: i64 = "role",
        /// A number of the app's own.
        level: i64 = "level",
        /// A number that the app reads as a date, by custom its eight digits. Not in the oldest plugin.
        birthday: i64 = "birthday",
    }
}
