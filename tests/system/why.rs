//! Why a message waits: the answer names the reason, since when, and what happens next.
//!
//! Owns:  every word of `waitsFor` that can be brought about from outside.
//! Never: reads the words of `detail`, which are for people.

use outbox_control::types::{LinkState, Settle, State, WaitsFor, Why};
use outboxd::service::{Gate, Reply};

use crate::harness::{Daemon, ONCE, QUICK, http_toml, service, until};
use crate::messages::{submit, submit_with};

impl Daemon {
    async fn why(&self, msg_id: &str) -> Why {
        let why = self.client.why(msg_id).await.unwrap();
        assert!(!why.detail.is_empty(), "{why:?}");
        why
    }

    async fn why_when(&self, msg_id: &str, waits_for: WaitsFor) -> Why {
        let what = format!("{msg_id} waits for {waits_for}");
        until(&what, || async {
            let why = self.why(msg_id).await;
            (why.waits_for == Some(waits_for)).then_some(why)
        })
        .await
    }
}

#[tokio::test]
async fn offline_it_waits_for_the_link_with_the_time_of_the_next_probe_and_the_next_one_for_its_head() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let tables = "[link]\nprobe_initial = \"20ms\"\nprobe_max = \"5s\"";
    let daemon = Daemon::start(&http_toml(&service, "", tables)).await;
    daemon.post("/v1/messages", submit("first", "bob")).await;
    daemon.post("/v1/messages", submit("second", "bob")).await;
    until("the link is down", || async {
        let link = daemon.client.status().await.unwrap().link;
        (link.state == LinkState::Down).then_some(())
    })
    .await;
    let why = daemon.why_when("first", WaitsFor::Link).await;
    assert_eq!(why.state, State::Queued, "{why:?}");
    assert!(why.next_attempt_at.unwrap() >= why.since, "{why:?}");
    let entry = daemon.client.message("first").await.unwrap();
    assert!(entry.next_attempt_at.is_some() && entry.attempts == 0, "{entry:?}");
    let why = daemon.why("second").await;
    assert_eq!((why.state, why.waits_for), (State::Blocked, Some(WaitsFor::Head)));
    assert_eq!(why.blocked_by.as_deref(), Some("first"));
}

#[tokio::test]
async fn an_attempt_under_way_waits_for_its_answer_and_an_ended_message_for_nothing() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |_| Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept))).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let why = daemon.why_when("m-1", WaitsFor::Answer).await;
    assert_eq!(why.state, State::Sending);
    gate.open();
    daemon.entry_in("m-1", State::Sent).await;
    let why = daemon.why("m-1").await;
    assert_eq!((why.state, why.waits_for, why.blocked_by), (State::Sent, None, None));
    let raw = daemon.get("/v1/messages/m-1/why").await.json();
    assert!(raw["waitsFor"].is_null() && raw.get("waitsFor").is_some(), "{raw}");
}

#[tokio::test]
async fn a_deferred_message_waits_for_its_time() {
    let service = service(|_| Reply::status(503)).await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let why = daemon.why_when("m-1", WaitsFor::Time).await;
    assert_eq!(why.state, State::Deferred);
    let wait_ms = why.next_attempt_at.unwrap().ms_since(why.since);
    assert!((590_000..=610_000).contains(&wait_ms), "{why:?}");
}

