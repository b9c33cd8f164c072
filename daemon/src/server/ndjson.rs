//! Many messages in one request: a submit object a line, an answer a line.
//!
//! Owns:  the order in which lines are accepted and answered.
//! Never: stops reading because nobody reads its answers.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesOrdered, StreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use outbox::PreparedSubmit;
use outbox_control::types::{SubmitAnswer, Submitted};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, mpsc};

use super::Context;
use super::body::long_max;
use super::lines::{Line, Lines};
use super::problem::{Answer, Refused, shutting_down};
use super::submit::{prepare, read_submit, store};

/// Messages of one request that wait for the disk at once: enough to fill the writer's groups.
const WINDOW: usize = 512;

/// Lines of one request that are prepared at once: large ones each write a file on a thread of their own.
const PREPARING_MAX: usize = 16;

/// Answers a request of many lines while it is being read.
pub(super) fn submit_lines(context: Arc<Context>, body: Body) -> Response {
    // Unbounded, for the client may send everything before it reads anything; bounded by LINES_MAX.
    let (answers, lines) = mpsc::unbounded_channel();
    tokio::spawn(run(context, body, answers));
    let lines = stream::unfold(lines, |mut lines: mpsc::UnboundedReceiver<Bytes>| async move {
        let first = lines.recv().await?;
        // What has gathered goes out in one piece.
        let mut piece = first.to_vec();
        while let Ok(more) = lines.try_recv() {
            piece.extend_from_slice(&more);
        }
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(piece)), lines))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

async fn run(context: Arc<Context>, body: Body, answers: mpsc::UnboundedSender<Bytes>) {
    let mut lines = Lines::new(body, long_max(&context.outbox), context.share());
    let mut work = Work { context, preparing: FuturesOrdered::new(), storing: FuturesOrdered::new() };
    let mut seat = None;
    loop {
        let has_room = work.has_room();
        let seats = Arc::clone(&work.context.submits);
        tokio::select! {
            biased;
            answer = work.next(), if !work.is_done() => {
                if let Some(answer) = answer {
                    send(&answers, &answer);
                }
            }
            // A seat before a line: lines get theirs in order, and no line that waits for one keeps those
            // before it from giving theirs back.
            taken = seats.acquire_owned(), if has_room && seat.is_none() => seat = Some(taken),
            line = lines.next(), if has_room && seat.is_some() => {
                let (Some((number, line)), Some(seat)) = (line, seat.take()) else { break };
                work.begin(number, line, seat);
            }
        }
    }
    let finish = async {
        while !work.is_done() {
            if let Some(answer) = work.next().await {
                send(&answers, &answer);
            }
        }
    };
    // The answer ends after the request: until then somebody reads what the client still sends.
    tokio::join!(finish, lines.discard_rest());
}

/// The right to have a submit wait for the writer.
type Seat = Result<OwnedSemaphorePermit, AcquireError>;

/// A line that is checked, and its file, if it needs one, written.
struct Ready {
    number: u64,
    prepared: Answer<(OwnedSemaphorePermit, PreparedSubmit)>,
}

/// The lines under way, in order: first all are prepared, some faster than others, then they are queued for
/// the store one after the other, and answered so.
struct Work {
    context: Arc<Context>,
    preparing: FuturesOrdered<BoxFuture<'static, Ready>>,
    storing: FuturesOrdered<BoxFuture<'static, SubmitAnswer>>,
}

impl Work {
    fn has_room(&self) -> bool {
        self.preparing.len() < PREPARING_MAX && self.preparing.len() + self.storing.len() < WINDOW
    }

    fn is_done(&self) -> bool {
        self.preparing.is_empty() && self.storing.is_empty()
    }

    fn begin(&mut self, number: u64, line: Line, seat: Seat) {
        let context = Arc::clone(&self.context);
        self.preparing.push_back(Box::pin(async move {
            Ready { number, prepared: prepare_line(&context, line, seat).await }
        }));
    }

    /// Goes on with the work: the next answer, or `None` where a line has only got further. Dropping the
    /// future loses nothing.
    async fn next(&mut self) -> Option<SubmitAnswer> {
        tokio::select! {
            biased;
            Some(answer) = self.storing.next(), if !self.storing.is_empty() => Some(answer),
            Some(ready) = self.preparing.next(), if !self.preparing.is_empty() => {
                self.store(ready);
                None
            }
            else => None,
        }
    }

    fn store(&mut self, Ready { number, prepared }: Ready) {
        let stored = prepared.map(|(seat, prepared)| (seat, store(&self.context, prepared)));
        self.storing.push_back(Box::pin(async move {
            let submitted = match stored {
                Ok((_seat, submitted)) => submitted.await,
                Err(refused) => Err(refused),
            };
            numbered(submitted, number)
        }));
    }
}

async fn prepare_line(
    context: &Context,
    line: Line,
    seat: Seat,
) -> Answer<(OwnedSemaphorePermit, PreparedSubmit)> {
    let seat = seat.map_err(|_| shutting_down())?;
    match line {
        Line::End(problem) | Line::Bad(problem) => Err((*problem).into()),
        Line::Whole(bytes) => Ok((seat, prepare(context, read_submit(context, &bytes)?).await?)),
    }
}

fn send(answers: &mpsc::UnboundedSender<Bytes>, answer: &SubmitAnswer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    // A client that has gone misses its answers; what it sent is accepted all the same.
    let _ = answers.send(line.into());
}

fn numbered(submitted: Answer<Submitted>, number: u64) -> SubmitAnswer {
    match submitted {
        Ok(mut submitted) => {
            submitted.status = Some(if submitted.duplicate { 200 } else { 201 });
            submitted.line = Some(number);
            SubmitAnswer::Accepted(submitted)
        }
        Err(Refused(mut problem)) => {
            problem.line = Some(number);
            SubmitAnswer::Refused(Box::new(problem))
        }
    }
}
