//! What a recipient's phone shows of a message, as the C SDK has it: a part for all, and one for each system.
//!
//! Owns:  the keys of `message_offline_push_config`.
//! Never: the camelCase shape's flat list of the same settings (`model`).

use super::kinds::PushFlag;
use crate::fields::shape;
use crate::model::OfflinePushType;

shape! {
    /// The notification of a message. The part for Huawei's own system, which the Flutter models of 8.9 add,
    /// stays in `rest`.
    pub struct OfflinePushConfig {
        /// The first line, on every system. Only the Flutter models of 8.9 have it here; the C header of 8.x
        /// has a title in each system's part.
        title: String = "offline_push_config_title",
        /// The text. Without it the recipient of a custom message is not notified.
        desc: String = "offline_push_config_desc",
        /// What the app gets when the notification is opened, JSON as text.
        ext: String = "offline_push_config_ext",
        /// Whether anything is shown. The SDKs take every number but 0 for no.
        flag: PushFlag = "offline_push_config_flag",
        /// The part for Apple's phones.
        ios_config: Box<IosPushConfig> = "offline_push_config_ios_config",
        /// The part for phones with Android.
        android_config: Box<AndroidPushConfig> = "offline_push_config_android_config",
    }

    /// The part of a notification for Apple's phones (the vendor's C header, `IOSOfflinePushConfig`).
    pub struct IosPushConfig {
        /// The first line.
        title: String = "ios_offline_push_config_title",
        /// The sound: a file of the app, [`crate::model::PUSH_DEFAULT_SOUND`] or
        /// [`crate::model::PUSH_NO_SOUND`].
        sound: String = "ios_offline_push_config_sound",
        /// Whether the number at the app's icon stays.
        ignore_badge: bool = "ios_offline_push_config_ignore_badge",
        /// Which of Apple's services; the usual one where it is missing. Not in the C headers of 2021.
        push_type: OfflinePushType = "ios_offline_push_config_push_type",
        /// The key under which the app finds a picture. Only in the Flutter models of 8.9.
        image: String = "ios_offline_push_config_image",
    }

    /// The part of a notification for phones with Android (the vendor's C header,
    /// `AndroidOfflinePushConfig`). What the Flutter models of 8.9 add for OPPO, Honor and Meizu beyond these
    /// stays in `rest`.
    pub struct AndroidPushConfig {
        /// The first line.
        title: String = "android_offline_push_config_title",
        /// The sound: a file of the app, without its ending. Huawei's and Google's services alone.
        sound: String = "android_offline_push_config_sound",
        /// How the phone tells of it (the vendor's C header, `TIMAndroidOfflinePushNotifyMode`). Gone from
        /// the Flutter models of 8.9; the camelCase shape lacks it.
        notify_mode: i64 = "android_offline_push_config_notify_mode",
        /// The kind on VIVO phones: 0 marketing, 1 system, which is the SDK's default. `vivo_category`
        /// replaces it since 2023.
        vivo_classification: i64 = "android_offline_push_config_vivo_classification",
        /// The category on VIVO phones. Not in the C headers of 2021.
        vivo_category: String = "android_offline_push_config_vivo_category",
        /// The channel on OPPO phones, which show nothing without one since Android 8.
        oppo_channel_id: String = "android_offline_push_config_oppo_channel_id",
        /// The channel of Google's service. Not in the C headers of 2021.
        fcm_channel_id: String = "android_offline_push_config_fcm_channel_id",
        /// The channel on Xiaomi phones. Not in the C headers of 2021.
        xiaomi_channel_id: String = "android_offline_push_config_xiaomi_channel_id",
        /// The category on Huawei phones. Not in the C headers of 2021.
        huawei_category: String = "android_offline_push_config_huawei_category",
        /// Where the picture for Huawei phones is. Only in the Flutter models of 8.9.
        huawei_image: String = "android_offline_push_config_huawei_image",
        /// Where the picture for Honor phones is. Only in the Flutter models of 8.9.
        honor_image: String = "android_offline_push_config_honor_image",
        /// Where the picture for Google's service is. Only in the Flutter models of 8.9.
        fcm_image: String = "android_offline_push_config_fcm_image",
    }
}
