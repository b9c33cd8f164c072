//! Tests of the conversions: what both shapes can say arrives, and what one lacks is left out.
//!
//! Owns:  each number, each rule that is more than another name, and the limits of depth.
//! Never: makes up messages (`round` does).

use serde_json::{Value, json};

use super::*;
use crate::c_shape::{Element, Message};
use crate::model::Elem;

mod round;

const MESSAGES: &str = include_str!("../../../../tests/fixtures/messages.jsonl");

fn camel(value: &Value) -> V2TimMessage {
    V2TimMessage::parse(value.to_string().as_bytes()).unwrap()
}

fn c(value: &Value) -> Message {
    Message::parse(value.to_string().as_bytes()).unwrap()
}

/// What a message in camelCase is in the C shape.
fn in_c(value: &Value) -> Value {
    serde_json::from_str(&to_c(&camel(value)).to_json()).unwrap()
}

/// What a message of the C shape is in camelCase.
fn in_camel(value: &Value) -> Value {
    serde_json::from_str(&to_camel(&c(value)).to_json()).unwrap()
}

/// What an example says that both shapes can say: `rest` and what [`to_c`] lists is left out.
fn common(mut value: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    object.remove("messageFromWeb");
    object.retain(|name, value| name != "priority" || *value != 0);
    if let Some(tips) = object.get_mut("groupTipsElem") {
        *tips = json!({});
    }
    if let Some(Value::Array(images)) = value.pointer_mut("/imageElem/imageList") {
        images.retain(|image| image.get("type").is_some());
    }
    without_nulls(&mut value);
    value
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(object) = value {
        object.retain(|_, value| !value.is_null());
        object.values_mut().for_each(without_nulls);
    }
}

#[test]
fn every_example_comes_back_with_what_both_shapes_can_say() {
    for line in MESSAGES.lines() {
        let example: Value = serde_json::from_str(line).unwrap();
        let c = in_c(&example);
        let kept = c["message_elem_array"].as_array().unwrap();
        assert_eq!(kept.len(), 1, "{c}");
        assert_eq!(in_camel(&c), common(example));
    }
}

#[test]
fn a_message_has_other_names_in_the_c_shape() {
    let sent = json!({
        "msgID": "144-17-9", "id": "created", "timestamp": 1_731_500_588, "status": 2, "groupID": "pier_crew",
        "sender": "kiosk_07", "nickName": "Kiosk", "faceUrl": "https://k", "friendRemark": "k", "nameCard": "K7",
        "elemType": 1, "textElem": {"text": "Gate 4", "nextElem": {"elemType": 8, "index": 4, "data": "yz17"}},
        "seq": "4822", "random": 2_911_436_684_u32, "priority": 1, "isSelf": true, "isRead": true,
        "localCustomInt": 3, "localCustomData": "l", "cloudCustomData": "c", "needReadReceipt": true,
        "groupAtUserList": ["lena", model::AT_ALL_TAG], "isExcludedFromUnreadCount": false, "progress": 100,
        "isDisableCloudMessagePreHook": true, "revokerInfo": {"userID": "omar", "nickName": "Omar", "role": 200},
    });
    let expected = json!({
        "message_msg_id": "144-17-9", "id": "created", "message_server_time": 1_731_500_588,
        "message_status": 2, "message_conv_type": 2, "message_conv_id": "pier_crew",
        "message_sender": "kiosk_07",
        "message_sender_profile": {
            "user_profile_identifier": "kiosk_07", "user_profile_nick_name": "Kiosk",
            "user_profile_face_url": "https://k", "user_profile_friend_remark": "k",
        },
        "message_sender_group_member_info": {
            "group_member_info_identifier": "kiosk_07", "group_member_info_name_card": "K7",
        },
        "elem_type": 1,
        "message_elem_array": [
            {"elem_type": 0, "text_elem_content": "Gate 4"},
            {"elem_type": 6, "face_elem_index": 4, "face_elem_buf": "yz17"},
        ],
        "message_seq": 4822, "message_rand": 2_911_436_684_u32, "message_priority": 0,
        "message_is_from_self": true, "message_is_read": true, "message_custom_int": 3,
        "message_custom_str": "l", "message_cloud_custom_str": "c", "message_need_read_receipt": true,
        "message_group_at_user_array": ["lena", "__kImSDK_MessageAtALL__"],
        "message_is_excluded_from_unread_count": false, "progress": 100,
        "message_disable_cloud_message_pre_hook": true, "message_revoker_user_id": "omar",
        "message_revoker_nick_name": "Omar",
    });
    assert_eq!(in_c(&sent), expected);
    let mut back = sent;
    back["revokerInfo"].as_object_mut().unwrap().remove("role");
    assert_eq!(in_camel(&expected), back);
}

