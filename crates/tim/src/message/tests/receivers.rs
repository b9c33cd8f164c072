//! Tests of whom a message is for, and of its shape, which decides that.
//!
//! Owns:  fields of one shape, of both, of an app's own.
//! Never: looks at what a message says.

use super::*;

#[test]
fn a_conversation_is_the_group_then_the_peer_then_that_of_the_c_shape() {
    for (message, expected) in [
        (r#"{"groupID": "g", "userID": "u"}"#, Some("group:g")),
        (r#"{"groupID": "", "userID": "u"}"#, Some("c2c:u")),
        (r#"{"groupID": null, "userID": null}"#, None),
        (r#"{"userID": "", "message_conv_type": 2, "message_conv_id": "g"}"#, Some("group:g")),
        (r#"{"message_conv_type": 1.0, "message_conv_id": "u"}"#, Some("c2c:u")),
        (r#"{"message_conv_type": 3, "message_conv_id": "u"}"#, None),
        (r#"{"message_conv_type": 1, "message_conv_id": ""}"#, None),
        (r#"{"message_conv_id": "u"}"#, None),
        // The fields of the other shape may say the same, or nothing.
        (r#"{"userID": "u", "message_conv_type": 1, "message_conv_id": "u"}"#, Some("c2c:u")),
        (
            r#"{"groupID": "g", "userID": "u", "message_conv_type": "2", "message_conv_id": "g"}"#,
            Some("group:g"),
        ),
        (r#"{"userID": "u", "message_conv_type": 0, "message_conv_id": "", "elemType": 1}"#, Some("c2c:u")),
        (r#"{"userID": "u", "message_elem_array": [{"elem_type": 0}]}"#, Some("c2c:u")),
        (r#"{"userID": "u", "message_unique_id": 5, "elemType": 1}"#, Some("c2c:u")),
    ] {
        assert_eq!(conversation(message).as_deref(), expected, "{message}");
    }
}

#[test]
fn fields_that_name_different_receivers_are_refused_and_nobody_is_guessed() {
    let two = |one, other| MessageError::TwoReceivers { one, other };
    for (message, error) in [
        (
            r#"{"groupID":"g","message_conv_type":1,"message_conv_id":"victim","message_elem_array":[]}"#,
            two("groupID", "message_conv_id"),
        ),
        (
            r#"{"userID": "u", "message_conv_type": 2, "message_conv_id": "g"}"#,
            two("userID", "message_conv_id"),
        ),
        // A person may be called as a group is.
        (
            r#"{"userID": "a", "message_conv_type": 2, "message_conv_id": "a"}"#,
            two("userID", "message_conv_type"),
        ),
        (
            r#"{"groupID": "g", "userID": "u", "message_conv_type": 1, "message_conv_id": "u", "elemType": 1}"#,
            two("groupID", "message_conv_id"),
        ),
        (r#"{"groupID": "g", "message_conv_type": 1}"#, two("groupID", "message_conv_type")),
        (r#"{"userID": "u", "message_conv_id": "v"}"#, two("userID", "message_conv_id")),
    ] {
        assert_eq!(refusal(message), error, "{message}");
        assert!(error.to_string().contains("message_conv_"), "{error}");
    }
}

#[test]
fn a_message_in_camel_case_stays_one_whatever_the_app_adds_to_it() {
    let message = MESSAGES.lines().next().unwrap();
    let added = with(message, "message_unique_id", "5");
    for field in ["ui_status", "message_status"] {
        assert_ne!(
            fingerprint(&added),
            fingerprint(&with(&added, field, "77")),
            "{field} means nothing there"
        );
    }
    let both = with(&with(message, "message_conv_id", r#""ferry_desk""#), "message_elem_array", "[]");
    assert_ne!(fingerprint(&both), fingerprint(&with(&both, "ui_status", "77")), "elemType decides");
    let user_alone = r#"{"userID":"u","message_elem_array":[{"elem_type":0}],"ui_status":1}"#;
    assert_eq!(fingerprint(user_alone), fingerprint(&with(user_alone, "ui_status", "77")));
}
