//! Tests of the C shape: what the C SDK and its callers write is understood, and written back as it came.
//!
//! Owns:  examples of ours in their manner, and the property that nothing is lost.
//! Never: tests the spellings of a single field (`fields` does), nor the way to the other shape (`convert`).

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::fields::any::Any;
use crate::model::OfflinePushType;

/// Reads a message, and checks that it is written back as it came.
fn read(value: &Value) -> Message {
    let message = Message::parse(value.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&message.to_json()).unwrap(), *value);
    message
}

/// Reads a message with this one element, all of whose keys must be understood.
fn element(value: &Value) -> Element {
    let message = read(&json!({"message_elem_array": [value]}));
    let element = message.elem_array.unwrap().remove(0);
    assert!(element.rest.is_empty(), "not understood: {:?}", element.rest);
    element
}

/// Every key that a message has here, as the C SDK and the Flutter models write it.
fn failed_text() -> Value {
    serde_json::from_str(FAILED_TEXT).unwrap()
}

const FAILED_TEXT: &str = r#"{
    "message_msg_id": "144115225971632901-1731500001-2911436684",
    "message_conv_id": "pier_crew",
    "message_conv_type": 2,
    "message_sender": "kiosk_07",
    "message_priority": 1,
    "message_client_time": 1731500001,
    "message_server_time": 0,
    "message_is_from_self": true,
    "message_is_read": true,
    "message_is_peer_read": false,
    "message_is_online_msg": false,
    "message_need_read_receipt": true,
    "message_status": 3,
    "message_seq": 31877,
    "message_rand": 2911436684,
    "message_custom_int": 1,
    "message_custom_str": "first try",
    "message_cloud_custom_str": "{\"pier\":7}",
    "message_is_excluded_from_unread_count": false,
    "message_excluded_from_last_message": false,
    "message_excluded_from_content_moderation": false,
    "message_support_message_extension": true,
    "message_group_at_user_array": ["lena", "__kImSDK_MessageAtALL__"],
    "message_target_group_member_array": ["omar"],
    "message_offline_push_config": {
        "offline_push_config_title": "Kiosk 7",
        "offline_push_config_desc": "Gate 4 printer is out of paper",
        "offline_push_config_ext": "{\"open\":\"chat\"}",
        "offline_push_config_flag": 1,
        "offline_push_config_ios_config": {
            "ios_offline_push_config_title": "Kiosk 7",
            "ios_offline_push_config_sound": "default",
            "ios_offline_push_config_ignore_badge": true,
            "ios_offline_push_config_push_type": 1,
            "ios_offline_push_config_image": "img"
        },
        "offline_push_config_android_config": {
            "android_offline_push_config_title": "Kiosk 7",
            "android_offline_push_config_sound": "bell",
            "android_offline_push_config_notify_mode": 0,
            "android_offline_push_config_vivo_classification": 1,
            "android_offline_push_config_vivo_category": "IM",
            "android_offline_push_config_oppo_channel_id": "oppo",
            "android_offline_push_config_fcm_channel_id": "fcm",
            "android_offline_push_config_xiaomi_channel_id": "mi",
            "android_offline_push_config_huawei_category": "IM",
            "android_offline_push_config_huawei_image": "h.png",
            "android_offline_push_config_honor_image": "o.png",
            "android_offline_push_config_fcm_image": "f.png"
        }
    },
    "message_elem_array": [{"elem_type": 0, "text_elem_content": "Gate 4 printer is out of paper."}],
    "message_sender_profile": {
        "user_profile_identifier": "kiosk_07",
        "user_profile_nick_name": "Harbour kiosk 7",
        "user_profile_face_url": "https://static.example.com/face/k7.png",
        "user_profile_friend_remark": "pier 7"
    },
    "message_sender_group_member_info": {
        "group_member_info_identifier": "kiosk_07",
        "group_member_info_name_card": "Kiosk (south pier)"
    },
    "message_unique_id": 77,
    "message_is_broadcast_message": false,
    "message_has_risk_content": false,
    "message_revoke_reason": "",
    "message_revoker_user_id": "",
    "message_revoker_nick_name": "",
    "message_revoker_face_url": "",
    "message_disable_cloud_message_pre_hook": false,
    "message_disable_cloud_message_post_hook": false,
    "id": "created_temp_id-1731500001-1",
    "progress": 100,
    "ui_status": 1,
    "elem_type": 1
}"#;

#[test]
fn every_key_of_a_message_is_understood() {
    let message = read(&failed_text());
    assert!(message.rest.is_empty(), "{:?}", message.rest);
    assert_eq!(message.msg_id.as_deref(), Some("144115225971632901-1731500001-2911436684"));
    assert_eq!((message.conv_type, message.priority), (Some(ConvType::Group), Some(Priority::Normal)));
    assert_eq!((message.status, message.ui_status), (Some(Status::Failed), Some(MessageStatus::Sending)));
    assert_eq!((message.client_time, message.server_time), (Some(1_731_500_001), Some(0)));
    assert_eq!((message.seq, message.rand), (Some(31877), Some(2_911_436_684)));
    assert_eq!(message.elem_type, Some(model::ElemType::Text), "the top level has the other shape's numbers");
    let profile = message.sender_profile.unwrap();
    assert!(profile.rest.is_empty());
    assert_eq!(profile.friend_remark.as_deref(), Some("pier 7"));
    let in_group = message.sender_group_member_info.unwrap();
    assert!(in_group.rest.is_empty());
    assert_eq!(in_group.name_card.as_deref(), Some("Kiosk (south pier)"));
}

