//! The control socket as bytes: requests written by hand, answers read by hand.
//!
//! Owns:  a small HTTP/1.1 client that hides nothing.
//! Never: uses the typed client, whose mistakes it is here to find.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::harness::{Daemon, SOON};

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The values of a body of many lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Checks that this is a well-made problem of that status and code; returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["status"], status, "{body}");
        for field in ["type", "title", "detail", "hint"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {body}");
        }
        if matches!(status, 429 | 503 | 507) {
            assert!(body["retryAfterMs"].is_u64() && !self.header("retry-after").is_empty(), "{self:?}");
        }
        body
    }
}

impl Daemon {
    /// A request without a body.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"").await
    }

    /// A request with a JSON body.
    pub(crate) async fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", target, &[("Content-Type", "application/json")], body.as_ref()).await
    }

    /// A request of many lines.
    pub(crate) async fn post_lines(&self, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", "/v1/messages", &[("Content-Type", "application/x-ndjson")], body.as_ref()).await
    }

    /// Any request with a known length. `Host` is `localhost` unless the headers have one.
    pub(crate) async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n").into_bytes();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request.extend_from_slice(b"Host: localhost\r\n");
        }
        for (name, value) in headers {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        self.bytes(&request).await
    }

    /// Writes bytes and reads the answer to its end.
    pub(crate) async fn bytes(&self, request: &[u8]) -> Answer {
        let mut stream = connect(&self.place.socket).await;
        // A server may answer before it has read all, and close.
        let _ = stream.write_all(request).await;
        read_answer(&mut stream).await
    }
}

pub(crate) async fn connect(socket: &Path) -> UnixStream {
    UnixStream::connect(socket).await.expect("the control socket")
}

/// Reads an answer up to the end of the connection.
pub(crate) async fn read_answer(stream: &mut UnixStream) -> Answer {
    let mut bytes = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("an answer, not silence");
    if let Err(error) = read {
        // What came before the connection was reset still counts.
        assert!(!bytes.is_empty(), "no answer: {error}");
    }
    parse(&bytes)
}

/// Takes apart all answers of one connection.
pub(crate) fn parse_all(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let (mut answer, rest) = parse_head(bytes);
        let length = match answer.header("content-length") {
            _ if matches!(answer.status, 100..=199 | 204 | 304) => 0,
            "" if answer.header("transfer-encoding") == "chunked" => chunked_length(rest),
            "" => rest.len(),
            length => length.parse::<usize>().expect("a length"),
        };
        // The answer to a HEAD has a length and no body.
        let (body, rest) = rest.split_at_checked(length).unwrap_or((b"", rest));
        answer.body = body.to_vec();
        if answer.header("transfer-encoding") == "chunked" {
            answer.body = unchunk(body);
        }
        answers.push(answer);
        bytes = rest;
    }
    answers
}

fn parse(bytes: &[u8]) -> Answer {
    let (mut answer, body) = parse_head(bytes);
    answer.body = body.to_vec();
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = unchunk(body);
    }
    answer
}

/// An answer without its body, and what follows its head.
fn parse_head(bytes: &[u8]) -> (Answer, &[u8]) {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).expect("the head is text");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    assert!(status_line.starts_with("HTTP/1.1 ") || status_line.starts_with("HTTP/1.0 "), "{status_line}");
    let status = status_line[9..12].parse().expect(status_line);
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
        .map(|header| header.expect("a colon"))
        .collect();
    (Answer { status, headers, body: Vec::new() }, &bytes[end + 4..])
}

/// Bytes up to the end of the last chunk.
fn chunked_length(bytes: &[u8]) -> usize {
    const LAST: &[u8] = b"0\r\n\r\n";
    let starts = |at: &usize| bytes[*at..].starts_with(LAST) && (*at == 0 || bytes[..*at].ends_with(b"\r\n"));
    (0..bytes.len()).find(starts).map_or(bytes.len(), |at| at + LAST.len())
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("the size of a chunk");
        let size = std::str::from_utf8(&rest[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return body;
        }
        let start = end + 2;
        body.extend_from_slice(&rest[start..start + size]);
        rest = &rest[start + size + 2..];
    }
}
