//! `outboxctl` as a person or a script uses it.
//!
//! Owns:  exit codes, JSON output, width of tables, standard input.
//! Never: compares whole texts, which are for people.

use outboxd::service::Reply;
use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Daemon, ONCE, OUTBOXCTL, Run, http_toml, run, service};
use crate::messages::{message, submit};

#[track_caller]
fn json_lines(run: &Run) -> Vec<Value> {
    assert_eq!(run.code, Some(0), "{run:?}");
    run.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{run:?}"))).collect()
}

#[tokio::test]
async fn a_session_with_the_program_goes_as_the_contract_says() {
    let service = service(|received| match received.msg_id.as_str() {
        "bad" => Reply::status(400),
        "late" => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    let input = format!("{}\n{}\n{}\n", submit("m-1", "ada"), submit("bad", "bob"), submit("late", "eve"));
    let submitted = daemon.ctl_with(&["--json", "submit", "-"], &input).await;
    let lines = json_lines(&submitted);
    assert_eq!(lines.len(), 3, "{submitted:?}");
    assert!(lines.iter().all(|line| line["status"] == 201), "{submitted:?}");
    daemon.entry_in("m-1", outbox_control::types::State::Sent).await;
    daemon.entry_in("bad", outbox_control::types::State::Failed).await;
    daemon.entry_in("late", outbox_control::types::State::Deferred).await;

    for arguments in [
        &["status"][..],
        &["list"],
        &["list", "--state", "failed"],
        &["show", "bad"],
        &["show", "m-1"],
        &["why", "late"],
        &["sent"],
        &["sent", "m-1"],
        &["account", "list"],
    ] {
        let text = daemon.ctl(arguments).await;
        assert_eq!(text.code, Some(0), "{arguments:?}: {text:?}");
        assert!(!text.out.trim().is_empty(), "{arguments:?}");
        // Lists in a pipe shorten nothing, so that a script gets whole ids.
        if ["status", "account"].contains(&arguments[0]) {
            let widest = text.out.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= 80, "{arguments:?} has {widest} columns:\n{}", text.out);
        }
        assert!(!text.out.contains('\u{1b}'), "no colours in a pipe: {arguments:?}");
        let json = daemon.ctl(&[&["--json"], arguments].concat()).await;
        assert!(!json_lines(&json).is_empty(), "{arguments:?}");
    }
    let long = "x".repeat(150);
    assert_eq!(daemon.ctl(&["pause"]).await.code, Some(0));
    daemon.post("/v1/messages", submit(&long, &long)).await;
    assert!(daemon.ctl(&["list"]).await.out.contains(&long), "a pipe gets whole ids");
    let payload = daemon.ctl(&["payload", "late"]).await;
    assert_eq!(payload.out.trim_end(), message("late", "eve"));
    let shown = daemon.ctl(&["--json", "show", "m-1"]).await;
    assert_eq!(json_lines(&shown)[0]["state"], "sent");
}

#[tokio::test]
async fn every_kind_of_end_has_its_exit_code() {
    let service = service(|received| match received.attempt {
        1 => Reply::status(503),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("m-1", "ada")).await;
    daemon.entry_in("m-1", outbox_control::types::State::Deferred).await;
    let rows: [(&[&str], i32); 14] = [
        (&["show", "nobody"], 3),
        (&["why", "nobody"], 3),
        (&["sent", "nobody"], 3),
        (&["resend", "nobody"], 3),
        (&["lst"], 2),
        (&["list", "--limit", "0"], 2),
        (&["hold"], 2),
        (&["resolve", "m-1"], 4),
        (&["hold", "m-1"], 0),
        (&["release", "m-1"], 0),
        (&["pause"], 0),
        (&["resend", "m-1", "--wait=1s"], 75),
        (&["resume"], 0),
        (&["link", "unknown"], 0),
    ];
    for (arguments, code) in rows {
        let ended = daemon.ctl(arguments).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert_eq!(ended.err.is_empty(), code == 0 || code == 75, "{arguments:?}: {ended:?}");
    }
    let sent = daemon.ctl(&["resend", "m-1", "--wait"]).await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let late = daemon.ctl(&["cancel", "m-1"]).await;
    assert_eq!(late.code, Some(4), "{late:?}");
    let hold = daemon.ctl(&["hold", "m-1"]).await;
    assert_eq!(hold.code, Some(4), "{hold:?}");
}

#[tokio::test]
async fn without_a_daemon_the_program_says_so_with_code_69() {
    let dir = tempfile::tempdir().unwrap();
    for socket in ["none.sock", "dead.sock"] {
        let path = dir.path().join(socket);
        if socket == "dead.sock" {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        }
        let mut command = Command::new(OUTBOXCTL);
        command.arg("--socket").arg(&path).arg("status");
        let ended = run(command, "").await;
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(ended.err.contains(path.to_str().unwrap()) && ended.out.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn completions_need_no_daemon_and_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let mut command = Command::new(OUTBOXCTL);
        command.args(["--socket", "/nowhere/at/all", "completions", shell]);
        let printed = run(command, "").await;
        assert_eq!(printed.code, Some(0), "{printed:?}");
        for word in ["events", "batch", "reload", "older-than"] {
            assert!(printed.out.contains(word), "no {word} for {shell}");
        }
    }
}

#[tokio::test]
async fn ids_come_from_standard_input_and_all_says_how_many() {
    let daemon = Daemon::start("").await;
    for number in 0..4 {
        daemon.post("/v1/messages", submit(&format!("m-{number}"), "ada")).await;
    }
    let held = daemon.ctl_with(&["--json", "hold", "-", "--reason", "look"], "m-0\nm-1\n\n").await;
    let lines = json_lines(&held);
    assert_eq!(lines.iter().map(|line| line["state"].as_str()).collect::<Vec<_>>(), [Some("held"); 2]);
    let unsure = daemon.ctl(&["cancel"]).await;
    assert_eq!(unsure.code, Some(2), "without ids and without --all: {unsure:?}");
    let released = daemon.ctl(&["release", "--all"]).await;
    assert_eq!(released.code, Some(0), "{released:?}");
    assert!(format!("{}{}", released.out, released.err).contains('2'), "it says how many: {released:?}");
    let partly = daemon.ctl(&["hold", "m-2", "nobody", "m-3"]).await;
    assert_eq!(partly.code, Some(3), "{partly:?}");
    assert_eq!(daemon.client.status().await.unwrap().counts.held, 2, "the others are held all the same");
}

#[tokio::test]
async fn a_submit_from_a_file_takes_one_object_over_several_lines_or_many_lines() {
    let daemon = Daemon::start("").await;
    let dir = tempfile::tempdir().unwrap();
    let (one, many) = (dir.path().join("one.json"), dir.path().join("many.ndjson"));
    std::fs::write(&one, format!("{{\n  \"message\": {}\n}}\n", message("m-1", "ada"))).unwrap();
    std::fs::write(&many, format!("{}\n\n{{\n{}\n", submit("m-2", "ada"), submit("m-3", "ada"))).unwrap();
    let submitted = daemon.ctl(&["submit", one.to_str().unwrap()]).await;
    assert_eq!(submitted.code, Some(0), "{submitted:?}");
    let partly = daemon.ctl(&["--json", "submit", many.to_str().unwrap()]).await;
    assert_eq!(partly.code, Some(1), "one line of it is no JSON: {partly:?}");
    for msg_id in ["m-1", "m-2", "m-3"] {
        assert_eq!(daemon.client.message(msg_id).await.unwrap().msg_id, msg_id);
    }
    let missing = daemon.ctl(&["submit", "/nowhere/at-all"]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
}
