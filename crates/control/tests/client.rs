//! The client against a real HTTP server on a real Unix socket.
//!
//! Owns:  a small server whose answers each test chooses.
//! Never: replaces any part of the client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use outbox_control::client::{EventsQuery, ListQuery, SubmitManyError, Told};
use outbox_control::types::{
    CancelOutcome, LeaseRequest, Problem, ProblemCode, ResendAnswer, ResendRequest, State, Submit,
    SubmitAnswer,
};
use outbox_control::{Client, ClientError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

type Body = BoxBody<Bytes, std::io::Error>;

/// What the server saw of one request.
#[derive(Debug, PartialEq)]
struct Seen {
    line: String,
    host: String,
    content_type: String,
    body: String,
}

struct Server {
    client: Client,
    seen: mpsc::UnboundedReceiver<Seen>,
    _dir: tempfile::TempDir,
}

fn socket() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox.sock");
    (dir, path)
}

/// Serves every connection with `answer`, until the test's runtime ends.
fn serve<F, A>(answer: F) -> Server
where
    F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = (Response<Body>, Option<Seen>)> + Send + 'static,
{
    let (dir, path) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, seen) = mpsc::unbounded_channel();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answer, sender) = (Arc::clone(&answer), sender.clone());
            let service = service_fn(move |request| {
                let (future, sender) = (answer(request), sender.clone());
                async move {
                    let (response, seen) = future.await;
                    if let Some(seen) = seen {
                        sender.send(seen).unwrap();
                    }
                    Ok::<_, std::convert::Infallible>(response)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Server { client: Client::new(path), seen, _dir: dir }
}

/// Reads each request whole and answers the same.
fn serve_fixed(status: u16, body: impl Into<String>) -> Server {
    let body = body.into();
    serve(move |request| {
        let response = whole(status, body.clone());
        async move {
            let (parts, incoming) = request.into_parts();
            let header = |name: &str| {
                parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
            };
            let (host, content_type) = (header("host"), header("content-type"));
            let bytes = incoming.collect().await.unwrap().to_bytes();
            let seen = Seen {
                line: format!("{} {}", parts.method, parts.uri),
                host,
                content_type,
                body: String::from_utf8(bytes.to_vec()).unwrap(),
            };
            (response, Some(seen))
        }
    })
}

fn whole(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}

/// A submit whose message fills that many bytes.
fn submit(msg_id: &str, fill: usize) -> Submit {
    let text = json!({ "msgID": msg_id, "message": { "text": "x".repeat(fill) } }).to_string();
    serde_json::from_str(&text).unwrap()
}

fn accepted(msg_id: &str, line: u64) -> String {
    json!({ "msgID": msg_id, "state": "queued", "conversation": "c2c:a", "seq": line, "duplicate": false,
            "status": 201, "line": line })
    .to_string()
}

#[tokio::test]
async fn a_submit_arrives_as_json_and_its_answer_is_typed() {
    let mut server = serve_fixed(201, accepted("m", 4));
    let text = r#"{ "msgID": "m", "message": {"a" : 1} }"#;
    let submitted = server.client.submit_json(text.into()).await.unwrap();
    assert_eq!((submitted.state, submitted.seq, submitted.duplicate), (State::Queued, 4, false));
    let expected = Seen {
        line: "POST /v1/messages".into(),
        host: "outbox".into(),
        content_type: "application/json".into(),
        body: text.into(),
    };
    assert_eq!(server.seen.recv().await.unwrap(), expected);
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path() {
    let mut server = serve_fixed(200, r#"{"outcome":"too_late","data":{"msgID":"n"}}"#);
    let answer = server.client.cancel("c2c/7 é", Some("typo")).await.unwrap();
    assert_eq!(answer.outcome, CancelOutcome::TooLate);
    assert_eq!(answer.data.unwrap().get(), r#"{"msgID":"n"}"#);
    let seen = server.seen.recv().await.unwrap();
    assert_eq!(seen.line, "DELETE /v1/messages/c2c%2F7%20%C3%A9");
    assert_eq!(seen.body, r#"{"reason":"typo"}"#);
}

#[tokio::test]
async fn the_daemons_refusal_is_a_problem_with_its_hint() {
    let problem = Problem::new(ProblemCode::WrongState, "it was cancelled").with_state(State::Cancelled);
    let server = serve_fixed(409, serde_json::to_string(&problem).unwrap());
    let error = server.client.hold("m", None).await.unwrap_err();
    assert_eq!(error.problem(), Some(&problem));
    assert_eq!(error.hint(), problem.hint);
}

#[tokio::test]
async fn an_answer_that_is_not_of_this_api_is_named_and_quoted() {
    let server = serve_fixed(502, "<html>bad gateway</html>");
    let error = server.client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }));
    assert!(error.to_string().starts_with("GET /v1/status: "), "{error}");
    assert!(error.to_string().contains("502") && error.to_string().contains("bad gateway"), "{error}");

    let server = serve_fixed(200, "{}");
    let error = server.client.messages(&ListQuery::default()).await.unwrap_err();
    assert!(error.to_string().contains("missing field `messages`"), "{error}");
}

#[tokio::test]
async fn a_socket_without_a_listener_means_not_running() {
    let (_dir, path) = socket();
    let client = Client::new(&path);
    assert!(matches!(client.check().await, Err(ClientError::NotRunning { .. })), "no file");
    drop(UnixListener::bind(&path).unwrap());
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "a file that nobody listens on: {error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(error.hint().contains("OUTBOX_SOCKET"));

    let long = Client::new(format!("/{}", "x".repeat(107)));
    assert!(matches!(long.check().await, Err(ClientError::SocketPath(_))));
}

#[tokio::test]
async fn a_resend_answers_with_an_entry_or_a_callback() {
    let mut server = serve_fixed(202, r#"{"msgID":"m","state":"queued"}"#);
    let answer = server.client.resend("m", &ResendRequest::default()).await.unwrap();
    assert!(matches!(answer, ResendAnswer::Entry(entry) if entry.state == State::Queued));
    assert_eq!(server.seen.recv().await.unwrap().line, "POST /v1/messages/m/resend");

    let mut server = serve_fixed(200, r#"{"code":-30001,"desc":"lost","data":{ "a":1 }}"#);
    let wait = Duration::from_secs(90);
    let answer = server.client.resend_and_wait("m", &ResendRequest::default(), wait).await.unwrap();
    let ResendAnswer::Callback(callback) = answer else { panic!("{answer:?}") };
    assert_eq!((callback.code, callback.data.unwrap().get()), (-30001, r#"{ "a":1 }"#));
    assert_eq!(server.seen.recv().await.unwrap().line, "POST /v1/messages/m/resend?wait=90s");
}

#[tokio::test]
async fn not_being_ready_is_an_answer() {
    let server = serve_fixed(503, r#"{"ready":false,"degraded":["store"]}"#);
    assert!(!server.client.ready().await.unwrap().ready);
    let problem = Problem::new(ProblemCode::ShuttingDown, "stopping");
    let server = serve_fixed(503, serde_json::to_string(&problem).unwrap());
    assert_eq!(server.client.live().await.unwrap_err().problem(), Some(&problem));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_by_itself_gets_its_wait_and_ten_seconds() {
    let server = serve(|_request| std::future::pending());
    let begun = tokio::time::Instant::now();
    let request = LeaseRequest { wait: Duration::from_secs(60).into(), ..LeaseRequest::default() };
    let error = server.client.lease(&request).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Timeout { after, .. } if after == Duration::from_secs(70)),
        "{error}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(70));

    let error = server.client.status().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Timeout { after, .. } if after == Duration::from_secs(30)),
        "{error}"
    );
}

/// Answers each line as soon as it is read, and reads on only when the answer is taken: the opposite of what
/// the daemon promises, and so the hardest case for a client that must not block.
async fn answer_while_reading(request: Request<Incoming>) -> (Response<Body>, Option<Seen>) {
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    let mut incoming = request.into_body();
    tokio::spawn(async move {
        let (mut pending, mut number) = (Vec::new(), 0);
        while let Some(frame) = incoming.frame().await {
            pending.extend_from_slice(&frame.unwrap().into_data().unwrap());
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                number += 1;
                let value: Value = serde_json::from_slice(&line).unwrap();
                let answer = accepted(value["msgID"].as_str().unwrap(), number) + "\n";
                sender.send_data(answer.into()).await.unwrap();
            }
        }
    });
    (Response::new(body.boxed()), None)
}

#[tokio::test]
async fn many_messages_are_answered_in_order_while_they_are_still_written() {
    let server = serve(answer_while_reading);
    // More than two requests by lines, and each far larger than the socket's buffers.
    let submits: Vec<Submit> = (0..20_500).map(|n| submit(&format!("m{n}"), 300)).collect();
    let answers = server.client.submit_many(&submits).await.unwrap();
    assert_eq!(answers.len(), submits.len());
    for (n, answer) in answers.into_iter().enumerate() {
        let submitted = answer.into_result().unwrap();
        assert_eq!((submitted.msg_id, submitted.line), (format!("m{n}"), Some(n as u64 + 1)));
    }
}

#[tokio::test]
async fn a_bad_line_spoils_only_itself_and_line_breaks_inside_a_line_become_spaces() {
    let problem = Problem { line: Some(2), ..Problem::new(ProblemCode::BadRequest, "no message") };
    let problem = serde_json::to_string(&problem).unwrap();
    let mut server = serve_fixed(200, format!("{}\n{problem}\n\n{}", accepted("a", 1), accepted("c", 4)));
    let lines = [b"{\"msgID\":\r\n\"a\"}".to_vec(), b"{".to_vec(), b" ".to_vec(), b"{}".to_vec()];
    let answers = server.client.submit_lines(&lines).await.unwrap();
    assert!(matches!(
        &answers[..],
        [SubmitAnswer::Accepted(_), SubmitAnswer::Refused(_), SubmitAnswer::Accepted(_)]
    ));
    let seen = server.seen.recv().await.unwrap();
    assert_eq!(seen.content_type, "application/x-ndjson");
    assert_eq!(seen.body, "{\"msgID\":  \"a\"}\n{\n \n{}\n");
}

#[tokio::test]
async fn answers_that_came_before_a_break_are_kept() {
    let (_dir, path) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    // By hand, because a server that is killed neither completes its answer nor says goodbye.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the client hung up");
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
        let answer = format!("{head}{}\n{}\n{{\"msg", accepted("m0", 1), accepted("m1", 2));
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let submits: Vec<Submit> = (0..5).map(|n| submit(&format!("m{n}"), 1)).collect();
    let SubmitManyError { answered, source } = Client::new(path).submit_many(&submits).await.unwrap_err();
    assert_eq!(answered.len(), 2);
    assert!(matches!(source, ClientError::Broken { .. }), "{source}");
}

#[tokio::test]
async fn too_few_answers_and_endless_lines_are_errors() {
    let submits = [submit("m0", 1), submit("m1", 1)];
    let server = serve_fixed(200, accepted("m0", 1));
    let error = server.client.submit_many(&submits).await.unwrap_err();
    assert_eq!(error.answered.len(), 1);
    assert!(error.to_string().contains("expected 2"), "{error}");

    let server = serve_fixed(200, "x".repeat(100_000));
    let error = server.client.submit_many(&submits).await.unwrap_err();
    assert!(error.to_string().contains("longer than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn a_refusal_of_the_whole_stream_is_its_problem() {
    let problem = Problem::new(ProblemCode::ShuttingDown, "stopping");
    let server =
        serve_fixed(StatusCode::SERVICE_UNAVAILABLE.as_u16(), serde_json::to_string(&problem).unwrap());
    let error = server.client.submit_many(&[submit("m", 1)]).await.unwrap_err();
    assert_eq!(error.source.problem(), Some(&problem));
}

#[tokio::test]
async fn a_stream_of_events_tells_each_and_says_where_to_go_on() {
    let frames = ": heartbeat\n\n\
        event: gap\ndata: {\"from\":1,\"to\":6}\n\n\
        event: sending\ndata: {\"type\":\"sending\",\"at\":\"2026-11-23T08:00:00.000Z\",\"msgID\":\"m\"}\n\n\
        id: 7\nevent: sent\ndata: {\"type\":\"sent\",\"at\":\"2026-11-23T08:00:00.000Z\",\"msgID\":\"m\"}\n\n";
    let mut server = serve_fixed(200, frames);
    let query = EventsQuery { since: Some(0), only_kept: true };
    let mut stream = server.client.events(&query).await.unwrap();
    assert_eq!(server.seen.recv().await.unwrap().line, "GET /v1/events?since=0&follow=false");
    let mut told = Vec::new();
    while let Some(next) = stream.next().await.unwrap() {
        told.push((next, stream.last()));
    }
    let [
        (Told::Gap(gap), behind),
        (Told::Event { seq: None, data }, _),
        (Told::Event { seq: Some(7), .. }, Some(7)),
    ] = told.as_slice()
    else {
        panic!("{told:#?}")
    };
    assert_eq!((gap.to, *behind, data.kind.as_str()), (6, Some(6), "sending"));
}

#[tokio::test]
async fn a_stream_that_is_refused_or_no_stream_is_an_error() {
    let problem = serde_json::to_string(&Problem::new(ProblemCode::Denied, "no role")).unwrap();
    let refused = serve_fixed(403, problem).client.events(&EventsQuery::default()).await;
    let Err(ClientError::Problem(problem)) = refused else { panic!("not a problem") };
    assert_eq!(problem.code, ProblemCode::Denied);
    let server = serve_fixed(200, "data: hello\n\n");
    let mut stream = server.client.events(&EventsQuery::default()).await.unwrap();
    assert!(matches!(stream.next().await, Err(ClientError::Protocol { .. })));
}
