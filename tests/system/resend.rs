//! Resend: where a message goes, what it keeps, and what a caller who waits is told.
//!
//! Owns:  the resend of every state, and the outbox's own codes.
//! Never: joins an attempt under way (`corners` does).

use std::time::Duration;

use outbox_control::types::{Entry, ResendAnswer, ResendRequest, State};
use outboxd::service::{Gate, Reply};
use serde_json::{Value, json};

use crate::harness::{Daemon, ONCE, QUICK, SOON, http_toml, service};
use crate::messages::{message, submit, submit_with};
use crate::wire::Answer;

async fn resend(daemon: &Daemon, msg_id: &str) -> Entry {
    match daemon.client.resend(msg_id, &ResendRequest::default()).await.unwrap() {
        ResendAnswer::Entry(entry) => *entry,
        ResendAnswer::Callback(callback) => panic!("{msg_id} was sent: {callback:?}"),
    }
}

/// Asks and waits; meanwhile something happens.
async fn resend_and(daemon: &Daemon, msg_id: &str, meanwhile: impl Future<Output = ()>) -> Answer {
    let target = format!("/v1/messages/{msg_id}/resend?wait=20s");
    tokio::join!(daemon.post(&target, ""), meanwhile).0
}

/// Checks an answer to a failed send: the code, and the message as it was submitted.
async fn check_failure(daemon: &Daemon, msg_id: &str, answer: &Answer, code: i64) {
    assert_eq!((answer.status, answer.json()["code"].as_i64()), (200, Some(code)), "{}", answer.text());
    assert!(answer.text().contains(&message(msg_id, msg_id)), "as submitted: {}", answer.text());
    let error = daemon.client.message(msg_id).await.unwrap().last_error.unwrap();
    assert_eq!(error.code, code, "the same in lastError");
}

#[tokio::test]
async fn whoever_waits_is_told_every_end_by_its_own_code_where_no_service_gave_one() {
    let mut service = service(|received| match received.msg_id.as_str() {
        "lost" => Reply::LoseBeforeAccept,
        "status" => Reply::status(418),
        "code" => Reply::Callback { code: 10_017, desc: "muted".into() },
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("opener", "opener")).await;
    daemon.entry_in("opener", State::Sent).await;
    daemon.client.pause().await.unwrap();
    for (msg_id, more) in [("expired", r#""ttl":"1s""#), ("cancelled", r#""ttl":"1h""#)] {
        daemon.post("/v1/messages", submit_with(msg_id, msg_id, more)).await;
    }
    let answer = resend_and(&daemon, "expired", async {}).await;
    check_failure(&daemon, "expired", &answer, -30_002).await;
    // Held, so that it shows when the resend has been heard.
    daemon.client.hold("cancelled", None).await.unwrap();
    let cancel = async {
        daemon.entry_in("cancelled", State::Queued).await;
        daemon.client.cancel("cancelled", None).await.unwrap();
    };
    let answer = resend_and(&daemon, "cancelled", cancel).await;
    check_failure(&daemon, "cancelled", &answer, -30_003).await;
    for (msg_id, code) in [("lost", -30_001), ("status", 418), ("code", 10_017), ("offline", -30_000)] {
        daemon.client.pause().await.unwrap();
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        if msg_id == "offline" {
            service.stop().await;
        }
        let go = async {
            daemon.client.resume().await.unwrap();
        };
        let answer = resend_and(&daemon, msg_id, go).await;
        check_failure(&daemon, msg_id, &answer, code).await;
    }
    assert_eq!(daemon.client.message("offline").await.unwrap().attempts, 0);
}

#[tokio::test]
async fn a_failed_one_goes_before_those_that_came_after_it_or_behind_the_one_under_way() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |received| match (received.msg_id.as_str(), received.attempt) {
        ("a" | "c", 1) => Reply::Callback { code: 10_017, desc: "muted".into() },
        ("b", _) => Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept)),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for msg_id in ["a", "b", "c", "d"] {
        daemon.post("/v1/messages", submit(msg_id, "bob")).await;
    }
    let failed = daemon.entry_in("a", State::Failed).await;
    daemon.entry_in("b", State::Sending).await;
    let entry = resend(&daemon, "a").await;
    assert_eq!((entry.state, entry.seq, entry.attempts), (State::Blocked, failed.seq, 1), "{entry:?}");
    assert_eq!(entry.blocked_by.as_deref(), Some("b"), "one of a conversation at a time");
    let why = daemon.client.why("c").await.unwrap();
    assert_eq!(why.blocked_by.as_deref(), Some("b"));
    gate.open();
    for msg_id in ["a", "b", "d"] {
        daemon.entry_in(msg_id, State::Sent).await;
    }
    daemon.entry_in("c", State::Failed).await;
    let order: Vec<String> = service.ledger().into_iter().map(|taken| taken.msg_id).collect();
    assert_eq!(order, ["b", "a", "d"], "at its old place: before `c` and `d`");
}

