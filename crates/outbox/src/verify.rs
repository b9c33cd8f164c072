//! After an open: what is derived is checked against the entries, and made anew if it disagrees.
//!
//! Owns:  the check after a stop that was not clean, the rebuild, the comparison with the seal.
//! Never: changes an entry or a receipt that can be read.

use crate::clock::{BootId, Timestamp};
use crate::disk::{Bytes, Disk, Rows, after_key, after_prefix};
use crate::entry::{
    Account, Counters, Entry, Identity, Kept, Lane, LaneKey, Phase, Place, Receipt, Slot, StoredEvent,
    StoredPayload, Unresolved,
};
use crate::error::{Error, Result};
use crate::keys::{self, Ended, LaneRow, StateIndex};
use crate::leaf::{Change, Leaf};
use crate::limits::GROUP_BYTES_MAX;
use crate::record::{decode, encode};
use crate::tx::{Record, Tx, decode_message, ended, entry_at, load};
use crate::verbs::ending;

/// Counts that follow from the records alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    waiting: u64,
    held: u64,
    sending: u64,
    uncertain: u64,
    failed: u64,
    expired: u64,
    payload_bytes: u64,
    receipts: u64,
    next_seq: u64,
    /// Sums of the rows that must be there: states, timers, lanes.
    state_rows: u64,
    timer_rows: u64,
    lane_rows: u64,
    /// Rows of payloads that must be there: of those on their way, and of those that ended.
    payloads: [u64; 2],
}

/// What was acknowledged and is not there any more: all messages from one on in the order of acceptance, all events from one
/// on, or neither: then it is other changes of the last moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first order of acceptance that is missing.
    pub from_seq: u64,
    /// The one behind the last.
    pub next_seq: u64,
    /// The first durable event that is missing.
    pub from_event: u64,
    /// The one behind the last.
    pub next_event: u64,
}

impl Lost {
    /// What is missing where both is.
    pub(crate) fn all_of(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
        Some(Self {
            from_seq: a.from_seq.min(b.from_seq),
            next_seq: a.next_seq.max(b.next_seq),
            from_event: a.from_event.min(b.from_event),
            next_event: a.next_event.max(b.next_event),
        })
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let messages = (self.next_seq > self.from_seq).then(|| {
            format!("messages {} to {} in the order of acceptance", self.from_seq, self.next_seq - 1)
        });
        let events = (self.next_event > self.from_event)
            .then(|| format!("the outcomes of events {} to {}", self.from_event, self.next_event - 1));
        match (messages, events) {
            (Some(messages), Some(events)) => write!(f, "{messages}, and {events}"),
            (Some(one), None) | (None, Some(one)) => f.write_str(&one),
            (None, None) => f.write_str("the changes of the last moments"),
        }
    }
}

/// How far the store has come.
struct Reached {
    next_seq: u64,
    next_event: u64,
    /// Spool time of its last change.
    time: Timestamp,
}

impl Reached {
    const fn of(counters: &Counters) -> Self {
        let Counters { next_seq, next_event, clock, .. } = *counters;
        Self { next_seq, next_event, time: clock.time }
    }

    fn is_behind(&self, seal: &Counters) -> bool {
        seal.next_seq > self.next_seq || seal.next_event > self.next_event || seal.clock.time > self.time
    }
}

/// Whether the store of these counters lacks what the seal knows.
pub(crate) fn is_behind(seal: &Counters, counters: &Counters) -> bool {
    Reached::of(counters).is_behind(seal)
}

/// The same as the records tell: what the store itself knows where it has lost its counters.
fn reached_by_records(rows: &Disk) -> Result<Reached> {
    // Of the time of changes they tell nothing.
    let mut reached = Reached { next_seq: 1, next_event: 1, time: Timestamp(u64::MAX) };
    let mut messages = rows.walk(&keys::messages())?;
    while let Some((key, bytes)) = messages.step()? {
        let seq = match decode_message(&key, &bytes) {
            Ok(Record::Entry(entry)) => entry.identity.seq,
            Ok(Record::Receipt(receipt)) => {
                reached.next_event = reached.next_event.max(receipt.seq + 1);
                receipt.identity.seq
            }
            // It tells nothing; the rebuild sets it aside.
            Err(_) => continue,
        };
        reached.next_seq = reached.next_seq.max(seq + 1);
    }
    Ok(reached)
}

