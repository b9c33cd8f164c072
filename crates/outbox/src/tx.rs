//! A transaction: verbs read and write rows through it, and it keeps what is derived in step.
//!
//! Owns:  the overlay of a group's writes, roll-back of one verb, and what is derived: state index, timers,
//!        accounts, counters (and lanes, in `lanes`).
//! Never: decides what happens to an entry (`lifecycle`), touches the disk (`writer` commits).

use crate::chance::{fresh_token, roll};
use crate::clock::{BootId, Moment, SpoolClock, Timestamp};
use crate::config::Config;
use crate::disk::{Bytes, Rows, Writes};
use crate::drive::DiskError;
use crate::entry::{
    Account, Counters, Delivery, Entry, Gate, Identity, Phase, Receipt, StoredEvent, StoredPayload,
};
use crate::error::{Error, Result};
use crate::keys::{self, Ended, StateIndex};
use crate::lifecycle::Context;
use crate::limits::{INLINE_BYTES_MAX, REMOVED_SHARE};
use crate::notice::{Event, EventKind, Notices};
use crate::outcome::Outcome;
use crate::record::{Stored, decode, encode};
use crate::state::State;

/// What stands under a msgID.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Entry(Entry),
    Receipt(Receipt),
}

/// A group under construction.
pub(crate) struct Tx<'a> {
    rows: &'a dyn Rows,
    pub(crate) config: &'a Config,
    pub(crate) now: Moment,
    pub(crate) boot: BootId,
    /// When this process opened the spool.
    pub(crate) opened: Timestamp,
    pub(crate) counters: Counters,
    pub(crate) notices: Notices,
    /// Free bytes of the file system when the group began.
    pub(crate) free_bytes: u64,
    /// A file that was written for this verb and is not named yet.
    pub(crate) prepared_file: Option<[u8; 16]>,
    /// What was to go into one, whether there was room for it or not.
    pub(crate) prepared_bytes: u64,
    /// Payload files to remove once the group is durable.
    pub(crate) unnamed_files: Vec<[u8; 16]>,
    /// Nothing is given up yet: an open counts what is missing.
    pub(crate) keeps_all: bool,
    writes: Writes,
    bytes: usize,
    undo: Undo,
}

/// What a verb that fails takes back.
#[derive(Default)]
struct Undo {
    /// What stood in the overlay before each write, in the order of the writes.
    writes: Vec<(Vec<u8>, Option<Option<Bytes>>)>,
    counters: Counters,
    events: usize,
    outcomes: usize,
    wake: Option<Timestamp>,
    files: usize,
}

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Self {
        if error.is_damage {
            return Self::Unreadable { reason: error.text };
        }
        Self::Unhealthy { reason: error.text }
    }
}

impl Rows for Tx<'_> {
    fn get(&self, key: &[u8]) -> std::result::Result<Option<Bytes>, DiskError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.rows.get(key),
        }
    }

    fn next_where(
        &self,
        prefix: &[u8],
        from: &[u8],
        is_wanted: &dyn Fn(&[u8]) -> bool,
    ) -> std::result::Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        // Rows that this group removed are passed over: at most as many as the group wrote.
        let stands = |key: &[u8]| is_wanted(key) && !matches!(self.writes.get(key), Some(None));
        let below = self.rows.next_where(prefix, from, &stands)?;
        let above = self
            .writes
            .range(from.to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .find_map(|(key, value)| value.as_ref().filter(|_| is_wanted(key)).map(|value| (key, value)));
        Ok(match (below, above) {
            (Some((key, _)), Some((written, value))) if *written <= key => {
                Some((written.clone(), value.clone()))
            }
            (None, Some((written, value))) => Some((written.clone(), value.clone())),
            (below, _) => below,
        })
    }

    fn last(&self, prefix: &[u8], before: &[u8]) -> std::result::Result<Option<(Vec<u8>, Bytes)>, DiskError> {
        let mut below = self.rows.last(prefix, before)?;
        while let Some((key, _)) = &below {
            match self.writes.get(key) {
                Some(None) => below = self.rows.last(prefix, key)?,
                _ => break,
            }
        }
        let above = self
            .writes
            .range(..before.to_vec())
            .rev()
            .take_while(|(key, _)| key.starts_with(prefix))
            .find_map(|(key, value)| value.as_ref().map(|value| (key, value)));
        Ok(match (below, above) {
            (Some((key, _)), Some((written, value))) if *written >= key => {
                Some((written.clone(), value.clone()))
            }
            (None, Some((written, value))) => Some((written.clone(), value.clone())),
            (below, _) => below,
        })
    }
}

