//! Tests of the model: what each platform writes is understood, and written back as it came.
//!
//! Owns:  examples of ours in every platform's manner, and the property that nothing is lost.
//! Never: tests the spellings of a single field (`fields` does).

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fields::Wire;
use crate::fields::any::Any;

mod platforms;

const MESSAGES: &str = include_str!("../../../../tests/fixtures/messages.jsonl");

/// Reads a message, and checks that it is written back as it came.
fn read(value: &Value) -> V2TimMessage {
    let message = V2TimMessage::parse(value.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&message.to_json()).unwrap(), *value);
    message
}

/// The example with this place in the file, counted from 0.
fn example(place: usize) -> V2TimMessage {
    V2TimMessage::parse(MESSAGES.lines().nth(place).unwrap().as_bytes()).unwrap()
}

/// What each element says, in order.
fn words(message: &V2TimMessage) -> Vec<String> {
    let word = |elem: Elem<'_>| match elem {
        Elem::Text(text) => text.text.clone().unwrap(),
        Elem::Custom(custom) => custom.data.clone().unwrap(),
        Elem::Face(face) => format!("face {}", face.index.unwrap()),
        Elem::Other(other) => format!("other {:?}", other.elem_type.map(ElemType::number)),
        other => format!("{:?}", other.elem_type().unwrap()),
    };
    message.elements().map(word).collect()
}

#[test]
fn every_example_is_written_back_as_it_came() {
    for line in MESSAGES.lines() {
        read(&serde_json::from_str(line).unwrap());
    }
    assert_eq!(MESSAGES.lines().count(), 10);
}

#[test]
fn every_example_is_understood() {
    let expected = [
        (Some(MessageStatus::Failed), ElemType::Text),
        (Some(MessageStatus::Failed), ElemType::Custom),
        (Some(MessageStatus::Failed), ElemType::Image),
        (Some(MessageStatus::Failed), ElemType::Image),
        (Some(MessageStatus::Failed), ElemType::Sound),
        (Some(MessageStatus::Sent), ElemType::Video),
        (Some(MessageStatus::Failed), ElemType::File),
        (Some(MessageStatus::Failed), ElemType::Face),
        (Some(MessageStatus::Sent), ElemType::GroupTips),
        (Some(MessageStatus::Unsent), ElemType::Text),
    ];
    for (place, (status, elem_type)) in expected.into_iter().enumerate() {
        let message = example(place);
        assert_eq!((message.status, message.elem_type), (status, Some(elem_type)), "example {place}");
        let found: Vec<_> = message.elements().map(Elem::elem_type).collect();
        assert_eq!(found, [Some(elem_type)], "example {place}");
        let left: Vec<_> = message.rest.iter().filter(|(_, value)| !value.is_null()).collect();
        assert!(left.is_empty(), "example {place} has a field that the model does not know: {left:?}");
    }
}

#[test]
fn an_example_says_what_it_says() {
    let message = example(0);
    assert_eq!(message.msg_id.as_deref(), Some("144115225971632901-1731500001-2911436684"));
    assert_eq!((message.timestamp, message.progress), (Some(1_731_500_001), Some(100)));
    assert_eq!((message.seq, message.random), (Some(NumberText(31877)), Some(2_911_436_684)));
    assert_eq!((message.group_id.as_deref(), message.user_id.as_deref()), (None, Some("ferry_desk")));
    assert_eq!((message.priority, message.local_custom_int), (Some(Priority::Default), Some(1)));
    assert_eq!(words(&message), ["Gate 4 printer is out of paper again."]);
    let push = message.offline_push_info.unwrap();
    assert_eq!((push.title.as_deref(), push.disable_push), (Some("Kiosk 7"), Some(false)));
    assert_eq!(push.ios_sound.as_deref(), Some(PUSH_DEFAULT_SOUND));
    assert_eq!(
        (push.android_vivo_classification, push.ios_push_type),
        (Some(1), Some(OfflinePushType::Apns))
    );
    assert!(push.rest.is_empty());
}

