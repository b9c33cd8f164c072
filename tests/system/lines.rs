//! Many messages in one request: a line each, an answer each.
//!
//! Owns:  the promises of NDJSON: a bad line spoils only itself, nobody is deadlocked, what was accepted stays.
//! Never: sends the messages on: no app is attached.

use outbox_control::client::ListQuery;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::harness::{Daemon, SOON, until};
use crate::messages::submit;
use crate::wire::{connect, read_answer};

#[tokio::test]
async fn a_bad_line_spoils_only_itself() {
    let daemon = Daemon::start("[spool]\nmax_message_bytes = \"10KiB\"").await;
    let huge = submit("huge", "u").replace("hello", &"x".repeat(200_000));
    let lines = [
        submit("m-1", "u"),
        "{".to_owned(),
        String::new(),
        submit("m-2", "u"),
        r#"{"message":{"msgID":"","userID":"u"}}"#.to_owned(),
        "  \r".to_owned(),
        huge,
        submit("m-1", "u"),
        submit("m-1", "u").replace("hello", "goodbye"),
        r#"{"message":{"msgID":"m-3","userID":"u"},"colour":"red"}"#.to_owned(),
        submit("m-4", "u") + "\r",
    ];
    // The last line has no end of its own.
    let answer = daemon.post_lines(lines.join("\n")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    let seen: Vec<(u64, u64, String)> = answer
        .lines()
        .iter()
        .map(|line| {
            let word = line["code"].as_str().or(line["msgID"].as_str()).unwrap();
            (line["line"].as_u64().unwrap(), line["status"].as_u64().unwrap(), word.to_owned())
        })
        .collect();
    let expected = [
        (1, 201, "m-1"),
        (2, 400, "bad_request"),
        (4, 201, "m-2"),
        (5, 400, "bad_request"),
        (7, 413, "too_large"),
        (8, 200, "m-1"),
        (9, 409, "conflict"),
        (10, 400, "bad_request"),
        (11, 201, "m-4"),
    ];
    assert_eq!(seen, expected.map(|(line, status, word)| (line, status, word.to_owned())));
    let page = daemon.client.messages(&ListQuery::default()).await.unwrap();
    let ids: Vec<&str> = page.messages.iter().map(|entry| entry.msg_id.as_str()).collect();
    assert_eq!(ids, ["m-1", "m-2", "m-4"]);
}

#[tokio::test]
async fn a_client_that_writes_everything_before_it_reads_anything_is_not_deadlocked() {
    const LINES: usize = 5_000;
    let daemon = Daemon::start("").await;
    let mut body = String::new();
    for number in 0..LINES {
        body.push_str(&submit(&format!("m-{number}"), &format!("user{}", number % 50)));
        body.push('\n');
    }
    let mut stream = connect(&daemon.place.socket).await;
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let write = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
    };
    timeout(SOON * 2, write).await.expect("the daemon reads on although nobody reads its answers");
    let answer = read_answer(&mut stream).await;
    let lines = answer.lines();
    assert_eq!(lines.len(), LINES);
    assert!(
        lines.iter().all(|line| line["status"] == 201),
        "{:?}",
        lines.iter().find(|line| line["status"] != 201)
    );
    assert!(lines.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64()));
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, LINES as u64);
}

#[tokio::test]
async fn a_client_that_goes_beyond_a_limit_may_write_to_its_end_before_it_reads() {
    const MIB: usize = 1024 * 1024;
    let daemon = Daemon::start("").await;
    let mut stream = connect(&daemon.place.socket).await;
    let first = submit("m-1", "u") + "\n";
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n{first}",
        first.len() + 70 * MIB
    );
    let write = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b' '; MIB];
        for _ in 0..70 {
            stream.write_all(&piece).await.unwrap();
        }
    };
    timeout(SOON * 2, write).await.expect("the daemon reads on beyond the limit");
    let lines = read_answer(&mut stream).await.lines();
    let seen: Vec<_> =
        lines.iter().map(|line| (line["line"].as_u64().unwrap(), line["status"].as_u64().unwrap())).collect();
    assert_eq!(seen, [(1, 201), (2, 413)]);
    assert_eq!(lines[1]["code"], "too_large");
}

