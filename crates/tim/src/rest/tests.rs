//! Tests of the calls: each kind of message, as the service must see it.
//!
//! Owns:  expected bodies in full, refusals.
//! Never: connects.

use serde_json::{Value, json};

use super::*;

mod receivers;
mod replies;
mod values;

const MESSAGES: &str = include_str!("../../../../tests/fixtures/messages.jsonl");
const OPTIONS: CallOptions = CallOptions { online_user_only: false, random: 7, seq: 9 };

fn called(message: &Value, options: &CallOptions) -> (Command, Value) {
    let call = call(message.to_string().as_bytes(), options).unwrap();
    (call.command, serde_json::from_slice(&call.body).unwrap())
}

fn body(message: &Value) -> Value {
    called(message, &OPTIONS).1
}

fn refused(message: &Value) -> CannotCarry {
    let error = call(message.to_string().as_bytes(), &OPTIONS).unwrap_err();
    assert!(error.hint().len() > 20, "{error}");
    error
}

/// A message to one person with these elements beside it.
fn with(elements: &Value) -> Value {
    let mut message = json!({"userID": "lena", "msgID": "m"});
    message.as_object_mut().unwrap().extend(elements.as_object().unwrap().clone());
    message
}

fn parts(elements: &Value) -> Value {
    body(&with(elements))["MsgBody"].clone()
}

#[test]
fn a_message_to_one_person_has_everything_that_it_says_and_nothing_else() {
    let message = json!({
        "msgID": "m", "id": "c", "userID": "lena", "sender": "kiosk", "elemType": 1, "textElem": {"text": "hi"},
        "cloudCustomData": "{}", "needReadReceipt": true, "isSupportMessageExtension": true, "priority": 1,
        "isExcludedFromUnreadCount": true, "isExcludedFromLastMessage": true, "localCustomData": "mine",
        "offlinePushInfo": {
            "title": "t", "desc": "d", "ext": "e", "disablePush": true, "iOSSound": "s", "ignoreIOSBadge": true,
            "androidOPPOChannelID": "o", "androidFCMChannelID": "f", "androidXiaoMiChannelID": "x",
            "androidVIVOClassification": 1, "androidHuaWeiCategory": "IM", "androidSound": "a", "iOSImage": "i",
        },
    });
    let expected = json!({
        "SyncOtherMachine": 1, "From_Account": "kiosk", "To_Account": "lena", "MsgSeq": 9, "MsgRandom": 7,
        "SendMsgControl": ["NoUnread", "NoLastMsg"],
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}],
        "CloudCustomData": "{}", "SupportMessageExtension": 1, "IsNeedReadReceipt": 1,
        "OfflinePushInfo": {
            "PushFlag": 1, "Title": "t", "Desc": "d", "Ext": "e",
            "AndroidInfo": {
                "Sound": "a", "OPPOChannelID": "o", "GoogleChannelID": "f", "XiaoMiChannelID": "x",
                "VIVOClassification": 1, "HuaWeiCategory": "IM",
            },
            "ApnsInfo": {"Sound": "s", "BadgeMode": 1, "Image": "i"},
        },
    });
    assert_eq!(called(&message, &OPTIONS), (Command::SendMsg, expected));
    let bare = json!({"userID": "lena", "elemType": 1, "textElem": {"text": ""}, "offlinePushInfo": {}});
    let expected = json!({
        "SyncOtherMachine": 1, "To_Account": "lena", "MsgSeq": 9, "MsgRandom": 7,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": ""}}],
    });
    assert_eq!(body(&bare), expected);
}

#[test]
fn a_message_to_a_group_has_its_own_names() {
    let message = json!({
        "groupID": "pier", "sender": "kiosk", "elemType": 1, "textElem": {"text": "hi"}, "priority": 3,
        "groupAtUserList": ["lena", "__kImSDK_MesssageAtALL__"], "isExcludedFromUnreadCount": true,
        "needReadReceipt": true, "cloudCustomData": "c", "isSupportMessageExtension": true,
        "offlinePushInfo": {"desc": "d"},
    });
    let expected = json!({
        "GroupId": "pier", "Random": 7, "MsgPriority": "Low", "From_Account": "kiosk",
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}],
        "SendMsgControl": ["NoUnread"], "CloudCustomData": "c", "SupportMessageExtension": 1,
        "OfflinePushInfo": {"Desc": "d"},
        "GroupAtInfo": [{"GroupAtAllFlag": 0, "GroupAt_Account": "lena"}, {"GroupAtAllFlag": 1}],
    });
    let call = call(message.to_string().as_bytes(), &OPTIONS).unwrap();
    assert_eq!((call.command, call.group.as_deref()), (Command::SendGroupMsg, Some("pier")));
    assert_eq!(serde_json::from_slice::<Value>(&call.body).unwrap(), expected);
    let priority = |number: i64| {
        let message = json!({"groupID": "g", "elemType": 1, "textElem": {"text": "a"}, "priority": number});
        body(&message)["MsgPriority"].clone()
    };
    assert_eq!(
        [priority(0), priority(1), priority(2), priority(9)],
        [json!("Normal"), json!("High"), json!("Normal"), Value::Null]
    );
}

