//! What a person or an app does with messages: resend, hold, cancel, resolve, flush, pause, list.
//!
//! Owns:  the answers of the verbs, expiry, order.
//! Never: asks why something waits (`why` does).

use std::collections::BTreeSet;
use std::time::Duration;

use outbox_control::client::ListQuery;
use outbox_control::types::{
    CancelOutcome, FlushRequest, LinkState, ResendAnswer, ResendRequest, ResolveRequest, State,
};
use outboxd::service::{Gate, Reply};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Daemon, ONCE, QUICK, SOON, http_toml, service};
use crate::messages::{message, submit, submit_with};

#[tokio::test]
async fn a_resend_that_waits_answers_with_the_new_message() {
    let service = service(|received| match received.n {
        1 => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Deferred).await;
    let answer = daemon.post("/v1/messages/m-1/resend?wait=20s", "").await;
    let callback = answer.json();
    assert_eq!((answer.status, &callback["code"], &callback["desc"]), (200, &json!(0), &json!("ok")));
    let new_msg_id = callback["data"]["msgID"].as_str().unwrap();
    assert!(new_msg_id.starts_with("srv-"), "{callback}");
    assert_eq!(daemon.client.receipt("m-1").await.unwrap().new_msg_id.as_deref(), Some(new_msg_id));
    let again = daemon.post("/v1/messages/m-1/resend", "{}").await;
    assert_eq!((again.status, &again.json()["data"]["msgID"]), (200, &json!(new_msg_id)));
    assert_eq!(service.ledger().len(), 1, "what was sent is not sent again");
}

#[tokio::test]
async fn a_resend_without_a_wait_answers_with_the_entry_and_what_it_changes() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.client.hold("m-1", None).await.unwrap();
    let answer =
        daemon.post("/v1/messages/m-1/resend", r#"{"onlineUserOnly":true,"webMessageInstance":[1]}"#).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(answer.json()["state"] != "held" && answer.json()["onlineUserOnly"] == true, "{}", answer.text());
    let still = daemon.post("/v1/messages/m-1/resend?wait=1s", "").await;
    assert_eq!(still.status, 202, "offline nothing can end: {}", still.text());
    service.restart().await.unwrap();
    daemon.entry_in("m-1", State::Sent).await;
    let sent: Value = serde_json::from_slice(&service.requests()[0].body).unwrap();
    assert_eq!((&sent["onlineUserOnly"], &sent["webMessageInstatnce"]), (&json!(true), &json!([1])));
}

#[tokio::test]
async fn a_failed_send_is_an_answer_and_no_http_error() {
    let service = service(|received| match received.msg_id.as_str() {
        "code" => Reply::Callback { code: 80_003, desc: "hook".into() },
        "status" => Reply::status(503),
        "lost" => Reply::LoseBeforeAccept,
        _ => Reply::Accept,
    })
    .await;
    let toml = ONCE.replace("[link]", "[delivery]\non_uncertain = \"hold\"\n[link]");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    daemon.client.pause().await.unwrap();
    for (msg_id, code) in [("code", 80_003), ("status", 503), ("lost", -30_001)] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        let target = format!("/v1/messages/{msg_id}/resend?wait=20s");
        let (answer, ()) = tokio::join!(daemon.post(&target, ""), async {
            daemon.client.resume().await.unwrap();
        });
        assert_eq!((answer.status, answer.json()["code"].as_i64()), (200, Some(code)), "{}", answer.text());
        let data = serde_json::to_string(&answer.json()["data"]).unwrap();
        let original: Value = serde_json::from_str(&message(msg_id, msg_id)).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&data).unwrap(), original);
        assert!(answer.text().contains(&message(msg_id, msg_id)), "as submitted: {}", answer.text());
        let error = daemon.client.message(msg_id).await.unwrap().last_error.unwrap();
        assert_eq!(error.code, code);
    }
}

