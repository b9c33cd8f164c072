//! `latency`: how long a single durable submit takes, alone and beside a drain.
//!
//! Owns:  samples of the crate and the socket, and of a baseline for each.
//! Never: has two submits under way at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use outbox::{Config, LeaseRequest, Outbox};
use tokio::runtime::Runtime;

use crate::bare::RawLog;
use crate::bare_http::BareServer;
use crate::daemon::{Daemon, Place, Program, http_toml};
use crate::fill::Filling;
use crate::life::settle_as_sent;
use crate::options::Common;
use crate::report::{Cell, Report, Table, Unit};
use crate::rounds::{Contender, Figures, compete, ms};
use crate::service::Service;
use crate::stats::{Spread, percentile, sorted};
use crate::wire::Wire;
use crate::workload::{self, Messages};

/// Options of `latency`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    program: Program,
    /// Submits of each contender in each round; beside a drain fewer if it ends first
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    messages: u64,
    /// Messages that wait when a drain begins
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(64..=1_000_000))]
    backlog: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Conversations that the messages belong to
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    conversations: u64,
}

/// Leases of the drain at once, in the crate and in the daemon.
const CONCURRENCY: usize = 32;

/// What is measured, in this order: each with the place of its baseline.
const ROWS: [(&str, Option<usize>); 6] = [
    ("raw append", None),
    ("crate", Some(0)),
    ("crate, beside a drain", Some(0)),
    ("bare server", None),
    ("socket", Some(3)),
    ("socket, beside a drain", Some(3)),
];

/// Milliseconds of single submits.
type Samples = Vec<f64>;

pub(crate) fn run(options: &Options) -> Result<Report> {
    let (runtime, program) = (crate::runtime()?, options.program.find()?);
    let mut folder = options.common.folder()?;
    let service = Service::start()?;
    let place = Place::new(&program, folder.fresh(), &http_toml(&service.url(), CONCURRENCY))?;
    let daemon = runtime.block_on(place.start())?;
    let sockets = tempfile::tempdir().context("making a folder for a socket")?;
    let server = BareServer::start(sockets.path().join("s"), &folder.fresh())?;
    let log = RawLog::create(&folder.fresh(), 64 * 1024 * 1024)?;
    let outbox = Outbox::open(Config::new(folder.fresh()))?;
    let in_crate = InCrate { outbox: &outbox, options, payload: workload::payload(options.payload) };
    let over_socket = OverSocket { runtime: &runtime, daemon: &daemon, service: &service, options };
    let (samples, figures) = measure(options, log, &in_crate, &over_socket, &server)?;
    outbox.close();
    runtime.block_on(daemon.stop())?;
    Ok(report(options, &samples, &figures))
}

fn measure(
    options: &Options,
    mut log: RawLog,
    in_crate: &InCrate<'_>,
    over_socket: &OverSocket<'_>,
    server: &BareServer,
) -> Result<([Samples; 6], Figures)> {
    let mut samples: [Samples; 6] = Default::default();
    let [raw, alone, beside, bare, socket, socket_beside] = &mut samples;
    let messages = Messages::default();
    let mut filling = Filling::new(options.payload, options.conversations);
    let mut to_server = Filling::new(options.payload, options.conversations);
    let filling = std::cell::RefCell::new(&mut filling);
    let figures = compete(
        options.common.rounds,
        &mut [
            Contender::new("a raw append", || {
                keep(raw, repeat(options.messages, || log.append([in_crate.payload.as_slice()]))?)
            }),
            Contender::new("the crate", || keep(alone, in_crate.alone(&messages)?)),
            Contender::new("the crate beside a drain", || keep(beside, in_crate.beside_a_drain(&messages)?)),
            Contender::new("the bare server", || {
                keep(bare, over_socket.submits(server.socket(), &mut to_server, |_| true)?)
            }),
            Contender::new("the socket", || keep(socket, over_socket.alone(&mut filling.borrow_mut())?)),
            Contender::new("the socket beside a drain", || {
                keep(socket_beside, over_socket.beside_a_drain(&mut filling.borrow_mut())?)
            }),
        ],
    )?;
    Ok((samples, figures))
}

/// Adds a round's samples to those before; answers their median.
fn keep(all: &mut Samples, round: Samples) -> Result<f64> {
    let median = Spread::of(&round).median;
    all.extend(round);
    Ok(median)
}

fn repeat(count: u64, mut submit: impl FnMut() -> Result<()>) -> Result<Samples> {
    let mut samples = Samples::new();
    for _ in 0..count {
        let begun = Instant::now();
        submit()?;
        samples.push(ms(begun.elapsed()));
    }
    Ok(samples)
}

/// The crate in this program.
struct InCrate<'a> {
    outbox: &'a Outbox,
    options: &'a Options,
    payload: Vec<u8>,
}

