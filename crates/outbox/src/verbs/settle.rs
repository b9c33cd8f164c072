//! Settle: an attempt's outcome is recorded and its lease ends.
//!
//! Owns:  settles on time, late ones, repeated ones, and what an outcome means for the account.
//! Never: judges an answer of a service (the transport reports an outcome).

use crate::clock::WallTime;
use crate::entry::{Entry, Gate, Receipt, SettledAs};
use crate::error::{Error, Result};
use crate::lifecycle::{Event, Refusal, step};
use crate::limits::{
    GATE_TRY_INITIAL, GATE_TRY_MAX, LIMITED_INITIAL, LIMITED_MAX, REASON_BYTES_MAX, RETRY_AFTER_MAX,
    SETTLED_MAX,
};
use crate::outcome::{Outcome, Report};
use crate::state::State;
use crate::tx::{Record, Tx, load_message};
use crate::verbs::accounts::announce_account;
use crate::verbs::{Became, LeaseId, apply, cut, ending, record_attempt, record_late, under_way};
use crate::view::state_of;

/// The answer to a settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The message's state after it.
    pub state: State,
    /// It was the first word on its attempt, not a repetition.
    pub is_news: bool,
    /// Its lease was over when it came: it says nothing of the network now.
    pub is_late: bool,
}

/// Records the outcome of a lease.
pub(crate) fn settle(tx: &mut Tx<'_>, id: &LeaseId, report: &Report) -> Result<Settled> {
    match load_message(tx, id.msg_id())? {
        Some(Record::Entry(entry)) if id.is_of(&entry.identity) => settle_entry(tx, id, entry, report),
        Some(Record::Receipt(receipt)) if id.is_of(&receipt.identity) => {
            settle_receipt(tx, id, receipt, report)
        }
        _ => Err(Error::NoLease { lease: cut(&id.to_string(), 64) }),
    }
}

const fn news(state: State) -> Settled {
    Settled { state, is_news: true, is_late: false }
}

const fn known(state: State) -> Settled {
    Settled { state, is_news: false, is_late: false }
}

fn is_success(report: &Report) -> bool {
    matches!(report.outcome, Outcome::Sent | Outcome::Duplicate)
}

fn settle_entry(tx: &mut Tx<'_>, id: &LeaseId, old: Entry, report: &Report) -> Result<Settled> {
    let is_newest = old.delivery.starts == id.start();
    match (is_newest, under_way(&old), answered(&old.settled, id)) {
        (true, Some(attempt), _) => on_time(tx, id, old, attempt, report),
        // A repetition: it is answered as the first was, whatever came after.
        (_, _, Some(state)) if !is_success(report) => Ok(known(state)),
        (true, None, _) => late(tx, id, old, report),
        (false, _, _) if is_success(report) => late(tx, id, old, report),
        (false, _, _) => Err(Error::WrongState {
            msg_id: old.identity.msg_id.clone(),
            state: state_of(tx, &old, tx.now)?,
            why: "a newer attempt has begun",
        }),
    }
}

/// What the holder of this lease was answered before.
fn answered(settled: &[SettledAs], id: &LeaseId) -> Option<State> {
    settled.iter().rev().find(|settled| settled.start == id.start()).map(|settled| settled.state.into())
}

fn on_time(
    tx: &mut Tx<'_>,
    id: &LeaseId,
    old: Entry,
    (attempt, since, started): (u32, WallTime, crate::clock::Timestamp),
    report: &Report,
) -> Result<Settled> {
    let mut new = old.clone();
    let took_ms = Some(tx.now.time.since_ms(started));
    record_attempt(&mut new, attempt, since, took_ms, report, tx.now.wall);
    let stepped = step(&old.delivery, &Event::Report(report), &tx.context(&old))
        .map_err(|refusal| refused(&old, refusal))?;
    let account = old.identity.account.clone();
    let became = apply(tx, &old, new, stepped, Some(report))?;
    mind_account(tx, &account, report, &old)?;
    tx.note_outcome(report.outcome);
    remember(tx, id, became)
}

/// The lease had lapsed, or its message had ended otherwise, when its answer arrived.
fn late(tx: &mut Tx<'_>, id: &LeaseId, old: Entry, report: &Report) -> Result<Settled> {
    let mut new = old.clone();
    record_late(&mut new.history, &mut new.last_error, id.attempt(), report, tx.now.wall);
    let stepped = step(&old.delivery, &Event::LateReport(report), &tx.context(&old))
        .map_err(|refusal| refused(&old, refusal))?;
    let became = apply(tx, &old, new, stepped, Some(report))?;
    if is_success(report) {
        mind_account(tx, &old.identity.account, report, &old)?;
    }
    remember(tx, id, became).map(late_word)
}

const fn late_word(settled: Settled) -> Settled {
    Settled { is_late: true, ..settled }
}

fn settle_receipt(tx: &mut Tx<'_>, id: &LeaseId, old: Receipt, report: &Report) -> Result<Settled> {
    if is_success(report) {
        if old.state() == State::Sent {
            let is_first_word = answered(&old.settled, id).is_none_or(|state| state != State::Sent);
            return match is_first_word && ending::is_other_replacement(&old, report) {
                true => record_on_receipt(tx, id, Receipt { possible_duplicate: true, ..old }, report),
                false => Ok(known(State::Sent)),
            };
        }
        let corrected = ending::correct(tx, old, id.attempt(), report)?;
        return remember(tx, id, Became::Receipt(corrected)).map(late_word);
    }
    if let Some(state) = answered(&old.settled, id) {
        return Ok(known(state));
    }
    if old.starts == id.start() {
        return record_on_receipt(tx, id, old, report);
    }
    Err(Error::WrongState {
        msg_id: old.identity.msg_id.clone(),
        state: old.state(),
        why: "a newer attempt has begun",
    })
}