#[tokio::test]
async fn a_failed_message_is_resent_under_its_old_place_and_a_cancelled_one_is_not() {
    let service = service(|received| match received.n {
        1 => Reply::status(400),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let failed = daemon.entry_in("m-1", State::Failed).await;
    let answer = daemon.client.resend("m-1", &ResendRequest::default()).await.unwrap();
    let ResendAnswer::Entry(entry) = answer else { panic!("{answer:?}") };
    assert_eq!(entry.seq, failed.seq);
    let sent = daemon.entry_in("m-1", State::Sent).await;
    assert_eq!(sent.seq, failed.seq);
    let requests = service.requests();
    assert_ne!(requests[0].token, requests[1].token);
    daemon.client.pause().await.unwrap();
    daemon.post("/v1/messages", submit("m-2", "bob")).await;
    daemon.client.cancel("m-2", None).await.unwrap();
    let problem = daemon.post("/v1/messages/m-2/resend", "").await.problem(409, "wrong_state");
    assert_eq!((&problem["state"], &problem["msgID"]), (&json!("cancelled"), &json!("m-2")));
}

#[tokio::test]
async fn after_a_resend_the_limits_count_anew() {
    let service = service(|_| Reply::Callback { code: 424_242, desc: "?".into() }).await;
    let toml = QUICK.replace("[retry]", "[retry]\nunknown_max_attempts = 2");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Failed).await;
    assert_eq!(service.requests().len(), 2);
    daemon.client.resend("m-1", &ResendRequest::default()).await.unwrap();
    daemon.entry_in("m-1", State::Failed).await;
    assert_eq!(service.requests().len(), 4, "two more, not one");
}

#[tokio::test]
async fn hold_and_release_are_repeatable_and_a_held_head_lets_its_lane_go_on() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.client.pause().await.unwrap();
    for msg_id in ["m-1", "m-2"] {
        daemon.post("/v1/messages", submit(msg_id, "bob")).await;
    }
    for _ in 0..2 {
        let held = daemon.client.hold("m-1", Some("look")).await.unwrap();
        assert_eq!((held.state, held.reason.as_deref(), held.expires_at), (State::Held, Some("look"), None));
    }
    daemon.client.resume().await.unwrap();
    daemon.entry_in("m-2", State::Sent).await;
    assert_eq!(daemon.client.message("m-1").await.unwrap().state, State::Held);
    for _ in 0..2 {
        let answer = daemon.post("/v1/messages/m-1/release", "").await;
        assert!(matches!(answer.status, 200 | 409), "{}", answer.text());
    }
    daemon.entry_in("m-1", State::Sent).await;
    for verb in ["hold", "release"] {
        daemon.post(&format!("/v1/messages/m-1/{verb}"), "").await.problem(409, "wrong_state");
    }
}

