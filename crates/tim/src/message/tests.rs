//! Tests of `message`, with the V2TimMessage examples that all tests share.
//!
//! Owns:  what each example and each shape must read as.
//! Never: tests the canonical form itself (`fingerprint` does).

use serde_json::Map;

use super::*;

mod receivers;
mod tips;

const MESSAGES: &str = include_str!("../../../../tests/fixtures/messages.jsonl");

const C_SHAPE: &str = r#"{
    "message_msg_id": "144115225971632901-1731500001-7",
    "message_conv_id": "ferry_desk",
    "message_conv_type": 1,
    "message_is_from_self": true,
    "message_status": 3,
    "message_client_time": 1731500001,
    "message_seq": 31877,
    "message_elem_array": [{"elem_type": 0, "text_elem_content": "Gate 4 printer is out of paper again."}],
    "id": "created_temp_id-1",
    "ui_status": 3,
    "elem_type": 1
}"#;

/// Every kind of value, with the corners of numbers and of escapes.
const EVERY_KIND: &str = concat!(
    r#"{"a":[0,-0.0,1,1.0,-5,2911436684,9007199254740993,18446744073709551615,-9223372036854775808,0.1,"#,
    r#"-2.5e-7,22.543095999999999,113.940123,1e30,1e300,-1E+22,5e-324,1e-400,18446744073709549568.0],"#,
    r#""b":"\u00e9\ud83d\ude00\\ud83d\"\n\u0000é😀","c":{"z":null,"a":true,"":false}}"#
);

fn fingerprint(message: &str) -> [u8; 32] {
    inspect(message.as_bytes()).unwrap().fingerprint
}

fn conversation(message: &str) -> Option<String> {
    inspect(message.as_bytes()).unwrap().conversation
}

fn refusal(message: &str) -> MessageError {
    inspect(message.as_bytes()).unwrap_err()
}

/// The message with one top-level field set.
fn with(message: &str, field: &str, value: &str) -> String {
    let mut object: Map<String, Value> = serde_json::from_str(message).unwrap();
    object.insert(field.to_owned(), serde_json::from_str(value).unwrap());
    serde_json::to_string(&object).unwrap()
}

#[test]
fn every_example_is_read_but_the_group_tips() {
    let expected = [
        ("1731500001-2911436684", "8831459923451027aQ3fZxLm90", "c2c:ferry_desk"),
        ("1731500100-1038050731", "8831460123451027cE5rNn7uVw", "c2c:ops_bot"),
        ("1731500222-88975690", "8831460223451027dR1qHh2iXy", "c2c:ferry_desk"),
        ("1731500333-1438098173", "9A0C1E3B-6E0F-4E5F-9F2E-1D6D0C7B2A11", "group:pier_crew"),
        ("1731500466-402993174", "8831460523451027fU2dKk3lCc", "group:@TGS#1YTTZEAEG"),
        ("1731500588-965790", "", "group:pier_crew"),
        ("1731500701-1200456781", "8831460823451027iP7hNn6oFf", "group:@TGS#3KVTZEAEZ"),
        ("1731500822-2002455310", "8831461023451027kD1jPp8qHh", "group:pier_crew"),
        ("1731500931-0", "", "group tips"),
        ("1731501044-12766512", "", "c2c:ferry_desk"),
    ];
    assert_eq!(MESSAGES.lines().count(), expected.len());
    for (line, (msg_id, id, conversation)) in MESSAGES.lines().zip(expected) {
        if conversation == "group tips" {
            assert_eq!(refusal(line), MessageError::GroupTips { field: "elemType" });
            continue;
        }
        let inspected = inspect(line.as_bytes()).unwrap();
        assert_eq!(inspected.msg_id, Some(format!("144115225971632901-{msg_id}")));
        assert_eq!(inspected.id.as_deref(), Some(id).filter(|id| !id.is_empty()));
        assert_eq!(inspected.conversation.as_deref(), Some(conversation));
    }
}

