//! Tests of group tips: notes of the service, which no client can send.
//!
//! Owns:  every place in a message where they can stand.
//! Never: checks any other reason to refuse a message.

use super::*;

#[test]
fn group_tips_are_refused_in_both_shapes_and_videos_are_not() {
    let tips = |field| MessageError::GroupTips { field };
    assert_eq!(refusal(r#"{"elemType": 9, "isSelf": false}"#), tips("elemType"));
    assert_eq!(refusal(r#"{"elemType": 9.0}"#), tips("elemType"));
    let second = r#"{"message_elem_array": [{"elem_type": 0}, {"elem_type": 5}]}"#;
    assert_eq!(refusal(second), tips("message_elem_array[].elem_type"));
    assert_eq!(refusal(r#"{"message_msg_id": "m", "elem_type": 9}"#), tips("elem_type"));
    for video in [
        r#"{"elemType": 5}"#,
        r#"{"elem_type": 5, "message_elem_array": [{"elem_type": 9}]}"#,
        r#"{"elem_type": 9, "message_elem_array": [{"elem_type": 9}]}"#,
        r#"{"elem_type": 5, "message_elem_array": []}"#,
        r#"{"elemType": null, "message_elem_array": null}"#,
    ] {
        assert!(inspect(video.as_bytes()).is_ok(), "{video}");
    }
}

#[test]
fn group_tips_are_refused_wherever_in_a_message_they_stand() {
    for (message, field) in [
        (r#"{"groupTipsElem": {"type": 1}}"#, "groupTipsElem"),
        (r#"{"elemType": 0, "textElem": null, "groupTipsElem": {}}"#, "groupTipsElem"),
        (r#"{"elemType": 1, "textElem": {"nextElem": {"elemType": 9}}}"#, "nextElem.elemType"),
        (
            r#"{"elemType": 1, "textElem": {"nextElem": {"elemType": 8, "nextElem": {"elemType": "9"}}}}"#,
            "nextElem.elemType",
        ),
        (r#"{"groupReportElem": {"nextElem": {"elemType": 9}}}"#, "nextElem.elemType"),
        (r#"{"message_elem_array": [{"group_tips_elem_tip_type": 1}]}"#, "message_elem_array[]"),
    ] {
        assert_eq!(refusal(message), MessageError::GroupTips { field }, "{message}");
    }
    for other in [
        r#"{"elemType": 1, "textElem": {"text": "a"}, "groupTipsElem": {}}"#,
        r#"{"textElem": {"text": "a"}, "groupTipsElem": {}}"#,
        r#"{"elemType": 1, "textElem": {"nextElem": {"elemType": 5}}}"#,
        r#"{"elemType": 2, "customElem": {"data": {"nextElem": {"elemType": 9}}}}"#,
        r#"{"message_elem_array": [{"elem_type": 0, "group_tips_elem_tip_type": 1}]}"#,
    ] {
        assert!(inspect(other.as_bytes()).is_ok(), "{other}");
    }
}

#[test]
fn every_element_of_the_model_is_looked_into_for_group_tips() {
    let chain = r#"{"nextElem": {"elemType": 9}}"#;
    let all: Map<String, Value> =
        ELEMENTS.iter().map(|name| ((*name).to_owned(), serde_json::from_str(chain).unwrap())).collect();
    let read = crate::V2TimMessage::parse(Value::Object(all).to_string().as_bytes()).unwrap();
    assert_eq!(read.rest, Map::new(), "each is a field of the model");
    for name in ELEMENTS {
        let message = format!(r#"{{"elemType": 1, "{name}": {chain}}}"#);
        assert_eq!(refusal(&message), MessageError::GroupTips { field: "nextElem.elemType" }, "{message}");
    }
}
