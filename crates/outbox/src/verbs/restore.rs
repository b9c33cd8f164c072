//! Restore: a message of another spool is taken over with its delivery record.
//!
//! Owns:  its place in the order, what cannot survive the move (a lease, a de-duplication window).
//! Never: changes a message that is there already.

use crate::disk::{Bytes, Rows, after_prefix};
use crate::entry::{
    AttemptRecord, End, Entry, Identity, LaneKey, LastError, Phase, Place, Receipt, StoredPayload, Then,
    Unresolved,
};
use crate::error::{Error, Result};
use crate::keys::{self, Ended, LaneRow, StateIndex};
use crate::lifecycle::{Context, Death, DedupWindow, Event, Policy, step};
use crate::limits::{DESC_BYTES_MAX, HISTORY_MAX, INLINE_BYTES_MAX, RESTORED_SEQ_MAX};
use crate::notice::EventKind;
use crate::offline::{on_wall_clock, wall_of};
use crate::spool::Spool;
use crate::tx::{Tx, load_message};
use crate::verbs::submit::{is_id, write_data_file, write_payload_file};
use crate::verbs::{apply, cut, cut_reason, lost_report, record_attempt, under_way};
use crate::view::{Payload, state_of};

/// What became of a message that was to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is in this spool now.
    Taken,
    /// One with its msgID was here already; nothing was changed.
    Skipped,
}

/// Takes an entry over. Its schedule stands on the wall clock.
pub(crate) fn restore_entry(
    tx: &mut Tx<'_>,
    spool: &Spool,
    mut entry: Entry,
    payload: Option<Payload>,
) -> Result<Restored> {
    check(&entry.identity)?;
    if load_message(tx, &entry.identity.msg_id)?.is_some() {
        return Ok(Restored::Skipped);
    }
    let now = tx.now;
    on_wall_clock(&mut entry, |time| now.time_of(wall_of(time)));
    entry.identity.lane = match tx.config.order {
        crate::config::Order::Conversation => {
            LaneKey::of(&entry.identity.account, &entry.identity.conversation)
        }
        crate::config::Order::None => {
            LaneKey::alone(&entry.identity.account, &entry.identity.conversation, &entry.identity.msg_id)
        }
    };
    // What still goes has its place, and what expired has none; of the rest the line knows.
    match entry.delivery.phase {
        Phase::Waiting { .. } | Phase::Sending { .. } => entry.delivery.in_lane = true,
        Phase::Expired { .. } => entry.delivery.in_lane = false,
        Phase::Held { .. } | Phase::Uncertain { .. } | Phase::Failed { .. } => {}
    }
    entry.identity.seq = match last_of_lane(tx, entry.identity.lane)? {
        // Behind those of its conversation that are here, as the lines come.
        Some(last) if last >= entry.identity.seq => next_seq(tx),
        _ => seq_for(tx, entry.identity.seq)?,
    };
    entry.settled = Vec::new();
    shorten(&mut entry.history, &mut entry.last_error);
    if let Phase::Held { reason, .. }
    | Phase::Sending { then: Then::Cancel { reason } | Then::Hold { reason }, .. } =
        &mut entry.delivery.phase
    {
        *reason = cut_reason(reason.take());
    }
    if let Some(unresolved) = &mut entry.delivery.unresolved {
        // How long the move took is not known: the service may have forgotten the token.
        *unresolved = Unresolved { boot: tx.boot, window_end: unresolved.since, ..*unresolved };
    }
    if let Phase::Held { stopped, .. } = &mut entry.delivery.phase {
        // Its clock stood still on the way as well.
        let left_ms = entry.delivery.deadline.since_ms(*stopped);
        *stopped = now.time;
        entry.delivery.deadline = now.time.plus_ms(left_ms);
    }
    place(tx, spool, &mut entry, payload)?;
    if let Some(id) = &entry.identity.id {
        tx.put_bytes(keys::alias(id, entry.identity.seq), entry.identity.msg_id.as_bytes().into());
    }
    tx.put_entry(None, &entry)?;
    let state = state_of(tx, &entry, tx.now)?;
    tx.announce(EventKind::Submitted, &entry, state)?;
    end_interrupted(tx, &entry)?;
    Ok(Restored::Taken)
}

/// Takes a receipt over.
pub(crate) fn restore_receipt(
    tx: &mut Tx<'_>,
    spool: &Spool,
    mut receipt: Receipt,
    data: Option<&[u8]>,
) -> Result<Restored> {
    check(&receipt.identity)?;
    if receipt.new_msg_id().is_some_and(|id| !is_id(id)) {
        return Err(Error::BadId { field: "newMsgID" });
    }
    if load_message(tx, &receipt.identity.msg_id)?.is_some() {
        return Ok(Restored::Skipped);
    }
    let now = tx.now;
    receipt.identity.seq = seq_for(tx, receipt.identity.seq)?;
    receipt.identity.lane = LaneKey::of(&receipt.identity.account, &receipt.identity.conversation);
    receipt.identity.submitted = now.time_of(receipt.identity.submitted_at);
    receipt.ended = now.time_of(receipt.at);
    receipt.settled = Vec::new();
    receipt.desc = cut(&receipt.desc, DESC_BYTES_MAX);
    shorten(&mut receipt.history, &mut receipt.last_error);
    if let End::Cancelled { reason, .. } = &mut receipt.end {
        *reason = cut_reason(reason.take());
    }
    // Readers resume by this number: the old one stays wherever it can.
    if receipt.seq <= RESTORED_SEQ_MAX {
        tx.counters.next_event = tx.counters.next_event.max(receipt.seq);
    }
    let large = data.filter(|data| data.len() > INLINE_BYTES_MAX);
    let chance = tx.config.chance.as_ref();
    tx.prepared_file = large.map(|data| write_data_file(spool, chance, data)).transpose()?;
    if let Some(id) = receipt.identity.id.clone() {
        let (seq, msg_id) = (receipt.identity.seq, receipt.identity.msg_id.as_bytes().into());
        tx.put_bytes(keys::alias(&id, seq), msg_id);
    }
    super::ending::take_over(tx, receipt, data.unwrap_or_default())?;
    Ok(Restored::Taken)
}