/// What the seal knows as acknowledged and the store does not.
pub(crate) fn lost(seal: Option<&Counters>, rows: &Disk) -> Result<Option<Lost>> {
    let Some(seal) = seal else { return Ok(None) };
    let reached = match load::<Counters>(rows, keys::COUNTERS) {
        Ok(Some(counters)) if looks_right(rows, &counters)? => Reached::of(&counters),
        // What the counters do not know is there all the same.
        Ok(Some(_)) => reached_by_records(rows)?,
        Ok(None) | Err(Error::BadRecord { .. }) => reached_by_records(rows)?,
        Err(error) => return Err(error),
    };
    Ok(reached.is_behind(seal).then(|| Lost {
        from_seq: reached.next_seq,
        next_seq: seal.next_seq.max(reached.next_seq),
        from_event: reached.next_event,
        next_event: seal.next_event.max(reached.next_event),
    }))
}

/// The row of a damaged store that something unreadable may have changed since: of its entries, each may have been attempted.
/// Their timers then disagree, and are made anew.
pub(crate) fn doubt(own_key: &[u8], bytes: Vec<u8>) -> Vec<u8> {
    let is_of_records = own_key.starts_with(&keys::messages());
    let Some(leaf) = is_of_records.then(|| Leaf::read(own_key, &bytes).ok()).flatten() else { return bytes };
    let doubted: Vec<(Vec<u8>, Vec<u8>)> = leaf
        .rows_from(0)
        .filter_map(|(key, record)| {
            let Ok(Record::Entry(mut entry)) = decode_message(key, record) else { return None };
            let Identity { submitted_at: at, submitted: since, .. } = entry.identity;
            // Also of one that had ended: it may have been resent since.
            let never = Unresolved { at, since, boot: BootId::default(), window_end: since };
            entry.delivery.unresolved.get_or_insert(never);
            Some((key.to_vec(), encode(key, &entry).ok()?))
        })
        .collect();
    let changes: Vec<Change<'_>> =
        doubted.iter().map(|(key, record)| (key.as_slice(), Some(record.as_slice()))).collect();
    leaf.changed(&changes).0.bytes(own_key)
}

/// Whether the counters know the newest message and the newest event: what a group that is there in part would
/// show. Costs the same whatever the backlog.
pub(crate) fn looks_right(rows: &Disk, counters: &Counters) -> Result<bool> {
    let newest = rows.last(b"p", &after_prefix(b"p"))?.map_or(0, |(key, _)| keys::tail_number(&key));
    let event = rows.last(b"e", &after_prefix(b"e"))?.map_or(0, |(key, _)| keys::tail_number(&key));
    Ok(newest < counters.next_seq.max(1) && event < counters.next_event.max(1))
}

