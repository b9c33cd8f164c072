//! Where two rules of the contract meet: a verb during an attempt, an expiry of what may have arrived.
//!
//! Owns:  these corners, one test each.
//! Never: repeats what the tables cover.

use std::time::Duration;

use outbox_control::types::{CancelOutcome, Entry, ResendAnswer, ResendRequest, State};
use outboxd::service::{Gate, Reply};
use serde_json::json;

use crate::harness::{Daemon, ONCE, QUICK, SOON, http_toml, service};
use crate::messages::{submit, submit_with};

#[tokio::test]
async fn a_resend_during_an_attempt_joins_it() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |_| Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept))).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Sending).await;
    let request = ResendRequest::default();
    let joined = daemon.client.resend_and_wait("m-1", &request, Duration::from_secs(20));
    let open = async {
        // The plain resend is answered at once, and by then the other one has begun as well.
        let answer = daemon.client.resend("m-1", &ResendRequest::default()).await.unwrap();
        assert!(matches!(answer, ResendAnswer::Entry(_)), "{answer:?}");
        gate.open();
    };
    let (answer, ()) = tokio::join!(joined, open);
    let ResendAnswer::Callback(callback) = answer.unwrap() else { panic!("no callback") };
    assert_eq!(callback.code, 0);
    assert_eq!(service.requests().len(), 1, "one attempt, not two");
}

#[tokio::test]
async fn a_hold_during_an_attempt_takes_effect_if_the_attempt_does_not_end_the_message() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |received| {
        let then = if received.msg_id == "fine" { Reply::Accept } else { Reply::status(503) };
        Reply::WhenOpen(shut.clone(), Box::new(then))
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("trouble", "bob")).await;
    daemon.entry_in("trouble", State::Sending).await;
    let entry = daemon.client.hold("trouble", Some("look")).await.unwrap();
    assert_eq!(entry.state, State::Sending, "{entry:?}");
    gate.open();
    let entry = daemon.entry_in("trouble", State::Held).await;
    assert_eq!(entry.attempts, 1);
    daemon.post("/v1/messages", submit("fine", "ada")).await;
    daemon.entry_in("fine", State::Sent).await;
    assert_eq!(service.requests().len(), 2, "a held message is not tried again");
}

