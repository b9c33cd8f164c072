//! After an open: what is derived is checked against the entries, and made anew if it disagrees.
//!
//! Owns:  the check after a stop that was not clean, the rebuild, the comparison with the seal.
//! Never: changes an entry or a receipt that can be read.

use crate::disk::{Rows, after_key};
use crate::entry::{Counters, Entry, Lane, LaneKey, Phase, Place, Slot};
use crate::error::{Error, Result};
use crate::keys::{self, StateIndex};
use crate::limits::GROUP_BYTES_MAX;
use crate::tx::{Record, Tx, decode_message, load};

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
    in_lane: u64,
    timers: u64,
    next_seq: u64,
}

/// Messages that were acknowledged and are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first order of acceptance that is missing.
    pub from_seq: u64,
    /// The last one.
    pub to_seq: u64,
}

/// Compares what the seal says with what the store says.
pub(crate) fn compare_with_seal(seal: Option<&Counters>, counters: &Counters) -> Option<Lost> {
    seal.filter(|seal| seal.next_seq > counters.next_seq)
        .map(|seal| Lost { from_seq: counters.next_seq, to_seq: seal.next_seq - 1 })
}

/// Whether everything derived agrees with the records. Constant memory; time grows with the records,
/// which is why it is only done after a stop that was not clean.
pub(crate) fn agrees(rows: &dyn Rows, counters: &Counters) -> Result<bool> {
    let mut tally = Tally::default();
    let mut from = keys::messages();
    let prefix = keys::messages();
    while let Some((key, bytes)) = rows.next(&prefix, &from)? {
        from = after_key(&key);
        match decode_message(&key, &bytes) {
            Ok(Record::Entry(entry)) => {
                if !has_its_rows(rows, &entry)? {
                    return Ok(false);
                }
                tally.add(&entry);
            }
            Ok(Record::Receipt(receipt)) => {
                tally.receipts += 1;
                tally.next_seq = tally.next_seq.max(receipt.identity.seq + 1);
            }
            // To be set aside, by the rebuild.
            Err(_) => return Ok(false),
        }
    }
    Ok(tally.agrees_with(counters)
        && count(rows, b"l")? == tally.in_lane
        && count(rows, b"x")? == tally.timers
        && count(rows, b"s")? == tally.held + tally.sending + tally.uncertain + tally.failed + tally.expired
        && lanes_agree(rows, counters)?)
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
        }
        self.in_lane += u64::from(entry.delivery.in_lane);
        self.timers += u64::from(entry.delivery.timer().is_some());
        self.next_seq = self.next_seq.max(entry.identity.seq + 1);
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

