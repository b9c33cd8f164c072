//! Services that mean no good: whatever they send, an attempt ends in time, and with the outcome of the contract.
//!
//! Owns:  answers as raw bytes, and certificates that must not be trusted.
//! Never: tests what an honest service may answer.

use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

const SUCCESS: &str = r#"{"code":0,"desc":"ok","data":{"msgID":"n"}}"#;

/// A service that reads a request on each connection and then does this with it.
async fn raw<F, A>(answer: A) -> (String, JoinHandle<()>)
where
    F: Future<Output = std::io::Result<()>> + Send,
    A: Fn(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/send", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            // The client may leave whenever it likes.
            let _ = answer(stream).await;
        }
    });
    (url, serving)
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"}}") {
        if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
            return;
        }
    }
}

/// One attempt against a service that answers with these bytes, and then keeps the connection open.
async fn against_bytes(bytes: impl Into<Vec<u8>>) -> Report {
    let bytes = bytes.into();
    let (url, _serving) = raw(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            stream.write_all(&bytes).await?;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            Ok(())
        }
    })
    .await;
    bounded(once(HttpOptions { timeout: SHORT, ..options(url) })).await
}

/// Fails if the attempt outlives its own time-out by far.
async fn bounded(attempt: impl Future<Output = Report>) -> Report {
    timeout(LONG, attempt).await.expect("an attempt ends when its time is over")
}

/// An answer with this body, whose length is told truly.
fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Writes this again and again until the client leaves; tells when it has.
async fn endless(start: &'static [u8], piece: Vec<u8>) -> (Report, Duration) {
    let (left, has_left) = tokio::sync::mpsc::unbounded_channel();
    let (url, _serving) = raw(move |mut stream| {
        let (left, piece) = (left.clone(), piece.clone());
        async move {
            stream.write_all(start).await?;
            while stream.write_all(&piece).await.is_ok() {
                tokio::task::yield_now().await;
            }
            let _ = left.send(());
            Ok(())
        }
    })
    .await;
    let mut has_left = has_left;
    let began = Instant::now();
    let report = bounded(once(HttpOptions { timeout: SHORT, ..options(url) })).await;
    let took = began.elapsed();
    timeout(LONG, has_left.recv()).await.expect("the client closes the connection").unwrap();
    (report, took)
}

