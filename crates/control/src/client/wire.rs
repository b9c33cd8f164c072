//! HTTP/1.1 over a Unix stream socket: one connection for one call.
//!
//! Owns:  connecting, sending, reading within limits.
//! Never: knows what a call means.

use std::path::Path;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::{ClientError, SubmitManyError};
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWER_LINE_BYTES_MAX, ANSWER_WAIT, CONNECT_WAIT, EXCERPT_BYTES_MAX, LINE_WAIT,
    REQUEST_BYTES_MAX, REQUEST_LINES_MAX,
};
use crate::paths::check_socket_path;
use crate::types::{Problem, SubmitAnswer};

const JSON: &str = "application/json";
const JSON_LINES: &str = "application/x-ndjson";

/// One request, and the limits on its answer.
pub(super) struct Call {
    method: Method,
    target: String,
    content_type: &'static str,
    body: Bytes,
    wait: Duration,
    answer_bytes_max: usize,
}

impl Call {
    pub(super) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            content_type: JSON,
            body: Bytes::new(),
            wait: ANSWER_WAIT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }

    pub(super) fn with_body(self, body: Vec<u8>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(super) fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    pub(super) fn with_answer_bytes_max(self, answer_bytes_max: usize) -> Self {
        Self { answer_bytes_max, ..self }
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    fn into_request(self) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder().method(self.method).uri(self.target).header(HOST, "outbox");
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, self.content_type);
        }
        request.body(Full::new(self.body)).map_err(|error| ClientError::Request { reason: error.to_string() })
    }
}

/// A whole answer, read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) what: String,
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Turns every status but success into the error that the body describes.
    pub(super) fn into_success(self) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => {
                let reason =
                    format!("status {} with the body `{}`", self.status.as_u16(), excerpt(&self.body));
                Err(ClientError::Protocol { what: self.what, reason })
            }
        }
    }

    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ClientError::Protocol { what: self.what.clone(), reason: error.to_string() })
    }
}

/// Opens the socket.
pub(super) async fn connect(socket: &Path) -> Result<UnixStream, ClientError> {
    check_socket_path(socket)?;
    let what = || format!("connecting to {}", socket.display());
    match timeout(CONNECT_WAIT, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(ClientError::from_connect(socket, error)),
        Err(_) => Err(ClientError::Timeout { what: what(), after: CONNECT_WAIT }),
    }
}

