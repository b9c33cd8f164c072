//! The verbs: each one transaction, each one file.
//!
//! Owns:  the parts that several verbs share: applying a step, recording an attempt, ending an entry.
//! Never: touches the disk or waits (`writer` runs a verb inside a group).

mod accounts;
mod ask;
mod batch;
pub(crate) mod ending;
mod lease;
mod restore;
mod settle;
pub(crate) mod submit;
mod tick;

pub use accounts::GateChange;
pub(crate) use accounts::{Paused, Scope, Swept, flush, set_account, set_paused, wake_not_reached};
pub(crate) use ask::NewPayload;
pub use ask::{Cancelled, Changed, Overrides, Resolution};
pub(crate) use ask::{cancel, hold, release, resend, resolve};
pub(crate) use batch::batch;
pub use batch::{Batch, BatchOp, Batched};
pub use lease::{Lease, LeaseId, LeaseRequest, LeaseTo, Room};
pub(crate) use lease::{extend, lease, put_off, take_back};
pub use restore::Restored;
pub(crate) use restore::{restore_entry, restore_receipt};
pub use settle::Settled;
pub(crate) use settle::settle;
pub(crate) use submit::{Prepared, prepare, submit, write_data_file, write_payload_file};
pub use submit::{Submit, Submitted};
pub use tick::Ticked;
pub(crate) use tick::{Before, end_windows, note_boot, recover, tick};

use crate::clock::{Timestamp, WallTime};
use crate::entry::{AttemptRecord, Entry, LastError, Phase, Place, Receipt};
use crate::error::Result;
use crate::lifecycle::{Next, Step};
use crate::limits::{DESC_BYTES_MAX, HISTORY_MAX};
use crate::notice::EventKind;
use crate::outcome::{CODE_CRASH_LOOP, CODE_EXPIRED, CODE_MAYBE_REACHED, Class, Outcome, Report};
use crate::state::State;
use crate::tx::Tx;
use crate::view::state_of;

/// What became of an entry in a step.
pub(crate) enum Became {
    Entry(Entry, State),
    Receipt(Receipt),
}

impl Became {
    pub(crate) fn state(&self) -> State {
        match self {
            Self::Entry(_, state) => *state,
            Self::Receipt(receipt) => receipt.state(),
        }
    }
}

/// Writes what a step made of `old`. `new` is `old` with its history already extended.
pub(crate) fn apply(
    tx: &mut Tx<'_>,
    old: &Entry,
    mut new: Entry,
    step: Step,
    report: Option<&Report>,
) -> Result<Became> {
    let delivery = match step.next {
        Next::Receipt(ending, delivery) => {
            new.delivery = delivery;
            return ending::finish(tx, old, &new, ending, report).map(Became::Receipt);
        }
        Next::Entry(delivery) => delivery,
    };
    new.delivery = delivery;
    note_own_error(&mut new, tx.now.wall);
    if matches!(new.delivery.phase, Phase::Expired { .. }) && new.identity.online_user_only {
        new.payload = Place::Nowhere;
    }
    tx.put_entry(Some(old), &new)?;
    let state = state_of(tx, &new, tx.now)?;
    if step.uncertain {
        tx.announce(EventKind::Uncertain, &new, state)?;
    }
    if let Some(kind) = event_of(&old.delivery.phase, &new.delivery.phase) {
        tx.announce(kind, &new, state)?;
    }
    Ok(Became::Entry(new, state))
}

/// Which event a change of phase is.
fn event_of(old: &Phase, new: &Phase) -> Option<EventKind> {
    match (old, new) {
        (Phase::Failed { .. }, Phase::Failed { .. }) | (Phase::Expired { .. }, Phase::Expired { .. }) => None,
        (Phase::Held { .. }, Phase::Held { .. }) | (Phase::Sending { .. }, Phase::Sending { .. }) => None,
        (_, Phase::Failed { .. }) => Some(EventKind::Failed),
        (_, Phase::Expired { .. }) => Some(EventKind::Expired),
        (_, Phase::Held { .. }) => Some(EventKind::Held),
        (_, Phase::Sending { .. }) => Some(EventKind::Sending),
        (Phase::Sending { .. }, Phase::Waiting { .. }) => Some(EventKind::Deferred),
        (Phase::Waiting { .. }, Phase::Waiting { .. }) => None,
        (_, Phase::Waiting { .. }) => Some(EventKind::Released),
        // Announced by the step itself.
        (_, Phase::Uncertain { .. }) => None,
    }
}

