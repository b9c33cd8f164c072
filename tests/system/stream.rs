//! The stream of events as bytes: read by hand, at whatever speed a test wants.
//!
//! Owns:  opening a stream, undoing chunks, taking frames apart.
//! Never: uses the typed client, whose mistakes it is here to find.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::harness::{Daemon, SOON};
use crate::wire::connect;

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<u64>,
    pub(crate) kind: String,
    pub(crate) data: Value,
    /// The frame is a comment, such as a heartbeat.
    pub(crate) is_comment: bool,
}

impl Frame {
    pub(crate) fn msg_id(&self) -> &str {
        self.data["msgID"].as_str().unwrap_or_default()
    }
}

/// A stream of events that a test reads.
pub(crate) struct Stream {
    socket: UnixStream,
    head: String,
    raw: Vec<u8>,
    text: String,
    /// The last chunk has come: the connection would stay open for another request.
    has_ended: bool,
}

impl Daemon {
    /// Opens `/v1/events` with that query, and waits for the answer's head.
    pub(crate) async fn events(&self, query: &str) -> Stream {
        self.events_with(query, "").await
    }

    /// The same with more header lines, each with its line end.
    pub(crate) async fn events_with(&self, query: &str, headers: &str) -> Stream {
        let mut socket = connect(&self.place.socket).await;
        let request = format!("GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut stream =
            Stream { socket, head: String::new(), raw: Vec::new(), text: String::new(), has_ended: false };
        stream.read_head().await;
        stream
    }
}

impl Stream {
    async fn read_head(&mut self) {
        let end = loop {
            if let Some(end) = self.raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(self.read().await, "an answer");
        };
        self.head = String::from_utf8(self.raw.drain(..end + 4).collect()).unwrap();
        assert!(self.head.starts_with("HTTP/1.1 200 "), "{}", self.head);
        assert!(self.head.contains("text/event-stream"), "{}", self.head);
    }

    /// The value of a header of the answer.
    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default()
    }

    /// Reads more; `false` at the end.
    async fn read(&mut self) -> bool {
        let read = timeout(SOON, self.socket.read_buf(&mut self.raw)).await.expect("something on the stream");
        matches!(read, Ok(1..))
    }

    /// Takes whole chunks off the front of what was read; `false` if there was none.
    fn unchunk(&mut self) -> bool {
        let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n") else { return false };
        let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..end]).unwrap(), 16).unwrap();
        let start = end + 2;
        if self.raw.len() < start + size + 2 {
            return false;
        }
        self.text += std::str::from_utf8(&self.raw[start..start + size]).unwrap();
        self.raw.drain(..start + size + 2);
        self.has_ended = size == 0;
        true
    }

    /// The next frame, also a comment; `None` at the stream's end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let frame: String = self.text.drain(..end + 2).collect();
                return Some(parse(&frame));
            }
            if self.has_ended || (!self.unchunk() && !self.read().await) {
                return None;
            }
        }
    }

    /// The next event; `None` at the stream's end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await {
                Some(frame) if frame.is_comment => {}
                other => return other,
            }
        }
    }

    /// Events up to the first that satisfies the condition, that one included.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("the stream ended after {frames:#?}"));
            frames.push(frame);
            if wanted(&frames[frames.len() - 1]) {
                return frames;
            }
        }
    }

    /// All events up to the stream's end.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

fn parse(text: &str) -> Frame {
    let mut frame = Frame { id: None, kind: String::new(), data: Value::Null, is_comment: true };
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.trim_start();
        match name {
            "id" => frame.id = Some(value.parse().unwrap()),
            "event" => frame.kind = value.to_owned(),
            "data" => {
                frame.data = serde_json::from_str(value).unwrap();
                frame.is_comment = false;
            }
            "" => {}
            other => panic!("a line `{other}` in {text}"),
        }
    }
    frame
}