impl InCrate<'_> {
    fn submit(&self, messages: &Messages) -> Result<()> {
        let submit = workload::submit(messages.next(), self.options.conversations, &self.payload);
        self.outbox.submit(submit).wait().map(drop).context("submitting to the crate")
    }

    fn alone(&self, messages: &Messages) -> Result<Samples> {
        repeat(self.options.messages, || self.submit(messages))
    }

    fn beside_a_drain(&self, messages: &Messages) -> Result<Samples> {
        let backlog = (0..self.options.backlog)
            .map(|_| workload::submit(messages.next(), self.options.conversations, &self.payload));
        for answer in self.outbox.submit_many(backlog) {
            answer.context("filling the crate")?;
        }
        let (enough, dry) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let drain = scope.spawn(|| {
                let drained = self.drain(&enough);
                dry.store(true, Ordering::Relaxed);
                drained
            });
            let mut samples = Samples::new();
            while (samples.len() as u64) < self.options.messages && !dry.load(Ordering::Relaxed) {
                samples.extend(repeat(1, || self.submit(messages))?);
            }
            enough.store(true, Ordering::Relaxed);
            drain.join().map_err(|_| anyhow::anyhow!("the drain panicked"))??;
            Ok(samples)
        })
    }

    /// Sends what is due, until it is enough or nothing is left.
    fn drain(&self, enough: &AtomicBool) -> Result<()> {
        while !enough.load(Ordering::Relaxed) {
            let request = LeaseRequest { max: CONCURRENCY, ..LeaseRequest::default() };
            let leases = self.outbox.lease(request).wait().context("leasing")?;
            if leases.is_empty() {
                return Ok(());
            }
            let tickets: Vec<_> =
                leases.into_iter().map(|lease| settle_as_sent(self.outbox, lease)).collect();
            for ticket in tickets {
                ticket.wait().context("settling")?;
            }
        }
        Ok(())
    }
}

/// A real daemon.
struct OverSocket<'a> {
    runtime: &'a Runtime,
    daemon: &'a Daemon<'a>,
    service: &'a Service,
    options: &'a Options,
}

impl OverSocket<'_> {
    /// Single submits over one connection, for as long as they may go on.
    fn submits(
        &self,
        socket: &std::path::Path,
        filling: &mut Filling,
        goes_on: impl Fn(&Samples) -> bool,
    ) -> Result<Samples> {
        self.runtime.block_on(async {
            let mut wire = Wire::open(socket).await?;
            let mut samples = Samples::new();
            while (samples.len() as u64) < self.options.messages && goes_on(&samples) {
                samples.push(ms(filling.submit_one(&mut wire).await?));
            }
            Ok(samples)
        })
    }

    fn alone(&self, filling: &mut Filling) -> Result<Samples> {
        self.runtime.block_on(self.daemon.client.pause()).context("pausing outboxd")?;
        self.submits(&self.daemon.socket(), filling, |_| true)
    }

    fn beside_a_drain(&self, filling: &mut Filling) -> Result<Samples> {
        let until = self.runtime.block_on(async {
            self.daemon.client.pause().await.context("pausing outboxd")?;
            filling.fill(self.daemon, self.options.backlog).await?;
            let waiting = self.daemon.client.status().await?.spool.messages;
            let before = self.service.total();
            self.daemon.client.resume().await.context("ending the pause")?;
            // The first attempts begin one at a time.
            while self.service.total() < before + CONCURRENCY as u64 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The last ones are under way alone.
            Ok::<_, anyhow::Error>(before + waiting - CONCURRENCY as u64)
        })?;
        self.submits(&self.daemon.socket(), filling, |_| self.service.total() < until)
    }
}

fn report(options: &Options, samples: &[Samples; 6], figures: &Figures) -> Report {
    let headings = ["submit", "count", "p50", "p99", "p99.9", "baseline", "p50 ratio", "p99 ratio"];
    let mut table = Table::new("Time of a single durable submit", &headings);
    let all = samples.each_ref().map(|samples| sorted(samples));
    for (at, ((name, baseline), values)) in ROWS.iter().zip(&all).enumerate() {
        let point = |percent| Cell::one(percentile(values, percent), Unit::Milliseconds);
        let mut row =
            vec![Cell::text(*name), Cell::count(values.len() as u64), point(50.0), point(99.0), point(99.9)];
        match baseline.and_then(|base| Some((base, ROWS.get(base)?, all.get(base)?))) {
            None => row.extend([Cell::Nothing, Cell::Nothing, Cell::Nothing]),
            Some((base, (base_name, _), base_values)) => {
                let p99 = percentile(values, 99.0) / percentile(base_values, 99.0).max(1e-9);
                row.push(Cell::text(*base_name));
                row.push(Cell::Figure(figures.ratio(at, base), Unit::Ratio));
                row.push(Cell::one(p99, Unit::Ratio));
            }
        }
        table.push(row);
    }
    let mut report = Report::new("latency");
    report.set("rounds", options.common.rounds);
    report.set("messages", options.messages);
    report.set("backlog", options.backlog);
    report.set("payload", options.payload);
    report.set("conversations", options.conversations);
    report.table(table);
    report.note(
        "ratios of times: below 1 is faster. p50 ratios are taken round by round, p99 ratios over all rounds",
    );
    report.note("raw append: one write and one sync_data of the payload; bare server: the same behind hyper on a Unix socket");
    report.note(
        "beside a drain: 32 attempts at a time that succeed at once; for the crate a thread that leases and settles, for \
         the socket the daemon and a loopback service",
    );
    report
}
