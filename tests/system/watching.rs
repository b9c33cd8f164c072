//! `outboxctl events` and `top` as a person or a script uses them.
//!
//! Owns:  their lines, their objects, following over restarts, their end.
//! Never: checks which events there are (`events` does).

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::harness::{Daemon, OUTBOXCTL, SOON};
use crate::messages::submit;

/// A program that goes on until it is told to stop.
struct Watcher {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Daemon {
    fn watch(&self, arguments: &[&str]) -> Watcher {
        let mut command = Command::new(OUTBOXCTL);
        command.arg("--socket").arg(&self.place.socket).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Watcher { child, out, err }
    }

    /// A durable event.
    async fn cancel_one(&self, msg_id: &str) {
        self.post("/v1/messages", submit(msg_id, "bob")).await;
        self.client.cancel(msg_id, None).await.unwrap();
    }
}

impl Watcher {
    /// The next line of what it prints that has this word.
    async fn line_with(&mut self, word: &str) -> String {
        loop {
            let line = timeout(SOON, self.out.next_line()).await.expect(word).unwrap().expect(word);
            if line.contains(word) {
                return line;
            }
        }
    }

    /// The next note.
    async fn note(&mut self) -> String {
        timeout(SOON, self.err.next_line()).await.expect("a note").unwrap().expect("a note")
    }

    async fn end(&mut self) -> Option<i32> {
        timeout(SOON, self.child.wait()).await.expect("its end").unwrap().code()
    }
}

#[tokio::test]
async fn events_that_are_kept_are_printed_and_the_program_ends() {
    let daemon = Daemon::start("").await;
    let empty = daemon.ctl(&["events"]).await;
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), ""), "{empty:?}");
    for msg_id in ["m-1", "m-2", "m-3"] {
        daemon.cancel_one(msg_id).await;
    }
    let all = daemon.ctl(&["events"]).await;
    assert_eq!((all.code, all.out.lines().count()), (Some(0), 3), "{all:?}");
    assert!(all.out.contains("cancelled") && all.out.contains("m-2 in c2c:bob"), "{all:?}");
    let json = daemon.ctl(&["--json", "events", "--since", "1"]).await;
    let lines: Vec<Value> = json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines.iter().map(|line| (line["id"].as_u64(), line["msgID"].as_str())).collect();
    assert_eq!(seen, [(Some(2), Some("m-2")), (Some(3), Some("m-3"))]);
    let none = daemon.ctl(&["events", "--since", "now"]).await;
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""), "{none:?}");
}

#[tokio::test]
async fn following_goes_on_over_restarts_and_misses_nothing() {
    let mut daemon = Daemon::start("").await;
    daemon.cancel_one("before").await;
    let mut all = daemon.watch(&["--json", "events", "-f"]);
    let mut new = daemon.watch(&["watch", "--since", "now"]);
    all.line_with("before").await;
    // What is live only tells that it listens.
    let toggling = async {
        loop {
            daemon.client.pause_account("ada", None).await.unwrap();
            daemon.client.resume_account("ada").await.unwrap();
        }
    };
    tokio::select! {
        _ = new.line_with("account") => {}
        () = toggling => {}
    }
    daemon.kill9().await;
    for watcher in [&mut all, &mut new] {
        let note = watcher.note().await;
        assert!(note.contains("connecting again"), "{note}");
    }
    daemon.start_again().await;
    for msg_id in ["m-1", "m-2"] {
        daemon.cancel_one(msg_id).await;
    }
    for msg_id in ["m-1", "m-2"] {
        let line = all.line_with("\"type\":\"cancelled\"").await;
        assert!(line.contains(msg_id), "each once: {line}");
        new.line_with("cancelled").await;
    }
    for watcher in [&mut all, &mut new] {
        assert!(watcher.note().await.contains("connected again"));
    }
    let pid = i32::try_from(all.child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    assert_eq!(all.end().await, Some(130));
    // A reader that has seen enough ends it without a word.
    let Watcher { mut child, out, mut err } = new;
    drop(out);
    daemon.cancel_one("m-3").await;
    let ended = timeout(SOON, child.wait()).await.expect("its end").unwrap();
    assert_eq!((ended.code(), err.next_line().await.unwrap()), (Some(0), None));
}

#[tokio::test]
async fn without_a_daemon_there_is_nothing_to_follow() {
    let mut daemon = Daemon::start("").await;
    assert_eq!(daemon.term().await, Some(0));
    let ended = daemon.ctl(&["events", "-f"]).await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.err.contains("no daemon"), "{ended:?}");
}

#[tokio::test]
async fn top_draws_again_over_a_restart_until_it_is_interrupted() {
    let mut daemon = Daemon::start("").await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let once = daemon.ctl(&["top"]).await;
    assert_eq!(once.code, Some(0), "{once:?}");
    assert!(once.out.contains("waiting:   1 queued") && once.out.contains("m-1"), "{once:?}");
    assert!(!once.out.contains('\u{1b}'), "no control sequences where nobody looks: {once:?}");
    let mut top = daemon.watch(&["--json", "top", "--every", "200ms"]);
    let status: Value = serde_json::from_str(&top.line_with("queued").await).unwrap();
    assert_eq!(status["counts"]["queued"], 1);
    daemon.kill9().await;
    assert!(top.note().await.contains("does not answer"), "beside the objects, not among them");
    daemon.start_again().await;
    top.line_with("queued").await;
    let pid = i32::try_from(top.child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    assert_eq!(top.end().await, Some(130));
    daemon.term().await;
    assert_eq!(daemon.ctl(&["top"]).await.code, Some(69));
}