#[test]
fn examples_have_fingerprints_of_their_own_that_no_release_changes() {
    let fingerprints: std::collections::HashSet<_> =
        MESSAGES.lines().filter_map(|line| inspect(line.as_bytes()).ok()).map(|it| it.fingerprint).collect();
    assert_eq!(fingerprints.len(), 9);
    let first = MESSAGES.lines().next().unwrap();
    assert_eq!(
        blake3::Hash::from_bytes(fingerprint(first)).to_string(),
        "fe485285ffa409579f7edaffb1ab398f6cdc8f49086a07c6f55fc9fecf3f7aa9"
    );
    let mut all = Vec::new();
    for inspected in MESSAGES.lines().filter_map(|line| inspect(line.as_bytes()).ok()) {
        all.extend(inspected.fingerprint);
    }
    let all = blake3::hash(&all).to_string();
    assert_eq!(all, "90a7adcc3e2c759a4d95f3a5255c05d071de3c7e0775ef14d73e33be630736a8");
    for (message, golden) in [
        (C_SHAPE, "50c243ea14aee90cb84b717529bb8117c83b7dfd22be4e2fe580bb1efe437434"),
        (EVERY_KIND, "be5f16f4cd3e0302efc90b04eb3bb422f1b1fc4a1b49f5c7412b4ca51665a5b2"),
    ] {
        assert_eq!(blake3::Hash::from_bytes(fingerprint(message)).to_string(), golden, "{message}");
    }
}

