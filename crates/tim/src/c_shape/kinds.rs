//! The enumerations of the C SDK that occur in a message.
//!
//! Owns:  the numbers, as the C shape has them.
//! Never: the camelCase shape's numbers, which differ for elements and priorities.

use crate::fields::open_enum;

open_enum! {
    /// What an element of `message_elem_array` is (the vendor's C header, `TIMElemType`). The camelCase shape
    /// has other numbers for the same.
    pub enum ElemType {
        /// None: what the SDK itself could not read.
        Invalid = -1,
        /// A text.
        Text = 0,
        /// A picture.
        Image = 1,
        /// A voice recording.
        Sound = 2,
        /// Data of the app's own.
        Custom = 3,
        /// A file.
        File = 4,
        /// A note of the service about its group; no client can send one.
        GroupTips = 5,
        /// A face of the app's own set.
        Face = 6,
        /// A place.
        Location = 7,
        /// A notice of the group system to one user; no client can send one.
        GroupReport = 8,
        /// A video with its cover picture.
        Video = 9,
        /// A note that a friendship changed; no client can send one.
        FriendChange = 10,
        /// A note that a user's profile changed; no client can send one.
        ProfileChange = 11,
        /// Several messages bundled.
        Merge = 12,
    }

    /// How urgent a message to a group is (the vendor's C header, `TIMMsgPriority`). The camelCase shape has
    /// other numbers, and one more for "as the service thinks right".
    pub enum Priority {
        /// The last to be dropped.
        High = 0,
        /// Usual.
        Normal = 1,
        /// Among the first to be dropped.
        Low = 2,
        /// The first to be dropped: the service's own notes that members came or went.
        Lowest = 3,
    }

    /// What kind of conversation a message belongs to (the vendor's C header, `TIMConvType`).
    pub enum ConvType {
        /// None.
        Invalid = 0,
        /// Between two users.
        C2c = 1,
        /// A group.
        Group = 2,
        /// The service's own, with notices of the group system.
        System = 3,
    }

    /// What has become of a message (the vendor's C header, `TIMMsgStatus`). The camelCase shape has the same
    /// numbers, and 0 beside them.
    pub enum Status {
        /// Being sent. A message must not be given to the SDK with this: it would lose random and seq.
        Sending = 1,
        /// Sent.
        Sent = 2,
        /// Failed.
        Failed = 3,
        /// Deleted here.
        Deleted = 4,
        /// Brought in by the app, never sent.
        LocalImported = 5,
        /// Revoked.
        Revoked = 6,
        /// Cancelled.
        Cancelled = 7,
    }

    /// Whether a recipient's phone shows anything (the vendor's C header, `TIMOfflinePushFlag`).
    pub enum PushFlag {
        /// By the rules of the app.
        Default = 0,
        /// Nothing is shown.
        NoPush = 1,
    }

    /// In which qualities a picture is uploaded (the vendor's C header, `TIMImageLevel`).
    pub enum ImageLevel {
        /// As it was taken.
        Original = 0,
        /// Made small; the SDK's default.
        Compressed = 1,
        /// Made smaller, but larger than the default.
        HighDefinition = 2,
    }
}
