//! The stream of events, read as it comes.
//!
//! Owns:  taking server-sent events apart, within limits; where a stream that broke off goes on.
//! Never: connects again: how often and how long is the caller's to say.

use std::path::Path;

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::error::ClientError;
use super::wire::{Answer, Call, Connection, next_part};
use crate::limits::{ANSWER_LINE_BYTES_MAX, ANSWER_WAIT, EVENT_WAIT};
use crate::types::{EventData, EventGap};

/// Header of the answer: the newest durable sequence when the stream began.
const LAST_EVENT_ID: &str = "last-event-id";

/// Which events a stream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Durable ones after this sequence, 0 for all that are kept; absent: only what happens from now on.
    pub since: Option<u64>,
    /// Ends after those that are kept.
    pub only_kept: bool,
}

impl EventsQuery {
    /// Path and query of the call.
    #[must_use]
    pub fn target(&self) -> String {
        let follow = if self.only_kept { "follow=false" } else { "" };
        match self.since {
            Some(since) if follow.is_empty() => format!("/v1/events?since={since}"),
            Some(since) => format!("/v1/events?since={since}&{follow}"),
            None if follow.is_empty() => "/v1/events".to_owned(),
            None => format!("/v1/events?{follow}"),
        }
    }
}

/// What a stream of events tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something happened.
    Event {
        /// Its durable sequence; `None` for an event that is live only.
        seq: Option<u64>,
        /// What.
        data: Box<EventData>,
    },
    /// Durable events are missing, for they are no longer kept.
    Gap(EventGap),
}

/// An open stream of events. Dropping it ends it.
pub struct EventStream {
    /// Driven in the background as long as this lives.
    _connection: Connection,
    body: Incoming,
    frames: Frames,
    last: Option<u64>,
    what: String,
}

impl EventStream {
    pub(super) async fn open(socket: &Path, query: &EventsQuery) -> Result<Self, ClientError> {
        let call = Call::new(Method::GET, query.target());
        let what = call.name();
        let begin = async {
            let mut connection = Connection::open(socket, &what).await?;
            let response = connection.request(call, &what).await?;
            if !response.status().is_success() {
                let status = response.status();
                // A refusal is short; the limit of the wait bounds it.
                let body = response.into_body().collect().await.map(|body| body.to_bytes().to_vec());
                let answer = Answer { what: what.clone(), status, body: body.unwrap_or_default() };
                answer.into_success()?;
                let reason = format!("status {} instead of 200", status.as_u16());
                return Err(ClientError::Protocol { what: what.clone(), reason });
            }
            Ok((connection, response))
        };
        let late = |_| ClientError::Timeout { what: what.clone(), after: ANSWER_WAIT };
        let (connection, response) = timeout(ANSWER_WAIT, begin).await.map_err(late)??;
        let began = response.headers().get(LAST_EVENT_ID).and_then(|began| began.to_str().ok()?.parse().ok());
        let last = query.since.or(began);
        Ok(Self {
            _connection: connection,
            body: response.into_body(),
            frames: Frames::default(),
            last,
            what,
        })
    }

    /// The sequence from which a stream that follows this one has to go on, so that no durable event is missed
    /// and none comes twice.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// The next event; `None` when the daemon has ended the stream. May be dropped and called again without loss.
    ///
    /// # Errors
    /// [`ClientError::Broken`] or [`ClientError::Timeout`] when the connection is gone, [`ClientError::Protocol`]
    /// for what is no stream of events.
    pub async fn next(&mut self) -> Result<Option<Told>, ClientError> {
        loop {
            if let Some(frame) = self.frames.take() {
                if let Some(told) = self.told(&frame)? {
                    return Ok(Some(told));
                }
                continue;
            }
            let part = timeout(EVENT_WAIT, next_part(&mut self.body, &self.what)).await;
            let late = |_| ClientError::Timeout { what: self.what.clone(), after: EVENT_WAIT };
            let Some(part) = part.map_err(late)?? else { return Ok(None) };
            self.frames.push(&part);
            if self.frames.is_too_long() {
                return Err(
                    self.not_understood(format!("an event is longer than {ANSWER_LINE_BYTES_MAX} bytes"))
                );
            }
        }
    }

