//! Connections to the control socket: their beginning, their limits, their end.
//!
//! Owns:  what a client hears when its connection cannot go on, and what becomes of leases then.
//! Never: judges an answer beyond that.

use std::net::Shutdown;
use std::time::Duration;

use outbox_control::types::{Lease, LeasePage, LinkState, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use crate::harness::{Daemon, SOON};
use crate::messages::submit;
use crate::wire::{Answer, connect, read_answer};

const FAST: &str = "[transport.app]\nrate = 1000\n";

/// Asks for a lease on a connection that stays open, and reads the answer to its end.
async fn lease_on(stream: &mut UnixStream) -> Lease {
    let body = r#"{"max":1,"wait":"20s","for":"60s"}"#;
    let head = format!("POST /v1/leases HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = timeout(SOON, stream.read(&mut piece)).await.expect("an answer").unwrap();
        assert!(count > 0, "the answer ended early: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(mut page) = serde_json::from_str::<LeasePage>(body) {
            return page.leases.remove(0);
        }
    }
}

/// Reads to the end of a connection.
async fn read_rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("the connection ends");
    read.expect("in order");
    rest
}

/// The lease is still out: nothing was taken back, and it can be settled.
async fn is_still_out(daemon: &Daemon, lease: &Lease) {
    let entry = daemon.client.message(&lease.msg_id).await.unwrap();
    assert_eq!((entry.state, entry.starts), (State::Sending, 1), "{entry:?}");
    let body = r#"{"code":0,"data":{"msgID":"n","status":2}}"#;
    let settled = daemon.post(&format!("/v1/leases/{}/settle", lease.lease), body).await;
    assert_eq!((settled.status, settled.json()["state"].as_str()), (200, Some("sent")), "{settled:?}");
}

#[tokio::test]
async fn a_lease_that_was_heard_stays_out_however_its_connection_ends() {
    let daemon = Daemon::start(FAST).await;
    for (msg_id, last_words) in
        [("rubbish", &b"\x16\x03\x01 nonsense\r\n\r\n"[..]), ("half", b"GET /v1/status HTT"), ("quiet", b"")]
    {
        assert_eq!(daemon.post("/v1/messages", submit(msg_id, msg_id)).await.status, 201);
        let mut stream = connect(&daemon.place.socket).await;
        let lease = lease_on(&mut stream).await;
        stream.write_all(last_words).await.unwrap();
        stream.shutdown().await.unwrap();
        read_rest(&mut stream).await;
        is_still_out(&daemon, &lease).await;
    }
}

#[tokio::test]
async fn a_lease_that_could_not_be_written_is_taken_back_and_does_not_count() {
    let daemon = Daemon::start(FAST).await;
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
    // A client that asks and does not listen: the daemon cannot write to it.
    let deaf = connect(&daemon.place.socket).await.into_std().unwrap();
    deaf.shutdown(Shutdown::Read).unwrap();
    let mut deaf = UnixStream::from_std(deaf).unwrap();
    let body = r#"{"max":1,"wait":"20s","for":"60s"}"#;
    let head = format!("POST /v1/leases HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n", body.len());
    deaf.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    daemon.entry_when("m-1", |entry| entry.starts == 1).await;
    let mut stream = connect(&daemon.place.socket).await;
    let lease = lease_on(&mut stream).await;
    assert_eq!((lease.msg_id.as_str(), lease.attempt), ("m-1", 1));
    let entry = daemon.client.message("m-1").await.unwrap();
    assert_eq!((entry.attempts, entry.starts), (0, 2), "{entry:?}");
    assert!(entry.last_error.is_none(), "{entry:?}");
    assert_eq!(daemon.client.status().await.unwrap().link.state, LinkState::Unknown);
}

