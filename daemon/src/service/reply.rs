//! What the unreliable service does with a request: the replies of its script, and their bytes.
//!
//! Owns:  the closed set of behaviours, good and bad, and how each looks on the wire.
//! Never: chooses one (the script does), keeps the ledger.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

/// What the service does with one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Takes the message and answers with a replacement under a new msgID.
    Accept,
    /// Takes the message and answers with a replacement under the same msgID.
    AcceptSameId,
    /// Takes the message and closes the connection without an answer.
    AcceptThenLose,
    /// Takes the message; the answer breaks off half-way.
    HalfBody,
    /// Reads the request and closes the connection; the message is not taken.
    LoseBeforeAccept,
    /// Answers 200 with a callback of this code around the message, which is not taken.
    Callback {
        /// The result code.
        code: i64,
        /// The service's words.
        desc: String,
    },
    /// Answers with exactly this; the message is not taken.
    Status {
        /// The HTTP status.
        status: u16,
        /// Headers besides `Content-Length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Never answers; the message is not taken.
    Hang,
    /// Answers 200 with a body that never ends; the message is not taken.
    EndlessBody,
    /// Does the other thing after a while.
    Delayed(Duration, Box<Reply>),
    /// Does the other thing once the gate is open.
    WhenOpen(Gate, Box<Reply>),
}

impl Reply {
    /// A bare status without headers and body.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self::Status { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A status with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self::Status { status, headers, body: body.into() }
    }

    /// A status that names another address.
    #[must_use]
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::Status { status, headers: vec![("Location".to_owned(), location.into())], body: Vec::new() }
    }

    /// Waits as the reply says, and returns what is to be done then.
    pub(super) async fn ripen(mut self) -> Self {
        loop {
            self = match self {
                Self::Delayed(delay, then) => {
                    tokio::time::sleep(delay).await;
                    *then
                }
                Self::WhenOpen(gate, then) => {
                    gate.opened().await;
                    *then
                }
                ripe => return ripe,
            };
        }
    }
}

/// Keeps requests waiting until it is opened; all clones are one gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// Makes a gate that is shut.
    #[must_use]
    pub fn shut() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn opened(&self) {
        // Cannot fail: `self` holds a sender for as long as it waits.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::shut()
    }
}

/// Writes a whole answer.
pub(super) async fn write_answer(
    sink: &mut (impl AsyncWrite + Unpin),
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<()> {
    sink.write_all(&head(status, headers, body.len())).await?;
    sink.write_all(body).await?;
    sink.flush().await
}

/// Writes the head and the first half of the body.
pub(super) async fn write_half(sink: &mut (impl AsyncWrite + Unpin), body: &[u8]) -> io::Result<()> {
    let (first, _) = body.split_at(body.len() / 2);
    sink.write_all(&head(200, &[], body.len())).await?;
    sink.write_all(first).await?;
    sink.flush().await
}

/// Writes a body until the client has enough of it.
pub(super) async fn write_endless(sink: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    sink.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10000, b' ');
    chunk.extend_from_slice(b"\r\n");
    loop {
        sink.write_all(&chunk).await?;
    }
}

fn head(status: u16, headers: &[(String, String)], body_bytes: usize) -> Vec<u8> {
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("-");
    let mut text = format!("HTTP/1.1 {status} {reason}\r\nContent-Length: {body_bytes}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}