    fn told(&mut self, frame: &Frame) -> Result<Option<Told>, ClientError> {
        if frame.data.is_empty() {
            return Ok(None);
        }
        if frame.event == "gap" {
            let gap =
                serde_json::from_str(&frame.data).map_err(|error| self.not_understood(error.to_string()))?;
            self.last = after_gap(self.last, gap);
            return Ok(Some(Told::Gap(gap)));
        }
        let data =
            serde_json::from_str(&frame.data).map_err(|error| self.not_understood(error.to_string()))?;
        let seq = frame.id.as_deref().and_then(|id| id.parse().ok());
        self.last = seq.or(self.last);
        Ok(Some(Told::Event { seq, data }))
    }

    fn not_understood(&self, reason: String) -> ClientError {
        ClientError::Protocol { what: self.what.clone(), reason }
    }
}

/// Where to go on after a gap: behind it, or before it where the spool never had so many events.
fn after_gap(last: Option<u64>, gap: EventGap) -> Option<u64> {
    let begins_behind_last = last.is_none_or(|last| gap.from > last);
    Some(if begins_behind_last { gap.to } else { gap.from.saturating_sub(1) })
}

/// One server-sent event.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    id: Option<String>,
    event: String,
    data: String,
}

/// Bytes that become events.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Up to here there is no end of an event.
    searched: usize,
}

impl Frames {
    fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// Whether what is left over is longer than any event.
    fn is_too_long(&self) -> bool {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        self.bytes.len() > ANSWER_LINE_BYTES_MAX && !rest.windows(2).any(|two| two == b"\n\n")
    }

    /// Takes the first whole event off the front.
    fn take(&mut self) -> Option<Frame> {
        let rest = self.bytes.get(self.searched..)?;
        let Some(end) = rest.windows(2).position(|two| two == b"\n\n") else {
            self.searched = self.bytes.len().saturating_sub(1);
            return None;
        };
        let end = self.searched + end;
        let text = String::from_utf8_lossy(self.bytes.get(..end)?).into_owned();
        self.bytes.drain(..end + 2);
        self.searched = 0;
        Some(parse(&text))
    }
}

fn parse(text: &str) -> Frame {
    let mut frame = Frame::default();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => frame.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut frame.event),
            "data" => frame.data += value,
            // A comment, or something newer.
            _ => {}
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_what_is_wanted() {
        let target = |since, only_kept| EventsQuery { since, only_kept }.target();
        assert_eq!(target(None, false), "/v1/events");
        assert_eq!(target(Some(7), false), "/v1/events?since=7");
        assert_eq!(target(Some(0), true), "/v1/events?since=0&follow=false");
        assert_eq!(target(None, true), "/v1/events?follow=false");
    }

    #[test]
    fn events_are_taken_apart_however_they_arrive() {
        let bytes = b"id: 7\nevent: sent\ndata: {\"a\":1}\n\n: heartbeat\n\nevent:link\ndata:{}\n\n";
        let expected = [
            Frame { id: Some("7".into()), event: "sent".into(), data: "{\"a\":1}".into() },
            Frame::default(),
            Frame { id: None, event: "link".into(), data: "{}".into() },
        ];
        for size in 1..=bytes.len() {
            let (mut frames, mut taken) = (Frames::default(), Vec::new());
            for part in bytes.chunks(size) {
                frames.push(part);
                taken.extend(std::iter::from_fn(|| frames.take()));
            }
            assert_eq!(taken, expected, "in parts of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_too_long_and_many_short_ones_are_not() {
        let mut frames = Frames::default();
        frames.push(&vec![b'x'; ANSWER_LINE_BYTES_MAX + 1]);
        assert!(frames.take().is_none() && frames.is_too_long());
        let mut frames = Frames::default();
        frames.push(&b"data: 1\n\n".repeat(ANSWER_LINE_BYTES_MAX / 4));
        assert!(!frames.is_too_long() && frames.take().is_some());
    }

    #[test]
    fn after_a_gap_the_next_stream_goes_on_where_this_one_would() {
        assert_eq!(after_gap(Some(3), EventGap { from: 4, to: 9 }), Some(9));
        assert_eq!(after_gap(Some(1000), EventGap { from: 6, to: 1000 }), Some(5));
        assert_eq!(after_gap(None, EventGap { from: 6, to: 10 }), Some(10));
    }
}
