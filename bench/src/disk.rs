//! `disk`: bytes on the drive and bytes written for each message.
//!
//! Owns:  a fresh spool in each round, from empty over full to drained.
//! Never: counts what this program itself writes as the daemon's.

use anyhow::{Context, Result};
use clap::Args;
use tokio::runtime::Runtime;

use crate::bare::{BareSled, Rows};
use crate::daemon::{Place, Program, http_toml};
use crate::drain::finish;
use crate::fill::Filling;
use crate::options::Common;
use crate::process::{folder_bytes, written};
use crate::report::{Cell, Report, Table, Unit};
use crate::rounds::{Contender, compete};
use crate::service::Service;
use crate::stats::Spread;
use crate::workload::{self, RECORD_BYTES};

/// Options of `disk`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("rounds", |arg| arg.default_value("3")))]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    program: Program,
    /// Messages of each round. Few show the size of an empty store more than that of a message
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_900_000))]
    messages: u64,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Conversations that the messages belong to
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    conversations: u64,
    /// Messages that bare sled commits at once while they are accepted
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    group: u16,
    /// Requests under way at once; bare sled ends as many messages at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
}

/// Moments at which bytes are counted.
const STEPS: [&str; 4] = ["waiting", "sent", "sent and stopped", "compacted"];

/// Bytes of the receipts' replacement in bare sled: what the service answers.
const REPLACEMENT_BYTES: usize = 40;

/// Bytes for each message at each step: on the drive, and written since the step before. A step that there is not
/// has none.
#[derive(Default)]
struct Counted {
    kept: [Vec<f64>; 4],
    wrote: [Vec<f64>; 4],
}

