//! The end of an entry: it becomes its receipt in place.
//!
//! Owns:  receipts, the event that announces them, and the limits of what is kept of them.
//! Never: decides that an entry ends (`lifecycle`).

use crate::disk::Rows;
use crate::entry::{End, Entry, Kept, LastError, Phase, Place, Receipt, StoredEvent};
use crate::error::{Error, Result};
use crate::keys;
use crate::lifecycle::Ending;
use crate::limits::{DESC_BYTES_MAX, INLINE_BYTES_MAX, PRUNE_MAX};
use crate::notice::{Event, EventKind};
use crate::outcome::{CODE_CANCELLED, CODE_EXPIRED, Class, Report};
use crate::state::State;
use crate::tx::{Record, Tx, load_message};

use super::{cut, record_late};

impl Receipt {
    /// The state to a reader.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.end {
            End::Sent { .. } => State::Sent,
            End::Cancelled { .. } => State::Cancelled,
            End::Failed { .. } => State::Failed,
            End::Expired => State::Expired,
        }
    }

    /// The replacement's msgID, for a sent one.
    #[must_use]
    pub fn new_msg_id(&self) -> Option<&str> {
        match &self.end {
            End::Sent { new_msg_id, .. } => Some(new_msg_id),
            _ => None,
        }
    }
}

/// Turns an entry into its receipt.
pub(crate) fn finish(
    tx: &mut Tx<'_>,
    old: &Entry,
    new: &Entry,
    ending: Ending,
    report: Option<&Report>,
) -> Result<Receipt> {
    tx.drop_entry(old)?;
    let (end, code, desc) = end_of(new, ending, report);
    let delivery = &new.delivery;
    let is_sent = matches!(end, End::Sent { .. });
    let last_error = last_error_of(tx, new, &end, &desc);
    let receipt = Receipt {
        identity: new.identity.clone(),
        seq: tx.counters.next_event,
        end,
        at: tx.now.wall,
        ended: tx.now.time,
        attempts: delivery.attempts,
        starts: delivery.starts,
        possible_duplicate: delivery.possible_duplicate,
        may_have_arrived: !is_sent && delivery.unresolved.is_some(),
        code,
        desc,
        data_bytes: 0,
        data: Kept::Nowhere,
        last_error,
        history: new.history.clone(),
        settled: new.settled.clone(),
    };
    tx.counters.receipts += 1;
    write(tx, receipt, report)
}

/// A success that arrives after a receipt of another end was written: the truth replaces it.
pub(crate) fn correct(tx: &mut Tx<'_>, old: Receipt, attempt: u32, report: &Report) -> Result<Receipt> {
    let new_msg_id = new_msg_id_of(&old.identity.msg_id, Some(report));
    let mut history = old.history.clone();
    record_late(&mut history, &mut None, attempt, report, tx.now.wall);
    let receipt = Receipt {
        history,
        seq: tx.counters.next_event,
        end: End::Sent { new_msg_id, by_person: false },
        at: tx.now.wall,
        ended: tx.now.time,
        may_have_arrived: false,
        code: report.code,
        desc: cut(&report.desc, DESC_BYTES_MAX),
        last_error: old.last_error.clone().filter(is_said),
        ..old
    };
    write(tx, receipt, Some(report))
}

/// Writes a receipt of another spool; its own sequence has become the next one.
pub(crate) fn take_over(tx: &mut Tx<'_>, mut receipt: Receipt, data: &[u8]) -> Result<()> {
    receipt.seq = tx.counters.next_event;
    receipt.data_bytes = data.len() as u64;
    receipt.data = tx.place_data(data);
    if receipt.data != Kept::Nowhere {
        tx.counters.data_bytes += receipt.data_bytes;
    }
    if let End::Sent { new_msg_id, .. } = &receipt.end {
        tx.counters.sent_total += 1;
        if *new_msg_id != receipt.identity.msg_id {
            tx.put_bytes(keys::replaced(new_msg_id, receipt.seq), receipt.identity.msg_id.as_bytes().into());
        }
    }
    tx.counters.receipts += 1;
    tx.put(keys::message(&receipt.identity.msg_id), &receipt)?;
    announce(tx, &receipt)
}

/// Writes a receipt with its replacement, its event and its index, and keeps within the limits.
fn write(tx: &mut Tx<'_>, mut receipt: Receipt, report: Option<&Report>) -> Result<Receipt> {
    let replacement = report.and_then(|report| report.replacement.as_ref());
    let data = replacement.map(|replacement| replacement.data.as_slice()).unwrap_or_default();
    if let End::Sent { new_msg_id, .. } = &receipt.end {
        tx.counters.sent_total += 1;
        tx.counters.last_sent_at = tx.now.wall;
        receipt.data_bytes = tx.prepared_bytes.max(data.len() as u64);
        if *new_msg_id != receipt.identity.msg_id {
            tx.put_bytes(keys::replaced(new_msg_id, receipt.seq), receipt.identity.msg_id.as_bytes().into());
        }
    }
    receipt.data = if replacement.is_some() { tx.place_data(data) } else { Kept::Nowhere };
    if receipt.data != Kept::Nowhere {
        tx.counters.data_bytes += receipt.data_bytes;
    }
    tx.put(keys::message(&receipt.identity.msg_id), &receipt)?;
    announce(tx, &receipt)?;
    prune(tx)?;
    Ok(receipt)
}

