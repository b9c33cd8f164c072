//! `submit`: durable submits through the crate, against bare sled and a raw append.
//!
//! Owns:  callers and batches, and the baselines' groups of the same size.
//! Never: sends anything.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use outbox::{Config, Outbox, Submitted, Ticket};

use crate::bare::{BareSled, RawLog};
use crate::options::{self, Common, Folder};
use crate::report::{Cell, Report, Table, Target, Unit};
use crate::rounds::{Contender, Figures, compete, for_a_while, rate};
use crate::workload::{self, Messages, RECORD_BYTES};

/// Options of `submit`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Bytes of a message
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1024, 16_384])]
    payload: Vec<usize>,
    /// Callers at the same time, each with one message under way
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 1024])]
    callers: Vec<u64>,
    /// Messages of one `submit_many`
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256])]
    batches: Vec<u64>,
    /// Conversations that the messages belong to
    #[arg(long, default_value_t = 64)]
    conversations: u64,
    /// How long each contender runs in each round
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = options::duration)]
    slice: Duration,
}

/// Bytes of a group at the most: the store ends a group there, so the baselines do, too.
const GROUP_BYTES_MAX: usize = outbox::limits::GROUP_BYTES_MAX;

/// More callers than this are played by a few threads, each with many messages under way.
const THREADS_MAX: u64 = 128;

/// Threads that play many callers.
const PLAYERS: u64 = 8;

/// Bytes of the raw log: several times a group, so that what is written is not what was written just before.
const RAW_BYTES: usize = 64 * 1024 * 1024;

/// How messages come.
#[derive(Clone, Copy)]
enum Way {
    Callers(u64),
    Batch(u64),
}

impl Way {
    const fn group(self) -> u64 {
        match self {
            Self::Callers(count) | Self::Batch(count) => count,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Callers(1) => "1 caller".to_owned(),
            Self::Callers(count) => format!("{count} callers"),
            Self::Batch(count) => format!("batches of {count}"),
        }
    }
}

/// What all contenders of one row share.
struct Load {
    way: Way,
    payload: Vec<u8>,
    conversations: u64,
    slice: Duration,
}

impl Load {
    /// Messages of a baseline's group.
    fn group(&self) -> u64 {
        let fit = GROUP_BYTES_MAX / (self.payload.len() + RECORD_BYTES);
        self.way.group().clamp(1, fit.max(1) as u64)
    }

    fn submit(&self, messages: &Messages) -> outbox::Submit {
        workload::submit(messages.next(), self.conversations, &self.payload)
    }
}

pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut folder = options.common.folder()?;
    let mut raw = RawLog::create(&folder.fresh(), RAW_BYTES)?;
    let mut report = Report::new("submit");
    report.set("rounds", options.common.rounds);
    report.set("slice", options::shown(options.slice));
    report.set("conversations", options.conversations);
    let headings =
        ["payload", "how", "outbox", "bare sled", "raw append", "outbox/sled", "outbox/raw", "target"];
    let mut table = Table::new("Durable submits of the crate, messages a second", &headings);
    let callers = options.callers.iter().map(|count| Way::Callers(*count));
    let ways: Vec<Way> = callers.chain(options.batches.iter().map(|count| Way::Batch(*count))).collect();
    for bytes in &options.payload {
        for way in &ways {
            ensure!(way.group() > 0, "callers and batches begin at 1");
            let payload = workload::payload(*bytes);
            let load =
                Load { way: *way, payload, conversations: options.conversations, slice: options.slice };
            let figures = measure(&load, options.common.rounds, &mut folder, &mut raw)?;
            table.push(row(&load, &figures));
        }
    }
    report.table(table);
    report.note(format!(
        "bare sled: two keys a message (a record of {RECORD_BYTES} bytes under its msgID, the payload under its number), \
         one batch, flush and sync_data for each group"
    ));
    report.note("raw append: the payloads in one write and one sync_data for each group, into a file whose space was written \
         before");
    report.note(
        "a baseline's group has as many messages as there are callers or as the batch has, up to the 1 MiB \
         at which the store ends a group",
    );
    Ok(report)
}