#[tokio::test]
async fn lines_of_a_conversation_are_accepted_in_their_order_whatever_their_length() {
    let daemon = Daemon::start("").await;
    let ids: Vec<String> = (0..90).map(|number| format!("m-{number:02}")).collect();
    let line = |(number, id): (usize, &String)| {
        // Every third is so long that it is written to a file first.
        let text = if number % 3 == 0 { "x".repeat(100_000) } else { "hello".to_owned() };
        submit(id, "bob").replace("hello", &text) + "\n"
    };
    let body: String = ids.iter().enumerate().map(line).collect();
    let lines = daemon.post_lines(body).await.lines();
    assert!(lines.iter().all(|line| line["status"] == 201), "{lines:?}");
    let answered: Vec<&str> = lines.iter().filter_map(|line| line["msgID"].as_str()).collect();
    assert_eq!(answered, ids);
    let page = daemon.client.messages(&ListQuery::default()).await.unwrap();
    let accepted: Vec<&str> = page.messages.iter().map(|entry| entry.msg_id.as_str()).collect();
    assert_eq!(accepted, ids);
}

#[tokio::test]
async fn a_body_that_breaks_off_keeps_what_was_accepted() {
    let mut daemon = Daemon::start("").await;
    let mut stream = connect(&daemon.place.socket).await;
    let whole: String = (0..20).map(|number| submit(&format!("m-{number}"), "u") + "\n").collect();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n{whole}{{\"message\":{{\"msgID\":\"half",
        whole.len() + 1000
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    until("the whole lines are accepted", || async {
        (daemon.client.status().await.unwrap().spool.messages == 20).then_some(())
    })
    .await;
    drop(stream);
    daemon.restart().await;
    assert_eq!(daemon.client.status().await.unwrap().spool.messages, 20);
    daemon.get("/v1/messages/half").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_chunked_body_is_read_like_any_other() {
    let daemon = Daemon::start("").await;
    let mut request = b"POST /v1/messages HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\
        Content-Type: application/x-ndjson; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    let body = format!("{}\n{}\n", submit("m-1", "u"), submit("m-2", "u"));
    for piece in body.as_bytes().chunks(7) {
        request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = daemon.bytes(&request).await;
    assert_eq!(
        answer.lines().iter().map(|line| line["status"].as_u64()).collect::<Vec<_>>(),
        [Some(201), Some(201)]
    );
}

#[tokio::test]
async fn a_full_outbox_refuses_the_line_that_does_not_fit_and_says_when_to_come_back() {
    let daemon = Daemon::start("[spool]\nmax_messages = 3").await;
    let body: String = (0..5).map(|number| submit(&format!("m-{number}"), "u") + "\n").collect();
    let lines = daemon.post_lines(body).await.lines();
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 201, 201, 507, 507]);
    assert!(lines[3]["retryAfterMs"].is_u64(), "{}", lines[3]);
    daemon.post("/v1/messages", submit("m-9", "u")).await.problem(507, "outbox_full");
    let ready = daemon.get("/v1/health/ready").await;
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (503, Some(false)));
    assert!(ready.json()["degraded"][0].as_str().unwrap().contains("max_messages"), "{}", ready.text());
    assert_eq!(daemon.post("/v1/messages", submit("m-0", "u")).await.status, 200, "a repeat needs no room");
    daemon.client.cancel("m-0", None).await.unwrap();
    assert_eq!(daemon.get("/v1/health/ready").await.status, 200);
    assert_eq!(daemon.post("/v1/messages", submit("m-9", "u")).await.status, 201);
}
