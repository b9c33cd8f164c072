//! Crowds: thousands of connections, most of them for nothing.
//!
//! Owns:  how many are served, what the others get, what is left of them.
//! Never: tests one connection alone (`connection` does).

use std::net::Shutdown;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{MIB, allow_many_files};
use crate::harness::{Daemon, SOON, until, until_within};
use crate::messages::typed;
use crate::wire::{connect, parse_all};

/// Connections that the contract promises.
const SEATS: usize = 256;

/// What a crowd may cost: a few buffers for each that has a seat.
const GROWTH_MAX: u64 = 64 * MIB;

/// Connects as soon as the kernel's queue of waiting ones has room.
async fn connect_in_time(daemon: &Daemon) -> UnixStream {
    let socket = &daemon.place.socket;
    until("a place in the queue", || async { UnixStream::connect(socket).await.ok() }).await
}

#[tokio::test]
async fn thousands_of_connections_leave_nothing_behind_and_those_that_were_first_are_served() {
    const CROWD: usize = 5_000;
    allow_many_files();
    let daemon = Daemon::start("").await;
    let before = daemon.begin_peak();
    daemon.all_are_gone().await;
    // Streams of events keep their seats, however long the rest takes.
    let mut seated = Vec::new();
    for _ in 0..SEATS {
        seated.push(daemon.events("").await);
    }
    let mut told = 0;
    for _ in 0..CROWD / 100 {
        let mut wave = Vec::new();
        for _ in 0..100 {
            let mut stream = connect_in_time(&daemon).await;
            // It may be closed already.
            let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: d\r\n\r\n").await;
            wave.push(stream);
        }
        for mut stream in wave {
            let mut answer = Vec::new();
            // A reset is an end, too.
            let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end, not silence");
            for answer in parse_all(&answer) {
                answer.problem(429, "busy");
                told += 1;
            }
        }
    }
    daemon.check_growth(before, GROWTH_MAX, &format!("{told} of {CROWD} were told"));
    assert!(told > 0, "some are told");
    // Everybody who has a seat is served as ever, and a seat that is free is taken.
    drop(seated.pop());
    let client = &daemon.client;
    let submit = |id: &'static str| async move { client.submit(&typed(id, "bob")).await.ok() };
    until_within("a seat", SOON * 3, || submit("m-1")).await;
    for stream in &mut seated {
        stream.until(|frame| frame.kind == "submitted" && frame.msg_id() == "m-1").await;
    }
    drop(seated);
    until_within("a seat", SOON * 3, || submit("m-2")).await;
    daemon.all_are_gone().await;
    daemon.serves_others().await;
}

#[tokio::test]
async fn clients_that_have_gone_while_they_waited_keep_nobody_out() {
    allow_many_files();
    let daemon = Daemon::start("").await;
    assert_eq!(daemon.post("/v1/pause", "{}").await.status, 200);
    daemon.client.submit(&typed("m-1", "bob")).await.unwrap();
    let body = r#"{"wait":"60s"}"#;
    let length = body.len();
    let lease = format!("POST /v1/leases HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n{body}");
    let resend = "POST /v1/messages/m-1/resend?wait=300s HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n";
    let mut waiting = Vec::new();
    let events = "GET /v1/events HTTP/1.1\r\nHost: d\r\n\r\n";
    for number in 0..SEATS {
        let mut stream = connect_in_time(&daemon).await;
        let request = [events, &lease, resend][number % 3];
        stream.write_all(request.as_bytes()).await.unwrap();
        // That it sends nothing more does not mean that it has gone.
        stream.shutdown().await.unwrap();
        waiting.push(stream);
    }
    let mut refused = connect_in_time(&daemon).await;
    let mut answer = Vec::new();
    refused.read_to_end(&mut answer).await.unwrap();
    parse_all(&answer)[0].problem(429, "busy");
    let mut stays = waiting.split_off(SEATS - 2);
    drop(waiting);
    // Long before a heartbeat.
    until_within("their seats", SOON / 4, || async { (daemon.connections() <= 4).then_some(()) }).await;
    until("a seat", || async { daemon.client.submit(&typed("m-2", "bob")).await.ok() }).await;
    daemon.client.cancel("m-1", None).await.unwrap();
    let answer = crate::wire::read_answer(&mut stays[0]).await;
    assert_eq!(answer.status, 200, "who is still there hears the end: {answer:?}");
    drop(stays);
    daemon.all_are_gone().await;
    daemon.serves_others().await;
}

#[tokio::test]
async fn connections_that_come_and_go_at_once_leave_nothing_behind() {
    allow_many_files();
    let daemon = Daemon::start("").await;
    let before = daemon.begin_peak();
    for number in 0..5_000 {
        let mut stream = connect_in_time(&daemon).await;
        match number % 4 {
            0 => {}
            1 => drop(stream.write_all(b"GET /v1/sta").await),
            2 => drop(
                stream
                    .write_all(b"POST /v1/messages HTTP/1.1\r\nHost: d\r\nContent-Length: 99\r\n\r\n{")
                    .await,
            ),
            _ => {
                let stream = stream.into_std().unwrap();
                let _ = stream.shutdown(Shutdown::Read);
            }
        }
    }
    daemon.all_are_gone().await;
    daemon.check_growth(before, GROWTH_MAX, "5,000 that came and went");
    daemon.serves_others().await;
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_keeps_nobody_else_waiting() {
    allow_many_files();
    let daemon = Daemon::start("").await;
    let body = crate::messages::submit("m-1", "bob");
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(&daemon.place.socket).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for byte in body.as_bytes() {
        for stream in &mut slow {
            stream.write_all(&[*byte]).await.unwrap();
        }
        daemon.serves_others().await;
    }
    let mut statuses = Vec::new();
    for stream in &mut slow {
        statuses.push(crate::wire::read_answer(stream).await.status);
    }
    statuses.sort_unstable();
    assert_eq!(
        (statuses[0], statuses[48], statuses[49]),
        (200, 200, 201),
        "one is the first, the others repeat it"
    );
}
