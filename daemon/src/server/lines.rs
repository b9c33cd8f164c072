//! The lines of a request that has many of them.
//!
//! Owns:  splitting a body, and the limits of a line and of the request.
//! Never: looks into a line, keeps more than one.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use outbox_control::types::{Problem, TooLarge};
use tokio::time::timeout;

use super::problem::bad_request;
use super::room::{Share, no_room};

/// Lines of one request. Their answers wait in memory for a client that reads late: some 40 MB at the most.
const LINES_MAX: u64 = 100_000;

/// Bytes of one request.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes that are read and dropped after a limit of the request: a client with more to say has lost its
/// way, and its connection ends.
const DISCARDED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Time for reading what is dropped: three megabytes a second are slow for a local socket.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(300);

/// Longest silence of a client in the middle of its request.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// One line of the request.
pub(super) enum Line {
    /// As it came, without its end.
    Whole(Vec<u8>),
    /// It cannot be read; the next one may be fine.
    Bad(Box<Problem>),
    /// It goes beyond a limit of the request, which is read no further.
    End(Box<Problem>),
}

/// Splits a body into lines without keeping more than one of them.
pub(super) struct Lines {
    body: Body,
    line_max: usize,
    /// Of the room for what was received.
    share: Share,
    /// Received and not yet split.
    rest: Vec<u8>,
    /// How far `rest` was searched for a line's end.
    searched: usize,
    /// The present line is not kept; its bytes are dropped until its end.
    dropping: Option<Dropped>,
    bytes: u64,
    number: u64,
    answered: u64,
    reading: Reading,
}

/// Why a line is not kept.
#[derive(Clone, Copy)]
enum Dropped {
    TooLong,
    /// Others have too much in memory.
    NoRoom,
}

/// Whether more of the body is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Yes.
    Lines,
    /// There is no more, or it broke off.
    Ended,
    /// It goes on beyond a limit of the request.
    BeyondLimit,
}

impl Lines {
    pub(super) fn new(body: Body, line_max: usize, share: Share) -> Self {
        Self {
            body,
            line_max,
            share,
            rest: Vec::new(),
            searched: 0,
            dropping: None,
            bytes: 0,
            number: 0,
            answered: 0,
            reading: Reading::Lines,
        }
    }

