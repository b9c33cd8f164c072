//! Heads that go no further by themselves, over the socket: who waits for them, and what an event says.
//!
//! Owns:  `on_failed_head` as a caller sees it.
//! Never: goes through every choice (the store's tests do).

use outbox_control::types::{State, WaitsFor};
use outboxd::service::Reply;

use crate::harness::{Daemon, ONCE, SOON, http_toml, service};
use crate::messages::submit;

#[tokio::test]
async fn a_lane_that_its_head_keeps_waits_for_a_person_and_an_event_says_so() {
    let service = service(|received| match received.msg_id.as_str() {
        "failed" => Reply::Callback { code: 80_001, desc: "bad word".into() },
        "uncertain" => Reply::LoseBeforeAccept,
        _ => Reply::Accept,
    })
    .await;
    let tables = format!("[delivery]\non_failed_head = \"hold\"\non_uncertain = \"hold\"\n{ONCE}");
    let daemon = Daemon::start(&http_toml(&service, "", &tables)).await;
    for (head, state) in [("failed", State::Failed), ("uncertain", State::Uncertain), ("held", State::Held)] {
        daemon.client.pause().await.unwrap();
        let behind = format!("behind-{head}");
        daemon.post("/v1/messages", submit(head, head)).await;
        daemon.post("/v1/messages", submit(&behind, head)).await;
        if state == State::Held {
            daemon.client.hold(head, None).await.unwrap();
        }
        daemon.client.resume().await.unwrap();
        daemon.entry_in(head, state).await;
        let why = daemon.client.why(&behind).await.unwrap();
        assert_eq!((why.state, why.waits_for), (State::Blocked, Some(WaitsFor::Decision)), "{why:?}");
        assert_eq!(why.blocked_by.as_deref(), Some(head));
        if state != State::Held {
            let event = daemon.heard(state.as_str(), head).await;
            assert_eq!(event["reason"], "its conversation waits for it", "{event}");
        }
        daemon.client.cancel(head, None).await.unwrap();
        daemon.entry_in(&behind, State::Sent).await;
    }
}

#[tokio::test]
async fn a_head_that_is_passed_over_is_named_by_an_event() {
    let service = service(|received| match received.msg_id.as_str() {
        "failed" => Reply::Callback { code: 80_001, desc: "bad word".into() },
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.client.pause().await.unwrap();
    for msg_id in ["failed", "behind"] {
        daemon.post("/v1/messages", submit(msg_id, "bob")).await;
    }
    daemon.client.resume().await.unwrap();
    daemon.entry_in("behind", State::Sent).await;
    let event = daemon.heard("failed", "failed").await;
    assert_eq!(event["reason"], "its conversation goes on without it", "{event}");
    assert_eq!((&event["code"], &event["desc"]), (&80_001.into(), &"bad word".into()));
    service.wait_for_ledger(|taken| taken.len() == 1, SOON).await.unwrap();
}
