//! Views: what a reader sees of a message, and why it waits.
//!
//! Owns:  the state shown for a phase, look-ups, payloads, receipts.
//! Never: changes anything.

use crate::clock::{Moment, Timestamp};
use crate::disk::{Disk, Rows, after_key};
use crate::drive::is_of_process;
use crate::entry::{
    Account, Counters, Entry, Gate, Kept, Lane, Phase, Place, Receipt, Slot, StoredEvent, StoredPayload,
};
use crate::error::{Error, Result};
use crate::keys::{self, Ended};
use crate::limits::{GATES_AGAIN, LIST_MAX, LIST_SCAN_MAX};
use crate::record::decode;
use crate::spool::Spool;
use crate::state::State;
use crate::tx::{Record, decode_message, ended, find, load, load_message, msg_id_at};
use crate::verbs::submit::read_payload_file;

/// A message as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// It is in the outbox.
    Entry(EntryView),
    /// It ended.
    Receipt(Receipt),
}

/// An entry with its state.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryView {
    /// The entry.
    pub entry: Entry,
    /// Its state now.
    pub state: State,
    /// The message that it waits behind, for `blocked`.
    pub blocked_by: Option<String>,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The message as it was submitted.
    pub message: Vec<u8>,
    /// The web SDK's message instance as it was submitted.
    pub web_message_instance: Option<Vec<u8>>,
}

/// Receipts of sent messages, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct SentPage {
    /// The receipts.
    pub receipts: Vec<Receipt>,
    /// Where to go on: receipts after this sequence.
    pub next: u64,
}

/// The state that a reader sees.
pub(crate) fn state_of(rows: &(impl Rows + ?Sized), entry: &Entry, now: Moment) -> Result<State> {
    Ok(match &entry.delivery.phase {
        Phase::Held { .. } => State::Held,
        Phase::Sending { .. } => State::Sending,
        Phase::Uncertain { .. } => State::Uncertain,
        Phase::Failed { .. } => State::Failed,
        Phase::Expired { .. } => State::Expired,
        Phase::Waiting { due, .. } => {
            let lane = load::<Lane>(rows, &keys::lane(entry.identity.lane))?;
            let is_head = lane.is_some_and(|lane| lane.head == entry.identity.seq && lane.slot != Slot::None);
            match (is_head, *due > now.time) {
                (false, _) => State::Blocked,
                (true, true) => State::Deferred,
                (true, false) => State::Queued,
            }
        }
    })
}

/// The entry with its state and what it waits behind.
pub(crate) fn view_entry(rows: &(impl Rows + ?Sized), entry: Entry, now: Moment) -> Result<EntryView> {
    let state = state_of(rows, &entry, now)?;
    let keeps_lane = matches!(state, State::Uncertain | State::Blocked);
    let blocked_by = if keeps_lane && state == State::Blocked { blocker(rows, &entry)? } else { None };
    Ok(EntryView { entry, state, blocked_by })
}

/// Whom a blocked entry waits behind: the one under way in its lane, else the lane's head.
fn blocker(rows: &(impl Rows + ?Sized), entry: &Entry) -> Result<Option<String>> {
    let Some(lane) = load::<Lane>(rows, &keys::lane(entry.identity.lane))? else { return Ok(None) };
    let seq = lane.sending.unwrap_or(lane.head);
    msg_id_at(rows, seq)
}

pub(crate) fn message(rows: &(impl Rows + ?Sized), id: &str, now: Moment) -> Result<Message> {
    match find(rows, id)? {
        Record::Entry(entry) => view_entry(rows, entry, now).map(Message::Entry),
        Record::Receipt(receipt) => Ok(Message::Receipt(receipt)),
    }
}

/// Checksum, mark and length stand before the bytes of a payload file.
const FILE_HEADER_MAX: u64 = 64;

/// The payload of an entry.
pub(crate) fn payload_of(rows: &(impl Rows + ?Sized), spool: &Spool, entry: &Entry) -> Result<Payload> {
    let msg_id = &entry.identity.msg_id;
    let unreadable = |why: &str| Error::BadRecord {
        key: format!("payload of {msg_id}"),
        reason: crate::record::RecordError::Body(why.into()),
    };
    match entry.payload {
        Place::Nowhere => Err(Error::WrongState {
            msg_id: msg_id.clone(),
            // Only an entry that ended loses its payload.
            state: match entry.delivery.phase {
                Phase::Failed { .. } => State::Failed,
                _ => State::Expired,
            },
            why: "its payload is no longer kept",
        }),
        Place::Inline => {
            let key = keys::payload(ended(&entry.delivery), entry.identity.seq);
            let stored = load::<StoredPayload>(rows, &key)?.ok_or_else(|| unreadable("it is missing"))?;
            Ok(Payload { message: stored.message, web_message_instance: stored.web_message_instance })
        }
        Place::File(name) => {
            let bytes = entry.identity.payload_bytes;
            let (message, web_message_instance) = read_file(spool, name, bytes, msg_id, &unreadable)?;
            Ok(Payload { message, web_message_instance })
        }
    }
}

