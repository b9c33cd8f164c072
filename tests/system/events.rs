//! Events: what each tells, and that none of the durable ones is ever missed or told twice.
//!
//! Owns:  the promises of `/v1/events`, whatever its reader does.
//! Never: uses `outboxctl` (`watching` does).

use std::collections::BTreeMap;
use std::time::Duration;

use outbox_control::types::{LinkState, State};
use outboxd::service::{Gate, Reply};
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Daemon, ONCE, QUICK, SOON, http_toml, service, until};
use crate::messages::{submit, submit_with};
use crate::stream::Frame;

const DURABLE: [&str; 6] = ["sent", "failed", "expired", "cancelled", "uncertain", "quarantined"];

/// The event of a kind about a message.
#[track_caller]
fn of<'a>(frames: &'a [Frame], kind: &str, msg_id: &str) -> &'a Frame {
    let found = frames.iter().find(|frame| frame.kind == kind && frame.msg_id() == msg_id);
    found.unwrap_or_else(|| panic!("no {kind} of {msg_id} in {frames:#?}"))
}

/// Checks what holds for all events.
#[track_caller]
fn check(frames: &[Frame]) {
    let mut last = 0;
    for frame in frames.iter().filter(|frame| frame.kind != "gap") {
        assert_eq!(frame.data["type"], frame.kind, "{frame:?}");
        assert!(frame.data["at"].as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')), "{frame:?}");
        assert_eq!(frame.id.is_some(), DURABLE.contains(&frame.kind.as_str()), "{frame:?}");
        if let Some(id) = frame.id {
            assert!(id > last, "{id} after {last}: {frames:#?}");
            last = id;
        }
    }
}

#[tokio::test]
async fn each_change_of_a_message_is_told_with_its_fields() {
    let service = service(|received| match received.msg_id.as_str() {
        "bad" => Reply::status(400),
        "later" => Reply::status(503),
        "lost" => Reply::AcceptThenLose,
        _ => Reply::Accept,
    })
    .await;
    let toml = ONCE.replace("[link]", "[delivery]\non_uncertain = \"hold\"\n[link]");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    let mut stream = daemon.events("").await;
    for msg_id in ["good", "bad", "later", "lost"] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        let ended = |entry: &outbox_control::types::Entry| {
            matches!(entry.state, State::Sent | State::Failed | State::Deferred | State::Uncertain)
                && entry.attempts > 0
        };
        daemon.entry_when(msg_id, ended).await;
    }
    daemon.client.hold("later", Some("look")).await.unwrap();
    daemon.client.release("later", None).await.unwrap();
    daemon.client.cancel("later", Some("enough")).await.unwrap();
    daemon.client.cancel("lost", None).await.unwrap();
    let frames = stream.until(|frame| frame.kind == "cancelled" && frame.msg_id() == "lost").await;
    check(&frames);
    for kind in ["submitted", "sending"] {
        let about = of(&frames, kind, "good");
        assert_eq!(about.data["conversation"], "c2c:good", "{about:?}");
        assert_eq!(about.data["account"], "default", "{about:?}");
    }
    let sent = of(&frames, "sent", "good");
    let receipt = daemon.client.receipt("good").await.unwrap();
    assert_eq!(sent.data["newMsgID"].as_str(), receipt.new_msg_id.as_deref());
    assert_eq!(
        (sent.id, &sent.data["state"]),
        (Some(receipt.seq), &json!("sent")),
        "a receipt's seq is its event's"
    );
    let failed = of(&frames, "failed", "bad");
    assert_eq!(failed.data["code"], 400, "{failed:?}");
    assert!(failed.data["desc"].is_string(), "{failed:?}");
    assert_eq!(of(&frames, "deferred", "later").data["code"], 503);
    assert_eq!(of(&frames, "held", "later").data["reason"], "look");
    of(&frames, "released", "later");
    assert_eq!(of(&frames, "cancelled", "later").data["reason"], "enough");
    assert_eq!(of(&frames, "uncertain", "lost").data["state"], "uncertain");
    assert_eq!(of(&frames, "cancelled", "lost").data["mayHaveArrived"], true);
    assert!(of(&frames, "cancelled", "later").data.get("mayHaveArrived").is_none());
    // What is read again later tells the same.
    let kept = daemon.events("?since=0&follow=false").await.rest().await;
    check(&kept);
    for frame in frames.iter().filter(|frame| frame.id.is_some()) {
        let again = kept.iter().find(|again| again.id == frame.id).unwrap();
        for field in
            ["type", "at", "msgID", "account", "conversation", "newMsgID", "code", "reason", "mayHaveArrived"]
        {
            assert_eq!(again.data.get(field), frame.data.get(field), "{field} of {again:?} and {frame:?}");
        }
    }
}

