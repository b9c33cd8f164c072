//! Reads HTTP/1.1 requests for the unreliable service.
//!
//! Owns:  the small request parser, its limits, and what a request says about the message in it.
//! Never: answers, keeps anything after the request is handed over.

use std::io;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

/// Bytes of a request's head: what common servers allow.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a request's body: the largest message that a spool may be set to take, with room to spare.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One request as the service read it.
#[derive(Clone, Debug)]
pub struct Received {
    /// The how-manieth request since the start, from 1.
    pub n: u64,
    /// When its last byte was read.
    pub at: Instant,
    /// The how-manieth connection it came over, from 1.
    pub connection: u64,
    /// The method, for example `POST`.
    pub method: String,
    /// The path and query.
    pub target: String,
    /// The headers in their order; names as they were written.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// The body's `msgID`; empty if the body is not a send request.
    pub msg_id: String,
    /// The body's `conversation`; empty if the body is not a send request.
    pub conversation: String,
    /// `Idempotency-Key`, or empty.
    pub token: String,
    /// `Outbox-Attempt`, or 0.
    pub attempt: u32,
}

/// The fields of a send request that the service looks at.
#[derive(Deserialize)]
struct SendRequest<'a> {
    #[serde(rename = "msgID")]
    msg_id: String,
    #[serde(default)]
    conversation: String,
    #[serde(borrow)]
    message: &'a RawValue,
}

impl Received {
    /// The first header of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The message in the body, byte for byte; `None` if the body is not a send request.
    #[must_use]
    pub fn message(&self) -> Option<&RawValue> {
        serde_json::from_slice::<SendRequest<'_>>(&self.body).ok().map(|request| request.message)
    }
}

/// Reads one request after the other from a connection.
pub(super) struct Reader<R> {
    source: R,
    connection: u64,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(source: R, connection: u64) -> Self {
        Self { source, connection, buffer: Vec::new() }
    }

    /// Reads the next request; `None` where the client closed between two requests. The caller numbers it.
    ///
    /// # Errors
    ///
    /// Fails where the connection breaks off inside a request, and for what this service does not read:
    /// chunked bodies and requests beyond the limits.
    pub(super) async fn next(&mut self) -> io::Result<Option<Received>> {
        let head_bytes = loop {
            if let Some(end) = head_end(&self.buffer) {
                break end;
            }
            if self.buffer.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
                // Above all a TLS greeting, which would wait for its answer without ever ending a line.
                return Err(invalid("this is not HTTP"));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(invalid("the head of the request is too long"));
            }
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(broken()) };
            }
        };
        let head = self.take(head_bytes);
        let (method, target, headers) = parse_head(&head)?;
        let body_bytes = body_length(&headers)?;
        while self.buffer.len() < body_bytes {
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return Err(broken());
            }
        }
        let body = self.take(body_bytes);
        Ok(Some(self.received(method, target, headers, body)))
    }

    /// Returns once the client has closed the connection; what it still sends is thrown away.
    pub(super) async fn until_closed(&mut self) {
        loop {
            self.buffer.clear();
            if !matches!(self.source.read_buf(&mut self.buffer).await, Ok(count) if count > 0) {
                return;
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
    }

    fn received(
        &self,
        method: String,
        target: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Received {
        let (msg_id, conversation) = match serde_json::from_slice::<SendRequest<'_>>(&body) {
            Ok(request) => (request.msg_id, request.conversation),
            Err(_) => (String::new(), String::new()),
        };
        let token = header(&headers, "Idempotency-Key").unwrap_or_default().to_owned();
        let attempt = header(&headers, "Outbox-Attempt").and_then(|text| text.parse().ok()).unwrap_or(0);
        Received {
            n: 0,
            at: Instant::now(),
            connection: self.connection,
            method,
            target,
            headers,
            body,
            msg_id,
            conversation,
            token,
            attempt,
        }
    }
}

/// Where the head ends, with its blank line.
fn head_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|window| window == b"\r\n\r\n").map(|start| start + 4)
}

type Head = (String, String, Vec<(String, String)>);

fn parse_head(head: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| invalid("the head is not text"))?;
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid("the request line is not HTTP/1.1"));
    };
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header line has no colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok((method.to_owned(), target.to_owned(), headers))
}

fn body_length(headers: &[(String, String)]) -> io::Result<usize> {
    if header(headers, "Transfer-Encoding").is_some() {
        return Err(invalid("chunked bodies are not read here: send Content-Length"));
    }
    let Some(text) = header(headers, "Content-Length") else { return Ok(0) };
    let length: usize = text.parse().map_err(|_| invalid("Content-Length is not a number"))?;
    if length > BODY_BYTES_MAX { Err(invalid("the body is too long")) } else { Ok(length) }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection broke off inside a request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_requests_in_one_packet_are_read_one_after_the_other() {
        let bytes = b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST /b?x=1 HTTP/1.1\r\n\r\n";
        let mut reader = Reader::new(&bytes[..], 7);
        let first = reader.next().await.unwrap().unwrap();
        assert_eq!((first.target.as_str(), first.body.as_slice(), first.connection), ("/a", &b"{}"[..], 7));
        let second = reader.next().await.unwrap().unwrap();
        assert_eq!((second.target.as_str(), second.body.len()), ("/b?x=1", 0));
        assert!(reader.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_request_that_breaks_off_is_an_error() {
        for bytes in [&b"POST / HT"[..], b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"] {
            let error = Reader::new(bytes, 1).next().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn what_the_reader_does_not_understand_is_refused_by_name() {
        let endless_head = format!("POST / HTTP/1.1\r\nX: {}", "y".repeat(2 * HEAD_BYTES_MAX));
        for (bytes, word) in [
            ("\u{16}\u{3}\u{1}", "not HTTP"),
            ("GET /\r\n\r\n", "request line"),
            ("POST / HTTP/1.1\r\nno colon\r\n\r\n", "colon"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked"),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "too long"),
            (endless_head.as_str(), "too long"),
        ] {
            let error = Reader::new(bytes.as_bytes(), 1).next().await.unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
