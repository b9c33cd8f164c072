//! Submitting the same thing twice, and what a submit may say beside the message.
//!
//! Owns:  the promise that a repeat changes nothing, `error`, ids and aliases.
//! Never: sends nonsense (`bad_input` does).

use outbox_control::types::{AttemptOutcome, LinkState, State};
use outboxd::service::Reply;
use serde_json::{Value, json};

use crate::harness::{Daemon, ONCE, QUICK, http_toml, service};
use crate::messages::{CALLBACKS, message, submit, submit_with};

/// A daemon whose app never comes: nothing is ever sent.
async fn quiet() -> Daemon {
    Daemon::start("").await
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_present_state_before_and_after_it_was_sent() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let first = daemon.post("/v1/messages", submit("m-1", "bob")).await;
    assert_eq!(first.status, 201);
    let first = first.json();
    assert_eq!((&first["duplicate"], &first["conversation"]), (&json!(false), &json!("c2c:bob")));
    assert!(first["seq"].as_u64().unwrap() > 0);
    let again = daemon.post("/v1/messages", submit("m-1", "bob")).await;
    assert_eq!((again.status, again.json()["duplicate"].as_bool()), (200, Some(true)));
    assert_eq!(again.json()["seq"], first["seq"]);
    let changed = submit("m-1", "bob").replace("hello", "goodbye");
    let problem = daemon.post("/v1/messages", &changed).await.problem(409, "conflict");
    assert_eq!(problem["msgID"], "m-1");
    assert!(problem["state"].is_string(), "{problem}");

    service.restart().await.unwrap();
    daemon.entry_in("m-1", State::Sent).await;
    let late = daemon.post("/v1/messages", submit("m-1", "bob")).await;
    assert_eq!((late.status, late.json()["state"].as_str()), (200, Some("sent")));
    assert_eq!(late.json()["duplicate"], true);
    let problem = daemon.post("/v1/messages", &changed).await.problem(409, "conflict");
    assert_eq!(problem["state"], "sent");
    assert_eq!(service.ledger().len(), 1);
}

#[tokio::test]
async fn fields_that_change_while_a_message_waits_make_it_no_other_message() {
    let daemon = quiet().await;
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
    let fields = [
        ("status", json!(2)),
        ("progress", json!(55)),
        ("isRead", json!(true)),
        ("isPeerRead", json!(true)),
        ("nickName", json!("Bobby")),
        ("friendRemark", json!("pal")),
        ("faceUrl", json!("https://example.com/x.png")),
        ("nameCard", json!("B.")),
        ("localCustomData", json!("{\"a\":1}")),
        ("localCustomInt", json!(9)),
        ("timestamp", json!(1_731_500_001)),
    ];
    let original: Value = serde_json::from_str(&message("m-1", "bob")).unwrap();
    for (name, value) in fields {
        let mut changed = original.clone();
        changed[name] = value;
        let answer = daemon.post("/v1/messages", json!({ "message": changed }).to_string()).await;
        assert_eq!((answer.status, answer.json()["duplicate"].as_bool()), (200, Some(true)), "{name}");
    }
    for (name, value) in [("priority", json!(1)), ("seq", json!("7")), ("cloudCustomData", json!("x"))] {
        let mut changed = original.clone();
        changed[name] = value;
        daemon.post("/v1/messages", json!({ "message": changed }).to_string()).await.problem(409, "conflict");
    }
    let spaced = message("m-1", "bob").replace(',', " ,\n").replace(':', " : ");
    assert_eq!(daemon.post("/v1/messages", format!("{{\"message\":{spaced}}}")).await.status, 200);
    let reordered = r#"{"message":{"textElem":{"text":"hello m-1"},"status":3,"isSelf":true,"elemType":1,"userID":"bob","msgID":"m-1"}}"#;
    assert_eq!(daemon.post("/v1/messages", reordered).await.status, 200);
    let kept = daemon.client.payload("m-1").await.unwrap();
    assert_eq!(String::from_utf8(kept).unwrap(), message("m-1", "bob"), "the first one stays as it came");
}

#[tokio::test]
async fn another_account_or_conversation_makes_it_another_message_and_other_fields_do_not() {
    let daemon = quiet().await;
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
    for more in [r#""ttl":"5m""#, r#""onlineUserOnly":true"#, r#""webMessageInstatnce":{"a":1}"#] {
        let answer = daemon.post("/v1/messages", submit_with("m-1", "bob", more)).await;
        assert_eq!((answer.status, answer.json()["duplicate"].as_bool()), (200, Some(true)), "{more}");
    }
    for more in [r#""account":"other""#, r#""conversation":"c2c:else""#] {
        let answer = daemon.post("/v1/messages", submit_with("m-1", "bob", more)).await;
        answer.problem(409, "conflict");
    }
    let entry = daemon.client.message("m-1").await.unwrap();
    assert!(!entry.online_user_only);
}