/// Whether a payload file of so many bytes can be read now. One that can be is remembered no more.
pub(crate) fn is_whole_file(spool: &Spool, name: [u8; 16], bytes: u64) -> bool {
    let content = spool.read_payload(name, bytes.saturating_add(FILE_HEADER_MAX));
    let is_whole = content.is_ok_and(|content| read_payload_file(name, &content).is_some());
    if is_whole {
        spool.damaged_files.forget(name);
    }
    is_whole
}

/// Both parts of a payload file. One that cannot be read is remembered.
fn read_file(
    spool: &Spool,
    name: [u8; 16],
    bytes: u64,
    msg_id: &str,
    unreadable: &dyn Fn(&str) -> Error,
) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let content = spool.read_payload(name, bytes.saturating_add(FILE_HEADER_MAX));
    let is_short = content.as_ref().is_err_and(is_of_process);
    let content = content.map_err(|error| {
        // Only a file that is gone for good is damage; anything else may be better next time.
        if error.kind() == std::io::ErrorKind::NotFound && spool.has_payloads() {
            return unreadable("its file is missing");
        }
        Error::Unavailable { what: format!("the payload file of {msg_id} cannot be read: {error}") }
    });
    let read = content.and_then(|content| {
        read_payload_file(name, &content).ok_or_else(|| unreadable("its file is damaged"))
    });
    match &read {
        Ok(_) => spool.damaged_files.forget(name),
        // This process has no room to look: of the file that says nothing.
        Err(_) if is_short => {}
        Err(_) => spool.damaged_files.note(name, msg_id),
    }
    read
}

/// A receipt's replacement; `None` where there was none or it is no longer kept.
pub(crate) fn data_of(
    rows: &(impl Rows + ?Sized),
    spool: &Spool,
    receipt: &Receipt,
) -> Result<Option<Vec<u8>>> {
    match &receipt.data {
        Kept::Nowhere => Ok(None),
        Kept::Inline(data) => Ok(Some(data.clone())),
        Kept::File(name) if rows.get(&keys::file(*name))?.is_some() => {
            let msg_id = &receipt.identity.msg_id;
            let unreadable = |why: &str| Error::BadRecord {
                key: format!("replacement of {msg_id}"),
                reason: crate::record::RecordError::Body(why.into()),
            };
            let read = read_file(spool, *name, receipt.data_bytes, msg_id, &unreadable);
            read.map(|(data, _)| Some(data))
        }
        Kept::File(_) => Ok(None),
    }
}

/// The msgIDs of all whose payload or replacement cannot be read.
pub(crate) fn unreadable(disk: &Disk, spool: &Spool) -> Result<Vec<String>> {
    let mut msg_ids = Vec::new();
    let mut messages = disk.walk(&keys::messages())?;
    while let Some((key, bytes)) = messages.step()? {
        let (msg_id, read) = match decode_message(&key, &bytes) {
            Ok(Record::Entry(entry)) => {
                let read = payload_of(disk, spool, &entry).map(drop);
                (entry.identity.msg_id, read)
            }
            Ok(Record::Receipt(receipt)) => {
                let read = data_of(disk, spool, &receipt).map(drop);
                (receipt.identity.msg_id, read)
            }
            Err(_) => continue,
        };
        if matches!(read, Err(Error::BadRecord { .. })) {
            msg_ids.push(msg_id);
        }
    }
    Ok(msg_ids)
}

/// Receipts of sent messages after a sequence.
pub(crate) fn sent(rows: &dyn Rows, counters: &Counters, since: u64, limit: usize) -> Result<SentPage> {
    let mut page = SentPage { receipts: Vec::new(), next: since };
    let mut from = keys::event(counters.event_floor.max(since.saturating_add(1)));
    for _ in 0..LIST_SCAN_MAX {
        if page.receipts.len() >= limit.min(LIST_MAX) {
            break;
        }
        let Some((key, bytes)) = rows.next(b"e", &from)? else { break };
        page.next = keys::tail_number(&key);
        from = after_key(&key);
        let Ok(event) = decode::<StoredEvent>(&key, &bytes) else { continue };
        if event.kind == crate::notice::EventKind::Sent.number()
            && let Ok(Some(Record::Receipt(receipt))) = load_message(rows, &event.msg_id)
            && receipt.seq == page.next
            && receipt.state() == State::Sent
        {
            page.receipts.push(receipt);
        }
    }
    Ok(page)
}

