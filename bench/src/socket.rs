//! `socket`: submits through the control socket of a real daemon, against a bare server and the crate.
//!
//! Owns:  one connection, many connections, and requests of many lines.
//! Never: sends anything: nobody asks this daemon for work.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use outbox::{Config, Outbox};
use tokio::runtime::Runtime;

use crate::bare_http::BareServer;
use crate::daemon::{Daemon, Place, Program};
use crate::options::{self, Common};
use crate::report::{Cell, Report, Table, Target, Unit};
use crate::rounds::{Contender, Figures, compete, for_a_while, rate};
use crate::wire::Wire;
use crate::workload::{self, Messages};

/// Options of `socket`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    program: Program,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Connections with one request at a time each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    connections: Vec<u64>,
    /// Lines of one NDJSON request
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    lines: u64,
    /// Conversations that the messages belong to
    #[arg(long, default_value_t = 64)]
    conversations: u64,
    /// How long each contender runs in each round
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = options::duration)]
    slice: Duration,
}

/// Nobody takes messages from this daemon.
const TOML: &str = "[transport]\nkind = \"app\"\n";

/// What is submitted, whoever takes it.
struct Load<'a> {
    options: &'a Options,
    payload: Vec<u8>,
    runtime: &'a Runtime,
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.connections.iter().all(|count| (1..=200).contains(count)),
        "1 to 200 connections are possible"
    );
    let (runtime, program) = (crate::runtime()?, options.program.find()?);
    let mut folder = options.common.folder()?;
    let place = Place::new(&program, folder.fresh(), TOML)?;
    let daemon = runtime.block_on(place.start())?;
    let sockets = tempfile::tempdir().context("making a folder for a socket")?;
    let server = BareServer::start(sockets.path().join("s"), &folder.fresh())?;
    let outbox = Outbox::open(Config::new(folder.fresh()))?;
    let load = Load { options, payload: workload::payload(options.payload), runtime: &runtime };
    let (of_daemon, of_others) = (Messages::default(), Messages::default());

    let headings = ["how", "outboxd", "baseline", "which", "ratio", "target"];
    let mut table = Table::new("Submits through the socket, messages a second", &headings);
    for count in &options.connections {
        let figures = load.against_server(&daemon, &server, *count, (&of_daemon, &of_others))?;
        let how = if *count == 1 { "1 connection".to_owned() } else { format!("{count} connections") };
        table.push(row(how, "bare server", &figures, None));
    }
    let figures = load.against_crate(&daemon, &outbox, (&of_daemon, &of_others))?;
    let how = format!("NDJSON, {} lines", options.lines);
    table.push(row(how, "submit_many", &figures, Some(Target::AtLeast(0.6, Unit::Ratio))));
    outbox.close();
    runtime.block_on(daemon.stop())?;
    Ok(report(options, table))
}

fn report(options: &Options, table: Table) -> Report {
    let mut report = Report::new("socket");
    report.set("rounds", options.common.rounds);
    report.set("slice", options::shown(options.slice));
    report.set("payload", options.payload);
    report.set("conversations", options.conversations);
    report.table(table);
    report.note(
        "bare server: hyper on a Unix socket in this program; it appends each body to a log and syncs, one sync_data \
         for all bodies that gathered",
    );
    report.note(
        "submit_many: the crate in this program takes as many messages with each call as a request has lines",
    );
    report
}

fn row(how: String, which: &str, figures: &Figures, target: Option<Target>) -> Vec<Cell> {
    let ratio = figures.ratio(0, 1);
    vec![
        Cell::text(how),
        Cell::Figure(figures.spread(0), Unit::PerSecond),
        Cell::Figure(figures.spread(1), Unit::PerSecond),
        Cell::text(which),
        Cell::Figure(ratio, Unit::Ratio),
        target.map_or(Cell::Nothing, |target| target.verdict(ratio.median)),
    ]
}

impl Load<'_> {
    /// Single requests: the daemon against the bare server.
    fn against_server(
        &self,
        daemon: &Daemon<'_>,
        server: &BareServer,
        connections: u64,
        (of_daemon, of_server): (&Messages, &Messages),
    ) -> Result<Figures> {
        let mut to_daemon = self.runtime.block_on(open_all(&daemon.socket(), connections))?;
        let mut to_server = self.runtime.block_on(open_all(server.socket(), connections))?;
        compete(
            self.options.common.rounds,
            &mut [
                Contender::new("outboxd", || self.runtime.block_on(self.requests(&mut to_daemon, of_daemon))),
                Contender::new("the bare server", || {
                    self.runtime.block_on(self.requests(&mut to_server, of_server))
                }),
            ],
        )
    }

    /// Each connection with one request at a time, until the slice is over.
    async fn requests(&self, wires: &mut [Wire], messages: &Messages) -> Result<f64> {
        let begun = Instant::now();
        let deadline = begun + self.options.slice;
        let calls = wires.iter_mut().map(|wire| async move {
            let mut count = 0;
            while count == 0 || Instant::now() < deadline {
                let number = messages.next();
                wire.submit(workload::submit_json(number, self.options.conversations, &self.payload)).await?;
                count += 1;
            }
            Ok::<u64, anyhow::Error>(count)
        });
        let counts = futures_util::future::try_join_all(calls).await?;
        Ok(rate(counts.iter().sum(), begun.elapsed()))
    }

    /// Many lines a request: the daemon against the crate.
    fn against_crate(
        &self,
        daemon: &Daemon<'_>,
        outbox: &Outbox,
        (of_daemon, of_crate): (&Messages, &Messages),
    ) -> Result<Figures> {
        let (lines, conversations) = (self.options.lines, self.options.conversations);
        let mut wire = self.runtime.block_on(Wire::open(&daemon.socket()))?;
        compete(
            self.options.common.rounds,
            &mut [
                Contender::new("outboxd", || {
                    for_a_while(self.options.slice, || {
                        let body: Vec<u8> = (0..lines).flat_map(|_| self.line(of_daemon.next())).collect();
                        self.runtime.block_on(wire.submit_lines(body, lines))?;
                        Ok(lines)
                    })
                }),
                Contender::new("the crate", || {
                    for_a_while(self.options.slice, || {
                        let submits = (0..lines)
                            .map(|_| workload::submit(of_crate.next(), conversations, &self.payload));
                        for answer in outbox.submit_many(submits) {
                            ensure!(!answer?.duplicate, "a message was there already");
                        }
                        Ok(lines)
                    })
                }),
            ],
        )
    }

    fn line(&self, number: u64) -> Vec<u8> {
        let mut line = workload::submit_json(number, self.options.conversations, &self.payload);
        line.push(b'\n');
        line
    }
}

async fn open_all(socket: &std::path::Path, count: u64) -> Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for _ in 0..count {
        wires.push(Wire::open(socket).await?);
    }
    Ok(wires)
}