/// Whether everything derived agrees with the records. Constant memory; time grows with the records,
/// which is why it is only done after the machine may have stopped.
pub(crate) fn agrees(rows: &Disk, counters: &Counters) -> Result<bool> {
    let mut tally = Tally::default();
    let mut messages = rows.walk(&keys::messages())?;
    while let Some((key, bytes)) = messages.step()? {
        match decode_message(&key, &bytes) {
            Ok(Record::Entry(entry)) => {
                if !is_named(rows, entry.payload)? {
                    return Ok(false);
                }
                tally.add(&entry);
            }
            Ok(Record::Receipt(receipt)) => {
                if !is_replacement_named(rows, counters, &receipt)? {
                    return Ok(false);
                }
                tally.receipts += 1;
                tally.next_seq = tally.next_seq.max(receipt.identity.seq + 1);
            }
            // To be set aside, by the rebuild.
            Err(_) => return Ok(false),
        }
    }
    Ok(tally.agrees_with(counters)
        && [count(rows, b"p")?, count(rows, b"f")?] == tally.payloads
        && sum(rows, b"s")? == tally.state_rows
        && sum(rows, b"x")? == tally.timer_rows
        && lanes_agree(rows, counters, tally.lane_rows)?)
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        *match entry.delivery.phase {
            Phase::Waiting { .. } => &mut self.waiting,
            Phase::Held { .. } => &mut self.held,
            Phase::Sending { .. } => &mut self.sending,
            Phase::Uncertain { .. } => &mut self.uncertain,
            Phase::Failed { .. } => &mut self.failed,
            Phase::Expired { .. } => &mut self.expired,
        } += 1;
        if entry.payload != Place::Nowhere {
            self.payload_bytes += entry.identity.payload_bytes;
            self.payloads[usize::from(entry.delivery.has_ended())] += 1;
        }
        self.next_seq = self.next_seq.max(entry.identity.seq + 1);
        let Identity { msg_id, seq, lane, .. } = &entry.identity;
        let add = |sum: &mut u64, key: Vec<u8>| *sum = sum.wrapping_add(share(&key, msg_id.as_bytes()));
        let add_bare = |sum: &mut u64, key: Vec<u8>| *sum = sum.wrapping_add(share(&key, &[]));
        if let Some(state) = StateIndex::of(&entry.delivery.phase) {
            add(&mut self.state_rows, keys::state(state, *seq));
        }
        if let Some(at) = entry.delivery.timer() {
            add(&mut self.timer_rows, keys::timer(at, *seq));
        }
        if entry.delivery.in_lane {
            add_bare(&mut self.lane_rows, keys::lane_entry(*lane, *seq));
        }
    }

    fn agrees_with(&self, counters: &Counters) -> bool {
        self.waiting == counters.waiting
            && self.held == counters.held
            && self.sending == counters.sending
            && self.uncertain == counters.uncertain
            && self.failed == counters.failed
            && self.expired == counters.expired
            && self.payload_bytes == counters.payload_bytes
            && self.receipts == counters.receipts
            && self.next_seq <= counters.next_seq
    }
}

/// Whether the file of a replacement that is kept is named: what nothing names is swept.
fn is_replacement_named(rows: &Disk, counters: &Counters, receipt: &Receipt) -> Result<bool> {
    match receipt.data {
        Kept::File(name) if receipt.seq >= counters.data_floor => is_named(rows, Place::File(name)),
        _ => Ok(true),
    }
}

/// Whether the file that is spoken of is named.
fn is_named(rows: &Disk, place: Place) -> Result<bool> {
    match place {
        Place::File(name) => Ok(rows.get(&keys::file(name))?.is_some()),
        Place::Inline | Place::Nowhere => Ok(true),
    }
}

/// The share of one row in the sum of its kind. Sums do not depend on the order of rows, so that records and
/// indices, which stand in different orders, can each be read from front to back: looking each row up would
/// jump about in the store, which is many times slower.
fn share(key: &[u8], msg_id: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key).update(msg_id);
    let hash = hasher.finalize();
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn sum(rows: &Disk, prefix: &[u8]) -> Result<u64> {
    let (mut walk, mut sum) = (rows.walk(prefix)?, 0_u64);
    while let Some((key, msg_id)) = walk.step()? {
        sum = sum.wrapping_add(share(&key, &msg_id));
    }
    Ok(sum)
}

