//! `outboxd import SPOOL`: messages from standard input, one a line, into a spool that no daemon runs on.
//!
//! Owns:  reading lines within a limit, how many are on their way to the drive at once, what is said of each.
//! Never: changes a message that the spool has already.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};

use outbox::{Outbox, Restored, Submitted, Ticket};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::line::Line;
use super::{Failure, Verdict, open, unline};
use crate::config::Config;
use crate::server::submit::to_store;
use crate::transport::verdict::{ANSWER_BYTES_MAX, Classes};

/// Lines on their way to the drive at once: enough to share groups.
const UNDER_WAY_MAX: usize = 256;

/// Refused lines that are told one by one; the rest is counted.
const TOLD_MAX: u64 = 20;

/// Bytes that a line may have beside its message and its replacement: ids, history, names.
const RECORD_BYTES_MAX: u64 = 256 * 1024;

/// Which kind of line it is.
#[derive(Deserialize)]
struct Kind {
    record: Option<IgnoredAny>,
    receipt: Option<IgnoredAny>,
}

/// One line on its way.
enum UnderWay {
    Restore(Ticket<Restored>),
    Submit(Ticket<Submitted>),
}

#[derive(Default)]
struct Counts {
    taken: u64,
    skipped: u64,
    refused: u64,
}

pub(super) fn run(config: &Config, mut input: impl BufRead) -> Result<Verdict, Failure> {
    let outbox = open(config)?;
    let line_max = config.spool.max_message_bytes + ANSWER_BYTES_MAX as u64 + RECORD_BYTES_MAX;
    let classes = Classes::new(config.classes.clone()).unwrap_or_default();
    let mut counts = Counts::default();
    let mut under_way = VecDeque::new();
    let mut number = 0_u64;
    loop {
        let mut bytes = Vec::new();
        let read = (&mut input).take(line_max + 1).read_until(b'\n', &mut bytes).map_err(Failure::Read)?;
        if read == 0 {
            break;
        }
        number += 1;
        if bytes.last() != Some(&b'\n') && read as u64 > line_max {
            refuse(&mut counts, number, &format!("it has more than {line_max} bytes"));
            skip_line(&mut input)?;
            continue;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match begin(&outbox, config, &classes, &bytes) {
            Ok(begun) => under_way.push_back((number, begun)),
            Err(wrong) => refuse(&mut counts, number, &wrong),
        }
        if under_way.len() >= UNDER_WAY_MAX {
            settle(&mut under_way, &mut counts, UNDER_WAY_MAX / 2)?;
        }
    }
    settle(&mut under_way, &mut counts, 0)?;
    outbox.close();
    if let Some(error) = outbox.failure() {
        return Err(error.into());
    }
    let Counts { taken, skipped, refused } = counts;
    let said = format!("{taken} taken in, {skipped} there already, {refused} refused");
    // Beside the exit code, which says whether all is well.
    let _ = writeln!(io::stderr().lock(), "outboxd: {said}");
    Ok(if refused == 0 { Verdict::Good } else { Verdict::Bad })
}

fn begin(outbox: &Outbox, config: &Config, classes: &Classes, bytes: &[u8]) -> Result<UnderWay, String> {
    // What stands in a message is nobody's concern here: its numbers and its depth are its own.
    let Kind { record, receipt } = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is not a JSON object on a line of its own: {error}"))?;
    if record.is_none() && receipt.is_none() {
        let submit = to_store(classes, config.spool.max_message_bytes, bytes);
        return Ok(UnderWay::Submit(outbox.submit(submit.map_err(|problem| problem.to_string())?)));
    }
    let mut line: Line = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match (line.record.take(), line.receipt.take()) {
        (Some(record), None) => {
            let (entry, payload) = unline::entry(line, record)?;
            Ok(UnderWay::Restore(outbox.restore_entry(entry, payload)))
        }
        (None, Some(receipt)) => {
            let (receipt, data) = unline::receipt(line, receipt)?;
            Ok(UnderWay::Restore(outbox.restore_receipt(receipt, data)))
        }
        _ => Err("it needs either `record` or `receipt`".to_owned()),
    }
}

/// Waits for the oldest lines until at most `left` are under way.
fn settle(
    under_way: &mut VecDeque<(u64, UnderWay)>,
    counts: &mut Counts,
    left: usize,
) -> Result<(), Failure> {
    while under_way.len() > left {
        let Some((number, begun)) = under_way.pop_front() else { return Ok(()) };
        let ended = match begun {
            UnderWay::Restore(ticket) => ticket.wait().map(|restored| restored == Restored::Taken),
            UnderWay::Submit(ticket) => ticket.wait().map(|submitted| !submitted.duplicate),
        };
        match ended {
            Ok(true) => counts.taken += 1,
            Ok(false) => counts.skipped += 1,
            Err(
                error @ (outbox::Error::Unhealthy { .. }
                | outbox::Error::Unreadable { .. }
                | outbox::Error::Closed),
            ) => {
                return Err(error.into());
            }
            Err(error) => refuse(counts, number, &error.to_string()),
        }
    }
    Ok(())
}

fn refuse(counts: &mut Counts, number: u64, wrong: &str) {
    counts.refused += 1;
    if counts.refused <= TOLD_MAX {
        // The number of refused lines is told at the end as well.
        let _ = writeln!(io::stderr().lock(), "outboxd: line {number} is refused: {wrong}");
    }
}

/// Passes over the rest of a line.
fn skip_line(input: &mut impl BufRead) -> Result<(), Failure> {
    loop {
        let buffer = input.fill_buf().map_err(Failure::Read)?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        input.consume(length);
        if ended {
            return Ok(());
        }
    }
}
