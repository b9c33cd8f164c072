//! Tests of the HTTP transport against the built-in service, over real sockets.
//!
//! Owns:  every row of the contract's outcome table as it looks from the wire.
//! Never: repeats what `verdict` tests without a socket.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use outbox::{CODE_MAYBE_REACHED, CODE_NOT_REACHED, Class, Outcome, SendToken, SystemClock};
use tokio::net::TcpListener;

mod hostile;

use super::*;
use crate::service::{Door, Received, Reply, Service};
use crate::transport::verdict::ANSWER_BYTES_MAX;

/// Longer than any machine needs for what these tests wait for.
const LONG: Duration = Duration::from_secs(30);
/// Known by its digits.
const TOKEN: SendToken = SendToken([
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
]);
/// For the tests in which the time-out itself is what happens.
const SHORT: Duration = Duration::from_millis(500);

fn options(url: impl Into<String>) -> HttpOptions {
    HttpOptions { url: url.into(), headers: Vec::new(), ca_file: None, timeout: LONG }
}

fn transport(options: HttpOptions) -> HttpTransport {
    HttpTransport::new(options, Classes::default(), Arc::new(SystemClock::new())).unwrap()
}

fn attempt() -> Attempt {
    Attempt {
        msg_id: "m1".into(),
        account: "default".into(),
        conversation: "c2c:lena".into(),
        attempt: 1,
        seq: 9,
        send_token: TOKEN,
        online_user_only: false,
        web_message_instance: None,
        message: br#"{"msgID":"m1","userID":"lena","elemType":1}"#.to_vec(),
    }
}

async fn once(options: HttpOptions) -> Report {
    transport(options).attempt(attempt()).await
}

/// One attempt against a service that always answers like this.
async fn against(reply: Reply) -> Report {
    let service = Service::start(move |_| reply.clone()).await.unwrap();
    once(options(service.url())).await
}

fn summary(report: &Report) -> (Outcome, Class, i64) {
    (report.outcome, report.class, report.code)
}

const NOT_REACHED: (Outcome, Class, i64) = (Outcome::NotReached, Class::TransientNetwork, CODE_NOT_REACHED);
const MAYBE_REACHED: (Outcome, Class, i64) =
    (Outcome::MaybeReached, Class::TransientNetwork, CODE_MAYBE_REACHED);

