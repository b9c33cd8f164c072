//! Durable events as a client reads them: over the socket, from the oldest on.
//!
//! Owns:  reading the stream of events as bytes, up to what a test waits for.
//! Never: knows what an event should say.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::harness::{Daemon, SOON};
use crate::wire::connect;

impl Daemon {
    /// The first durable event of that kind about a message.
    pub(crate) async fn heard(&self, kind: &str, msg_id: &str) -> Value {
        let is_it = |event: &Value| event["type"] == kind && event["msgID"] == msg_id;
        let events = self.events_until(|events| events.iter().any(is_it)).await;
        events.into_iter().find(is_it).unwrap()
    }

    /// All durable events from the oldest on, as soon as there are enough of them.
    pub(crate) async fn events_until(&self, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut stream = connect(&self.place.socket).await;
        stream.write_all(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        let read = async {
            loop {
                let events = events_in(&bytes);
                if enough(&events) {
                    return events;
                }
                assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the stream ended: {events:#?}");
            }
        };
        timeout(SOON, read).await.unwrap_or_else(|_| panic!("not heard; what was: {:#?}", self.log()))
    }
}

/// The events in what was read so far. Each stands in one piece, so that a line of data is never cut but at
/// the end of what was read.
fn events_in(bytes: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(bytes);
    text.split('\n')
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}