    /// The next line that is not blank, with its number from 1. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<(u64, Line)> {
        loop {
            if let Some(line) = self.split() {
                self.number += 1;
                if let Some(line) = self.checked(line) {
                    self.answered += 1;
                    return Some((self.number, line));
                }
                continue;
            }
            if self.reading != Reading::Lines {
                return None;
            }
            if let Some(problem) = self.receive().await {
                self.number += 1;
                return Some((self.number, Line::End(Box::new(problem))));
            }
        }
    }

    /// Takes a whole line off what was received; at the body's end, what is left is one.
    fn split(&mut self) -> Option<Result<Vec<u8>, Dropped>> {
        let end = self.rest.get(self.searched..)?.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.map(|end| end + self.searched) else {
            self.searched = self.rest.len();
            if self.rest.len() > self.line_max {
                self.drop_line(Dropped::TooLong);
            }
            if self.reading == Reading::Ended && (self.dropping.is_some() || !self.rest.is_empty()) {
                let line = std::mem::take(&mut self.rest);
                self.forget_rest();
                return Some(self.dropping.take().map_or(Ok(line), Err));
            }
            return None;
        };
        let mut line = self.rest.split_off(end + 1);
        std::mem::swap(&mut line, &mut self.rest);
        self.searched = 0;
        line.pop();
        // Less is in memory than was: that always fits.
        self.share.fits(self.rest.len());
        let too_long = (line.len() > self.line_max).then_some(Dropped::TooLong);
        Some(self.dropping.take().or(too_long).map_or(Ok(line), Err))
    }

    /// Nothing of the present line is kept.
    fn drop_line(&mut self, why: Dropped) {
        self.dropping.get_or_insert(why);
        self.forget_rest();
    }

    fn forget_rest(&mut self) {
        self.rest = Vec::new();
        self.searched = 0;
        self.share.fits(0);
    }

    /// `None` for a blank line.
    fn checked(&mut self, line: Result<Vec<u8>, Dropped>) -> Option<Line> {
        let line = match line {
            Ok(line) => line,
            Err(Dropped::NoRoom) => return Some(Line::Bad(Box::new(no_room()))),
            Err(Dropped::TooLong) => {
                let detail = format!("the line has more than {} bytes", self.line_max);
                return Some(Line::Bad(Box::new(Problem::too_large(TooLarge::Body, detail))));
            }
        };
        if line.trim_ascii().is_empty() {
            return None;
        }
        if self.answered >= LINES_MAX {
            self.end(Reading::BeyondLimit);
            let detail =
                format!("a request may have {LINES_MAX} lines; this one and those after it were not read");
            return Some(Line::End(Box::new(Problem::too_large(TooLarge::Body, detail))));
        }
        Some(Line::Whole(line))
    }

    /// Nothing of what was received is a line any more.
    fn end(&mut self, reading: Reading) {
        self.reading = reading;
        self.dropping = None;
        self.forget_rest();
    }

    /// Receives more; a problem ends the reading.
    async fn receive(&mut self) -> Option<Problem> {
        let problem = match timeout(SILENCE_MAX, self.body.frame()).await {
            Err(_) => bad_request(format!(
                "nothing was sent for {} s; lines before this one are accepted",
                SILENCE_MAX.as_secs()
            )),
            Ok(None) => {
                self.reading = Reading::Ended;
                return None;
            }
            Ok(Some(Err(error))) => {
                bad_request(format!("the body broke off: {error}; lines before this one are accepted"))
            }
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                self.bytes += data.len() as u64;
                if self.bytes > BYTES_MAX {
                    self.end(Reading::BeyondLimit);
                    let detail = format!(
                        "a request may have {BYTES_MAX} bytes; this line and those after it were not read"
                    );
                    return Some(Problem::too_large(TooLarge::Body, detail));
                }
                if self.dropping.is_none() && !self.share.fits(self.rest.len() + data.len()) {
                    self.drop_line(Dropped::NoRoom);
                }
                if self.dropping.is_none() || data.contains(&b'\n') {
                    self.rest.extend_from_slice(&data);
                }
                return None;
            }
        };
        self.end(Reading::Ended);
        Some(problem)
    }

    /// Reads and drops what comes beyond a limit: a client that sends everything before it reads anything
    /// must come to its end.
    pub(super) async fn discard_rest(&mut self) {
        let discard = async {
            let mut bytes = 0;
            while self.reading == Reading::BeyondLimit && bytes < DISCARDED_BYTES_MAX {
                match timeout(SILENCE_MAX, self.body.frame()).await {
                    Ok(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
                    _ => return,
                }
            }
        };
        // A client that takes longer loses its connection.
        let _ = timeout(DISCARD_TIMEOUT, discard).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::server::room::Room;

    fn share() -> Share {
        Room::default().share(1 << 20)
    }

    async fn split(pieces: &'static [&'static str], line_max: usize) -> Vec<(u64, Option<String>)> {
        let pieces =
            stream::iter(pieces.iter().map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(*piece))));
        let mut lines = Lines::new(Body::from_stream(pieces), line_max, share());
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
    async fn a_line_that_has_no_room_is_told_so_and_the_next_one_is_read() {
        let room = Room::default();
        let mut others = room.share(1 << 20);
        assert!(others.fits(64 << 20));
        let long = vec![b'x'; 300_000];
        let mut pieces: Vec<Bytes> = long.chunks(50_000).map(Bytes::copy_from_slice).collect();
        pieces.insert(0, Bytes::from_static(b"first\n"));
        pieces.push(Bytes::from_static(b"xx\nlast"));
        let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
        let mut lines = Lines::new(Body::from_stream(pieces), 1 << 20, room.share(1 << 20));
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().await {
            found.push(match line {
                Line::Whole(line) => (number, String::from_utf8(line).unwrap()),
                Line::Bad(problem) => (number, problem.code.as_str().to_owned()),
                Line::End(problem) => panic!("{problem:?}"),
            });
        }
        let expected = [(1, "first"), (2, "busy"), (3, "last")];
        assert_eq!(found, expected.map(|(number, text)| (number, text.to_owned())));
        drop(others);
        assert!(room.share(1 << 20).fits(64 << 20), "nothing is kept back");
        // Nor of a last line without an end, whoever still waits for its answer.
        let pieces = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(long))]);
        let mut lines = Lines::new(Body::from_stream(pieces), 1 << 20, room.share(1 << 20));
        assert!(matches!(lines.next().await, Some((1, Line::Whole(_)))));
        assert!(room.share(1 << 20).fits(64 << 20));
        drop(lines);
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

    #[tokio::test]
    async fn beyond_the_last_line_everything_is_read_and_nothing_is_a_line() {
        let piece = Bytes::from("x\n".repeat(1000));
        let pieces = LINES_MAX / 1000 + 3;
        let left = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(pieces));
        let counted = std::sync::Arc::clone(&left);
        let pieces = stream::iter(0..pieces).map(move |_| {
            counted.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(piece.clone())
        });
        let mut lines = Lines::new(Body::from_stream(pieces), 100, share());
        for number in 1..=LINES_MAX {
            assert!(matches!(lines.next().await, Some((is, Line::Whole(_))) if is == number));
        }
        assert!(matches!(lines.next().await, Some((is, Line::End(_))) if is == LINES_MAX + 1));
        assert!(lines.next().await.is_none());
        lines.discard_rest().await;
        assert_eq!(left.load(std::sync::atomic::Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_ends_its_lines_and_one_that_dribbles_beyond_a_limit_its_connection() {
        let began = tokio::time::Instant::now();
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from("a\nb"))]);
        let mut lines = Lines::new(Body::from_stream(first.chain(stream::pending())), 100, share());
        assert!(matches!(lines.next().await, Some((1, Line::Whole(_)))));
        let Some((2, Line::End(problem))) = lines.next().await else { panic!("no problem") };
        assert!(problem.detail.contains("30 s"), "{problem:?}");
        assert!(lines.next().await.is_none());
        assert_eq!(began.elapsed(), SILENCE_MAX);

        let huge = usize::try_from(BYTES_MAX).unwrap() + 1;
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; huge]))]);
        let dribble = stream::unfold((), |()| async {
            tokio::time::sleep(SILENCE_MAX / 2).await;
            Some((Ok(Bytes::from(" ")), ()))
        });
        let mut lines = Lines::new(Body::from_stream(first.chain(dribble)), 100, share());
        assert!(matches!(lines.next().await, Some((1, Line::End(_)))));
        let began = tokio::time::Instant::now();
        lines.discard_rest().await;
        assert_eq!(began.elapsed(), DISCARD_TIMEOUT);
    }
}