#[tokio::test]
async fn cancel_tells_the_truth_in_each_of_its_cases() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |received| match received.msg_id.as_str() {
        "sending" => Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept)),
        "sending-bad" => Reply::WhenOpen(shut.clone(), Box::new(Reply::status(503))),
        "lost" => Reply::AcceptThenLose,
        _ => Reply::Accept,
    })
    .await;
    let toml = ONCE.replace("[link]", "[delivery]\non_uncertain = \"hold\"\n[link]");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    // Successes, so that two attempts may be under way at once.
    for msg_id in ["w-1", "w-2", "w-3", "w-4"] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        daemon.entry_in(msg_id, State::Sent).await;
    }
    // Sent: too late, with the new message.
    daemon.post("/v1/messages", submit("sent", "sent")).await;
    daemon.entry_in("sent", State::Sent).await;
    let answer = daemon.ask("DELETE", "/v1/messages/sent", &[], b"").await;
    assert_eq!((answer.status, &answer.json()["outcome"]), (200, &json!("too_late")));
    assert!(answer.json()["data"]["msgID"].as_str().unwrap().starts_with("srv-"));
    // May have arrived: uncertain, also in the receipt.
    daemon.post("/v1/messages", submit("lost", "lost")).await;
    daemon.entry_in("lost", State::Uncertain).await;
    let cancelled = daemon.client.cancel("lost", Some("enough")).await.unwrap();
    assert_eq!((cancelled.outcome, cancelled.may_have_arrived), (CancelOutcome::Uncertain, true));
    let entry = daemon.client.message("lost").await.unwrap();
    assert_eq!((entry.state, entry.may_have_arrived), (State::Cancelled, true), "{entry:?}");
    // Under way: pending, and the attempt's end decides.
    for (msg_id, state) in [("sending", State::Sent), ("sending-bad", State::Cancelled)] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        daemon.entry_in(msg_id, State::Sending).await;
        assert_eq!(daemon.client.cancel(msg_id, None).await.unwrap().outcome, CancelOutcome::Pending);
        let entry = daemon.client.message(msg_id).await.unwrap();
        assert!(entry.state == State::Sending && entry.cancel_requested, "{entry:?}");
        if state == State::Cancelled {
            gate.open();
        }
    }
    daemon.entry_in("sending", State::Sent).await;
    daemon.entry_in("sending-bad", State::Cancelled).await;
    // Waiting: cancelled, and never sent; again: the same.
    daemon.client.pause().await.unwrap();
    daemon.post("/v1/messages", submit("waiting", "waiting")).await;
    for _ in 0..2 {
        assert_eq!(daemon.client.cancel("waiting", None).await.unwrap().outcome, CancelOutcome::Cancelled);
    }
    assert!(service.requests().iter().all(|request| request.msg_id != "waiting"));
    let gone = daemon.get("/v1/messages/waiting/payload").await.problem(409, "wrong_state");
    assert_eq!((&gone["msgID"], &gone["state"]), (&json!("waiting"), &json!("cancelled")), "{gone}");
}

#[tokio::test]
async fn a_person_resolves_what_is_uncertain_and_nothing_else() {
    let service = service(|_| Reply::LoseBeforeAccept).await;
    let toml = ONCE.replace("[link]", "[delivery]\non_uncertain = \"hold\"\n[link]");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Uncertain).await;
    let request: ResolveRequest =
        serde_json::from_str(r#"{"code":0,"desc":"seen","data":{"msgID":"new-1"}}"#).unwrap();
    let entry = daemon.client.resolve("m-1", &request).await.unwrap();
    assert_eq!((entry.state, entry.new_msg_id.as_deref()), (State::Sent, Some("new-1")));
    let receipt = daemon.get("/v1/sent/m-1").await.json();
    assert_eq!((&receipt["resolvedBy"], &receipt["desc"]), (&json!("person"), &json!("seen")));
    daemon.client.pause().await.unwrap();
    daemon.post("/v1/messages", submit("m-2", "bob")).await;
    let problem = daemon.post("/v1/messages/m-2/resolve", r#"{"code":0}"#).await.problem(409, "wrong_state");
    assert_eq!(problem["msgID"], "m-2");
}

#[tokio::test]
async fn an_uncertain_message_is_resent_with_the_same_token() {
    let service = service(|received| match received.n {
        1 => Reply::LoseBeforeAccept,
        _ => Reply::Accept,
    })
    .await;
    let toml = ONCE.replace("[link]", "[delivery]\non_uncertain = \"hold\"\n[link]");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Uncertain).await;
    let answer = daemon.post("/v1/messages/m-1/resend?wait=20s", "").await;
    assert_eq!(answer.json()["code"], 0, "{}", answer.text());
    let requests = service.requests();
    assert_eq!(requests[0].token, requests[1].token);
    assert!(daemon.client.receipt("m-1").await.unwrap().possible_duplicate);
}