/// Reads a record of a known kind, if it is there.
pub(crate) fn load<T: Stored>(rows: &(impl Rows + ?Sized), key: &[u8]) -> Result<Option<T>> {
    match rows.get(key)? {
        None => Ok(None),
        Some(bytes) => decode(key, &bytes).map(Some).map_err(|reason| bad_record(key, reason)),
    }
}

/// Reads what stands under a msgID.
pub(crate) fn load_message(rows: &(impl Rows + ?Sized), msg_id: &str) -> Result<Option<Record>> {
    let key = keys::message(msg_id);
    let Some(bytes) = rows.get(&key)? else { return Ok(None) };
    decode_message(&key, &bytes).map(Some)
}

/// Decodes what stands under the key of a msgID.
pub(crate) fn decode_message(key: &[u8], bytes: &[u8]) -> Result<Record> {
    let record = if crate::record::kind(bytes) == Some(Receipt::KIND) {
        decode(key, bytes).map(Record::Receipt)
    } else {
        decode(key, bytes).map(Record::Entry)
    };
    record.map_err(|reason| bad_record(key, reason))
}

/// The msgID of the entry with this order of acceptance, by its payload's row; `None` where that is missing.
///
/// A payload that is damaged may still tell whose it is: the record under the msgID says whether that is so.
pub(crate) fn msg_id_at(rows: &(impl Rows + ?Sized), seq: u64) -> Result<Option<String>> {
    for ended in [Ended::No, Ended::Yes] {
        if let Some(bytes) = rows.get(&keys::payload(ended, seq))? {
            return Ok(StoredPayload::msg_id_of(&bytes));
        }
    }
    Ok(None)
}

/// The entry with this order of acceptance.
pub(crate) fn entry_at(rows: &(impl Rows + ?Sized), seq: u64) -> Result<Option<Entry>> {
    let Some(msg_id) = msg_id_at(rows, seq)? else { return Ok(None) };
    match load_message(rows, &msg_id)? {
        Some(Record::Entry(entry)) if entry.identity.seq == seq => Ok(Some(entry)),
        _ => Ok(None),
    }
}

/// Finds a message by msgID, else by its newest alias.
pub(crate) fn find(rows: &(impl Rows + ?Sized), id: &str) -> Result<Record> {
    if let Some(record) = load_message(rows, id)? {
        return Ok(record);
    }
    let prefix = keys::aliases(id);
    let newest = rows.last(&prefix, &crate::disk::after_prefix(&prefix))?;
    let target = newest.and_then(|(_, msg_id)| String::from_utf8(msg_id.to_vec()).ok());
    if let Some(record) = target.map(|msg_id| load_message(rows, &msg_id)).transpose()?.flatten() {
        return Ok(record);
    }
    Err(Error::NotFound { id: id.into() })
}

fn bad_record(key: &[u8], reason: crate::record::RecordError) -> Error {
    Error::BadRecord { key: key.escape_ascii().to_string(), reason }
}

impl<'a> Tx<'a> {
    pub(crate) fn new(
        rows: &'a dyn Rows,
        config: &'a Config,
        clock: &SpoolClock,
        counters: Counters,
        free_bytes: u64,
    ) -> Self {
        Self {
            rows,
            config,
            now: clock.now(),
            boot: clock.boot(),
            opened: clock.opened(),
            counters,
            notices: Notices::default(),
            free_bytes,
            prepared_file: None,
            prepared_bytes: 0,
            unnamed_files: Vec::new(),
            keeps_all: false,
            writes: Writes::new(),
            bytes: 0,
            undo: Undo::default(),
        }
    }

    /// Begins a verb, so that it can be taken back alone.
    pub(crate) fn begin(&mut self) {
        self.undo = Undo {
            writes: Vec::new(),
            counters: self.counters,
            events: self.notices.events.len(),
            outcomes: self.notices.outcomes.len(),
            wake: self.notices.wake,
            files: self.unnamed_files.len(),
        };
    }

    /// Takes the verb back.
    pub(crate) fn roll_back(&mut self) {
        for (key, before) in std::mem::take(&mut self.undo.writes).into_iter().rev() {
            match before {
                Some(value) => self.writes.insert(key, value),
                None => self.writes.remove(&key),
            };
        }
        self.counters = self.undo.counters;
        self.notices.events.truncate(self.undo.events);
        self.notices.outcomes.truncate(self.undo.outcomes);
        self.notices.wake = self.undo.wake;
        self.unnamed_files.truncate(self.undo.files);
    }

    /// Bytes written so far; taken-back ones included.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The group's writes.
    pub(crate) fn into_parts(self) -> (Writes, Counters, Notices, Vec<[u8; 16]>) {
        (self.writes, self.counters, self.notices, self.unnamed_files)
    }

    pub(crate) fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    pub(crate) fn put_bytes(&mut self, key: Vec<u8>, value: Bytes) {
        self.write(key, Some(value));
    }

