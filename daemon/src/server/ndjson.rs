//! Many messages in one request: a submit object a line, an answer a line.
//!
//! Owns:  reading lines within limits, the order of answers.
//! Never: stops reading because nobody reads its answers.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream::{self, FuturesOrdered, StreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use outbox_control::types::{Problem, SubmitAnswer, TooLarge};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Context;
use super::body::BODY_BESIDE_MESSAGE;
use super::problem::{Answer, bad_request};
use super::submit::{accept, to_store};

/// Lines of one request. Their answers wait in memory for a client that reads late: some 40 MB at the most.
const LINES_MAX: u64 = 100_000;

/// Bytes of one request.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Messages of one request that wait for the disk at once: enough to fill the writer's groups.
const WINDOW: usize = 512;

/// Longest silence of a client in the middle of its request.
const SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

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
    let max = context.config.spool.max_message_bytes;
    let line_max = usize::try_from(max).unwrap_or(usize::MAX).saturating_add(BODY_BESIDE_MESSAGE);
    let mut lines = Lines::new(body, line_max);
    let mut pending = FuturesOrdered::new();
    loop {
        let line = tokio::select! {
            biased;
            Some(answer) = pending.next(), if !pending.is_empty() => {
                send(&answers, &answer);
                continue;
            }
            line = lines.next(), if pending.len() < WINDOW => line,
        };
        let Some((number, line)) = line else { break };
        let ends = matches!(&line, Line::End(_));
        let context = Arc::clone(&context);
        pending.push_back(async move { numbered(answer(&context, line).await, number) });
        if ends {
            break;
        }
    }
    while let Some(answer) = pending.next().await {
        send(&answers, &answer);
    }
}

fn send(answers: &mpsc::UnboundedSender<Bytes>, answer: &SubmitAnswer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    // A client that has gone misses its answers; what it sent is accepted all the same.
    let _ = answers.send(line.into());
}

async fn answer(context: &Arc<Context>, line: Line) -> SubmitAnswer {
    let submitted: Answer<_> = match line {
        Line::End(problem) | Line::Bad(problem) => Err((*problem).into()),
        Line::Whole(bytes) => match to_store(context, &bytes) {
            Ok(submit) => accept(context, submit).await,
            Err(problem) => Err(problem.into()),
        },
    };
    match submitted {
        Ok(submitted) => SubmitAnswer::Accepted(submitted),
        Err(refused) => SubmitAnswer::Refused(Box::new(refused.0)),
    }
}

fn numbered(mut answer: SubmitAnswer, number: u64) -> SubmitAnswer {
    match &mut answer {
        SubmitAnswer::Accepted(submitted) => {
            submitted.status = Some(if submitted.duplicate { 200 } else { 201 });
            submitted.line = Some(number);
        }
        SubmitAnswer::Refused(problem) => problem.line = Some(number),
    }
    answer
}

/// One line of the request.
enum Line {
    /// As it came, without its end.
    Whole(Vec<u8>),
    /// It cannot be read; the next one may be fine.
    Bad(Box<Problem>),
    /// It goes beyond a limit of the request, which is read no further.
    End(Box<Problem>),
}

/// Splits a body into lines without keeping more than one of them.
struct Lines {
    body: Body,
    line_max: usize,
    /// Received and not yet split.
    rest: Vec<u8>,
    /// How far `rest` was searched for a line's end.
    searched: usize,
    /// The present line is too long; its bytes are dropped until its end.
    dropping: bool,
    bytes: u64,
    number: u64,
    answered: u64,
    ended: bool,
}

impl Lines {
    fn new(body: Body, line_max: usize) -> Self {
        Self {
            body,
            line_max,
            rest: Vec::new(),
            searched: 0,
            dropping: false,
            bytes: 0,
            number: 0,
            answered: 0,
            ended: false,
        }
    }

