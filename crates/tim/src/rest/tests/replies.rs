//! Tests of replies: what proves a success, and what the new message looks like.
//!
//! Owns:  replies by hand, the original beside what stands for it.
//! Never: checks what was posted.

use super::*;
use crate::Proof;

fn callback_of(reply: &str, original: &Value, command: Command) -> crate::V2TimValueCallback {
    Reply::parse(reply.as_bytes()).unwrap().to_callback(original.to_string().as_bytes(), &OPTIONS, command)
}

fn data_of(callback: &crate::V2TimValueCallback) -> Value {
    serde_json::from_str(callback.data.as_ref().unwrap().get()).unwrap()
}

#[test]
fn a_success_becomes_the_original_with_its_new_identity() {
    let original =
        json!({"msgID": "m", "id": "c", "userID": "lena", "status": 3, "timestamp": 1, "new": [1]});
    let reply =
        r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"MsgTime":170,"MsgKey":"9_7_170","Later":1}"#;
    let callback = callback_of(reply, &original, Command::SendMsg);
    assert_eq!(callback.proof(), Proof::Sent { new_msg_id: Some("9_7_170".to_owned()) });
    let expected = json!({
        "msgID": "9_7_170", "userID": "lena", "status": 2, "timestamp": 170, "seq": "9", "random": 7,
        "isSelf": true, "progress": 100, "new": [1],
    });
    assert_eq!(data_of(&callback), expected);
}

#[test]
fn a_group_tells_no_key_and_gets_one_of_the_same_form() {
    let original = json!({"groupID": "pier", "msgID": "m"});
    let reply = r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":170,"MsgSeq":12,"MsgDropReason":""}"#;
    let data = data_of(&callback_of(reply, &original, Command::SendGroupMsg));
    assert_eq!((&data["msgID"], &data["seq"]), (&json!("12_7_170"), &json!("12")));
    let newer = r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":170,"MsgSeq":12,"MsgId":"144-170-7"}"#;
    assert_eq!(data_of(&callback_of(newer, &original, Command::SendGroupMsg))["msgID"], "144-170-7");
}

#[test]
fn a_success_in_the_c_shape_stays_in_it() {
    let original =
        json!({"message_msg_id": "m", "message_conv_id": "lena", "message_conv_type": 1, "id": "c"});
    let reply = r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":170,"MsgKey":"k"}"#;
    let callback = callback_of(reply, &original, Command::SendMsg);
    assert_eq!(callback.proof(), Proof::Sent { new_msg_id: Some("k".to_owned()) });
    let expected = json!({
        "message_msg_id": "k", "message_conv_id": "lena", "message_conv_type": 1, "message_server_time": 170,
        "message_seq": 9, "message_rand": 7, "message_status": 2, "message_is_from_self": true, "progress": 100,
    });
    assert_eq!(data_of(&callback), expected);
}