/// A cancel has a code of its own, as an expiry has; what the service said before stays in the history. A
/// message that was sent keeps what the service said before, but no end that it did not come to.
fn last_error_of(tx: &Tx<'_>, entry: &Entry, end: &End, desc: &str) -> Option<LastError> {
    match end {
        End::Sent { .. } => return entry.last_error.clone().filter(is_said),
        End::Failed { .. } | End::Expired => return entry.last_error.clone(),
        End::Cancelled { .. } => {}
    }
    let class = Class::Cancelled.into();
    Some(LastError { code: CODE_CANCELLED, desc: desc.to_owned(), class, at: tx.now.wall })
}

/// Whether it was said of an attempt, and is not an end of the outbox's own.
fn is_said(error: &LastError) -> bool {
    !matches!(error.code, CODE_CANCELLED | CODE_EXPIRED)
}

fn end_of(entry: &Entry, ending: Ending, report: Option<&Report>) -> (End, i64, String) {
    let said = report.map(|report| (report.code, cut(&report.desc, DESC_BYTES_MAX)));
    let last = || entry.last_error.as_ref().map(|error| (error.code, error.desc.clone()));
    match ending {
        Ending::Sent | Ending::Resolved => {
            let new_msg_id = new_msg_id_of(&entry.identity.msg_id, report);
            let (code, desc) = said.unwrap_or_default();
            (End::Sent { new_msg_id, by_person: ending == Ending::Resolved }, code, desc)
        }
        Ending::Cancelled { reason } => {
            let desc = reason.clone().unwrap_or_else(|| "cancelled".into());
            (End::Cancelled { reason, had_ended: entry.delivery.has_ended() }, CODE_CANCELLED, desc)
        }
        Ending::Retired => {
            let (code, desc) = last().unwrap_or((CODE_EXPIRED, String::new()));
            match entry.delivery.phase {
                Phase::Failed { class, .. } => (End::Failed { class }, code, desc),
                _ => (End::Expired, code, desc),
            }
        }
    }
}

/// Whether a success names another message than the one that is known to be the replacement: then there are two. Where
/// either is not named, nothing follows.
pub(crate) fn is_other_replacement(sent: &Receipt, report: &Report) -> bool {
    let original = sent.identity.msg_id.as_str();
    let other = new_msg_id_of(original, Some(report));
    // A person's word is no attempt.
    let by_attempt = matches!(sent.end, End::Sent { by_person: false, .. });
    by_attempt
        && sent.new_msg_id().is_some_and(|known| known != original && other != original && known != other)
}

/// The replacement's msgID; the original's where the service gave none that can be looked up.
fn new_msg_id_of(original: &str, report: Option<&Report>) -> String {
    report
        .and_then(|report| report.replacement.as_ref())
        .and_then(|replacement| replacement.new_msg_id.as_deref())
        .filter(|id| crate::verbs::submit::is_id(id))
        .unwrap_or(original)
        .to_owned()
}

fn announce(tx: &mut Tx<'_>, receipt: &Receipt) -> Result<()> {
    tx.emit(event_of(receipt)).map(drop)
}

/// The event that announces a receipt.
pub(crate) fn event_of(receipt: &Receipt) -> Event {
    let kind = match receipt.end {
        End::Sent { .. } => EventKind::Sent,
        End::Cancelled { .. } => EventKind::Cancelled,
        // These were announced when they failed or expired; the receipt needs a sequence all the same.
        End::Failed { .. } => EventKind::Failed,
        End::Expired => EventKind::Expired,
    };
    let reason = match &receipt.end {
        End::Cancelled { reason, .. } => reason.clone(),
        End::Failed { .. } | End::Expired => Some("no longer kept".to_owned()),
        End::Sent { .. } => None,
    };
    Event {
        seq: None,
        after: 0,
        kind,
        at: receipt.at,
        msg_id: Some(receipt.identity.msg_id.clone()),
        account: Some(receipt.identity.account.clone()),
        conversation: Some(receipt.identity.conversation.clone()),
        state: Some(receipt.state()),
        code: Some(receipt.code),
        new_msg_id: receipt.new_msg_id().map(ToOwned::to_owned),
        gate: None,
        desc: Some(receipt.desc.clone()).filter(|desc| !desc.is_empty()),
        reason,
        may_have_arrived: receipt.may_have_arrived,
    }
}