/// Sends a call and reads its whole answer within the call's wait.
pub(super) async fn send(socket: &Path, call: Call) -> Result<Answer, ClientError> {
    let (what, wait, bytes_max) = (call.name(), call.wait, call.answer_bytes_max);
    let exchange = async {
        let mut connection = Connection::open(socket, &what).await?;
        let (head, mut body) = connection.request(call, &what).await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(part) = next_part(&mut body, &what).await? {
            if bytes.len() + part.len() > bytes_max {
                let reason = format!("it is longer than {bytes_max} bytes; ask for less at once");
                return Err(ClientError::Protocol { what: what.clone(), reason });
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Answer { what: what.clone(), status: head.status, body: bytes })
    };
    match timeout(wait, exchange).await {
        Ok(result) => result,
        Err(_) => Err(ClientError::Timeout { what, after: wait }),
    }
}

/// Sends lines as one request after the other, and gathers the answers.
pub(super) async fn submit_lines(
    socket: &Path,
    lines: &[Vec<u8>],
) -> Result<Vec<SubmitAnswer>, SubmitManyError> {
    let mut answered = Vec::with_capacity(lines.len());
    let mut rest = lines;
    let mut lines_before: u64 = 0;
    while !rest.is_empty() {
        let (group, body) = take_group(&mut rest);
        let expected = answered.len() + group.iter().filter(|line| !is_blank(line)).count();
        if let Err(source) = submit_group(socket, body, lines_before, &mut answered).await {
            return Err(SubmitManyError { answered, source });
        }
        if answered.len() != expected {
            let reason = format!("it has {} lines, expected {expected}", answered.len());
            let source = ClientError::Protocol { what: "POST /v1/messages".to_owned(), reason };
            return Err(SubmitManyError { answered, source });
        }
        lines_before += group.len() as u64;
    }
    Ok(answered)
}

/// Takes the lines of one request off the front, and joins them. A single line may exceed the limit of bytes.
fn take_group<'a>(rest: &mut &'a [Vec<u8>]) -> (&'a [Vec<u8>], Vec<u8>) {
    let mut body = Vec::new();
    let mut count = 0;
    for line in rest.iter().take(REQUEST_LINES_MAX) {
        if count > 0 && body.len() + line.len() > REQUEST_BYTES_MAX {
            break;
        }
        // JSON has line breaks only between its tokens, where a space does as well.
        body.extend(line.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        body.push(b'\n');
        count += 1;
    }
    let (group, behind) = rest.split_at(count);
    *rest = behind;
    (group, body)
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// One request of lines. The connection's own task writes while this reads, so that neither side waits for the
/// other with full buffers.
async fn submit_group(
    socket: &Path,
    body: Vec<u8>,
    lines_before: u64,
    answered: &mut Vec<SubmitAnswer>,
) -> Result<(), ClientError> {
    let mut call = Call::new(Method::POST, "/v1/messages").with_body(body);
    call.content_type = JSON_LINES;
    let what = call.name();
    let late = |_| ClientError::Timeout { what: what.clone(), after: LINE_WAIT };
    let mut connection = Connection::open(socket, &what).await?;
    let response = timeout(LINE_WAIT, connection.request(call, &what)).await.map_err(late)??;
    let (status, mut body) = (response.status(), response.into_body());
    let mut pending = Vec::new();
    while let Some(part) = timeout(LINE_WAIT, next_part(&mut body, &what)).await.map_err(late)?? {
        pending.extend_from_slice(&part);
        if status == StatusCode::OK {
            take_answers(&mut pending, lines_before, &what, answered)?;
        }
        if pending.len() > ANSWER_LINE_BYTES_MAX {
            let reason = format!("a line is longer than {ANSWER_LINE_BYTES_MAX} bytes");
            return Err(ClientError::Protocol { what, reason });
        }
    }
    if status != StatusCode::OK {
        let answer = Answer { what: what.clone(), status, body: pending };
        let reason = format!("status {} instead of 200", status.as_u16());
        return Err(answer.into_success().err().unwrap_or(ClientError::Protocol { what, reason }));
    }
    // The last line may lack its line break.
    pending.push(b'\n');
    take_answers(&mut pending, lines_before, &what, answered)
}

/// Takes the complete lines off the front of `pending`.
fn take_answers(
    pending: &mut Vec<u8>,
    lines_before: u64,
    what: &str,
    answered: &mut Vec<SubmitAnswer>,
) -> Result<(), ClientError> {
    let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
    let behind = pending.split_off(end + 1);
    let complete = std::mem::replace(pending, behind);
    for line in complete.split(|byte| *byte == b'\n').filter(|line| !is_blank(line)) {
        let mut answer: SubmitAnswer = serde_json::from_slice(line)
            .map_err(|error| ClientError::Protocol { what: what.to_owned(), reason: error.to_string() })?;
        let number = match &mut answer {
            SubmitAnswer::Accepted(submitted) => &mut submitted.line,
            SubmitAnswer::Refused(problem) => &mut problem.line,
        };
        *number = number.map(|number| number + lines_before);
        answered.push(answer);
    }
    Ok(())
}

/// A connection with the task that drives it; the task ends with this value.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    pub(super) async fn open(socket: &Path, what: &str) -> Result<Self, ClientError> {
        let stream = connect(socket).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(what, error))?;
        // Its error also ends the request or the body, which report it.
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    pub(super) async fn request(
        &mut self,
        call: Call,
        what: &str,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = call.into_request()?;
        self.sender.send_request(request).await.map_err(|error| broken(what, error))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

pub(super) async fn next_part(body: &mut Incoming, what: &str) -> Result<Option<Bytes>, ClientError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(broken(what, error)),
            // Trailers carry nothing for us.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(part) => return Ok(Some(part)),
                Err(_trailers) => {}
            },
        }
    }
}

fn broken(what: &str, source: hyper::Error) -> ClientError {
    ClientError::Broken { what: what.to_owned(), source }
}

fn excerpt(body: &[u8]) -> String {
    let start = body.get(..EXCERPT_BYTES_MAX).unwrap_or(body);
    String::from_utf8_lossy(start).into_owned()
}
