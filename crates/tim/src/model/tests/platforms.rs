//! Messages in each platform's manner, made up by us.
//!
//! Owns:  what the bridges differ in: keys, spellings, placeholders, what is left out.
//! Never: the examples that all tests share.

use super::*;

/// Whether nothing but nulls was left over.
fn all_understood(rest: &Map<String, Value>) -> bool {
    rest.values().all(Value::is_null)
}

#[test]
fn android_ends_a_custom_chain_with_an_empty_element() {
    let message = read(&json!({
        "elemType": 2, "msgID": "144115225971632901-1731600001-3000000017", "timestamp": 1731600001,
        "progress": 100, "sender": "kiosk_07", "nickName": null, "friendRemark": null, "faceUrl": null,
        "nameCard": null, "groupID": null, "userID": "ops_bot", "status": 3, "localCustomData": "",
        "localCustomInt": 0, "cloudCustomData": "", "isSelf": true, "isRead": true, "isPeerRead": false,
        "priority": 2, "seq": "31901", "groupAtUserList": [], "random": 3000000017_u32,
        "isExcludedFromUnreadCount": false, "isExcludedFromLastMessage": false,
        "isSupportMessageExtension": false, "needReadReceipt": false,
        "hasRiskContent": false, "revokeReason": "", "isBroadcastMessage": false, "revokerInfo": null,
        "isExcludedFromContentModeration": false, "offlinePushInfo": {},
        "customElem": {"data": "{\"slot\":2}", "desc": "Coin level", "extension": "", "nextElem": {}},
    }));
    assert!(all_understood(&message.rest));
    assert_eq!(message.random, Some(3_000_000_017));
    assert_eq!(words(&message), [r#"{"slot":2}"#]);
    assert_eq!(message.offline_push_info, Some(Box::default()));
}

#[test]
fn android_keeps_four_fields_of_a_notification() {
    let message = read(&json!({"offlinePushInfo": {
        "title": "Kiosk 7", "desc": "Coin level", "disablePush": true, "ext": "{\"open\":\"chat\"}",
    }}));
    let push = message.offline_push_info.unwrap();
    assert_eq!((push.disable_push, push.ios_sound.as_deref()), (Some(true), None));
    assert!(push.rest.is_empty());
}

#[test]
fn android_spells_the_name_of_a_picture_in_capitals_and_ios_does_not() {
    let sizes = |name: &str| {
        let message = read(&json!({"elemType": 3, "imageElem": {"path": "/p/a.jpg", "imageList": [
            {name: "i_1", "type": 0, "size": 90112, "width": 1200, "height": 900, "url": "https://a.example"},
            {name: "i_2", "type": 1, "size": 4096, "width": 198, "height": 148, "url": "https://x.example/2"},
            {name: "i_3", "type": 2, "size": 20480, "width": 720, "height": 540, "localUrl": "/c/3"},
        ]}}));
        let images = message.image_elem.unwrap().image_list.unwrap();
        images.into_iter().map(|image| (image.uuid.unwrap(), image.kind.unwrap())).collect::<Vec<_>>()
    };
    let expected = [("i_1", ImageType::Original), ("i_2", ImageType::Thumb), ("i_3", ImageType::Large)];
    let expected = expected.map(|(uuid, kind)| (uuid.to_owned(), kind));
    assert_eq!(sizes("UUID"), expected);
    assert_eq!(sizes("uuid"), expected);
}

#[test]
fn ios_has_a_placeholder_for_a_picture_that_is_not_uploaded() {
    let message = read(&json!({
        "msgID": "144115225971632901-1731600333-14380981", "sender": "kiosk_07", "userID": "ferry_desk",
        "isSelf": true, "elemType": 3, "localCustomInt": 0, "seq": "0", "random": 14380981,
        "status": 3, "timestamp": 1731600333,
        "imageElem": {"path": "/var/mobile/tmp/IMG_0043.HEIC", "imageList": [{"img": ""}]},
    }));
    assert!(message.rest.is_empty());
    assert_eq!((message.progress, message.priority, message.local_custom_data), (None, None, None));
    let image = &message.image_elem.unwrap().image_list.unwrap()[0];
    let placeholder = json!({"img": ""}).as_object().unwrap().clone();
    assert_eq!(*image, V2TimImage { rest: placeholder, ..Default::default() });
}

#[test]
fn ios_hands_the_bundled_messages_over_with_the_bundle() {
    let message = read(&json!({"elemType": 10, "mergerElem": {
        "layersOverLimit": false, "title": "Pier crew, Tuesday",
        "abstractList": ["lena: gate 4?", "omar: done"],
        "messageList": [
            {"sender": "lena", "elemType": 1, "textElem": {"text": "gate 4?"}, "seq": "4"},
            {"sender": "omar", "elemType": 1, "textElem": {"text": "done"}, "seq": "5"},
        ],
    }}));
    assert_eq!(words(&message), ["Merger"]);
    let merger = message.merger_elem.unwrap();
    assert_eq!(
        (merger.is_layers_over_limit, merger.title.as_deref()),
        (Some(false), Some("Pier crew, Tuesday"))
    );
    assert_eq!(merger.abstract_list.unwrap().len(), 2);
    let senders: Vec<_> = merger.message_list.unwrap().into_iter().map(|message| message.sender).collect();
    assert_eq!(senders, [Some("lena".to_owned()), Some("omar".to_owned())]);
}

#[test]
fn android_bundles_without_the_messages() {
    let merger = json!({"isLayersOverLimit": true, "abstractList": [], "title": null, "nextElem": null});
    let message = read(&json!({"elemType": 10, "mergerElem": merger}));
    let merger = message.merger_elem.unwrap();
    assert_eq!((merger.is_layers_over_limit, merger.message_list), (Some(true), None));
    assert!(all_understood(&merger.rest));
}

#[test]
fn the_web_leaves_out_what_it_does_not_have() {
    let message = read(&json!({
        "msgID": "144115225971632901-1731601044-127", "timestamp": 1731601044, "progress": 100,
        "sender": "kiosk_07", "nickName": "", "friendRemark": "", "faceUrl": "", "nameCard": "",
        "groupID": "pier_crew", "userID": null, "status": 0, "elemType": 3, "localCustomData": "",
        "localCustomInt": 0, "cloudCustomData": "", "isSelf": true, "isRead": true, "isPeerRead": false,
        "priority": 2, "groupAtUserList": null,
        "seq": "1657570002", "random": 127, "isExcludedFromUnreadCount": false,
        "messageFromWeb": "{\"ID\":\"\"}",
        "needReadReceipt": false, "imageElem": {"path": "blob:1", "imageList": [
            {"uuid": "u", "type": 0, "size": 1, "width": 2, "height": 3, "url": "", "localUrl": null},
        ]},
    }));
    assert!(all_understood(&message.rest));
    assert_eq!((message.status, message.group_at_user_list), (Some(MessageStatus::Unsent), None));
    assert_eq!((message.is_excluded_from_last_message, message.id), (None, None));
    assert_eq!(message.message_from_web.as_deref(), Some(r#"{"ID":""}"#));
}

#[test]
fn the_oldest_plugin_had_names_of_its_own() {
    let message = read(&json!({
        "elemType": 5, "msgID": "144115225971632901-1631500000-1", "status": 2, "seq": 31877, "priority": 0,
        "offlinePushInfo": {"title": "a", "desc": "b", "isDisablePush": true},
        "videoElem": {"videoUUID": "v_1", "videoPath": "", "duration": 4, "snapshotUUID": "vs_1"},
        "fileElem": {"fileUUID": "f_1", "filePath": "/sdcard/a.pdf", "fileName": "a.pdf", "fileSize": 3},
    }));
    assert_eq!((message.seq, message.random), (Some(NumberText(31877)), None));
    assert_eq!(message.offline_push_info.unwrap().disable_push, Some(true));
    assert_eq!(message.video_elem.unwrap().uuid.as_deref(), Some("v_1"));
    let file = message.file_elem.unwrap();
    assert_eq!((file.uuid.as_deref(), file.path.as_deref()), (Some("f_1"), Some("/sdcard/a.pdf")));
}

#[test]
fn react_native_types_flags_and_numbers_of_a_notification_as_text() {
    let push = json!({"ignoreIOSBadge": "true", "androidVIVOClassification": "1", "disablePush": false});
    let message = read(&json!({"offlinePushInfo": push}));
    let inside = message.offline_push_info.unwrap();
    assert_eq!((inside.ignore_ios_badge, inside.android_vivo_classification), (Some(true), Some(1)));
    let alone: V2TimOfflinePushInfo = serde_json::from_value(push.clone()).unwrap();
    assert_eq!(alone.android_vivo_classification, Some(NumberText(1)));
    assert_eq!(serde_json::to_value(&alone).unwrap(), push);
}

#[test]
fn an_older_notification_reads_a_number_and_an_empty_text_alike_tolerantly() {
    let read = |value: Value| serde_json::from_value::<V2TimOfflinePushInfo>(value).unwrap();
    assert_eq!(
        read(json!({"androidVIVOClassification": 0})).android_vivo_classification,
        Some(NumberText(0))
    );
    let empty = json!({"androidVIVOClassification": "", "iOSSound": PUSH_NO_SOUND});
    assert_eq!(read(empty.clone()).android_vivo_classification, None);
    assert_eq!(serde_json::to_value(read(empty.clone())).unwrap(), empty);
}

#[test]
fn group_tips_tell_people_and_changes_in_each_platform_s_spelling() {
    let message = read(&json!({"elemType": 9, "sender": SYSTEM_SENDER, "groupTipsElem": {
        "groupID": "pier_crew", "type": 7, "memberCount": 14,
        "opMember": {"userID": "omar", "nickName": "Omar", "faceURL": "https://x.example/omar"},
        "memberList": [{"userID": "lena", "faceUrl": "https://l.example", "onlineDevices ": ["iOS", "Web"]}],
        "groupChangeInfoList": [
            {"type": 6, "key": "berth", "value": "12", "boolValue": false},
            {"type": 10, "key": null, "value": null, "intValue": 2},
            {"type": 18},
        ],
        "memberChangeInfoList": [{"userID": "lena", "muteTime": 600}],
    }}));
    let tips = message.group_tips_elem.unwrap();
    assert_eq!((tips.kind, tips.member_count), (Some(GroupTipsType::GroupInfoChange), Some(14)));
    assert_eq!(tips.op_member.unwrap().face_url.as_deref(), Some("https://x.example/omar"));
    let lena = &tips.member_list.unwrap()[0];
    assert_eq!(lena.face_url.as_deref(), Some("https://l.example"));
    assert_eq!(lena.online_devices.as_deref(), Some(&["iOS".to_owned(), "Web".to_owned()][..]));
    let changes = tips.group_change_info_list.unwrap();
    let kinds: Vec<_> = changes.iter().filter_map(|change| change.kind).collect();
    let expected = [GroupChangeType::Custom, GroupChangeType::ReceiveOption, GroupChangeType::Other(18)];
    assert_eq!(kinds, expected);
    assert_eq!((changes[0].key.as_deref(), changes[1].int_value), (Some("berth"), Some(2)));
    assert_eq!(tips.member_change_info_list.unwrap()[0].mute_time, Some(600));
}

#[test]
fn who_revoked_a_message_has_a_profile() {
    let message = read(&json!({"status": 6, "revokeReason": "wrong gate", "revokerInfo": {
        "userID": "lena", "nickName": "Lena", "faceUrl": "", "selfSignature": null, "gender": 2,
        "allowType": 1, "birthday": 0, "role": 0, "level": 3,
        "customInfo": {"Tag_Profile_Custom_Berth": "12"},
    }}));
    assert_eq!(message.status, Some(MessageStatus::Revoked));
    let revoker = message.revoker_info.unwrap();
    assert_eq!((revoker.gender, revoker.allow_type), (Some(Gender::Female), Some(AllowType::NeedConfirm)));
    assert_eq!(revoker.custom_info.unwrap()["Tag_Profile_Custom_Berth"], "12");
    assert_eq!(revoker.level, Some(3));
}

#[test]
fn the_newest_fields_are_understood() {
    let message = read(&json!({
        "elemType": 11, "isSupportMessageExtension": true, "hasRiskContent": true, "isBroadcastMessage": true,
        "isExcludedFromContentModeration": true, "isDisableCloudMessagePreHook": true,
        "isDisableCloudMessagePostHook": false, "targetGroupMemberList": ["lena", "omar"],
        "quoteInfo": {"msgID": "144-1-2", "messageTime": 1731600000, "messageSequence": 9},
        "streamElem": {"markdown": "# Tide", "data": "", "isStreamEnded": true},
        "groupReportElem": null, "status": 7, "priority": 4, "someLaterField": {"a": [1, 2.50, null]},
    }));
    assert_eq!(message.elem_type, Some(ElemType::Other(11)));
    assert_eq!(message.target_group_member_list, Some(vec!["lena".to_owned(), "omar".to_owned()]));
    assert_eq!(message.is_disable_cloud_message_pre_hook, Some(true));
    assert_eq!(message.is_disable_cloud_message_post_hook, Some(false));
    assert_eq!(message.quote_info.as_ref().unwrap()["messageSequence"], 9);
    assert_eq!(
        (message.status, message.priority),
        (Some(MessageStatus::Cancelled), Some(Priority::Other(4)))
    );
    assert_eq!(words(&message), ["other None"]);
    assert_eq!(message.stream_elem.unwrap().rest["markdown"], "# Tide");
    let left: Vec<_> = message.rest.keys().collect();
    assert_eq!(left, ["groupReportElem", "someLaterField"]);
}

#[test]
fn a_message_is_created_with_its_creation_id_and_without_its_own() {
    let value = json!({"id": "88314599aQ3", "messageInfo": {"msgID": null, "id": "88314599aQ3", "elemType": 7,
        "locationElem": {"desc": "South pier", "longitude": 10.05, "latitude": -53.5, "nextElem": null}}});
    let created: V2TimMsgCreateInfoResult = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&created).unwrap(), value);
    let message = created.message_info.unwrap();
    assert_eq!((message.msg_id, message.id), (None, created.id));
    let place = message.location_elem.unwrap();
    assert_eq!((place.longitude, place.latitude), (Some(10.05), Some(-53.5)));
}