#[test]
fn a_chain_is_told_in_order() {
    let message = read(&json!({"elemType": 1, "textElem": {"text": "a", "nextElem": {
        "elemType": 8, "index": 4, "data": "yz17", "nextElem": {
            "elemType": 2, "data": "b", "desc": "", "extension": "", "nextElem": {
                "elemType": 1, "text": "c"
    }}}}}));
    assert_eq!(words(&message), ["a", "face 4", "b", "c"]);
    let next = message.text_elem.unwrap().next_elem.unwrap();
    let V2TimElem::Face(face) = *next else { panic!("a face is read as {next:?}") };
    assert!(face.rest.is_empty(), "the variant says the type");
}

#[test]
fn an_element_that_nobody_knows_does_not_end_the_chain() {
    let message = read(&json!({"elemType": 1, "textElem": {"text": "a", "nextElem": {
        "elemType": 77, "beam": [1, null], "nextElem": {
            "beam": true, "nextElem": {"elemType": "1", "text": "b", "nextElem": null}
    }}}}));
    assert_eq!(words(&message), ["a", "other Some(77)", "other None", "b"]);
}

#[test]
fn a_chain_ends_where_the_next_element_is_none() {
    for next in [json!(null), json!({}), json!([]), json!("text")] {
        let message = read(&json!({"elemType": 2, "customElem": {"data": "a", "nextElem": next}}));
        assert_eq!(words(&message), ["a"]);
        assert_eq!(message.custom_elem.unwrap().next_elem, None);
    }
}

#[test]
fn a_chain_is_as_long_as_the_parser_goes_deep() {
    let chain = |length: usize| {
        let first = r#"{"textElem":{"text":"a""#;
        let others = r#","nextElem":{"elemType":1,"text":"a""#.repeat(length - 1);
        format!("{first}{others}{}", "}".repeat(length + 1))
    };
    let longest = V2TimMessage::parse(chain(126).as_bytes()).unwrap();
    assert_eq!(longest.elements().count(), 126);
    assert_eq!(longest.to_json().len(), chain(126).len());
    let error = V2TimMessage::parse(chain(127).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("recursion limit exceeded"), "{error}");
}

#[test]
fn the_first_element_is_the_one_that_the_type_names() {
    let both = json!({"textElem": {"text": "a"}, "customElem": {"data": "b"}});
    let typed = |elem_type: Value| {
        let mut message = both.clone();
        message["elemType"] = elem_type;
        words(&read(&message))
    };
    assert_eq!(typed(json!(1)), ["a"]);
    assert_eq!(typed(json!("2")), ["b"]);
    assert_eq!(typed(json!(3)), [""; 0]);
    assert_eq!(typed(json!(0)), [""; 0]);
    assert_eq!(typed(json!(null)), [""; 0]);
}

#[test]
fn without_a_type_the_only_element_is_the_first() {
    for elem_type in [json!(null), json!(0), json!("0"), json!({})] {
        assert_eq!(words(&read(&json!({"elemType": elem_type, "faceElem": {"index": 3}}))), ["face 3"]);
    }
    assert_eq!(words(&read(&json!({"faceElem": {"index": 3}, "textElem": null}))), ["face 3"]);
    assert_eq!(words(&read(&json!({"streamElem": {"markdown": "*"}}))), ["other None"]);
    assert_eq!(words(&read(&json!({}))), [""; 0]);
}

#[test]
fn a_message_made_by_hand_is_written_as_newer_sdks_write_it() {
    let custom = V2TimCustomElem { data: Some("{}".to_owned()), ..Default::default() };
    let mut text = V2TimTextElem { text: Some("a".to_owned()), ..Default::default() };
    text.next_elem = Some(Box::new(V2TimElem::Custom(custom)));
    let message = V2TimMessage {
        elem_type: Some(ElemType::Text),
        text_elem: Some(Box::new(text)),
        seq: Some(NumberText(7)),
        priority: Some(Priority::High),
        group_at_user_list: Some(vec![AT_ALL_TAG.to_owned()]),
        ..Default::default()
    };
    let expected = json!({
        "elemType": 1, "seq": "7", "priority": 1, "groupAtUserList": ["__kImSDK_MesssageAtALL__"],
        "textElem": {"text": "a", "nextElem": {"elemType": 2, "data": "{}"}},
    });
    assert_eq!(serde_json::from_str::<Value>(&message.to_json()).unwrap(), expected);
    assert_eq!(read(&expected), message);
}