#[test]
fn online_only_is_said_in_each_calls_own_way() {
    let options = CallOptions { online_user_only: true, ..OPTIONS };
    let text = json!({"elemType": 1, "textElem": {"text": "typing"}, "isExcludedFromLastMessage": true});
    let (_, person) = called(&with(&text), &options);
    assert_eq!((&person["MsgLifeTime"], &person["SendMsgControl"]), (&json!(0), &json!(["NoLastMsg"])));
    let mut group = with(&text);
    group["groupID"] = json!("pier");
    group["userID"] = Value::Null;
    let (_, group) = called(&group, &options);
    assert_eq!((&group["OnlineOnlyFlag"], &group["SendMsgControl"]), (&json!(1), &Value::Null));
}

#[test]
fn members_that_are_targeted_and_topics_are_named() {
    let text = json!({"elemType": 1, "textElem": {"text": "a"}});
    let mut message = with(&text);
    message["groupID"] = json!("pier");
    assert_eq!(body(&message)["To_Account"], json!(["lena"]));
    message["userID"] = Value::Null;
    message["targetGroupMemberList"] = json!(["a", "b"]);
    assert_eq!(body(&message)["To_Account"], json!(["a", "b"]));
    message["targetGroupMemberList"] = (0..51).map(|number| number.to_string()).collect();
    assert_eq!(refused(&message), CannotCarry::TooManyTargets { count: 51 });
    let topic = "@TGS#_@TGS#cQVLVHIM62CJ@TOPIC#_TestTopic";
    let message = json!({"groupID": topic, "elemType": 1, "textElem": {"text": "a"}});
    let call = call(message.to_string().as_bytes(), &OPTIONS).unwrap();
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!((&body["GroupId"], &body["TopicId"]), (&json!("@TGS#_@TGS#cQVLVHIM62CJ"), &json!(topic)));
    assert_eq!(call.group.as_deref(), Some("@TGS#_@TGS#cQVLVHIM62CJ"), "the limit is the community's");
}

#[test]
fn every_element_that_has_a_rest_form_gets_it() {
    let expected = json!([
        {"MsgType": "TIMCustomElem", "MsgContent": {"Data": "d", "Desc": "e", "Ext": "x"}},
        {"MsgType": "TIMLocationElem", "MsgContent": {"Desc": "", "Latitude": 53.5, "Longitude": 10.0}},
        {"MsgType": "TIMFaceElem", "MsgContent": {"Index": 4350, "Data": "yz17"}},
        {"MsgType": "TIMSoundElem", "MsgContent": {"Url": "https://h/s", "UUID": "u1", "Size": 10, "Second": 3, "Download_Flag": 2}},
        {"MsgType": "TIMFileElem", "MsgContent": {"Url": "https://h/f", "UUID": "u2", "FileSize": 20, "FileName": "f.txt", "Download_Flag": 2}},
    ]);
    let chain = json!({"elemType": 2, "customElem": {"data": "d", "desc": "e", "extension": "x", "nextElem":
        {"elemType": 7, "latitude": 53.5, "longitude": 10.0, "nextElem":
        {"elemType": 8, "index": 4350, "data": "yz17", "nextElem":
        {"elemType": 4, "url": "https://h/s", "UUID": "u1", "dataSize": 10, "duration": 3, "nextElem":
        {"elemType": 6, "url": "https://h/f", "UUID": "u2", "fileSize": 20, "fileName": "f.txt", "nextElem": null}}}}}});
    assert_eq!(parts(&chain), expected);
    let image = json!({"elemType": 3, "imageElem": {"path": "/a/b.png", "imageList": [
        {"uuid": "p", "type": 0, "size": 9, "width": 8, "height": 7, "url": "https://h/o"},
        {"UUID": "p", "type": 2, "url": "https://h/l"}, {"uuid": "p", "type": 1, "url": "https://h/t"}, {"img": ""}]}});
    let size = |kind: i64, url: &str| json!({"Type": kind, "Size": 0, "Width": 0, "Height": 0, "URL": url});
    let original = json!({"Type": 1, "Size": 9, "Width": 8, "Height": 7, "URL": "https://h/o"});
    let expected = json!([{"MsgType": "TIMImageElem", "MsgContent": {"UUID": "p", "ImageFormat": 3,
        "ImageInfoArray": [original, size(2, "https://h/l"), size(3, "https://h/t")]}}]);
    assert_eq!(parts(&image), expected);
    let video = json!({"elemType": 5, "videoElem": {"UUID": "v", "videoSize": 5, "duration": 4,
        "videoUrl": "https://h/v.MOV?x", "snapshotUUID": "s", "snapshotSize": 2, "snapshotWidth": 3,
        "snapshotHeight": 6, "snapshotUrl": "https://h/s"}});
    let expected = json!([{"MsgType": "TIMVideoFileElem", "MsgContent": {"VideoUrl": "https://h/v.MOV?x",
        "VideoUUID": "v", "VideoSize": 5, "VideoSecond": 4, "VideoFormat": "mov", "VideoDownloadFlag": 2,
        "ThumbUrl": "https://h/s", "ThumbUUID": "s", "ThumbSize": 2, "ThumbWidth": 3, "ThumbHeight": 6,
        "ThumbFormat": "jpg", "ThumbDownloadFlag": 2}}]);
    assert_eq!(parts(&video), expected);
}