/// Removes the oldest events, receipts and replacements beyond the limits: a few at a time. Answers whether there may be more.
pub(crate) fn prune(tx: &mut Tx<'_>) -> Result<bool> {
    if tx.keeps_all {
        return Ok(false);
    }
    let (mut events, mut data) = (0, 0);
    while events < PRUNE_MAX && prune_one_event(tx)? {
        events += 1;
    }
    while data < PRUNE_MAX && tx.counters.data_bytes > tx.config.sent_data_max_bytes && prune_one_data(tx)? {
        data += 1;
    }
    Ok(events == PRUNE_MAX || data == PRUNE_MAX)
}

/// The oldest event that is kept.
pub(crate) fn oldest_event(tx: &Tx<'_>) -> Result<Option<(u64, StoredEvent)>> {
    let Some((key, bytes)) = tx.next(b"e", &keys::event(tx.counters.event_floor))? else { return Ok(None) };
    let seq = keys::tail_number(&key);
    match crate::record::decode(&key, &bytes) {
        Ok(event) => Ok(Some((seq, event))),
        // An event that cannot be read tells nobody anything: treat it as the oldest of all.
        Err(_) => Ok(Some((
            seq,
            StoredEvent {
                kind: u8::MAX,
                at: crate::clock::WallTime(0),
                time: crate::clock::Timestamp(0),
                msg_id: String::new(),
                state: None,
                code: None,
                desc: None,
                reason: None,
                may_have_arrived: false,
            },
        ))),
    }
}

/// The receipt that an event announced, unless another one has taken its place, or it cannot be read.
fn receipt_of(tx: &Tx<'_>, msg_id: &str, seq: u64) -> Result<Option<Receipt>> {
    match load_message(tx, msg_id) {
        Ok(Some(Record::Receipt(receipt))) if receipt.seq == seq => Ok(Some(receipt)),
        Ok(_) | Err(Error::BadRecord { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn prune_one_event(tx: &mut Tx<'_>) -> Result<bool> {
    let Some((seq, event)) = oldest_event(tx)? else { return Ok(false) };
    let too_old = event.time.plus(tx.config.sent_retention) <= tx.now.time;
    if !too_old && tx.counters.receipts <= tx.config.sent_max {
        return Ok(false);
    }
    tx.remove(keys::event(seq));
    tx.counters.event_floor = seq + 1;
    let Some(receipt) = receipt_of(tx, &event.msg_id, seq)? else { return Ok(true) };
    // What was given up before is not counted.
    let counted_bytes = if seq >= tx.counters.data_floor { receipt.data_bytes } else { 0 };
    drop_data(tx, &receipt.data, counted_bytes);
    tx.remove(keys::message(&receipt.identity.msg_id));
    if let Some(id) = &receipt.identity.id {
        tx.remove(keys::alias(id, receipt.identity.seq));
    }
    if let Some(new_msg_id) = receipt.new_msg_id() {
        tx.remove(keys::replaced(new_msg_id, seq));
    }
    tx.counters.receipts = tx.counters.receipts.saturating_sub(1);
    if tx.counters.receipts_dropped == 0 {
        tx.counters.receipts_dropped_since = tx.now.wall;
    }
    tx.counters.receipts_dropped += 1;
    Ok(true)
}

fn prune_one_data(tx: &mut Tx<'_>) -> Result<bool> {
    let floor = tx.counters.data_floor.max(tx.counters.event_floor);
    let Some((key, bytes)) = tx.next(b"e", &keys::event(floor))? else { return Ok(false) };
    let seq = keys::tail_number(&key);
    let event = crate::record::decode::<StoredEvent>(&key, &bytes);
    if let Ok(event) = event
        && let Some(mut receipt) = receipt_of(tx, &event.msg_id, seq)?
        && receipt.data != Kept::Nowhere
    {
        let data = std::mem::replace(&mut receipt.data, Kept::Nowhere);
        tx.put(keys::message(&receipt.identity.msg_id), &receipt)?;
        drop_data(tx, &data, receipt.data_bytes);
        if tx.counters.data_dropped == 0 {
            tx.counters.data_dropped_since = tx.now.wall;
        }
        tx.counters.data_dropped += 1;
    }
    tx.counters.data_floor = seq + 1;
    Ok(true)
}

/// Counts a receipt's replacement out, and forgets its file.
pub(crate) fn drop_data(tx: &mut Tx<'_>, data: &Kept, bytes: u64) {
    match data {
        Kept::Nowhere => return,
        Kept::Inline(_) => {}
        Kept::File(name) => tx.unname(Place::File(*name)),
    }
    tx.counters.data_bytes = tx.counters.data_bytes.saturating_sub(bytes);
}

impl Tx<'_> {
    /// Takes a replacement into its receipt, or the file that was written for it.
    fn place_data(&mut self, data: &[u8]) -> Kept {
        // Written and synced by the caller before this group; named here.
        if let Some(name) = self.prepared_file.take() {
            self.put_bytes(keys::file(name), crate::disk::Bytes::default());
            return Kept::File(name);
        }
        if data.is_empty() || data.len() > INLINE_BYTES_MAX {
            return Kept::Nowhere;
        }
        Kept::Inline(data.to_vec())
    }
}
