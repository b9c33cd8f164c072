//! What may have arrived: the policies and the window as a caller sees them, with both kinds of transport.
//!
//! Owns:  `uncertain`, `unresolvedSince`, `possibleDuplicate`, `mayHaveArrived` in entry, event and receipt.
//! Never: reboots (the store's tests do, on a clock of their own).

use outbox_control::types::{AttemptOutcome, Entry, State, WaitsFor};
use outboxd::service::{Reply, Service};
use serde_json::{Value, json};

use crate::harness::{Daemon, ONCE, http_toml, service};
use crate::messages::{submit, submit_with};

const POLICIES: [&str; 3] = ["resend", "hold", "fail"];

/// The tables of a daemon with that policy, whose retries come after ten minutes.
fn tables(policy: &str) -> String {
    format!("[delivery]\non_uncertain = \"{policy}\"\n{ONCE}")
}

/// A service that takes `lost` and does not say so, answers `no-proof` without any, and takes repeats.
async fn careless() -> Service {
    service(|received| match (received.msg_id.as_str(), received.attempt) {
        ("lost", 1) => Reply::AcceptThenLose,
        ("no-proof", 1) => Reply::json(200, r#"{"code":0,"desc":"","data":null}"#),
        _ => Reply::Accept,
    })
    .await
}

fn tokens(service: &Service, msg_id: &str) -> Vec<String> {
    let mut requests = service.requests();
    requests.retain(|request| request.msg_id == msg_id);
    requests.into_iter().map(|request| request.token).collect()
}

/// What the policy has made of an uncertain message; its state, once it is known.
async fn check_uncertain(daemon: &Daemon, msg_id: &str, policy: &str) -> Entry {
    let state = match policy {
        "resend" => State::Deferred,
        "hold" => State::Uncertain,
        _ => State::Failed,
    };
    let event = daemon.heard("uncertain", msg_id).await;
    assert_eq!(event["conversation"], format!("c2c:{msg_id}"), "{event}");
    let entry = daemon.entry_in(msg_id, state).await;
    assert_eq!((entry.attempts, entry.possible_duplicate), (1, policy == "resend"), "{entry:?}");
    assert_eq!(entry.unresolved_since, Some(entry.history[0].at), "the start of the attempt: {entry:?}");
    assert_eq!(entry.may_have_arrived, policy == "fail", "{entry:?}");
    if policy == "fail" {
        assert_eq!(entry.last_error.as_ref().unwrap().class, "uncertain", "{entry:?}");
        let event = daemon.heard("failed", msg_id).await;
        assert_eq!(event["mayHaveArrived"], true, "{event}");
    }
    let waits_for = daemon.client.why(msg_id).await.unwrap().waits_for;
    assert_eq!(
        waits_for,
        match policy {
            "resend" => Some(WaitsFor::Time),
            "hold" => Some(WaitsFor::Decision),
            _ => None,
        }
    );
    entry
}

#[tokio::test]
async fn each_policy_is_followed_at_the_windows_end_and_at_once_without_window_or_proof() {
    for policy in POLICIES {
        for (window, msg_id) in
            [("", "lost"), ("dedup_window = \"2s\"", "lost"), ("dedup_window = \"10m\"", "no-proof")]
        {
            let service = careless().await;
            let daemon = Daemon::start(&http_toml(&service, window, &tables(policy))).await;
            daemon.post("/v1/messages", submit("opener", "opener")).await;
            daemon.entry_in("opener", State::Sent).await;
            daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
            let entry = check_uncertain(&daemon, msg_id, policy).await;
            assert_eq!(tokens(&service, msg_id).len(), 1, "{policy} {window}: {entry:?}");
            // However it goes on, it is the same send.
            if policy == "resend" {
                daemon.post("/v1/flush", "").await;
            } else {
                daemon.post(&format!("/v1/messages/{msg_id}/resend"), "").await;
            }
            let sent = daemon.entry_in(msg_id, State::Sent).await;
            assert!(sent.possible_duplicate && !sent.may_have_arrived, "{policy} {window}: {sent:?}");
            let tokens = tokens(&service, msg_id);
            assert_eq!(tokens[0], tokens[1], "{policy} {window}");
            let receipt = daemon.client.receipt(msg_id).await.unwrap();
            assert!(receipt.possible_duplicate && !receipt.may_have_arrived, "{receipt:?}");
        }
    }
}

#[tokio::test]
async fn inside_the_window_nothing_is_uncertain_and_the_first_lost_attempt_is_the_one_that_counts() {
    let service = service(|received| match received.attempt {
        1 | 3 => Reply::status(503),
        2 | 4 => Reply::AcceptThenLose,
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", &tables("fail"))).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    for attempts in 1..=4 {
        let entry = daemon
            .entry_when("m-1", |entry| entry.attempts == attempts && entry.state == State::Deferred)
            .await;
        let since = (attempts > 1).then(|| entry.history[1].at);
        assert_eq!(entry.unresolved_since, since, "{entry:?}");
        daemon.post("/v1/flush", "").await;
    }
    let sent = daemon.entry_in("m-1", State::Sent).await;
    assert!(!sent.possible_duplicate && sent.unresolved_since.is_none(), "{sent:?}");
    assert_eq!((service.ledger().len(), service.repeats()), (1, 2));
    let events = daemon.events_until(|events| !events.is_empty()).await;
    let kinds: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["sent"], "nothing was ever uncertain");
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_fails_and_still_says_that_it_may_have_arrived() {
    let service = service(|received| match received.attempt {
        1 => Reply::AcceptThenLose,
        _ => Reply::Callback { code: 80_001, desc: "bad word".into() },
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", &tables("hold"))).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_when("m-1", |entry| entry.attempts == 1 && entry.state == State::Deferred).await;
    daemon.post("/v1/flush", "").await;
    let entry = daemon.entry_in("m-1", State::Failed).await;
    assert!(entry.may_have_arrived, "the service took it: {entry:?}");
    assert_eq!(daemon.heard("failed", "m-1").await["mayHaveArrived"], true);
    let answer = daemon.ask("DELETE", "/v1/messages/m-1", &[], b"").await;
    assert_eq!(answer.json(), json!({ "outcome": "cancelled", "mayHaveArrived": true }));
}

#[tokio::test]
async fn a_send_that_may_have_arrived_before_its_submit_is_uncertain_whatever_the_window() {
    for policy in POLICIES {
        let service = careless().await;
        let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", &tables(policy))).await;
        let body = submit_with("m-1", "m-1", r#""error":{"code":6012,"desc":"time-out"}"#);
        let answer = daemon.post("/v1/messages", body).await;
        let state = match policy {
            "resend" => "deferred",
            "hold" => "uncertain",
            _ => "failed",
        };
        assert_eq!((answer.status, &answer.json()["state"]), (201, &json!(state)));
        let entry = daemon.client.message("m-1").await.unwrap();
        assert_eq!(
            (entry.attempts, entry.history[0].attempt, entry.history[0].code),
            (0, 0, 6012),
            "{entry:?}"
        );
        assert_eq!(
            (entry.possible_duplicate, entry.may_have_arrived),
            (policy == "resend", policy == "fail")
        );
        daemon.heard("uncertain", "m-1").await;
        assert!(service.requests().is_empty(), "{policy}: nothing goes at once");
    }
}

#[tokio::test]
async fn with_an_app_a_lost_answer_is_repeated_inside_its_window_and_uncertain_without_one() {
    for (window, state) in [("10m", State::Deferred), ("0s", State::Uncertain)] {
        let toml = format!("{}[transport.app]\ndedup_window = \"{window}\"", tables("hold"));
        let daemon = Daemon::start(&toml).await;
        daemon.post("/v1/messages", submit("m-1", "bob")).await;
        let lease = daemon.lease(r#"{"wait":"20s"}"#).await.remove(0);
        let path = format!("/v1/leases/{}/settle", lease.lease);
        let answer = daemon.post(&path, r#"{"code":6012,"desc":"time-out"}"#).await;
        assert_eq!(answer.json(), json!({ "state": state.as_str() }), "{window}");
        let entry = daemon.client.message("m-1").await.unwrap();
        assert_eq!((entry.history[0].outcome, entry.state), (AttemptOutcome::MaybeReached, state));
        daemon.post("/v1/messages/m-1/resend", "").await;
        let again = daemon.lease(r#"{"wait":"20s"}"#).await.remove(0);
        assert_eq!((again.attempt, &again.send_token), (2, &lease.send_token), "{window}");
    }
}

#[tokio::test]
async fn late_answers_of_an_app_are_heard_in_every_state() {
    let daemon =
        Daemon::start("[transport.app]\nrate = 1000\n[retry]\ninitial = \"10m\"\nmax = \"10m\"").await;
    let states = [("deferred", State::Deferred), ("held", State::Held), ("cancelled", State::Cancelled)];
    for (msg_id, _) in states {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
    }
    let mut leases = Vec::new();
    while leases.len() < states.len() {
        leases.extend(daemon.lease(r#"{"wait":"20s","for":"5s"}"#).await);
    }
    for (msg_id, state) in states {
        daemon.entry_when(msg_id, |entry| entry.attempts == 1).await;
        match state {
            State::Held => drop(daemon.client.hold(msg_id, None).await.unwrap()),
            State::Cancelled => drop(daemon.client.cancel(msg_id, None).await.unwrap()),
            _ => {}
        }
    }
    for lease in &leases {
        let path = format!("/v1/leases/{}/settle", lease.lease);
        for _ in 0..2 {
            let answer = daemon.post(&path, r#"{"code":80003,"desc":"busy"}"#).await;
            assert_eq!((answer.status, answer.json()), (200, json!({ "state": lease.msg_id })));
        }
        let entry = daemon.client.message(&lease.msg_id).await.unwrap();
        let codes: Vec<i64> = entry.history.iter().map(|attempt| attempt.code).collect();
        assert_eq!((codes, entry.attempts), (vec![-30_001, 80_003], 1), "recorded once: {entry:?}");
        let sent = daemon.post(&path, r#"{"code":0,"data":{"msgID":"n"}}"#).await;
        assert_eq!((sent.status, sent.json()), (200, json!({ "state": "sent" })), "{}", lease.msg_id);
        let entry = daemon.client.message(&lease.msg_id).await.unwrap();
        assert_eq!((entry.state, entry.new_msg_id.as_deref()), (State::Sent, Some("n")));
        daemon.heard("sent", &lease.msg_id).await;
    }
    assert_eq!(daemon.client.status().await.unwrap().sent_total, 3);
}