#[tokio::test]
async fn an_ended_one_has_a_new_life_and_a_new_token_unless_it_may_have_arrived() {
    let service = service(|received| match (received.msg_id.as_str(), received.attempt) {
        ("refused", 1) => Reply::Callback { code: 10_017, desc: "muted".into() },
        ("lost", 1) => Reply::AcceptThenLose,
        ("busy", 1) => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let tables = format!("[delivery]\non_uncertain = \"fail\"\n{ONCE}");
    let daemon = Daemon::start(&http_toml(&service, "", &tables)).await;
    for (msg_id, ttl, state, same_token) in [
        ("refused", "1h", State::Failed, false),
        ("lost", "1h", State::Failed, true),
        ("busy", "1s", State::Expired, false),
    ] {
        daemon.post("/v1/messages", submit_with(msg_id, msg_id, &format!(r#""ttl":"{ttl}""#))).await;
        let ended = daemon.entry_in(msg_id, state).await;
        daemon.client.pause().await.unwrap();
        let again = resend(&daemon, msg_id).await;
        assert_eq!((again.seq, again.state, again.attempts), (ended.seq, State::Queued, 1), "{again:?}");
        let left_ms = again.expires_at.unwrap().ms_since(again.submitted_at);
        assert!(left_ms >= if ttl == "1h" { 3_600_000 } else { 2_000 }, "{msg_id}: {left_ms}");
        daemon.client.resume().await.unwrap();
        let sent = daemon.entry_in(msg_id, State::Sent).await;
        assert_eq!(sent.possible_duplicate, same_token, "{sent:?}");
        let mut requests = service.requests();
        requests.retain(|request| request.msg_id == msg_id);
        assert_eq!(requests[0].token == requests[1].token, same_token, "{msg_id}");
        assert_eq!(requests[1].attempt, 2, "the numbers go on");
    }
}

#[tokio::test]
async fn a_resend_overrides_no_pause_no_gate_no_limit_and_no_time() {
    let service = service(|received| match received.msg_id.as_str() {
        "login" => Reply::status(401),
        "fast" => Reply::status(429),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    for (msg_id, more) in [
        ("login", r#""account":"login""#),
        ("fast", r#""account":"fast""#),
        ("later", r#""notBefore":"2099-01-01T00:00:00Z""#),
        ("person", r#""account":"person""#),
    ] {
        if msg_id == "person" {
            daemon.client.pause_account("person", None).await.unwrap();
        }
        daemon.post("/v1/messages", submit_with(msg_id, msg_id, more)).await;
    }
    for msg_id in ["login", "fast"] {
        daemon.entry_when(msg_id, |entry| !entry.history.is_empty()).await;
    }
    let asked = service.requests().len();
    for msg_id in ["login", "fast", "later", "person"] {
        let answer = daemon.post(&format!("/v1/messages/{msg_id}/resend"), "").await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    // Another account's message shows that whatever could have gone would have gone.
    daemon.post("/v1/messages", submit("other", "other")).await;
    daemon.entry_in("other", State::Sent).await;
    assert_eq!(service.requests().len(), asked + 1);
    let later = daemon.client.message("later").await.unwrap();
    assert_eq!((later.state, later.attempts), (State::Deferred, 0), "{later:?}");
}

#[tokio::test]
async fn what_has_no_payload_any_more_or_was_cancelled_cannot_be_resent() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let online = r#""onlineUserOnly":true,"ttl":"1s""#;
    daemon.post("/v1/messages", submit_with("online", "ada", online)).await;
    daemon.post("/v1/messages", submit("cancelled", "bob")).await;
    daemon.client.cancel("cancelled", None).await.unwrap();
    daemon.entry_in("online", State::Expired).await;
    for (msg_id, state) in [("online", "expired"), ("cancelled", "cancelled")] {
        for query in ["", "?wait=1s"] {
            let answer = daemon.post(&format!("/v1/messages/{msg_id}/resend{query}"), "").await;
            let problem = answer.problem(409, "wrong_state");
            assert_eq!((&problem["state"], &problem["msgID"]), (&json!(state), &json!(msg_id)));
        }
    }
    daemon.post("/v1/messages/nobody/resend", "").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_resend_of_a_blocked_one_makes_it_due_and_lets_it_overtake_nobody() {
    let service = service(|received| match (received.msg_id.as_str(), received.attempt) {
        ("head", 1) => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("head", "bob")).await;
    daemon.entry_in("head", State::Deferred).await;
    daemon.post("/v1/messages", submit("next", "bob")).await;
    let entry = resend(&daemon, "next").await;
    assert_eq!((entry.state, entry.blocked_by.as_deref()), (State::Blocked, Some("head")), "{entry:?}");
    let shown = daemon.ctl(&["show", "next"]).await;
    assert!(shown.out.contains("blocked behind head"), "{shown:?}");
    let answer = daemon.post("/v1/messages/next/resend?wait=1s", "").await;
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("blocked")));
    let wait = Duration::from_secs(20);
    let request = ResendRequest::default();
    let waiting = daemon.client.resend_and_wait("next", &request, wait);
    let (answer, head) = tokio::join!(waiting, resend(&daemon, "head"));
    assert_eq!(head.msg_id, "head");
    let ResendAnswer::Callback(callback) = answer.unwrap() else { panic!("no callback") };
    let data: Value = serde_json::from_str(callback.data.unwrap().get()).unwrap();
    assert!(callback.code == 0 && data["msgID"].as_str().unwrap().starts_with("srv-"), "{data}");
    service.wait_for_ledger(|taken| taken.len() == 2, SOON).await.unwrap();
    let order: Vec<String> = service.ledger().into_iter().map(|taken| taken.msg_id).collect();
    assert_eq!(order, ["head", "next"]);
}