fn count(rows: &Disk, prefix: &[u8]) -> Result<u64> {
    let (mut walk, mut count) = (rows.walk(prefix)?, 0);
    while walk.step()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// What the lanes' records say in all.
#[derive(Default)]
struct LaneTally {
    /// Sum of the rows of their entries.
    rows: u64,
    ready: u64,
    deferred: u64,
    sending: u64,
}

/// Whether each lane's record says what its rows say, and no lane or due row is left over.
fn lanes_agree(rows: &Disk, counters: &Counters, lane_rows: u64) -> Result<bool> {
    let (mut walk, mut tally) = (rows.walk(b"l")?, LaneTally::default());
    // A lane whose first entry has not been met yet.
    let mut begun: Option<(LaneKey, Lane)> = None;
    let mut current = None;
    while let Some((key, value)) = walk.step()? {
        match keys::lane_row(&key) {
            Some(LaneRow::Lane(id)) => {
                let Ok(lane) = decode::<Lane>(&key, &value) else { return Ok(false) };
                if begun.replace((id, lane)).is_some() {
                    return Ok(false);
                }
                current = Some(id);
            }
            Some(LaneRow::Entry(id, seq)) => {
                tally.rows = tally.rows.wrapping_add(share(&key, &value));
                let fits = match begun.take() {
                    Some((begun, lane)) => {
                        begun == id && tally.agrees_on(rows, id, &lane, seq, counters.clock.time)?
                    }
                    None => current == Some(id),
                };
                if !fits {
                    return Ok(false);
                }
            }
            None => return Ok(false),
        }
    }
    Ok(begun.is_none()
        && tally.rows == lane_rows
        && count(rows, b"w")? == tally.ready
        && count(rows, b"d")? == tally.deferred
        && counters.sending == tally.sending
        && counters.ready == tally.ready
        && counters.deferred == tally.deferred)
}

impl LaneTally {
    /// Whether a lane's record says what its rows say, of which `head` is the first. Counts it.
    fn agrees_on(
        &mut self,
        rows: &Disk,
        id: LaneKey,
        record: &Lane,
        head: u64,
        now: Timestamp,
    ) -> Result<bool> {
        let account = keys::account_hash(&record.account);
        let slot = match record.slot {
            Slot::None => None,
            Slot::Ready(at) => {
                self.ready += 1;
                Some(keys::ready(account, at, id))
            }
            Slot::Deferred(due) => {
                self.deferred += 1;
                Some(keys::deferred(due, id))
            }
        };
        if let Some(key) = slot
            && rows.get(&key)?.is_none()
        {
            return Ok(false);
        }
        if let Some(seq) = record.sending {
            self.sending += 1;
            if rows.get(&keys::state(StateIndex::Sending, seq))?.is_none() {
                return Ok(false);
            }
        }
        Ok(record.head == head && slot_fits(rows, record, now)?)
    }
}

/// Whether a lane's head stands in the index that its phase asks for; `now` is the moment of the last group.
fn slot_fits(rows: &Disk, lane: &Lane, now: Timestamp) -> Result<bool> {
    let Some(head) = entry_at(rows, lane.head)? else { return Ok(false) };
    Ok(match (head.delivery.phase, lane.slot) {
        (Phase::Waiting { due, .. }, Slot::Deferred(at)) if lane.sending.is_none() => at == due,
        (Phase::Waiting { due, .. }, Slot::Ready(_)) if lane.sending.is_none() => due <= now,
        (Phase::Waiting { .. }, slot) => lane.sending.is_some() && slot == Slot::None,
        (_, slot) => slot == Slot::None,
    })
}

/// The steps of a rebuild, each of which fills at most one group.
#[derive(Clone, Debug)]
pub(crate) enum Rebuild {
    /// Derived rows are removed.
    Clear { prefix: usize, from: Option<Vec<u8>> },
    /// Rows are derived from the records after this key.
    Derive { from: Vec<u8> },
    /// Payloads after this key that belong to no entry are set aside.
    Orphans { ended: Ended, from: Vec<u8> },
    /// Done.
    Done,
}

impl Rebuild {
    /// The first step.
    pub(crate) const fn begin() -> Self {
        Self::Clear { prefix: 0, from: None }
    }
}

/// Does one part of a rebuild. A crash in between is found at the next open, and the rebuild begins anew.
pub(crate) fn rebuild(tx: &mut Tx<'_>, step: Rebuild) -> Result<Rebuild> {
    match step {
        Rebuild::Clear { prefix, from } => clear(tx, prefix, from),
        Rebuild::Derive { from } => derive(tx, from),
        Rebuild::Orphans { ended, from } => orphans(tx, ended, from),
        Rebuild::Done => Ok(Rebuild::Done),
    }
}

fn clear(tx: &mut Tx<'_>, index: usize, from: Option<Vec<u8>>) -> Result<Rebuild> {
    if index == 0 && from.is_none() {
        let counters = &mut tx.counters;
        (counters.waiting, counters.ready, counters.deferred) = (0, 0, 0);
        (counters.held, counters.sending, counters.uncertain) = (0, 0, 0);
        (counters.failed, counters.expired, counters.receipts) = (0, 0, 0);
        (counters.payload_bytes, counters.data_bytes) = (0, 0);
        // They are written also where they are what they were to be: the store may have none.
        let counters = tx.counters;
        tx.put(keys::COUNTERS.to_vec(), &counters)?;
    }
    let Some(prefix) = keys::DERIVED.get(index) else {
        return Ok(Rebuild::Derive { from: keys::messages() });
    };
    let prefix = [*prefix];
    // From row to row: beginning at the front each time would pass over all that was removed already.
    let mut from = from.unwrap_or_else(|| prefix.to_vec());
    while let Some((key, bytes)) = tx.next(&prefix, &from)? {
        if tx.bytes() >= GROUP_BYTES_MAX / 2 {
            return Ok(Rebuild::Clear { prefix: index, from: Some(key) });
        }
        from = after_key(&key);
        if prefix == *b"g" {
            reset_account(tx, key, &bytes)?;
        } else {
            tx.remove(key);
        }
    }
    Ok(Rebuild::Clear { prefix: index + 1, from: None })
}

/// An account's gate is no derived thing: only its count starts anew.
fn reset_account(tx: &mut Tx<'_>, key: Vec<u8>, bytes: &Bytes) -> Result<()> {
    match decode::<Account>(&key, bytes) {
        Ok(account) => tx.put_account(&Account { entries: 0, ..account }),
        Err(_) => {
            tx.put_bytes(keys::set_aside(&key), bytes.clone());
            tx.remove(key);
            tx.counters.quarantined += 1;
            Ok(())
        }
    }
}

fn derive(tx: &mut Tx<'_>, mut from: Vec<u8>) -> Result<Rebuild> {
    let prefix = keys::messages();
    while let Some((key, bytes)) = tx.next(&prefix, &from)? {
        if tx.bytes() >= GROUP_BYTES_MAX / 2 {
            return Ok(Rebuild::Derive { from: key });
        }
        from = after_key(&key);
        match decode_message(&key, &bytes) {
            Ok(Record::Entry(entry)) => {
                tx.counters.next_seq = tx.counters.next_seq.max(entry.identity.seq + 1);
                if !has_payload(tx, &entry)? && !put_payload_back(tx, &entry)? {
                    // The file may be what is left of it.
                    name_file(tx, entry.payload);
                    tx.set_aside(&entry.identity.msg_id, "its payload is missing")?;
                    continue;
                }
                tx.derive(None, Some(&entry))?;
                name_file(tx, entry.payload);
            }
            Ok(Record::Receipt(receipt)) => {
                tx.counters.receipts += 1;
                if receipt.seq >= tx.counters.data_floor && receipt.data != Kept::Nowhere {
                    tx.counters.data_bytes += receipt.data_bytes;
                    if let Kept::File(name) = receipt.data {
                        name_file(tx, Place::File(name));
                    }
                }
                tx.counters.next_seq = tx.counters.next_seq.max(receipt.identity.seq + 1);
                tx.counters.next_event = tx.counters.next_event.max(receipt.seq + 1);
                // Receipts are given up in the order of their events: without its event, one would stay for ever.
                let key = keys::event(receipt.seq);
                if receipt.seq >= tx.counters.event_floor && tx.get(&key)?.is_none() {
                    tx.put(key, &StoredEvent::of(&ending::event_of(&receipt), receipt.ended))?;
                }
            }
            Err(Error::BadRecord { reason, .. }) => {
                let msg_id = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
                tx.set_aside(&msg_id, &reason.to_string())?;
            }
            Err(error) => return Err(error),
        }
    }
    if let Some((key, _)) = tx.last(b"e", &after_prefix(b"e"))? {
        tx.counters.next_event = tx.counters.next_event.max(keys::tail_number(&key) + 1);
    }
    Ok(Rebuild::Orphans { ended: Ended::No, from: keys::payloads(Ended::No) })
}

/// Payloads whose entry could not be read: their bytes are kept with its own. Where a whole leaf of records was lost,
/// they are what tells whose those were.
fn orphans(tx: &mut Tx<'_>, ended: Ended, mut from: Vec<u8>) -> Result<Rebuild> {
    let prefix = keys::payloads(ended);
    while let Some((key, bytes)) = tx.next(&prefix, &from)? {
        if tx.bytes() >= GROUP_BYTES_MAX / 2 {
            return Ok(Rebuild::Orphans { ended, from: key });
        }
        from = after_key(&key);
        let owner = entry_at(tx, keys::tail_number(&key))?;
        if owner.as_ref().is_some_and(|entry| self::ended(&entry.delivery) != ended) {
            // An older state of the row that has been moved since: the entry has its own.
            tx.remove(key);
        } else if owner.is_none_or(|entry| entry.payload == Place::Nowhere) {
            if let Some(msg_id) = StoredPayload::msg_id_of(&bytes)
                && tx.get(&keys::message(&msg_id))?.is_none()
                && tx.get(&keys::set_aside(&keys::message(&msg_id)))?.is_none()
            {
                tx.announce_set_aside(Some(&msg_id), "its record could not be read")?;
            }
            tx.put_bytes(keys::set_aside(&key), bytes);
            tx.remove(key);
        }
    }
    Ok(match ended {
        Ended::No => Rebuild::Orphans { ended: Ended::Yes, from: keys::payloads(Ended::Yes) },
        Ended::Yes => Rebuild::Done,
    })
}

/// Whether a payload that an entry speaks of has its row: without it, nothing finds the entry.
fn has_payload(tx: &Tx<'_>, entry: &Entry) -> Result<bool> {
    let key = keys::payload(ended(&entry.delivery), entry.identity.seq);
    Ok(entry.payload == Place::Nowhere || tx.get(&key)?.is_some())
}

/// Makes the row anew with which an entry's payload is found: a file's name stands in the entry, and that of an older state
/// of the entry where that state had it. Tells whether the entry has its payload then.
fn put_payload_back(tx: &mut Tx<'_>, entry: &Entry) -> Result<bool> {
    let Identity { msg_id, seq, payload_bytes, .. } = &entry.identity;
    let is = ended(&entry.delivery);
    let was = if is == Ended::Yes { Ended::No } else { Ended::Yes };
    let found = match load::<StoredPayload>(tx, &keys::payload(was, *seq)) {
        Ok(found) => found.filter(|found| found.msg_id == *msg_id),
        Err(Error::BadRecord { .. }) => None,
        Err(error) => return Err(error),
    };
    let stored = match (entry.payload, found) {
        (Place::File(_), found) if found.as_ref().is_none_or(|found| found.bytes() == 0) => {
            StoredPayload { msg_id: msg_id.clone(), message: Vec::new(), web_message_instance: None }
        }
        // A resend may have brought another web instance: of such a payload nobody knows which state it belongs to.
        (Place::Inline, Some(found))
            if found.web_message_instance.is_none() && found.bytes() == *payload_bytes =>
        {
            found
        }
        _ => return Ok(false),
    };
    tx.remove(keys::payload(was, *seq));
    tx.put(keys::payload(is, *seq), &stored)?;
    Ok(true)
}

/// What a record says of its file counts, so that the sweep of orphans spares it.
fn name_file(tx: &mut Tx<'_>, place: Place) {
    if let Place::File(name) = place {
        tx.put_bytes(keys::file(name), Bytes::default());
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
