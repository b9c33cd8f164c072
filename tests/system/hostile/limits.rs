//! Limits of the contract at their very edge: what is just inside is served, what is just outside is told so.
//!
//! Owns:  edges that no other test names.
//! Never: waits longer than the longest of these limits.

use std::time::Duration;

use outbox_control::types::{AccountState, Lease, LeasePage, State};
use outboxd::service::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, interval, timeout};

use super::statuses;
use crate::harness::{Daemon, QUICK, SOON, http_toml, service};
use crate::messages::submit;
use crate::wire::{connect, parse_all};

/// Bytes of headers that a request may have.
const HEADERS_MAX: usize = 16 * 1024;

#[tokio::test]
async fn headers_of_sixteen_kib_are_served_and_a_byte_more_is_too_much() {
    let daemon = Daemon::start("").await;
    let target = "/v1/status";
    // As they count: the target, and of each header its name, its value and four more.
    let room = HEADERS_MAX - target.len() - ("host".len() + "d".len() + 4) - ("x".len() + 4);
    for (length, status) in [(room, 200), (room + 1, 431)] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: d\r\nX: {}\r\n\r\n", "y".repeat(length));
        let answers = daemon.talk(&request).await;
        assert_eq!(statuses(&answers), [status], "{length}");
    }
    let long = format!("GET /v1/messages/{} HTTP/1.1\r\n\r\n", "y".repeat(HEADERS_MAX));
    daemon.talk(&long).await[0].problem(431, "too_large");
}