#[test]
fn every_key_of_a_notification_is_understood() {
    let push = read(&failed_text()).offline_push_config.unwrap();
    assert!(push.rest.is_empty(), "{:?}", push.rest);
    assert_eq!((push.title.as_deref(), push.flag), (Some("Kiosk 7"), Some(PushFlag::NoPush)));
    let ios = push.ios_config.unwrap();
    assert!(ios.rest.is_empty(), "{:?}", ios.rest);
    assert_eq!((ios.push_type, ios.ignore_badge), (Some(OfflinePushType::Voip), Some(true)));
    let android = push.android_config.unwrap();
    assert!(android.rest.is_empty(), "{:?}", android.rest);
    assert_eq!((android.vivo_classification, android.fcm_channel_id.as_deref()), (Some(1), Some("fcm")));
}

#[test]
fn the_older_spelling_of_the_notification_is_understood_and_kept() {
    let message = read(&json!({"message_offlie_push_config": {"offline_push_config_desc": "a"}}));
    assert_eq!(message.offline_push_config.unwrap().desc.as_deref(), Some("a"));
}

#[test]
fn what_nobody_knows_is_kept() {
    let message = read(&json!({
        "message_platform": 3, "message_seq": "31877", "message_conv_id": null, "message_status": true,
        "message_unique_id": u64::MAX,
        "message_elem_array": [{"elem_type": 77, "beam_elem_width": 2}, {"text_elem_content": "a"}],
    }));
    assert_eq!((message.seq, message.conv_id, message.status), (Some(31877), None, None));
    assert_eq!(message.unique_id, None, "it has more than 63 bits");
    let types: Vec<_> = message.elem_array.unwrap().iter().map(|element| element.elem_type).collect();
    assert_eq!(types, [Some(ElemType::Other(77)), None]);
}

#[test]
fn plain_elements_say_what_they_say() {
    let custom = element(&json!({
        "elem_type": 3, "custom_elem_data": "{}", "custom_elem_desc": "Coins", "custom_elem_ext": "v1",
        "custom_elem_sound": "bell",
    }));
    assert_eq!((custom.elem_type, custom.custom_ext.as_deref()), (Some(ElemType::Custom), Some("v1")));
    let place = element(&json!({
        "elem_type": 7, "location_elem_desc": "Pier 7", "location_elem_longitude": 9.987,
        "location_elem_latitude": -53.5,
    }));
    assert_eq!((place.location_longitude, place.location_latitude), (Some(9.987), Some(-53.5)));
    let face = element(&json!({"elem_type": 6, "face_elem_index": 4350, "face_elem_buf": "yz17"}));
    assert_eq!((face.face_index, face.face_buf.as_deref()), (Some(4350), Some("yz17")));
    let bundle = element(&json!({
        "elem_type": 12, "merge_elem_title": "Chat", "merge_elem_abstract_array": ["a", "b"],
        "merge_elem_compatible_text": "too old", "merge_elem_layer_over_limit": false,
        "merge_elem_message_array": [{"message_elem_array": [{"elem_type": 0, "text_elem_content": "a"}]}],
    }));
    let inner = bundle.merge_message_array.unwrap().remove(0).elem_array.unwrap().remove(0);
    assert_eq!(inner.text_content.as_deref(), Some("a"));
}

