//! Batches: the same for all messages that match, with a guard, in bounded parts.
//!
//! Owns:  the answers of `/v1/messages:batch`, and of the commands that use it.
//! Never: tries each verb's own rules again (`verbs` does).

use outbox_control::types::State;
use outboxd::service::{Gate, Reply};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Daemon, ONCE, QUICK, http_toml, service};
use crate::messages::{submit, submit_with};
use crate::wire::Answer;

impl Daemon {
    async fn batch(&self, body: &Value) -> Answer {
        self.post("/v1/messages:batch", body.to_string()).await
    }

    /// The four numbers of a batch that is carried out.
    async fn counts(&self, body: Value) -> [u64; 4] {
        let answer = self.batch(&body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        ["matched", "done", "pending", "skipped"].map(|name| answer.json()[name].as_u64().expect(name))
    }
}

#[tokio::test]
async fn a_batch_does_to_all_that_match_what_the_verb_does_to_one() {
    let service = service(|received| match received.msg_id.as_str() {
        "bad" => Reply::status(400),
        "later" => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    for (msg_id, state) in [("bad", State::Failed), ("later", State::Deferred)] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        daemon.entry_in(msg_id, state).await;
    }
    daemon.client.pause().await.unwrap();
    for msg_id in ["a-1", "a-2", "b-1"] {
        daemon.post("/v1/messages", submit(msg_id, &msg_id[..1])).await;
    }
    daemon.post("/v1/messages", submit_with("c-1", "c", r#""account":"ada""#)).await;

    let count = |filter: Value| json!({ "op": "cancel", "filter": filter, "dryRun": true });
    for (filter, matched) in [
        (json!({}), 6),
        (json!({ "state": "failed" }), 1),
        (json!({ "state": "blocked" }), 1),
        (json!({ "state": ["failed", "deferred"] }), 2),
        (json!({ "conversation": "c2c:a" }), 2),
        (json!({ "account": "ada" }), 1),
        (json!({ "class": "permanent_request" }), 1),
        (json!({ "class": "transient_server", "state": "deferred" }), 1),
        (json!({ "class": "transient_server", "state": "failed" }), 0),
        (json!({ "olderThan": "1h" }), 0),
        (json!({ "olderThan": "0s" }), 6),
    ] {
        assert_eq!(daemon.counts(count(filter.clone())).await, [matched, 0, 0, 0], "{filter}");
    }
    let hold = json!({ "op": "hold", "filter": { "conversation": "c2c:a" }, "reason": "look" });
    assert_eq!(daemon.counts(hold).await, [2, 2, 0, 0]);
    assert_eq!(daemon.client.message("a-2").await.unwrap().reason.as_deref(), Some("look"));
    let release = json!({ "op": "release", "filter": { "state": "held" } });
    assert_eq!(daemon.counts(release).await, [2, 2, 0, 0]);
    // What a verb does not apply to is skipped, and spoils nothing.
    assert_eq!(daemon.counts(json!({ "op": "hold", "filter": {} })).await, [6, 5, 0, 1]);
    assert_eq!(daemon.client.message("bad").await.unwrap().state, State::Failed);
    assert_eq!(daemon.counts(json!({ "op": "resend", "filter": { "state": "failed" } })).await, [1, 1, 0, 0]);
    assert_eq!(daemon.client.message("bad").await.unwrap().state, State::Queued);
    assert_eq!(daemon.counts(json!({ "op": "cancel", "filter": {} })).await, [6, 6, 0, 0]);
    for msg_id in ["bad", "later", "a-1", "a-2", "b-1", "c-1"] {
        assert_eq!(daemon.client.message(msg_id).await.unwrap().state, State::Cancelled, "{msg_id}");
    }
    assert_eq!(daemon.counts(json!({ "op": "cancel", "filter": {} })).await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_cancel_of_what_is_under_way_counts_as_pending() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |_| Reply::WhenOpen(shut.clone(), Box::new(Reply::status(503)))).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for msg_id in ["m-1", "m-2"] {
        daemon.post("/v1/messages", submit(msg_id, "bob")).await;
    }
    daemon.entry_in("m-1", State::Sending).await;
    let cancel = json!({ "op": "cancel", "filter": {}, "expectCount": 2 });
    assert_eq!(daemon.counts(cancel).await, [2, 1, 1, 0]);
    gate.open();
    daemon.entry_in("m-1", State::Cancelled).await;
}

#[tokio::test]
async fn another_number_than_expected_does_nothing() {
    let daemon = Daemon::start("").await;
    for msg_id in ["m-1", "m-2"] {
        daemon.post("/v1/messages", submit(msg_id, "bob")).await;
    }
    for dry_run in [false, true] {
        let body = json!({ "op": "cancel", "filter": {}, "expectCount": 3, "dryRun": dry_run });
        let problem = daemon.batch(&body).await.problem(409, "wrong_state");
        assert_eq!(problem["matched"], 2, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("not 3"), "{problem}");
    }
    assert_eq!(daemon.client.status().await.unwrap().counts.queued, 1);
    let refused = daemon.ctl(&["batch", "cancel", "--all", "--expect-count", "1"]).await;
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.err.contains("2 messages match, not 1"), "{refused:?}");
}

#[tokio::test]
async fn a_batch_that_makes_no_sense_is_refused_by_name() {
    let daemon = Daemon::start("").await;
    for (body, word) in [
        (json!({ "op": "hold" }), "filter"),
        (json!({ "filter": {} }), "op"),
        (json!({ "op": "destroy", "filter": {} }), "destroy"),
        (json!({ "op": "hold", "filter": {}, "all": true }), "all"),
        (json!({ "op": "hold", "filter": { "states": ["held"] } }), "states"),
        (json!({ "op": "hold", "filter": { "state": "gone" } }), "gone"),
        (json!({ "op": "hold", "filter": { "state": "sent" } }), "sent"),
        (json!({ "op": "hold", "filter": { "state": [] } }), "state"),
        (json!({ "op": "hold", "filter": { "class": "sometimes" } }), "sometimes"),
        (json!({ "op": "hold", "filter": { "olderThan": "5 parsecs" } }), "parsecs"),
        (json!({ "op": "hold", "filter": {}, "expectCount": -1 }), "expectCount"),
        (json!({ "op": "hold", "filter": null }), "filter"),
    ] {
        let problem = daemon.batch(&body).await.problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    assert_eq!(daemon.get("/v1/messages:batch").await.status, 405);
}

#[tokio::test]
async fn a_batch_over_many_messages_lets_others_have_their_turn() {
    const COUNT: usize = 20_000;
    let daemon = Daemon::start("").await;
    for part in 0..COUNT / 10_000 {
        let lines: String = (part * 10_000..(part + 1) * 10_000)
            .map(|n| submit(&format!("m-{n}"), &format!("u{}", n % 100)) + "\n")
            .collect();
        daemon.post_lines(lines).await;
    }
    for (op, state) in [("hold", "held"), ("release", "blocked"), ("cancel", "cancelled")] {
        let begun = Instant::now();
        let request = json!({ "op": op, "filter": { "account": "default" }, "expectCount": COUNT });
        let request = serde_json::from_value(request).unwrap();
        let batch = daemon.client.batch(&request);
        tokio::pin!(batch);
        let mut waits = Vec::new();
        let counts = loop {
            let asked = Instant::now();
            let msg_id = format!("{op}-{}", waits.len());
            let other = submit_with(&msg_id, &msg_id, r#""account":"other""#);
            tokio::select! {
                answer = &mut batch => break answer.unwrap(),
                answer = daemon.post("/v1/messages", other) => {
                    assert_eq!(answer.status, 201, "{}", answer.text());
                    waits.push(asked.elapsed());
                }
            }
        };
        let took = begun.elapsed();
        assert_eq!((counts.matched, counts.done), (COUNT as u64, COUNT as u64), "{counts:?}");
        waits.sort_unstable();
        let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
        let (half, most) = (at(50), at(99));
        eprintln!("{op}: {COUNT} in {took:?}; {} submits meanwhile, p50 {half:?}, p99 {most:?}", waits.len());
        assert!(most.as_millis() < 2_000, "a submit waited {most:?}");
        assert_eq!(daemon.client.message("m-19777").await.unwrap().state.as_str(), state);
    }
}

#[tokio::test]
async fn a_person_acts_on_many_with_one_command() {
    let daemon = Daemon::start("").await;
    for number in 0..4 {
        daemon.post("/v1/messages", submit(&format!("m-{number}"), &format!("u{}", number % 2))).await;
    }
    let unsure = daemon.ctl(&["batch", "cancel"]).await;
    assert_eq!(unsure.code, Some(2), "{unsure:?}");
    assert!(unsure.err.contains("--all"), "{unsure:?}");
    let counted = daemon.ctl(&["batch", "hold", "--dry-run"]).await;
    assert!(counted.code == Some(0) && counted.out.contains("4 messages"), "{counted:?}");
    let held = daemon.ctl(&["batch", "hold", "--conversation", "c2c:u0", "--reason", "look"]).await;
    assert!(held.code == Some(0) && held.out.contains("2 messages, 2 done"), "{held:?}");
    let all = daemon.ctl(&["--json", "hold", "--all"]).await;
    let answer: Value = serde_json::from_str(all.out.trim()).unwrap();
    assert_eq!(answer, json!({ "matched": 2, "done": 2, "pending": 0, "skipped": 0 }), "{all:?}");
    let old = daemon.ctl(&["batch", "cancel", "--older-than", "24h"]).await;
    assert!(old.out.contains("0 messages"), "{old:?}");
    let cancelled = daemon.ctl(&["batch", "cancel", "--all", "--yes"]).await;
    assert!(cancelled.out.contains("4 messages, 4 done"), "{cancelled:?}");
}
