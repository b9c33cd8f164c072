//! Tests of who gets a message: nobody but those whom it names, in either shape.
//!
//! Owns:  lists of members with odd items, both shapes in one message, odd senders.
//! Never: checks the content.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::MessageError;

const TEXT: &str = r#""elemType":1,"textElem":{"text":"a"}"#;
const TEXT_C: &str = r#""message_elem_array":[{"elem_type":0,"text_elem_content":"a"}]"#;

fn of(message: &str) -> Result<Value, CannotCarry> {
    call(message.as_bytes(), &OPTIONS).map(|call| serde_json::from_slice(&call.body).unwrap())
}

/// A message for some members of a group, in both shapes.
fn for_members(list: &str) -> [String; 2] {
    [
        format!(r#"{{"groupID":"pier",{TEXT},"targetGroupMemberList":{list}}}"#),
        format!(
            r#"{{"message_conv_type":2,"message_conv_id":"pier",{TEXT_C},"message_target_group_member_array":{list}}}"#
        ),
    ]
}

#[test]
fn a_message_for_some_members_never_goes_to_more_of_them_than_it_names() {
    for list in [
        r#"["a",null]"#,
        r#"["a",5]"#,
        r#"["a",["b"]]"#,
        r#""a""#,
        r#""""#,
        "5",
        "{}",
        r#"[""]"#,
        r#"["a",""]"#,
        r#"["a\ud83d"]"#,
        r#"["\ude00"]"#,
    ] {
        for message in for_members(list) {
            let error = of(&message).expect_err(&message);
            assert!(matches!(error, CannotCarry::Receiver(_)), "{message}: {error}");
            assert!(error.to_string().contains("arget"), "it names the field: {error}");
            assert!(error.hint().len() > 20, "{error}");
        }
    }
    for list in ["null", "[]"] {
        for message in for_members(list) {
            assert_eq!(of(&message).unwrap()["To_Account"], Value::Null, "{message}: to all");
        }
    }
    for message in for_members(r#"["a","\ud83d\ude00"]"#) {
        assert_eq!(of(&message).unwrap()["To_Account"], json!(["a", "\u{1f600}"]), "{message}");
    }
}

#[test]
fn a_member_named_as_the_user_is_the_only_one() {
    let of_user =
        |user: &str, more: &str| of(&format!(r#"{{"groupID":"pier","userID":{user},{TEXT}{more}}}"#));
    assert_eq!(of_user(r#""lena""#, "").unwrap()["To_Account"], json!(["lena"]));
    let same = r#","targetGroupMemberList":["lena"],"message_target_group_member_array":["lena"]"#;
    assert_eq!(of_user(r#""lena""#, same).unwrap()["To_Account"], json!(["lena"]));
    for user in ["5", "[]", r#""lena\ud83d""#] {
        assert!(matches!(of_user(user, ""), Err(CannotCarry::Receiver(_))), "{user}");
    }
    let two = |one, other| Err(CannotCarry::Receiver(MessageError::TwoReceivers { one, other }));
    assert_eq!(
        of_user(r#""lena""#, r#","targetGroupMemberList":["lena","omar"]"#),
        two("userID", "targetGroupMemberList")
    );
    let lists = r#","targetGroupMemberList":["a"],"message_target_group_member_array":["a","b"]"#;
    assert_eq!(of_user("null", lists), two("targetGroupMemberList", "message_target_group_member_array"));
    // A list of the other shape counts as well: without it all would get the message.
    let other = r#","message_target_group_member_array":["a"]"#;
    assert_eq!(of_user("null", other).unwrap()["To_Account"], json!(["a"]));
}

#[test]
fn a_list_of_members_does_not_send_a_message_to_a_person_whom_it_leaves_out() {
    let camel = format!(r#"{{"userID":"lena",{TEXT},"targetGroupMemberList":["omar"]}}"#);
    let c = format!(
        r#"{{"message_conv_type":1,"message_conv_id":"lena",{TEXT_C},"message_target_group_member_array":["omar"]}}"#
    );
    for message in [camel, c] {
        assert!(matches!(of(&message), Err(CannotCarry::Receiver(_))), "{message}");
        assert_eq!(of(&message.replace("omar", "lena")).unwrap()["To_Account"], "lena");
    }
}

#[test]
fn the_receiver_is_the_one_that_submit_takes_for_the_lane() {
    let sent_to = |body: &Value| match body.get("GroupId") {
        Some(group) => format!("group:{}", group.as_str().unwrap()),
        None => format!("c2c:{}", body["To_Account"].as_str().unwrap()),
    };
    for message in [
        format!(r#"{{"userID":"lena",{TEXT},"message_unique_id":5}}"#),
        format!(r#"{{"groupID":"pier",{TEXT},"message_conv_id":"","message_elem_array":null}}"#),
        format!(r#"{{"userID":"lena",{TEXT_C}}}"#),
        format!(r#"{{"groupID":"pier",{TEXT_C},"message_conv_type":2,"message_conv_id":"pier"}}"#),
        format!(
            r#"{{"message_conv_type":1,"message_conv_id":"lena",{TEXT_C},"elem_type":1,"id":"c","progress":0,"ui_status":1}}"#
        ),
        format!(r#"{{"message_conv_type":"2","message_conv_id":"pier",{TEXT_C}}}"#),
    ] {
        let inspected = crate::message::inspect(message.as_bytes()).unwrap();
        let body = of(&message).expect(&message);
        assert_eq!(Some(sent_to(&body)), inspected.conversation, "{message}");
    }
    for message in [
        format!(r#"{{"groupID":"g","message_conv_type":1,"message_conv_id":"victim",{TEXT_C}}}"#),
        format!(r#"{{"userID":"lena",{TEXT},"message_conv_type":1,"message_conv_id":"victim"}}"#),
    ] {
        let submitted = crate::message::inspect(message.as_bytes()).unwrap_err();
        assert_eq!(of(&message), Err(CannotCarry::Receiver(submitted)), "{message}");
    }
}

#[test]
fn a_sender_that_cannot_be_read_is_not_replaced_by_the_administrator() {
    for sender in ["5", "[]", r#""kiosk\ud83d""#] {
        let message = format!(r#"{{"userID":"lena","sender":{sender},{TEXT}}}"#);
        assert!(matches!(of(&message), Err(CannotCarry::Receiver(_))), "{message}");
    }
    let message = format!(r#"{{"userID":"lena","sender":"",{TEXT}}}"#);
    assert_eq!(of(&message).unwrap().get("From_Account"), None);
}

#[test]
fn names_that_call_nobody_are_left_out_and_the_others_stay() {
    let all = "__kImSDK_MessageAtALL__";
    let list = format!(r#"["lena",null,5,"","o\ud83d","{all}",["x"]]"#);
    let expected = json!([{"GroupAtAllFlag": 0, "GroupAt_Account": "lena"}, {"GroupAtAllFlag": 1}]);
    for message in [
        format!(r#"{{"groupID":"pier",{TEXT},"groupAtUserList":{list}}}"#),
        format!(
            r#"{{"message_conv_type":2,"message_conv_id":"pier",{TEXT_C},"message_group_at_user_array":{list}}}"#
        ),
    ] {
        assert_eq!(of(&message).unwrap()["GroupAtInfo"], expected, "{message}");
        assert_eq!(of(&message.replace(&list, "\"lena\"")).unwrap().get("GroupAtInfo"), None);
    }
}

/// Objects with any of the fields that name a receiver, in one shape, in both, in none.
fn any_receivers() -> impl Strategy<Value = Value> {
    let names = select(vec![
        "groupID",
        "userID",
        "message_conv_type",
        "message_conv_id",
        "targetGroupMemberList",
        "message_target_group_member_array",
    ]);
    let values = select(
        [
            "null",
            "0",
            "1",
            "2",
            r#""2""#,
            r#""""#,
            r#""a""#,
            r#""b""#,
            r#"["a"]"#,
            r#"["a","b"]"#,
            r#"["a",null]"#,
            "[]",
            r#"[""]"#,
        ]
        .map(|json| serde_json::from_str::<Value>(json).unwrap())
        .to_vec(),
    );
    let camel = json!({"elemType": 1, "textElem": {"text": "t"}});
    let c = json!({"message_elem_array": [{"elem_type": 0, "text_elem_content": "t"}]});
    let contents = select(vec![camel, c, json!({"textElem": {"text": "t"}})]);
    (proptest::collection::btree_map(names, values, 0..6), contents).prop_map(|(fields, mut message)| {
        message
            .as_object_mut()
            .unwrap()
            .extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        message
    })
}

/// The members that a message names in its lists.
fn listed(message: &Value) -> Vec<&Value> {
    ["targetGroupMemberList", "message_target_group_member_array"]
        .into_iter()
        .filter_map(|list| message[list].as_array())
        .flatten()
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn whatever_is_posted_goes_to_the_lane_of_its_submit_and_to_no_more_than_it_names(message in any_receivers()) {
        let text = message.to_string();
        let Ok(body) = of(&text) else { return Ok(()) };
        let inspected = crate::message::inspect(text.as_bytes()).unwrap();
        let to = &body["To_Account"];
        match body.get("GroupId") {
            None => {
                prop_assert_eq!(inspected.conversation, Some(format!("c2c:{}", to.as_str().unwrap())));
                prop_assert!(listed(&message).iter().all(|member| *member == to));
            }
            Some(group) => {
                prop_assert_eq!(inspected.conversation, Some(format!("group:{}", group.as_str().unwrap())));
                let user = message["userID"].as_str().filter(|user| !user.is_empty());
                let is_targeted = user.is_some() || !listed(&message).is_empty();
                prop_assert_eq!(is_targeted, to.is_array());
                for member in to.as_array().into_iter().flatten() {
                    let is_named = |name: &Value| name == member;
                    prop_assert!(user.is_none_or(|user| member == user));
                    prop_assert!(user.is_some() || listed(&message).into_iter().any(is_named));
                }
            }
        }
    }
}
