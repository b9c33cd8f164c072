//! The app as transport: leases, reports, and everything that can go wrong between them.
//!
//! Owns:  the calls below `/v1/leases`, as an app makes them.
//! Never: uses a service: here the test is the app.

use std::time::Duration;

use outbox_control::types::{AttemptOutcome, CancelOutcome, Entry, Lease, LeaseRequest, State};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::harness::{Daemon, SOON};
use crate::messages::{message, submit, submit_with};
use crate::wire::{Answer, connect, read_answer};

impl Daemon {
    /// Asks for work as an app does.
    pub(crate) async fn lease(&self, request: &str) -> Vec<Lease> {
        let request: LeaseRequest = serde_json::from_str(request).unwrap();
        self.client.lease(&request).await.unwrap().leases
    }

    /// Asks for work until there is one lease.
    async fn one_lease(&self) -> Lease {
        let mut leases = self.lease(r#"{"max":1,"wait":"20s"}"#).await;
        assert_eq!(leases.len(), 1, "{leases:?}");
        leases.remove(0)
    }

    async fn settle(&self, lease: &str, body: &str) -> Answer {
        self.post(&format!("/v1/leases/{lease}/settle"), body).await
    }
}

fn success(new_msg_id: &str) -> String {
    json!({ "code": 0, "desc": "", "data": { "msgID": new_msg_id, "status": 2 } }).to_string()
}

/// Leases without a rate, and time enough for none to be slowed.
const FAST: &str = "[transport.app]\nrate = 1000\n";

#[tokio::test]
async fn a_request_that_waits_is_answered_as_soon_as_a_message_is_submitted() {
    let daemon = Daemon::start("").await;
    let ask = async {
        let leases = daemon.lease(r#"{"wait":"30s","for":"60s"}"#).await;
        (leases, Instant::now())
    };
    let submit = async {
        // The request is waiting once the daemon knows of an app.
        crate::harness::until("the app is attached", || async {
            let status = daemon.client.status().await.unwrap();
            (status.transport.more.get("attached") == Some(&Value::Bool(true))).then_some(())
        })
        .await;
        let body = submit_with("m-1", "bob", r#""onlineUserOnly":true,"webMessageInstatnce":{ "w": 1}"#);
        assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
        Instant::now()
    };
    let ((leases, answered), submitted) = tokio::join!(ask, submit);
    assert!(answered.saturating_duration_since(submitted) < Duration::from_secs(5));
    let [lease] = leases.as_slice() else { panic!("{leases:?}") };
    assert_eq!((lease.msg_id.as_str(), lease.attempt), ("m-1", 1));
    assert_eq!((lease.account.as_str(), lease.conversation.as_str()), ("default", "c2c:bob"));
    assert_eq!((lease.message.get(), lease.send_token.len()), (message("m-1", "bob").as_str(), 32));
    assert!(lease.online_user_only);
    assert_eq!(lease.web_message_instatnce.as_ref().unwrap().get(), r#"{ "w": 1}"#);
    let answer = daemon.settle(&lease.lease, &success("n-1")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "state": "sent" })));
    assert_eq!(daemon.client.receipt("m-1").await.unwrap().new_msg_id.as_deref(), Some("n-1"));
}

#[tokio::test]
async fn without_work_the_answer_is_an_empty_list_once_the_wait_is_over() {
    let daemon = Daemon::start("").await;
    let asked = Instant::now();
    let answer = daemon.post("/v1/leases", r#"{"wait":"1s"}"#).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "leases": [] })));
    assert!((900..10_000).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
    let answer = daemon.post("/v1/leases", r#"{"wait":"0s"}"#).await;
    assert_eq!(answer.json(), json!({ "leases": [] }));
}

#[tokio::test]
async fn every_report_has_the_outcome_of_the_contract() {
    let toml = format!(
        "{FAST}[delivery]\non_uncertain = \"hold\"\n[retry]\ninitial = \"10m\"\nmax = \"10m\"\njitter = 0.0"
    );
    let daemon = Daemon::start(&toml).await;
    let already = |status: u8| json!({ "code": 0, "data": { "msgID": "n", "status": status } }).to_string();
    // The report, and: outcome, attempts, state, code.
    let rows: Vec<(&str, String, &str, u32, State, i64)> = vec![
        ("proven", already(2), "sent", 1, State::Sent, 0),
        ("no-proof", r#"{"code":0,"desc":"","data":null}"#.into(), "maybeReached", 1, State::Uncertain, 0),
        ("still-sending", already(1), "maybeReached", 1, State::Uncertain, 0),
        ("time-out", r#"{"code":6012,"desc":"t"}"#.into(), "maybeReached", 1, State::Uncertain, 6012),
        ("server", r#"{"code":80003}"#.into(), "retry", 1, State::Deferred, 80_003),
        ("upload", r#"{"code":6008}"#.into(), "retry", 1, State::Deferred, 6008),
        ("unknown", r#"{"code":424242}"#.into(), "retry", 1, State::Deferred, 424_242),
        ("content", r#"{"code":80001}"#.into(), "reject", 1, State::Failed, 80_001),
        ("limited", r#"{"code":6015}"#.into(), "limited", 0, State::Queued, 6015),
        ("login", r#"{"code":6014}"#.into(), "gateShut", 0, State::Queued, 6014),
    ];
    for (name, report, outcome, attempts, state, code) in rows {
        let body = submit_with(name, name, &format!(r#""account":"{name}""#));
        assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
        let leases = daemon.lease(&format!(r#"{{"account":"{name}","wait":"20s"}}"#)).await;
        let answer = daemon.settle(&leases[0].lease, &report).await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(state.as_str())), "{name}");
        let entry = daemon.client.message(name).await.unwrap();
        let last = entry.history.last().unwrap();
        assert_eq!(last.outcome.as_str(), outcome, "{name}: {entry:?}");
        assert_eq!((entry.attempts, entry.state, last.code), (attempts, state, code), "{name}: {entry:?}");
    }
}

#[tokio::test]
async fn a_report_that_nobody_was_reached_counts_nothing_and_up_brings_the_message_back() {
    let daemon = Daemon::start(FAST).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let lease = daemon.one_lease().await;
    let answer = daemon.settle(&lease.lease, r#"{"code":9508,"desc":"offline","notReached":true}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.attempts, entry.starts), (0, 1), "{entry:?}");
    assert_eq!(entry.history[0].outcome, AttemptOutcome::NotReached);
    assert_eq!(daemon.client.status().await.unwrap().link.state.as_str(), "down");
    let up = daemon.ask("PUT", "/v1/connectivity", &[], br#"{"state":"up"}"#).await;
    assert_eq!((up.status, up.json()["link"]["state"].as_str()), (200, Some("up")));
    let again = daemon.one_lease().await;
    assert_eq!((again.attempt, &again.send_token), (1, &lease.send_token));
}

#[tokio::test]
async fn a_delay_that_the_app_asks_for_is_a_floor_also_when_nobody_was_reached_and_the_link_returns() {
    let daemon = Daemon::start(FAST).await;
    for msg_id in ["m-1", "m-2"] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
    }
    let leases = daemon.lease(r#"{"wait":"20s","max":2}"#).await;
    let reports =
        [r#"{"code":9508,"notReached":true,"retryAfter":"10m"}"#, r#"{"code":9508,"notReached":true}"#];
    for (lease, report) in leases.iter().zip(reports) {
        assert_eq!(daemon.settle(&lease.lease, report).await.status, 200);
    }
    let before = daemon.client.message("m-1").await.unwrap().next_attempt_at.unwrap();
    daemon.ask("PUT", "/v1/connectivity", &[], br#"{"state":"up"}"#).await;
    assert_eq!(daemon.one_lease().await.msg_id, "m-2", "the link's return brings it back");
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.state, entry.next_attempt_at), (State::Deferred, Some(before)), "{entry:?}");
}

#[tokio::test]
async fn a_late_failure_to_reach_anybody_says_nothing_of_the_network_now() {
    let daemon = Daemon::start(&format!("{FAST}[delivery]\non_uncertain = \"hold\"")).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let late = daemon.lease(r#"{"wait":"20s","for":"5s"}"#).await.remove(0);
    daemon.entry_in("m-1", State::Uncertain).await;
    daemon.post("/v1/messages", submit("m-2", "eve")).await;
    let lease = daemon.one_lease().await;
    assert_eq!(daemon.settle(&lease.lease, &success("n")).await.status, 200);
    let link = async || daemon.client.status().await.unwrap().link.state.as_str().to_owned();
    assert_eq!(link().await, "up");
    let answer = daemon.settle(&late.lease, r#"{"code":9508,"notReached":true}"#).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("uncertain")), "{answer:?}");
    assert_eq!(link().await, "up");
}

#[tokio::test]
async fn a_delay_that_the_app_asks_for_is_a_floor() {
    let daemon = Daemon::start(FAST).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let lease = daemon.one_lease().await;
    let answer = daemon.settle(&lease.lease, r#"{"code":80003,"retryAfter":"10m"}"#).await;
    assert_eq!(answer.json()["state"], "deferred");
    let entry = daemon.client.message("m-1").await.unwrap();
    let wait_ms = entry.next_attempt_at.unwrap().ms_since(entry.last_error.unwrap().at);
    assert!((598_000..=605_000).contains(&wait_ms), "{wait_ms}");
}

#[tokio::test]
async fn a_repeated_report_is_answered_as_the_first_one() {
    let daemon = Daemon::start(FAST).await;
    for (msg_id, report, state) in [
        ("sent", success("n"), "sent"),
        ("failed", r#"{"code":80001,"desc":"no"}"#.to_owned(), "failed"),
        ("deferred", r#"{"code":80003,"retryAfter":"10m"}"#.to_owned(), "deferred"),
    ] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        let lease = daemon.one_lease().await;
        for _ in 0..3 {
            let answer = daemon.settle(&lease.lease, &report).await;
            assert_eq!((answer.status, answer.json()), (200, json!({ "state": state })), "{msg_id}");
        }
        let entry = daemon.client.message(msg_id).await.unwrap();
        assert_eq!((entry.history.len(), entry.attempts), (1, 1), "{entry:?}");
    }
}

#[tokio::test]
async fn a_lapsed_lease_may_have_arrived_and_a_late_success_still_closes_it() {
    let daemon = Daemon::start(&format!("{FAST}[delivery]\non_uncertain = \"hold\"")).await;
    for msg_id in ["m-1", "m-2"] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
    }
    let leases = daemon.lease(r#"{"wait":"20s","for":"5s","max":2}"#).await;
    let leases = if leases.len() == 2 { leases } else { panic!("{leases:?}") };
    for lease in &leases {
        let entry = daemon.entry_in(&lease.msg_id, State::Uncertain).await;
        assert_eq!((entry.attempts, entry.history[0].outcome), (1, AttemptOutcome::MaybeReached));
        assert_eq!(entry.unresolved_since.unwrap(), entry.history[0].at, "the start of the attempt");
        assert_eq!(entry.last_error.unwrap().code, -30_001);
    }
    let cancelled = daemon.client.cancel("m-2", None).await.unwrap();
    assert!(
        matches!(cancelled.outcome, CancelOutcome::Uncertain | CancelOutcome::Cancelled),
        "{cancelled:?}"
    );
    for lease in &leases {
        let answer = daemon.settle(&lease.lease, &success("late")).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "state": "sent" })), "{}", lease.msg_id);
        let entry: Entry = daemon.client.message(&lease.msg_id).await.unwrap();
        assert_eq!((entry.state, entry.new_msg_id.as_deref()), (State::Sent, Some("late")));
    }
}

#[tokio::test]
async fn a_late_failure_is_recorded_unless_a_newer_attempt_has_begun() {
    let daemon = Daemon::start(&format!("{FAST}[retry]\ninitial = \"20ms\"\nmax = \"50ms\"")).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let first = daemon.lease(r#"{"wait":"20s","for":"5s"}"#).await.remove(0);
    let second = daemon.one_lease().await;
    assert_eq!((second.attempt, &second.send_token), (2, &first.send_token));
    let problem = daemon.settle(&first.lease, r#"{"code":80001}"#).await.problem(409, "wrong_state");
    assert_eq!(problem["state"], "sending");
    assert_eq!(daemon.settle(&second.lease, &success("n")).await.status, 200);
    let entry = daemon.client.message("m-1").await.unwrap();
    assert!(entry.possible_duplicate && entry.state == State::Sent, "{entry:?}");
}

#[tokio::test]
async fn a_lease_survives_a_kill_of_the_daemon_and_can_be_settled_then() {
    let mut daemon = Daemon::start(FAST).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.post("/v1/messages", submit("m-2", "bob")).await;
    let lease = daemon.one_lease().await;
    daemon.restart().await;
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.state, entry.attempts), (State::Sending, 0), "{entry:?}");
    assert!(daemon.lease(r#"{"wait":"0s"}"#).await.is_empty(), "the lane's head is still out");
    assert_eq!(daemon.settle(&lease.lease, &success("n-1")).await.json(), json!({ "state": "sent" }));
    let next = daemon.one_lease().await;
    assert_eq!(next.msg_id, "m-2");
    let receipt = daemon.client.receipt("m-1").await.unwrap();
    assert_eq!((receipt.attempts, receipt.possible_duplicate), (1, false));
}

#[tokio::test]
async fn an_account_gets_its_own_messages_and_no_account_means_default() {
    let daemon = Daemon::start(FAST).await;
    for (msg_id, account) in [("a-1", "a"), ("b-1", "b")] {
        let body = submit_with(msg_id, "bob", &format!(r#""account":"{account}""#));
        daemon.post("/v1/messages", body).await;
    }
    assert!(daemon.lease(r#"{"wait":"0s"}"#).await.is_empty(), "neither is the default account's");
    daemon.post("/v1/messages", submit("d-1", "bob")).await;
    for (request, msg_id) in [
        (r#"{"wait":"20s","account":"b"}"#, "b-1"),
        (r#"{"wait":"20s"}"#, "d-1"),
        (r#"{"wait":"20s","account":"a"}"#, "a-1"),
    ] {
        let leases = daemon.lease(request).await;
        assert_eq!(leases.iter().map(|lease| lease.msg_id.as_str()).collect::<Vec<_>>(), [msg_id]);
    }
}

#[tokio::test]
async fn a_lane_has_one_lease_at_a_time_and_goes_on_in_order() {
    let daemon = Daemon::start(FAST).await;
    for number in 0..4 {
        daemon.post("/v1/messages", submit(&format!("m-{number}"), "bob")).await;
    }
    daemon.post("/v1/messages", submit("other", "ada")).await;
    let mut leases = daemon.lease(r#"{"wait":"20s"}"#).await;
    while leases.len() < 2 {
        leases.extend(daemon.lease(r#"{"wait":"20s"}"#).await);
    }
    let mut ids: Vec<&str> = leases.iter().map(|lease| lease.msg_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["m-0", "other"]);
    assert!(daemon.lease(r#"{"wait":"0s"}"#).await.is_empty());
    let mut lease = leases.into_iter().find(|lease| lease.msg_id == "m-0").unwrap();
    for number in 1..4 {
        daemon.settle(&lease.lease, &success("n")).await;
        lease = daemon.one_lease().await;
        assert_eq!(lease.msg_id, format!("m-{number}"));
    }
}

#[tokio::test]
async fn leases_are_given_out_at_the_configured_rate() {
    let daemon = Daemon::start("").await;
    for number in 0..12 {
        daemon.post("/v1/messages", submit(&format!("m-{number}"), &format!("user{number}"))).await;
    }
    let began = Instant::now();
    let mut count = daemon.lease(r#"{"wait":"5s"}"#).await.len();
    assert!((1..=5).contains(&count), "a second's worth at once: {count}");
    while count < 12 {
        let leases = daemon.lease(r#"{"wait":"20s"}"#).await;
        assert!(!leases.is_empty());
        count += leases.len();
    }
    // Five at once, then seven at five a second.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1300), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn an_extended_lease_lasts_longer_and_not_beyond_an_hour() {
    let daemon = Daemon::start(FAST).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let lease = daemon.lease(r#"{"wait":"20s","for":"5s"}"#).await.remove(0);
    let extended = daemon.client.extend(&lease.lease, Duration::from_secs(600)).await.unwrap();
    let more_ms = extended.deadline.ms_since(lease.deadline);
    assert!((590_000..=600_000).contains(&more_ms), "{more_ms}");
    assert_eq!(daemon.settle(&lease.lease, &success("n")).await.status, 200);
    let path = format!("/v1/leases/{}/extend", lease.lease);
    let late = daemon.post(&path, r#"{"for":"60s"}"#).await;
    assert!(matches!(late.status, 404 | 409), "{late:?}");
    daemon.post(&path, r#"{"for":"2h"}"#).await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_loses_nothing() {
    let daemon = Daemon::start(FAST).await;
    let body = r#"{"wait":"30s"}"#;
    let request =
        format!("POST /v1/leases HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..3 {
        let mut gone = connect(&daemon.place.socket).await;
        gone.write_all(request.as_bytes()).await.unwrap();
        crate::harness::until("the request is waiting", || async {
            let status = daemon.client.status().await.unwrap();
            (status.transport.more.get("attached") == Some(&Value::Bool(true))).then_some(())
        })
        .await;
        drop(gone);
    }
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let lease = daemon.one_lease().await;
    assert_eq!((lease.msg_id.as_str(), lease.attempt), ("m-1", 1));
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.attempts, entry.history.len()), (0, 0), "{entry:?}");
}

#[tokio::test]
async fn several_apps_that_wait_share_the_work_and_nothing_is_given_out_twice() {
    let daemon = Daemon::start(FAST).await;
    let take = || async {
        let mut seen = Vec::new();
        loop {
            let leases = daemon.lease(r#"{"max":3,"wait":"2s"}"#).await;
            if leases.is_empty() {
                return seen;
            }
            for lease in leases {
                assert_eq!(daemon.settle(&lease.lease, &success("n")).await.status, 200);
                seen.push(lease.msg_id);
            }
        }
    };
    let submit_all = async {
        for number in 0..40 {
            let body = submit(&format!("m-{number:02}"), &format!("user{}", number % 8));
            assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
        }
    };
    let ((), one, two, three) = tokio::join!(submit_all, take(), take(), take());
    let mut all = [one, two, three].concat();
    all.sort_unstable();
    let expected: Vec<String> = (0..40).map(|number| format!("m-{number:02}")).collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn requests_that_wait_are_answered_when_the_daemon_stops() {
    let mut daemon = Daemon::start("").await;
    let mut waiting = connect(&daemon.place.socket).await;
    let request = b"POST /v1/leases HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 14\r\n\r\n{\"wait\":\"60s\"}";
    waiting.write_all(request).await.unwrap();
    crate::harness::until("the request is waiting", || async {
        let status = daemon.client.status().await.unwrap();
        (status.transport.more.get("attached") == Some(&Value::Bool(true))).then_some(())
    })
    .await;
    let began = Instant::now();
    assert_eq!(daemon.term().await, Some(0));
    assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
    let answer = read_answer(&mut waiting).await;
    assert!(matches!(answer.status, 200 | 503), "{answer:?}");
}
