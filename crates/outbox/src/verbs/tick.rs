//! Tick: everything that happens to entries by itself when its time has come.
//!
//! Owns:  expiry, lapsed leases, ended windows, retention, heads that become due, and the recovery of
//!        attempts that a dead process left behind.
//! Never: leases, waits.

use crate::clock::{BootId, Timestamp};
use crate::disk::{Rows, after_key};
use crate::entry::{Entry, Holder, Phase};
use crate::error::{Error, Result};
use crate::keys::{self, StateIndex};
use crate::lifecycle::{Death, Event, step};
use crate::limits::SWEEP_MAX;
use crate::outcome::Outcome;
use crate::tx::{Record, Tx, load_message};
use crate::verbs::{Became, apply, ending, lost_report, record_attempt, under_way};
use crate::view::{next_wake, state_of};

/// What a tick did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticked {
    /// The next moment at which something happens by itself. In the past: there is more to do now.
    pub next: Option<Timestamp>,
}

/// Handles what is due by itself, a bounded number at a time.
pub(crate) fn tick(tx: &mut Tx<'_>) -> Result<Ticked> {
    for _ in 0..SWEEP_MAX {
        if !fire_timer(tx)? {
            break;
        }
    }
    promote_due(tx)?;
    let more = ending::prune(tx)?.then_some(tx.now.time);
    let oldest = ending::oldest_event(tx)?;
    let retention = oldest.map(|(_, event)| event.time.plus(tx.config.sent_retention));
    let next = [next_wake(tx, tx.now.time)?, retention, more].into_iter().flatten().min();
    Ok(Ticked { next })
}

/// Handles the first timer that has come; tells whether there was one.
fn fire_timer(tx: &mut Tx<'_>) -> Result<bool> {
    let Some((key, msg_id)) = tx.next(b"x", b"x")? else { return Ok(false) };
    if keys::number_at(&key, 1) > tx.now.time.0 {
        return Ok(false);
    }
    let text = String::from_utf8_lossy(&msg_id).into_owned();
    let seq = keys::tail_number(&key);
    match load_message(tx, &text) {
        Ok(Some(Record::Entry(entry))) if entry.identity.seq == seq => {
            let became = on_timer(tx, &entry)?;
            // The same moment may be the timer of what it has become (kept for no time at all).
            if let Became::Entry(new, _) = became
                && new.delivery != entry.delivery
                && new.delivery.timer().is_some_and(|at| keys::timer(at, seq) == key)
            {
                return Ok(true);
            }
        }
        Ok(_) => {}
        Err(Error::BadRecord { reason, .. }) => tx.set_aside_entry(seq, &text, &reason.to_string())?,
        Err(error) => return Err(error),
    }
    // What still stands there leads nowhere, or would fire again at once.
    if tx.get(&key)?.is_some() {
        tx.remove(key);
    }
    Ok(true)
}

/// Does to an entry what its timers say; nothing if none has come.
pub(crate) fn on_timer(tx: &mut Tx<'_>, entry: &Entry) -> Result<Became> {
    let stepped =
        step(&entry.delivery, &Event::Timer, &tx.context(entry)).map_err(|_| Error::WrongState {
            msg_id: entry.identity.msg_id.clone(),
            state: crate::state::State::Queued,
            why: "it has no timer",
        })?;
    if stepped.next == crate::lifecycle::Next::Entry(entry.delivery.clone()) {
        let state = state_of(tx, entry, tx.now)?;
        return Ok(Became::Entry(entry.clone(), state));
    }
    let mut new = entry.clone();
    if let Some((attempt, since, started)) = under_way(entry) {
        let lapsed = lost_report("the lease lapsed before the attempt was reported");
        let took_ms = Some(tx.now.time.since_ms(started));
        record_attempt(&mut new, attempt, since, took_ms, &lapsed, tx.now.wall);
        tx.note_outcome(lapsed.outcome);
    }
    apply(tx, entry, new, stepped, None)
}

/// Moves deferred lane heads whose time has come to those that are due, a bounded number of them.
pub(crate) fn promote_due(tx: &mut Tx<'_>) -> Result<()> {
    for _ in 0..SWEEP_MAX {
        if !promote(tx)? {
            break;
        }
    }
    Ok(())
}

