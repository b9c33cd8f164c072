//! One backlog: filled once, then visited in each round.
//!
//! Owns:  the steps of a visit, and what they took.
//! Never: leaves a daemon running between two visits.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::daemon::{Daemon, Place, http_toml};
use crate::fill::Filling;
use crate::process::{memory, reset_peak};
use crate::rounds::{ms, rate};
use crate::service::Service;
use crate::stats::Spread;
use crate::wire::Wire;

/// What all backlogs share.
pub(super) struct Setting<'a> {
    pub(super) program: &'a Path,
    pub(super) service: &'a Service,
    pub(super) drain: u64,
    pub(super) payload: usize,
    pub(super) concurrency: usize,
}

/// Requests in which the messages of one visit are submitted; their median counts.
const PARTS: u64 = 4;
/// Times that a question is asked in one visit; the median counts.
const QUESTIONS: usize = 15;
/// Time for the messages of one visit to be sent.
const DRAIN_WAIT: Duration = Duration::from_secs(600);

/// What the visits found, one value for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Milliseconds from the start to readiness, after a stop in order and after a kill.
    pub(super) ready_clean_ms: Vec<f64>,
    pub(super) ready_killed_ms: Vec<f64>,
    /// Milliseconds for each submitted message.
    pub(super) submit_ms: Vec<f64>,
    pub(super) status_ms: Vec<f64>,
    pub(super) list_ms: Vec<f64>,
    pub(super) first_send_ms: Vec<f64>,
    /// Messages a second.
    pub(super) drain_rate: Vec<f64>,
    /// Most bytes of memory.
    pub(super) peak_clean: Vec<f64>,
    pub(super) peak_killed: Vec<f64>,
    pub(super) peak_drain: Vec<f64>,
    /// Bytes of memory at the end of the drain.
    pub(super) memory_end: Vec<f64>,
}

/// A backlog.
pub(super) struct Case {
    pub(super) size: u64,
    place: Place,
    filling: Filling,
    /// Messages a second.
    pub(super) fill_rate: f64,
    /// Most bytes of memory while it was filled.
    pub(super) peak_fill: f64,
    pub(super) found: Found,
}

impl Case {
    /// Makes a backlog of so many messages, which wait because the daemon is paused.
    pub(super) async fn fill(
        setting: &Setting<'_>,
        dir: PathBuf,
        size: u64,
        conversations: u64,
    ) -> Result<Self> {
        let toml = http_toml(&setting.service.url(), setting.concurrency);
        let place = Place::new(setting.program, dir, &toml)?;
        let mut filling = Filling::new(setting.payload, conversations);
        let daemon = place.start().await?;
        daemon.client.pause().await.context("pausing outboxd")?;
        let took = filling.fill(&daemon, size).await?;
        let peak_fill = memory(daemon.pid())?.peak as f64;
        daemon.stop().await?;
        Ok(Self { size, place, filling, fill_rate: rate(size, took), peak_fill, found: Found::default() })
    }

    /// Starts, asks, submits, kills, starts again, sends, and stops in order.
    pub(super) async fn visit(&mut self, setting: &Setting<'_>) -> Result<()> {
        let Self { place, filling, found, size, .. } = self;
        let daemon = place.start().await?;
        found.ready_clean_ms.push(ms(daemon.ready_after));
        found.peak_clean.push(memory(daemon.pid())?.peak as f64);
        let mut wire = Wire::open(&daemon.socket()).await?;
        found.status_ms.push(ask(&mut wire, "/v1/status").await?);
        found.list_ms.push(ask(&mut wire, "/v1/messages?limit=100").await?);
        let mut parts = Vec::new();
        for _ in 0..PARTS {
            let part = (setting.drain / PARTS).max(1);
            parts.push(ms(filling.submit_part(&mut wire, part).await?) / part as f64);
        }
        found.submit_ms.push(Spread::of(&parts).median);
        top_up(&daemon, filling, *size + setting.drain).await?;
        daemon.kill9();

        let daemon = place.start().await?;
        found.ready_killed_ms.push(ms(daemon.ready_after));
        found.peak_killed.push(memory(daemon.pid())?.peak as f64);
        send(&daemon, setting, found).await?;
        daemon.stop().await
    }
}

/// Asks the same several times; the median in milliseconds.
async fn ask(wire: &mut Wire, path: &str) -> Result<f64> {
    let mut took = Vec::new();
    for _ in 0..QUESTIONS {
        let begun = Instant::now();
        wire.get(path).await?;
        took.push(ms(begun.elapsed()));
    }
    Ok(Spread::of(&took).median)
}

/// Fills up to so many messages: a drain may have sent a few more than it was measured for.
async fn top_up(daemon: &Daemon<'_>, filling: &mut Filling, messages: u64) -> Result<()> {
    let waiting = daemon.client.status().await.context("asking outboxd for its status")?.spool.messages;
    filling.fill(daemon, messages.saturating_sub(waiting)).await.map(drop)
}

/// Ends the pause until so many messages have come to the service.
async fn send(daemon: &Daemon<'_>, setting: &Setting<'_>, found: &mut Found) -> Result<()> {
    reset_peak(daemon.pid())?;
    setting.service.expect(setting.drain);
    let begun = Instant::now();
    daemon.client.resume().await.context("ending the pause")?;
    let arrivals = setting.service.arrivals(DRAIN_WAIT).await?;
    daemon.client.pause().await.context("pausing outboxd")?;
    let memory = memory(daemon.pid())?;
    found.first_send_ms.push(ms(arrivals.first - begun));
    found.drain_rate.push(rate(setting.drain - 1, arrivals.last - arrivals.first));
    found.peak_drain.push(memory.peak as f64);
    found.memory_end.push(memory.now as f64);
    Ok(())
}