#[tokio::test]
async fn answers_before_the_answer_may_be_many_and_not_without_end() {
    let some = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(20);
    let report = against_bytes([some.into_bytes(), ok("", SUCCESS.as_bytes())].concat()).await;
    assert_eq!(report.outcome, Outcome::Sent, "{report:?}");
    for interim in ["100 Continue", "102 Processing", "103 Early Hints"] {
        let piece = format!("HTTP/1.1 {interim}\r\nX: y\r\n\r\n").repeat(100);
        let (report, _) = endless(b"", piece.into_bytes()).await;
        assert_eq!(summary(&report), MAYBE_REACHED, "{interim}: {report:?}");
    }
    // Nobody asked for another protocol.
    let report =
        against_bytes("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await;
    assert!(matches!(report.outcome, Outcome::MaybeReached | Outcome::Retry), "{report:?}");
}

#[tokio::test]
async fn headers_without_end_are_given_up_and_what_was_written_may_have_arrived() {
    let long = format!("X: {}\r\n", "y".repeat(1_000_000));
    for bytes in [
        [b"HTTP/1.1 200 OK\r\n", long.as_bytes(), b"Content-Length: 0\r\n\r\n"].concat(),
        [b"HTTP/1.1 200 OK\r\n", "X: y\r\n".repeat(100_000).as_bytes(), b"Content-Length: 0\r\n\r\n"]
            .concat(),
        [b"HTTP/1.1 200 ", "y".repeat(1_000_000).as_bytes(), b"\r\n\r\n"].concat(),
    ] {
        let report = against_bytes(bytes).await;
        assert_eq!(summary(&report), MAYBE_REACHED, "{report:?}");
        assert!(report.desc.len() < 300, "{}", report.desc);
    }
    for piece in [b"X: y\r\n".repeat(1000), b"y".repeat(6000)] {
        let (report, _) = endless(b"HTTP/1.1 200 OK\r\nX: ", piece).await;
        assert_eq!(summary(&report), MAYBE_REACHED, "{report:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_has_the_time_of_an_attempt_and_no_more() {
    let (url, _serving) = raw(|mut stream| async move {
        stream.set_nodelay(true)?;
        for byte in ok("", SUCCESS.as_bytes()) {
            stream.write_all(&[byte]).await?;
            tokio::task::yield_now().await;
        }
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    assert_eq!(bounded(once(options(url))).await.outcome, Outcome::Sent);
    // One that never ends, in its head, its body, and its chunks.
    for start in [
        &b"HTTP/1.1 200 OK\r\nX: "[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3d0900\r\n",
    ] {
        let (url, _serving) = raw(move |mut stream| async move {
            stream.write_all(start).await?;
            let mut beat = tokio::time::interval(Duration::from_millis(5));
            loop {
                beat.tick().await;
                stream.write_all(b" ").await?;
            }
        })
        .await;
        let report = bounded(once(HttpOptions { timeout: SHORT, ..options(url) })).await;
        assert_eq!(summary(&report), MAYBE_REACHED, "{report:?}");
        assert!(report.desc.contains("500 ms"), "{report:?}");
    }
}

#[tokio::test]
async fn a_length_that_is_not_the_bodys_proves_nothing() {
    let lengths = |lengths: &str| format!("HTTP/1.1 200 OK\r\n{lengths}\r\n{SUCCESS}");
    let right = SUCCESS.len();
    // Too short: what is there is no callback.
    let report = against_bytes(lengths("Content-Length: 10\r\n")).await;
    assert_eq!(report.outcome, Outcome::ProvesNothing, "{report:?}");
    // Too long, or none that can be trusted.
    for headers in [
        format!("Content-Length: {}\r\n", right + 1),
        format!("Content-Length: {right}\r\nContent-Length: 10\r\n"),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 18446744073709551616\r\n".to_owned(),
    ] {
        let report = against_bytes(lengths(&headers)).await;
        assert_eq!(summary(&report), MAYBE_REACHED, "{headers:?}: {report:?}");
    }
    let report = against_bytes(lengths("Content-Length: 18000000000000000000\r\n")).await;
    assert_eq!(report.outcome, Outcome::ProvesNothing, "{report:?}");
    // Neither length nor chunks: the answer ends with its connection.
    let (url, _serving) =
        raw(move |mut stream| async move { stream.write_all(lengths("").as_bytes()).await }).await;
    assert_eq!(bounded(once(options(url))).await.outcome, Outcome::Sent);
}

#[tokio::test]
async fn what_follows_an_answer_is_never_the_answer_to_the_next_attempt() {
    let stray = ok("", SUCCESS.as_bytes());
    let refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec();
    let bytes = [refusal.clone(), stray].concat();
    let (url, _serving) = raw(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            stream.write_all(&bytes).await?;
            read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
    })
    .await;
    let transport = transport(HttpOptions { timeout: SHORT, ..options(url) });
    for _ in 0..5 {
        let report = bounded(transport.attempt(attempt())).await;
        assert_ne!(report.outcome, Outcome::Sent, "an answer to nothing is no proof");
    }
}

#[tokio::test]
async fn chunks_that_are_no_chunks_are_a_lost_answer() {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let size = format!("{:x}", SUCCESS.len());
    for body in [
        "xyz\r\n".to_owned(),
        "-1\r\n".to_owned(),
        "fffffffffffffffff\r\n".to_owned(),
        format!("{size}\r\n{SUCCESS}"),
        format!("{size}\r\n{SUCCESS}\r\n"),
        format!("{size}\r\n{SUCCESS}x"),
        format!("{size};{}\r\n{SUCCESS}\r\n0\r\n\r\n", "e".repeat(1_000_000)),
        format!("{size}\r\n{SUCCESS}\r\n0\r\n{}\r\n", "A: b\r\n".repeat(100_000)),
    ] {
        let report = against_bytes(chunked(&body)).await;
        let shown: String = body.chars().take(40).collect();
        assert_eq!(summary(&report), MAYBE_REACHED, "{shown:?}: {report:?}");
    }
    let (report, _) =
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"e".repeat(6000)).await;
    assert_eq!(summary(&report), MAYBE_REACHED, "{report:?}");
    let whole = chunked(&format!("{size};name=value\r\n{SUCCESS}\r\n0\r\nX: y\r\n\r\n"));
    assert_eq!(against_bytes(whole).await.outcome, Outcome::Sent);
}

#[tokio::test]
async fn redirects_lead_nowhere_but_to_the_same_service_and_have_the_time_of_one_attempt() {
    for location in [
        "file:///etc/passwd",
        "unix:/run/outbox/outbox.sock",
        "data:application/json,{}",
        "ftp://127.0.0.1/send",
        "javascript:0",
        "http://",
        "http://[::1/",
        "http:///send",
        "\u{fffd}//evil",
        "",
        "\\\\evil.example\\send",
        "http://127.0.0.1.evil.example/send",
        "http://127.0.0.1@evil.example/send",
    ] {
        let service = Service::start(move |received: &Received| match received.n {
            1 => Reply::redirect(307, location),
            _ => Reply::Accept,
        })
        .await
        .unwrap();
        let report = once(options(service.url())).await;
        // Some of these are, to a reader of URLs, another way to write the same address.
        let is_here = report.outcome == Outcome::Sent && service.requests().len() == 2;
        let is_refused = summary(&report) == (Outcome::Reject, Class::PermanentRequest, 307);
        assert!(is_here || is_refused, "{location:?}: {report:?}");
        assert!(is_refused || location.is_empty() || !location.contains("evil"), "{location:?}");
    }
    let service = Service::start(|_| {
        Reply::Delayed(Duration::from_millis(200), Box::new(Reply::redirect(307, "/send")))
    })
    .await
    .unwrap();
    let report = bounded(once(HttpOptions { timeout: SHORT, ..options(service.url()) })).await;
    assert_eq!(summary(&report), MAYBE_REACHED, "{report:?}");
    assert!(
        service.requests().len() <= 3,
        "each redirect has what is left of one time, not a time of its own"
    );
}

#[tokio::test]
async fn packed_answers_are_not_asked_for_and_not_unpacked() {
    let packed = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    };
    for coding in ["gzip", "br", "deflate", "zstd", "gzip, gzip"] {
        let headers = format!("Content-Encoding: {coding}\r\n");
        let report = against_bytes(ok(&headers, &packed(SUCCESS.as_bytes()))).await;
        assert_eq!(summary(&report), (Outcome::ProvesNothing, Class::Unknown, 200), "{coding}: {report:?}");
    }
    // A hundred times as long once it is unpacked, which it never is.
    let bomb = packed(&vec![b' '; 64 * 1024 * 1024]);
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    let report = against_bytes(ok("Content-Encoding: gzip\r\n", &bomb)).await;
    assert_eq!(summary(&report), (Outcome::ProvesNothing, Class::Unknown, 200), "{report:?}");
}

#[tokio::test]
async fn an_error_of_ten_megabytes_is_its_status_and_a_few_words() {
    let long = "<p>This service is very sorry.</p>".repeat(10 * 1024 * 1024 / 34);
    for (status, outcome) in [
        (400, Outcome::Reject),
        (403, Outcome::Reject),
        (404, Outcome::Reject),
        (409, Outcome::Reject),
        (302, Outcome::Reject),
        (401, Outcome::GateShut),
        (429, Outcome::Limited),
        (408, Outcome::Retry),
        (500, Outcome::Retry),
        (503, Outcome::Retry),
        (502, Outcome::MaybeReached),
    ] {
        let report = against(Reply::json(status, long.as_str())).await;
        assert_eq!((report.outcome, report.code), (outcome, i64::from(status)), "{status}");
        assert!(report.desc.len() < 300 && !report.desc.contains("sorry"), "{status}: {}", report.desc);
    }
}

/// A server for one connection with this certificate and key; answers whether it was sent a request.
fn tls_with(
    certificate: rcgen::Certificate,
    key: &rcgen::KeyPair,
) -> (String, std::thread::JoinHandle<bool>) {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/send", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, socket);
        matches!(stream.read(&mut [0; 16]), Ok(1..))
    });
    (url, server)
}

#[tokio::test]
async fn a_certificate_with_a_wrong_name_or_time_or_signer_is_no_connection() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (pem, Issuer::new(params, key))
    };
    let (trusted, issuer) = authority("Trusted");
    let (_, stranger) = authority("Stranger");
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, trusted).unwrap();
    let params = |name: &str, from: i32, to: i32| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        params
    };
    let key = KeyPair::generate().unwrap();
    let good = params("localhost", 2020, 2120);
    let rows = [
        ("good", good.clone().signed_by(&key, &issuer), true),
        ("another name", params("im.example.com", 2020, 2120).signed_by(&key, &issuer), false),
        ("a name that ends alike", params("evil-localhost", 2020, 2120).signed_by(&key, &issuer), false),
        ("expired", params("localhost", 2020, 2021).signed_by(&key, &issuer), false),
        ("not valid yet", params("localhost", 2119, 2120).signed_by(&key, &issuer), false),
        ("another signer", good.clone().signed_by(&key, &stranger), false),
        ("signed by itself", good.self_signed(&key), false),
    ];
    for (what, certificate, is_good) in rows {
        let (url, server) = tls_with(certificate.unwrap(), &key);
        let ca_file = Some(ca_file.clone());
        let report = bounded(once(HttpOptions { ca_file, timeout: LONG, ..options(url) })).await;
        let was_asked = server.join().unwrap();
        if is_good {
            assert_eq!((summary(&report), was_asked), (MAYBE_REACHED, true), "{what}: {report:?}");
        } else {
            assert_eq!((summary(&report), was_asked), (NOT_REACHED, false), "{what}: {report:?}");
            assert!(report.desc.contains("certificate"), "{what}: {}", report.desc);
        }
    }
}