#[test]
fn elements_have_other_numbers() {
    let numbers = [(1, 0), (2, 3), (3, 1), (4, 2), (5, 9), (6, 4), (7, 7), (8, 6), (9, 5), (10, 12)];
    for (camel, c) in numbers {
        let (camel, c) = (model::ElemType::of(camel), c_shape::ElemType::of(c));
        assert_eq!((elem_type_to_c(camel), elem_type_to_camel(c)), (Some(c), Some(camel)));
    }
    for lacking in [-1, 0, 11, 12, 13] {
        assert_eq!(elem_type_to_c(model::ElemType::of(lacking)), None, "{lacking}");
    }
    for lacking in [-1, 8, 10, 11, 13] {
        assert_eq!(elem_type_to_camel(c_shape::ElemType::of(lacking)), None, "{lacking}");
    }
}

#[test]
fn priorities_have_other_numbers() {
    for (camel, c) in [(1, 0), (2, 1), (3, 2)] {
        let (camel, c) = (model::Priority::of(camel), c_shape::Priority::of(c));
        assert_eq!((priority_to_c(camel), priority_to_camel(c)), (Some(c), Some(camel)));
    }
    assert_eq!(priority_to_c(model::Priority::Default), None);
    assert_eq!(priority_to_c(model::Priority::Other(4)), None);
    assert_eq!(priority_to_camel(c_shape::Priority::Lowest), Some(model::Priority::Low));
    assert_eq!(priority_to_camel(c_shape::Priority::Other(4)), None);
}

#[test]
fn a_state_that_the_c_sdk_must_not_see_is_for_the_user_interface() {
    for number in 2..=8 {
        assert_eq!(in_c(&json!({"status": number})), json!({"message_status": number}));
        assert_eq!(in_camel(&json!({"message_status": number})), json!({"status": number}));
    }
    for number in [0, 1] {
        assert_eq!(in_c(&json!({"status": number})), json!({"ui_status": number}));
        assert_eq!(in_camel(&json!({"ui_status": number})), json!({"status": number}));
    }
    assert_eq!(in_camel(&json!({"message_status": 3, "ui_status": 1})), json!({"status": 3}));
    assert_eq!(in_camel(&json!({"message_status": 2, "ui_status": 6})), json!({"status": 6}));
}

#[test]
fn a_time_is_the_services_once_the_service_has_the_message() {
    let of = |status: i64| in_c(&json!({"status": status, "timestamp": 17, "isSelf": true}));
    for status in [2, 6] {
        assert_eq!(of(status)["message_server_time"], 17);
        assert_eq!(of(status).get("message_client_time"), None);
    }
    for status in [0, 1, 3, 4, 5, 7] {
        assert_eq!(of(status)["message_client_time"], 17);
        assert_eq!(of(status).get("message_server_time"), None);
    }
    assert_eq!(in_c(&json!({"timestamp": 17, "isSelf": false}))["message_server_time"], 17);
    for (client, server, expected) in [(16, 17, 17), (16, 0, 16), (0, 17, 17), (0, 0, 0)] {
        let message = json!({"message_client_time": client, "message_server_time": server});
        assert_eq!(in_camel(&message), json!({"timestamp": expected}));
    }
    assert_eq!(in_camel(&json!({"message_server_time": 0})), json!({"timestamp": 0}));
}

