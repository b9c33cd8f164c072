//! Every kind of message, in each platform's shape: what REST carries arrives, what it does not says why.
//!
//! Owns:  messages by platform and element, and what each must come to.
//! Never: loses one silently: each is either delivered or failed with the transport that can send it.

use outbox_control::types::{Entry, State};
use outbox_tim::V2TimMessage;
use serde_json::{Value, json};

use super::{Desk, text, words};
use crate::messages::MESSAGES;

/// The outbox's own code for what a transport has no way to carry.
const CANNOT_CARRY: i64 = -30_005;

/// A message with its element, to one person.
fn with(elem_type: i64, key: &str, elem: Value) -> Value {
    json!({"userID": "ferry_desk", "sender": "kiosk_07", "isSelf": true, "status": 3, "elemType": elem_type, key: elem})
}

fn c_shape(elements: &Value) -> Value {
    json!({
        "message_conv_id": "pier_crew", "message_conv_type": 2, "message_sender": "kiosk_07",
        "message_priority": 0, "message_status": 3, "message_seq": 4, "message_rand": 2_911_436_684_u32,
        "message_is_from_self": true, "message_client_time": 1_731_500_001, "message_elem_array": elements,
        "message_cloud_custom_str": "{\"pier\":7}",
        "message_group_at_user_array": ["lena", "__kImSDK_MessageAtALL__"],
    })
}

/// Messages that REST carries.
fn carried() -> Vec<Value> {
    let url = "https://static.example.com/a";
    vec![
        // Android ends chains with an empty element, and gives four fields of a notification back.
        with(2, "customElem", json!({"data": "{}", "desc": "Coins", "extension": "", "nextElem": null})),
        json!({
            "groupID": "pier_crew", "sender": "kiosk_07", "elemType": 1, "status": 3, "seq": 31877, "priority": 1,
            "textElem": {"text": "to all"}, "groupAtUserList": ["lena", "__kImSDK_MesssageAtALL__"],
            "isExcludedFromUnreadCount": true, "cloudCustomData": "{}",
            "offlinePushInfo": {"title": "a", "desc": "b", "ext": "{}", "isDisablePush": true},
        }),
        // iOS has no priority and no progress; the web says that nothing was sent yet.
        json!({"userID": "lena", "sender": "kiosk_07", "elemType": 1, "status": 0, "textElem": {"text": "web"}}),
        // A message in a group for one member alone.
        json!({
            "groupID": "pier_crew", "userID": "lena", "sender": "kiosk_07", "elemType": 1, "status": 3,
            "textElem": {"text": "between us"}, "needReadReceipt": true,
        }),
        with(
            3,
            "imageElem",
            json!({"path": "/p/a.jpg", "imageList": [
                {"UUID": "i1", "type": 0, "size": 9, "width": 3, "height": 2, "url": url},
                {"uuid": "i2", "type": 1, "size": 1, "width": 1, "height": 1, "url": url},
            ]}),
        ),
        with(4, "soundElem", json!({"UUID": "s1", "url": url, "dataSize": 90112, "duration": 11})),
        with(
            5,
            "videoElem",
            json!({
                "UUID": "v1", "videoUrl": url, "videoSize": 9, "duration": 4, "snapshotUUID": "vs1",
                "snapshotUrl": url, "snapshotSize": 1, "snapshotWidth": 360, "snapshotHeight": 640,
            }),
        ),
        with(6, "fileElem", json!({"UUID": "f1", "url": url, "fileName": "w.xlsx", "fileSize": 77120})),
        with(7, "locationElem", json!({"desc": "South pier", "longitude": 10.05, "latitude": -53.5})),
        with(8, "faceElem", json!({"index": 4, "data": "yz17"})),
        // Several elements in a chain.
        with(
            1,
            "textElem",
            json!({"text": "and", "nextElem": {
                "elemType": 8, "index": 4, "data": "", "nextElem": {"elemType": 7, "desc": "", "longitude": 1.0, "latitude": 2.0},
            }}),
        ),
        c_shape(&json!([
            {"elem_type": 0, "text_elem_content": "Gate 4"},
            {"elem_type": 3, "custom_elem_data": "{}", "custom_elem_desc": "Coins", "custom_elem_sound": "bell"},
            {"elem_type": 6, "face_elem_index": 4, "face_elem_buf": ""},
        ])),
        c_shape(&json!([{
            "elem_type": 1, "image_elem_orig_path": "/a.png", "image_elem_format": 3, "image_elem_orig_id": "o",
            "image_elem_orig_url": url, "image_elem_orig_pic_width": 3, "image_elem_orig_pic_height": 2,
            "image_elem_orig_pic_size": 9,
        }])),
        c_shape(&json!([{
            "elem_type": 9, "video_elem_video_type": "mp4", "video_elem_video_url": url,
            "video_elem_video_id": "v", "video_elem_image_type": "png", "video_elem_image_url": url,
            "video_elem_image_id": "vi",
        }])),
    ]
}