/// Receipts of the messages that a new message replaced.
pub(crate) fn replaced_by(rows: &dyn Rows, new_msg_id: &str) -> Result<Vec<Receipt>> {
    let mut receipts = Vec::new();
    if let Some(Record::Receipt(receipt)) = load_message(rows, new_msg_id)?
        && receipt.new_msg_id() == Some(new_msg_id)
    {
        receipts.push(receipt);
    }
    let prefix = keys::replacements(new_msg_id);
    let mut from = prefix.clone();
    while receipts.len() < LIST_MAX {
        let Some((key, msg_id)) = rows.next(&prefix, &from)? else { break };
        from = after_key(&key);
        if let Some(Record::Receipt(receipt)) = load_message(rows, &String::from_utf8_lossy(&msg_id))?
            && receipt.new_msg_id() == Some(new_msg_id)
            && receipt.seq == keys::tail_number(&key)
        {
            receipts.push(receipt);
        }
    }
    Ok(receipts)
}

/// All accounts that have entries or a gate that is not open, those that may not send now first, at most
/// `limit`.
pub(crate) fn accounts(rows: &dyn Rows, limit: usize, now: Timestamp) -> Result<Vec<Account>> {
    let mut accounts: Vec<Account> = Vec::new();
    let mut from = b"g".to_vec();
    for _ in 0..LIST_SCAN_MAX {
        let Some((key, bytes)) = rows.next(b"g", &from)? else { break };
        from = after_key(&key);
        accounts.extend(decode::<Account>(&key, &bytes).ok());
    }
    accounts.sort_by_key(|account| match account.gate {
        Gate::Open => true,
        Gate::Limited { until, .. } => until <= now,
        Gate::Paused { .. } => false,
    });
    accounts.truncate(limit);
    Ok(accounts)
}

/// When the oldest event that is kept happened.
pub(crate) fn oldest_event(rows: &dyn Rows, counters: &Counters) -> Result<Option<crate::clock::WallTime>> {
    let oldest = rows.next(b"e", &keys::event(counters.event_floor))?;
    Ok(oldest.and_then(|(key, bytes)| decode::<StoredEvent>(&key, &bytes).ok()).map(|event| event.at))
}

/// When the oldest message that is still on its way was accepted.
pub(crate) fn oldest_waiting(rows: &dyn Rows) -> Result<Option<Timestamp>> {
    /// Held ones do not wait; more of them than this at the front, and the first one counts.
    const HELD_SKIPPED_MAX: usize = 64;
    let prefix = keys::payloads(Ended::No);
    let mut from = prefix.clone();
    let mut first = None;
    for _ in 0..HELD_SKIPPED_MAX {
        let Some((key, bytes)) = rows.next(&prefix, &from)? else { break };
        from = after_key(&key);
        let Ok(payload) = decode::<StoredPayload>(&key, &bytes) else { continue };
        let Ok(Some(Record::Entry(entry))) = load_message(rows, &payload.msg_id) else { continue };
        first = first.or(Some(entry.identity.submitted));
        if matches!(entry.delivery.phase, Phase::Waiting { .. } | Phase::Sending { .. }) {
            return Ok(Some(entry.identity.submitted));
        }
    }
    Ok(first)
}

/// The next moment at which something happens by itself: a lane head's time, a timer, an account's gate.
pub(crate) fn next_wake(rows: &dyn Rows, now: Timestamp) -> Result<Option<Timestamp>> {
    let deferred = rows.next(b"d", b"d")?.map(|(key, _)| Timestamp(keys::number_at(&key, 1)));
    let timer = rows.next(b"x", b"x")?.map(|(key, _)| Timestamp(keys::number_at(&key, 1)));
    Ok([deferred, timer, next_gate(rows, now)?].into_iter().flatten().min())
}

/// When the first gate opens by itself. One whose time has come opens with the next lease; it is nothing to wait
/// for. Where there are more accounts than one look covers, it is worth another look soon.
fn next_gate(rows: &dyn Rows, now: Timestamp) -> Result<Option<Timestamp>> {
    let (mut first, mut from) = (None, b"g".to_vec());
    for _ in 0..LIST_SCAN_MAX {
        let Some((key, bytes)) = rows.next(b"g", &from)? else { return Ok(first) };
        from = after_key(&key);
        let opens = match decode::<Account>(&key, &bytes).map(|account| account.gate) {
            Ok(Gate::Limited { until, .. }) => Some(until),
            Ok(Gate::Paused { try_at, .. }) => try_at,
            Ok(Gate::Open) | Err(_) => None,
        };
        first = [first, opens.filter(|at| *at > now)].into_iter().flatten().min();
    }
    let again = now.plus(GATES_AGAIN);
    Ok(Some(first.map_or(again, |first| first.min(again))))
}
