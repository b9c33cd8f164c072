//! What the service answers, and what becomes of the message: the tables of the contract, row by row.
//!
//! Owns:  outcome, counter, state, code and class of each answer; the uncertain policies; delays.
//! Never: judges an answer inside the process: everything is seen through the socket.

use std::collections::HashMap;
use std::time::Duration;

use outbox_control::types::AttemptOutcome::{
    self, Duplicate, GateShut, Limited, MaybeReached, NotReached, Reject, Retry, Sent,
};
use outbox_control::types::{AccountState, Entry, LinkState, ResendAnswer, ResendRequest, State};
use outboxd::service::{Door, Received, Reply};

use crate::harness::{Daemon, ONCE, QUICK, SOON, forgetful_service, http_toml, service};
use crate::messages::{submit, submit_with};

/// An answer, and what must become of a message that gets it.
struct Row {
    name: &'static str,
    reply: Reply,
    outcome: AttemptOutcome,
    attempts: u32,
    state: State,
    code: i64,
}

fn row(
    name: &'static str,
    reply: Reply,
    outcome: AttemptOutcome,
    attempts: u32,
    state: State,
    code: i64,
) -> Row {
    Row { name, reply, outcome, attempts, state, code }
}

fn code(code: i64) -> Reply {
    Reply::Callback { code, desc: format!("code {code}") }
}

const LOST: i64 = -30_001;