#[test]
fn the_c_shape_gives_the_same_calls_and_what_it_alone_can_say() {
    let message = json!({
        "message_msg_id": "m", "message_conv_type": 2, "message_conv_id": "pier", "message_sender": "kiosk",
        "message_priority": 0, "message_cloud_custom_str": "c", "message_support_message_extension": true,
        "message_is_excluded_from_unread_count": true, "message_excluded_from_last_message": true,
        "message_group_at_user_array": ["lena", "__kImSDK_MessageAtALL__"],
        "message_target_group_member_array": ["a"],
        "message_offline_push_config": {"offline_push_config_desc": "d", "offline_push_config_flag": 1,
            "offline_push_config_ios_config": {"ios_offline_push_config_sound": "s", "ios_offline_push_config_ignore_badge": true},
            "offline_push_config_android_config": {"android_offline_push_config_oppo_channel_id": "o"}},
        "message_elem_array": [
            {"elem_type": 0, "text_elem_content": "hi"},
            {"elem_type": 3, "custom_elem_data": "d", "custom_elem_sound": "dixx"},
            {"elem_type": 6, "face_elem_index": 3, "face_elem_buf": "b"},
            {"elem_type": 7, "location_elem_desc": "Kiel", "location_elem_latitude": 54.3, "location_elem_longitude": 10.1},
            {"elem_type": 1, "image_elem_format": 2, "image_elem_orig_id": "p", "image_elem_orig_url": "https://h/o",
             "image_elem_orig_pic_size": 9, "image_elem_thumb_url": "https://h/t", "image_elem_thumb_pic_width": 5},
            {"elem_type": 2, "sound_elem_url": "https://h/s", "sound_elem_file_id": "u", "sound_elem_file_time": 4},
            {"elem_type": 4, "file_elem_url": "https://h/f.txt", "file_elem_file_id": "u"},
            {"elem_type": 9, "video_elem_video_url": "https://h/v", "video_elem_video_type": "mov",
             "video_elem_video_id": "v", "video_elem_image_url": "https://h/i.png", "video_elem_image_id": "i"},
        ],
    });
    let size = |kind: i64, size: i64, width: i64, url: &str| json!({"Type": kind, "Size": size, "Width": width, "Height": 0, "URL": url});
    let part = |kind: &str, content: Value| json!({"MsgType": kind, "MsgContent": content});
    let expected = json!({
        "GroupId": "pier", "Random": 7, "MsgPriority": "High", "From_Account": "kiosk", "To_Account": ["a"],
        "MsgBody": [
            part("TIMTextElem", json!({"Text": "hi"})),
            part("TIMCustomElem", json!({"Data": "d", "Sound": "dixx"})),
            part("TIMFaceElem", json!({"Index": 3, "Data": "b"})),
            part("TIMLocationElem", json!({"Desc": "Kiel", "Latitude": 54.3, "Longitude": 10.1})),
            part("TIMImageElem", json!({"UUID": "p", "ImageFormat": 2,
                "ImageInfoArray": [size(1, 9, 0, "https://h/o"), size(3, 0, 5, "https://h/t")]})),
            part("TIMSoundElem", json!({"Url": "https://h/s", "UUID": "u", "Size": 0, "Second": 4, "Download_Flag": 2})),
            part("TIMFileElem", json!({"Url": "https://h/f.txt", "UUID": "u", "FileSize": 0, "FileName": "f.txt", "Download_Flag": 2})),
            part("TIMVideoFileElem", json!({"VideoUrl": "https://h/v", "VideoUUID": "v", "VideoSize": 0,
                "VideoSecond": 0, "VideoFormat": "mov", "VideoDownloadFlag": 2, "ThumbUrl": "https://h/i.png",
                "ThumbUUID": "i", "ThumbSize": 0, "ThumbWidth": 0, "ThumbHeight": 0, "ThumbFormat": "png",
                "ThumbDownloadFlag": 2})),
        ],
        "SendMsgControl": ["NoUnread", "NoLastMsg"], "CloudCustomData": "c", "SupportMessageExtension": 1,
        "OfflinePushInfo": {"PushFlag": 1, "Desc": "d", "AndroidInfo": {"OPPOChannelID": "o"},
            "ApnsInfo": {"Sound": "s", "BadgeMode": 1}},
        "GroupAtInfo": [{"GroupAtAllFlag": 0, "GroupAt_Account": "lena"}, {"GroupAtAllFlag": 1}],
    });
    assert_eq!(body(&message), expected);
    let person = json!({"message_conv_type": 1, "message_conv_id": "lena", "message_need_read_receipt": true,
        "message_elem_array": [{"elem_type": 0, "text_elem_content": "hi"}]});
    let expected = json!({"SyncOtherMachine": 1, "To_Account": "lena", "MsgSeq": 9, "MsgRandom": 7,
        "MsgBody": [part("TIMTextElem", json!({"Text": "hi"}))], "IsNeedReadReceipt": 1});
    assert_eq!(body(&person), expected);
    let with = |elem: Value| {
        refused(&json!({"message_conv_type": 1, "message_conv_id": "lena", "message_elem_array": [elem]}))
    };
    assert_eq!(
        with(json!({"elem_type": 1, "image_elem_orig_path": "/a"})),
        CannotCarry::LocalFile { element: "image_elem" }
    );
    assert_eq!(with(json!({"elem_type": 12})), CannotCarry::Merged);
    assert_eq!(with(json!({"elem_type": 0})), CannotCarry::Missing { field: "text_elem_content" });
    assert_eq!(with(json!({"elem_type": 13})), CannotCarry::UnknownElement { elem_type: 13 });
    assert_eq!(
        refused(&json!({"message_conv_type": 1, "message_elem_array": []})),
        CannotCarry::NoDestination
    );
}

