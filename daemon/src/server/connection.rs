//! One connection: its requests in turn, and a clear answer where it cannot go on.
//!
//! Owns:  time and size of a request's head, which leases were not heard, the end of a connection.
//! Never: knows what a call does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use outbox_control::types::{PROBLEM_MEDIA_TYPE, Problem, TooLarge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tower::ServiceExt;

use super::peer::{Line, Peer};
use super::problem::{bad_request, too_many_connections};
use super::stream::Watched;
use super::{Context, HEADERS_BYTES_MAX, HEADERS_MAX, HEADERS_TIMEOUT, READ_AHEAD_BYTES};

/// Time for each step of a refusal: a client that is alive reads and closes within milliseconds.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for a client with a stream of events to read its end, once a stop is announced.
const STREAM_END_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: UnixStream,
    router: Router,
    context: &Arc<Context>,
    mut stop: watch::Receiver<bool>,
) {
    let role = match stream.peer_cred() {
        Ok(peer) => context.in_force().access.role_of(peer.uid(), peer.gid()).await,
        Err(error) => {
            tracing::warn!(%error, "The peer's credentials are not known.");
            None
        }
    };
    let line = match Line::of(&stream) {
        Ok(line) => line,
        // Out of descriptors: what was asked would find none either.
        Err(error) => return tracing::warn!(%error, "A connection could not be taken up."),
    };
    let peer = Peer::new(role, &line);
    let service = {
        let peer = peer.clone();
        hyper::service::service_fn(move |request| answer(router.clone(), peer.clone(), request))
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(READ_AHEAD_BYTES)
        .max_headers(HEADERS_MAX)
        // A client that has sent everything may say so by closing its half; it still wants its answer.
        .half_close(true)
        .serve_connection(TokioIo::new(Watched::new(stream, peer.clone())), service);
    let mut cut_at = None;
    let ended = loop {
        tokio::select! {
            ended = &mut connection => break ended,
            _ = stop.wait_for(|stop| *stop), if cut_at.is_none() => {
                cut_at = Some(Instant::now() + STREAM_END_TIMEOUT);
                Pin::new(&mut connection).graceful_shutdown();
            }
            // It does not read the end of its stream; whatever it has not read, it can ask for again.
            () = sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() && peer.has_stream() => {
                return;
            }
        }
    };
    // Only those whose answer was not written in full: whatever else ended the connection, the client has
    // the others.
    let unheard = peer.take_unheard_leases();
    if !unheard.is_empty() {
        context.engine.send(crate::engine::Command::TakeBack(unheard)).await;
    }
    drop(line);
    let parts = connection.into_parts();
    let (stream, kept_back) = parts.io.into_inner().into_parts();
    let Err(error) = ended else {
        return let_finish(stream, peer.has_more_to_send() && cut_at.is_none()).await;
    };
    tracing::debug!(%error, "A connection broke off.");
    if let Some(problem) = refusal(&error, kept_back, &peer, !parts.read_buf.is_empty()) {
        refuse(stream, &problem).await;
    }
}

/// Passes a request on. What comes back tells the peer when the HTTP layer has all of it.
fn answer(
    router: Router,
    peer: Peer,
    request: hyper::Request<Incoming>,
) -> impl Future<Output = Result<Response<Watch>, std::convert::Infallible>> {
    peer.begin_answer();
    let mut request: Request =
        request.map(|body| Body::new(Asked { body, is_read: false, peer: peer.clone() }));
    request.extensions_mut().insert(peer.clone());
    async move {
        let mut response = router.oneshot(request).await?;
        if peer.has_more_to_send() {
            // What the client sends next would be taken for the rest of this body.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Watch { body, peer }))
    }
}

/// The body of a request; dropping it tells the peer whether all of it was read.
struct Asked {
    body: Incoming,
    is_read: bool,
    peer: Peer,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.peer.note_body(self.is_read || self.body.is_end_stream());
    }
}

impl hyper::body::Body for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.is_read |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer; dropping it says that all of it was made.
struct Watch {
    body: Body,
    peer: Peer,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.peer.answer_made();
    }
}

impl hyper::body::Body for Watch {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What to say to a request that never reached a call; `None` where none was begun, or its answer was.
fn refusal(error: &hyper::Error, kept_back: Option<u16>, peer: &Peer, has_begun: bool) -> Option<Problem> {
    if peer.is_being_answered() {
        return None;
    }
    if let Some(414 | 431) = kept_back {
        let detail = format!(
            "the request's first line and headers have more than {READ_AHEAD_BYTES} bytes or {HEADERS_MAX} headers, or its \
             Content-Length is no number of bytes that there could be"
        );
        return Some(Problem::too_large(TooLarge::Headers, detail));
    }
    if error.is_timeout() {
        let detail = format!("the headers were not complete within {} s", HEADERS_TIMEOUT.as_secs());
        // A client that rests between two requests asked for nothing.
        return (has_begun || !peer.was_answered()).then(|| bad_request(detail));
    }
    if error.is_incomplete_message() {
        return Some(bad_request("the request broke off in its headers"));
    }
    let detail = "the request's first line or a header is not HTTP/1.1";
    (kept_back.is_some() || error.is_parse()).then(|| bad_request(detail))
}

/// Tells one more client than there may be, instead of silence.
pub(super) async fn refuse_busy(mut stream: UnixStream, connections_max: usize) {
    // A client that is answered before it has asked may take the answer for rubbish.
    let _ = timeout(REFUSAL_TIMEOUT, read_head(&mut stream)).await;
    refuse(stream, &too_many_connections(connections_max)).await;
}

/// Reads until a head is complete, or longer than heads may be, or nothing more comes.
async fn read_head(stream: &mut UnixStream) {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = Vec::with_capacity(HEADERS_BYTES_MAX);
    while head.len() < HEADERS_BYTES_MAX {
        let searched = head.len().saturating_sub(END.len() - 1);
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
        if head.get(searched..).is_some_and(|new| new.windows(END.len()).any(|four| four == END)) {
            return;
        }
    }
}

/// Writes a problem by hand and closes the connection.
async fn refuse(mut stream: UnixStream, problem: &Problem) {
    let body = serde_json::to_string(problem).unwrap_or_default();
    let retry_after =
        problem.retry_after_seconds().map(|wait| format!("retry-after: {wait}\r\n")).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {}\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\n{retry_after}connection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        problem.status_code(),
        body.len()
    );
    let written = timeout(REFUSAL_TIMEOUT, stream.write_all(answer.as_bytes())).await;
    if matches!(written, Ok(Ok(()))) && stream.shutdown().await.is_ok() {
        drain(stream).await;
    }
}

/// A client that is still sending what nobody wants, or is about to, may finish, so that it comes to read its answer.
async fn let_finish(stream: UnixStream, has_more_to_send: bool) {
    if has_more_to_send || matches!(stream.try_read(&mut [0; 1024]), Ok(1..)) {
        drain(stream).await;
    }
}

/// Reads on until the client closes: closing first would break its writing, and it might miss the answer.
async fn drain(mut stream: UnixStream) {
    let mut unwanted = vec![0; 16 * 1024];
    let to_the_end = async { while matches!(stream.read(&mut unwanted).await, Ok(1..)) {} };
    let _ = timeout(REFUSAL_TIMEOUT, to_the_end).await;
}
