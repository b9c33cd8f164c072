//! Quarantine: records that cannot be read are set aside, counted and announced, and then moved out of the store.
//!
//! Owns:  where their bytes are kept, and the counts of an entry that cannot tell its own state any more.
//! Never: throws bytes away, keeps anything else from going on.
//!
//! A row is set aside in the transaction that meets it: its bytes stand under another key. The next one moves them into a file,
//! which is durable before the row goes.

use crate::disk::Rows;
use crate::entry::{Entry, Kept, Phase, Place, Receipt, StoredPayload};
use crate::error::{Error, Result};
use crate::keys::{self, Ended, StateIndex};
use crate::limits::{QUARANTINE_FILES_MAX, QUARANTINE_MOVED_MAX};
use crate::notice::{Event, EventKind};
use crate::record::decode;
use crate::spool::Spool;
use crate::tx::{Record, Tx, ended, find};
use crate::verbs::ending::drop_data;
use crate::view::{data_of, payload_of};

/// Moves some of what was set aside into files; tells whether there may be more. Where none can be written, the rows stay.
pub(crate) fn move_out(tx: &mut Tx<'_>, spool: &Spool) -> Result<bool> {
    if spool.files_in_quarantine() >= QUARANTINE_FILES_MAX {
        return Ok(false);
    }
    let prefix = keys::quarantine();
    let mut from = prefix.clone();
    for _ in 0..QUARANTINE_MOVED_MAX {
        let Some((key, bytes)) = tx.next(&prefix, &from)? else { return Ok(false) };
        let told = format!("row {}, {} bytes\n", key[prefix.len()..].escape_ascii(), bytes.len());
        let content = [told.as_bytes(), &bytes].concat();
        let mut name = [0; 16];
        name.copy_from_slice(&blake3::hash(&content).as_bytes()[..16]);
        if spool.write_to_quarantine(name, &content).is_err() {
            return Ok(false);
        }
        from = crate::disk::after_key(&key);
        tx.remove(key);
    }
    Ok(true)
}

/// Sets aside what a message has of a payload or replacement that cannot be read; tells whether that was so. One that has not ended
/// goes as a whole. Of one that has, what became of it stays, and so does one that may have arrived.
pub(crate) fn set_aside_unreadable(tx: &mut Tx<'_>, spool: &Spool, id: &str) -> Result<bool> {
    match find(tx, id)? {
        Record::Entry(entry) => {
            let Err(Error::BadRecord { reason, .. }) = payload_of(tx, spool, &entry) else {
                return Ok(false);
            };
            let reason = format!("its payload: {reason}");
            match entry.delivery.phase {
                Phase::Waiting { .. } | Phase::Held { .. } => {
                    tx.set_aside_with_payload(spool, &entry, &reason)?;
                }
                Phase::Failed { .. } | Phase::Expired { .. } => {
                    if !tx.keep_payload(spool, &entry)? {
                        return Ok(false);
                    }
                    tx.put_entry(Some(&entry), &Entry { payload: Place::Nowhere, ..entry.clone() })?;
                    tx.announce_set_aside(Some(&entry.identity.msg_id), &reason)?;
                }
                Phase::Sending { .. } | Phase::Uncertain { .. } => return Ok(false),
            }
        }
        Record::Receipt(receipt) => {
            let Err(Error::BadRecord { reason, .. }) = data_of(tx, spool, &receipt) else { return Ok(false) };
            if !receipt.data.file().is_some_and(|name| spool.keep_payload(name)) {
                return Ok(false);
            }
            drop_data(tx, &receipt.data, receipt.data_bytes);
            let msg_id = receipt.identity.msg_id.clone();
            tx.put(keys::message(&msg_id), &Receipt { data: Kept::Nowhere, ..receipt })?;
            tx.announce_set_aside(Some(&msg_id), &format!("its replacement: {reason}"))?;
        }
    }
    Ok(true)
}

impl Tx<'_> {
    /// Moves a record that cannot be read out of the way, counts and announces it. Its bytes are kept.
    pub(crate) fn set_aside(&mut self, msg_id: &str, reason: &str) -> Result<()> {
        let key = keys::message(msg_id);
        if let Some(bytes) = self.get(&key)? {
            self.put_bytes(keys::set_aside(&key), bytes);
            self.remove(key);
        }
        self.announce_set_aside(Some(msg_id), reason)
    }

    /// Counts and announces what was set aside.
    pub(crate) fn announce_set_aside(&mut self, msg_id: Option<&str>, reason: &str) -> Result<()> {
        self.counters.quarantined += 1;
        self.emit(Event {
            seq: None,
            after: 0,
            kind: EventKind::Quarantined,
            at: self.now.wall,
            msg_id: msg_id.map(Into::into),
            account: None,
            conversation: None,
            state: None,
            code: None,
            desc: None,
            new_msg_id: None,
            gate: None,
            reason: Some(reason.into()),
            may_have_arrived: false,
        })?;
        Ok(())
    }

    /// The same for an entry whose payload cannot be read. What there is of that is kept as well.
    pub(crate) fn set_aside_with_payload(
        &mut self,
        spool: &Spool,
        entry: &Entry,
        reason: &str,
    ) -> Result<()> {
        self.derive(Some(entry), None)?;
        // Where it cannot be kept, its name stays, and so it does.
        if self.keep_payload(spool, entry)? {
            self.unname(entry.payload);
        }
        self.remove(keys::payload(ended(&entry.delivery), entry.identity.seq));
        self.set_aside(&entry.identity.msg_id, reason)
    }

    /// Keeps the bytes of a payload that is about to go; tells whether that was done.
    fn keep_payload(&mut self, spool: &Spool, entry: &Entry) -> Result<bool> {
        let key = keys::payload(ended(&entry.delivery), entry.identity.seq);
        if let Place::File(name) = entry.payload {
            return Ok(spool.keep_payload(name));
        }
        if let Some(bytes) = self.get(&key)? {
            self.put_bytes(keys::set_aside(&key), bytes);
        }
        Ok(true)
    }

    /// The same for an entry, whose order of acceptance an index told: it leaves the counts as well.
    pub(crate) fn set_aside_entry(&mut self, seq: u64, msg_id: &str, reason: &str) -> Result<()> {
        let state = self.indexed_state(seq, msg_id)?;
        if let Some(state) = state {
            self.remove(keys::state(state, seq));
        }
        let counter = self.counter(state);
        *counter = counter.saturating_sub(1);
        for ended in [Ended::No, Ended::Yes] {
            let key = keys::payload(ended, seq);
            let Some(bytes) = self.get(&key)? else { continue };
            if let Ok(payload) = decode::<StoredPayload>(&key, &bytes) {
                // That of a payload in a file is not known here; the next rebuild finds it.
                self.counters.payload_bytes = self.counters.payload_bytes.saturating_sub(payload.bytes());
            }
            self.put_bytes(keys::set_aside(&key), bytes);
            self.remove(key);
        }
        self.set_aside(msg_id, reason)
    }

    /// The state in which the indices know an entry; `None` for a waiting one.
    fn indexed_state(&self, seq: u64, msg_id: &str) -> Result<Option<StateIndex>> {
        for state in StateIndex::ALL {
            if self.get(&keys::state(state, seq))?.is_some_and(|found| found == msg_id.as_bytes()) {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }
}