#[test]
fn a_chained_element_of_another_variant_has_another_type() {
    let mut elem = V2TimElem::read(&json!({"elemType": "1", "text": "a"})).unwrap();
    assert_eq!(elem.write(), json!({"elemType": "1", "text": "a"}));
    let V2TimElem::Text(text) = &mut elem else { panic!("a text is read as {elem:?}") };
    let face = V2TimElem::Face(V2TimFaceElem { rest: text.rest.clone(), ..Default::default() });
    assert_eq!(face.write(), json!({"elemType": 8}));
}

#[test]
fn a_field_of_a_wrong_type_is_kept_and_says_nothing() {
    let message = read(&json!({
        "msgID": 7, "timestamp": "soon", "status": true, "elemType": [], "textElem": "a", "imageElem": [],
        "groupAtUserList": ["lena", 7], "random": 1.5, "seq": "", "isSelf": "maybe", "quoteInfo": [],
    }));
    assert_eq!(V2TimMessage { rest: Map::new(), ..message }, V2TimMessage::default());
}

#[test]
fn bytes_that_are_no_message_say_why() {
    for (bytes, expected) in [
        (&b""[..], "the message is not valid JSON: EOF while parsing a value at line 1 column 0"),
        (b"{\"a\":1", "the message is not valid JSON: EOF while parsing an object at line 1 column 6"),
        (b"\xff", "the message is not valid JSON: expected value at line 1 column 1"),
        (b"[]", "the message must be a JSON object, not an array"),
        (b"\"{}\"", "the message must be a JSON object, not a string"),
    ] {
        let error = V2TimMessage::parse(bytes).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().starts_with("give the V2TimMessage"));
    }
}

#[test]
fn half_a_character_is_read_as_the_replacement_character() {
    let cut = br#"{"elemType": 1, "textElem": {"text": "ferry \ud83d\ude00 \ud83d"}}"#;
    let message = V2TimMessage::parse(cut).unwrap();
    assert_eq!(words(&message), ["ferry \u{1f600} \u{fffd}"]);
}

/// Names that some type in a message has, and one that none has.
const NAMES: [&str; 32] = [
    "elemType",
    "textElem",
    "customElem",
    "imageElem",
    "videoElem",
    "mergerElem",
    "groupTipsElem",
    "streamElem",
    "offlinePushInfo",
    "revokerInfo",
    "quoteInfo",
    "groupAtUserList",
    "seq",
    "status",
    "isSelf",
    "text",
    "nextElem",
    "imageList",
    "uuid",
    "UUID",
    "type",
    "latitude",
    "messageList",
    "isLayersOverLimit",
    "layersOverLimit",
    "opMember",
    "memberList",
    "onlineDevices",
    "onlineDevices ",
    "disablePush",
    "isDisablePush",
    "nobody's",
];

/// Any JSON value, with names that the model knows at every level.
fn any_value() -> impl Strategy<Value = Value> {
    let spelt = prop::sample::select(vec!["", "0", "1", "-7", "007", "1.5", "true", "false", "a"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..13).prop_map(Value::from),
        (-2_i64..13).prop_map(|whole| json!(whole as f64 / 2.0)),
        any::<u64>().prop_map(Value::from),
        spelt.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            4 => any_object(inner).prop_map(Value::from),
        ]
    })
}

fn any_object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned);
    prop::collection::btree_map(name, value, 0..6).prop_map(|fields| fields.into_iter().collect())
}

proptest! {
    // A message has some hundred fields three levels deep; a run takes well under a second.
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_message_is_read_as_it_was_written(message in V2TimMessage::any(3)) {
        let text = message.to_json();
        let again = V2TimMessage::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&again, &message);
        prop_assert_eq!(again.to_json(), text);
    }

    #[test]
    fn whatever_is_read_is_written_back(object in any_object(any_value())) {
        let message = V2TimMessage::read_object(&object);
        prop_assert_eq!(message.write_object(), object.clone());
        prop_assert!(message.elements().count() <= 6, "the chain is no longer than the object is deep");
    }

    #[test]
    fn a_created_message_is_read_as_it_was_written(created in V2TimMsgCreateInfoResult::any(2)) {
        let text = serde_json::to_string(&created).unwrap();
        let again: V2TimMsgCreateInfoResult = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(again, created);
    }

    #[test]
    fn an_older_notification_is_read_as_it_was_written(push in V2TimOfflinePushInfo::any(1)) {
        let text = serde_json::to_string(&push).unwrap();
        let again: V2TimOfflinePushInfo = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(again, push);
    }
}
