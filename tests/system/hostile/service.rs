//! A service that answers with far too much: what it costs the daemon, and what is kept of it.
//!
//! Owns:  the daemon's memory while many such answers come at once, and the words that stay in an entry.
//! Never: tests each kind of bad answer (the transport's own tests do).

use outbox_control::types::State;
use outboxd::service::Reply;

use super::MIB;
use crate::harness::{Daemon, ONCE, SOON, http_toml, service, until_within};
use crate::messages::submit;

/// Attempts at once that the configuration allows by default.
const CONCURRENCY: usize = 32;

/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 4 * MIB;

#[tokio::test]
async fn answers_that_are_far_too_long_cost_a_bounded_part_of_memory() {
    let service = service(|received| match received.msg_id.as_bytes().last() {
        Some(b'0'..=b'3') => Reply::EndlessBody,
        Some(b'4'..=b'6') => Reply::json(500, "y".repeat(10 * 1024 * 1024)),
        _ => Reply::Callback { code: 80_001, desc: "no, ".repeat(750_000) },
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.client.pause().await.unwrap();
    let line = |number| submit(&format!("m-{number:03}"), &format!("u-{number}")) + "\n";
    let lines = daemon.post_lines((0..100).map(line).collect::<String>()).await.lines();
    assert!(lines.iter().all(|line| line["status"] == 201));
    let before = daemon.begin_peak();
    daemon.client.resume().await.unwrap();
    until_within("each was answered", SOON * 3, || async {
        let counts = daemon.client.status().await.unwrap().counts;
        (counts.queued + counts.sending == 0 && counts.failed == 30).then_some(())
    })
    .await;
    // A buffer that grows has up to twice what is in it, and the words of a callback are one more copy.
    let bound = CONCURRENCY as u64 * 3 * ANSWER_MAX + 64 * MIB;
    daemon.check_growth(before, bound, "100 answers of 3 MiB to no end");
    for (msg_id, state) in [("m-005", State::Deferred), ("m-007", State::Failed)] {
        let entry = daemon.entry_in(msg_id, state).await;
        let error = entry.last_error.unwrap();
        assert!(error.desc.len() <= 256, "{} bytes of words are kept", error.desc.len());
        assert!(entry.history.iter().all(|attempt| attempt.desc.len() <= 256));
    }
    assert!(daemon.log().len() < 1024 * 1024, "{} bytes of log", daemon.log().len());
}
