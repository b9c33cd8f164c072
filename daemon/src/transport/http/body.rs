//! The body of a request: its JSON.
//!
//! Owns:  the fields of the contract, in their order.
//! Never: parses the message or writes it anew: it is embedded as it was submitted.

use hyper::body::Bytes;

use crate::transport::Attempt;

/// Builds the body of a request. `message` and `webMessageInstatnce` stay byte for byte.
pub(super) fn request_body(attempt: &Attempt) -> Bytes {
    let instance = attempt.web_message_instance.as_deref().unwrap_or(b"null");
    let head = format!(
        r#"{{"msgID":{},"account":{},"conversation":{},"onlineUserOnly":{},"webMessageInstatnce":"#,
        quoted(&attempt.msg_id),
        quoted(&attempt.account),
        quoted(&attempt.conversation),
        attempt.online_user_only,
    );
    let middle = format!(r#","attempt":{},"message":"#, attempt.attempt);
    let parts: [&[u8]; 5] = [head.as_bytes(), instance, middle.as_bytes(), &attempt.message, b"}"];
    Bytes::from(parts.concat())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            msg_id: "a\"b".into(),
            account: "default".into(),
            conversation: "c2c:é".into(),
            attempt: 3,
            seq: 9,
            send_token: outbox::SendToken([0; 16]),
            online_user_only: true,
            web_message_instance: Some(b" {\"x\" : 1.0} ".to_vec()),
            message: b"{ \"text\":  \"\\u00e9\" , \"unknown\":1e2}".to_vec(),
        }
    }

    #[test]
    fn the_body_has_exactly_the_fields_of_the_contract_and_the_message_as_it_came() {
        let body = request_body(&attempt());
        let expected = concat!(
            r#"{"msgID":"a\"b","account":"default","conversation":"c2c:é","onlineUserOnly":true,"#,
            "\"webMessageInstatnce\": {\"x\" : 1.0} ,\"attempt\":3,",
            "\"message\":{ \"text\":  \"\\u00e9\" , \"unknown\":1e2}}"
        );
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn without_a_web_instance_the_field_is_null() {
        let body = request_body(&Attempt { web_message_instance: None, ..attempt() });
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(value.as_object().unwrap().contains_key("webMessageInstatnce"));
        assert!(value["webMessageInstatnce"].is_null());
    }
}
