//! Clients that do not read: what they are owed is not gathered for them in memory.
//!
//! Owns:  the peak of the daemon's memory for each kind of answer that nobody reads.
//! Never: tests that such a client loses nothing (`events` does).

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{MIB, allow_many_files};
use crate::harness::{Daemon, SOON};
use crate::messages::submit;
use crate::wire::{connect, read_answer};

/// A write that goes nowhere for so long: the daemon reads no more. On a machine that is busy it may only be slow,
/// and then a test asks for a little less.
const STUCK: Duration = Duration::from_secs(2);

/// What a test allows the daemon on top of what it had: its own growth from the work that it did meanwhile, and a
/// few buffers, but far less than what would be gathered if nobody took care.
const GROWTH_MAX: u64 = 96 * MIB;

/// Submits so many messages of 1 KiB.
async fn fill(daemon: &Daemon, messages: usize) {
    let text = "x".repeat(1_000);
    let line = |number| {
        submit(&format!("m-{number:05}"), &format!("u{}", number % 50)).replace("hello", &text) + "\n"
    };
    let body: String = (0..messages).map(line).collect();
    let lines = daemon.post_lines(body).await.lines();
    assert!(lines.len() == messages && lines.iter().all(|line| line["status"] == 201));
}

/// Writes requests until the daemon takes no more of them, or all are written; answers how many went out whole.
async fn write_until_stuck(stream: &mut UnixStream, request: &[u8], times: usize) -> usize {
    let all = request.repeat(times);
    let mut written = 0;
    while written < all.len() {
        match timeout(STUCK, stream.write(&all[written..])).await {
            Ok(Ok(count)) => written += count,
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => break,
        }
    }
    written / request.len()
}

#[tokio::test]
async fn a_client_that_asks_thousands_of_times_and_never_reads_costs_one_answer() {
    const REQUEST: &[u8] = b"GET /v1/messages?limit=1000 HTTP/1.1\r\nHost: d\r\n\r\n";
    allow_many_files();
    let daemon = Daemon::start("").await;
    fill(&daemon, 1_000).await;
    let one = daemon.get("/v1/messages?limit=1000").await.body.len();
    assert!(one > 300_000, "{one} bytes are not worth the test");
    let before = daemon.begin_peak();
    let mut deaf = connect(&daemon.place.socket).await;
    let asked = write_until_stuck(&mut deaf, REQUEST, 20_000).await;
    daemon.check_growth(before, GROWTH_MAX, &format!("{asked} requests of 20,000 were taken"));
    assert!(asked < 20_000, "somebody must have kept them");
    daemon.serves_others().await;
    // Late is not too late: each that was taken has its answer.
    let wanted = asked.min(20);
    let mut bytes = Vec::new();
    let all_there = async {
        while bytes.len() < wanted * (one + 1_000) {
            tokio::io::AsyncReadExt::read_buf(&mut deaf, &mut bytes).await.unwrap();
        }
    };
    timeout(SOON, all_there).await.expect("answers to what was asked");
    let whole = bytes.len() / (one + 1_000);
    assert!(whole >= wanted);
}

#[tokio::test]
async fn two_hundred_clients_that_do_not_read_cost_an_answer_each() {
    const CLIENTS: usize = 200;
    const REQUEST: &[u8] = b"GET /v1/messages?limit=300 HTTP/1.1\r\nHost: d\r\n\r\n";
    allow_many_files();
    let daemon = Daemon::start("").await;
    fill(&daemon, 300).await;
    let one = daemon.get("/v1/messages?limit=300").await.body.len() as u64;
    let before = daemon.begin_peak();
    let mut deaf = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect(&daemon.place.socket).await;
        stream.write_all(&REQUEST.repeat(50)).await.unwrap();
        deaf.push(stream);
    }
    for stream in &deaf {
        stream.readable().await.unwrap();
    }
    daemon.serves_others().await;
    // Several times an answer, for it is made from a page of the store; all of what is asked for would be a GiB.
    let bound = CLIENTS as u64 * one * 4 + GROWTH_MAX;
    daemon.check_growth(before, bound, &format!("{CLIENTS} times {one} bytes are asked for 50 times"));
}

#[tokio::test]
async fn streams_of_events_that_nobody_reads_cost_a_page_each() {
    const STREAMS: usize = 150;
    const MESSAGES: usize = 5_000;
    allow_many_files();
    let daemon = Daemon::start("").await;
    let mut deaf = Vec::new();
    for _ in 0..STREAMS {
        let stream = daemon.events("?since=0").await;
        deaf.push(stream);
    }
    let before = daemon.begin_peak();
    fill(&daemon, MESSAGES).await;
    // Durable ones, too: each message ends.
    let batch = r#"{"op":"cancel","filter":{}}"#;
    assert_eq!(daemon.post("/v1/messages:batch", batch).await.json()["done"], MESSAGES);
    // Kept for each of them it would be some 150 × 10,000 × 200 bytes.
    daemon.check_growth(before, GROWTH_MAX, &format!("{STREAMS} streams, {MESSAGES} messages"));
    // One that reads at last misses no durable event.
    let mut late = deaf.remove(0);
    let mut cancelled = 0;
    while cancelled < MESSAGES {
        let event = late.next().await.expect("more events");
        cancelled += usize::from(event.kind == "cancelled");
    }
}

#[tokio::test]
async fn many_lines_whose_answers_nobody_reads_are_bounded_by_the_number_of_lines() {
    const LINES: usize = 100_000;
    allow_many_files();
    let daemon = Daemon::start("").await;
    let before = daemon.begin_peak();
    let mut stream = connect(&daemon.place.socket).await;
    // Some 60 MB, most of which must be read, and so answered, before the last of it is written.
    let body = ("x".repeat(600) + "\n").repeat(LINES + 5);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let write = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
    };
    timeout(SOON * 3, write).await.expect("the daemon reads on");
    let answer = read_answer(&mut stream).await;
    let lines = answer.lines();
    let all = answer.body.len() as u64 / MIB;
    daemon.check_growth(before, 2 * GROWTH_MAX, &format!("{} answers of {all} MiB", lines.len()));
    assert_eq!(lines.len(), LINES + 1, "and one that says that there are too many");
    assert!(lines[..LINES].iter().all(|line| line["status"] == 400));
    assert_eq!((&lines[LINES]["status"], &lines[LINES]["line"]), (&413.into(), &(LINES + 1).into()));
}