#[tokio::test]
async fn a_cancelled_message_is_not_revived_by_a_repeat_which_says_so() {
    let daemon = quiet().await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let cancelled = daemon.ask("DELETE", "/v1/messages/m-1?reason=typo", &[], b"").await;
    assert_eq!((cancelled.status, cancelled.json()), (200, json!({ "outcome": "cancelled" })));
    let again = daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let body = again.json();
    assert_eq!((again.status, &body["duplicate"], &body["state"]), (200, &json!(true), &json!("cancelled")));
    assert!(!body["hint"].as_str().unwrap().is_empty());
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.state, entry.reason.as_deref()), (State::Cancelled, Some("typo")));
}

#[tokio::test]
async fn whole_callbacks_of_failed_sends_may_be_given_as_the_error() {
    let service = service(|_| Reply::Hang).await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    for (number, line) in CALLBACKS.lines().enumerate() {
        let callback: Value = serde_json::from_str(line).unwrap();
        let msg_id = format!("e-{number}");
        let body = submit_with(&msg_id, &format!("user{number}"), &format!(r#""error":{line}"#));
        let answer = daemon.post("/v1/messages", body).await;
        if callback["code"] == 0 {
            assert_eq!(answer.problem(400, "bad_request")["field"], "error.code");
            continue;
        }
        assert_eq!(answer.status, 201, "{}", answer.text());
        let entry = daemon.client.message(&msg_id).await.unwrap();
        let first = &entry.history[0];
        assert_eq!((first.attempt, Some(first.code)), (0, callback["code"].as_i64()), "{entry:?}");
        assert_eq!(entry.attempts, 0, "the failed send before is not one of ours");
        // Refused for good: -1 (no such message), 10017 (muted), 120042 (the app's own webhook).
        let is_permanent = [-1, 10017, 120_042].contains(&first.code);
        assert_eq!(entry.state == State::Failed, is_permanent, "{entry:?}");
    }
}

#[tokio::test]
async fn an_error_that_proves_nothing_makes_the_resend_a_possible_duplicate_and_shuts_nothing() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    // A time-out, an expired login, no network: only the first may have arrived.
    for (msg_id, code) in [("e-1", 6012), ("e-2", 70001), ("e-3", 9508), ("e-4", 424_242)] {
        let body = submit_with(msg_id, msg_id, &format!(r#""error":{{"code":{code},"desc":"x"}}"#));
        assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
        let entry = daemon.entry_in(msg_id, State::Sent).await;
        assert_eq!(entry.possible_duplicate, code == 6012, "{entry:?}");
        assert_eq!(entry.attempts, 1, "{entry:?}");
        assert_eq!(entry.history.last().unwrap().outcome, AttemptOutcome::Sent);
    }
    let status = daemon.client.status().await.unwrap();
    assert_eq!(status.link.state, LinkState::Up);
    assert!(status.accounts.iter().all(|account| account.reason.is_none()), "{:?}", status.accounts);
}

#[tokio::test]
async fn an_exact_msg_id_wins_over_an_alias_and_of_aliases_the_newest() {
    let daemon = quiet().await;
    for (msg_id, id) in [("a", "shared"), ("b", "shared"), ("c", "a")] {
        let body = format!(r#"{{"message":{{"msgID":"{msg_id}","id":"{id}","userID":"u"}}}}"#);
        assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
    }
    assert_eq!(daemon.client.message("shared").await.unwrap().msg_id, "b");
    assert_eq!(daemon.client.message("a").await.unwrap().msg_id, "a");
}

#[tokio::test]
async fn ids_with_any_characters_are_found_by_their_percent_encoded_paths() {
    let daemon = quiet().await;
    for msg_id in ["a/b", "a b?c#d%2F", "ü🛶", "..", "x:batch", &"y".repeat(200)] {
        let message = json!({ "msgID": msg_id, "userID": "u" });
        let answer = daemon.post("/v1/messages", json!({ "message": message }).to_string()).await;
        assert_eq!(answer.status, 201, "{msg_id}: {}", answer.text());
        assert_eq!(daemon.client.message(msg_id).await.unwrap().msg_id, msg_id);
        assert_eq!(
            daemon.client.why(msg_id).await.unwrap().state,
            daemon.client.message(msg_id).await.unwrap().state
        );
    }
}

#[tokio::test]
async fn an_own_msg_id_and_conversation_stand_above_those_of_the_message() {
    let daemon = quiet().await;
    let body = r#"{"msgID":"mine","conversation":"room 9","account":"1400:ada","message":{"msgID":"theirs","userID":"u"}}"#;
    let answer = daemon.post("/v1/messages", body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        (answer.json()["msgID"].as_str(), answer.json()["conversation"].as_str()),
        (Some("mine"), Some("room 9"))
    );
    let entry = daemon.client.message("mine").await.unwrap();
    assert_eq!((entry.account.as_str(), entry.conversation.as_str()), ("1400:ada", "room 9"));
    daemon.get("/v1/messages/theirs").await.problem(404, "not_found");
    let group = r#"{"message":{"msgID":"g","groupID":"pier","userID":"u"}}"#;
    assert_eq!(daemon.post("/v1/messages", group).await.json()["conversation"], "group:pier");
}

/// A message as JavaScript writes it whose text was cut in the middle of an emoji.
fn cut(msg_id: &str, half: &str) -> String {
    format!(
        r#"{{ "msgID":"{msg_id}", "userID":"bob","isSelf":true, "nickName":"B\ude00","textElem" : {{"text":"cut {half}"}} }}"#
    )
}

#[tokio::test]
async fn a_text_that_was_cut_in_the_middle_of_an_emoji_is_sent_as_it_came() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let message = cut("m-1", r"\ud83d");
    let body = format!(
        r#"{{"message":{message},"webMessageInstatnce":"\uDE00","error":{{"code":9508,"desc":"no \ud83d"}}}}"#
    );
    let first = daemon.post("/v1/messages", &body).await;
    assert_eq!((first.status, first.json()["conversation"].as_str()), (201, Some("c2c:bob")), "{first:?}");
    assert_eq!(daemon.get("/v1/messages/m-1/payload").await.text(), message);
    let again = daemon.post("/v1/messages", &body).await;
    assert_eq!((again.status, again.json()["duplicate"].as_bool()), (200, Some(true)));
    let named = daemon.post("/v1/messages", body.replace(r#""B\ude00""#, r#""B""#)).await;
    assert_eq!((named.status, named.json()["duplicate"].as_bool()), (200, Some(true)));
    for half in [r"\ud83c", r"\ufffd", r"\ufffdd83d"] {
        let other = format!(r#"{{"message":{}}}"#, cut("m-1", half));
        daemon.post("/v1/messages", other).await.problem(409, "conflict");
    }
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!(entry.history[0].desc, "no \u{fffd}");

    service.restart().await.unwrap();
    let entry = daemon.entry_in("m-1", State::Sent).await;
    let sent = service.requests().pop().unwrap();
    assert_eq!(sent.message().unwrap().get(), message);
    let wire = String::from_utf8(sent.body).unwrap();
    assert!(wire.contains(&message) && wire.contains(r#""webMessageInstatnce":"\uDE00""#), "{wire}");
    // The service's answer has the text as well.
    let receipt = daemon.get("/v1/sent/m-1").await;
    assert!(receipt.text().contains(r"cut \ud83d"), "{}", receipt.text());
    assert_ne!(entry.new_msg_id.as_deref(), Some("m-1"));
}

#[tokio::test]
async fn of_many_lines_those_with_a_cut_text_are_accepted_and_one_with_a_cut_id_is_told_why() {
    let daemon = quiet().await;
    let lines = [
        format!(r#"{{"message":{}}}"#, cut("m-1", r"\ud83d")),
        format!(r#"{{"message":{}}}"#, cut(r"m-\ud83d", "")),
        format!(r#"{{"msgID":"m-\ud83d","message":{}}}"#, cut("m-3", "")),
        format!(r#"{{"account":"\ude00","message":{}}}"#, cut("m-4", "")),
        format!(r#"{{"message":{},"error":{{"code":6012,"desc":"\ude00"}}}}"#, cut("m-5", r"\ude00\ud83d")),
    ];
    let answers = daemon.post_lines(lines.join("\n")).await.lines();
    let statuses: Vec<_> = answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 400, 400, 400, 201], "{answers:#?}");
    for (answer, field) in answers[1..4].iter().zip(["message.msgID", "msgID", "account"]) {
        assert_eq!((answer["field"].as_str(), answer["code"].as_str()), (Some(field), Some("bad_request")));
        assert!(answer["detail"].as_str().unwrap().contains("half of a character"), "{answer}");
    }
    for (msg_id, half) in [("m-1", r"\ud83d"), ("m-5", r"\ude00\ud83d")] {
        assert_eq!(daemon.get(&format!("/v1/messages/{msg_id}/payload")).await.text(), cut(msg_id, half));
    }
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, 2);
}

#[tokio::test]
async fn long_numbers_that_differ_in_one_digit_make_two_messages() {
    let daemon = quiet().await;
    let body = |number: &str| format!(r#"{{"message":{{"msgID":"m","userID":"u","seq":{number}}}}}"#);
    assert_eq!(daemon.post("/v1/messages", body("12345678901234567890123")).await.status, 201);
    for same in ["12345678901234567890123.0", "1.2345678901234567890123E22"] {
        assert_eq!(daemon.post("/v1/messages", body(same)).await.status, 200, "{same}");
    }
    daemon.post("/v1/messages", body("12345678901234567890124")).await.problem(409, "conflict");
    let kept = daemon.client.payload("m").await.unwrap();
    assert!(String::from_utf8(kept).unwrap().contains("12345678901234567890123"));
}