#[test]
fn anything_less_than_a_success_is_none() {
    let original = json!({"userID": "lena"});
    let proof = |reply: &str| callback_of(reply, &original, Command::SendMsg).proof();
    assert_eq!(proof(r#"{"ActionStatus":"FAIL","ErrorCode":70001,"ErrorInfo":"late"}"#), Proof::Failed);
    assert_eq!(proof(r#"{"ActionStatus":"OK","ErrorCode":70001,"MsgTime":1}"#), Proof::Failed);
    for reply in [
        r#"{"ActionStatus":"OK","ErrorCode":0}"#,
        r#"{"ActionStatus":"FAIL","ErrorCode":0,"MsgTime":1}"#,
        r#"{"ErrorCode":0,"MsgTime":1}"#,
    ] {
        assert!(matches!(proof(reply), Proof::ProvesNothing { .. }), "{reply}");
    }
    let dropped =
        r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":1,"MsgSeq":1,"MsgDropReason":"MsgFreqCtrl"}"#;
    assert_eq!(proof(dropped), Proof::Dropped { reason: "MsgFreqCtrl".to_owned() });
    let failed =
        callback_of(r#"{"ActionStatus":"FAIL","ErrorCode":5,"ErrorInfo":"w"}"#, &original, Command::SendMsg);
    assert_eq!((failed.code, failed.desc.as_str()), (5, "w"));
    for bytes in [
        "",
        "<html>",
        "[\"OK\",0]",
        "{}",
        r#"{"ErrorCode":null}"#,
        r#"{"ErrorCode":"no"}"#,
        r#"{"ErrorCode":0.5}"#,
        "null",
    ] {
        assert_eq!(Reply::parse(bytes.as_bytes()), None, "{bytes}");
    }
}

#[test]
fn a_code_decides_alone_however_odd_the_other_fields_are() {
    let original = json!({"userID": "lena"});
    for (reply, code, desc) in [
        (r#"{"ActionStatus":"FAIL","ErrorCode":80001,"ErrorInfo":null}"#, 80_001, ""),
        (r#"{"ActionStatus":"FAIL","ErrorCode":80001.0,"ErrorInfo":"w"}"#, 80_001, "w"),
        (r#"{"ActionStatus":"FAIL","ErrorCode":"80001","ErrorInfo":["w"]}"#, 80_001, ""),
        (r#"{"ActionStatus":null,"ErrorCode":80001,"ErrorInfo":"w","MsgTime":""}"#, 80_001, "w"),
        (r#"{"ErrorCode":-10114,"MsgSeq":"x","MsgKey":7,"MsgId":{},"MsgTime":1e400}"#, -10_114, ""),
        (r#"{"ErrorCode":1,"ErrorCode":80001,"ErrorInfo":"cut \ud83d"}"#, 80_001, "cut \u{fffd}"),
    ] {
        let callback = callback_of(reply, &original, Command::SendMsg);
        assert_eq!(
            (callback.code, callback.desc.as_str(), callback.proof()),
            (code, desc, Proof::Failed),
            "{reply}"
        );
    }
}

#[test]
fn a_success_may_spell_its_numbers_as_text_and_still_needs_its_time() {
    let original = json!({"groupID": "pier"});
    let id = |reply: &str| data_of(&callback_of(reply, &original, Command::SendGroupMsg))["msgID"].clone();
    assert_eq!(
        id(r#"{"ActionStatus":"OK","ErrorCode":"0","MsgTime":"1700000000","MsgSeq":"7"}"#),
        "7_7_1700000000"
    );
    assert_eq!(
        id(r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":170.0,"MsgSeq":"x","ErrorInfo":null}"#),
        "0_7_170"
    );
    let proof = |reply: &str| callback_of(reply, &original, Command::SendGroupMsg).proof();
    for reply in [
        r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":""}"#,
        r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":null}"#,
        r#"{"ActionStatus":null,"ErrorCode":0,"MsgTime":1}"#,
        r#"{"ErrorCode":"0"}"#,
    ] {
        assert!(matches!(proof(reply), Proof::ProvesNothing { .. }), "{reply}");
    }
    let dropped = r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":1,"MsgDropReason":{"why":1}}"#;
    assert_eq!(proof(dropped), Proof::Dropped { reason: r#"{"why":1}"#.to_owned() });
}

#[test]
fn what_is_not_new_in_a_message_stays_byte_for_byte() {
    let reply = Reply::parse(br#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":170,"MsgKey":"k"}"#).unwrap();
    let original = concat!(
        r#"{ "msgID":"m", "userID":"lena","seq":31877,"textElem" : {"text": "cut \ud83d", "nextElem":null},"#,
        r#""big":12345678901234567890123,"place":22.543095999999999,"far":1e400,"\ud83d":["\ude00"],"elemType":1 }"#
    );
    let callback = reply.to_callback(original.as_bytes(), &OPTIONS, Command::SendMsg);
    assert_eq!(callback.proof(), Proof::Sent { new_msg_id: Some("k".to_owned()) });
    let expected = concat!(
        r#"{"msgID":"k","timestamp":170,"seq":9,"random":7,"status":2,"isSelf":true,"progress":100,"#,
        r#""big":12345678901234567890123,"elemType":1,"far":1e400,"place":22.543095999999999,"#,
        r#""textElem":{"text": "cut \ud83d", "nextElem":null},"userID":"lena","\ud83d":["\ude00"]}"#
    );
    assert_eq!(callback.data.unwrap().get(), expected, "a number for seq stays one");
}

#[test]
fn a_new_message_of_the_c_shape_keeps_no_other_name_and_no_other_state() {
    let original = json!({
        "message_msg_id": "m", "message_unique_id": 77, "message_conv_id": "lena", "message_conv_type": 1,
        "message_status": 3, "ui_status": 3, "message_client_time": 169, "message_seq": "4", "id": "c",
        "msgID": "m", "status": 3, "MsgDropReason": "mine",
    });
    let reply = r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":170,"MsgKey":"k"}"#;
    let callback = callback_of(reply, &original, Command::SendMsg);
    assert_eq!(callback.proof(), Proof::Sent { new_msg_id: Some("k".to_owned()) });
    let expected = json!({
        "message_msg_id": "k", "message_conv_id": "lena", "message_conv_type": 1, "message_server_time": 170,
        "message_status": 2, "ui_status": 2, "message_client_time": 169, "message_seq": "9", "message_rand": 7,
        "message_is_from_self": true, "progress": 100,
    });
    assert_eq!(data_of(&callback), expected);
}

#[test]
fn what_an_app_adds_of_the_other_shape_does_not_spoil_the_proof() {
    let original = json!({"userID": "lena", "elemType": 1, "message_status": 3, "message_msg_id": "old"});
    let reply = r#"{"ActionStatus":"OK","ErrorCode":0,"MsgTime":170,"MsgKey":"k"}"#;
    let callback = callback_of(reply, &original, Command::SendMsg);
    assert_eq!(callback.proof(), Proof::Sent { new_msg_id: Some("k".to_owned()) });
    assert_eq!(data_of(&callback).get("message_status"), None);
}