#[test]
fn a_creation_id_never_becomes_the_name() {
    let created = "created_temp_id-17-4";
    assert_eq!(in_c(&json!({"msgID": created})), json!({"id": created}));
    assert_eq!(in_c(&json!({"msgID": created, "id": ""})), json!({"id": created}));
    assert_eq!(in_c(&json!({"msgID": created, "id": "mine"})), json!({"id": "mine"}));
    assert_eq!(in_c(&json!({"msgID": "144-17-9"})), json!({"message_msg_id": "144-17-9"}));
    assert_eq!(in_c(&json!({"msgID": "", "id": created})), json!({"message_msg_id": "", "id": created}));
    assert_eq!(in_camel(&json!({"message_msg_id": created})), json!({"id": created}));
}

#[test]
fn a_conversation_is_a_group_or_a_user() {
    let group = json!({"message_conv_type": 2, "message_conv_id": "pier_crew"});
    let user = json!({"message_conv_type": 1, "message_conv_id": "lena"});
    assert_eq!(in_c(&json!({"groupID": "pier_crew", "userID": null})), group);
    assert_eq!(in_c(&json!({"groupID": "", "userID": "lena"})), user);
    assert_eq!(in_c(&json!({"groupID": "", "userID": ""})), json!({}));
    assert_eq!(in_camel(&group), json!({"groupID": "pier_crew"}));
    assert_eq!(in_camel(&user), json!({"userID": "lena"}));
    for kind in [0, 3, 4] {
        assert_eq!(in_camel(&json!({"message_conv_type": kind, "message_conv_id": "x"})), json!({}));
    }
    assert_eq!(in_camel(&json!({"message_conv_type": 1, "message_conv_id": ""})), json!({}));
}

#[test]
fn a_message_for_one_member_stays_for_that_member() {
    let both = json!({"groupID": "pier_crew", "userID": "lena"});
    let expected = json!({
        "message_conv_type": 2, "message_conv_id": "pier_crew", "message_target_group_member_array": ["lena"],
    });
    assert_eq!(in_c(&both), expected);
    assert_eq!(in_camel(&expected), json!({"groupID": "pier_crew", "targetGroupMemberList": ["lena"]}));
    let listed = json!({"groupID": "pier_crew", "userID": "lena", "targetGroupMemberList": ["omar"]});
    assert_eq!(in_c(&listed)["message_target_group_member_array"], json!(["omar"]));
    let empty = json!({"groupID": "pier_crew", "userID": "lena", "targetGroupMemberList": []});
    assert_eq!(in_c(&empty)["message_target_group_member_array"], json!(["lena"]));
    for unread in [json!(["omar", null]), json!("omar"), json!([5])] {
        let camel = json!({"groupID": "pier_crew", "targetGroupMemberList": unread});
        let c = in_c(&camel);
        assert_eq!(c["message_target_group_member_array"], unread, "without it all would be meant");
        assert_eq!(in_camel(&c), camel);
        let mut with_user = camel;
        with_user["userID"] = json!("lena");
        assert_eq!(in_c(&with_user)["message_target_group_member_array"], unread);
    }
    let nobody = json!({"userID": "lena", "targetGroupMemberList": []});
    assert_eq!(in_c(&nobody)["message_target_group_member_array"], json!([]));
}

#[test]
fn all_members_are_called_in_either_spelling() {
    let older = json!({"message_group_at_user_array": [model::AT_ALL_TAG]});
    let newer = json!({"message_group_at_user_array": [c_shape::AT_ALL_TAG]});
    let expected = json!({"groupAtUserList": ["__kImSDK_MesssageAtALL__"]});
    assert_eq!((in_camel(&older), in_camel(&newer)), (expected.clone(), expected.clone()));
    assert_eq!(in_c(&expected), newer);
}