#[tokio::test]
async fn what_may_have_arrived_says_so_when_it_expires_or_is_cancelled() {
    let service = service(|_| Reply::AcceptThenLose).await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", ONCE)).await;
    daemon.post("/v1/messages", submit_with("expires", "bob", r#""ttl":"1s""#)).await;
    daemon.post("/v1/messages", submit("cancelled", "ada")).await;
    let entry = daemon.entry_in("expires", State::Expired).await;
    assert!(entry.may_have_arrived, "{entry:?}");
    daemon.entry_when("cancelled", |entry| entry.attempts == 1 && entry.state == State::Deferred).await;
    let answer = daemon.client.cancel("cancelled", None).await.unwrap();
    assert_eq!((answer.outcome, answer.may_have_arrived), (CancelOutcome::Uncertain, true));
    let receipt = daemon.get("/v1/sent/cancelled").await.json();
    assert_eq!((&receipt["state"], &receipt["mayHaveArrived"]), (&json!("cancelled"), &json!(true)));
}

#[tokio::test]
async fn failed_expired_and_held_messages_can_be_cancelled() {
    let service = service(|_| Reply::status(400)).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("failed", "a")).await;
    daemon.entry_in("failed", State::Failed).await;
    daemon.client.pause().await.unwrap();
    daemon.post("/v1/messages", submit_with("expired", "b", r#""ttl":"1s""#)).await;
    daemon.post("/v1/messages", submit("held", "c")).await;
    daemon.client.hold("held", None).await.unwrap();
    daemon.entry_in("expired", State::Expired).await;
    for msg_id in ["failed", "expired", "held"] {
        let answer = daemon.client.cancel(msg_id, None).await.unwrap();
        assert_eq!((answer.outcome, answer.may_have_arrived), (CancelOutcome::Cancelled, false), "{msg_id}");
    }
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, 0);
}

#[tokio::test]
async fn what_has_ended_can_be_neither_held_nor_released_and_says_what_it_is() {
    let service = service(|received| match received.msg_id.as_str() {
        "failed" => Reply::status(400),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for msg_id in ["sent", "failed"] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
    }
    daemon.entry_in("sent", State::Sent).await;
    daemon.entry_in("failed", State::Failed).await;
    daemon.client.pause().await.unwrap();
    daemon.post("/v1/messages", submit_with("expired", "b", r#""ttl":"1s""#)).await;
    daemon.post("/v1/messages", submit("cancelled", "c")).await;
    daemon.client.cancel("cancelled", None).await.unwrap();
    daemon.entry_in("expired", State::Expired).await;
    for state in ["sent", "failed", "expired", "cancelled"] {
        for verb in ["hold", "release"] {
            let answer = daemon.post(&format!("/v1/messages/{state}/{verb}"), "").await;
            assert_eq!(answer.problem(409, "wrong_state")["state"], state, "{verb}");
        }
    }
}

#[tokio::test]
async fn a_failed_one_that_was_kept_long_enough_is_known_without_its_payload() {
    let service = service(|_| Reply::Callback { code: 80_001, desc: "bad word".into() }).await;
    let tables =
        format!("[spool]\nfailed_retention = \"1s\"\n[delivery]\non_failed_head = \"hold\"\n{QUICK}");
    let daemon = Daemon::start(&http_toml(&service, "", &tables)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.post("/v1/messages", submit("behind", "bob")).await;
    let failed = daemon.entry_in("m-1", State::Failed).await;
    // The lane that it kept goes on once it is gone.
    daemon.entry_in("behind", State::Failed).await;
    let receipt = daemon.client.receipt("m-1").await.unwrap();
    assert_eq!((receipt.state, receipt.code, receipt.desc.as_str()), (State::Failed, 80_001, "bad word"));
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.state, &entry.history), (State::Failed, &failed.history), "{entry:?}");
    daemon.get("/v1/messages/m-1/payload").await.problem(409, "wrong_state");
    let problem = daemon.post("/v1/messages/m-1/resend", "").await.problem(409, "wrong_state");
    assert_eq!(problem["state"], "failed");
    let again = daemon.post("/v1/messages", submit("m-1", "bob")).await;
    assert_eq!((again.status, &again.json()["state"]), (200, &json!("failed")));
    assert_eq!(daemon.client.cancel("m-1", None).await.unwrap().outcome, CancelOutcome::Cancelled);
}

fn wait_ms(entry: &Entry) -> i64 {
    entry.next_attempt_at.unwrap().ms_since(entry.submitted_at)
}

#[tokio::test]
async fn an_upload_that_failed_is_tried_on_a_slower_schedule() {
    let service = service(|_| Reply::Callback { code: 6008, desc: "upload".into() }).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_when("m-1", |entry| entry.attempts == 1).await;
    // 30 s, give or take the half of it that chance adds or takes away.
    assert!((14_000..=50_000).contains(&wait_ms(&entry)), "{entry:?}");
}

#[tokio::test]
async fn a_send_that_was_slowed_down_before_its_submit_waits_as_its_code_says() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("opener", "opener")).await;
    daemon.entry_in("opener", State::Sent).await;
    // One call a minute.
    let body = submit_with("slow", "bob", r#""error":{"code":8512}"#);
    assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
    let entry = daemon.client.message("slow").await.unwrap();
    assert_eq!(entry.state, State::Deferred, "{entry:?}");
    assert!((59_000..=95_000).contains(&wait_ms(&entry)), "{entry:?}");
    daemon.post("/v1/messages", submit("other", "ada")).await;
    daemon.entry_in("other", State::Sent).await;
}

#[tokio::test]
async fn deadlines_follow_the_kind_of_message() {
    let daemon = Daemon::start("[retry]\nttl = \"2h\"\nonline_only_ttl = \"40s\"").await;
    let rows = [
        ("plain", "\"x\":1", 7_200),
        ("online", r#""onlineUserOnly":true"#, 40),
        ("own", r#""ttl":"5m""#, 300),
    ];
    for (msg_id, more, seconds) in rows {
        let body = if msg_id == "plain" { submit(msg_id, msg_id) } else { submit_with(msg_id, msg_id, more) };
        assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
        let entry = daemon.client.message(msg_id).await.unwrap();
        assert_eq!(entry.expires_at.unwrap().ms_since(entry.submitted_at), seconds * 1000, "{entry:?}");
    }
}

#[tokio::test]
async fn two_interrupted_attempts_set_no_message_aside() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |_| Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept))).await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    for round in 1..=2 {
        service.wait_for(|seen| seen.len() >= round, SOON).await.unwrap();
        daemon.restart().await;
    }
    gate.open();
    let entry = daemon.entry_in("m-1", State::Sent).await;
    assert_eq!((entry.attempts, entry.starts), (3, 3), "{entry:?}");
    assert_eq!(service.ledger().len(), 1);
}

#[tokio::test]
async fn a_message_whose_attempts_end_with_the_process_three_times_is_set_aside_and_can_be_resent() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |_| Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept))).await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit("poison", "bob")).await;
    for round in 1..=3 {
        service.wait_for(|seen| seen.len() >= round, SOON).await.unwrap();
        daemon.restart().await;
    }
    let entry = daemon.entry_in("poison", State::Failed).await;
    let error = entry.last_error.unwrap();
    assert_eq!((error.code, error.class.as_str()), (-30_004, "crash_loop"));
    assert!(entry.may_have_arrived);
    gate.open();
    daemon.post("/v1/messages", submit("next", "bob")).await;
    daemon.entry_in("next", State::Sent).await;
    daemon.client.resend("poison", &ResendRequest::default()).await.unwrap();
    daemon.entry_in("poison", State::Sent).await;
}