/// Moves the first deferred lane head whose time has come to those that are due.
fn promote(tx: &mut Tx<'_>) -> Result<bool> {
    let Some((key, _)) = tx.next(b"d", b"d")? else { return Ok(false) };
    if keys::number_at(&key, 1) > tx.now.time.0 {
        return Ok(false);
    }
    tx.look_at_lane(keys::tail_lane(&key))?;
    if tx.get(&key)?.is_some() {
        // The lane is gone or thinks otherwise; the row leads nowhere.
        tx.remove(key);
        tx.counters.deferred = tx.counters.deferred.saturating_sub(1);
    }
    Ok(true)
}

/// After a reboot no window is open any more: ends those of waiting entries; returns where to go on. Each has a
/// timer at its window's end, which is no later than a whole window from now.
pub(crate) fn end_windows(tx: &mut Tx<'_>, before: Before, from: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    let window = tx.config.policy.dedup_window;
    let last = tx.now.time.plus(window.one_to_one.max(window.group));
    let mut from = from.unwrap_or_else(|| b"x".to_vec());
    for _ in 0..SWEEP_MAX {
        let Some((key, msg_id)) = tx.next(b"x", &from)? else { return Ok(None) };
        if before.boot == tx.boot || keys::number_at(&key, 1) > last.0 {
            return Ok(None);
        }
        from = after_key(&key);
        let found = load_message(tx, &String::from_utf8_lossy(&msg_id));
        if let Ok(Some(Record::Entry(entry))) = found
            && has_window(&entry)
            // What has expired meanwhile is for the first tick.
            && tx.now.time < entry.delivery.deadline
        {
            on_timer(tx, &entry)?;
        }
    }
    Ok(Some(from))
}

/// Whether an entry waits inside its de-duplication window.
fn has_window(entry: &Entry) -> bool {
    let delivery = &entry.delivery;
    matches!(delivery.phase, Phase::Waiting { .. })
        && delivery.unresolved.is_some()
        && !delivery.possible_duplicate
}

/// How the process before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// It closed the spool in order.
    pub(crate) clean: bool,
    /// The boot in which it ran.
    pub(crate) boot: BootId,
}

/// Writes this boot down with the first start in it: a wall clock that is set later would else be taken, at the next start, for
/// time in which the machine was off.
pub(crate) fn note_boot(tx: &mut Tx<'_>) {
    if tx.counters.clock.time > Timestamp(0) {
        tx.counters.clock.boot = tx.boot;
    }
}

/// Ends the attempts that a dead process left behind; returns where to go on.
pub(crate) fn recover(tx: &mut Tx<'_>, before: Before, from: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    let prefix = keys::states(StateIndex::Sending);
    let mut from = from.unwrap_or_else(|| prefix.clone());
    for _ in 0..SWEEP_MAX {
        let Some((key, msg_id)) = tx.next(&prefix, &from)? else { return Ok(None) };
        from = after_key(&key);
        let text = String::from_utf8_lossy(&msg_id).into_owned();
        let Ok(Some(Record::Entry(entry))) = load_message(tx, &text) else { continue };
        let Phase::Sending { attempt, since, started, holder, .. } = entry.delivery.phase else { continue };
        if let Holder::App { boot, .. } = holder
            && boot == tx.boot
        {
            continue;
        }
        let death = match holder {
            Holder::App { .. } => Death::Reboot,
            Holder::Process if before.boot != tx.boot => Death::Reboot,
            Holder::Process if before.clean => Death::Silent,
            Holder::Process => Death::Suspect,
        };
        let mut new = entry.clone();
        let what = match holder {
            Holder::Process => "the process ended during the attempt",
            Holder::App { .. } => "the machine was restarted during the attempt",
        };
        let took_ms = (before.boot == tx.boot).then(|| tx.now.time.since_ms(started));
        record_attempt(&mut new, attempt, since, took_ms, &lost_report(what), tx.now.wall);
        if let Ok(stepped) = step(&entry.delivery, &Event::Death(death), &tx.context(&entry)) {
            apply(tx, &entry, new, stepped, None)?;
            tx.note_outcome(Outcome::MaybeReached);
        }
    }
    Ok(Some(from))
}
