//! Where a request ends: shapes that two readers could read differently, and what hides in a body.
//!
//! Owns:  the table of such shapes. In each hides a `POST /v1/pause`, which must never be carried out.
//! Never: judges what a call does with its body.

use super::statuses;
use crate::harness::Daemon;
use crate::messages::submit;

/// A whole request, for where none may be seen.
const HIDDEN: &str = "POST /v1/pause HTTP/1.1\r\nHost: d\r\n\r\n";

/// A request with these header lines and this body.
fn flush(headers: &str, body: &str) -> String {
    format!("POST /v1/flush HTTP/1.1\r\nHost: d\r\n{headers}\r\n{body}")
}

/// The hidden request was not carried out.
async fn nothing_was_hidden(daemon: &Daemon, shape: &str) {
    assert!(!daemon.client.status().await.unwrap().paused, "carried out what was hidden in: {shape:?}");
}

#[tokio::test]
async fn a_length_that_two_readers_could_read_differently_is_refused() {
    let daemon = Daemon::start("").await;
    let length = HIDDEN.len();
    for headers in [
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: {length}, {length}\r\n"),
        format!("Content-Length: 0, {length}\r\n"),
        format!("Content-Length: +{length}\r\n"),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 0x10\r\n".to_owned(),
        "Content-Length: 1 0\r\n".to_owned(),
        "Content-Length: 1e2\r\n".to_owned(),
        "Content-Length:\r\n".to_owned(),
        "Content-Length: 18446744073709551615\r\n".to_owned(),
        "Content-Length: 18446744073709551616\r\n".to_owned(),
        format!("Content-Length : {length}\r\n"),
        format!(" Content-Length: {length}\r\n"),
        format!("X: y\r\n Content-Length: {length}\r\n"),
        format!("Content-Length:\r\n {length}\r\n"),
        format!("X: y\rContent-Length: {length}\r\n"),
        format!("X\0: y\r\nContent-Length: {length}\r\n"),
        format!("X: \0\r\nContent-Length: {length}\r\n"),
    ] {
        let answers = daemon.talk(flush(&headers, HIDDEN)).await;
        assert_eq!(answers.len(), 1, "{headers:?}: {answers:?}");
        assert!(matches!(answers[0].status, 400 | 431), "{headers:?}: {answers:?}");
        assert_eq!(answers[0].header("content-type"), "application/problem+json", "{headers:?}");
        nothing_was_hidden(&daemon, &headers).await;
    }
    // The same length twice says the same thing twice.
    let twice = format!("Content-Length: {length}\r\nContent-Length: {length}\r\n");
    let answers = daemon.talk(flush(&twice, HIDDEN)).await;
    assert_eq!(statuses(&answers), [400], "the body is no JSON");
    nothing_was_hidden(&daemon, &twice).await;
}

#[tokio::test]
async fn a_coding_that_is_not_chunked_at_its_end_is_refused() {
    let daemon = Daemon::start("").await;
    let chunked = format!("2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}");
    for headers in [
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        let answers = daemon.talk(flush(headers, &chunked)).await;
        assert_eq!(statuses(&answers), [400], "{headers:?}: {answers:?}");
        answers[0].problem(400, "bad_request");
        nothing_was_hidden(&daemon, headers).await;
    }
    let old = flush("Transfer-Encoding: chunked\r\n", &chunked)
        .replace("HTTP/1.1\r\nHost: d\r\nT", "HTTP/1.0\r\nT");
    assert_eq!(statuses(&daemon.talk(&old).await), [400]);
    nothing_was_hidden(&daemon, &old).await;
}

#[tokio::test]
async fn a_request_with_a_length_and_chunks_goes_by_its_chunks_and_ends_its_connection() {
    let daemon = Daemon::start("").await;
    let body = format!("2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}");
    for headers in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", body.len()),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nContent-Length: nonsense\r\n".to_owned(),
    ] {
        let answers = daemon.talk(flush(&headers, &body)).await;
        assert_eq!(answers.len(), 1, "{headers:?}: {answers:?}");
        assert!(matches!(answers[0].status, 200 | 400), "{headers:?}: {answers:?}");
        nothing_was_hidden(&daemon, &headers).await;
    }
}