#[test]
fn media_say_what_they_say() {
    let image = element(&json!({
        "elem_type": 1, "image_elem_orig_path": "/tmp/a.jpg", "image_elem_level": 0, "image_elem_format": 1,
        "image_elem_orig_id": "o", "image_elem_orig_url": "https://o", "image_elem_orig_pic_width": 3,
        "image_elem_orig_pic_height": 2, "image_elem_orig_pic_size": 900, "image_elem_thumb_id": "t",
        "image_elem_thumb_url": "https://t", "image_elem_thumb_pic_width": 1,
        "image_elem_thumb_pic_height": 1, "image_elem_thumb_pic_size": 9, "image_elem_large_id": "l",
        "image_elem_large_url": "https://l", "image_elem_large_pic_width": 2,
        "image_elem_large_pic_height": 2, "image_elem_large_pic_size": 90,
    }));
    assert_eq!((image.image_level, image.image_thumb_pic_size), (Some(ImageLevel::Original), Some(9)));
    let sound = element(&json!({
        "elem_type": 2, "sound_elem_file_path": "/tmp/v.m4a", "sound_elem_file_size": 90112,
        "sound_elem_file_time": 11, "sound_elem_file_id": "s", "sound_elem_url": "https://s",
        "localUrl": "/cache/s",
    }));
    assert_eq!((sound.sound_file_time, sound.local_url.as_deref()), (Some(11), Some("/cache/s")));
    let video = element(&json!({
        "elem_type": 9, "video_elem_video_type": "mp4", "video_elem_video_size": 2_204_113,
        "video_elem_video_duration": 4, "video_elem_video_path": "/tmp/v.mp4", "video_elem_video_id": "v",
        "video_elem_video_url": "https://v", "video_elem_image_type": "png", "video_elem_image_size": 11822,
        "video_elem_image_width": 360, "video_elem_image_height": 640, "video_elem_image_path": "/tmp/v.png",
        "video_elem_image_id": "i", "video_elem_image_url": "https://i", "localVideoUrl": "/cache/v",
        "localSnapshotUrl": "/cache/i",
    }));
    assert_eq!((video.video_video_duration, video.video_image_height), (Some(4), Some(640)));
    let file = element(&json!({
        "elem_type": 4, "file_elem_file_path": "C:\\w.xlsx", "file_elem_file_name": "w.xlsx",
        "file_elem_file_size": 77120, "file_elem_file_id": "f", "file_elem_url": "https://f", "localUrl": "",
    }));
    assert_eq!((file.file_file_size, file.file_file_name.as_deref()), (Some(77120), Some("w.xlsx")));
}

#[test]
fn the_numbers_are_those_of_the_c_header() {
    let elements =
        [(-1, ElemType::Invalid), (0, ElemType::Text), (5, ElemType::GroupTips), (12, ElemType::Merge)];
    for (number, elem_type) in elements {
        assert_eq!((ElemType::of(number), elem_type.number()), (elem_type, number));
    }
    for (number, kind) in
        [(8, ElemType::GroupReport), (10, ElemType::FriendChange), (11, ElemType::ProfileChange)]
    {
        assert_eq!((ElemType::of(number), kind.number()), (kind, number));
    }
    let conversations = [ConvType::Invalid, ConvType::C2c, ConvType::Group, ConvType::System];
    assert_eq!(conversations.map(ConvType::number), [0, 1, 2, 3]);
    let priorities = [Priority::High, Priority::Normal, Priority::Low, Priority::Lowest];
    assert_eq!(priorities.map(Priority::number), [0, 1, 2, 3]);
    let statuses = [Status::Sending, Status::Sent, Status::Failed, Status::Deleted, Status::LocalImported];
    assert_eq!(statuses.map(Status::number), [1, 2, 3, 4, 5]);
    assert_eq!([Status::Revoked, Status::Cancelled].map(Status::number), [6, 7]);
    assert_eq!([PushFlag::Default, PushFlag::NoPush].map(PushFlag::number), [0, 1]);
    let levels = [ImageLevel::Original, ImageLevel::Compressed, ImageLevel::HighDefinition];
    assert_eq!(levels.map(ImageLevel::number), [0, 1, 2]);
}

#[test]
fn bytes_that_are_no_message_say_why() {
    for (bytes, expected) in [
        (&b""[..], "the message is not valid JSON: EOF while parsing a value at line 1 column 0"),
        (b"[]", "the message must be a JSON object, not an array"),
        (b"7", "the message must be a JSON object, not a number"),
    ] {
        assert_eq!(Message::parse(bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn half_a_character_is_read_as_the_replacement_character() {
    let cut = br#"{"message_elem_array": [{"elem_type": 0, "text_elem_content": "ferry \ud83d"}]}"#;
    let message = Message::parse(cut).unwrap();
    assert_eq!(message.elem_array.unwrap().remove(0).text_content.as_deref(), Some("ferry \u{fffd}"));
}

/// Any value under keys that the C shape has at some level, and under one that it has at none.
fn any_value() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "message_elem_array",
        "message_offline_push_config",
        "message_offlie_push_config",
        "message_sender_profile",
        "message_group_at_user_array",
        "message_seq",
        "message_status",
        "offline_push_config_ios_config",
        "offline_push_config_flag",
        "elem_type",
        "text_elem_content",
        "location_elem_latitude",
        "merge_elem_message_array",
        "merge_elem_abstract_array",
        "nobody's",
    ]);
    let spelt = prop::sample::select(vec!["", "0", "12", "-7", "007", "1.5", "true", "a"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..13).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        spelt.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let fields = prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner.clone(), 0..6);
        prop_oneof![
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::from),
            2 => fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    // A message has some fifty keys and an element seventy; a run takes well under a second.
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_message_is_read_as_it_was_written(message in Message::any(2)) {
        let text = message.to_json();
        let again = Message::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&again, &message);
        prop_assert_eq!(again.to_json(), text);
    }

    #[test]
    fn whatever_is_read_is_written_back(value in any_value()) {
        let object = match value {
            Value::Object(object) => object,
            other => Map::from_iter([("message_elem_array".to_owned(), other)]),
        };
        prop_assert_eq!(Message::read_object(&object).write_object(), object);
    }
}
