//! Reading the configuration again: all of it or nothing, while messages wait and leave.
//!
//! Owns:  the answer of `/v1/reload`, SIGHUP, `outboxctl reload`, and that a changed option counts.
//! Never: knows every option (the option table's own test does).

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outbox_control::types::{AccountState, State};
use outboxd::service::Reply;
use serde_json::json;

use crate::harness::{Daemon, ONCE, OUTBOXD, QUICK, http_toml, service, until};
use crate::messages::submit;

impl Daemon {
    /// Writes another configuration and has it read; returns what changed and what needs a restart.
    async fn reload(&self, toml: &str) -> (Vec<String>, Vec<String>) {
        self.place.configure(toml);
        let answer = self.client.reload().await.unwrap();
        (answer.changed, answer.needs_restart)
    }
}

#[tokio::test]
async fn a_changed_option_counts_from_the_reload_on_and_the_answer_names_it() {
    let service = service(|_| Reply::status(503)).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    assert_eq!(daemon.post("/v1/reload", "").await.json(), json!({ "changed": [], "needsRestart": [] }));
    let (changed, needs_restart) = daemon.reload(&http_toml(&service, "", ONCE)).await;
    assert_eq!(changed, ["retry.initial", "retry.jitter", "retry.max"]);
    assert_eq!(needs_restart, Vec::<String>::new());
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_in("m-1", State::Deferred).await;
    assert_eq!(entry.attempts, 1, "{entry:?}");
    let wait_ms = entry.next_attempt_at.unwrap().ms_since(entry.submitted_at);
    assert!(wait_ms > 500_000, "the next attempt is after ten minutes: {wait_ms} ms");

    let tight =
        format!("[spool]\nmax_messages = 1\nmax_message_bytes = \"1KiB\"\n{}", http_toml(&service, "", ONCE));
    let (changed, _) = daemon.reload(&tight).await;
    assert_eq!(changed, ["spool.max_message_bytes", "spool.max_messages"]);
    daemon.post("/v1/messages", submit("m-2", "bob")).await.problem(507, "outbox_full");
    let long = submit("m-1", "bob").replace("hello", &"x".repeat(2000));
    daemon.post("/v1/messages", long).await.problem(413, "too_large");
    assert_eq!(daemon.client.status().await.unwrap().spool.limit_messages, 1);

    let classes = format!("[classes]\n\"503\" = \"permanent_content\"\n{}", http_toml(&service, "", ONCE));
    let (changed, _) = daemon.reload(&classes).await;
    assert!(changed.contains(&"classes.503".to_owned()), "{changed:?}");
}