#[tokio::test]
async fn a_pause_a_hold_and_a_shut_account_are_named_in_this_order_of_reasons() {
    let service = service(|_| Reply::status(401)).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let why = daemon.why_when("m-1", WaitsFor::Account).await;
    assert_eq!(why.state, State::Queued, "{why:?}");
    assert!(why.next_attempt_at.is_some(), "with http one message is tried after a minute: {why:?}");
    assert!(!why.hint.unwrap().is_empty());
    daemon.client.pause().await.unwrap();
    assert_eq!(daemon.why("m-1").await.waits_for, Some(WaitsFor::Paused));
    daemon.client.hold("m-1", Some("ask Lena")).await.unwrap();
    let why = daemon.why("m-1").await;
    assert_eq!((why.state, why.waits_for), (State::Held, Some(WaitsFor::Release)));
    assert!(why.detail.contains("ask Lena"), "{why:?}");
    daemon.client.release("m-1", None).await.unwrap();
    assert_eq!(daemon.why("m-1").await.waits_for, Some(WaitsFor::Paused));
    daemon.client.resume().await.unwrap();
    assert_eq!(daemon.why("m-1").await.waits_for, Some(WaitsFor::Account));
}

#[tokio::test]
async fn a_slowed_account_waits_for_its_rate_with_the_time() {
    let service = service(|_| Reply::Status {
        status: 429,
        headers: vec![("Retry-After".into(), "300".into())],
        body: Vec::new(),
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let why = daemon.why_when("m-1", WaitsFor::Rate).await;
    let wait_ms = why.next_attempt_at.unwrap().ms_since(why.since);
    assert!((290_000..=305_000).contains(&wait_ms), "{why:?}");
}

#[tokio::test]
async fn an_uncertain_message_and_a_lane_kept_by_a_failed_head_wait_for_a_decision() {
    let service = service(|received| match received.msg_id.as_str() {
        "lost" => Reply::AcceptThenLose,
        "bad" => Reply::status(400),
        _ => Reply::Accept,
    })
    .await;
    let tables = format!("[delivery]\non_uncertain = \"hold\"\non_failed_head = \"hold\"\n{QUICK}");
    let daemon = Daemon::start(&http_toml(&service, "", &tables)).await;
    for (head, behind) in [("lost", "behind-lost"), ("bad", "behind-bad")] {
        daemon.post("/v1/messages", submit(head, head)).await;
        daemon.post("/v1/messages", submit(behind, head)).await;
        let why = daemon.why_when(behind, WaitsFor::Decision).await;
        assert_eq!((why.state, why.blocked_by.as_deref()), (State::Blocked, Some(head)));
    }
    assert_eq!(daemon.why("lost").await.waits_for, Some(WaitsFor::Decision));
    assert_eq!(daemon.why("bad").await.waits_for, None);
    daemon.client.cancel("bad", None).await.unwrap();
    daemon.entry_in("behind-bad", State::Sent).await;
}

#[tokio::test]
async fn without_an_app_it_waits_for_one_and_after_a_failed_send_for_the_link() {
    let daemon = Daemon::start("").await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    assert_eq!(daemon.why("m-1").await.waits_for, Some(WaitsFor::App));
    let leases = daemon.lease(r#"{"wait":"5s"}"#).await;
    assert_eq!(daemon.why("m-1").await.waits_for, Some(WaitsFor::Answer));
    let settle: Settle = serde_json::from_str(r#"{"code":9508,"notReached":true}"#).unwrap();
    daemon.client.settle(&leases[0].lease, &settle).await.unwrap();
    let why = daemon.why_when("m-1", WaitsFor::Link).await;
    assert!(why.next_attempt_at.is_some(), "{why:?}");
}

#[tokio::test]
async fn a_message_for_later_waits_for_its_time_and_its_lane_for_it() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("opener", "opener")).await;
    daemon.entry_in("opener", State::Sent).await;
    daemon.post("/v1/messages", submit_with("later", "bob", r#""notBefore":"2099-01-01T00:00:00Z""#)).await;
    daemon.post("/v1/messages", submit("next", "bob")).await;
    let why = daemon.why_when("later", WaitsFor::Time).await;
    assert_eq!(why.state, State::Deferred);
    assert_eq!(why.next_attempt_at.unwrap().to_string(), "2099-01-01T00:00:00.000Z");
    let why = daemon.why("next").await;
    assert_eq!((why.waits_for, why.blocked_by.as_deref()), (Some(WaitsFor::Head), Some("later")));
}