#[tokio::test]
async fn a_page_has_a_hundred_messages_where_nobody_asks_for_another_number() {
    let daemon = Daemon::start("[transport.app]").await;
    let lines: Vec<String> = (0..101).map(|n| submit(&format!("m-{n}"), &format!("u{n}"))).collect();
    let answer = daemon.post_lines(lines.join("\n")).await;
    assert!(answer.lines().iter().all(|line| line["status"] == 201), "{answer:?}");
    for (query, count) in [("", 100), ("?limit=100", 100), ("?limit=101", 101)] {
        let page = daemon.get(&format!("/v1/messages{query}")).await.json();
        assert_eq!(page["messages"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(page["next"].is_null(), count == 101, "{query}");
    }
}

#[tokio::test]
async fn headers_that_come_byte_by_byte_have_ten_seconds_in_all() {
    let daemon = Daemon::start("").await;
    let mut stream = connect(&daemon.place.socket).await;
    let (began, mut answer) = (Instant::now(), Vec::new());
    let (mut read_half, mut write_half) = stream.split();
    stream_until_answer(&mut read_half, &mut write_half, &mut answer).await;
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    parse_all(&answer)[0].problem(400, "bad_request");
}

/// Dribbles headers until there is an answer.
async fn stream_until_answer(
    read_half: &mut tokio::net::unix::ReadHalf<'_>,
    write_half: &mut tokio::net::unix::WriteHalf<'_>,
    answer: &mut Vec<u8>,
) {
    let dribble = async {
        write_half.write_all(b"GET /v1/status HTTP/1.1\r\nHost: d\r\n").await.unwrap();
        let mut beat = interval(Duration::from_millis(100));
        loop {
            beat.tick().await;
            if write_half.write_all(b"X: y\r\n").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let listen = async {
        // A reset is an end, too.
        let _ = read_half.read_to_end(answer).await;
    };
    tokio::select! {
        () = dribble => {}
        ended = timeout(SOON * 2, listen) => ended.expect("an answer, not silence"),
    }
}

#[tokio::test]
async fn a_body_beside_a_message_has_64_kib_and_what_a_service_answered_4_mib() {
    let daemon = Daemon::start("[transport.app]\nrate = 1000\n").await;
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
    let reason = |bytes: usize| format!(r#"{{"reason":"{}"}}"#, "y".repeat(bytes - r#"{"reason":""}"#.len()));
    let hold = "/v1/messages/m-1/hold";
    assert_eq!(daemon.post(hold, reason(64 * 1024)).await.status, 200);
    daemon.post(hold, reason(64 * 1024 + 1)).await.problem(413, "too_large");
    assert_eq!(daemon.post("/v1/messages/m-1/release", "").await.status, 200);
    let lease = lease(&daemon, 1).await.remove(0);
    let settle = |bytes: usize| {
        let empty = r#"{"code":0,"desc":"","data":{"msgID":"n","status":2}}"#.len();
        format!(r#"{{"code":0,"desc":"{}","data":{{"msgID":"n","status":2}}}}"#, "y".repeat(bytes - empty))
    };
    let at = format!("/v1/leases/{}/settle", lease.lease);
    daemon.post(&at, settle(4 * 1024 * 1024 + 1)).await.problem(413, "too_large");
    assert_eq!(daemon.post(&at, settle(4 * 1024 * 1024)).await.status, 200);
    let receipt = daemon.client.receipt("m-1").await.unwrap();
    assert!(receipt.desc.len() <= 256, "{} bytes of words are kept", receipt.desc.len());
}

async fn lease(daemon: &Daemon, max: usize) -> Vec<Lease> {
    let answer = daemon.post("/v1/leases", format!(r#"{{"max":{max},"wait":"20s","for":"60s"}}"#)).await;
    serde_json::from_slice::<LeasePage>(&answer.body).unwrap().leases
}

#[tokio::test]
async fn nesting_without_end_in_what_an_app_reports_is_an_answer_and_no_crash() {
    let daemon = Daemon::start("[transport.app]\nrate = 1000\n").await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let within = format!(r#"{{"msgID":"n","x":{deep}}}"#);
    // An object without a status proves that it was sent, whatever is in it; a list proves nothing.
    for (id, data, state) in [
        ("list", &deep, State::Deferred),
        ("object", &objects, State::Sent),
        ("within", &within, State::Sent),
    ] {
        assert_eq!(daemon.post("/v1/messages", submit(id, id)).await.status, 201);
        let lease = lease(&daemon, 1).await.remove(0);
        let at = format!("/v1/leases/{}/settle", lease.lease);
        let settled = daemon.post(&at, format!(r#"{{"code":0,"data":{data}}}"#)).await;
        assert_eq!(settled.status, 200, "{id}: {settled:?}");
        let message = daemon.client.message(id).await.unwrap();
        assert_eq!(message.state, state, "{id}: {message:?}");
        if state == State::Sent {
            assert!(daemon.get(&format!("/v1/sent/{id}")).await.text().contains(data), "as it came");
        } else {
            daemon.client.cancel(id, None).await.unwrap();
        }
    }
    for body in [&deep, &objects] {
        for call in
            ["/v1/messages", "/v1/messages:batch", "/v1/leases", "/v1/flush", "/v1/messages/list/resolve"]
        {
            let answer = daemon.post(call, body).await;
            assert!(matches!(answer.status, 400 | 413), "{call}: {answer:?}");
        }
        let line = format!("{body}\n{}\n", submit("fine", "u"));
        let lines = daemon.post_lines(line).await.lines();
        assert!(
            lines[0]["status"] == 400 && matches!(lines[1]["status"].as_u64(), Some(200 | 201)),
            "{lines:?}"
        );
    }
    daemon.serves_others().await;
}

#[tokio::test]
async fn an_app_gets_at_most_256_leases_at_once() {
    let daemon = Daemon::start("[transport.app]\nrate = 10000\n").await;
    let body: String =
        (0..300).map(|number| submit(&format!("m-{number}"), &format!("u-{number}")) + "\n").collect();
    assert_eq!(daemon.post_lines(body).await.lines().len(), 300);
    // The link is open once the first was answered.
    let first = lease(&daemon, 1).await.remove(0);
    let settle = r#"{"code":0,"data":{"msgID":"n","status":2}}"#;
    daemon.post(&format!("/v1/leases/{}/settle", first.lease), settle).await;
    let leases = lease(&daemon, 256).await;
    assert!((1..=256).contains(&leases.len()), "{}", leases.len());
    daemon.post("/v1/leases", r#"{"max":257}"#).await.problem(400, "bad_request");
    for (body, status) in [
        (r#"{"max":1,"wait":"0s","for":"5s"}"#, 200),
        (r#"{"max":1,"wait":"0s","for":"10m"}"#, 200),
        (r#"{"max":1,"wait":"0s","for":"4999ms"}"#, 400),
        (r#"{"max":1,"wait":"0s","for":"600001ms"}"#, 400),
        (r#"{"max":1,"wait":"60001ms","for":"5s"}"#, 400),
    ] {
        assert_eq!(daemon.post("/v1/leases", body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn an_entry_remembers_its_last_twenty_attempts() {
    let service = service(|_| Reply::status(503)).await;
    let daemon = Daemon::start(&http_toml(&service, "", QUICK)).await;
    daemon.post("/v1/messages", submit("m-1", "bob")).await;
    let entry = daemon.entry_when("m-1", |entry| entry.attempts >= 25).await;
    assert_eq!(entry.history.len(), 20);
    let numbers: Vec<u32> = entry.history.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers.last(), Some(&entry.attempts));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

#[tokio::test]
async fn status_lists_a_hundred_accounts_and_those_that_may_not_send_first() {
    let daemon = Daemon::start("").await;
    for number in 0..120 {
        let body = format!(
            r#"{{"account":"open-{number:03}","message":{{"msgID":"m-{number}","userID":"u","elemType":1}}}}"#
        );
        assert_eq!(daemon.post("/v1/messages", body).await.status, 201);
    }
    for name in ["shut-a", "shut-b"] {
        daemon.client.pause_account(name, Some("kicked off line")).await.unwrap();
    }
    let accounts = daemon.client.status().await.unwrap().accounts;
    assert!(accounts.len() <= 100, "{}", accounts.len());
    let (first, others) = accounts.split_at(2);
    assert!(first.iter().all(|account| account.state == AccountState::Paused), "{first:?}");
    assert!(others.iter().all(|account| account.state == AccountState::Open), "{others:?}");
}

#[tokio::test]
async fn long_bodies_that_never_end_leave_room_for_others() {
    const CLIENTS: usize = 90;
    const HALF_SENT: usize = 1_000_000;
    let daemon = Daemon::start("").await;
    let head = format!("POST /v1/messages HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n", HALF_SENT + 1);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect(&daemon.place.socket).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        // One that is refused may be closed before all of it is written.
        let _ = stream.write_all(&vec![b' '; HALF_SENT]).await;
        clients.push(stream);
    }
    // What is refused is answered while the others wait for the rest of theirs.
    let mut refused = 0;
    for stream in &mut clients {
        let mut answer = [0; 4096];
        if let Ok(Ok(bytes @ 1..)) = timeout(Duration::from_millis(50), stream.read(&mut answer)).await {
            let answers = parse_all(&answer[..bytes]);
            answers[0].problem(429, "busy");
            assert!(!answers[0].header("retry-after").is_empty());
            refused += 1;
        }
    }
    assert!((5..CLIENTS / 2).contains(&refused), "{refused} of {CLIENTS} were refused");
    assert_eq!(daemon.post("/v1/messages", submit("short", "u")).await.status, 201);
    drop(clients);
    let long = format!(r#"{{"msgID":"long","message":{{"userID":"u","text":"{}"}}}}"#, "y".repeat(HALF_SENT));
    crate::harness::until("there is room again", || async {
        (daemon.post("/v1/messages", &long).await.status == 201).then_some(())
    })
    .await;
}
