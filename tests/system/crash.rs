//! Stops and kills in the middle of everything: nothing is lost, doubled or reordered.
//!
//! Owns:  SIGTERM and SIGKILL while messages are submitted, sent and settled.
//! Never: cuts the power: what the disk itself loses is tested in the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_control::types::State;
use outboxd::service::{Gate, Received, Reply};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::crash_loop::{a_moment, next_number, submit_until};
use crate::harness::{Daemon, QUICK, SOON, forgetful_service, http_toml, service, until_within};
use crate::messages::{Order, submit};
use crate::wire::{connect, read_answer};

/// Conversations of the submitter.
const CONVERSATIONS: usize = 12;

/// Longest life of a daemon before its kill, in milliseconds: a start takes some 20, an attempt with its outcome some 5.
const LIFE_MAX: u64 = 400;

/// Behind so many short lives comes one of [`LONG_LIFE`]: a message whose attempts met two kills waits for a process that lives for
/// five seconds, and its conversation with it.
const SHORT_LIVES: usize = 25;

/// In milliseconds.
const LONG_LIFE: u64 = 5_500;

/// One start in so many is killed itself.
const STARTS_LIVE: u64 = 5;

/// Longest life of such a start, in milliseconds.
const START_MAX: u64 = 30;

/// Kills the daemon again and again at moments that a seed chooses, while messages come and go; returns what was accepted.
async fn kill_rounds(daemon: &mut Daemon, rounds: usize) -> Order {
    let mut seed = std::env::var("OUTBOX_KILL_SEED").map_or(KILL_SEED, |seed| seed.parse().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let submitter = tokio::spawn(submit_until(daemon.client.clone(), CONVERSATIONS, Arc::clone(&stop)));
    for round in 1..=rounds {
        if next_number(&mut seed, 0, STARTS_LIVE) == 0 {
            daemon.kill9().await;
            let mut start = daemon.place.spawn();
            a_moment(next_number(&mut seed, 0, START_MAX)).await;
            start.kill().await.unwrap();
            daemon.start_again().await;
        }
        let life = next_number(&mut seed, 0, LIFE_MAX);
        a_moment(if round % SHORT_LIVES == 0 { LONG_LIFE + life } else { life }).await;
        daemon.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    submitter.await.unwrap()
}

async fn all_sent(daemon: &Daemon, accepted: &Order) {
    let all: usize = accepted.values().map(Vec::len).sum();
    until_within("everything is sent", SOON * 2, || async {
        let status = daemon.client.status().await.unwrap();
        (status.spool.messages == 0).then_some(())
    })
    .await;
    for msg_id in accepted.values().flatten() {
        let entry = daemon.client.message(msg_id).await.unwrap();
        assert_eq!(entry.state, State::Sent, "{entry:?}");
    }
    let total = daemon.client.status().await.unwrap().sent_total;
    // The last submit may have been accepted without its answer being heard.
    assert!((all as u64..=all as u64 + 1).contains(&total), "{total} of {all}");
}

/// Mostly fine; now and then slow, out of order, or silent after it took the message.
fn moody(received: &Received) -> Reply {
    let accept = Reply::Delayed(Duration::from_millis(received.n % 5), Box::new(Reply::Accept));
    match received.n % 23 {
        7 => Reply::AcceptThenLose,
        11 => Reply::LoseBeforeAccept,
        15 => Reply::status(503),
        _ => accept,
    }
}

/// Kills if nobody asks for more; `OUTBOX_KILLS=1000` for a long run.
const KILLS: usize = 20;

/// The moments if nobody asks for others; `OUTBOX_KILL_SEED` chooses them.
const KILL_SEED: u64 = 20_263;

#[tokio::test]
async fn kills_lose_nothing_and_double_nothing_with_a_service_that_recognizes_repeats() {
    let kills = std::env::var("OUTBOX_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let service = service(moody).await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    let accepted = kill_rounds(&mut daemon, kills).await;
    all_sent(&daemon, &accepted).await;
    println!("{kills} kills, {} messages accepted", accepted.values().map(Vec::len).sum::<usize>());
    assert_eq!(service.lost(&accepted), Vec::<String>::new());
    assert_eq!(service.doubled(), Vec::<String>::new());
    assert_eq!(service.out_of_order(&accepted), Vec::<String>::new());
    let receipts = all_receipts(&daemon).await;
    assert!(receipts.iter().all(|(_, possible_duplicate)| !possible_duplicate));
    daemon.leaves_it_sound().await;
}

#[tokio::test]
async fn kills_double_only_what_says_so_where_the_service_recognizes_no_repeats() {
    let service = forgetful_service(moody).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let accepted = kill_rounds(&mut daemon, 8).await;
    all_sent(&daemon, &accepted).await;
    assert_eq!(service.lost(&accepted), Vec::<String>::new());
    assert_eq!(service.out_of_order(&accepted), Vec::<String>::new());
    let doubled: BTreeSet<String> = service.doubled().into_iter().collect();
    assert!(!doubled.is_empty(), "lost answers make duplicates here; without any this proves nothing");
    let said: BTreeSet<String> = all_receipts(&daemon)
        .await
        .into_iter()
        .filter_map(|(msg_id, possible_duplicate)| possible_duplicate.then_some(msg_id))
        .collect();
    let unsaid: Vec<_> = doubled.difference(&said).collect();
    assert!(unsaid.is_empty(), "doubled without a word: {unsaid:?}");
}

/// Every receipt's original and whether it may be a duplicate.
async fn all_receipts(daemon: &Daemon) -> Vec<(String, bool)> {
    let (mut since, mut all) = (0, Vec::new());
    loop {
        let query = outbox_control::client::SentQuery {
            since: Some(since),
            limit: Some(1000),
            ..outbox_control::client::SentQuery::default()
        };
        let page = daemon.client.sent(&query).await.unwrap();
        if page.sent.is_empty() {
            return all;
        }
        since = page.next;
        all.extend(page.sent.into_iter().map(|receipt| (receipt.msg_id, receipt.possible_duplicate)));
    }
}

#[tokio::test]
async fn kills_between_lease_and_report_lose_nothing_with_the_app_as_transport() {
    let mut daemon = Daemon::start("[transport.app]\nrate = 1000").await;
    let mut sent: Vec<String> = Vec::new();
    for round in 0..6 {
        let body: String = (0..10)
            .map(|number| submit(&format!("m-{round}-{number}"), &format!("user{number}")) + "\n")
            .collect();
        assert!(daemon.post_lines(body).await.lines().iter().all(|line| line["status"] == 201));
        let mut leases = Vec::new();
        while leases.len() < 10 {
            leases.extend(daemon.lease(r#"{"max":256,"wait":"5s"}"#).await);
        }
        let (before, after) = leases.split_at(5);
        let settle = |lease: &outbox_control::types::Lease| {
            let path = format!("/v1/leases/{}/settle", lease.lease);
            let body = format!(r#"{{"code":0,"data":{{"msgID":"new-{}","status":2}}}}"#, lease.msg_id);
            (path, body)
        };
        for lease in before {
            let (path, body) = settle(lease);
            assert_eq!(daemon.post(&path, body).await.status, 200);
            sent.push(lease.msg_id.clone());
        }
        daemon.restart().await;
        for lease in leases.iter().chain(after) {
            // Those before the kill are repeated, and answered as they were.
            let (path, body) = settle(lease);
            assert_eq!(daemon.post(&path, body).await.json()["state"], "sent", "{}", lease.msg_id);
        }
        sent.extend(after.iter().map(|lease| lease.msg_id.clone()));
    }
    let status = daemon.client.status().await.unwrap();
    assert_eq!((status.sent_total, status.spool.messages), (60, 0));
    for msg_id in sent {
        let receipt = daemon.client.receipt(&msg_id).await.unwrap();
        assert_eq!((receipt.attempts, receipt.possible_duplicate), (1, false));
    }
}

#[tokio::test]
async fn a_stop_lets_attempts_end_and_nothing_is_lost_or_doubled_after_the_next_start() {
    let service = service(|_| Reply::Delayed(Duration::from_millis(300), Box::new(Reply::Accept))).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let mut expected = Order::new();
    let mut body = String::new();
    for number in 0..40 {
        let (msg_id, user) = (format!("m-{number:02}"), format!("user{}", number % 8));
        body.push_str(&(submit(&msg_id, &user) + "\n"));
        expected.entry(format!("c2c:{user}")).or_default().push(msg_id);
    }
    daemon.post_lines(body).await;
    service.wait_for(|seen| seen.len() >= 5, SOON).await.unwrap();
    let began = Instant::now();
    assert_eq!(daemon.term().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    let asked = service.requests().len();
    assert_eq!(service.ledger().len(), asked, "every attempt that had begun was heard to its end");
    daemon.start_again().await;
    daemon.entry_when_all_sent(40).await;
    assert_eq!(service.lost(&expected), Vec::<String>::new());
    assert_eq!(service.doubled(), Vec::<String>::new());
    assert_eq!(service.out_of_order(&expected), Vec::<String>::new());
    assert_eq!(service.requests().len(), 40, "no attempt was made twice");
}

#[tokio::test]
async fn a_stop_answers_those_who_wait_for_a_resend_and_does_not_wait_for_them() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = service(move |_| Reply::WhenOpen(shut.clone(), Box::new(Reply::Accept))).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for msg_id in ["sending", "behind"] {
        daemon.post("/v1/messages", submit(msg_id, "bob")).await;
    }
    daemon.entry_in("sending", State::Sending).await;
    let mut waiting = Vec::new();
    for msg_id in ["sending", "behind"] {
        let mut stream = connect(&daemon.place.socket).await;
        let request = format!(
            "POST /v1/messages/{msg_id}/resend?wait=60s HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    // A further connection is served after those two were accepted.
    assert_eq!(daemon.get("/v1/status").await.status, 200);
    let began = Instant::now();
    daemon.send_term();
    let behind = read_answer(&mut waiting[1]).await;
    assert_eq!((behind.status, behind.json()["state"].as_str()), (202, Some("blocked")), "{behind:?}");
    gate.open();
    let sending = read_answer(&mut waiting[0]).await;
    assert_eq!((sending.status, sending.json()["code"].as_i64()), (200, Some(0)), "{sending:?}");
    assert_eq!(daemon.wait_end().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stop_waits_ten_seconds_at_most_for_a_service_that_does_not_answer() {
    let service = service(|received| match received.n {
        1 => Reply::Hang,
        _ => Reply::Accept,
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    service.wait_for(|seen| seen.len() == 1, SOON).await.unwrap();
    let began = Instant::now();
    assert_eq!(daemon.term().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    daemon.start_again().await;
    let entry = daemon.entry_in("m-1", State::Sent).await;
    let outcomes: Vec<_> =
        entry.history.iter().map(|attempt| (attempt.attempt, attempt.outcome.as_str())).collect();
    assert_eq!(outcomes, [(1, "maybeReached"), (2, "sent")]);
    assert!(!entry.possible_duplicate, "the service recognizes the repeat: {entry:?}");
}

#[tokio::test]
async fn gates_pauses_and_holds_survive_a_kill() {
    let service = service(|received| match received.msg_id.as_str() {
        "login" => Reply::status(401),
        _ => Reply::Accept,
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let body = submit("login", "bob").replace("{\"message\"", "{\"account\":\"a\",\"message\"");
    daemon.post("/v1/messages", body).await;
    daemon.entry_when("login", |entry| !entry.history.is_empty()).await;
    daemon.client.pause().await.unwrap();
    daemon.post("/v1/messages", submit("held", "ada")).await;
    daemon.client.hold("held", Some("wait")).await.unwrap();
    daemon.restart().await;
    let status = daemon.client.status().await.unwrap();
    assert!(status.paused);
    assert_eq!(status.counts.held, 1);
    let account = status.accounts.iter().find(|account| account.account == "a").unwrap();
    assert_eq!(account.state.as_str(), "paused", "{account:?}");
    daemon.client.resume().await.unwrap();
    daemon.client.release("held", None).await.unwrap();
    daemon.entry_in("held", State::Sent).await;
    assert_eq!(daemon.client.message("login").await.unwrap().attempts, 0);
}

#[tokio::test]
async fn a_kill_during_an_attempt_is_a_maybe_and_the_backoff_survives_the_restart() {
    let service = service(|received| match received.msg_id.as_str() {
        "hangs" => Reply::Hang,
        "later" => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let toml = http_toml(&service, "dedup_window = \"10m\"", crate::harness::ONCE);
    let mut daemon = Daemon::start(&toml).await;
    daemon.post("/v1/messages", submit("later", "ada")).await;
    let before = daemon.entry_in("later", State::Deferred).await;
    daemon.post("/v1/messages", submit("hangs", "bob")).await;
    service.wait_for(|seen| seen.iter().any(|request| request.msg_id == "hangs"), SOON).await.unwrap();
    daemon.restart().await;
    let entry = daemon.client.message("hangs").await.unwrap();
    assert_eq!((entry.attempts, entry.history[0].outcome.as_str()), (1, "maybeReached"), "{entry:?}");
    // While the link is not known, the next thing to be tried is a probe; after an answer it is the message.
    daemon.post("/v1/messages", submit("opener", "eve")).await;
    daemon.entry_in("opener", State::Sent).await;
    let after = daemon.client.message("later").await.unwrap();
    let moved_ms = after.next_attempt_at.unwrap().ms_since(before.next_attempt_at.unwrap()).abs();
    assert!(after.state == State::Deferred && moved_ms < 2000, "{before:?} {after:?}");
    assert_eq!(service.requests().iter().filter(|request| request.msg_id == "later").count(), 1);
}