#[test]
fn the_c_shape_is_read_by_its_own_names() {
    let inspected = inspect(C_SHAPE.as_bytes()).unwrap();
    assert_eq!(inspected.msg_id.as_deref(), Some("144115225971632901-1731500001-7"));
    assert_eq!(inspected.id.as_deref(), Some("created_temp_id-1"));
    assert_eq!(inspected.conversation.as_deref(), Some("c2c:ferry_desk"));
    let to_group = with(&with(C_SHAPE, "message_conv_type", "2"), "message_conv_id", r#""pier_crew""#);
    assert_eq!(conversation(&to_group).as_deref(), Some("group:pier_crew"));
}

#[test]
fn missing_null_and_empty_ids_are_all_absent() {
    for message in [
        "{}",
        r#"{"msgID": null, "id": null, "message_msg_id": null}"#,
        r#"{"msgID": "", "id": "", "message_msg_id": ""}"#,
    ] {
        let inspected = inspect(message.as_bytes()).unwrap();
        assert_eq!((inspected.msg_id, inspected.id, inspected.conversation), (None, None, None), "{message}");
    }
    let fallback = inspect(br#"{"msgID": "", "message_msg_id": "m"}"#).unwrap();
    assert_eq!(fallback.msg_id.as_deref(), Some("m"));
    let both = inspect(br#"{"msgID": "a", "message_msg_id": "m"}"#).unwrap();
    assert_eq!(both.msg_id.as_deref(), Some("a"));
}

#[test]
fn flags_and_numbers_may_be_spelt_as_the_models_read_them() {
    for received in [r#"{"isSelf": 0}"#, r#"{"isSelf": "false"}"#, r#"{"isSelf": "0"}"#] {
        assert_eq!(refusal(received), MessageError::NotOwn { field: "isSelf" }, "{received}");
    }
    assert_eq!(refusal(r#"{"elemType": "9"}"#), MessageError::GroupTips { field: "elemType" });
    let tips = r#"{"message_elem_array": [{"elem_type": "5"}]}"#;
    assert_eq!(refusal(tips), MessageError::GroupTips { field: "message_elem_array[].elem_type" });
    for own in [
        r#"{"isSelf": 1, "elemType": "1"}"#,
        r#"{"isSelf": "true", "elem_type": "", "message_is_from_self": ""}"#,
        r#"{"message_is_from_self": "1", "message_elem_array": [{"elem_type": "0"}]}"#,
    ] {
        assert!(inspect(own.as_bytes()).is_ok(), "{own}");
    }
    let to_group = r#"{"message_conv_type": "2", "message_conv_id": "g"}"#;
    assert_eq!(conversation(to_group).as_deref(), Some("group:g"));
}

#[test]
fn only_the_c_shape_says_of_a_message_that_it_is_for_those_online_alone() {
    let online = |message: &str| inspect(message.as_bytes()).unwrap().online_user_only;
    assert_eq!(online(C_SHAPE), None);
    for (value, expected) in
        [("true", Some(true)), ("1", Some(true)), ("false", Some(false)), ("null", None), ("[]", None)]
    {
        assert_eq!(online(&with(C_SHAPE, "message_is_online_msg", value)), expected, "{value}");
        let camel = format!(r#"{{"elemType": 1, "message_is_online_msg": {value}}}"#);
        assert_eq!(online(&camel), None, "{value} is the app's own there");
    }
}

#[test]
fn a_message_of_somebody_else_is_refused() {
    assert_eq!(refusal(r#"{"isSelf": false}"#), MessageError::NotOwn { field: "isSelf" });
    let error = refusal(&with(C_SHAPE, "message_is_from_self", "false"));
    assert_eq!(error, MessageError::NotOwn { field: "message_is_from_self" });
    for own in [r#"{"isSelf": true}"#, r#"{"isSelf": null}"#, "{}"] {
        assert!(inspect(own.as_bytes()).is_ok(), "{own}");
    }
}

#[test]
fn a_field_of_the_wrong_type_is_named_with_the_type_that_it_must_have() {
    for (message, text) in [
        (r#"{"msgID": 7}"#, "`msgID` must be a string or null, not a number"),
        (
            r#"{"msgID": "m", "message_msg_id": []}"#,
            "`message_msg_id` must be a string or null, not an array",
        ),
        (r#"{"id": true}"#, "`id` must be a string or null, not a boolean"),
        (r#"{"userID": {}}"#, "`userID` must be a string or null, not an object"),
        (r#"{"groupID": 1}"#, "`groupID` must be a string or null, not a number"),
        (r#"{"isSelf": "maybe"}"#, "`isSelf` must be a boolean or null, not a string"),
        (r#"{"message_is_from_self": 2}"#, "`message_is_from_self` must be a boolean or null, not a number"),
        (r#"{"elemType": "text"}"#, "`elemType` must be a number or null, not a string"),
        (r#"{"elem_type": []}"#, "`elem_type` must be a number or null, not an array"),
        (r#"{"message_conv_type": "c2c"}"#, "`message_conv_type` must be a number or null, not a string"),
        (r#"{"message_conv_id": 1}"#, "`message_conv_id` must be a string or null, not a number"),
        (r#"{"message_elem_array": {}}"#, "`message_elem_array` must be an array or null, not an object"),
        (r#"{"message_elem_array": [1]}"#, "`message_elem_array[]` must be an object, not a number"),
        (
            r#"{"message_elem_array": [{"elem_type": "tips"}]}"#,
            "`message_elem_array[].elem_type` must be a number or null, not a string",
        ),
    ] {
        let error = refusal(message);
        assert_eq!(error.to_string(), text);
        assert!(text.contains(error.field().unwrap()), "{message}");
    }
}

#[test]
fn what_is_not_a_json_object_is_refused_clearly() {
    for (message, found) in [
        ("[]", "an array"),
        ("null", "null"),
        ("\"{}\"", "a string"),
        ("1", "a number"),
        ("true", "a boolean"),
    ] {
        assert_eq!(refusal(message), MessageError::NotAnObject { found });
    }
    for message in [&b""[..], b"{", b"{}{}", b"{\"a\":\"\xff\"}", b"{\"a\":1e}", b"{\"a\":\"\\ud80\"}"] {
        let error = inspect(message).unwrap_err();
        assert!(matches!(error, MessageError::Json { .. }), "{error}");
        assert_eq!(error.field(), None);
    }
}

#[test]
fn nesting_is_limited_and_the_error_says_so() {
    let nested = |levels: usize| format!("{}{}", "{\"a\":".repeat(levels), "1") + &"}".repeat(levels);
    assert!(inspect(nested(127).as_bytes()).is_ok());
    let error = refusal(&nested(128));
    assert_eq!(error, MessageError::TooDeep);
    assert!(error.to_string().contains("127 levels"));
    assert_eq!(refusal(&"[".repeat(1_000_000)), MessageError::TooDeep);
}

#[test]
fn every_error_says_what_to_do() {
    let two = r#"{"userID": "a", "message_conv_id": "b"}"#;
    let errors = ["", "[]", r#"{"id": 1}"#, two, r#"{"elemType": 9}"#, r#"{"isSelf": false}"#].map(refusal);
    for error in errors.iter().chain([&MessageError::TooDeep]) {
        assert!(error.hint().len() > 20, "{error}");
    }
}

#[test]
fn key_order_white_space_and_spelling_do_not_change_the_fingerprint() {
    let message = r#"{"msgID":"m","textElem":{"text":"é","nextElem":null},"random":7,"at":["a","b"]}"#;
    for same in [
        r#"{"at":["a","b"],"random":7,"textElem":{"nextElem":null,"text":"é"},"msgID":"m"}"#,
        " {\n\t\"msgID\" : \"m\", \"textElem\": { \"text\": \"\\u00e9\", \"nextElem\": null },\r\n \"random\": 7.0, \"at\": [ \"a\", \"b\" ] } ",
        r#"{"msgID":"first","msgID":"m","textElem":{"text":"é","nextElem":null},"random":7,"at":["a","b"]}"#,
    ] {
        assert_eq!(fingerprint(message), fingerprint(same), "{same}");
    }
    let reordered = r#"{"msgID":"m","textElem":{"text":"é","nextElem":null},"random":7,"at":["b","a"]}"#;
    assert_ne!(fingerprint(message), fingerprint(reordered), "the order of an array counts");
}

#[test]
fn fields_that_change_while_a_message_waits_do_not_change_the_fingerprint() {
    let message = MESSAGES.lines().next().unwrap();
    for field in IGNORED {
        assert_eq!(fingerprint(message), fingerprint(&with(message, field, "\"other\"")), "{field}");
        let mut object: Map<String, Value> = serde_json::from_str(message).unwrap();
        object.remove(field);
        let without = serde_json::to_string(&object).unwrap();
        assert_eq!(fingerprint(message), fingerprint(&without), "without {field}");
    }
    assert!(IGNORED_C.contains(&"message_sender_group_member_info"), "it holds the name card");
    for field in IGNORED_C {
        assert_eq!(fingerprint(C_SHAPE), fingerprint(&with(C_SHAPE, field, "77")), "{field}");
    }
}

#[test]
fn every_other_field_changes_the_fingerprint() {
    let message = MESSAGES.lines().next().unwrap();
    for (field, value) in [
        ("textElem", r#"{"text": "Gate 4 printer is out of paper again!"}"#),
        ("textElem", r#"{"text": "Gate 4 printer is out of paper again.", "status": 2}"#),
        ("cloudCustomData", r#""x""#),
        ("userID", r#""ops_bot""#),
        ("id", "null"),
        ("isSelf", "null"),
        ("somethingNew", "null"),
        ("ui_status", "2"),
        ("revokerInfo", "{}"),
    ] {
        assert_ne!(fingerprint(message), fingerprint(&with(message, field, value)), "{field} {value}");
    }
    for (field, value) in [("message_seq", "31878"), ("elem_type", "2"), ("message_elem_array", "[]")] {
        assert_ne!(fingerprint(C_SHAPE), fingerprint(&with(C_SHAPE, field, value)), "{field} {value}");
    }
}

#[test]
fn fields_that_do_not_count_at_the_top_count_further_down() {
    let text = |status: u8| format!(r#"{{"customElem": {{"data": {{"status": {status}}}}}}}"#);
    assert_ne!(fingerprint(&text(1)), fingerprint(&text(2)));
}

#[test]
fn a_number_beyond_all_floats_is_no_reason_to_refuse_a_message() {
    let message =
        |number: &str| format!(r#"{{"msgID":"m","userID":"u","elemType":1,"new":{{"far":{number}}}}}"#);
    let inspected = inspect(message("1e400").as_bytes()).unwrap();
    assert_eq!((inspected.msg_id.as_deref(), inspected.conversation.as_deref()), (Some("m"), Some("c2c:u")));
    assert_eq!(fingerprint(&message("1e400")), fingerprint(&message("10E399")));
    for other in ["1e401", "-1e400", "null", "1.5e400"] {
        assert_ne!(fingerprint(&message("1e400")), fingerprint(&message(other)), "{other}");
    }
}

#[test]
fn half_a_character_in_a_text_is_no_reason_to_refuse_a_message() {
    for half in [r"\ud83d", r"\uDE00", r"\ud83d\ud83d", r"\ude00\ud83d", r"\ud83d\u0041", r"\ud83d\n"] {
        let message = format!(
            r#"{{"msgID":"m","id":"i","userID":"u","textElem":{{"text":"cut {half}"}},"{half}":["{half}"]}}"#
        );
        let inspected = inspect(message.as_bytes()).unwrap();
        assert_eq!(inspected.msg_id.as_deref(), Some("m"), "{message}");
        assert_eq!(inspected.id.as_deref(), Some("i"), "{message}");
        assert_eq!(inspected.conversation.as_deref(), Some("c2c:u"), "{message}");
    }
}

#[test]
fn which_half_of_a_character_a_message_has_counts_for_its_fingerprint() {
    let text = |text: &str| fingerprint(&format!(r#"{{"msgID":"m","textElem":{{"text":"cut {text}"}}}}"#));
    let name = |name: &str| fingerprint(&format!(r#"{{"msgID":"m","customElem":{{"cut {name}":1}}}}"#));
    assert_eq!(text(r"\ud83d"), text(r"\uD83D"));
    assert_eq!(text(r"\ud83d\u0041"), text(r"\ud83dA"));
    let texts = [
        r"\ud83d",
        r"\ud83c",
        r"\ude00",
        r"\ufffd",
        r"\ufffdd83d",
        r"\ufffdD83D",
        r"\\ud83d",
        r"\ud83d\ude00",
        r"\ude00\ud83d",
        r"\ud83d\ud83d",
        r"\u00ed\u00a0\u00bd",
        "d83d",
        "",
    ];
    for (index, left) in texts.iter().enumerate() {
        for right in &texts[index + 1..] {
            assert_ne!(text(left), text(right), "{left} and {right}");
            assert_ne!(name(left), name(right), "{left} and {right}");
        }
    }
    let two = |one: &str, other: &str| format!(r#"{{"customElem":{{"{one}":1,"{other}":2}}}}"#);
    assert_eq!(fingerprint(&two(r"\ud83d", "a")), fingerprint(&two(r"\uD83D", r"\u0061")));
    let both = r#"{"customElem":{"\ud83d":1,"\ud83c":2}}"#;
    let turned = r#"{"customElem":{"\ud83c":2,"\ud83d":1}}"#;
    assert_eq!(fingerprint(both), fingerprint(turned), "the order of names does not count");
    assert_ne!(fingerprint(both), fingerprint(r#"{"customElem":{"\ud83c":2}}"#), "two names, not one twice");
}

#[test]
fn half_a_character_in_a_field_that_does_not_count_does_not_count_either() {
    let named = |name: &str| fingerprint(&format!(r#"{{"msgID":"m","nickName":"{name}"}}"#));
    assert_eq!(named(r"Ada \ud83d"), named("Ada"));
    assert_eq!(named(r"Ada \ud83d"), named(r"Ada \ude00"));
}

#[test]
fn an_id_with_half_a_character_is_refused_by_name() {
    for field in ["msgID", "message_msg_id", "id", "userID", "groupID", "message_conv_id"] {
        let error = refusal(&format!(r#"{{"{field}":"a\ud83d","textElem":{{"text":"\ude00"}}}}"#));
        assert_eq!(error, MessageError::HalfCharacter { field });
        assert_eq!(error.field(), Some(field));
        let said = error.to_string();
        assert!(said.contains(field) && said.contains("half of a character"), "{said}");
        // A replacement character that the message has itself is one like any other, also beside a half.
        let own = format!(r#"{{"{field}":"a\ufffd","textElem":{{"text":"\ude00"}}}}"#);
        assert!(inspect(own.as_bytes()).is_ok(), "{own}");
    }
}

#[test]
fn of_a_field_that_is_there_twice_the_last_counts_halves_or_not() {
    let twice = |one: &str, other: &str| {
        format!(r#"{{"msgID":"{one}","msgID":"{other}","x":{{"k":"{one}","k":"{other}"}},"y":"\ud83d"}}"#)
    };
    let inspected = inspect(twice(r"\ud83d", "b").as_bytes()).unwrap();
    assert_eq!(inspected.msg_id.as_deref(), Some("b"));
    assert_eq!(inspected.fingerprint, fingerprint(r#"{"msgID":"b","x":{"k":"b"},"y":"\ud83d"}"#));
    assert_eq!(refusal(&twice("b", r"\ud83d")), MessageError::HalfCharacter { field: "msgID" });
}

#[test]
fn what_is_wrong_beside_half_a_character_is_said() {
    for message in
        [r#"{"a":"\ud83d""#, r#"{"a":"\ud83d"} x"#, r#"{"a":"\ud83d","b":1e}"#, r#"{"a":"\ud83d\x"}"#]
    {
        let MessageError::Json { reason } = refusal(message) else { panic!("{message}") };
        assert!(!reason.contains("surrogate") && !reason.contains("hex escape"), "{message}: {reason}");
    }
    let deep = format!(r#"{{"a":"\ud83d","b":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert_eq!(refusal(&deep), MessageError::TooDeep);
}
