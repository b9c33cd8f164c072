//! A lean HTTP client over a Unix socket: one connection that is kept, for the daemon and for the baseline alike.
//!
//! Owns:  the connection, and counting accepted lines.
//! Never: parses an answer: the measured side's work is what counts.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Lines of one request of many messages.
pub(crate) const LINES_MAX: u64 = 2_000;

/// What stands in the answer for each accepted line.
const ACCEPTED: &[u8] = br#""status":201"#;

/// A kept connection.
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn open(socket: &Path) -> Result<Self> {
        let connecting = || format!("connecting to {}", socket.display());
        let stream = UnixStream::connect(socket).await.with_context(connecting)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(connecting)?;
        // Its error also ends the request, which reports it.
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes)> {
        let calling = || format!("calling {path}");
        let request = Request::builder().method(method).uri(path).header(HOST, "outbox");
        let request = request.header(CONTENT_TYPE, kind).body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await.with_context(calling)?;
        let (head, body) = self.sender.send_request(request).await.with_context(calling)?.into_parts();
        let body = body.collect().await.with_context(calling)?.to_bytes();
        Ok((head.status, body))
    }

    /// Gets something, which must be there.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        let (status, body) = self.call(Method::GET, path, "application/json", Vec::new()).await?;
        ensure!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// Submits one message.
    pub(crate) async fn submit(&mut self, object: Vec<u8>) -> Result<()> {
        let (status, body) = self.call(Method::POST, "/v1/messages", "application/json", object).await?;
        ensure!(
            status == StatusCode::CREATED,
            "a submit was answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }

    /// Submits a line for each message; all must be accepted.
    pub(crate) async fn submit_lines(&mut self, lines: Vec<u8>, count: u64) -> Result<()> {
        let (status, body) = self.call(Method::POST, "/v1/messages", "application/x-ndjson", lines).await?;
        let accepted = occurrences(&body, ACCEPTED);
        ensure!(
            status == StatusCode::OK && accepted == count,
            "{accepted} of {count} lines were accepted ({status}): {}",
            String::from_utf8_lossy(body.get(body.len().saturating_sub(300)..).unwrap_or_default())
        );
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn occurrences(text: &[u8], word: &[u8]) -> u64 {
    text.windows(word.len()).filter(|window| *window == word).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_lines_are_counted() {
        let answer = br#"{"status":201,"line":1}
            {"status":409,"line":2}
            {"status":201,"line":3}"#;
        assert_eq!(occurrences(answer, ACCEPTED), 2);
        assert_eq!(occurrences(b"", ACCEPTED), 0);
    }
}