impl Counted {
    fn note(&mut self, step: usize, messages: u64, kept: u64, wrote: Option<u64>) {
        if let (Some(of_kept), Some(of_wrote)) = (self.kept.get_mut(step), self.wrote.get_mut(step)) {
            of_kept.push(kept as f64 / messages as f64);
            of_wrote.extend(wrote.map(|wrote| wrote as f64 / messages as f64));
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    let (runtime, program) = (crate::runtime()?, options.program.find()?);
    let folder = std::cell::RefCell::new(options.common.folder()?);
    let service = Service::start()?;
    let toml = http_toml(&service.url(), usize::from(options.concurrency));
    let (mut of_daemon, mut of_sled) = (Counted::default(), Counted::default());
    compete(
        options.common.rounds,
        &mut [
            Contender::new("outboxd", || {
                let place = Place::new(&program, folder.borrow_mut().fresh(), &toml)?;
                through_daemon(options, &runtime, &place, &service, &mut of_daemon)
            }),
            Contender::new("bare sled", || {
                let dir = folder.borrow_mut().fresh();
                let bare = BareSled::open(&dir)?;
                through_sled(options, &bare, &dir, &mut of_sled)
            }),
        ],
    )?;
    Ok(report(options, &of_daemon, &of_sled))
}

/// One round of the daemon; answers the bytes on the drive for each waiting message.
fn through_daemon(
    options: &Options,
    runtime: &Runtime,
    place: &Place,
    service: &Service,
    counted: &mut Counted,
) -> Result<f64> {
    let count = options.messages;
    let kept = || folder_bytes(&place.spool());
    let daemon = runtime.block_on(place.start())?;
    let empty = written(daemon.pid())?;
    let mut filling = Filling::new(options.payload, options.conversations);
    runtime.block_on(async {
        daemon.client.pause().await.context("pausing outboxd")?;
        filling.fill(&daemon, count).await
    })?;
    let (waiting, full) = (kept()?, written(daemon.pid())?);
    counted.note(0, count, waiting, Some(full - empty));
    runtime.block_on(finish(&daemon, service, &filling, count))?;
    counted.note(1, count, kept()?, Some(written(daemon.pid())? - full));
    runtime.block_on(daemon.stop())?;
    counted.note(2, count, kept()?, None);
    // In a daemon of its own, so that a stop's bytes do not count for it.
    let daemon = runtime.block_on(place.start())?;
    let before = written(daemon.pid())?;
    runtime.block_on(daemon.client.compact()).context("giving space back")?;
    counted.note(3, count, kept()?, Some(written(daemon.pid())? - before));
    runtime.block_on(daemon.stop())?;
    Ok(waiting as f64 / count as f64)
}

/// One round of bare sled: the same messages accepted, leased and ended.
fn through_sled(
    options: &Options,
    bare: &BareSled,
    dir: &std::path::Path,
    counted: &mut Counted,
) -> Result<f64> {
    let (own, count, payload) = (std::process::id(), options.messages, workload::payload(options.payload));
    let record = |number: u64, bytes: usize| {
        let mut record = workload::record(number);
        record.resize(bytes, 0);
        (workload::msg_id(number).into_bytes(), Some(record))
    };
    let seq = |number: u64| number.to_be_bytes().to_vec();
    let empty = written(own)?;
    for group in groups(count, options.group) {
        let rows =
            group.flat_map(|number| [record(number, RECORD_BYTES), (seq(number), Some(payload.clone()))]);
        bare.commit(rows.collect())?;
    }
    let (waiting, full) = (folder_bytes(dir)?, written(own)?);
    counted.note(0, count, waiting, Some(full - empty));
    for group in groups(count, options.concurrency) {
        bare.commit(group.clone().map(|number| record(number, RECORD_BYTES)).collect())?;
        let receipt = |number| [record(number, RECORD_BYTES + REPLACEMENT_BYTES), (seq(number), None)];
        bare.commit(group.flat_map(receipt).collect::<Rows>())?;
    }
    counted.note(1, count, folder_bytes(dir)?, Some(written(own)? - full));
    Ok(waiting as f64 / count as f64)
}

fn groups(count: u64, group: u16) -> impl Iterator<Item = std::ops::Range<u64>> {
    let group = u64::from(group.max(1));
    (0..count).step_by(group as usize).map(move |first| first..(first + group).min(count))
}

fn report(options: &Options, of_daemon: &Counted, of_sled: &Counted) -> Report {
    let headings = [
        "messages are",
        "kept",
        "of payload",
        "bare sled keeps",
        "kept ratio",
        "written",
        "bare sled writes",
        "written ratio",
    ];
    let mut table = Table::new("Bytes for each message", &headings);
    let figure = |values: &[f64]| match values {
        [] => Cell::Nothing,
        values => Cell::Figure(Spread::of(values), Unit::Bytes),
    };
    let ratio = |daemon: &[f64], sled: &[f64]| match (daemon, sled) {
        ([], _) | (_, []) => Cell::Nothing,
        (daemon, sled) => Cell::Figure(crate::stats::ratio(daemon, sled), Unit::Ratio),
    };
    let daemon = of_daemon.kept.iter().zip(&of_daemon.wrote);
    let steps = STEPS.iter().zip(daemon.zip(of_sled.kept.iter().zip(&of_sled.wrote)));
    for (step, ((kept, wrote), (sled_kept, sled_wrote))) in steps {
        if kept.is_empty() {
            continue;
        }
        let of_payload = Spread::of(kept).scaled(1.0 / options.payload.max(1) as f64);
        let mut row = vec![Cell::text(*step), figure(kept), Cell::Figure(of_payload, Unit::Ratio)];
        row.extend([figure(sled_kept), ratio(kept, sled_kept)]);
        row.extend([figure(wrote), figure(sled_wrote), ratio(wrote, sled_wrote)]);
        table.push(row);
    }
    let mut report = Report::new("disk");
    report.set("rounds", options.common.rounds);
    report.set("messages", options.messages);
    report.set("payload", options.payload);
    report.set("conversations", options.conversations);
    report.table(table);
    report.note(
        "kept: blocks of all files of the spool; written: write_bytes of /proc/PID/io since the line before",
    );
    report.note(format!(
        "bare sled: groups of {} accepted, then groups of {} leased and ended, with the rows of `life`",
        options.group, options.concurrency
    ));
    report
}
