//! Filling a daemon through its socket, and waiting until it has sent what it has.
//!
//! Owns:  requests of many lines, one after the other.
//! Never: measures.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use outbox_control::Client;
use tokio::time::sleep;

use crate::daemon::Daemon;
use crate::wire::{LINES_MAX, Wire};
use crate::workload;

/// Pause between two looks at a daemon that finishes.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a daemon is filled with.
#[derive(Clone)]
pub(crate) struct Filling {
    pub(crate) payload: Vec<u8>,
    pub(crate) conversations: u64,
    /// The number of the next message.
    pub(crate) next: u64,
}

impl Filling {
    pub(crate) fn new(payload_bytes: usize, conversations: u64) -> Self {
        Self { payload: workload::payload(payload_bytes), conversations, next: 0 }
    }

    /// Submits so many messages; answers how long the daemon took. Making the lines does not count.
    pub(crate) async fn fill(&mut self, daemon: &Daemon<'_>, count: u64) -> Result<Duration> {
        let mut wire = Wire::open(&daemon.socket()).await?;
        let (mut left, mut took) = (count, Duration::ZERO);
        while left > 0 {
            let part = left.min(LINES_MAX);
            took += self.submit_part(&mut wire, part).await?;
            left -= part;
        }
        Ok(took)
    }

    /// Submits so many messages in one request; answers how long that took.
    pub(crate) async fn submit_part(&mut self, wire: &mut Wire, count: u64) -> Result<Duration> {
        let lines = workload::submit_lines(self.next, count, self.conversations, &self.payload);
        self.next += count;
        let begun = Instant::now();
        wire.submit_lines(lines, count).await.context("filling outboxd")?;
        Ok(begun.elapsed())
    }

    /// Submits one message over a kept connection; answers how long that took.
    pub(crate) async fn submit_one(&mut self, wire: &mut Wire) -> Result<Duration> {
        let object = workload::submit_json(self.next, self.conversations, &self.payload);
        self.next += 1;
        let begun = Instant::now();
        wire.submit(object).await?;
        Ok(begun.elapsed())
    }
}

/// Waits until the daemon has recorded so many messages as sent since its spool was made.
pub(crate) async fn until_sent(client: &Client, total: u64, within: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let sent = client.status().await.context("asking outboxd for its status")?.sent_total;
        if sent >= total {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < within,
            "within {within:?} outboxd recorded {sent} of {total} messages as sent"
        );
        sleep(LOOK_EVERY).await;
    }
}
