//! The enumerations of the SDK that occur in a message.
//!
//! Owns:  the numbers, as the camelCase shape has them.
//! Never: the C SDK's numbers, which differ for elements and priorities.

use crate::fields::open_enum;

open_enum! {
    /// Which element a message, or a link of a chain, is (the vendor's header, `V2TIMElemType`). 11 has no
    /// name here: in the Flutter models it is a notice of the group system, in the native SDKs a stream.
    pub enum ElemType {
        /// No element.
        None = 0,
        /// A text.
        Text = 1,
        /// Data of the app's own.
        Custom = 2,
        /// A picture.
        Image = 3,
        /// A voice recording.
        Sound = 4,
        /// A video with its cover picture.
        Video = 5,
        /// A file.
        File = 6,
        /// A place.
        Location = 7,
        /// A face of the app's own set.
        Face = 8,
        /// A note of the service about its group; no client can send one.
        GroupTips = 9,
        /// Several messages bundled.
        Merger = 10,
    }

    /// What has become of a message (the vendor's header, `V2TIMMessageStatus`).
    pub enum MessageStatus {
        /// Not sent yet: the web bridge alone writes it, where the web SDK says `unSend`.
        Unsent = 0,
        /// Being sent. The user interface must not hand it back to the SDK, which would then lose random and
        /// seq.
        Sending = 1,
        /// Sent.
        Sent = 2,
        /// Failed.
        Failed = 3,
        /// Deleted here.
        Deleted = 4,
        /// Brought in by the app, never sent. The Dart models do not name it; the C++ header does.
        LocalImported = 5,
        /// Revoked.
        Revoked = 6,
        /// Cancelled. The C header alone has it.
        Cancelled = 7,
    }

    /// How urgent a message to a group is (the vendor's header, `V2TIMMessagePriority`).
    pub enum Priority {
        /// As the service thinks right.
        Default = 0,
        /// The last to be dropped.
        High = 1,
        /// Usual; what the Flutter SDK's `sendMessage` takes where nothing is said.
        Normal = 2,
        /// The first to be dropped.
        Low = 3,
    }

    /// Which size of a picture it is, in Android's numbers. iOS and C++ have 1, 2 and 4; the iOS bridge turns
    /// them into these.
    pub enum ImageType {
        /// As it was taken.
        Original = 0,
        /// Small.
        Thumb = 1,
        /// Large, but not the original.
        Large = 2,
    }

    /// What a note about a group is about (the vendor's header, `V2TIMGroupTipsType`).
    pub enum GroupTipsType {
        /// Nothing.
        None = 0,
        /// Someone came in.
        Join = 1,
        /// Someone was invited.
        Invite = 2,
        /// Someone left.
        Quit = 3,
        /// Someone was put out.
        Kicked = 4,
        /// Someone became an administrator.
        SetAdmin = 5,
        /// Someone is no administrator any more.
        CancelAdmin = 6,
        /// The group changed; `groupChangeInfoList` says what.
        GroupInfoChange = 7,
        /// A member changed; `memberChangeInfoList` says what.
        MemberInfoChange = 8,
        /// A topic changed.
        TopicInfoChange = 9,
        /// A message was pinned.
        MessagePinned = 10,
        /// A message is no longer pinned.
        MessageUnpinned = 11,
    }

    /// What of a group, or of a topic in it, changed (the vendor's header, `V2TIMGroupInfoChangeType`; 12 and
    /// above from the newest Android SDK). 7 is not in use.
    pub enum GroupChangeType {
        /// Its name; in `value`.
        Name = 1,
        /// Its introduction; in `value`.
        Introduction = 2,
        /// Its notice; in `value`.
        Notification = 3,
        /// Its picture; in `value`.
        FaceUrl = 4,
        /// Its owner; the user's id in `value`.
        Owner = 5,
        /// A field of the app's own; `key` names it, `value` is new.
        Custom = 6,
        /// Whether all are muted; in `boolValue`.
        MuteAll = 8,
        /// A topic's data of the app's own; in `value`.
        TopicCustomData = 9,
        /// How its messages are received; in `intValue`.
        ReceiveOption = 10,
        /// How one joins it; in `intValue`.
        JoinOption = 11,
        /// How one is invited; in `intValue`.
        ApproveOption = 12,
        /// Whether permission groups are in use.
        EnablePermissionGroup = 13,
        /// What members may do who are in no permission group.
        DefaultPermissions = 14,
        /// How one joins a topic.
        TopicJoinOption = 15,
        /// How one is invited to a topic.
        TopicApproveOption = 16,
        /// How many members a topic may have.
        TopicMemberMaxCount = 17,
    }

    /// Which of Apple's push services is used (the Flutter SDK's `iOSPushType`).
    pub enum OfflinePushType {
        /// The usual one.
        Apns = 0,
        /// The one for calls.
        Voip = 1,
    }

    /// A user's gender, as far as given (the vendor's header, `V2TIMGender`).
    pub enum Gender {
        /// Not given.
        Unknown = 0,
        /// Male.
        Male = 1,
        /// Female.
        Female = 2,
    }

    /// Who may become a user's friend (the vendor's header, `V2TIMFriendAllowType`).
    pub enum AllowType {
        /// Anyone.
        Any = 0,
        /// Whom the user confirms.
        NeedConfirm = 1,
        /// No one.
        Deny = 2,
    }
}
