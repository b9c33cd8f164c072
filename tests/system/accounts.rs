//! Accounts: what login trouble and limits keep back, for how long, and whom they leave alone.
//!
//! Owns:  gates and limits as a caller sees them: reason, cure, until when, over restarts.
//! Never: waits for the minute after which a shut account is tried (the store's tests move their clock).

use outbox_control::types::{Account, AccountState, Entry, State, WaitsFor};
use outboxd::service::{Received, Reply};
use serde_json::Value;

use crate::harness::{Daemon, ONCE, QUICK, http_toml, service, until};
use crate::messages::{submit, submit_with};

/// A message of an account that has its name, as its conversation has.
fn own(name: &str) -> String {
    submit_with(name, name, &format!(r#""account":"{name}""#))
}

async fn account(daemon: &Daemon, name: &str) -> Account {
    let status = daemon.client.status().await.unwrap();
    status.accounts.into_iter().find(|account| account.account == name).unwrap()
}

/// For how long an account is slowed, in seconds.
async fn limited_s(daemon: &Daemon, name: &str) -> i64 {
    let account = account(daemon, name).await;
    assert_eq!(account.state, AccountState::Limited, "{account:?}");
    (account.until.unwrap().ms_since(account.since) + 500) / 1000
}

fn limit(received: &Received) -> Reply {
    let after = |text: &str| Reply::Status {
        status: 429,
        headers: vec![("Retry-After".into(), text.into())],
        body: Vec::new(),
    };
    match received.msg_id.as_str() {
        "bare" => Reply::status(429),
        "at-once" => after("0"),
        "seconds" => after("90"),
        "passed" => after("Sun, 06 Nov 1994 08:49:37 GMT"),
        "a-day" => after("86400"),
        "code" => Reply::Callback { code: 8512, desc: "once a minute".into() },
        "quota" => Reply::Callback { code: 90_047, desc: "once a day".into() },
        _ => Reply::Accept,
    }
}

#[tokio::test]
async fn a_limit_lasts_as_long_as_the_service_says_and_costs_no_message_anything() {
    let service = service(limit).await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    let rows = [
        ("bare", 5),
        ("at-once", 5),
        ("seconds", 90),
        ("passed", 5),
        ("a-day", 3_600),
        ("code", 60),
        ("quota", 3_600),
    ];
    for (name, seconds) in rows {
        daemon.post("/v1/messages", own(name)).await;
        let entry = daemon.entry_when(name, |entry| !entry.history.is_empty()).await;
        assert_eq!(limited_s(&daemon, name).await, seconds, "{name}");
        assert_eq!((entry.attempts, entry.starts, entry.state), (0, 1, State::Queued), "{entry:?}");
        let why = daemon.client.why(name).await.unwrap();
        let until = account(&daemon, name).await.until;
        assert_eq!((why.waits_for, why.next_attempt_at), (Some(WaitsFor::Rate), until), "{name}");
    }
    daemon.post("/v1/messages", submit("other", "other")).await;
    daemon.entry_in("other", State::Sent).await;
    let before = account(&daemon, "a-day").await.until.unwrap();
    daemon.restart().await;
    let after = account(&daemon, "a-day").await;
    assert_eq!(after.state, AccountState::Limited, "{after:?}");
    let moved_ms = after.until.unwrap().ms_since(before).abs();
    assert!(moved_ms < 2_000, "a restart does not move it: {moved_ms} ms");
}

#[tokio::test]
async fn a_second_limit_without_a_word_lasts_twice_as_long() {
    let service = service(limit).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", own("bare")).await;
    let entry = daemon.entry_when("bare", |entry| entry.history.len() == 2).await;
    assert_eq!(limited_s(&daemon, "bare").await, 10);
    let numbers: Vec<u32> = entry.history.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!((numbers, entry.attempts), (vec![1, 1], 0), "{entry:?}");
    let apart_ms = entry.history[1].at.ms_since(entry.history[0].at);
    assert!((4_900..15_000).contains(&apart_ms), "{apart_ms}");
}

/// What is said of a message whose account is shut.
async fn check_shut(daemon: &Daemon, name: &str, next_s: Option<i64>) -> Entry {
    let shown = account(daemon, name).await;
    assert_eq!(shown.state, AccountState::Paused, "{shown:?}");
    assert!(shown.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{shown:?}");
    let why = daemon.client.why(name).await.unwrap();
    assert_eq!(why.waits_for, Some(WaitsFor::Account), "{why:?}");
    assert!(why.hint.as_ref().is_some_and(|hint| hint.contains("resume")), "the cure: {why:?}");
    let next = why.next_attempt_at.map(|at| (at.ms_since(shown.since) + 500) / 1000);
    assert_eq!(next, next_s, "{why:?}");
    let entry = daemon.client.message(name).await.unwrap();
    assert_eq!((entry.state, entry.attempts), (State::Queued, 0), "{entry:?}");
    entry
}

#[tokio::test]
async fn login_trouble_names_its_reason_and_cure_and_the_next_try_and_survives_a_kill() {
    let service = service(|received| match received.msg_id.as_str() {
        "sig" => Reply::Callback { code: 70_001, desc: "UserSig expired".into() },
        _ => Reply::Accept,
    })
    .await;
    let mut daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", own("sig")).await;
    daemon.entry_when("sig", |entry| !entry.history.is_empty()).await;
    daemon.client.pause_account("person", Some("kicked off line")).await.unwrap();
    daemon.post("/v1/messages", own("person")).await;
    for _ in 0..2 {
        check_shut(&daemon, "sig", Some(60)).await;
        check_shut(&daemon, "person", None).await;
        assert!(account(&daemon, "sig").await.reason.unwrap().contains("70001 UserSig expired"));
        assert_eq!(account(&daemon, "person").await.reason.as_deref(), Some("kicked off line"));
        daemon.restart().await;
    }
    let opened = daemon.client.resume_account("person").await.unwrap();
    assert_eq!(opened.state, AccountState::Open);
    daemon.entry_in("person", State::Sent).await;
}

#[tokio::test]
async fn with_an_app_only_a_resume_opens_a_shut_account() {
    let mut daemon = Daemon::start("[transport.app]\nrate = 1000").await;
    daemon.post("/v1/messages", own("kicked")).await;
    let lease = daemon.lease(r#"{"wait":"20s","account":"kicked"}"#).await.remove(0);
    let path = format!("/v1/leases/{}/settle", lease.lease);
    daemon.post(&path, r#"{"code":6208,"desc":"kicked off line"}"#).await;
    daemon.restart().await;
    check_shut(&daemon, "kicked", None).await;
    assert!(daemon.lease(r#"{"wait":"1s","account":"kicked"}"#).await.is_empty());
    daemon.client.resume_account("kicked").await.unwrap();
    let again = daemon.lease(r#"{"wait":"20s","account":"kicked"}"#).await.remove(0);
    assert_eq!((again.attempt, again.send_token), (1, lease.send_token), "it cost the message nothing");
}

#[tokio::test]
async fn at_most_a_hundred_accounts_are_listed_and_those_that_are_not_open_first() {
    let service = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.client.pause().await.unwrap();
    let body: String = (0..130).map(|number| own(&format!("a-{number:03}")) + "\n").collect();
    daemon.post_lines(body).await;
    for name in ["a-007", "a-064", "a-129"] {
        daemon.client.pause_account(name, None).await.unwrap();
    }
    let listed = daemon.get("/v1/accounts").await.json();
    for accounts in [&listed["accounts"], &daemon.get("/v1/status").await.json()["accounts"]] {
        let accounts = accounts.as_array().unwrap();
        assert_eq!(accounts.len(), 100);
        let is_open = |account: &&Value| account["state"] == "open";
        let mut first: Vec<&str> =
            accounts.iter().take(3).map(|account| account["account"].as_str().unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, ["a-007", "a-064", "a-129"]);
        assert_eq!(accounts.iter().filter(is_open).count(), 97);
    }
}

#[tokio::test]
async fn classes_of_the_configuration_go_before_the_built_in_ones() {
    let code = |received: &Received| received.msg_id.parse().unwrap_or(0);
    let service = service(move |received| match code(received) {
        0 => Reply::Accept,
        code => Reply::Callback { code, desc: "said".into() },
    })
    .await;
    // Content, a login, a code after which a message may have arrived, and codes that nobody knows.
    let classes = "[classes]\n80001 = \"transient_server\"\n70001 = \"permanent_request\"\n\
                   6012 = \"transient_server\"\n424241 = \"auth\"\n424242 = \"rate_limited\"\n\
                   424243 = \"permanent_content\"\n424244 = \"file_upload\"\n";
    let daemon = Daemon::start(&http_toml(&service, "", &format!("{classes}{ONCE}"))).await;
    let rows = [
        ("80001", "retry", State::Deferred, "transient_server"),
        ("70001", "reject", State::Failed, "permanent_request"),
        // When to try again is configured; whether it has arrived is not known all the same.
        ("6012", "maybeReached", State::Deferred, "transient_server"),
        ("424241", "gateShut", State::Queued, "auth"),
        ("424242", "limited", State::Queued, "rate_limited"),
        ("424243", "reject", State::Failed, "permanent_content"),
        ("424244", "retry", State::Deferred, "file_upload"),
        ("424245", "retry", State::Deferred, "unknown"),
    ];
    for (name, outcome, state, class) in rows {
        daemon.post("/v1/messages", own(name)).await;
        let entry = daemon.entry_when(name, |entry| !entry.history.is_empty()).await;
        let error = entry.last_error.unwrap();
        let seen = (entry.history[0].outcome.as_str(), entry.state, error.class.as_str());
        assert_eq!(seen, (outcome, state, class), "{name}");
        assert_eq!((error.code.to_string(), error.desc.as_str()), (name.to_owned(), "said"));
        assert_eq!(entry.unresolved_since.is_some(), outcome == "maybeReached", "{name}");
    }
}

#[tokio::test]
async fn an_unknown_code_fails_with_the_raw_answer_once_its_few_attempts_are_used_up() {
    let service = service(|_| Reply::Callback { code: -7, desc: "shrug".into() }).await;
    let tables = QUICK.replace("[retry]", "[retry]\nunknown_max_attempts = 3");
    let daemon = Daemon::start(&http_toml(&service, "", &tables)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_in("m-1", State::Failed).await;
    let error = entry.last_error.unwrap();
    assert_eq!((error.code, error.desc.as_str(), error.class.as_str()), (-7, "shrug", "unknown"));
    assert_eq!((entry.attempts, service.requests().len()), (3, 3));
    assert!(!entry.may_have_arrived);
    until("nothing is left to do", || async {
        (daemon.client.status().await.unwrap().counts.failed == 1).then_some(())
    })
    .await;
}
