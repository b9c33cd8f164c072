//! Metrics as a scraper reads them.
//!
//! Owns:  the names of the contract, and that the numbers follow what happens.
//! Never: tests how times are sorted into buckets (beside the code).

use std::collections::BTreeMap;

use outbox_control::types::State;
use outboxd::service::Reply;

use crate::harness::{Daemon, ONCE, http_toml, service};
use crate::messages::submit;

impl Daemon {
    /// The value of each metric, by its name with labels. Checks the form of all lines.
    async fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = self.get("/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"), "{answer:?}");
        let mut families = Vec::new();
        let mut values = BTreeMap::new();
        for line in answer.text().lines() {
            if let Some(about) = line.strip_prefix("# ") {
                let words: Vec<&str> = about.split(' ').collect();
                assert!(["HELP", "TYPE"].contains(&words[0]) && words[1].starts_with("outbox_"), "{line}");
                families.push(words[1].to_owned());
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let family = families.last().unwrap();
            assert!(name.starts_with(family.as_str()), "{name} stands in {family}");
            let before = values.insert(name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")));
            assert_eq!(before, None, "{line}");
        }
        values
    }
}

#[tokio::test]
async fn metrics_follow_what_happens() {
    let service = service(|received| match received.msg_id.as_str() {
        "bad" => Reply::status(400),
        "later" => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    let before = daemon.metrics().await;
    for name in [
        "outbox_sent_total",
        "outbox_oldest_waiting_seconds",
        "outbox_link_up",
        "outbox_entries{state=\"queued\"}",
    ] {
        assert_eq!(before.get(name), Some(&0.0), "{name}: {before:#?}");
    }
    for (msg_id, state) in [("good", State::Sent), ("bad", State::Failed), ("later", State::Deferred)] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        daemon.entry_in(msg_id, state).await;
    }
    let after = daemon.metrics().await;
    for (name, value) in [
        ("outbox_entries{state=\"failed\"}", 1.0),
        ("outbox_entries{state=\"deferred\"}", 1.0),
        ("outbox_entries{state=\"expired\"}", 0.0),
        ("outbox_attempts_total{outcome=\"sent\"}", 1.0),
        ("outbox_attempts_total{outcome=\"reject\"}", 1.0),
        ("outbox_attempts_total{outcome=\"retry\"}", 1.0),
        ("outbox_attempts_total{outcome=\"maybeReached\"}", 0.0),
        ("outbox_sent_total", 1.0),
        ("outbox_link_up", 1.0),
    ] {
        assert_eq!(after.get(name), Some(&value), "{name}: {after:#?}");
    }
    assert!(after["outbox_oldest_waiting_seconds"] >= 0.0);
    assert!(after["outbox_commit_seconds_count"] >= 3.0, "{after:#?}");
    assert_eq!(after["outbox_commit_seconds_count"], after["outbox_commit_seconds_bucket{le=\"+Inf\"}"]);
    assert!(after["outbox_commit_seconds_sum"] > 0.0);
}