fn has_its_rows(rows: &dyn Rows, entry: &Entry) -> Result<bool> {
    let identity = &entry.identity;
    let msg_id = identity.msg_id.as_bytes();
    let mut wanted = Vec::with_capacity(3);
    if let Some(state) = StateIndex::of(&entry.delivery.phase) {
        wanted.push(keys::state(state, identity.seq));
    }
    if let Some(at) = entry.delivery.timer() {
        wanted.push(keys::timer(at, identity.seq));
    }
    if entry.delivery.in_lane {
        wanted.push(keys::lane_entry(identity.lane, identity.seq));
    }
    for key in wanted {
        if rows.get(&key)?.as_deref() != Some(msg_id) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn count(rows: &dyn Rows, prefix: &[u8]) -> Result<u64> {
    let mut from = prefix.to_vec();
    let mut count = 0;
    while let Some((key, _)) = rows.next(prefix, &from)? {
        from = after_key(&key);
        count += 1;
    }
    Ok(count)
}

/// Whether each lane's record says what its rows say, and no lane or due row is left over.
fn lanes_agree(rows: &dyn Rows, counters: &Counters) -> Result<bool> {
    let mut from = b"l".to_vec();
    let mut current: Option<(LaneKey, u64, u64)> = None;
    let (mut lanes, mut ready, mut deferred) = (0, 0, 0);
    let mut check = |lane: Option<(LaneKey, u64, u64)>| -> Result<bool> {
        let Some((id, head, count)) = lane else { return Ok(true) };
        lanes += 1;
        let record = match load::<Lane>(rows, &keys::lane(id)) {
            Ok(Some(record)) => record,
            Ok(None) | Err(Error::BadRecord { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let account = keys::account_hash(&record.account);
        let slot = match record.slot {
            Slot::None => None,
            Slot::Ready(at) => {
                ready += 1;
                Some(keys::ready(account, at, id))
            }
            Slot::Deferred(due) => {
                deferred += 1;
                Some(keys::deferred(due, id))
            }
        };
        let seated = match slot {
            Some(key) => rows.get(&key)?.is_some(),
            None => true,
        };
        Ok(seated && record.head == head && record.count == count)
    };
    while let Some((key, _)) = rows.next(b"l", &from)? {
        from = after_key(&key);
        let seq = keys::tail_number(&key);
        let id = key.get(1..).and_then(|rest| rest.first_chunk()).copied().map_or(LaneKey([0; 16]), LaneKey);
        match &mut current {
            Some((lane, _, count)) if *lane == id => *count += 1,
            _ => {
                if !check(current.replace((id, seq, 1)))? {
                    return Ok(false);
                }
            }
        }
    }
    if !check(current)? {
        return Ok(false);
    }
    Ok(count(rows, b"h")? == lanes
        && count(rows, b"w")? == ready
        && count(rows, b"d")? == deferred
        && counters.ready == ready
        && counters.deferred == deferred)
}

/// The steps of a rebuild, each of which fills at most one group.
#[derive(Clone, Debug)]
pub(crate) enum Rebuild {
    /// Derived rows are removed.
    Clear { prefix: usize },
    /// Rows are derived from the records after this key.
    Derive { from: Vec<u8> },
    /// Done.
    Done,
}

impl Rebuild {
    /// The first step.
    pub(crate) const fn begin() -> Self {
        Self::Clear { prefix: 0 }
    }
}

/// Does one part of a rebuild. A crash in between is found at the next open, and the rebuild begins anew.
pub(crate) fn rebuild(tx: &mut Tx<'_>, step: Rebuild) -> Result<Rebuild> {
    match step {
        Rebuild::Clear { prefix } => clear(tx, prefix),
        Rebuild::Derive { from } => derive(tx, from),
        Rebuild::Done => Ok(Rebuild::Done),
    }
}

fn clear(tx: &mut Tx<'_>, index: usize) -> Result<Rebuild> {
    if index == 0 {
        let counters = &mut tx.counters;
        (counters.waiting, counters.ready, counters.deferred) = (0, 0, 0);
        (counters.held, counters.sending, counters.uncertain) = (0, 0, 0);
        (counters.failed, counters.expired, counters.receipts) = (0, 0, 0);
        (counters.payload_bytes, counters.data_bytes) = (0, 0);
    }
    let Some(prefix) = keys::DERIVED.get(index) else {
        return Ok(Rebuild::Derive { from: keys::messages() });
    };
    let prefix = [*prefix];
    while let Some((key, _)) = tx.next(&prefix, &prefix)? {
        if tx.bytes() >= GROUP_BYTES_MAX / 2 {
            return Ok(Rebuild::Clear { prefix: index });
        }
        // An account's gate is no derived thing: only its count starts anew.
        if prefix == *b"g" {
            reset_accounts(tx)?;
            break;
        }
        tx.remove(key);
    }
    Ok(Rebuild::Clear { prefix: index + 1 })
}

fn reset_accounts(tx: &mut Tx<'_>) -> Result<()> {
    for mut account in crate::view::accounts(tx, usize::MAX)? {
        account.entries = 0;
        tx.put_account(&account)?;
    }
    Ok(())
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
                tx.derive(None, Some(&entry))?;
            }
            Ok(Record::Receipt(receipt)) => {
                tx.counters.receipts += 1;
                if receipt.seq >= tx.counters.data_floor {
                    tx.counters.data_bytes += receipt.data_bytes;
                }
                tx.counters.next_seq = tx.counters.next_seq.max(receipt.identity.seq + 1);
                tx.counters.next_event = tx.counters.next_event.max(receipt.seq + 1);
            }
            Err(Error::BadRecord { reason, .. }) => {
                let msg_id = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
                tx.set_aside(&msg_id, &reason.to_string())?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Rebuild::Done)
}