/// Messages that it does not, with a word of the reason.
fn not_carried() -> Vec<(Value, &'static str)> {
    vec![
        (with(3, "imageElem", json!({"path": "/p/a.heic", "imageList": [{"img": ""}]})), "no URL"),
        (with(6, "fileElem", json!({"path": "/p/a.pdf", "fileName": "a.pdf"})), "no URL"),
        (with(10, "mergerElem", json!({"title": "Tuesday", "abstractList": ["a"]})), "merged"),
        (with(12, "streamElem", json!({"markdown": "#"})), "no REST form"),
        (c_shape(&json!([{"elem_type": 12, "merge_elem_title": "Tuesday"}])), "merged"),
    ]
}

fn named(mut message: Value, number: usize) -> Value {
    let key = if message.get("message_elem_array").is_some() { "message_msg_id" } else { "msgID" };
    message[key] = json!(format!("m-{number}"));
    message
}

fn cannot_carry(entry: &Entry) -> Option<&str> {
    entry.last_error.as_ref().filter(|error| error.code == CANNOT_CARRY).map(|error| error.desc.as_str())
}

#[tokio::test]
async fn what_rest_carries_arrives_from_every_platform_and_the_receipt_is_the_new_message() {
    let desk = Desk::start("", "").await;
    let messages: Vec<_> =
        carried().into_iter().enumerate().map(|(number, message)| named(message, number)).collect();
    for (number, message) in messages.iter().enumerate() {
        desk.submit(message).await;
        let msg_id = format!("m-{number}");
        let entry = desk.daemon.entry_when(&msg_id, |entry| entry.state.is_ended()).await;
        assert_eq!(entry.state, State::Sent, "{message}\n{entry:#?}\n{:?}", desk.double.refusals());
        let receipt = desk.daemon.client.receipt(&msg_id).await.unwrap();
        assert!(receipt.new_msg_id.as_deref().is_some_and(|id| id != msg_id), "{receipt:?}");
        let data: Value = serde_json::from_str(receipt.data.unwrap().get()).unwrap();
        let (status, id) = if message.get("msgID").is_some() {
            (&data["status"], &data["msgID"])
        } else {
            (&data["message_status"], &data["message_msg_id"])
        };
        assert_eq!((status, id.as_str()), (&json!(2), receipt.new_msg_id.as_deref()), "{data}");
    }
    assert_eq!(desk.double.refusals(), []);
    assert_eq!(desk.double.delivered().len(), messages.len());
}

#[tokio::test]
async fn what_rest_cannot_carry_fails_with_the_transport_that_can_and_bothers_no_service() {
    let desk = Desk::start("", "").await;
    for (number, (message, reason)) in not_carried().into_iter().enumerate() {
        let message = named(message, number);
        desk.submit(&message).await;
        let msg_id = format!("m-{number}");
        let entry = desk.daemon.entry_in(&msg_id, State::Failed).await;
        let desc = cannot_carry(&entry).unwrap_or_else(|| panic!("{entry:#?}"));
        assert!(desc.contains(reason) && desc.contains("transport.kind = \"app\""), "{desc}");
        let payload = desk.daemon.client.payload(&msg_id).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), message, "a person can still see it");
    }
    assert_eq!(desk.double.counts().0, 0, "no call was made");
}

#[tokio::test]
async fn every_example_is_sent_or_says_why_not_and_keeps_its_bytes() {
    let desk = Desk::start("", "").await;
    let (mut sent, mut failed, mut refused) = (0, 0, 0);
    for line in MESSAGES.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let parsed = V2TimMessage::parse(line.as_bytes()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&parsed.to_json()).unwrap(), message, "nothing is lost");
        let body = json!({ "message": message }).to_string();
        let Ok(submitted) = desk.daemon.client.submit_json(body.into_bytes()).await else {
            assert_eq!(message["elemType"], 9, "only group tips are refused: {line}");
            refused += 1;
            continue;
        };
        let entry = desk.daemon.entry_when(&submitted.msg_id, |entry| entry.state.is_ended()).await;
        match entry.state {
            State::Sent => sent += 1,
            _ => {
                assert!(cannot_carry(&entry).is_some(), "{entry:#?}");
                failed += 1;
            }
        }
    }
    assert_eq!(desk.double.refusals(), []);
    assert_eq!((desk.double.delivered().len(), sent + failed + refused), (sent, MESSAGES.lines().count()));
    assert_eq!((sent, failed, refused), (5, 4, 1));
}