/// Where no service gave a reason for an end, the outbox's own code stands in its place.
fn note_own_error(entry: &mut Entry, at: WallTime) {
    let (code, desc, class) = match entry.delivery.phase {
        Phase::Expired { .. } => (CODE_EXPIRED, "not sent within its time to live", Class::Expired),
        Phase::Failed { class, .. } if Class::from(class) == Class::CrashLoop => (
            CODE_CRASH_LOOP,
            "the process died three times in a row while it sent this message",
            Class::CrashLoop,
        ),
        Phase::Failed { class, .. } if Class::from(class) == Class::Uncertain => match &entry.last_error {
            Some(error) => (error.code, "", Class::Uncertain),
            None => (CODE_MAYBE_REACHED, "an attempt's outcome stayed unknown", Class::Uncertain),
        },
        _ => return,
    };
    let same = entry.last_error.as_ref().is_some_and(|error| Class::from(error.class) == class);
    if same {
        return;
    }
    let desc = match &entry.last_error {
        Some(error) if desc.is_empty() => error.desc.clone(),
        _ => desc.to_owned(),
    };
    entry.last_error = Some(LastError { code, desc, class: class.into(), at });
}

/// Adds an attempt to the history, and to the last error if it did not succeed.
pub(crate) fn record_attempt(
    entry: &mut Entry,
    attempt: u32,
    begun: WallTime,
    took_ms: Option<u64>,
    report: &Report,
    now: WallTime,
) {
    let record = AttemptRecord {
        attempt,
        at: begun,
        outcome: report.outcome.into(),
        code: report.code,
        desc: cut(&report.desc, DESC_BYTES_MAX),
        took_ms,
    };
    note_error(&mut entry.last_error, &record, report, now);
    push_record(&mut entry.history, record);
}

/// The same for an answer that came after its lease was over; the history still knows when its attempt began.
pub(crate) fn record_late(
    history: &mut Vec<AttemptRecord>,
    last_error: &mut Option<LastError>,
    attempt: u32,
    report: &Report,
    now: WallTime,
) {
    let known = history.iter().rev().find(|record| record.attempt == attempt);
    let record = AttemptRecord {
        attempt,
        at: known.map_or(now, |record| record.at),
        outcome: report.outcome.into(),
        code: report.code,
        desc: cut(&report.desc, DESC_BYTES_MAX),
        took_ms: None,
    };
    note_error(last_error, &record, report, now);
    push_record(history, record);
}

fn note_error(last_error: &mut Option<LastError>, record: &AttemptRecord, report: &Report, now: WallTime) {
    if !matches!(report.outcome, Outcome::Sent | Outcome::Duplicate) {
        let class = report.class.into();
        *last_error = Some(LastError { code: record.code, desc: record.desc.clone(), class, at: now });
    }
}

fn push_record(history: &mut Vec<AttemptRecord>, record: AttemptRecord) {
    history.push(record);
    let excess = history.len().saturating_sub(HISTORY_MAX);
    history.drain(..excess);
}

/// The report of an attempt whose holder was never heard of again.
pub(crate) fn lost_report(desc: &str) -> Report {
    Report {
        outcome: Outcome::MaybeReached,
        code: CODE_MAYBE_REACHED,
        desc: desc.into(),
        class: Class::TransientNetwork,
        retry_after: None,
        replacement: None,
    }
}

/// The attempt under way: its number, when it began for people and for schedules.
pub(crate) fn under_way(entry: &Entry) -> Option<(u32, WallTime, Timestamp)> {
    match entry.delivery.phase {
        Phase::Sending { attempt, since, started, .. } => Some((attempt, since, started)),
        _ => None,
    }
}

/// At most `max` bytes of a text, cut between characters.
pub(crate) fn cut(text: &str, max: usize) -> String {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default().to_owned()
}

/// A person's reason within its limit.
pub(crate) fn cut_reason(reason: Option<String>) -> Option<String> {
    reason.map(|reason| cut(&reason, crate::limits::REASON_BYTES_MAX))
}
