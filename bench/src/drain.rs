//! `drain`: a backlog sent by a real daemon, against a client that only posts.
//!
//! Owns:  both sides' work on the same service with the same bodies, at the same concurrency.
//! Never: lets the daemon's start or the fill count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use crate::bare_http::BareClient;
use crate::daemon::{Daemon, Place, Program, http_toml};
use crate::fill::{Filling, until_sent};
use crate::options::Common;
use crate::report::{Cell, Report, Table, Target, Unit};
use crate::rounds::{Contender, compete, rate};
use crate::service::Service;

/// Options of `drain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    program: Program,
    /// Messages of each round
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    messages: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Conversations that the messages belong to
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    conversations: u64,
    /// Requests under way at once, on both sides
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
}

/// Time for one round.
const DRAIN_WAIT: Duration = Duration::from_secs(3600);

pub(crate) fn run(options: &Options) -> Result<Report> {
    let (runtime, program) = (crate::runtime()?, options.program.find()?);
    let mut folder = options.common.folder()?;
    let service = Service::start()?;
    let concurrency = usize::from(options.concurrency);
    let place = Place::new(&program, folder.fresh(), &http_toml(&service.url(), concurrency))?;
    let daemon = runtime.block_on(place.start())?;
    let client = BareClient::new(service.url())?;
    let mut filling = Filling::new(options.payload, options.conversations);
    let payload = Arc::new(filling.payload.clone());
    let figures = compete(
        options.common.rounds,
        &mut [
            Contender::new("outboxd", || {
                let took = runtime.block_on(drain(&daemon, &service, &mut filling, options.messages))?;
                Ok(rate(options.messages, took))
            }),
            Contender::new("the bare client", || {
                let begun = Instant::now();
                let posts = client.post_all(options.messages, concurrency, options.conversations, &payload);
                runtime.block_on(posts)?;
                Ok(rate(options.messages, begun.elapsed()))
            }),
        ],
    )?;
    runtime.block_on(daemon.stop())?;
    let ratio = figures.ratio(0, 1);
    let headings = ["messages", "outboxd", "bare client", "ratio", "target"];
    let mut table = Table::new("Messages sent, a second", &headings);
    table.push(vec![
        Cell::count(options.messages),
        Cell::Figure(figures.spread(0), Unit::PerSecond),
        Cell::Figure(figures.spread(1), Unit::PerSecond),
        Cell::Figure(ratio, Unit::Ratio),
        Target::AtLeast(0.5, Unit::Ratio).verdict(ratio.median),
    ]);
    Ok(report(options, table))
}

fn report(options: &Options, table: Table) -> Report {
    let mut report = Report::new("drain");
    report.set("rounds", options.common.rounds);
    report.set("payload", options.payload);
    report.set("conversations", options.conversations);
    report.set("concurrency", options.concurrency);
    report.table(table);
    report.note(
        "outboxd: from the end of a pause until all are recorded as sent. Set: delivery.concurrency as above, \
         transport http (which has no rate), dedup_window 10m. Left: attempts begin one at a time and widen by one \
         with each success, so the first round has a ramp of as many answers as the concurrency",
    );
    report.note("bare client: reqwest with the daemon's settings; the same bodies, as many requests at once, no order, no disk");
    report
}

/// Fills the daemon while it is paused, lets it go, and waits until everything is recorded as sent; answers how long
/// that took.
async fn drain(
    daemon: &Daemon<'_>,
    service: &Service,
    filling: &mut Filling,
    messages: u64,
) -> Result<Duration> {
    daemon.client.pause().await.context("pausing outboxd")?;
    filling.fill(daemon, messages).await?;
    finish(daemon, service, filling, messages).await
}

/// Ends a pause behind which so many messages wait, and waits until all that were ever filled are recorded as sent;
/// answers how long that took.
pub(crate) async fn finish(
    daemon: &Daemon<'_>,
    service: &Service,
    filling: &Filling,
    messages: u64,
) -> Result<Duration> {
    service.expect(messages);
    let begun = Instant::now();
    daemon.client.resume().await.context("ending the pause")?;
    service.arrivals(DRAIN_WAIT).await?;
    until_sent(&daemon.client, filling.next, DRAIN_WAIT).await?;
    Ok(begun.elapsed())
}