#[test]
fn what_rest_cannot_carry_is_refused_by_name() {
    let local = |element| CannotCarry::LocalFile { element };
    let missing = |field| CannotCarry::Missing { field };
    for (elements, expected) in [
        (json!({"elemType": 3, "imageElem": {"path": "/a.jpg"}}), local("imageElem")),
        (
            json!({"elemType": 3, "imageElem": {"path": "/a.jpg", "imageList": [{"img": ""}]}}),
            local("imageElem"),
        ),
        (json!({"elemType": 4, "soundElem": {"path": "/a"}}), local("soundElem")),
        (json!({"elemType": 6, "fileElem": {"path": "/a", "url": ""}}), local("fileElem")),
        (json!({"elemType": 5, "videoElem": {"videoPath": "/a"}}), local("videoElem")),
        (json!({"elemType": 5, "videoElem": {"videoUrl": "https://h/v"}}), local("videoElem's snapshot")),
        (json!({"elemType": 1, "textElem": {"text": 5}}), missing("textElem.text")),
        (json!({"elemType": 7, "locationElem": {"latitude": 1.0}}), missing("locationElem.longitude")),
        (json!({"elemType": 8, "faceElem": {}}), missing("faceElem.index")),
        (json!({"elemType": 10, "mergerElem": {"title": "t"}}), CannotCarry::Merged),
        (json!({"elemType": 9, "groupTipsElem": {}}), CannotCarry::GroupTips),
        (json!({"elemType": 1}), CannotCarry::NoElement),
        (json!({}), CannotCarry::NoElement),
        (
            json!({"elemType": 2, "customElem": {"data": "a", "nextElem": {"elemType": 2, "data": "b"}}}),
            CannotCarry::TwoCustomElements,
        ),
        (
            json!({"elemType": 1, "textElem": {"text": "a", "nextElem": {"elemType": 77}}}),
            CannotCarry::UnknownElement { elem_type: 77 },
        ),
    ] {
        assert_eq!(refused(&with(&elements)), expected, "{elements}");
    }
    assert_eq!(refused(&json!({"elemType": 1, "textElem": {"text": "a"}})), CannotCarry::NoDestination);
    assert_eq!(refused(&json!([])), CannotCarry::NotAnObject { found: "an array" });
    assert!(matches!(call(b"{", &OPTIONS), Err(CannotCarry::Json { .. })));
    for elements in
        [json!({"elemType": 3, "imageElem": {"path": "/a.jpg"}}), json!({"elemType": 10, "mergerElem": {}})]
    {
        assert!(refused(&with(&elements)).hint().contains("\"app\""), "says who can");
    }
}