    pub(crate) fn put<T: Stored>(&mut self, key: Vec<u8>, value: &T) -> Result<()> {
        let bytes = encode(&key, value).map_err(|reason| bad_record(&key, reason))?;
        self.write(key, Some(bytes.into()));
        Ok(())
    }

    /// Removes the row of an entry's payload, which is as large as this.
    pub(crate) fn remove_payload(&mut self, key: Vec<u8>, bytes: u64) {
        let inline = usize::try_from(bytes).unwrap_or(usize::MAX).min(INLINE_BYTES_MAX);
        self.bytes += inline * REMOVED_SHARE;
        self.remove(key);
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.write(key, None);
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, |bytes| bytes.len());
        let before = self.writes.insert(key.clone(), value);
        self.undo.writes.push((key, before));
    }

    /// An attempt has ended so.
    pub(crate) fn note_outcome(&mut self, outcome: Outcome) {
        self.notices.outcomes.push(outcome);
    }

    /// Something new may be due at `at`.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.notices.wake = Some(self.notices.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The context of a lifecycle step for an entry.
    pub(crate) fn context(&self, entry: &Entry) -> Context<'a> {
        Context {
            policy: &self.config.policy,
            now: self.now,
            boot: self.boot,
            roll: roll(self.config.chance.as_ref()),
            fresh_token: fresh_token(self.config.chance.as_ref()),
            ttl_ms: entry.ttl_ms,
            has_payload: entry.payload != crate::entry::Place::Nowhere,
            to_group: entry.identity.to_group,
        }
    }

    // --- the entry and everything derived from it ----------------------------------------------------

    /// Writes an entry in the place of `old` (`None` for a new one), with all that is derived from it.
    pub(crate) fn put_entry(&mut self, old: Option<&Entry>, new: &Entry) -> Result<()> {
        self.put(keys::message(&new.identity.msg_id), new)?;
        self.derive(old, Some(new))?;
        if let Some(old) = old {
            self.move_payload(old, new)?;
        }
        Ok(())
    }

    /// Removes an entry and all that is derived from it and belongs to it; the caller writes the receipt
    /// in its place. Aliases stay: they lead to the receipt.
    pub(crate) fn drop_entry(&mut self, old: &Entry) -> Result<()> {
        self.derive(Some(old), None)?;
        let key = keys::payload(ended(&old.delivery), old.identity.seq);
        self.remove_payload(key, old.identity.payload_bytes);
        self.unname(old.payload);
        Ok(())
    }

    /// Forgets a file, if the place is one.
    pub(crate) fn unname(&mut self, place: crate::entry::Place) {
        if let crate::entry::Place::File(name) = place {
            self.remove(keys::file(name));
            self.unnamed_files.push(name);
        }
    }

    /// Replaces what is derived from `old` by what is derived from `new`.
    pub(crate) fn derive(&mut self, old: Option<&Entry>, new: Option<&Entry>) -> Result<()> {
        let Some(identity) = old.or(new).map(|entry| entry.identity.clone()) else { return Ok(()) };
        let seq = identity.seq;
        let msg_id = || Bytes::from(identity.msg_id.as_bytes());
        let (was, is) =
            (old.map(|e| StateIndex::of(&e.delivery.phase)), new.map(|e| StateIndex::of(&e.delivery.phase)));
        if was != is {
            if let Some(Some(state)) = was {
                self.remove(keys::state(state, seq));
            }
            if let Some(Some(state)) = is {
                self.put_bytes(keys::state(state, seq), msg_id());
            }
            self.count(was, is);
        }
        let (was, is) = (old.and_then(|e| e.delivery.timer()), new.and_then(|e| e.delivery.timer()));
        if was != is {
            if let Some(at) = was {
                self.remove(keys::timer(at, seq));
            }
            if let Some(at) = is {
                self.put_bytes(keys::timer(at, seq), msg_id());
                self.wake(at);
            }
        }
        self.count_account(&identity, old.is_some(), new.is_some())?;
        self.count_bytes(old, new);
        self.relane(&identity, old.map(|e| &e.delivery), new.map(|e| &e.delivery))
    }

    fn count(&mut self, was: Option<Option<StateIndex>>, is: Option<Option<StateIndex>>) {
        if let Some(state) = was {
            let counter = self.counter(state);
            *counter = counter.saturating_sub(1);
        }
        if let Some(state) = is {
            *self.counter(state) += 1;
        }
    }

    pub(crate) const fn counter(&mut self, state: Option<StateIndex>) -> &mut u64 {
        match state {
            None => &mut self.counters.waiting,
            Some(StateIndex::Held) => &mut self.counters.held,
            Some(StateIndex::Sending) => &mut self.counters.sending,
            Some(StateIndex::Uncertain) => &mut self.counters.uncertain,
            Some(StateIndex::Failed) => &mut self.counters.failed,
            Some(StateIndex::Expired) => &mut self.counters.expired,
        }
    }

    fn count_bytes(&mut self, old: Option<&Entry>, new: Option<&Entry>) {
        let bytes = |entry: Option<&Entry>| {
            entry
                .filter(|entry| entry.payload != crate::entry::Place::Nowhere)
                .map_or(0, |entry| entry.identity.payload_bytes)
        };
        self.counters.payload_bytes = (self.counters.payload_bytes + bytes(new)).saturating_sub(bytes(old));
    }

    fn count_account(&mut self, identity: &Identity, was: bool, is: bool) -> Result<()> {
        if was == is {
            return Ok(());
        }
        let mut account = self.account(&identity.account)?;
        account.entries = if is { account.entries + 1 } else { account.entries.saturating_sub(1) };
        self.put_account(&account)
    }

    /// An account's record; one that nothing is known of is open and empty.
    pub(crate) fn account(&self, name: &str) -> Result<Account> {
        let fresh = || Account { name: name.into(), entries: 0, gate: Gate::Open };
        match load(self, &keys::account(name)) {
            Ok(found) => Ok(found.unwrap_or_else(fresh)),
            // One bad row must not stop an account: the service shuts its gate again if it has to.
            Err(Error::BadRecord { .. }) => Ok(fresh()),
            Err(error) => Err(error),
        }
    }

    /// Writes an account's record, or removes it when it says nothing.
    pub(crate) fn put_account(&mut self, account: &Account) -> Result<()> {
        let key = keys::account(&account.name);
        if account.entries == 0 && account.gate == Gate::Open {
            self.remove(key);
            return Ok(());
        }
        self.put(key, account)
    }

    fn move_payload(&mut self, old: &Entry, new: &Entry) -> Result<()> {
        let seq = new.identity.seq;
        let (was, is) = (ended(&old.delivery), ended(&new.delivery));
        if new.payload == crate::entry::Place::Nowhere {
            if old.payload != new.payload {
                self.remove_payload(keys::payload(was, seq), old.identity.payload_bytes);
                self.unname(old.payload);
            }
            return Ok(());
        }
        if was == is {
            return Ok(());
        }
        let old_key = keys::payload(was, seq);
        // The checksum covers the key, so the record is encoded anew.
        if let Some(payload) = load::<crate::entry::StoredPayload>(self, &old_key)? {
            self.put(keys::payload(is, seq), &payload)?;
            self.remove_payload(old_key, old.identity.payload_bytes);
        }
        Ok(())
    }

    // --- events ----------------------------------------------------------------------------------------

    /// Announces a change of an entry; a durable kind also gets its row and sequence, which it returns.
    pub(crate) fn announce(&mut self, kind: EventKind, entry: &Entry, state: State) -> Result<Option<u64>> {
        let delivery = &entry.delivery;
        let has_error = matches!(kind, EventKind::Failed | EventKind::Deferred | EventKind::Uncertain);
        let error = entry.last_error.as_ref().filter(|_| has_error);
        // A hold's reason is a person's; what becomes of the lane stands beside it.
        let of_lane = self.said_of_lane(&entry.identity, delivery).map(ToOwned::to_owned);
        let (reason, of_hold) = match &delivery.phase {
            Phase::Held { reason, .. } => (reason.clone(), of_lane),
            _ => (of_lane, None),
        };
        self.emit(Event {
            seq: None,
            after: 0,
            kind,
            at: self.now.wall,
            msg_id: Some(entry.identity.msg_id.clone()),
            account: Some(entry.identity.account.clone()),
            conversation: Some(entry.identity.conversation.clone()),
            state: Some(state),
            code: error.map(|error| error.code),
            desc: error.map(|error| error.desc.clone()).or(of_hold),
            new_msg_id: None,
            gate: None,
            reason,
            may_have_arrived: delivery.has_ended() && delivery.unresolved.is_some(),
        })
    }

    /// Adds an event to the group.
    pub(crate) fn emit(&mut self, mut event: Event) -> Result<Option<u64>> {
        event.after = self.counters.next_event.saturating_sub(1);
        event.desc = event.desc.filter(|desc| !desc.is_empty());
        if event.kind.is_durable() {
            let seq = self.counters.next_event;
            self.counters.next_event += 1;
            event.seq = Some(seq);
            self.put(keys::event(seq), &StoredEvent::of(&event, self.now.time))?;
        }
        let seq = event.seq;
        self.notices.events.push(event);
        Ok(seq)
    }
}

/// Whether an entry's payload stands among those on their way or those that ended.
pub(crate) const fn ended(delivery: &Delivery) -> Ended {
    if delivery.has_ended() { Ended::Yes } else { Ended::No }
}
