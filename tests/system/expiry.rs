//! Expiry: on time, never during an attempt, and not while held.
//!
//! Owns:  the deadline as a caller sees it.
//! Never: moves a clock (the store's tests do).

use std::time::Duration;

use outbox_control::types::State;
use outboxd::service::{Gate, Reply};
use tokio::time::Instant;

use crate::harness::{Daemon, QUICK, http_toml, service, until};
use crate::messages::{message, submit, submit_with};

/// Waits until a deadline of one second has certainly passed.
async fn a_second_has_passed(since: Instant) {
    let moment = since + Duration::from_millis(1_500);
    until("the deadline has passed", || async { (Instant::now() >= moment).then_some(()) }).await;
}

#[tokio::test]
async fn a_deadline_that_passes_during_an_attempt_waits_for_its_end() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |received| {
        let then = match received.msg_id.as_str() {
            "sent" => Reply::Accept,
            "busy" => Reply::status(503),
            "lost" => Reply::AcceptThenLose,
            _ => return Reply::Accept,
        };
        Reply::WhenOpen(shut.clone(), Box::new(then))
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    // Successes, so that all three may be under way at once.
    for msg_id in ["w-1", "w-2", "w-3"] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        daemon.entry_in(msg_id, State::Sent).await;
    }
    for msg_id in ["sent", "busy", "lost"] {
        daemon.post("/v1/messages", submit_with(msg_id, msg_id, r#""ttl":"1s""#)).await;
        daemon.entry_in(msg_id, State::Sending).await;
    }
    a_second_has_passed(Instant::now()).await;
    for msg_id in ["sent", "busy", "lost"] {
        assert_eq!(daemon.client.message(msg_id).await.unwrap().state, State::Sending, "{msg_id}");
    }
    gate.open();
    daemon.entry_in("sent", State::Sent).await;
    for (msg_id, may_have_arrived) in [("busy", false), ("lost", true)] {
        let entry = daemon.entry_in(msg_id, State::Expired).await;
        assert_eq!((entry.attempts, entry.may_have_arrived), (1, may_have_arrived), "{entry:?}");
        assert_eq!(entry.last_error.unwrap().code, -30_002, "{msg_id}");
        let event = daemon.heard("expired", msg_id).await;
        assert_eq!(event["mayHaveArrived"] == true, may_have_arrived, "{event}");
    }
    assert_eq!(service.requests().len(), 6, "an expired one is not tried again");
}

#[tokio::test]
async fn a_hold_stops_the_clock_and_a_release_gives_the_rest_back() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit_with("m-1", "bob", r#""ttl":"3s""#)).await;
    let before = daemon.client.message("m-1").await.unwrap();
    assert_eq!(before.expires_at.unwrap().ms_since(before.submitted_at), 3_000);
    let held = daemon.client.hold("m-1", None).await.unwrap();
    assert_eq!(held.expires_at, None);
    let moment = Instant::now() + Duration::from_secs(4);
    until("its time would be over", || async { (Instant::now() >= moment).then_some(()) }).await;
    assert_eq!(daemon.client.message("m-1").await.unwrap().state, State::Held);
    let released = daemon.client.release("m-1", None).await.unwrap();
    let moved_ms = released.expires_at.unwrap().ms_since(before.expires_at.unwrap());
    assert!(moved_ms >= 4_000, "by as long as it was held: {moved_ms} ms");
    let expired = daemon.entry_in("m-1", State::Expired).await;
    assert_eq!(expired.attempts, 0, "offline it expires on time all the same");
    assert_eq!(daemon.client.payload("m-1").await.unwrap(), message("m-1", "bob").as_bytes());
}