/// No more, and no longer, than what this spool would have written down itself.
fn shorten(history: &mut Vec<AttemptRecord>, last_error: &mut Option<LastError>) {
    history.drain(..history.len().saturating_sub(HISTORY_MAX));
    let descs = history.iter_mut().map(|attempt| &mut attempt.desc);
    for desc in descs.chain(last_error.as_mut().map(|error| &mut error.desc)) {
        *desc = cut(desc, DESC_BYTES_MAX);
    }
}

fn check(identity: &Identity) -> Result<()> {
    let Identity { msg_id, id, account, conversation, .. } = identity;
    let ids = [("msgID", Some(msg_id)), ("id", id.as_ref()), ("account", Some(account))];
    for (field, text) in ids.into_iter().chain([("conversation", Some(conversation))]) {
        if text.is_some_and(|text| !is_id(text)) {
            return Err(Error::BadId { field });
        }
    }
    Ok(())
}

/// Its old place in the order where that is free, else the next one.
fn seq_for(tx: &mut Tx<'_>, wanted: u64) -> Result<u64> {
    if wanted == 0 || wanted > RESTORED_SEQ_MAX || is_taken(tx, wanted)? {
        return Ok(next_seq(tx));
    }
    tx.counters.next_seq = tx.counters.next_seq.max(wanted.saturating_add(1));
    Ok(wanted)
}

const fn next_seq(tx: &mut Tx<'_>) -> u64 {
    tx.counters.next_seq += 1;
    tx.counters.next_seq - 1
}

/// Whether an entry has this place: each has a payload's row, or one of its state, or both.
fn is_taken(tx: &Tx<'_>, seq: u64) -> Result<bool> {
    let of_payload = [Ended::No, Ended::Yes].map(|ended| keys::payload(ended, seq));
    for key in of_payload.into_iter().chain(StateIndex::ALL.map(|state| keys::state(state, seq))) {
        if tx.get(&key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last place in a lane.
fn last_of_lane(tx: &Tx<'_>, lane: LaneKey) -> Result<Option<u64>> {
    let rows = keys::lane(lane);
    let last = tx.last(&rows, &after_prefix(&rows))?;
    Ok(last.and_then(|(key, _)| match keys::lane_row(&key) {
        Some(LaneRow::Entry(_, seq)) => Some(seq),
        _ => None,
    }))
}

/// Puts the payload where the size says.
fn place(tx: &mut Tx<'_>, spool: &Spool, entry: &mut Entry, payload: Option<Payload>) -> Result<()> {
    let Some(Payload { message, web_message_instance }) = payload else {
        entry.payload = Place::Nowhere;
        return match entry.delivery.phase {
            Phase::Failed { .. } | Phase::Expired { .. } => Ok(()),
            _ => Err(Error::Unavailable { what: "an entry that may still be sent needs its message".into() }),
        };
    };
    let bytes = message.len() + web_message_instance.as_ref().map_or(0, Vec::len);
    if bytes as u64 > tx.config.max_message_bytes {
        return Err(Error::TooLarge { bytes: bytes as u64, max: tx.config.max_message_bytes });
    }
    entry.identity.payload_bytes = bytes as u64;
    let msg_id = entry.identity.msg_id.clone();
    let stored = if bytes > INLINE_BYTES_MAX {
        let name =
            write_payload_file(spool, tx.config.chance.as_ref(), &message, web_message_instance.as_deref())?;
        tx.put_bytes(keys::file(name), Bytes::default());
        entry.payload = Place::File(name);
        StoredPayload { msg_id, message: Vec::new(), web_message_instance: None }
    } else {
        entry.payload = Place::Inline;
        StoredPayload { msg_id, message, web_message_instance }
    };
    let ended = if entry.delivery.has_ended() { Ended::Yes } else { Ended::No };
    tx.put(keys::payload(ended, entry.identity.seq), &stored)
}

/// An attempt that was under way in the other spool is never heard of here: it may have reached the service,
/// and no window of it is known.
fn end_interrupted(tx: &mut Tx<'_>, entry: &Entry) -> Result<()> {
    let Some((attempt, since, _)) = under_way(entry) else { return Ok(()) };
    let no_window = Policy { dedup_window: DedupWindow::default(), ..tx.config.policy };
    let context = Context { policy: &no_window, ..tx.context(entry) };
    let Ok(stepped) = step(&entry.delivery, &Event::Death(Death::Silent), &context) else {
        return Ok(());
    };
    let mut new = entry.clone();
    let lost = lost_report("the message was moved to another spool during the attempt");
    record_attempt(&mut new, attempt, since, None, &lost, tx.now.wall);
    apply(tx, entry, new, stepped, None).map(drop)
}