#[tokio::test]
async fn a_proven_success_is_sent_with_its_replacement() {
    let report = against(Reply::Accept).await;
    assert_eq!(summary(&report), (Outcome::Sent, Class::Ok, 0));
    let replacement = report.replacement.unwrap();
    assert_eq!(replacement.new_msg_id.as_deref(), Some("srv-0123456789ab-1"));
    let text = String::from_utf8(replacement.data).unwrap();
    assert_eq!(text, r#"{"elemType":1,"msgID":"srv-0123456789ab-1","status":2,"userID":"lena"}"#);
}

#[tokio::test]
async fn a_success_under_the_same_msg_id_is_sent() {
    let report = against(Reply::AcceptSameId).await;
    assert_eq!(report.replacement.unwrap().new_msg_id.as_deref(), Some("m1"));
}

#[tokio::test]
async fn the_request_is_the_contracts_and_the_payload_stays_byte_for_byte() {
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    let secret = HeaderValue::from_static("Bearer hush");
    let transport = transport(HttpOptions {
        headers: vec![(http::header::AUTHORIZATION, secret)],
        ..options(service.url())
    });
    let message = "{ \"msgID\" : \"m1\",\n\t\"unknown\":[1.0,1e2 ,\"\\u00e9é\"],\"userID\":\"x\"}";
    let report = transport
        .attempt(Attempt {
            attempt: 7,
            online_user_only: true,
            web_message_instance: Some(b"{\"w\" :1.50}".to_vec()),
            message: message.as_bytes().to_vec(),
            ..attempt()
        })
        .await;
    assert_eq!(report.outcome, Outcome::Sent, "{report:?}");
    let received = service.requests().remove(0);
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/send"));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("idempotency-key"), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(received.header("outbox-attempt"), Some("7"));
    assert_eq!(received.header("authorization"), Some("Bearer hush"));
    assert_eq!(received.header("accept-encoding"), None, "packed answers would not be understood");
    assert_eq!(received.header("cookie"), None);
    assert!(received.header("user-agent").unwrap().starts_with("outboxd/"));
    let expected = format!(
        "{{\"msgID\":\"m1\",\"account\":\"default\",\"conversation\":\"c2c:lena\",\"onlineUserOnly\":true,\
         \"webMessageInstatnce\":{{\"w\" :1.50}},\"attempt\":7,\"message\":{message}}}"
    );
    assert_eq!(std::str::from_utf8(&received.body).unwrap(), expected);
}

#[tokio::test]
async fn attempts_share_a_connection() {
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    let transport = transport(options(service.url()));
    for number in 1..=3 {
        transport.attempt(Attempt { send_token: SendToken([number; 16]), ..attempt() }).await;
    }
    let connections: Vec<u64> = service.requests().iter().map(|received| received.connection).collect();
    assert_eq!(connections, [1, 1, 1]);
}

#[tokio::test]
async fn a_closed_port_is_not_reached() {
    let mut service = Service::start(|_| Reply::Accept).await.unwrap();
    service.stop().await;
    let report = once(options(service.url())).await;
    assert_eq!(summary(&report), NOT_REACHED);
    assert!(report.desc.contains("refused") && !report.desc.contains("127.0.0.1"), "{}", report.desc);
}

#[tokio::test]
async fn a_service_that_went_away_between_two_attempts_is_not_reached_and_then_reached_again() {
    let mut service = Service::start(|_| Reply::Accept).await.unwrap();
    let transport = transport(options(service.url()));
    assert_eq!(transport.attempt(attempt()).await.outcome, Outcome::Sent);
    service.stop().await;
    // The kept connection may die under the first attempt: then it may have arrived. No later one can.
    let first = transport.attempt(attempt()).await;
    assert!(matches!(first.outcome, Outcome::NotReached | Outcome::MaybeReached), "{first:?}");
    assert_eq!(transport.attempt(attempt()).await.outcome, Outcome::NotReached);
    service.restart().await.unwrap();
    assert_eq!(transport.attempt(attempt()).await.outcome, Outcome::Sent);
    assert_eq!(service.ledger().len(), 1);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_reached() {
    // `.invalid` is reserved never to exist.
    let report = once(options("http://no-such-host.invalid/")).await;
    assert_eq!(summary(&report), NOT_REACHED, "{report:?}");
}

#[tokio::test]
async fn a_connection_that_is_lost_after_the_request_is_maybe_reached() {
    for reply in [Reply::AcceptThenLose, Reply::LoseBeforeAccept] {
        let report = against(reply.clone()).await;
        assert_eq!(summary(&report), MAYBE_REACHED, "{reply:?}: {report:?}");
    }
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    service.set_door(Door::Slammed);
    let report = once(options(service.url())).await;
    assert!(matches!(summary(&report), MAYBE_REACHED | NOT_REACHED), "{report:?}");
}

#[tokio::test]
async fn a_repeat_after_a_lost_answer_is_taken_once() {
    let service = Service::start(|received| match received.n {
        1 => Reply::AcceptThenLose,
        _ => Reply::Accept,
    })
    .await
    .unwrap();
    let transport = transport(options(service.url()));
    assert_eq!(transport.attempt(attempt()).await.outcome, Outcome::MaybeReached);
    assert_eq!(transport.attempt(attempt()).await.outcome, Outcome::Sent);
    assert_eq!((service.ledger().len(), service.repeats()), (1, 1));
}

#[tokio::test]
async fn an_answer_that_breaks_off_half_way_is_maybe_reached() {
    let report = against(Reply::HalfBody).await;
    assert_eq!(summary(&report), MAYBE_REACHED, "{report:?}");
    assert!(report.desc.contains("body was lost"), "{}", report.desc);
}

#[tokio::test]
async fn a_service_that_never_answers_is_maybe_reached_when_the_time_is_over() {
    let service = Service::start(|_| Reply::Hang).await.unwrap();
    let report = once(HttpOptions { timeout: SHORT, ..options(service.url()) }).await;
    assert_eq!(summary(&report), MAYBE_REACHED);
    assert!(report.desc.contains("500 ms"), "{}", report.desc);
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn a_tls_handshake_that_never_ends_is_not_reached_when_the_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let client =
        tokio::spawn(once(HttpOptions { timeout: SHORT, ca_file: Some(testdata("ca.pem")), ..options(url) }));
    // Accepted and kept open: nothing is ever said.
    let _connection = listener.accept().await.unwrap();
    assert_eq!(summary(&client.await.unwrap()), NOT_REACHED);
}

#[tokio::test]
async fn a_body_without_end_is_read_to_the_limit_and_proves_nothing() {
    let report = against(Reply::EndlessBody).await;
    assert_eq!(summary(&report), (Outcome::ProvesNothing, Class::Unknown, 200), "{report:?}");
    assert!(report.desc.contains("4 MiB"), "{}", report.desc);
}

#[tokio::test]
async fn a_body_over_4_mib_proves_nothing_and_one_of_4_mib_is_read() {
    let success = br#"{"code":0,"desc":"ok","data":{"msgID":"n"}}"#;
    let padded = |bytes: usize| {
        let mut body = success.to_vec();
        body.resize(bytes, b' ');
        body
    };
    let report = against(Reply::json(200, padded(ANSWER_BYTES_MAX + 1))).await;
    assert_eq!(report.outcome, Outcome::ProvesNothing);
    let report = against(Reply::json(200, padded(ANSWER_BYTES_MAX))).await;
    assert_eq!(report.outcome, Outcome::Sent);
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_maybe_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let client = tokio::spawn(once(options(url)));
    let (mut stream, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ready\r\n\r\n").await.unwrap();
    assert_eq!(summary(&client.await.unwrap()), MAYBE_REACHED);
}

#[tokio::test]
async fn a_refusal_in_a_callback_goes_by_its_class() {
    let reply = |code| Reply::Callback { code, desc: "no".to_owned() };
    let rows = [
        (6012, Outcome::MaybeReached),
        (9508, Outcome::NotReached),
        (70_001, Outcome::GateShut),
        (987_654, Outcome::Retry),
    ];
    for (code, outcome) in rows {
        let report = against(reply(code)).await;
        assert_eq!((report.outcome, report.code, report.desc.as_str()), (outcome, code, "no"));
    }
}

#[tokio::test]
async fn every_status_row_holds_over_the_wire() {
    let callback = |code: i64| format!(r#"{{"code":{code},"desc":"no","data":null}}"#);
    let duplicate = r#"{"code":9,"desc":"known","data":{"msgID":"n"}}"#;
    let rows = [
        (
            Reply::json(200, r#"{"code":0,"desc":"resend failed"}"#),
            (Outcome::ProvesNothing, Class::Unknown, 0),
        ),
        (Reply::json(200, "<html>"), (Outcome::ProvesNothing, Class::Unknown, 200)),
        (Reply::status(204), (Outcome::ProvesNothing, Class::Unknown, 204)),
        (Reply::json(409, duplicate), (Outcome::Duplicate, Class::Ok, 0)),
        (Reply::status(409), (Outcome::Reject, Class::PermanentRequest, 409)),
        (Reply::status(401), (Outcome::GateShut, Class::Auth, 401)),
        (Reply::status(429), (Outcome::Limited, Class::RateLimited, 429)),
        (Reply::status(408), (Outcome::Retry, Class::TransientServer, 408)),
        (Reply::status(425), (Outcome::Retry, Class::TransientServer, 425)),
        (Reply::status(500), (Outcome::Retry, Class::TransientServer, 500)),
        (Reply::status(503), (Outcome::Retry, Class::TransientServer, 503)),
        (Reply::json(503, callback(77)), (Outcome::Retry, Class::TransientServer, 77)),
        (Reply::status(502), (Outcome::MaybeReached, Class::TransientServer, 502)),
        (Reply::status(504), (Outcome::MaybeReached, Class::TransientServer, 504)),
        (Reply::status(403), (Outcome::Reject, Class::PermanentRequest, 403)),
        (Reply::json(403, callback(70_001)), (Outcome::GateShut, Class::Auth, 70_001)),
        (Reply::json(400, callback(987_654)), (Outcome::Retry, Class::Unknown, 987_654)),
        (Reply::status(404), (Outcome::Reject, Class::PermanentRequest, 404)),
        (Reply::status(304), (Outcome::Reject, Class::PermanentRequest, 304)),
        (Reply::redirect(302, "/send"), (Outcome::Reject, Class::PermanentRequest, 302)),
        (Reply::redirect(303, "/send"), (Outcome::Reject, Class::PermanentRequest, 303)),
        (Reply::status(307), (Outcome::Reject, Class::PermanentRequest, 307)),
    ];
    for (reply, expected) in rows {
        let report = against(reply.clone()).await;
        assert_eq!(summary(&report), expected, "{reply:?}");
    }
}

#[tokio::test]
async fn retry_after_is_understood_as_seconds_and_as_a_date() {
    let limited = |text: &str| Reply::Status {
        status: 429,
        headers: vec![("Retry-After".to_owned(), text.to_owned())],
        body: Vec::new(),
    };
    assert_eq!(against(limited("17")).await.retry_after, Some(Duration::from_secs(17)));
    assert_eq!(against(limited("Thu, 01 Jan 1998 00:00:00 GMT")).await.retry_after, Some(Duration::ZERO));
    assert_eq!(against(limited("later")).await.retry_after, None);
    let soon = std::time::SystemTime::now() + Duration::from_secs(600);
    let wait = against(limited(&httpdate::fmt_http_date(soon))).await.retry_after.unwrap();
    assert!(wait > Duration::from_secs(500) && wait <= Duration::from_secs(600), "{wait:?}");
}

#[tokio::test]
async fn a_redirect_to_the_same_origin_is_followed_with_method_headers_and_body() {
    for status in [307, 308] {
        let service = Service::start(move |received: &Received| match received.target.as_str() {
            "/send" => Reply::redirect(status, "/moved?here=1"),
            _ => Reply::Accept,
        })
        .await
        .unwrap();
        assert_eq!(once(options(service.url())).await.outcome, Outcome::Sent);
        let requests = service.requests();
        let (first, second) = (&requests[0], &requests[1]);
        assert_eq!((second.method.as_str(), second.target.as_str()), ("POST", "/moved?here=1"));
        assert_eq!((&second.body, &second.token), (&first.body, &first.token));
    }
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_rejected_and_nothing_is_sent_there() {
    let other = Service::start(|_| Reply::Accept).await.unwrap();
    let port = other.addr().port();
    let elsewhere = [
        other.url(),
        format!("http://localhost:{port}/send"),
        format!("https://127.0.0.1:{port}/send"),
        format!("//127.0.0.1:{port}/send"),
    ];
    for location in elsewhere {
        let report = against(Reply::redirect(307, location.clone())).await;
        assert_eq!(summary(&report), (Outcome::Reject, Class::PermanentRequest, 307), "{location}");
        assert!(report.desc.contains("same origin") && !report.desc.contains("127.0.0.1"), "{}", report.desc);
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_that_brings_its_own_credentials_is_rejected() {
    let service = Service::start(|received| {
        let host = received.header("host").unwrap_or_default();
        Reply::redirect(307, format!("http://me:you@{host}/send"))
    })
    .await
    .unwrap();
    assert_eq!(once(options(service.url())).await.outcome, Outcome::Reject);
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn a_loop_of_redirects_ends_after_five() {
    let service = Service::start(|_| Reply::redirect(308, "/send")).await.unwrap();
    let report = once(options(service.url())).await;
    assert_eq!(summary(&report), (Outcome::Reject, Class::PermanentRequest, 308));
    assert_eq!(service.requests().len(), 6);
}

#[tokio::test]
async fn a_service_without_tls_behind_an_https_url_is_not_reached() {
    let service = Service::start(|_| Reply::Accept).await.unwrap();
    let url = service.url().replace("http:", "https:");
    let report = once(HttpOptions { ca_file: Some(testdata("ca.pem")), ..options(url) }).await;
    assert_eq!(summary(&report), NOT_REACHED, "{report:?}");
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_is_trusted_through_the_ca_file_and_only_through_it() {
    let (url, server) = tls_service(1);
    let report = once(HttpOptions { ca_file: Some(testdata("ca.pem")), ..options(url) }).await;
    assert_eq!(report.outcome, Outcome::Sent, "{report:?}");
    server.join().unwrap();

    // A certificate of its own, not a CA: it vouches for nobody else.
    let folder = tempfile::tempdir().unwrap();
    let stranger = folder.path().join("stranger.pem");
    std::fs::write(&stranger, STRANGER).unwrap();
    let (url, server) = tls_service(1);
    let report = once(HttpOptions { ca_file: Some(stranger), ..options(url) }).await;
    assert_eq!(summary(&report), NOT_REACHED, "{report:?}");
    assert!(report.desc.contains("certificate"), "{}", report.desc);
    server.join().unwrap();
}

#[tokio::test]
async fn the_probe_address_is_that_of_the_url() {
    let address = |url: &str| transport(options(url)).probe_address();
    assert_eq!(address("http://host.example/x"), Some(("host.example".to_owned(), 80)));
    assert_eq!(address("http://[::1]:8080/"), Some(("::1".to_owned(), 8080)));
    assert_eq!(transport(options("http://host/")).kind(), "http");
}

const STRANGER: &str = include_str!("testdata/service.pem");

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/transport/http/testdata").join(name)
}

/// A TLS server of the test certificate; it answers one request on each of so many connections.
fn tls_service(connections: usize) -> (String, std::thread::JoinHandle<()>) {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let certificate = CertificateDer::from_pem_file(testdata("service.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(testdata("service.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/send", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for _ in 0..connections {
            let (socket, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            answer_over_tls(rustls::StreamOwned::new(connection, socket));
        }
    });
    (url, server)
}

/// Reads a request and answers with a success; a client that does not trust the certificate leaves early.
fn answer_over_tls(mut stream: rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !request.ends_with(b"}}") {
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => request.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
    let body = r#"{"code":0,"desc":"ok","data":{"msgID":"n"}}"#;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream.conn.send_close_notify();
    let _ = stream.flush();
}