#[tokio::test]
async fn headers_have_ten_seconds_and_a_client_that_rests_between_two_requests_hears_nothing() {
    let daemon = Daemon::start(FAST).await;
    assert_eq!(daemon.post("/v1/messages", submit("m-1", "bob")).await.status, 201);
    let began = Instant::now();
    let slow = async {
        let mut stream = connect(&daemon.place.socket).await;
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: d\r\nX-Slow: y").await.unwrap();
        let problem = read_answer(&mut stream).await.problem(400, "bad_request");
        assert!(problem["detail"].as_str().unwrap().contains("10 s"), "{problem}");
    };
    let silent = async {
        read_answer(&mut connect(&daemon.place.socket).await).await.problem(400, "bad_request");
    };
    let resting = async {
        let mut stream = connect(&daemon.place.socket).await;
        let lease = lease_on(&mut stream).await;
        assert_eq!(String::from_utf8(read_rest(&mut stream).await).unwrap(), "");
        is_still_out(&daemon, &lease).await;
    };
    tokio::join!(slow, silent, resting);
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_answered_with_a_problem() {
    let daemon = Daemon::start("").await;
    for head in [
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nno colon here\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nHost: d\r\nContent-Length: many\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = daemon.bytes(head.as_bytes()).await;
        answer.problem(400, "bad_request");
        assert_eq!(answer.header("connection"), "close", "{head}");
    }
    let long = format!("GET /v1/{} HTTP/1.1\r\nHost: d\r\n\r\n", "x".repeat(70_000));
    daemon.bytes(long.as_bytes()).await.problem(431, "too_large");
    let long = format!("GET /v1/status HTTP/1.1\r\nHost: d\r\nX-Long: {}\r\n\r\n", "x".repeat(70_000));
    daemon.bytes(long.as_bytes()).await.problem(431, "too_large");
    // After a good request, too, and without a word in the good one's answer.
    let mut stream = connect(&daemon.place.socket).await;
    stream.write_all(b"GET /v1/health/live HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    let mut first = vec![0; 4096];
    let count = stream.read(&mut first).await.unwrap();
    assert!(first[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first));
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    read_answer(&mut stream).await.problem(400, "bad_request");
}

/// Writes a whole request, then reads: the way simple clients go about it.
async fn write_then_read(daemon: &Daemon, bytes: usize) -> Answer {
    let mut stream = connect(&daemon.place.socket).await;
    let head = format!("POST /v1/messages HTTP/1.1\r\nHost: d\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("the head is taken");
    stream.write_all(&vec![b' '; bytes]).await.expect("the body is taken");
    read_answer(&mut stream).await
}

#[tokio::test]
async fn clients_beyond_the_limit_may_send_their_request_before_they_hear_that() {
    let daemon = Daemon::start("").await;
    // Streams of events keep their seats, however long the rest takes.
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(daemon.events("").await);
    }
    for _ in 0..5 {
        let answers = tokio::join!(
            write_then_read(&daemon, 0),
            write_then_read(&daemon, 1000),
            write_then_read(&daemon, 600_000),
        );
        for answer in [answers.0, answers.1, answers.2] {
            answer.problem(429, "busy");
        }
    }
    let error = daemon.client.status().await.unwrap_err();
    assert!(error.to_string().contains("256"), "{error}");
}

#[tokio::test]
async fn a_body_over_its_limit_may_be_sent_to_its_end() {
    let daemon = Daemon::start("[spool]\nmax_message_bytes = \"10KiB\"").await;
    for _ in 0..5 {
        write_then_read(&daemon, 3_000_000).await.problem(413, "too_large");
    }
}

#[tokio::test]
async fn a_call_refused_by_its_head_is_told_so_to_a_client_that_sends_its_body_a_moment_later() {
    let daemon = Daemon::start("").await;
    for (target, more, status, code) in [
        ("POST /v1/nowhere", "", 404, "not_found"),
        ("PUT /v1/messages", "", 405, "unsupported"),
        ("POST /v1/messages", "Origin: http://evil.example\r\n", 403, "denied"),
        ("POST /v1/leases/rubbish/settle", "", 404, "not_found"),
    ] {
        let mut stream = connect(&daemon.place.socket).await;
        let head = format!("{target} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: 1000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // Nothing comes behind the answer, and by then the daemon would have closed.
        let answer = read_answer(&mut stream).await;
        for _ in 0..3 {
            daemon.get("/v1/health/live").await;
        }
        stream.write_all(&[b' '; 1000]).await.unwrap_or_else(|error| panic!("{target}: {error}"));
        answer.problem(status, code);
        assert_eq!(answer.header("connection"), "close", "{target}");
    }
}

#[tokio::test]
async fn a_call_that_wants_no_body_says_that_it_closes_where_one_comes() {
    let daemon = Daemon::start("").await;
    for bytes in [1_000, 200_000] {
        for target in ["/v1/health/live", "/v1/status", "/v1/messages"] {
            let mut stream = connect(&daemon.place.socket).await;
            let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = read_answer(&mut stream).await;
            assert_eq!((answer.status, answer.header("connection")), (200, "close"), "{target}");
            stream.write_all(&vec![b' '; bytes]).await.unwrap_or_else(|error| panic!("{target}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_body_announced_as_longer_than_its_limit_is_refused_before_it_is_sent() {
    let daemon = Daemon::start("[spool]\nmax_message_bytes = \"10KiB\"").await;
    let mut stream = connect(&daemon.place.socket).await;
    let head = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    read_answer(&mut stream).await.problem(413, "too_large");
}

#[tokio::test]
async fn a_client_that_closes_its_half_after_the_request_gets_its_answer() {
    let daemon = Daemon::start("").await;
    for (media_type, status) in [("application/json", 201), ("application/x-ndjson", 200)] {
        let body = format!(r#"{{"msgID":"{status}","message":{{"userID":"ada"}}}}"#);
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = connect(&daemon.place.socket).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert_eq!(answer.status, status, "{media_type}");
        assert!(answer.text().contains("\"queued\"") || answer.text().contains("\"blocked\""));
    }
}
