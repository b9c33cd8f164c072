//! The notification of a message, from one shape to the other.
//!
//! Owns:  which setting stands in which part of the C shape.
//! Never: what both shapes call otherwise beside it.

use super::filled;
use crate::c_shape::{AndroidPushConfig, IosPushConfig, OfflinePushConfig, PushFlag};
use crate::model::OfflinePushInfo;

/// The title goes to all three places where a C SDK may look for it.
pub(super) fn to_c(push: &OfflinePushInfo) -> OfflinePushConfig {
    let flag = |disable: bool| if disable { PushFlag::NoPush } else { PushFlag::Default };
    OfflinePushConfig {
        title: push.title.clone(),
        desc: push.desc.clone(),
        ext: push.ext.clone(),
        flag: push.disable_push.map(flag),
        ios_config: filled(ios_to_c(push)),
        android_config: filled(android_to_c(push)),
        ..OfflinePushConfig::default()
    }
}

fn ios_to_c(push: &OfflinePushInfo) -> IosPushConfig {
    IosPushConfig {
        title: push.title.clone(),
        sound: push.ios_sound.clone(),
        ignore_badge: push.ignore_ios_badge,
        push_type: push.ios_push_type,
        image: push.ios_image.clone(),
        ..IosPushConfig::default()
    }
}

fn android_to_c(push: &OfflinePushInfo) -> AndroidPushConfig {
    AndroidPushConfig {
        title: push.title.clone(),
        sound: push.android_sound.clone(),
        vivo_classification: push.android_vivo_classification,
        vivo_category: push.android_vivo_category.clone(),
        oppo_channel_id: push.android_oppo_channel_id.clone(),
        fcm_channel_id: push.android_fcm_channel_id.clone(),
        xiaomi_channel_id: push.android_xiaomi_channel_id.clone(),
        huawei_category: push.android_huawei_category.clone(),
        huawei_image: push.android_huawei_image.clone(),
        honor_image: push.android_honor_image.clone(),
        fcm_image: push.android_fcm_image.clone(),
        ..AndroidPushConfig::default()
    }
}

pub(super) fn to_camel(config: &OfflinePushConfig) -> OfflinePushInfo {
    let ios = config.ios_config.as_deref().cloned().unwrap_or_default();
    let android = config.android_config.as_deref().cloned().unwrap_or_default();
    OfflinePushInfo {
        title: title(config),
        desc: config.desc.clone(),
        ext: config.ext.clone(),
        disable_push: config.flag.map(|flag| flag != PushFlag::Default),
        ios_sound: ios.sound,
        ignore_ios_badge: ios.ignore_badge,
        ios_push_type: ios.push_type,
        ios_image: ios.image,
        android_sound: android.sound,
        android_vivo_classification: android.vivo_classification,
        android_vivo_category: android.vivo_category,
        android_oppo_channel_id: android.oppo_channel_id,
        android_fcm_channel_id: android.fcm_channel_id,
        android_xiaomi_channel_id: android.xiaomi_channel_id,
        android_huawei_category: android.huawei_category,
        android_huawei_image: android.huawei_image,
        android_honor_image: android.honor_image,
        android_fcm_image: android.fcm_image,
        ..OfflinePushInfo::default()
    }
}

/// The first title that is not empty; else the first that is there at all. The C header of 8.x has one in each
/// system's part alone.
pub(crate) fn title(config: &OfflinePushConfig) -> Option<String> {
    let android = config.android_config.as_deref().and_then(|android| android.title.as_ref());
    let ios = config.ios_config.as_deref().and_then(|ios| ios.title.as_ref());
    let titles = [config.title.as_ref(), android, ios];
    let not_empty = titles.into_iter().flatten().find(|title| !title.is_empty());
    not_empty.or_else(|| titles.into_iter().flatten().next()).cloned()
}
