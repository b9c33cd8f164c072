//! `life`: whole lives of messages through the crate, against bare sled and, if built in, a peer.
//!
//! Owns:  submit, lease and settle in groups, and the baseline's three changes in groups of the same size.
//! Never: sends anything: each attempt succeeds at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use outbox::{Class, Config, Lease, LeaseId, LeaseRequest, Outbox, Outcome, Replacement, Report as Outcomes};

use crate::bare::{BareSled, Rows};
use crate::options::{self, Common, Folder};
#[cfg(feature = "peers")]
use crate::peers::Effectum;
use crate::report::{Cell, Report, Table, Target, Unit};
use crate::rounds::{Contender, Figures, compete, for_a_while};
use crate::workload::{self, Messages, RECORD_BYTES};

/// Options of `life`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Messages of a group
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256])]
    groups: Vec<u64>,
    /// Bytes of a message
    #[arg(long, default_value_t = 1024)]
    payload: usize,
    /// Conversations that take turns: of each, one message can be leased at a time
    #[arg(long, default_value_t = 64)]
    conversations: u64,
    /// How long each contender runs in each round
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = options::duration)]
    slice: Duration,
}

/// One group size.
struct Load {
    group: u64,
    payload: Vec<u8>,
    conversations: u64,
    slice: Duration,
}

/// Bytes of the replacement: a small new message.
const REPLACEMENT_BYTES: usize = 100;

pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut folder = options.common.folder()?;
    let mut report = Report::new("life");
    report.set("rounds", options.common.rounds);
    report.set("slice", options::shown(options.slice));
    report.set("payload", options.payload);
    report.set("conversations", options.conversations);
    let mut headings =
        vec!["group", "outbox", "bare sled", "whole groups", "outbox/sled", "outbox/whole", "target"];
    headings.extend(peer_headings());
    let title = "Lives of messages (submit, lease, settle as sent), messages a second";
    let mut table = Table::new(title, &headings);
    for group in &options.groups {
        ensure!(*group > 0 && options.conversations > 0, "groups and conversations begin at 1");
        let payload = workload::payload(options.payload);
        let load =
            Load { group: *group, payload, conversations: options.conversations, slice: options.slice };
        let figures = measure(&load, options.common.rounds, &mut folder)?;
        table.push(row(&load, &figures));
    }
    report.table(table);
    for note in notes() {
        report.note(note);
    }
    Ok(report)
}

fn notes() -> Vec<String> {
    let mut notes = vec![
        format!(
            "bare sled: two keys are inserted (a record of {RECORD_BYTES} bytes, the payload), the record is \
             rewritten, then rewritten as a receipt while the payload's key goes; each change of each group is \
             one batch, flush and sync_data"
        ),
        "bare sled leases and settles in the groups that the conversations allow, as the store must; whole groups: \
         the same without conversations, all three changes in the full group"
            .to_owned(),
    ];
    if cfg!(feature = "peers") {
        notes.push(PEER_NOTE.to_owned());
    }
    notes
}

const PEER_NOTE: &str = "effectum 0.7 (SQLite): add_jobs of a group, then jobs that complete at once, as many at a \
     time as the group has. It sets synchronous=NORMAL and asks for WAL by a name that SQLite does not know: it runs \
     with the rollback journal, where NORMAL syncs journal and database at each commit. Up to 50 operations \
     share one commit";

#[cfg(feature = "peers")]
fn peer_headings() -> Vec<&'static str> {
    vec!["effectum", "outbox/effectum"]
}

#[cfg(not(feature = "peers"))]
fn peer_headings() -> Vec<&'static str> {
    Vec::new()
}

fn row(load: &Load, figures: &Figures) -> Vec<Cell> {
    let ratio = figures.ratio(0, 1);
    let mut row = vec![
        Cell::count(load.group),
        Cell::Figure(figures.spread(0), Unit::PerSecond),
        Cell::Figure(figures.spread(1), Unit::PerSecond),
        Cell::Figure(figures.spread(2), Unit::PerSecond),
        Cell::Figure(ratio, Unit::Ratio),
        Cell::Figure(figures.ratio(0, 2), Unit::Ratio),
        Target::AtLeast(0.6, Unit::Ratio).verdict(ratio.median),
    ];
    if cfg!(feature = "peers") {
        row.push(Cell::Figure(figures.spread(3), Unit::PerSecond));
        row.push(Cell::Figure(figures.ratio(0, 3), Unit::Ratio));
    }
    row
}

