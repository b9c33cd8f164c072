//! Space: what has gone is given back, asked for or by itself, and a start after a long life is soon ready.
//!
//! Owns:  `/v1/compact`, `outboxctl compact`, the rewrite while nothing happens.
//! Never: measures time.

use std::time::Duration;

use outbox_control::types::State;

use crate::harness::{Daemon, until_within};
use crate::messages::submit;

/// A minute of idling is the promise.
const IDLE: Duration = Duration::from_secs(60);

/// Hands over many messages of 8 KiB.
async fn hand_over(daemon: &Daemon, messages: usize) {
    let text = "x".repeat(8_000);
    let lines: Vec<String> = (0..messages)
        .map(|n| submit(&format!("m-{n}"), &format!("u{}", n % 9)).replace("hello", &text))
        .collect();
    assert_eq!(daemon.post_lines(lines.join("\n")).await.lines().len(), messages);
}

async fn cancel_all(daemon: &Daemon, messages: usize) {
    let answer = daemon.post("/v1/messages:batch", r#"{"op":"cancel","filter":{}}"#).await.json();
    assert_eq!(answer["done"], messages, "{answer}");
}

async fn store_bytes(daemon: &Daemon) -> u64 {
    daemon.client.status().await.unwrap().spool.store_bytes
}

#[tokio::test]
async fn compact_gives_space_back_and_tells_how_much() {
    let daemon = Daemon::start("").await;
    hand_over(&daemon, 2_000).await;
    cancel_all(&daemon, 2_000).await;
    daemon.post("/v1/messages", &submit("kept", "u")).await;
    let before = store_bytes(&daemon).await;
    let answer = daemon.post("/v1/compact", "").await.json();
    assert_eq!(answer["bytesBefore"], before, "{answer}");
    assert_eq!(answer["bytesAfter"], store_bytes(&daemon).await, "{answer}");
    assert!(answer["bytesAfter"].as_u64().unwrap() < before / 2, "{answer}");
    let entry = daemon.client.message("kept").await.unwrap();
    assert_eq!(entry.state, State::Queued);
    let run = daemon.ctl(&["compact"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.starts_with("There was nothing to give back: the store takes "), "{run:?}");
    daemon.post("/v1/compact", r#"{"now":true}"#).await.problem(400, "bad_request");
}

#[tokio::test]
async fn a_drained_store_gives_its_space_back_by_itself_and_starts_again() {
    let mut daemon = Daemon::start("[spool]\nsent_max = 1000").await;
    hand_over(&daemon, 6_000).await;
    cancel_all(&daemon, 6_000).await;
    let before = store_bytes(&daemon).await;
    assert!(before > 64 << 20, "too little to be worth it: {before}");
    until_within("the store to be rewritten", IDLE, || async {
        (store_bytes(&daemon).await < before / 3).then_some(())
    })
    .await;
    daemon.kill9().await;
    daemon.start_again().await;
    let status = daemon.client.status().await.unwrap();
    assert_eq!((status.counts.queued, status.spool.quarantined), (0, 0));
    assert!(daemon.client.receipt("m-5999").await.is_ok());
}