/// The first word on the newest attempt of a message that has ended otherwise, or of another attempt that was received
/// as well.
fn record_on_receipt(
    tx: &mut Tx<'_>,
    id: &LeaseId,
    mut receipt: Receipt,
    report: &Report,
) -> Result<Settled> {
    // The last error stays that of the end: it is what the message became.
    record_late(&mut receipt.history, &mut None, id.attempt(), report, tx.now.wall);
    tx.put(crate::keys::message(&receipt.identity.msg_id), &receipt)?;
    remember(tx, id, Became::Receipt(receipt)).map(late_word)
}

fn keep(settled: &mut Vec<SettledAs>, answer: SettledAs) {
    settled.retain(|before| before.start != answer.start);
    settled.push(answer);
    let excess = settled.len().saturating_sub(SETTLED_MAX);
    settled.drain(..excess);
}

/// Keeps the answer, so that a repetition of the settle gets the same.
fn remember(tx: &mut Tx<'_>, id: &LeaseId, became: Became) -> Result<Settled> {
    let state = became.state();
    let answer = SettledAs { start: id.start(), state: state.into() };
    match became {
        Became::Entry(mut new, _) => {
            keep(&mut new.settled, answer);
            tx.put(crate::keys::message(&new.identity.msg_id), &new)?;
        }
        // As it stands now: it may have been over a limit of what is kept as soon as it was written.
        Became::Receipt(written) => {
            if let Some(Record::Receipt(mut new)) = load_message(tx, &written.identity.msg_id)? {
                keep(&mut new.settled, answer);
                tx.put(crate::keys::message(&new.identity.msg_id), &new)?;
            }
        }
    }
    Ok(news(state))
}

fn refused(entry: &Entry, _: Refusal) -> Error {
    Error::WrongState {
        msg_id: entry.identity.msg_id.clone(),
        state: State::Sending,
        why: "it cannot be settled now",
    }
}

/// What an outcome means for everything else that the account sends.
fn mind_account(tx: &mut Tx<'_>, name: &str, report: &Report, entry: &Entry) -> Result<()> {
    let mut account = tx.account(name)?;
    let gate = match report.outcome {
        Outcome::Sent | Outcome::Duplicate if is_over(tx, &account.gate, entry) => Gate::Open,
        Outcome::Limited => limited(tx, &account.gate, report),
        Outcome::GateShut => shut(tx, &account.gate, report, entry),
        _ => return Ok(()),
    };
    if let Gate::Limited { until, .. } = &gate {
        tx.wake(*until);
    }
    if let Gate::Paused { try_at: Some(try_at), .. } = &gate {
        tx.wake(*try_at);
    }
    if gate == Gate::Open {
        tx.wake(tx.now.time);
    }
    if gate != account.gate {
        account.gate = gate;
        tx.put_account(&account)?;
        announce_account(tx, &account)?;
    }
    Ok(())
}

/// Whether a success shows that what the service had against the account is over. One that was under way
/// before does not.
fn is_over(tx: &Tx<'_>, gate: &Gate, entry: &Entry) -> bool {
    match gate {
        Gate::Open | Gate::Paused { try_at: None, .. } => false,
        Gate::Limited { until, .. } => tx.now.time >= *until,
        Gate::Paused { from, .. } => under_way(entry).is_some_and(|(_, _, started)| started >= *from),
    }
}

fn limited(tx: &Tx<'_>, before: &Gate, report: &Report) -> Gate {
    let own_ms = match before {
        Gate::Limited { interval_ms, .. } => *interval_ms,
        // A pause outweighs a limit.
        Gate::Paused { .. } => return before.clone(),
        Gate::Open => millis(LIMITED_INITIAL),
    };
    // "Again at once" after "too fast" says nothing: taken at its word, it would be asked without end.
    let asked = report.retry_after.filter(|wait| !wait.is_zero());
    let asked_ms = asked.map(|wait| millis(wait.min(RETRY_AFTER_MAX)));
    let (wait_ms, interval_ms) = match asked_ms {
        Some(asked_ms) => (asked_ms, own_ms),
        None => (own_ms, own_ms.saturating_mul(2).min(millis(LIMITED_MAX))),
    };
    let until = tx.now.time.plus_ms(wait_ms);
    match before {
        // Another attempt of the same moment was limited as well: that is one limit, not two.
        Gate::Limited { until: earlier, interval_ms, since } if *earlier > tx.now.time => {
            Gate::Limited { since: *since, until: until.max(*earlier), interval_ms: *interval_ms }
        }
        _ => Gate::Limited { since: tx.now.wall, until, interval_ms },
    }
}

fn shut(tx: &Tx<'_>, before: &Gate, report: &Report, entry: &Entry) -> Gate {
    let is_app = matches!(
        entry.delivery.phase,
        crate::entry::Phase::Sending { holder: crate::entry::Holder::App { .. }, .. }
    );
    if let Gate::Paused { .. } = before {
        return before.clone();
    }
    let first =
        report.retry_after.map_or(GATE_TRY_INITIAL, |wait| wait.clamp(GATE_TRY_INITIAL, GATE_TRY_MAX));
    Gate::Paused {
        reason: cut(&format!("{} {}", report.code, report.desc), REASON_BYTES_MAX).trim_end().to_owned(),
        code: Some(report.code),
        since: tx.now.wall,
        from: tx.now.time,
        try_at: (!is_app).then(|| tx.now.time.plus(first)),
        try_interval_ms: millis(first).saturating_mul(2).min(millis(GATE_TRY_MAX)),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