#[tokio::test]
async fn link_account_and_expiry_are_told() {
    let mut service = service(|_| Reply::Accept).await;
    service.stop().await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let mut stream = daemon.events("").await;
    daemon.post("/v1/messages", submit_with("brief", "bob", r#""ttl":"1s""#)).await;
    let frames = stream.until(|frame| frame.kind == "expired").await;
    check(&frames);
    assert_eq!(of(&frames, "expired", "brief").data["state"], "expired");
    let down = frames.iter().find(|frame| frame.kind == "link").unwrap();
    assert_eq!((&down.data["state"], down.id), (&json!("down"), None), "{down:?}");
    daemon.post("/v1/accounts/ada/pause", r#"{"reason":"kicked off line"}"#).await;
    daemon.post("/v1/accounts/ada/resume", "").await;
    let frames = stream.until(|frame| frame.kind == "account" && frame.data["state"] == "open").await;
    let paused = frames.iter().find(|frame| frame.data["state"] == "paused").unwrap();
    assert_eq!(paused.data["account"], "ada", "{paused:?}");
    assert_eq!((&paused.data["reason"], paused.id), (&json!("kicked off line"), None));
    daemon.client.set_link(LinkState::Up).await.unwrap();
    let frames = stream.until(|frame| frame.kind == "link").await;
    assert_eq!(frames[frames.len() - 1].data["reason"], "app", "{frames:?}");
}

/// A daemon with so many cancelled messages: each is one durable event.
async fn with_cancelled(count: usize, toml: &str) -> Daemon {
    let daemon = Daemon::start(toml).await;
    for number in 0..count {
        let msg_id = format!("m-{number}");
        daemon.post("/v1/messages", submit(&msg_id, "bob")).await;
        daemon.client.cancel(&msg_id, None).await.unwrap();
    }
    daemon
}

#[tokio::test]
async fn a_stream_begins_where_it_is_asked_to() {
    let daemon = with_cancelled(3, "").await;
    let ids = |frames: Vec<Frame>| frames.iter().filter_map(|frame| frame.id).collect::<Vec<_>>();
    let all = ids(daemon.events("?since=0&follow=false").await.rest().await);
    assert_eq!(all.len(), 3);
    let after = ids(daemon.events(&format!("?since={}&follow=false", all[0])).await.rest().await);
    assert_eq!(after, all[1..], "`since` is exclusive");
    // The header wins, and what a stream without either hears is only what comes.
    let header = format!("Last-Event-ID: {}\r\n", all[1]);
    let mut by_header = daemon.events_with("?since=0", &header).await;
    let mut from_now = daemon.events("").await;
    assert_eq!(from_now.header("last-event-id"), all[2].to_string());
    daemon.post("/v1/messages", submit("new", "bob")).await;
    daemon.client.cancel("new", None).await.unwrap();
    let frames = by_header.until(|frame| frame.kind == "cancelled" && frame.msg_id() == "new").await;
    assert_eq!(ids(frames)[0], all[2]);
    let frames = from_now.until(|frame| frame.kind == "cancelled").await;
    assert!(frames.iter().all(|frame| frame.msg_id() == "new"), "{frames:?}");
    for (query, headers, word) in [
        ("?since=x", "", "since"),
        ("?sinc=1", "", "sinc"),
        ("?since=1", "x", "Last-Event-ID"),
        ("?follow=1", "", "follow"),
    ] {
        let headers: &[(&str, &str)] = if headers.is_empty() { &[] } else { &[("Last-Event-ID", headers)] };
        let answer = daemon.ask("GET", &format!("/v1/events{query}"), headers, b"").await;
        let problem = answer.problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_as_a_gap() {
    let daemon = with_cancelled(12, "[spool]\nsent_max = 4\n").await;
    let kept = daemon.events("?since=0&follow=false").await.rest().await;
    check(&kept);
    let oldest = kept[0].id.unwrap();
    assert!(oldest > 2, "some are gone: {kept:?}");
    let frames = daemon.events("?since=1&follow=false").await.rest().await;
    assert_eq!((frames[0].kind.as_str(), frames[0].id), ("gap", None));
    assert_eq!(frames[0].data, json!({ "from": 2, "to": oldest - 1 }));
    assert_eq!(frames[1..], kept, "and then everything that is kept");
    let exactly = daemon.events(&format!("?since={}&follow=false", oldest - 1)).await.rest().await;
    assert_eq!(exactly, kept, "nothing that was asked for is missing");
    // A number that this spool has not come to yet belongs to another spool.
    let newest = kept[kept.len() - 1].id.unwrap();
    let mut other = daemon.events("?since=1000000").await;
    assert_eq!(other.next().await.unwrap().data, json!({ "from": newest + 1, "to": 1_000_000 }));
    daemon.post("/v1/messages", submit("new", "bob")).await;
    daemon.client.cancel("new", None).await.unwrap();
    let frames = other.until(|frame| frame.kind == "cancelled").await;
    assert_eq!(frames[frames.len() - 1].id, Some(newest + 1));
}

#[tokio::test]
async fn a_stream_on_which_nothing_happens_has_a_heartbeat() {
    let daemon = Daemon::start("").await;
    let mut stream = daemon.events("").await;
    let begun = Instant::now();
    let frame = stream.frame().await.unwrap();
    assert!(frame.is_comment, "{frame:?}");
    // Every 15 s.
    assert!((Duration::from_secs(14)..SOON).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reader_that_resumes_after_kills_has_every_durable_event_exactly_once() {
    const COUNT: usize = 120;
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |received| match received.n {
        n if n % 5 == 0 => Reply::status(503),
        n if n > 60 => Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept)),
        _ => Reply::Accept,
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    let lines: String =
        (0..COUNT).map(|n| submit(&format!("m-{n}"), &format!("u{}", n % 7)) + "\n").collect();
    daemon.post_lines(lines).await;
    let mut told: BTreeMap<u64, Frame> = BTreeMap::new();
    let mut last = 0;
    for round in 0.. {
        let mut stream = daemon.events_with("", &format!("Last-Event-ID: {last}\r\n")).await;
        // A reader that dies in the middle of it.
        let mut left = 20 + round;
        while left > 0 && told.len() < COUNT {
            let frame = stream.next().await.expect("another event");
            assert_ne!(frame.kind, "gap", "{frame:?}");
            let Some(id) = frame.id else { continue };
            assert!(id > last, "{id} after {last}");
            last = id;
            let again = told.insert(id, frame);
            assert!(again.is_none(), "{again:?}");
            left -= 1;
        }
        drop(stream);
        if told.len() == COUNT {
            break;
        }
        if round == 1 {
            gate.open();
        }
        if round % 2 == 0 {
            daemon.restart().await;
        } else {
            assert_eq!(daemon.term().await, Some(0));
            daemon.start_again().await;
        }
    }
    let mut msg_ids: Vec<&str> = told.values().map(Frame::msg_id).collect();
    msg_ids.sort_unstable();
    msg_ids.dedup();
    assert_eq!(msg_ids.len(), COUNT, "each was sent once, and told once");
    assert!(told.values().all(|frame| frame.kind == "sent"));
    let kept = daemon.events("?since=0&follow=false").await.rest().await;
    let kept_ids: Vec<Option<u64>> = kept.iter().map(|frame| frame.id).collect();
    let told_ids: Vec<Option<u64>> = told.keys().copied().map(Some).collect();
    assert_eq!(kept_ids, told_ids);
}

impl Daemon {
    /// Memory of the daemon in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn readers_that_do_not_read_cost_little_slow_nobody_and_miss_nothing() {
    // More than the daemon keeps for those who listen, and than fits into the buffers of their sockets.
    const COUNT: usize = 6000;
    const READERS: usize = 20;
    let mut daemon = Daemon::start("").await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(daemon.events("").await);
    }
    let rounds = |from: usize| -> String {
        (from..from + COUNT / 2).map(|n| submit(&format!("m-{n}"), &format!("u{}", n % 50)) + "\n").collect()
    };
    daemon.post_lines(rounds(0)).await;
    let cancelled = daemon.post("/v1/messages:batch", r#"{"op":"cancel","filter":{}}"#).await;
    assert_eq!(cancelled.json()["done"], COUNT / 2, "{}", cancelled.text());
    let before = daemon.resident_kib();
    daemon.post_lines(rounds(COUNT / 2)).await;
    daemon.post("/v1/messages:batch", r#"{"op":"cancel","filter":{}}"#).await;
    let grown = daemon.resident_kib().saturating_sub(before);
    eprintln!("{READERS} readers that do not read: {grown} KiB more after {COUNT} events");
    assert!(grown < 40_000, "{READERS} readers that do not read made it {grown} KiB larger");
    for mut reader in readers.drain(..2) {
        let frames = reader.until(|frame| frame.id.is_some_and(|id| id == COUNT as u64)).await;
        let ids: Vec<u64> = frames.iter().filter_map(|frame| frame.id).collect();
        assert_eq!(ids, (1..=COUNT as u64).collect::<Vec<_>>(), "every durable one, in order");
    }
    // Nor do those who never read keep the daemon from stopping.
    let begun = Instant::now();
    assert_eq!(daemon.term().await, Some(0));
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    drop(readers);
}

#[tokio::test]
async fn live_events_are_never_told_after_what_followed_them() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let writing = async {
        for number in 0..200 {
            daemon.post("/v1/messages", submit(&format!("m-{number}"), &format!("u{number}"))).await;
        }
        daemon.entry_when_all_sent(200).await;
    };
    let reading = async {
        // Each begins in the middle, with the store, and goes on live.
        for _ in 0..20 {
            let mut stream = daemon.events("?since=0").await;
            let mut ended = std::collections::BTreeSet::new();
            for _ in 0..100 {
                let sent_total = daemon.client.status().await.unwrap().sent_total;
                if sent_total >= 199 {
                    return;
                }
                let frame = stream.next().await.unwrap();
                if frame.kind == "sent" {
                    ended.insert(frame.msg_id().to_owned());
                } else {
                    assert!(!ended.contains(frame.msg_id()), "told after its end: {frame:?}");
                }
            }
        }
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn a_stop_ends_the_streams_and_does_not_wait_for_their_readers() {
    let mut daemon = Daemon::start("").await;
    let mut stream = daemon.events("").await;
    let begun = Instant::now();
    assert_eq!(daemon.term().await, Some(0));
    assert!(stream.next().await.is_none(), "the stream has an end");
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    until("the socket is gone", || async { (!daemon.place.socket.exists()).then_some(()) }).await;
}