#[tokio::test]
async fn online_only_is_a_life_of_no_time_to_one_person_and_a_flag_to_a_group() {
    let desk = Desk::start("", "").await;
    for (msg_id, to) in [("one", "lena"), ("all", "group:pier_crew")] {
        let body = json!({"message": text(msg_id, to), "onlineUserOnly": true}).to_string();
        desk.daemon.client.submit_json(body.into_bytes()).await.unwrap();
        desk.daemon.entry_in(msg_id, State::Sent).await;
    }
    let delivered = desk.double.delivered();
    let of = |name: &str| &delivered.iter().find(|one| words(&one.body) == name).unwrap().body;
    assert_eq!(of("one")["MsgLifeTime"], 0);
    assert_eq!(of("all")["OnlineOnlyFlag"], 1);
    assert_eq!((of("one").get("OnlineOnlyFlag"), of("all").get("MsgLifeTime")), (None, None));
}

/// Messages with values that the SDKs take and REST takes otherwise, and what of the call must say so.
fn at_the_edge() -> Vec<(Value, &'static str, Value)> {
    let url = "HTTPS://static.example.com/a";
    let c = |elements: Value, more: Value| {
        let mut message = c_shape(&elements);
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let words = || json!([{"elem_type": 0, "text_elem_content": "Gate 4"}]);
    let group = |more: Value| {
        let mut message = text("", "group:pier_crew");
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    vec![
        (
            c(
                words(),
                json!({"message_offline_push_config": {"offline_push_config_flag": 2,
                    "offline_push_config_android_config": {"android_offline_push_config_title": "A",
                        "android_offline_push_config_vivo_classification": 7},
                    "offline_push_config_ios_config": {"ios_offline_push_config_title": "I"}}}),
            ),
            "/OfflinePushInfo",
            json!({"PushFlag": 1, "Title": "A", "ApnsInfo": {"Title": "I"}}),
        ),
        (
            c(
                words(),
                json!({"message_disable_cloud_message_pre_hook": true, "ui_status": 3, "message_unique_id": 7}),
            ),
            "/ForbidCallbackControl",
            json!(["ForbidBeforeSendMsgCallback"]),
        ),
        (
            group(json!({"isDisableCloudMessagePostHook": true})),
            "/ForbidCallbackControl",
            json!(["ForbidAfterSendMsgCallback"]),
        ),
        (
            with(4, "soundElem", json!({"UUID": "s1", "url": url, "dataSize": -1, "duration": 1.5})),
            "/MsgBody/0/MsgContent",
            json!({"Url": url, "UUID": "s1", "Size": 0, "Second": 2, "Download_Flag": 2}),
        ),
        (
            with(3, "imageElem", json!({"imageList": [null, {"uuid": "i", "url": url, "width": -3}]})),
            "/MsgBody/0/MsgContent/ImageInfoArray",
            json!([{"Type": 1, "Size": 0, "Width": 0, "Height": 0, "URL": url}]),
        ),
        (
            c(
                json!([{"elem_type": 9, "video_elem_video_type": "video/mp4", "video_elem_video_url": url,
                    "video_elem_video_id": "v", "video_elem_image_url": url, "video_elem_image_id": "i"}]),
                json!({}),
            ),
            "/MsgBody/0/MsgContent/VideoFormat",
            json!("mp4"),
        ),
        (
            group(json!({"groupAtUserList": ["lena", null, "", 5]})),
            "/GroupAtInfo",
            json!([{"GroupAtAllFlag": 0, "GroupAt_Account": "lena"}]),
        ),
        (
            with(7, "locationElem", json!({"desc": "x", "longitude": 10, "latitude": "-53.5"})),
            "/MsgBody/0/MsgContent",
            json!({"Desc": "x", "Longitude": 10.0, "Latitude": -53.5}),
        ),
        // An app's own field does not make a message one of the C SDK.
        (
            json!({"userID": "lena", "isSelf": 1, "elemType": "1", "textElem": {"text": "own"}, "message_unique_id": 5}),
            "/To_Account",
            json!("lena"),
        ),
        // The newest Flutter SDK's.
        (
            c(
                words(),
                json!({"elem_type": 1, "id": "created_temp_id-1", "progress": 0, "ui_status": 1,
                "message_target_group_member_array": ["omar", "lena"]}),
            ),
            "/To_Account",
            json!(["omar", "lena"]),
        ),
    ]
}

#[tokio::test]
async fn what_the_sdks_take_and_rest_takes_otherwise_arrives_as_rest_takes_it() {
    let desk = Desk::start("", "").await;
    for (number, (message, place, expected)) in at_the_edge().into_iter().enumerate() {
        let message = named(message, number);
        desk.submit(&message).await;
        let msg_id = format!("m-{number}");
        let entry = desk.daemon.entry_when(&msg_id, |entry| entry.state.is_ended()).await;
        assert_eq!(entry.state, State::Sent, "{message}\n{entry:#?}\n{:?}", desk.double.refusals());
        let body = desk.double.delivered().last().unwrap().body.clone();
        assert_eq!(body.pointer(place), Some(&expected), "{message}\n{body}");
        let data = desk.daemon.client.receipt(&msg_id).await.unwrap().data.unwrap();
        let data: Value = serde_json::from_str(data.get()).unwrap();
        assert_eq!(data.get("ui_status").cloned(), message.get("ui_status").map(|_| json!(2)), "{data}");
    }
    assert_eq!(desk.double.refusals(), []);
}

#[tokio::test]
async fn a_message_that_does_not_say_clearly_whom_it_is_for_goes_to_nobody() {
    let desk = Desk::start("", "").await;
    let unclear = [
        json!({"targetGroupMemberList": ["lena", null]}),
        json!({"targetGroupMemberList": "lena"}),
        json!({"targetGroupMemberList": [""]}),
        json!({"message_target_group_member_array": ["lena", 5]}),
        json!({"sender": 5}),
    ];
    for (number, more) in unclear.into_iter().enumerate() {
        let mut message = named(text("", "group:pier_crew"), number);
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        desk.submit(&message).await;
        let entry = desk.daemon.entry_in(&format!("m-{number}"), State::Failed).await;
        assert!(cannot_carry(&entry).is_some(), "{message}\n{entry:#?}");
    }
    for (message, field) in [
        (
            r#"{"groupID":"g","message_conv_type":1,"message_conv_id":"victim","message_elem_array":[{"elem_type":0,"text_elem_content":"a"}]}"#,
            "message.message_conv_id",
        ),
        (r#"{"elemType":1,"textElem":{"text":"a"}}"#, "conversation"),
    ] {
        let body = format!(r#"{{"msgID":"two","message":{message}}}"#);
        let problem = desk.daemon.post("/v1/messages", body).await.problem(400, "bad_request");
        assert_eq!(problem["field"], field);
        assert!(problem["hint"].as_str().unwrap().contains("message"), "{problem}");
    }
    assert_eq!(desk.double.counts().0, 0, "no call was made");
}

#[tokio::test]
async fn a_message_of_the_c_sdk_says_by_itself_that_it_is_for_those_online_alone() {
    let desk = Desk::start("", "").await;
    for (number, (said, expected)) in
        [("", json!(0)), (r#","onlineUserOnly":false"#, Value::Null), (r#","onlineUserOnly":true"#, json!(0))]
            .into_iter()
            .enumerate()
    {
        let message = json!({
            "message_msg_id": format!("m-{number}"), "message_conv_type": 1, "message_conv_id": "lena",
            "message_is_online_msg": true, "message_need_read_receipt": true,
            "message_elem_array": [{"elem_type": 0, "text_elem_content": "typing"}],
        });
        desk.daemon
            .client
            .submit_json(format!(r#"{{"message":{message}{said}}}"#).into_bytes())
            .await
            .unwrap();
        desk.daemon.entry_in(&format!("m-{number}"), State::Sent).await;
        let body = desk.double.delivered().last().unwrap().body.clone();
        assert_eq!(body["MsgLifeTime"], expected, "{said}: {body}");
        assert_eq!(body.get("IsNeedReadReceipt").is_some(), expected.is_null(), "{said}: {body}");
    }
    assert_eq!(desk.double.refusals(), []);
}