#[tokio::test]
async fn chunks_that_are_no_chunks_end_their_connection() {
    let daemon = Daemon::start("").await;
    let long = "e".repeat(100_000);
    for body in [
        format!("-1\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("0x2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("2 2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("fffffffffffffffff\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("10000000000000002\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("2\n{{}}\n0\n\n{HIDDEN}"),
        format!("2\r\n{{}}0\r\n\r\n{HIDDEN}"),
        format!("1\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("2;{long}\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("2;a=b\nc\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
        format!("2\r\n{{}}\r\n0\r\nX-Trailer: {long}\r\n\r\n{HIDDEN}"),
        format!("2\r\n{{}}\r\n0\r\n{}\r\n{HIDDEN}", "A: b\r\n".repeat(10_000)),
    ] {
        let shape: String = body.chars().take(40).collect();
        let answers = daemon.talk(flush("Transfer-Encoding: chunked\r\n", &body)).await;
        assert_eq!(statuses(&answers), [400], "{shape:?}: {answers:?}");
        answers[0].problem(400, "bad_request");
        nothing_was_hidden(&daemon, &shape).await;
    }
    for body in
        ["2;name=value;other=\"x\"\r\n{}\r\n0\r\n\r\n", "02\r\n{}\r\n000\r\nContent-Length: 9\r\n\r\n"]
    {
        let answers = daemon.talk(flush("Transfer-Encoding: chunked\r\n", body)).await;
        assert_eq!(statuses(&answers), [200], "{body:?}: {answers:?}");
    }
}

#[tokio::test]
async fn what_is_left_of_a_body_that_nobody_wants_is_no_request() {
    let daemon = Daemon::start("[spool]\nmax_message_bytes = \"10KiB\"").await;
    let hidden = HIDDEN.repeat(5_000);
    let with_length = |start: &str| format!("{start}Content-Length: {}\r\n\r\n{hidden}", hidden.len());
    for request in [
        // Nobody reads the body of a GET.
        with_length("GET /v1/status HTTP/1.1\r\nHost: d\r\n"),
        with_length("GET /nowhere HTTP/1.1\r\nHost: d\r\n"),
        with_length("HEAD /v1/status HTTP/1.1\r\nHost: d\r\n"),
        // Refused before or during its body.
        with_length("POST /v1/messages HTTP/1.1\r\nHost: d\r\nOrigin: null\r\n"),
        with_length("POST /v1/messages HTTP/1.1\r\nHost: evil.example\r\n"),
        with_length("POST /v1/messages?x=1 HTTP/1.1\r\nHost: d\r\n"),
        with_length("POST /v1/messages HTTP/1.1\r\nHost: d\r\n"),
        with_length("PUT /v1/messages HTTP/1.1\r\nHost: d\r\n"),
    ] {
        let answers = daemon.talk(&request).await;
        assert_eq!(answers.len(), 1, "{:?}: {:?}", &request[..60], statuses(&answers));
        nothing_was_hidden(&daemon, &request[..60]).await;
    }
}

#[tokio::test]
async fn a_body_that_is_shorter_than_its_length_is_not_carried_out() {
    let daemon = Daemon::start("").await;
    let body = submit("m-1", "bob");
    let request =
        format!("POST /v1/messages HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 1);
    let answers = daemon.talk(&request).await;
    assert!(statuses(&answers).iter().all(|status| *status == 400), "{answers:?}");
    let unended = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    );
    let answers = daemon.talk(&unended).await;
    assert!(statuses(&answers).iter().all(|status| *status == 400), "{answers:?}");
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, 0);
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_their_order() {
    let daemon = Daemon::start("").await;
    let mut all = String::new();
    for number in 0..100 {
        let body = submit(&format!("m-{number:02}"), "bob");
        all +=
            &format!("POST /v1/messages HTTP/1.1\r\nHost: d\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        all += &format!("GET /v1/messages/m-{number:02} HTTP/1.1\r\nHost: d\r\n\r\n");
    }
    let answers = daemon.talk(&all).await;
    assert_eq!(answers.len(), 200);
    for (number, pair) in answers.chunks(2).enumerate() {
        let id = format!("m-{number:02}");
        assert_eq!((pair[0].status, pair[0].json()["msgID"].as_str()), (201, Some(id.as_str())));
        assert_eq!((pair[1].status, pair[1].json()["msgID"].as_str()), (200, Some(id.as_str())));
    }
    // One that cannot be read ends them; what came before it is answered.
    let answers = daemon.talk(format!("GET /v1/status HTTP/1.1\r\nHost: d\r\n\r\n\0\r\n\r\n{HIDDEN}")).await;
    assert_eq!(statuses(&answers), [200, 400]);
    nothing_was_hidden(&daemon, "rubbish").await;
}

#[tokio::test]
async fn first_lines_of_every_kind_have_an_answer() {
    let daemon = Daemon::start("").await;
    for (head, expected) in [
        ("GET http://localhost/v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 200),
        ("GET http://evil.example/v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 403),
        ("GET http://me:you@localhost/v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 403),
        ("GET /v1/status HTTP/1.1\r\nHost: d\r\nHost: evil.example\r\n\r\n", 403),
        ("CONNECT evil.example:80 HTTP/1.1\r\nHost: d\r\n\r\n", 403),
        ("OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n", 404),
        ("TRACE /v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 405),
        ("get /v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 405),
        ("GET /v1/status HTTP/1.0\r\n\r\n", 200),
        ("GET /v1/status HTTP/1.1\r\nHost: d\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200),
        ("GET /v1/status HTTP/1.1\r\nHost: d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 200),
        ("HEAD /v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 200),
        ("\r\nGET /v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 200),
        ("GET  /v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        ("GET\t/v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        ("GET /v1/status HTTP/1.1 \r\nHost: d\r\n\r\n", 400),
        ("GET /v1/status HTTP/2\r\nHost: d\r\n\r\n", 400),
        ("GET /v1/status\r\nHost: d\r\n\r\n", 400),
        ("GET /v1/sta tus HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        ("GET /v1/status\0 HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        ("GET v1/status HTTP/1.1\r\nHost: d\r\n\r\n", 400),
    ] {
        let answers = daemon.talk(head).await;
        assert_eq!(statuses(&answers), [expected], "{head:?}: {answers:?}");
        if expected >= 400 {
            assert_eq!(answers[0].header("content-type"), "application/problem+json", "{head:?}");
        }
    }
    // Lines that end in a bare LF are read as lines.
    let answers =
        daemon.talk("GET /v1/status HTTP/1.1\nHost: d\n\nGET /v1/status HTTP/1.1\nHost: d\n\n").await;
    assert_eq!(statuses(&answers), [200, 200]);
}

#[tokio::test]
async fn a_client_that_asks_first_whether_to_send_its_body_is_told() {
    let daemon = Daemon::start("").await;
    let body = submit("m-1", "bob");
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(statuses(&daemon.talk(format!("{head}{body}")).await), [100, 201]);
    let refused = head.replace("Host: d", "Host: evil.example");
    assert_eq!(statuses(&daemon.talk(&refused).await), [403], "it need not send what nobody wants");
}