#[tokio::test]
async fn a_lease_of_an_app_outlives_any_number_of_daemons() {
    let mut daemon = Daemon::start("").await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let lease = daemon.lease(r#"{"wait":"20s","for":"10m"}"#).await.remove(0);
    for _ in 0..4 {
        daemon.restart().await;
        assert_eq!(daemon.client.message("m-1").await.unwrap().state, State::Sending);
    }
    let path = format!("/v1/leases/{}/settle", lease.lease);
    let answer = daemon.post(&path, r#"{"code":0,"data":{"msgID":"n"}}"#).await;
    assert_eq!(answer.json(), json!({ "state": "sent" }));
}

#[tokio::test]
async fn resolve_and_resend_may_carry_as_much_as_a_message() {
    let toml = "[delivery]\non_uncertain = \"hold\"\n[spool]\nmax_message_bytes = \"300KiB\"\n";
    let daemon = Daemon::start(toml).await;
    let long = "x".repeat(200_000);
    daemon.post("/v1/messages", submit("again", "ada")).await;
    let body = format!(r#"{{"webMessageInstatnce":"{long}"}}"#);
    let answer = daemon.post("/v1/messages/again/resend", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let first_error = r#""error":{"code":6012,"desc":"time-out"}"#;
    daemon.post("/v1/messages", submit_with("seen", "bob", first_error)).await;
    daemon.entry_in("seen", State::Uncertain).await;
    let body = format!(r#"{{"code":0,"data":{{"msgID":"n-1","text":"{long}"}}}}"#);
    let answer = daemon.post("/v1/messages/seen/resolve", &body).await;
    assert_eq!((answer.status, answer.json()["newMsgID"].as_str()), (200, Some("n-1")), "{}", answer.text());
    let receipt = daemon.get("/v1/sent/seen").await.json();
    assert_eq!(receipt["data"]["text"].as_str().map(str::len), Some(long.len()));
    for target in ["/v1/messages/again/resend", "/v1/messages/seen/resolve"] {
        daemon.post(target, " ".repeat(400_000)).await.problem(413, "too_large");
    }
    let hold = format!(r#"{{"reason":"{long}"}}"#);
    daemon.post("/v1/messages/again/hold", hold).await.problem(413, "too_large");
}

#[tokio::test]
async fn a_list_shows_every_entry_as_it_is_shown_alone() {
    let daemon = Daemon::start("").await;
    for (number, account) in ["open", "shut", "open", "shut", "held"].into_iter().enumerate() {
        let more = format!(r#""account":"{account}","error":{{"code":80003,"desc":"busy"}}"#);
        for user in ["ada", "bob"] {
            let body = submit_with(&format!("{account}-{user}-{number}"), user, &more);
            assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
        }
    }
    daemon.post("/v1/accounts/shut/pause", "{}").await;
    daemon.post("/v1/messages/held-ada-4/hold", "{}").await;
    let page = daemon.get("/v1/messages").await.json();
    let entries = page["messages"].as_array().unwrap();
    assert_eq!(entries.len(), 10);
    for entry in entries {
        let alone = daemon.get(&format!("/v1/messages/{}", entry["msgID"].as_str().unwrap())).await.json();
        assert_eq!(entry, &alone);
    }
}

#[tokio::test]
async fn a_report_with_half_a_character_in_it_is_heard() {
    let daemon = Daemon::start("").await;
    for msg_id in ["sent", "failed", "away"] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
    }
    let data = r#"{ "msgID":"n-\ud83d",  "textElem":{"text":"\uDE00"} }"#;
    // The order of the leases is that of the messages.
    let reports = [
        (format!(r#"{{"code":0,"desc":"ok \ud83d","data":{data}}}"#), "sent"),
        (r#"{"code":10017,"desc":"muted \uDE00","data":null}"#.to_owned(), "failed"),
        (r#"{"code":9508,"desc":"\ud83d\ud83d","notReached":true}"#.to_owned(), "deferred"),
    ];
    let leases = daemon.lease(r#"{"wait":"20s"}"#).await;
    assert_eq!(leases.len(), reports.len());
    for (lease, (report, state)) in leases.iter().zip(reports) {
        let answer = daemon.post(&format!("/v1/leases/{}/settle", lease.lease), &report).await;
        assert_eq!((answer.status, answer.text()), (200, format!(r#"{{"state":"{state}"}}"#).as_str()));
    }
    // Half of an id is no id that anybody can look up, but the receipt must not claim that it kept the old one.
    let entry = daemon.entry_in("sent", State::Sent).await;
    assert_eq!(entry.new_msg_id.as_deref(), Some("n-\u{fffd}"));
    let receipt = daemon.get("/v1/sent/sent").await;
    assert!(receipt.text().contains(data) && receipt.text().contains("ok \u{fffd}"), "{}", receipt.text());
    let by_id = daemon.get("/v1/sent?newMsgID=n-%EF%BF%BD").await;
    assert!(by_id.text().contains(r#""msgID":"sent""#), "{}", by_id.text());
    for (msg_id, desc) in [("failed", "muted \u{fffd}"), ("away", "\u{fffd}\u{fffd}")] {
        let entry = daemon.client.message(msg_id).await.unwrap();
        assert_eq!(entry.last_error.unwrap().desc, desc);
    }
}

#[tokio::test]
async fn words_of_a_person_and_of_a_service_may_have_half_a_character() {
    let answer = r#"{"code":10017,"desc":"muted \ud83d","data":{"textElem":{"text":"\ude00"}}}"#;
    let service = service(move |_| Reply::json(200, answer)).await;
    let more = format!("{QUICK}[delivery]\non_uncertain = \"hold\"\n");
    let daemon = Daemon::start(&http_toml(&service, "", &more)).await;
    daemon.post("/v1/messages", submit("muted", "ada")).await;
    let error = daemon.entry_in("muted", State::Failed).await.last_error.unwrap();
    assert_eq!((error.code, error.desc.as_str()), (10_017, "muted \u{fffd}"));

    daemon.post("/v1/messages", submit_with("seen", "bob", r#""error":{"code":6012,"desc":"\ude00"}"#)).await;
    daemon.entry_in("seen", State::Uncertain).await;
    let data = r#"{"msgID":"n-1", "textElem":{"text":"\ud83d"}}"#;
    let body = format!(r#"{{"code":0,"desc":"saw it \ud83d","data":{data}}}"#);
    let answer = daemon.post("/v1/messages/seen/resolve", &body).await;
    assert_eq!((answer.status, answer.json()["newMsgID"].as_str()), (200, Some("n-1")), "{}", answer.text());
    let receipt = daemon.get("/v1/sent/seen").await;
    assert!(
        receipt.text().contains(data) && receipt.text().contains("saw it \u{fffd}"),
        "{}",
        receipt.text()
    );

    daemon.client.pause().await.unwrap();
    daemon.post("/v1/messages", submit("later", "eve")).await;
    let held = daemon.post("/v1/messages/later/hold", r#"{"reason":"look \ud83d"}"#).await;
    assert_eq!(
        (held.status, held.json()["reason"].as_str()),
        (200, Some("look \u{fffd}")),
        "{}",
        held.text()
    );
    let resent = daemon.post("/v1/messages/later/resend", r#"{"webMessageInstatnce":{"t":"\ude00"}}"#).await;
    assert_eq!(resent.status, 202, "{}", resent.text());
}