    /// The next line that is not blank, with its number from 1. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<(u64, Line)> {
        loop {
            if let Some(line) = self.split() {
                self.number += 1;
                if let Some(line) = self.checked(line) {
                    self.answered += 1;
                    return Some((self.number, line));
                }
                continue;
            }
            if self.ended {
                return None;
            }
            if let Some(problem) = self.receive().await {
                self.ended = true;
                self.number += 1;
                return Some((self.number, Line::End(Box::new(problem))));
            }
        }
    }

    /// Takes a whole line off what was received; at the body's end, what is left is one.
    fn split(&mut self) -> Option<Option<Vec<u8>>> {
        let end = self.rest.get(self.searched..)?.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| end + self.searched) else {
            self.searched = self.rest.len();
            if self.rest.len() > self.line_max {
                self.dropping = true;
                self.rest.clear();
                self.searched = 0;
            }
            if self.ended && (self.dropping || !self.rest.is_empty()) {
                let dropped = std::mem::take(&mut self.dropping);
                self.searched = 0;
                let line = std::mem::take(&mut self.rest);
                return Some((!dropped).then_some(line));
            }
            return None;
        };
        let mut line = self.rest.split_off(end + 1);
        std::mem::swap(&mut line, &mut self.rest);
        self.searched = 0;
        line.pop();
        let too_long = std::mem::take(&mut self.dropping) || line.len() > self.line_max;
        Some((!too_long).then_some(line))
    }

    /// `None` for a blank line.
    fn checked(&mut self, line: Option<Vec<u8>>) -> Option<Line> {
        let Some(line) = line else {
            let detail = format!("the line has more than {} bytes", self.line_max);
            return Some(Line::Bad(Box::new(Problem::too_large(TooLarge::Body, detail))));
        };
        if line.trim_ascii().is_empty() {
            return None;
        }
        if self.answered >= LINES_MAX {
            self.ended = true;
            self.rest.clear();
            let detail =
                format!("a request may have {LINES_MAX} lines; this one and those after it were not read");
            return Some(Line::End(Box::new(Problem::too_large(TooLarge::Body, detail))));
        }
        Some(Line::Whole(line))
    }

    /// Receives more; a problem ends the reading.
    async fn receive(&mut self) -> Option<Problem> {
        match timeout(SILENCE_MAX, self.body.frame()).await {
            Err(_) => Some(bad_request(format!(
                "nothing was sent for {} s; lines before this one are accepted",
                SILENCE_MAX.as_secs()
            ))),
            Ok(None) => {
                self.ended = true;
                None
            }
            Ok(Some(Err(error))) => {
                Some(bad_request(format!("the body broke off: {error}; lines before this one are accepted")))
            }
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                self.bytes += data.len() as u64;
                if self.bytes > BYTES_MAX {
                    let detail = format!(
                        "a request may have {BYTES_MAX} bytes; this line and those after it were not read"
                    );
                    return Some(Problem::too_large(TooLarge::Body, detail));
                }
                if !self.dropping || data.contains(&b'\n') {
                    self.rest.extend_from_slice(&data);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn split(pieces: &'static [&'static str], line_max: usize) -> Vec<(u64, Option<String>)> {
        let pieces =
            stream::iter(pieces.iter().map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(*piece))));
        let mut lines = Lines::new(Body::from_stream(pieces), line_max);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().await {
            found.push((
                number,
                match line {
                    Line::Whole(bytes) => Some(String::from_utf8(bytes).unwrap()),
                    Line::Bad(_) | Line::End(_) => None,
                },
            ));
        }
        found
    }

    #[tokio::test]
    async fn lines_are_numbered_as_they_stand_and_blank_ones_are_skipped() {
        let found = split(&["a\n\n  \r\nb", "c\n", "d"], 100).await;
        let expected = [(1, Some("a".into())), (4, Some("bc".into())), (5, Some("d".into()))];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_spoils_only_itself() {
        let found = split(&["ok\n", "toolong", "toolong\nfine\n", "toolongagain"], 6).await;
        let expected = [(1, Some("ok".into())), (2, None), (3, Some("fine".into())), (4, None)];
        assert_eq!(found, expected);
    }
}