fn row(load: &Load, figures: &Figures) -> Vec<Cell> {
    let ratio = figures.ratio(0, 1);
    let target = Target::AtLeast(0.6, Unit::Ratio);
    vec![
        Cell::one(load.payload.len() as f64, Unit::Bytes),
        Cell::text(load.way.shown()),
        Cell::Figure(figures.spread(0), Unit::PerSecond),
        Cell::Figure(figures.spread(1), Unit::PerSecond),
        Cell::Figure(figures.spread(2), Unit::PerSecond),
        Cell::Figure(ratio, Unit::Ratio),
        Cell::Figure(figures.ratio(0, 2), Unit::Ratio),
        if load.payload.len() == 1024 { target.verdict(ratio.median) } else { Cell::Nothing },
    ]
}

fn measure(load: &Load, rounds: u32, folder: &mut Folder, raw: &mut RawLog) -> Result<Figures> {
    let outbox = Outbox::open(Config::new(folder.fresh()))?;
    let bare = BareSled::open(&folder.fresh())?;
    let (of_outbox, of_bare) = (Messages::default(), Messages::default());
    let figures = compete(
        rounds,
        &mut [
            Contender::new("outbox", || match load.way {
                Way::Batch(count) => batches(&outbox, load, &of_outbox, count),
                Way::Callers(count) if count <= THREADS_MAX => callers(&outbox, load, &of_outbox, count, 1),
                Way::Callers(count) => callers(&outbox, load, &of_outbox, PLAYERS, count.div_ceil(PLAYERS)),
            }),
            Contender::new("bare sled", || for_a_while(load.slice, || commit_new(&bare, load, &of_bare))),
            Contender::new("raw append", || for_a_while(load.slice, || append(raw, load))),
        ],
    );
    outbox.close();
    figures
}

fn batches(outbox: &Outbox, load: &Load, messages: &Messages, count: u64) -> Result<f64> {
    for_a_while(load.slice, || {
        for answer in outbox.submit_many((0..count).map(|_| load.submit(messages))) {
            accepted(&answer?)?;
        }
        Ok(count)
    })
}

/// So many threads, each with so many messages under way.
fn callers(outbox: &Outbox, load: &Load, messages: &Messages, threads: u64, each: u64) -> Result<f64> {
    let (started, carried) = (Instant::now(), AtomicU64::new(0));
    let ended = std::thread::scope(|scope| {
        let call = || call_until(outbox, load, messages, each, started + load.slice, &carried);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(call)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a caller panicked")))
            .collect::<Vec<_>>()
    });
    let took = started.elapsed();
    for end in ended {
        end??;
    }
    Ok(rate(carried.into_inner(), took))
}

fn call_until(
    outbox: &Outbox,
    load: &Load,
    messages: &Messages,
    each: u64,
    deadline: Instant,
    carried: &AtomicU64,
) -> Result<()> {
    let mut under_way: VecDeque<Ticket<Submitted>> = VecDeque::new();
    loop {
        if Instant::now() < deadline {
            while (under_way.len() as u64) < each {
                under_way.push_back(outbox.submit(load.submit(messages)));
            }
        }
        let Some(ticket) = under_way.pop_front() else { return Ok(()) };
        accepted(&ticket.wait()?)?;
        carried.fetch_add(1, Ordering::Relaxed);
    }
}

fn accepted(submitted: &Submitted) -> Result<()> {
    ensure!(!submitted.duplicate, "message {} was there already", submitted.msg_id);
    Ok(())
}

fn commit_new(bare: &BareSled, load: &Load, messages: &Messages) -> Result<u64> {
    let group = load.group();
    let mut rows = Vec::with_capacity(2 * group as usize);
    for _ in 0..group {
        let number = messages.next();
        rows.push((workload::msg_id(number).into_bytes(), Some(workload::record(number))));
        rows.push((number.to_be_bytes().to_vec(), Some(load.payload.clone())));
    }
    bare.commit(rows)?;
    Ok(group)
}

fn append(raw: &mut RawLog, load: &Load) -> Result<u64> {
    let group = load.group();
    raw.append((0..group).map(|_| load.payload.as_slice()))?;
    Ok(group)
}