#[test]
fn half_a_character_is_sent_as_the_replacement_character() {
    let message = br#"{"userID": "lena", "elemType": 1, "textElem": {"text": "cut \ud83d"}}"#;
    let call = call(message, &OPTIONS).unwrap();
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    assert_eq!(body["MsgBody"][0]["MsgContent"]["Text"], "cut \u{fffd}");
}

#[test]
fn each_example_message_has_its_call_or_its_reason() {
    let outcomes: Vec<String> = MESSAGES
        .lines()
        .map(|line| match call(line.as_bytes(), &OPTIONS) {
            Ok(call) => {
                let body: Value = serde_json::from_slice(&call.body).unwrap();
                let kind = body["MsgBody"][0]["MsgType"].as_str().unwrap().to_owned();
                format!("{} {kind}", if call.group.is_some() { "group" } else { "person" })
            }
            Err(error) => error.to_string(),
        })
        .collect();
    let expected = [
        "person TIMTextElem",
        "person TIMCustomElem",
        "imageElem has no URL (REST cannot upload a local file)",
        "imageElem has no URL (REST cannot upload a local file)",
        "soundElem has no URL (REST cannot upload a local file)",
        "group TIMVideoFileElem",
        "fileElem has no URL (REST cannot upload a local file)",
        "group TIMFaceElem",
        "a group-tips message cannot be sent by any client",
        "person TIMTextElem",
    ];
    assert_eq!(outcomes, expected);
}

/// Every name that may stand in a body, at any level.
const NAMES: &str = "SyncOtherMachine From_Account To_Account MsgLifeTime MsgSeq MsgRandom SendMsgControl MsgBody \
    CloudCustomData SupportMessageExtension OfflinePushInfo IsNeedReadReceipt GroupId TopicId Random MsgPriority \
    OnlineOnlyFlag GroupAtInfo GroupAtAllFlag GroupAt_Account MsgType MsgContent Text Data Desc Ext Sound \
    Latitude Longitude Index UUID ImageFormat ImageInfoArray Type Size Width Height URL Url Second Download_Flag \
    FileSize FileName VideoUrl VideoUUID VideoSize VideoSecond VideoFormat VideoDownloadFlag ThumbUrl ThumbUUID \
    ThumbSize ThumbWidth ThumbHeight ThumbFormat ThumbDownloadFlag PushFlag Title AndroidInfo ApnsInfo \
    OPPOChannelID GoogleChannelID XiaoMiChannelID VIVOClassification HuaWeiCategory BadgeMode Image \
    ForbidCallbackControl";

fn unknown_name(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, inner)| {
            let is_known = NAMES.split_whitespace().any(|known| known == name);
            if is_known { unknown_name(inner) } else { Some(name) }
        }),
        Value::Array(items) => items.iter().find_map(unknown_name),
        _ => None,
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    #[test]
    fn any_message_has_a_call_with_known_names_alone_or_a_reason(
        message in <crate::V2TimMessage as crate::fields::any::Any>::any(3),
    ) {
        let text = message.to_json();
        if let Ok(call) = call(text.as_bytes(), &OPTIONS) {
            let body: Value = serde_json::from_slice(&call.body).unwrap();
            proptest::prop_assert_eq!(unknown_name(&body), None, "{}", body);
            proptest::prop_assert_eq!(call.command == Command::SendGroupMsg, body.get("GroupId").is_some());
        }
    }
}
