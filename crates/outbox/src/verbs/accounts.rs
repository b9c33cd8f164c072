//! Accounts, pause and flush: what holds back or lets go more than one message.
//!
//! Owns:  gates by a person's word, the pause of everything, making deferred entries due.
//! Never: changes an entry's counters.

use crate::disk::{Rows, after_key};
use crate::entry::{Account, Cause, Entry, Gate, Lane, LaneKey, Phase};
use crate::error::{Error, Result};
use crate::keys;
use crate::lifecycle::{Event, step};
use crate::limits::{LIST_SCAN_MAX, SWEEP_MAX};
use crate::notice::{self, EventKind};
use crate::tx::{Tx, entry_at, load};
use crate::verbs::submit::is_id;
use crate::verbs::{apply, cut_reason};

/// A person's or the app's word on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateChange {
    /// It may not send.
    Pause {
        /// Why.
        reason: Option<String>,
    },
    /// Its session is fine.
    Open,
}

/// Opens or shuts an account's gate.
pub(crate) fn set_account(tx: &mut Tx<'_>, name: &str, change: GateChange) -> Result<Account> {
    if !is_id(name) {
        return Err(Error::BadId { field: "account" });
    }
    let mut account = tx.account(name)?;
    let gate = match change {
        GateChange::Open => Gate::Open,
        GateChange::Pause { reason } => Gate::Paused {
            reason: cut_reason(reason).unwrap_or_else(|| "paused by request".into()),
            code: None,
            since: match &account.gate {
                Gate::Paused { since, .. } => *since,
                _ => tx.now.wall,
            },
            from: tx.now.time,
            try_at: None,
            try_interval_ms: 0,
        },
    };
    if gate == account.gate {
        return Ok(account);
    }
    account.gate = gate;
    tx.put_account(&account)?;
    tx.wake(tx.now.time);
    announce_account(tx, &account)?;
    Ok(account)
}

/// Announces the present gate of an account.
pub(crate) fn announce_account(tx: &mut Tx<'_>, account: &Account) -> Result<()> {
    let reason = match &account.gate {
        Gate::Open | Gate::Limited { .. } => None,
        Gate::Paused { reason, .. } => Some(reason.clone()),
    };
    tx.emit(notice::Event {
        seq: None,
        after: 0,
        kind: EventKind::Account,
        at: tx.now.wall,
        msg_id: None,
        account: Some(account.name.clone()),
        conversation: None,
        state: None,
        code: None,
        desc: None,
        new_msg_id: None,
        gate: Some(account.gate.clone()),
        reason,
        may_have_arrived: false,
    })?;
    Ok(())
}

/// Pauses or resumes everything.
pub(crate) fn set_paused(tx: &mut Tx<'_>, paused: Paused) -> Result<()> {
    tx.counters.paused = paused == Paused::Yes;
    tx.wake(tx.now.time);
    Ok(())
}

/// Whether everything is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    Yes,
    No,
}

/// Which deferred entries to make due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) account: Option<String>,
    pub(crate) conversation: Option<String>,
}

/// What one call of a sweep did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) changed: u64,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Vec<u8>>,
}

/// Makes deferred lane heads due now: those in `scope`.
pub(crate) fn flush(tx: &mut Tx<'_>, scope: &Scope, from: Option<&[u8]>) -> Result<Swept> {
    sweep_deferred(tx, from, |lane, _| {
        scope.account.as_ref().is_none_or(|account| *account == lane.account)
            && scope.conversation.as_ref().is_none_or(|conversation| *conversation == lane.conversation)
    })
}

/// Makes the lane heads due now that wait only because nobody could be reached.
pub(crate) fn wake_not_reached(tx: &mut Tx<'_>, from: Option<&[u8]>) -> Result<Swept> {
    sweep_deferred(tx, from, |_, entry| {
        matches!(entry.delivery.phase, Phase::Waiting { cause: Cause::NotReached, .. })
    })
}

fn sweep_deferred(
    tx: &mut Tx<'_>,
    from: Option<&[u8]>,
    wanted: impl Fn(&Lane, &Entry) -> bool,
) -> Result<Swept> {
    let mut from = from.unwrap_or(b"d").to_vec();
    let mut swept = Swept { changed: 0, next: None };
    for looked_at in 0..LIST_SCAN_MAX {
        let Some((key, _)) = tx.next(b"d", &from)? else { return Ok(swept) };
        if swept.changed >= SWEEP_MAX as u64 || looked_at + 1 == LIST_SCAN_MAX {
            swept.next = Some(key);
            return Ok(swept);
        }
        from = after_key(&key);
        let lane_id = keys::tail_lane(&key);
        let Some((lane, entry)) = head_of(tx, lane_id)? else { continue };
        let is_early = entry.delivery.not_before.is_some_and(|at| at > tx.now.time);
        if is_early || !wanted(&lane, &entry) {
            continue;
        }
        if let Ok(stepped) = step(&entry.delivery, &Event::Resend, &tx.context(&entry)) {
            apply(tx, &entry, entry.clone(), stepped, None)?;
            swept.changed += 1;
        }
    }
    Ok(swept)
}

/// A lane with the entry at its head. One that cannot be read is passed over: it is set aside when its own
/// time comes, and until then must not keep the others.
fn head_of(tx: &Tx<'_>, id: LaneKey) -> Result<Option<(Lane, Entry)>> {
    let found = || -> Result<Option<(Lane, Entry)>> {
        let Some(lane) = load::<Lane>(tx, &keys::lane(id))? else { return Ok(None) };
        Ok(entry_at(tx, lane.head)?.map(|entry| (lane, entry)))
    };
    match found() {
        Err(Error::BadRecord { .. }) => Ok(None),
        found => found,
    }
}