fn measure(load: &Load, rounds: u32, folder: &mut Folder) -> Result<Figures> {
    let outbox = Outbox::open(Config::new(folder.fresh()))?;
    let bare = BareSled::open(&folder.fresh())?;
    let whole = BareSled::open(&folder.fresh())?;
    #[cfg(feature = "peers")]
    let peer = Effectum::open(&folder.fresh(), load.group)?;
    let [of_outbox, of_bare, of_whole] = [Messages::default(), Messages::default(), Messages::default()];
    let lanes = load.group.min(load.conversations);
    let mut contenders = vec![
        Contender::new("outbox", || for_a_while(load.slice, || live(&outbox, load, &of_outbox))),
        Contender::new("bare sled", || {
            for_a_while(load.slice, || three_changes(&bare, load, &of_bare, lanes))
        }),
        Contender::new("bare sled in whole groups", || {
            for_a_while(load.slice, || three_changes(&whole, load, &of_whole, load.group))
        }),
    ];
    #[cfg(feature = "peers")]
    contenders.push(Contender::new("effectum", || for_a_while(load.slice, || peer.live(&load.payload))));
    let figures = compete(rounds, &mut contenders);
    drop(contenders);
    let sent = outbox.counters().sent_total;
    ensure!(sent == of_outbox.next(), "{sent} messages were sent, others were not");
    outbox.close();
    figures
}

/// One group from submit to receipts.
fn live(outbox: &Outbox, load: &Load, messages: &Messages) -> Result<u64> {
    let submits =
        (0..load.group).map(|_| workload::submit(messages.next(), load.conversations, &load.payload));
    for answer in outbox.submit_many(submits) {
        answer?;
    }
    let mut sent = 0;
    while sent < load.group {
        let request = LeaseRequest { max: load.group as usize, ..LeaseRequest::default() };
        let leases = outbox.lease(request).wait().context("leasing")?;
        ensure!(!leases.is_empty(), "nothing is due although {} messages wait", load.group - sent);
        sent += leases.len() as u64;
        for answer in outbox.settle_many(leases.into_iter().map(as_sent)) {
            answer.context("settling")?;
        }
    }
    Ok(sent)
}

pub(crate) fn settle_as_sent(outbox: &Outbox, lease: Lease) -> outbox::Ticket<outbox::Settled> {
    let (id, outcome) = as_sent(lease);
    outbox.settle(id, outcome)
}

fn as_sent(lease: Lease) -> (LeaseId, Outcomes) {
    let new_msg_id = Some(format!("{}-new", lease.msg_id));
    let outcome = Outcomes {
        outcome: Outcome::Sent,
        code: 0,
        desc: "ok".to_owned(),
        class: Class::Ok,
        retry_after: None,
        replacement: Some(Replacement { new_msg_id, data: workload::payload(REPLACEMENT_BYTES) }),
    };
    (lease.id, outcome)
}

/// The same three changes of each message as rows; the second and third in groups of at most `part`.
fn three_changes(bare: &BareSled, load: &Load, messages: &Messages, part: u64) -> Result<u64> {
    let numbers: Vec<u64> = (0..load.group).map(|_| messages.next()).collect();
    let record = |number: u64, bytes: usize| {
        let mut record = workload::record(number);
        record.resize(RECORD_BYTES + bytes, 0);
        (workload::msg_id(number).into_bytes(), Some(record))
    };
    let seq = |number: u64| number.to_be_bytes().to_vec();
    let mut accepted = Rows::new();
    for number in &numbers {
        accepted.push(record(*number, 0));
        accepted.push((seq(*number), Some(load.payload.clone())));
    }
    bare.commit(accepted)?;
    for part in numbers.chunks(part.max(1) as usize) {
        bare.commit(part.iter().map(|number| record(*number, 0)).collect())?;
        let receipts =
            part.iter().flat_map(|number| [record(*number, REPLACEMENT_BYTES), (seq(*number), None)]);
        bare.commit(receipts.collect())?;
    }
    Ok(load.group)
}