#[test]
fn the_sizes_of_a_picture_are_a_list_or_keys() {
    let size = |kind: i64, uuid: &str| json!({"type": kind, "uuid": uuid, "size": 9, "width": 3, "height": 2, "url": "u"});
    let listed = |list: &[Value]| json!({"elemType": 3, "imageElem": {"path": "/a.jpg", "imageList": list}});
    let sizes = [size(0, "o"), size(1, "t"), size(2, "l")];
    let c = in_c(&listed(&sizes));
    let expected = json!([{
        "elem_type": 1, "image_elem_orig_path": "/a.jpg",
        "image_elem_orig_id": "o", "image_elem_orig_url": "u", "image_elem_orig_pic_width": 3,
        "image_elem_orig_pic_height": 2, "image_elem_orig_pic_size": 9,
        "image_elem_thumb_id": "t", "image_elem_thumb_url": "u", "image_elem_thumb_pic_width": 3,
        "image_elem_thumb_pic_height": 2, "image_elem_thumb_pic_size": 9,
        "image_elem_large_id": "l", "image_elem_large_url": "u", "image_elem_large_pic_width": 3,
        "image_elem_large_pic_height": 2, "image_elem_large_pic_size": 9,
    }]);
    assert_eq!(c["message_elem_array"], expected);
    assert_eq!(in_camel(&c), listed(&sizes));
    let odd = [size(4, "x"), json!({"img": ""}), size(2, "l"), size(2, "again"), json!({"type": 1})];
    assert_eq!(in_camel(&in_c(&listed(&odd))), listed(&[size(2, "l")]));
}

#[test]
fn a_notification_has_parts_in_the_c_shape() {
    let push = json!({"offlinePushInfo": {
        "title": "Kiosk", "desc": "d", "ext": "{}", "disablePush": true, "iOSSound": "default",
        "ignoreIOSBadge": true, "iOSPushType": 1, "iOSImage": "i", "androidSound": "bell",
        "androidOPPOChannelID": "oppo", "androidVIVOClassification": 0, "androidVIVOCategory": "IM",
        "androidFCMChannelID": "fcm", "androidXiaoMiChannelID": "mi", "androidHuaWeiCategory": "hw",
        "androidHuaWeiImage": "h.png", "androidHonorImage": "o.png", "androidFCMImage": "f.png",
    }});
    let expected = json!({"message_offline_push_config": {
        "offline_push_config_title": "Kiosk", "offline_push_config_desc": "d", "offline_push_config_ext": "{}",
        "offline_push_config_flag": 1,
        "offline_push_config_ios_config": {
            "ios_offline_push_config_title": "Kiosk", "ios_offline_push_config_sound": "default",
            "ios_offline_push_config_ignore_badge": true, "ios_offline_push_config_push_type": 1,
            "ios_offline_push_config_image": "i",
        },
        "offline_push_config_android_config": {
            "android_offline_push_config_title": "Kiosk", "android_offline_push_config_sound": "bell",
            "android_offline_push_config_oppo_channel_id": "oppo",
            "android_offline_push_config_vivo_classification": 0,
            "android_offline_push_config_vivo_category": "IM",
            "android_offline_push_config_fcm_channel_id": "fcm",
            "android_offline_push_config_xiaomi_channel_id": "mi",
            "android_offline_push_config_huawei_category": "hw",
            "android_offline_push_config_huawei_image": "h.png",
            "android_offline_push_config_honor_image": "o.png",
            "android_offline_push_config_fcm_image": "f.png",
        },
    }});
    assert_eq!(in_c(&push), expected);
    assert_eq!(in_camel(&expected), push);
    assert_eq!(in_c(&json!({"offlinePushInfo": {}})), json!({"message_offline_push_config": {}}));
}

#[test]
fn a_title_may_stand_in_the_part_of_one_system_alone() {
    let title = |all: Value, ios: &str, android: &str| {
        in_camel(&json!({"message_offline_push_config": {
            "offline_push_config_title": all, "offline_push_config_flag": 2,
            "offline_push_config_ios_config": {"ios_offline_push_config_title": ios},
            "offline_push_config_android_config": {"android_offline_push_config_title": android},
        }}))
    };
    let expected = |title: &str| json!({"offlinePushInfo": {"title": title, "disablePush": true}});
    assert_eq!(title(json!("all"), "ios", "android"), expected("all"));
    assert_eq!(title(json!(null), "ios", "android"), expected("android"));
    assert_eq!(title(json!(""), "ios", ""), expected("ios"));
    assert_eq!(title(json!(null), "", ""), expected(""));
}