/// The table of section 2, with `on_uncertain = "hold"` so that what is uncertain stays so.
fn http_rows() -> Vec<Row> {
    use State::{Deferred, Failed, Queued, Sent as IsSent, Uncertain};
    let callback =
        |status: u16, code: i64| Reply::json(status, format!(r#"{{"code":{code},"desc":"said"}}"#));
    let ok = |data: &str| Reply::json(200, format!(r#"{{"code":0,"desc":"ok","data":{data}}}"#));
    let already = r#"{"code":10,"desc":"known","data":{"msgID":"first-time","status":2}}"#;
    vec![
        row("200-proven", Reply::Accept, Sent, 1, IsSent, 0),
        row("200-same-id", Reply::AcceptSameId, Sent, 1, IsSent, 0),
        row("200-no-status", ok(r#"{"msgID":"n"}"#), Sent, 1, IsSent, 0),
        row("200-data-null", ok("null"), MaybeReached, 1, Uncertain, 0),
        row("200-data-list", ok("[]"), MaybeReached, 1, Uncertain, 0),
        row("200-status-1", ok(r#"{"msgID":"n","status":1}"#), MaybeReached, 1, Uncertain, 0),
        row(
            "200-status-3",
            ok(r#"{"message_msg_id":"n","message_status":3}"#),
            MaybeReached,
            1,
            Uncertain,
            0,
        ),
        row("200-text", Reply::json(200, "thanks"), MaybeReached, 1, Uncertain, 200),
        row("204-nothing", Reply::status(204), MaybeReached, 1, Uncertain, 204),
        row("200-endless", Reply::EndlessBody, MaybeReached, 1, Uncertain, 200),
        row("200-half", Reply::HalfBody, MaybeReached, 1, Uncertain, LOST),
        row("lost-after", Reply::AcceptThenLose, MaybeReached, 1, Uncertain, LOST),
        row("lost-before", Reply::LoseBeforeAccept, MaybeReached, 1, Uncertain, LOST),
        row("time-out", Reply::Hang, MaybeReached, 1, Uncertain, LOST),
        row("502", Reply::status(502), MaybeReached, 1, Uncertain, 502),
        row("504", Reply::status(504), MaybeReached, 1, Uncertain, 504),
        row("409-data", Reply::json(409, already), Duplicate, 1, IsSent, 0),
        row("409-bare", Reply::status(409), Reject, 1, Failed, 409),
        row("401", Reply::status(401), GateShut, 0, Queued, 401),
        row("429", Reply::status(429), Limited, 0, Queued, 429),
        row("408", Reply::status(408), Retry, 1, Deferred, 408),
        row("425", Reply::status(425), Retry, 1, Deferred, 425),
        row("500", Reply::status(500), Retry, 1, Deferred, 500),
        row("503", Reply::status(503), Retry, 1, Deferred, 503),
        row("599", Reply::status(599), Retry, 1, Deferred, 599),
        row("503-with-code", callback(503, 80_001), Retry, 1, Deferred, 80_001),
        row("400", Reply::status(400), Reject, 1, Failed, 400),
        row("403", Reply::status(403), Reject, 1, Failed, 403),
        row("404-page", Reply::json(404, "<html>"), Reject, 1, Failed, 404),
        row("403-content", callback(403, 80_001), Reject, 1, Failed, 80_001),
        row("403-login", callback(403, 70_001), GateShut, 0, Queued, 70_001),
        row("400-server", callback(400, 20_003), Reject, 1, Failed, 20_003),
        row("404-unknown", callback(404, 424_242), Retry, 1, Deferred, 424_242),
        row("301", Reply::redirect(301, "/moved"), Reject, 1, Failed, 301),
        row("302", Reply::redirect(302, "/moved"), Reject, 1, Failed, 302),
        row("307-elsewhere", Reply::redirect(307, "http://127.0.0.1:9/moved"), Reject, 1, Failed, 307),
        row("307-here", Reply::redirect(307, "/moved"), Sent, 1, IsSent, 0),
        row("308-here", Reply::redirect(308, "/moved"), Sent, 1, IsSent, 0),
    ]
}

/// The table of section 5.2: the code's class decides.
fn code_rows() -> Vec<Row> {
    use State::{Deferred, Failed, Queued, Uncertain};
    let drop_reason = Reply::json(
        200,
        r#"{"code":0,"desc":"","data":{"msgID":"n","status":2,"MsgDropReason":"MsgFreqCtrl"}}"#,
    );
    vec![
        row("transient-server", code(80_003), Retry, 1, Deferred, 80_003),
        row("rate-limited", code(6015), Limited, 0, Queued, 6015),
        row("drop-reason", drop_reason, Limited, 0, Queued, 0),
        row("auth", code(6014), GateShut, 0, Queued, 6014),
        row("auth-usersig", code(70_001), GateShut, 0, Queued, 70_001),
        row("file-upload", code(6008), Retry, 1, Deferred, 6008),
        row("content", code(80_001), Reject, 1, Failed, 80_001),
        row("recipient", code(10_017), Reject, 1, Failed, 10_017),
        row("request", code(6017), Reject, 1, Failed, 6017),
        row("webhook", code(120_042), Reject, 1, Failed, 120_042),
        row("unknown", code(424_242), Retry, 1, Deferred, 424_242),
        row("overridden", code(80_999), Reject, 1, Failed, 80_999),
        row("may-have-arrived", code(6012), MaybeReached, 1, Uncertain, 6012),
        row("ack-time-out", code(9520), MaybeReached, 1, Uncertain, 9520),
    ]
}

/// Sends one message for each row, each with an account and a conversation of its own, and checks what
/// became of it.
async fn check_rows(rows: Vec<Row>, more: &str) {
    let replies: HashMap<String, Reply> =
        rows.iter().map(|row| (row.name.to_owned(), row.reply.clone())).collect();
    let script = move |received: &Received| match received.target.as_str() {
        "/moved" => Reply::Accept,
        _ => replies.get(&received.msg_id).cloned().unwrap_or(Reply::Accept),
    };
    let service = service(script).await;
    let tables = format!("[delivery]\non_uncertain = \"hold\"\ntimeout = \"1s\"\n{ONCE}\n{more}");
    let daemon = Daemon::start(&http_toml(&service, "", &tables)).await;
    // A first answer opens the link, whatever the rows do to it.
    daemon.post("/v1/messages", submit("opener", "opener")).await;
    daemon.entry_in("opener", State::Sent).await;
    for row in &rows {
        let account = format!(r#""account":"{}""#, row.name);
        let answer = daemon.post("/v1/messages", submit_with(row.name, row.name, &account)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    let mut wrong = Vec::new();
    for row in &rows {
        let ended = |entry: &Entry| entry.state != State::Sending && !entry.history.is_empty();
        let entry = daemon.entry_when(row.name, ended).await;
        let last = entry.history.last().unwrap();
        let error = entry.last_error.as_ref().map_or(0, |error| error.code);
        let code = if entry.state == State::Sent { last.code } else { error };
        let seen = (last.outcome, entry.attempts, entry.state, code, last.attempt, entry.history.len());
        let expected = (row.outcome, row.attempts, row.state, row.code, 1, 1);
        if seen != expected {
            wrong.push(format!("{}: seen {seen:?}, expected {expected:?}", row.name));
        }
        check_account(&daemon, row, &entry).await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Only trouble with login and rate reaches the account.
async fn check_account(daemon: &Daemon, row: &Row, entry: &Entry) {
    let accounts = daemon.get("/v1/accounts").await.json();
    let state = accounts["accounts"].as_array().unwrap().iter().find(|shown| shown["account"] == row.name);
    let state = state.map(|shown| shown["state"].as_str().unwrap().to_owned());
    let expected = match row.outcome {
        GateShut => Some("paused"),
        Limited => Some("limited"),
        _ => None,
    };
    let state = state.filter(|state| state != "open");
    assert_eq!(state.as_deref(), expected, "{}: {accounts} {entry:?}", row.name);
}

#[tokio::test]
async fn every_http_answer_has_the_outcome_of_the_contract() {
    check_rows(http_rows(), "").await;
}

#[tokio::test]
async fn every_class_of_code_has_the_outcome_of_the_contract() {
    check_rows(code_rows(), "[classes]\n\"80999\" = \"permanent_content\"").await;
}

#[tokio::test]
async fn no_connection_counts_nothing_and_the_attempt_number_repeats() {
    let service = service(|received| match received.n {
        1 => Reply::Callback { code: 9508, desc: "no network".into() },
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_in("m-1", State::Sent).await;
    let history: Vec<_> = entry.history.iter().map(|attempt| (attempt.attempt, attempt.outcome)).collect();
    assert_eq!(history, [(1, NotReached), (1, Sent)]);
    assert_eq!((entry.attempts, entry.starts), (1, 2));
    let numbers: Vec<u32> = service.requests().iter().map(|request| request.attempt).collect();
    assert_eq!(numbers, [1, 1]);
    assert_eq!(service.requests()[0].token, service.requests()[1].token);
}

#[tokio::test]
async fn a_door_that_slams_before_the_request_costs_no_attempt() {
    let service = service(|_| Reply::Accept).await;
    service.set_door(Door::Slammed);
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_when("m-1", |entry| entry.starts >= 1 && entry.state != State::Sending).await;
    service.set_door(Door::Open);
    let entry = daemon.entry_in("m-1", State::Sent).await;
    assert_eq!(service.ledger().len(), 1);
    assert!(entry.history.iter().all(|attempt| attempt.outcome != Retry), "{entry:?}");
}

#[tokio::test]
async fn attempts_are_numbered_and_carry_one_token() {
    let service = service(|received| match received.attempt {
        1 => Reply::status(503),
        2 => Reply::status(500),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_in("m-1", State::Sent).await;
    let history: Vec<_> = entry.history.iter().map(|attempt| (attempt.attempt, attempt.outcome)).collect();
    assert_eq!(history, [(1, Retry), (2, Retry), (3, Sent)]);
    assert_eq!((entry.attempts, entry.starts, entry.possible_duplicate), (3, 3, false));
    let requests = service.requests();
    assert!(requests.iter().all(|request| request.token == requests[0].token));
}

#[tokio::test]
async fn retry_after_is_a_floor_in_seconds_and_as_a_date() {
    let soon = std::time::SystemTime::now() + Duration::from_secs(1000);
    let date = httpdate_of(soon);
    let service = service(move |received| {
        let value = if received.msg_id == "seconds" { "600".to_owned() } else { date.clone() };
        Reply::Status { status: 503, headers: vec![("Retry-After".into(), value)], body: Vec::new() }
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for (msg_id, seconds) in [("seconds", 600), ("date", 1000)] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        let entry = daemon.entry_when(msg_id, |entry| entry.attempts == 1).await;
        assert_eq!(entry.state, State::Deferred);
        let wait_ms = entry.next_attempt_at.unwrap().ms_since(entry.last_error.unwrap().at);
        let wanted = (seconds - 30) * 1000..=(seconds + 5) * 1000;
        assert!(wanted.contains(&wait_ms), "{msg_id}: {wait_ms} ms");
    }
}

/// The date form of HTTP, written by hand: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn httpdate_of(at: std::time::SystemTime) -> String {
    let ms = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let text = outbox_control::Time::from_ms(i64::try_from(ms).unwrap()).to_string();
    let (date, time) = text.split_once('T').unwrap();
    let parts: Vec<&str> = date.split('-').collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[parts[1].parse::<usize>().unwrap() - 1];
    // 1 January 1970 was a Thursday.
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let day = days[usize::try_from(ms / 86_400_000 % 7).unwrap()];
    format!("{day}, {} {month} {} {} GMT", parts[2], parts[0], &time[..8])
}

#[tokio::test]
async fn an_unknown_code_fails_after_its_own_limit_and_others_after_max_attempts() {
    let service = service(|received| match received.msg_id.as_str() {
        "unknown" => Reply::Callback { code: 424_242, desc: "?".into() },
        _ => Reply::status(503),
    })
    .await;
    let toml = QUICK.replace("[retry]", "[retry]\nunknown_max_attempts = 2\nmax_attempts = 4");
    let daemon = Daemon::start(&http_toml(&service, "", &toml)).await;
    for (msg_id, attempts) in [("unknown", 2), ("server", 4)] {
        daemon.post("/v1/messages", submit(msg_id, msg_id)).await;
        let entry = daemon.entry_in(msg_id, State::Failed).await;
        assert_eq!((entry.attempts, entry.history.len()), (attempts, attempts as usize), "{entry:?}");
    }
}

#[tokio::test]
async fn a_service_that_cannot_recognize_repeats_may_get_one_and_the_receipt_says_so() {
    let service = forgetful_service(|received| match received.n {
        1 => Reply::AcceptThenLose,
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_in("m-1", State::Sent).await;
    assert!(entry.possible_duplicate, "{entry:?}");
    assert_eq!(service.doubled(), ["m-1"]);
    let tokens: Vec<_> = service.requests().into_iter().map(|request| request.token).collect();
    assert_eq!(tokens[0], tokens[1], "the same token, all the same");
    assert!(daemon.client.receipt("m-1").await.unwrap().possible_duplicate);
}

#[tokio::test]
async fn inside_its_window_a_lost_answer_is_repeated_and_doubles_nothing() {
    let service = service(|received| match received.n {
        1 | 2 => Reply::AcceptThenLose,
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "dedup_window = \"10m\"", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_in("m-1", State::Sent).await;
    assert!(!entry.possible_duplicate && entry.unresolved_since.is_none(), "{entry:?}");
    assert_eq!((service.ledger().len(), service.repeats()), (1, 2));
    assert_eq!(entry.attempts, 3);
}

#[tokio::test]
async fn at_most_once_means_that_what_may_have_arrived_fails_and_says_so() {
    let service = service(|_| Reply::AcceptThenLose).await;
    let tables = format!("[delivery]\non_uncertain = \"fail\"\n{QUICK}");
    let daemon = Daemon::start(&http_toml(&service, "", &tables)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_in("m-1", State::Failed).await;
    assert!(entry.may_have_arrived, "{entry:?}");
    assert_eq!(entry.last_error.unwrap().class, "uncertain");
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn a_login_that_expired_costs_no_message_anything_and_resume_sends_them_all() {
    let service = service(|received| match received.n {
        1 => Reply::status(401),
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    for number in 0..5 {
        daemon.post("/v1/messages", submit(&format!("m-{number}"), &format!("user{number}"))).await;
    }
    crate::harness::until("the account is paused", || async {
        let status = daemon.client.status().await.unwrap();
        status.accounts.iter().any(|account| account.state == AccountState::Paused).then_some(())
    })
    .await;
    assert_eq!(daemon.client.status().await.unwrap().link.state, LinkState::Up);
    let account = daemon.client.resume_account("default").await.unwrap();
    assert_eq!(account.state, AccountState::Open);
    daemon.entry_when_all_sent(5).await;
    for number in 0..5 {
        let entry = daemon.client.message(&format!("m-{number}")).await.unwrap();
        assert_eq!(entry.attempts, 1, "{entry:?}");
    }
}

#[tokio::test]
async fn a_slow_down_of_one_account_leaves_the_others_alone_and_ends_by_itself() {
    let service = service(|received| match (received.msg_id.as_str(), received.n) {
        ("slow", 1..=2) => {
            Reply::Status { status: 429, headers: vec![("Retry-After".into(), "1".into())], body: Vec::new() }
        }
        _ => Reply::Accept,
    })
    .await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit_with("slow", "bob", r#""account":"a""#)).await;
    let entry = daemon.entry_when("slow", |entry| !entry.history.is_empty()).await;
    assert_eq!((entry.attempts, entry.history[0].outcome), (0, Limited));
    daemon.post("/v1/messages", submit_with("other", "bob", r#""account":"b""#)).await;
    daemon.entry_in("other", State::Sent).await;
    let entry = daemon.entry_in("slow", State::Sent).await;
    assert_eq!(entry.attempts, 1, "{entry:?}");
    service.wait_for(|seen| seen.len() >= 3, SOON).await.unwrap();
    let seen: Vec<_> = service
        .requests()
        .into_iter()
        .filter(|request| request.msg_id == "slow")
        .map(|request| request.at)
        .collect();
    let pause = seen[1].duration_since(seen[0]);
    assert!(pause >= Duration::from_millis(990), "{pause:?}");
}

#[tokio::test]
async fn a_resend_that_fails_answers_with_the_code_of_the_service_and_the_message() {
    let service = service(|_| Reply::Callback { code: 10_017, desc: "muted".into() }).await;
    let daemon = Daemon::start(&http_toml(&service, "", ONCE)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    daemon.entry_in("m-1", State::Failed).await;
    let wait = Duration::from_secs(10);
    let answer = daemon.client.resend_and_wait("m-1", &ResendRequest::default(), wait).await.unwrap();
    let ResendAnswer::Callback(callback) = answer else { panic!("{answer:?}") };
    assert_eq!((callback.code, callback.desc.as_str()), (10_017, "muted"));
    assert_eq!(callback.data.unwrap().get(), crate::messages::message("m-1", "bob"));
    let tokens: Vec<_> = service.requests().into_iter().map(|request| request.token).collect();
    assert_ne!(tokens[0], tokens[1], "known not to have arrived: a new send");
}