#[tokio::test]
async fn what_needs_a_restart_stays_as_it_is_and_is_named_until_then() {
    let mut daemon = Daemon::start("").await;
    let toml = "[transport]\nkind = \"http\"\n[transport.http]\nurl = \"http://127.0.0.1:9/\"\n[log]\nformat = \"json\"\n[control]\nmode = \"0660\"\n[retry]\ninitial = \"3s\"\n";
    for changed_now in [&["retry.initial"][..], &[]] {
        let (changed, needs_restart) = daemon.reload(toml).await;
        assert_eq!(changed, changed_now);
        // The log's format stands in a flag, which is stronger than the file.
        assert_eq!(needs_restart, ["control.mode", "transport.http.url", "transport.kind"]);
    }
    assert_eq!(daemon.client.status().await.unwrap().transport.kind, "app");
    let lease = daemon.post("/v1/leases", r#"{"wait":"0s"}"#).await;
    assert_eq!(lease.status, 200, "{}", lease.text());
    assert_eq!(daemon.term().await, Some(0));
    daemon.start_again().await;
    assert_eq!(daemon.client.status().await.unwrap().transport.kind, "http");
    assert_eq!(daemon.reload(toml).await, (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_says_where_and_what_to_do() {
    let daemon = Daemon::start("[spool]\nmax_messages = 10\n").await;
    for (toml, words) in [
        ("[spool]\nmax_messages = 20\n[retry]\ninitail = \"2s\"\n", ["outboxd.toml:4:", "did you mean"]),
        (
            "[spool]\nmax_messages = 20\n[retry]\ninitial = \"2 parsecs\"\n",
            ["outboxd.toml:4:", "retry.initial"],
        ),
        (
            "[spool]\nmax_messages = 20\n[control.roles]\nread = [\"user:no-such-user\"]\n",
            ["no-such-user", "roles"],
        ),
        ("[spool\n", ["outboxd.toml:1:", "TOML"]),
    ] {
        daemon.place.configure(toml);
        let problem = daemon.post("/v1/reload", "{}").await.problem(400, "bad_request");
        let text = format!("{} {}", problem["detail"].as_str().unwrap(), problem["hint"].as_str().unwrap());
        for word in words {
            assert!(text.contains(word), "no {word}: {text}");
        }
        let refused = daemon.ctl(&["reload"]).await;
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.err.contains(words[0]), "{refused:?}");
        assert_eq!(daemon.client.status().await.unwrap().spool.limit_messages, 10, "nothing was changed");
    }
    let unknown = daemon.post("/v1/reload", r#"{"force":true}"#).await.problem(400, "bad_request");
    assert!(unknown["detail"].as_str().unwrap().contains("force"), "{unknown}");
    daemon.place.configure("[spool]\nmax_messages = 20\n");
    let reloaded = daemon.ctl(&["reload"]).await;
    assert!(reloaded.code == Some(0) && reloaded.out.contains("spool.max_messages"), "{reloaded:?}");
    assert_eq!(daemon.client.status().await.unwrap().spool.limit_messages, 20);
}

#[tokio::test]
async fn a_hang_up_does_the_same_and_bad_files_are_logged() {
    let daemon = Daemon::start("").await;
    let hang_up = || kill(Pid::from_raw(i32::try_from(daemon.pid()).unwrap()), Signal::SIGHUP).unwrap();
    daemon.place.configure("[spool]\nmax_messages = 7\n");
    hang_up();
    until("the limit is in force", || async {
        (daemon.client.status().await.unwrap().spool.limit_messages == 7).then_some(())
    })
    .await;
    daemon.place.configure("[spool]\nmax_messages = \"many\"\n");
    hang_up();
    until("it is logged", || async { daemon.log().contains("was not reloaded").then_some(()) }).await;
    assert!(daemon.log().contains("outboxd.toml:2:"), "with its line");
    assert_eq!(daemon.client.status().await.unwrap().spool.limit_messages, 7);
}

#[tokio::test]
async fn changed_credentials_open_the_account_that_the_service_shut_and_no_other() {
    let service = service(|received| match received.header("authorization") {
        Some("Bearer new") => Reply::Accept,
        _ => Reply::status(401),
    })
    .await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "Bearer old").unwrap();
    std::fs::set_permissions(token.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let headers = format!("headers = {{ Authorization = {{ file = \"{}\" }} }}", token.path().display());
    let toml = http_toml(&service, &headers, QUICK);
    let daemon = Daemon::start(&toml).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.client.pause_account("ada", Some("on holiday")).await.unwrap();
    let state = |name: &'static str| {
        let client = daemon.client.clone();
        async move {
            let accounts = client.status().await.unwrap().accounts;
            accounts.iter().find(|account| account.account == name).map(|account| account.state)
        }
    };
    until("the account is paused", || async {
        (state("default").await == Some(AccountState::Paused)).then_some(())
    })
    .await;
    let (changed, _) = daemon.reload(&toml).await;
    assert_eq!((changed, state("default").await), (Vec::new(), Some(AccountState::Paused)));
    std::fs::write(token.path(), "Bearer new").unwrap();
    let (changed, _) = daemon.reload(&toml).await;
    assert_eq!(
        changed,
        ["transport.http.headers.authorization"],
        "the file says the same, its secret does not"
    );
    daemon.entry_in("m-1", State::Sent).await;
    assert_eq!(state("ada").await, Some(AccountState::Paused), "a person's word stays");
    assert!(!daemon.log().contains("Bearer"), "secrets are not logged");
}

#[tokio::test]
async fn another_address_is_used_by_what_waits_and_another_concurrency_by_what_is_next() {
    let old = service(|_| Reply::status(503)).await;
    let new = service(|_| Reply::Accept).await;
    let daemon = Daemon::start(&http_toml(&old, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_when("m-1", |entry| entry.attempts > 0).await;
    let toml = http_toml(&new, "", &QUICK.replace("[link]", "[delivery]\nconcurrency = 1\n[link]"));
    let (changed, _) = daemon.reload(&toml).await;
    assert_eq!(changed, ["delivery.concurrency", "transport.http.url"]);
    daemon.entry_in("m-1", State::Sent).await;
    assert_eq!(new.ledger().len(), 1);
    for number in 0..20 {
        daemon.post("/v1/messages", submit(&format!("n-{number}"), &format!("u{number}"))).await;
    }
    daemon.entry_when_all_sent(21).await;
    let window = daemon.client.status().await.unwrap().transport.more["window"].clone();
    assert_eq!(window, 1, "as many at once as the configuration says");
}

#[tokio::test]
async fn another_level_of_the_log_counts_at_once() {
    let mut daemon = Daemon::start("").await;
    // The harness names a level in a flag, which is stronger than any file.
    daemon.kill9().await;
    let place = &daemon.place;
    let base = |level: &str| {
        let (spool, socket) = (place.spool.display(), place.socket.display());
        format!(
            "[spool]\npath = \"{spool}\"\n[control]\nsocket = \"{socket}\"\n[log]\nlevel = \"{level}\"\nformat = \"text\"\n"
        )
    };
    place.configure(&base("warn"));
    let log = std::fs::File::create(place.log_path()).unwrap();
    let mut command = tokio::process::Command::new(OUTBOXD);
    command.arg("run").arg("--config").arg(place.path().join("outboxd.toml"));
    let child = command.stderr(log).kill_on_drop(true).spawn().unwrap();
    until("it is ready", || async { daemon.client.ready().await.ok() }).await;
    daemon.post("/v1/messages", submit("quiet", "bob")).await;
    assert_eq!(daemon.log(), "", "nothing to warn of");
    place.configure(&base("debug"));
    assert_eq!(daemon.client.reload().await.unwrap().changed, ["log.level"]);
    daemon.post("/v1/messages", submit("loud", "bob")).await;
    until("it is logged", || async { daemon.log().contains("loud").then_some(()) }).await;
    assert!(!daemon.log().contains("quiet"));
    drop(child);
}
