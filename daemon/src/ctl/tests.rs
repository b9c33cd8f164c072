//! Commands against a real server on a real socket.
//!
//! Owns:  what several calls of one command do together: order, exit codes, both forms of output.
//! Never: tests the daemon's own decisions.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use outbox_control::paths::{Environment, User};
use outbox_control::types::{Problem, ProblemCode, State};
use outbox_control::{Client, Time};
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::args::Args;
use super::exit::{CtlError, Exit};
use super::out::Output;
use super::render::Style;
use super::session::{self, Input, Session};
use super::{finish, run};

/// A daemon whose answers a function of method, target and body decides; it notes the requests.
struct Daemon {
    dir: tempfile::TempDir,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    fn start(answer: fn(&str, &str) -> Response) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&calls);
        let router = Router::new().fallback(move |method: Method, uri: Uri, body: String| async move {
            let line = format!("{method} {uri}");
            let response = answer(&line, &body);
            notes.lock().unwrap().push(format!("{line} {body}"));
            response
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { dir, calls }
    }

    fn client(&self) -> Client {
        Client::new(self.dir.path().join("s"))
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// What a command printed.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn run_with(
    daemon: &Daemon,
    line: &[&str],
    input: Input,
    writer: impl Write + 'static,
) -> Result<Exit, CtlError> {
    let args = Args::try_parse_from(std::iter::once("outboxctl").chain(line.iter().copied())).unwrap();
    let output = Output::new(writer, args.json);
    let style = Style { now: Time::from_ms(0), terminal: false, colour: false };
    let mut session = Session { client: daemon.client(), output, style, input };
    let exit = run::run(&mut session, args.command).await?;
    session.output.flush()?;
    Ok(exit)
}

/// Runs a command with that standard input, which no person types, and gives its exit code and output.
async fn ctl(daemon: &Daemon, line: &[&str], input: &'static str) -> (u8, String) {
    let printed = Printed::default();
    let result = run_with(daemon, line, Input::new(input.as_bytes(), false), printed.clone()).await;
    let text = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
    (finish(result).code(), text)
}

fn entry(msg_id: &str, state: State) -> Value {
    json!({ "msgID": msg_id, "state": state })
}

fn answer(status: StatusCode, body: &impl serde::Serialize) -> Response {
    (status, serde_json::to_string(body).unwrap()).into_response()
}

fn problem(code: ProblemCode) -> Response {
    answer(code.status(), &Problem::new(code, "no"))
}

/// Holds everything but `gone` and `ended`.
fn holds(line: &str, _: &str) -> Response {
    match line {
        "POST /v1/messages/gone/hold" => problem(ProblemCode::NotFound),
        "POST /v1/messages/ended/hold" => problem(ProblemCode::WrongState),
        _ => answer(StatusCode::OK, &entry("m", State::Held)),
    }
}

#[tokio::test]
async fn a_refusal_stops_no_other_message_and_the_first_one_decides() {
    let daemon = Daemon::start(holds);
    let (code, text) = ctl(&daemon, &["hold", "a", "gone", "ended", "b", "--reason", "later"], "").await;
    assert_eq!((code, text.as_str()), (3, "m: held\nm: held\n"));
    assert_eq!(daemon.calls().len(), 4);
    assert_eq!(daemon.calls()[3], r#"POST /v1/messages/b/hold {"reason":"later"}"#);
}

#[tokio::test]
async fn json_has_an_object_a_line_also_for_what_was_refused() {
    let daemon = Daemon::start(holds);
    let (code, text) = ctl(&daemon, &["--json", "hold", "a", "ended"], "").await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(code, 4);
    assert_eq!((&lines[0]["state"], &lines[1]["code"]), (&json!("held"), &json!("wrong_state")));
    let (code, text) = ctl(&daemon, &["--json", "show", "x"], "").await;
    assert_eq!((code, text.lines().count()), (0, 1));
}

#[tokio::test]
async fn ids_come_from_standard_input_too() {
    let daemon = Daemon::start(holds);
    let (code, _) = ctl(&daemon, &["hold", "first", "-", "last"], "\n a/b \r\n\nc").await;
    let ids: Vec<String> =
        daemon.calls().iter().map(|call| call.split('/').nth(3).unwrap().to_owned()).collect();
    assert_eq!((code, ids), (0, ["first", "a%2Fb", "c", "last"].map(str::to_owned).to_vec()));
}

/// Two pages of held messages.
fn pages(line: &str, _: &str) -> Response {
    let page = |id, next: Option<&str>| {
        answer(StatusCode::OK, &json!({ "messages": [entry(id, State::Held)], "next": next }))
    };
    match line {
        "GET /v1/messages?state=held" => page("a", Some("c1")),
        "GET /v1/messages?state=held&cursor=c1" => page("b", None),
        _ => problem(ProblemCode::BadRequest),
    }
}

/// Does everything to two messages of three.
fn batches(line: &str, body: &str) -> Response {
    assert_eq!(line, "POST /v1/messages:batch");
    let done = if body.contains("dryRun") { 0 } else { 2 };
    let skipped = if body.contains("dryRun") { 0 } else { 1 };
    answer(StatusCode::OK, &json!({ "matched": 3, "done": done, "pending": 0, "skipped": skipped }))
}

#[tokio::test]
async fn acting_on_all_asks_a_person_on_a_terminal_and_nobody_else() {
    let daemon = Daemon::start(batches);
    let (code, text) = ctl(&daemon, &["release", "--all"], "").await;
    assert!(code == 0 && text.starts_with("release: 3 messages, 2 done, 1 skipped"), "{text}");
    assert_eq!(
        daemon.calls(),
        [r#"POST /v1/messages:batch {"op":"release","filter":{"state":["held"]}}"#],
        "nobody was asked"
    );
    let person = |text: &'static str| Input::new(text.as_bytes(), true);
    for (said, calls) in [("n\n", 1), ("", 1), ("Yes\n", 2)] {
        for line in [&["cancel", "--all"][..], &["batch", "cancel", "--state", "failed"]] {
            let daemon = Daemon::start(batches);
            let exit = run_with(&daemon, line, person(said), Printed::default()).await.unwrap();
            assert_eq!((exit, daemon.calls().len()), (Exit::Done, calls), "{line:?} {said:?}");
            assert!(daemon.calls()[0].contains("dryRun"), "it was counted first");
        }
    }
    let daemon = Daemon::start(batches);
    let (code, _) = ctl(&daemon, &["batch", "hold", "--all", "--yes"], "").await;
    assert_eq!((code, daemon.calls().len()), (0, 1));
    assert_eq!(ctl(&daemon, &["release", "a", "--state", "held"], "").await.0, 2);
    assert_eq!(ctl(&daemon, &["batch", "hold"], "").await.0, 2, "all of them needs the word");
    assert_eq!(ctl(&daemon, &["batch", "hold", "--dry-run"], "").await, (0, "hold: 3 messages\n".into()));
}

#[tokio::test]
async fn a_list_stops_after_its_page_unless_all_are_wanted() {
    let daemon = Daemon::start(pages);
    let (code, text) = ctl(&daemon, &["list", "--state", "held"], "").await;
    assert_eq!((code, text.lines().count()), (0, 2), "{text}");
    let (_, text) = ctl(&daemon, &["list", "--state", "held", "--all", "--json"], "").await;
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(r#""next":null"#), "{text}");
}

fn resends(line: &str, _: &str) -> Response {
    match line {
        "POST /v1/messages/sent/resend?wait=30s" => {
            answer(StatusCode::OK, &json!({ "code": 0, "desc": "", "data": { "msgID": "n" } }))
        }
        "POST /v1/messages/failed/resend?wait=30s" => {
            answer(StatusCode::OK, &json!({ "code": 9508, "desc": "no network" }))
        }
        "DELETE /v1/messages/sent" => {
            answer(StatusCode::OK, &json!({ "outcome": "too_late", "data": { "msgID": "n" } }))
        }
        _ => answer(StatusCode::ACCEPTED, &entry("m", State::Sending)),
    }
}

#[tokio::test]
async fn a_resend_that_waits_succeeds_only_if_the_message_was_sent() {
    let daemon = Daemon::start(resends);
    assert_eq!(ctl(&daemon, &["resend", "sent", "--wait"], "").await, (0, "sent: sent as n\n".into()));
    let failed = (1, "failed: not sent: 9508 no network\n".into());
    assert_eq!(ctl(&daemon, &["resend", "failed", "--wait"], "").await, failed);
    assert_eq!(ctl(&daemon, &["resend", "slow", "--wait"], "").await, (75, "m: sending\n".into()));
    assert_eq!(ctl(&daemon, &["retry", "slow"], "").await.0, 0);
    assert_eq!(ctl(&daemon, &["cancel", "sent"], "").await, (4, "sent: too late: it was sent as n\n".into()));
}

/// Accepts every line but those that say so.
fn submits(_: &str, body: &str) -> Response {
    if !body.ends_with("}\n") || body.starts_with("{\n") {
        let new = json!({ "msgID": "whole", "state": "queued", "conversation": "c2c:a", "seq": 1, "duplicate": false });
        return answer(StatusCode::CREATED, &new);
    }
    let mut lines = String::new();
    for (line, text) in (1_u64..).zip(body.lines()).filter(|(_, text)| !text.is_empty()) {
        let answer = if text.contains("full") {
            serde_json::to_value(Problem {
                line: Some(line),
                ..Problem::new(ProblemCode::OutboxFull, "no room")
            })
        } else {
            Ok(
                json!({ "msgID": "m", "state": "queued", "seq": 1, "duplicate": text.contains("again"), "line": line }),
            )
        };
        lines += &format!("{}\n", answer.unwrap());
    }
    lines.into_response()
}

#[tokio::test]
async fn each_submitted_line_has_its_answer_under_its_own_number() {
    let daemon = Daemon::start(submits);
    let input = "{\"a\":1}\n\n{\"full\":1}\n{\"again\":1}\n";
    let (code, text) = ctl(&daemon, &["--json", "submit"], input).await;
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<&Value> = lines.iter().map(|line| &line["line"]).collect();
    assert_eq!((code, numbers), (1, vec![&json!(1), &json!(3), &json!(4)]));

    let (_, text) = ctl(&daemon, &["submit", "-"], input).await;
    assert!(text.contains("line 3: outbox_full: no room\n"), "{text}");
    assert!(text.ends_with("m: known already, queued\n"), "{text}");
    assert_eq!(ctl(&daemon, &["submit"], "{\"full\":1}\n").await.0, 75, "a single one has its own exit code");
}

#[tokio::test]
async fn an_object_over_several_lines_arrives_byte_for_byte() {
    let daemon = Daemon::start(submits);
    let text = "{\n  \"message\": { \"a\" : 1 }\n}\n";
    let (code, printed) = ctl(&daemon, &["submit"], text).await;
    assert_eq!((code, printed.as_str()), (0, "whole: queued, number 1 in c2c:a\n"));
    assert_eq!(daemon.calls(), [format!("POST /v1/messages {text}")]);
    assert_eq!(ctl(&daemon, &["submit"], "neither\nof both\n").await.0, 1);
    assert_eq!(ctl(&daemon, &["submit", "/nowhere/at/all"], "").await.0, 1);
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_the_run_quietly() {
    let daemon = Daemon::start(pages);
    let input = Input::new(io::empty(), false);
    let result = run_with(&daemon, &["list", "--state", "held", "--all"], input, Closed).await;
    let error = result.unwrap_err();
    assert_eq!((error.exit(), error.text()), (Exit::Done, None));
}

#[tokio::test]
async fn the_first_default_socket_that_answers_is_taken() {
    let daemon = Daemon::start(holds);
    let dir = daemon.dir.path();
    let environment = Environment {
        user: User::Other,
        xdg_state_home: None,
        xdg_runtime_dir: Some(dir.to_owned()),
        home: Some(dir.to_owned()),
    };
    let unset = |_: &str| None;
    let own = dir.join("outbox/outbox.sock");
    let nobody = session::choose(None, &environment, unset).await;
    if let Err(error) = nobody {
        assert_eq!(error.exit().code(), 69);
        assert!(error.to_string().contains(own.to_str().unwrap()), "{error}");
    }
    std::fs::create_dir(dir.join("outbox")).unwrap();
    std::os::unix::fs::symlink(dir.join("s"), &own).unwrap();
    assert_eq!(session::choose(None, &environment, unset).await.unwrap().socket(), own);
    let named = session::choose(None, &environment, |_| Some("/named".into())).await.unwrap();
    assert_eq!(named.socket(), Path::new("/named"));
    let flag =
        session::choose(Some(Path::new("/flag")), &environment, |_| Some("/named".into())).await.unwrap();
    assert_eq!(flag.socket(), Path::new("/flag"));
}
