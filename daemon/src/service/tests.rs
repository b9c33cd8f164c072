//! Tests of the unreliable service over real sockets.
//!
//! Owns:  what each reply looks like to a client that reads bytes.
//! Never: uses the transport: its own tests do, against this service.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn request(token: &str, msg_id: &str, connection: &str) -> Vec<u8> {
    let body =
        format!(r#"{{"msgID":"{msg_id}","conversation":"c2c:a","message":{{"msgID":"{msg_id}","x":1}}}}"#);
    format!(
        "POST /send HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nidempotency-key: {token}\r\n\
         Outbox-Attempt: 2\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends one request over a connection of its own, and returns everything that comes until it ends.
async fn exchange(service: &Service, token: &str, msg_id: &str) -> String {
    let mut stream = TcpStream::connect(service.addr()).await.unwrap();
    // The service may have closed already; what it wrote is still read.
    let _ = stream.write_all(&request(token, msg_id, "keep-alive")).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_repeated_token_gets_the_first_answer_and_is_not_taken_twice() {
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    let first = exchange(&service, "t1", "m1").await;
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    assert!(first.ends_with(r#"{"code":0,"desc":"ok","data":{"msgID":"srv-t1-1","status":2,"x":1}}"#));
    assert_eq!(exchange(&service, "t1", "m1").await, first);
    assert_eq!((service.ledger().len(), service.repeats()), (1, 1));
    assert!(service.doubled().is_empty());
    let received = service.requests().remove(1);
    assert_eq!((received.n, received.connection, received.attempt), (2, 2, 2));
    assert_eq!((received.token.as_str(), received.conversation.as_str()), ("t1", "c2c:a"));
}

#[tokio::test]
async fn without_dedup_a_repeat_is_taken_twice_and_named() {
    let service = Service::without_dedup(|_| Reply::AcceptSameId).await.unwrap();
    let answer = exchange(&service, "t1", "m1").await;
    assert!(answer.contains(r#""msgID":"m1""#), "{answer}");
    exchange(&service, "t1", "m1").await;
    assert_eq!(service.doubled(), ["m1"]);
}

#[tokio::test]
async fn lost_answers_differ_in_whether_the_message_was_taken() {
    let service = Service::start(|received| match received.msg_id.as_str() {
        "taken" => Reply::AcceptThenLose,
        "half" => Reply::HalfBody,
        _ => Reply::LoseBeforeAccept,
    })
    .await
    .unwrap();
    assert_eq!(exchange(&service, "a", "taken").await, "");
    assert_eq!(exchange(&service, "b", "not").await, "");
    let half = exchange(&service, "c", "half").await;
    assert!(half.contains(r#"{"code":0"#) && !half.ends_with("}}"), "{half}");
    let taken: Vec<_> = service.ledger().into_iter().map(|delivered| delivered.msg_id).collect();
    assert_eq!(taken, ["taken", "half"]);
}

#[tokio::test]
async fn a_refusal_carries_the_message_with_status_3() {
    let service = Service::start(|_| Reply::Callback { code: 6012, desc: "time-out".into() }).await.unwrap();
    let answer = exchange(&service, "a", "m").await;
    assert!(answer.ends_with(r#"{"code":6012,"desc":"time-out","data":{"msgID":"m","status":3,"x":1}}"#));
    assert!(service.ledger().is_empty());
}

#[tokio::test]
async fn an_outage_closes_connections_and_keeps_the_ledger_and_the_port() {
    let mut service = Service::start(|received| match received.msg_id.as_str() {
        "hangs" => Reply::Hang,
        _ => Reply::Accept,
    })
    .await
    .unwrap();
    exchange(&service, "t1", "m1").await;
    let mut hanging = TcpStream::connect(service.addr()).await.unwrap();
    hanging.write_all(&request("t2", "hangs", "keep-alive")).await.unwrap();
    service.wait_for(|requests| requests.len() == 2, LONG).await.unwrap();
    service.stop().await;
    let mut rest = Vec::new();
    let _ = hanging.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert!(TcpStream::connect(service.addr()).await.is_err());
    service.restart().await.unwrap();
    exchange(&service, "t1", "m1").await;
    assert_eq!((service.ledger().len(), service.repeats()), (1, 1));

    service.stop().await;
    let fresh = Service::start_at(service.addr(), |_| Reply::Accept).await.unwrap();
    assert_eq!(fresh.addr(), service.addr());
    exchange(&fresh, "t1", "m1").await;
    assert_eq!((fresh.ledger().len(), fresh.repeats()), (1, 0));
}

#[tokio::test]
async fn a_gate_keeps_an_answer_back_until_it_opens() {
    let gate = Gate::shut();
    let shut = gate.clone();
    let service = Service::start(move |_| {
        Reply::WhenOpen(shut.clone(), Box::new(Reply::Delayed(Duration::ZERO, Box::new(Reply::Accept))))
    })
    .await
    .unwrap();
    let exchanged = exchange(&service, "t", "m");
    let opened = async {
        service.wait_for(|requests| requests.len() == 1, LONG).await.unwrap();
        assert!(service.ledger().is_empty());
        gate.open();
        service.wait_for_ledger(|taken| taken.len() == 1, LONG).await.unwrap();
    };
    let (answer, ()) = tokio::join!(exchanged, opened);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_slammed_door_closes_connections_unread() {
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    service.set_door(Door::Slammed);
    assert_eq!(exchange(&service, "t", "m").await, "");
    assert!(service.requests().is_empty());
    service.set_door(Door::Open);
    assert!(exchange(&service, "t", "m").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_is_not_a_send_request_is_answered_400() {
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    let mut stream = TcpStream::connect(service.addr()).await.unwrap();
    stream.write_all(b"GET /send HTTP/1.1\r\n\r\nNONSENSE\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1 400 Bad Request").count(), 2, "{answer}");
    assert!(answer.contains("not a send request") && answer.contains("request line"), "{answer}");
}

#[tokio::test]
async fn waiting_in_vain_says_what_was_seen() {
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    exchange(&service, "t", "m").await;
    let error = service.wait_for(|requests| requests.len() == 2, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error, WaitTimedOut { timeout_ms: 1, requests: 1, taken: 1 });
}
