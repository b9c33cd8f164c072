//! What a recipient's phone shows of a message while the app is not running.
//!
//! Owns:  the two types that the SDK has for it, and its words for sounds.
//! Never: what the REST service calls these settings.

use super::kinds::OfflinePushType;
use crate::fields::{NumberText, shape};

/// `iOSSound`: the notification is silent.
pub const PUSH_NO_SOUND: &str = "push.no_sound";
/// `iOSSound`: the phone's own sound.
pub const PUSH_DEFAULT_SOUND: &str = "default";

shape! {
    /// The notification of a message.
    pub struct OfflinePushInfo {
        /// The first line.
        title: String = "title",
        /// The text. Without it the recipient of a custom message is not notified.
        desc: String = "desc",
        /// What the app gets when the notification is opened, JSON as text.
        ext: String = "ext",
        /// Whether nothing is shown. The oldest plugin wrote `isDisablePush`.
        disable_push: bool = "disablePush" | "isDisablePush",
        /// The sound on iOS: a file of the app, [`PUSH_DEFAULT_SOUND`] or [`PUSH_NO_SOUND`]. The Android
        /// bridge does not write it.
        ios_sound: String = "iOSSound",
        /// Whether the number at the app's icon stays on iOS. The React Native SDK types it as a text; the
        /// Android bridge does not write it.
        ignore_ios_badge: bool = "ignoreIOSBadge",
        /// The channel on OPPO phones. The Android bridge does not write it.
        android_oppo_channel_id: String = "androidOPPOChannelID",
        /// The kind on VIVO phones: 0 marketing, 1 system, which is the model's default. The Android
        /// bridge does not write it.
        android_vivo_classification: i64 = "androidVIVOClassification",
        /// The sound on Android, a file of the app. The Android bridge does not write it.
        android_sound: String = "androidSound",
        /// The channel of Google's service. Neither the Android nor the iOS bridge writes it.
        android_fcm_channel_id: String = "androidFCMChannelID",
        /// The channel on Xiaomi phones. Neither the Android nor the iOS bridge writes it.
        android_xiaomi_channel_id: String = "androidXiaoMiChannelID",
        /// Which of Apple's services; the usual one is the model's default. Neither the Android nor the iOS
        /// bridge writes it.
        ios_push_type: OfflinePushType = "iOSPushType",
        /// The category on Huawei phones. Neither the Android nor the iOS bridge writes it.
        android_huawei_category: String = "androidHuaWeiCategory",
        /// The category on VIVO phones. The Android bridge does not write it.
        android_vivo_category: String = "androidVIVOCategory",
        /// Where the picture for Huawei phones is. The Android bridge does not write it.
        android_huawei_image: String = "androidHuaWeiImage",
        /// Where the picture for Honor phones is. The Android bridge does not write it.
        android_honor_image: String = "androidHonorImage",
        /// Where the picture for Google's service is. The Android bridge does not write it.
        android_fcm_image: String = "androidFCMImage",
        /// The key under which an iOS app finds the picture. The Android bridge does not write it.
        ios_image: String = "iOSImage",
    }

    /// The notification of a message, as older SDKs type it.
    pub struct V2TimOfflinePushInfo {
        /// The first line.
        title: String = "title",
        /// The text. Without it the recipient of a custom message is not notified.
        desc: String = "desc",
        /// What the app gets when the notification is opened, JSON as text.
        ext: String = "ext",
        /// Whether nothing is shown. The oldest plugin wrote `isDisablePush`.
        disable_push: bool = "disablePush" | "isDisablePush",
        /// The sound on iOS: a file of the app, [`PUSH_DEFAULT_SOUND`] or [`PUSH_NO_SOUND`]. The Android
        /// bridge does not write it.
        ios_sound: String = "iOSSound",
        /// Whether the number at the app's icon stays on iOS. The React Native SDK types it as a text; the
        /// Android bridge does not write it.
        ignore_ios_badge: bool = "ignoreIOSBadge",
        /// The channel on OPPO phones. The Android bridge does not write it.
        android_oppo_channel_id: String = "androidOPPOChannelID",
        /// The kind on VIVO phones, as text here: 0 marketing, 1 system. An empty text, which the model
        /// makes of a missing one, is `None`.
        android_vivo_classification: NumberText = "androidVIVOClassification",
        /// The sound on Android, a file of the app. The Android bridge does not write it.
        android_sound: String = "androidSound",
    }
}