#[test]
fn an_element_that_one_shape_lacks_does_not_end_the_others() {
    let chain = json!({"elemType": 1, "textElem": {"text": "a", "nextElem": {
        "elemType": 77, "beam": 1, "nextElem": {"elemType": 2, "data": "b"},
    }}});
    let c = in_c(&chain);
    let expected =
        json!([{"elem_type": 0, "text_elem_content": "a"}, {"elem_type": 3, "custom_elem_data": "b"}]);
    assert_eq!(c["message_elem_array"], expected);
    let array = json!({"message_elem_array": [
        {"elem_type": 8, "group_report_elem_report_type": 1}, {"elem_type": -1}, {"text_elem_content": "x"},
        {"elem_type": 0, "text_elem_content": "a"}, {"elem_type": 77}, {"elem_type": 3, "custom_elem_data": "b"},
    ]});
    let expected = json!({"elemType": 1, "textElem": {
        "text": "a", "nextElem": {"elemType": 2, "data": "b"},
    }});
    assert_eq!(in_camel(&array), expected);
}

#[test]
fn without_elements_the_top_level_says_the_type() {
    assert_eq!(in_camel(&json!({"elem_type": 5})), json!({"elemType": 5}));
    assert_eq!(in_camel(&json!({"elem_type": 5, "message_elem_array": []})), json!({"elemType": 5}));
    let text = json!({"elem_type": 5, "message_elem_array": [{"elem_type": 0}]});
    assert_eq!(in_camel(&text), json!({"elemType": 1, "textElem": {}}));
    assert_eq!(in_c(&json!({"elemType": 5})), json!({"elem_type": 5}));
}

#[test]
fn rest_is_not_carried_over() {
    let message = json!({"userID": "lena", "later": 1, "elemType": 1, "textElem": {"text": "a", "later": 1}});
    let expected = json!({"userID": "lena", "elemType": 1, "textElem": {"text": "a"}});
    assert_eq!(in_camel(&in_c(&message)), expected);
    assert_eq!(in_camel(&json!({"message_platform": 3})), json!({}));
}

fn texts(count: usize) -> Message {
    let element = Element {
        elem_type: Some(c_shape::ElemType::Text),
        text_content: Some("a".into()),
        ..Default::default()
    };
    Message { elem_array: Some(vec![element; count]), ..Default::default() }
}

/// A message in a bundle in a bundle, this many bundles.
fn bundled(bundles: usize) -> Message {
    (0..bundles).fold(texts(1), |inner, _| {
        let element = Element {
            elem_type: Some(c_shape::ElemType::Merge),
            merge_abstract_array: Some(vec!["a".into()]),
            merge_message_array: Some(vec![inner]),
            ..Default::default()
        };
        Message { elem_array: Some(vec![element]), ..Default::default() }
    })
}

/// How many bundles are inside one another.
fn depth(message: &V2TimMessage) -> usize {
    let Some(Elem::Merger(merger)) = message.elements().next() else { return 0 };
    1 + merger.message_list.as_deref().and_then(<[_]>::first).map_or(0, depth)
}

#[test]
fn a_chain_is_as_long_as_can_be_read_again() {
    for (count, kept) in [(1, 1), (124, 124), (125, 124), (100_000, 124)] {
        let camel = to_camel(&texts(count));
        assert_eq!(camel.elements().count(), kept);
        assert_eq!(V2TimMessage::parse(camel.to_json().as_bytes()).unwrap(), camel);
    }
}

#[test]
fn bundles_nest_as_deep_as_can_be_read_again() {
    // In camelCase a bundle costs three levels, and the text in the last message four: 3 * 41 + 4 = 127.
    for (bundles, kept) in [(0, 0), (1, 1), (41, 41), (42, 42), (43, 42), (60, 42)] {
        let camel = to_camel(&bundled(bundles));
        assert_eq!(depth(&camel), kept, "{bundles}");
        assert_eq!(V2TimMessage::parse(camel.to_json().as_bytes()).unwrap(), camel);
    }
    // In the C shape a bundle costs four: 4 * 30 + 4 = 124, and the 31st has no room for its messages.
    for (bundles, kept) in [(30, 30), (31, 31), (32, 31), (42, 31)] {
        let c = to_c(&to_camel(&bundled(bundles)));
        assert_eq!(Message::parse(c.to_json().as_bytes()).unwrap(), c);
        assert_eq!(depth(&to_camel(&c)), kept, "{bundles}");
    }
}