#[tokio::test]
async fn flush_makes_what_is_deferred_due_now_within_its_filter() {
    let service = service(|received| match received.attempt {
        1 => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    for user in ["a", "b", "c"] {
        daemon.post("/v1/messages", submit(&format!("m-{user}"), user)).await;
    }
    for user in ["a", "b", "c"] {
        daemon.entry_in(&format!("m-{user}"), State::Deferred).await;
    }
    let request = FlushRequest { conversation: Some("c2c:b".into()), account: None };
    assert_eq!(daemon.client.flush(&request).await.unwrap().due, 1);
    daemon.entry_in("m-b", State::Sent).await;
    assert_eq!(daemon.client.message("m-a").await.unwrap().state, State::Deferred);
    assert_eq!(daemon.post("/v1/flush", "").await.json(), json!({ "due": 2 }));
    daemon.entry_when_all_sent(3).await;
}

#[tokio::test]
async fn a_pause_stops_attempts_but_no_submits() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    assert_eq!(daemon.post("/v1/pause", "").await.json(), json!({ "paused": true }));
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
    let answer = daemon.post("/v1/messages/m-1/resend?wait=1s", "").await;
    assert_eq!((answer.status, service.requests().len()), (202, 0), "resend overrides no pause");
    let ready = daemon.client.ready().await.unwrap();
    assert!(ready.ready && ready.degraded.iter().any(|reason| reason.contains("pause")), "{ready:?}");
    assert_eq!(daemon.post("/v1/resume", "").await.json(), json!({ "paused": false }));
    daemon.entry_in("m-1", State::Sent).await;
}

#[tokio::test]
async fn a_paused_account_keeps_its_messages_and_the_others_go_on() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let paused = daemon.post("/v1/accounts/ada/pause", r#"{"reason":"kicked off line"}"#).await;
    let shown = paused.json();
    assert_eq!((paused.status, &shown["account"], &shown["state"]), (200, &json!("ada"), &json!("paused")));
    assert_eq!(shown["reason"], "kicked off line");
    daemon.post("/v1/messages", submit_with("m-1", "bob", r#""account":"ada""#)).await;
    daemon.post("/v1/messages", submit("m-2", "bob")).await;
    daemon.entry_in("m-2", State::Sent).await;
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.state, entry.attempts), (State::Queued, 0), "{entry:?}");
    assert_eq!(daemon.post("/v1/accounts/ada/resume", "").await.json()["state"], "open");
    daemon.entry_in("m-1", State::Sent).await;
}

#[tokio::test]
async fn a_message_expires_on_time_while_offline_and_can_be_resent() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let toml = QUICK.replace("[retry]", "[retry]\nonline_only_ttl = \"1s\"");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    let began = Instant::now();
    daemon.post("/v1/messages", submit_with("short", "bob", r#""ttl":"1s""#)).await;
    daemon.post("/v1/messages", submit_with("online", "ada", r#""onlineUserOnly":true"#)).await;
    daemon.post("/v1/messages", submit("long", "bob")).await;
    let short = daemon.entry_in("short", State::Expired).await;
    assert!(began.elapsed() >= Duration::from_millis(990), "never early: {:?}", began.elapsed());
    assert_eq!((short.attempts, short.last_error.unwrap().code), (0, -30_002));
    daemon.entry_in("online", State::Expired).await;
    let gone = daemon.get("/v1/messages/online/payload").await.problem(409, "wrong_state");
    assert_eq!((&gone["msgID"], &gone["state"]), (&json!("online"), &json!("expired")), "{gone}");
    assert_eq!(daemon.client.payload("short").await.unwrap(), message("short", "bob").as_bytes());
    assert_eq!(daemon.client.status().await.unwrap().counts.expired, 2);
    service.restart().await.unwrap();
    daemon.entry_in("long", State::Sent).await;
    daemon.client.resend("short", &ResendRequest::default()).await.unwrap();
    daemon.entry_in("short", State::Sent).await;
}

#[tokio::test]
async fn a_held_message_does_not_expire_and_a_resend_that_waits_tells_of_an_expiry() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit_with("held", "bob", r#""ttl":"1s""#)).await;
    daemon.client.hold("held", None).await.unwrap();
    daemon.post("/v1/messages", submit_with("short", "ada", r#""ttl":"1s""#)).await;
    let answer = daemon.post("/v1/messages/short/resend?wait=20s", "").await;
    assert_eq!((answer.status, &answer.json()["code"]), (200, &json!(-30_002)), "{}", answer.text());
    assert_eq!(daemon.client.message("held").await.unwrap().state, State::Held);
}

#[tokio::test]
async fn not_before_is_kept_and_the_deadline_counts_from_it() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let at = outbox_control::Time::from_ms(i64::try_from(now).unwrap() + 1500);
    let more = format!(r#""notBefore":"{at}","ttl":"10s""#);
    daemon.post("/v1/messages", submit_with("later", "bob", &more)).await;
    daemon.post("/v1/messages", submit("behind", "bob")).await;
    let entry = daemon.client.message("later").await.unwrap();
    assert_eq!(entry.not_before.unwrap().ms_since(at).abs() / 50, 0, "{entry:?}");
    assert!((9_900..=10_100).contains(&entry.expires_at.unwrap().ms_since(at)), "{entry:?}");
    let early = daemon.post("/v1/messages/later/resend", "").await;
    assert_eq!(early.status, 202, "{}", early.text());
    daemon.entry_in("behind", State::Sent).await;
    let ids: Vec<_> = service.ledger().into_iter().map(|taken| taken.msg_id).collect();
    assert_eq!(ids, ["later", "behind"]);
    let receipt = daemon.client.receipt("later").await.unwrap();
    assert!(receipt.sent_at.unwrap() >= at, "{receipt:?}");
}

#[tokio::test]
async fn without_order_a_message_that_waits_blocks_nobody() {
    let service = service(|received| match received.msg_id.as_str() {
        "m-1" => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let toml = ONCE.replace("[link]", "[delivery]\norder = \"none\"\n[link]");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    for msg_id in ["m-1", "m-2", "m-3"] {
        daemon.post("/v1/messages", submit(msg_id, "bob")).await;
    }
    daemon.entry_in("m-2", State::Sent).await;
    daemon.entry_in("m-3", State::Sent).await;
    assert_eq!(daemon.entry_in("m-1", State::Deferred).await.attempts, 1);
}

#[tokio::test]
async fn a_deferred_head_keeps_its_conversation_and_no_other_waiting() {
    let service = service(|received| match received.msg_id.as_str() {
        "a-1" => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    for (msg_id, user) in [("a-1", "a"), ("a-2", "a"), ("b-1", "b")] {
        daemon.post("/v1/messages", submit(msg_id, user)).await;
    }
    daemon.entry_in("b-1", State::Sent).await;
    daemon.entry_in("a-1", State::Deferred).await;
    assert_eq!(daemon.client.message("a-2").await.unwrap().state, State::Blocked);
    let counts = daemon.client.status().await.unwrap().counts;
    assert_eq!((counts.deferred, counts.blocked), (1, 1), "{counts:?}");
    daemon.client.cancel("a-1", None).await.unwrap();
    daemon.entry_in("a-2", State::Sent).await;
}

#[tokio::test]
async fn a_conversation_that_hangs_keeps_no_other_waiting() {
    let service = service(|received| match received.msg_id.as_str() {
        "lost" => Reply::LoseBeforeAccept,
        "hangs" => Reply::Hang,
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("opener", "opener")).await;
    daemon.entry_in("opener", State::Sent).await;
    daemon.post("/v1/messages", submit("lost", "ada")).await;
    daemon.entry_when("lost", |entry| entry.attempts == 1).await;
    daemon.post("/v1/messages", submit("hangs", "bob")).await;
    daemon.entry_in("hangs", State::Sending).await;
    daemon.post("/v1/messages", submit("m-1", "eve")).await;
    daemon.entry_in("m-1", State::Sent).await;
    assert_eq!(daemon.client.message("hangs").await.unwrap().state, State::Sending);
}

#[tokio::test]
async fn lists_are_filtered_and_paged_without_repeats_or_gaps_while_others_are_sent() {
    let service = service(|_| Reply::Accept).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.client.pause().await.unwrap();
    let mut body = String::new();
    for number in 0..120 {
        let account = if number % 2 == 0 { "kept" } else { "default" };
        let more = format!(r#""account":"{account}""#);
        body.push_str(
            &(submit_with(&format!("m-{number:03}"), &format!("user{}", number % 4), &more) + "\n"),
        );
    }
    daemon.post_lines(body).await;
    daemon.client.pause_account("kept", Some("stay")).await.unwrap();
    let filtered = ListQuery { account: Some("kept".into()), limit: Some(1000), ..ListQuery::default() };
    assert_eq!(daemon.client.messages(&filtered).await.unwrap().messages.len(), 60);
    let filtered = ListQuery {
        conversation: Some("c2c:user1".into()),
        states: vec![State::Queued],
        ..ListQuery::default()
    };
    let heads = daemon.client.messages(&filtered).await.unwrap();
    assert_eq!(heads.messages.iter().map(|entry| entry.msg_id.as_str()).collect::<Vec<_>>(), ["m-001"]);

    let (mut cursor, mut seen) = (None, Vec::new());
    for page_number in 0.. {
        let query = ListQuery { limit: Some(7), cursor: cursor.take(), ..ListQuery::default() };
        let page = daemon.client.messages(&query).await.unwrap();
        assert!(page.messages.len() <= 7);
        seen.extend(page.messages.into_iter().map(|entry| (entry.seq, entry.msg_id)));
        match page_number {
            2 => drop(daemon.client.resume().await.unwrap()),
            4 => daemon.restart().await,
            _ => {}
        }
        let Some(next) = page.next else { break };
        assert!(
            next.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
            "{next}"
        );
        cursor = Some(next);
    }
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, and none twice");
    let ids: BTreeSet<String> = seen.into_iter().map(|(_, msg_id)| msg_id).collect();
    for number in (0..120).step_by(2) {
        assert!(ids.contains(&format!("m-{number:03}")), "m-{number:03} was there throughout");
    }
    daemon.entry_when_all_sent(60).await;
}

#[tokio::test]
async fn the_apps_word_about_the_network_holds_until_the_next_one() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Sent).await;
    let down = daemon.client.set_link(LinkState::Down).await.unwrap();
    assert_eq!((down.link.state, down.link.source.as_str()), (LinkState::Down, "app"));
    daemon.post("/v1/messages", submit("m-2", "bob")).await;
    let answer = daemon.post("/v1/messages/m-2/resend?wait=1s", "").await;
    assert_eq!((answer.status, service.requests().len()), (202, 1));
    daemon.client.set_link(LinkState::Unknown).await.unwrap();
    daemon.entry_in("m-2", State::Sent).await;
    assert_eq!(daemon.client.status().await.unwrap().link.state, LinkState::Up);
}

#[tokio::test]
async fn an_outage_in_the_middle_costs_no_attempt_and_the_drain_goes_on_by_itself() {
    let mut service = service(|_| Reply::Delayed(Duration::from_millis(5), Box::new(Reply::Accept))).await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    let body: String =
        (0..60).map(|n| submit(&format!("m-{n:02}"), &format!("user{}", n % 5)) + "\n").collect();
    daemon.post_lines(body).await;
    for taken in [10, 30] {
        service.wait_for_ledger(|ledger| ledger.len() >= taken, SOON).await.unwrap();
        service.stop().await;
        crate::harness::until("the link is down", || async {
            let link = daemon.client.status().await.unwrap().link;
            (link.state == LinkState::Down).then_some(())
        })
        .await;
        service.restart().await.unwrap();
    }
    daemon.entry_when_all_sent(60).await;
    assert_eq!((service.ledger().len(), service.doubled()), (60, Vec::new()));
    for number in 0..60 {
        let entry = daemon.client.message(&format!("m-{number:02}")).await.unwrap();
        let counted = entry.history.iter().filter(|attempt| attempt.outcome.as_str() != "notReached").count();
        assert_eq!(entry.attempts as usize, counted, "{entry:?}");
    }
}
