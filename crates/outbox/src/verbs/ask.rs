//! What a person or the app asks for: hold, release, resend, cancel, resolve.
//!
//! Owns:  these verbs and their answers.
//! Never: leases or sends.

use crate::disk::Bytes;
use crate::entry::{End, Entry, Place, Receipt, StoredPayload};
use crate::error::{Error, Result};
use crate::keys;
use crate::lifecycle::{Event, Refusal, step};
use crate::outcome::{Class, Outcome, Replacement, Report};
use crate::state::State;
use crate::tx::{Record, Tx, ended, find};
use crate::verbs::{Became, apply, cut_reason};
use crate::view::{EntryView, state_of, view_entry};

/// The answer to hold, release and resend.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// The entry as it is now.
    Entry(EntryView),
    /// It was sent already: a resend gets the receipt.
    Sent(Receipt),
}

/// The answer to a cancel.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancelled {
    /// It will not be sent. It was never sent, or is known not to have arrived, unless the mark says else.
    Cancelled {
        /// It failed or expired with an attempt whose outcome is unknown.
        may_have_arrived: bool,
    },
    /// It will not be sent again, but an earlier attempt may have arrived.
    Uncertain,
    /// An attempt is under way; a later event tells the end.
    Pending,
    /// It was sent.
    TooLate(Box<Receipt>),
}

/// What a resend changes of the message, for this attempt and all later ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Not to be kept by the service for users who are offline.
    pub online_user_only: Option<bool>,
    /// The web SDK's message instance.
    pub web_message_instance: Option<Vec<u8>>,
}

/// The payload with a changed web instance, prepared on the caller's thread.
pub(crate) struct NewPayload {
    /// Of the entry with this order of acceptance, and of no other.
    pub(crate) seq: u64,
    pub(crate) message: Vec<u8>,
    pub(crate) web_message_instance: Option<Vec<u8>>,
    /// The file that was written for it, if it is too large for the store.
    pub(crate) file: Option<[u8; 16]>,
}

/// A person's word that an uncertain message arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// In words.
    pub desc: String,
    /// The message as it arrived, if it is known.
    pub replacement: Option<Replacement>,
}

/// Holds an entry back until it is released.
pub(crate) fn hold(tx: &mut Tx<'_>, id: &str, reason: Option<String>) -> Result<EntryView> {
    let entry = living(tx, id, "only a message that is still to be sent can be held")?;
    let why = "only a message that is still to be sent, and waits for no decision, can be held";
    change(tx, entry, &Event::Hold { reason: cut_reason(reason) }, why)
}

/// Ends a hold.
pub(crate) fn release(tx: &mut Tx<'_>, id: &str) -> Result<EntryView> {
    let entry = living(tx, id, "it has ended; there is nothing to release")?;
    change(tx, entry, &Event::Release, "it is not held; resend, resolve or cancel it")
}

/// Makes an entry due now; brings an ended one back.
pub(crate) fn resend(
    tx: &mut Tx<'_>,
    id: &str,
    online_user_only: Option<bool>,
    payload: Option<NewPayload>,
) -> Result<Changed> {
    match find(tx, id)? {
        Record::Receipt(receipt) if receipt.state() == State::Sent => Ok(Changed::Sent(receipt)),
        Record::Receipt(receipt) => {
            Err(wrong_state(&receipt.identity.msg_id, receipt.state(), "its payload is no longer kept"))
        }
        Record::Entry(entry) => {
            let entry = overridden(tx, entry, online_user_only, payload)?;
            change(tx, entry, &Event::Resend, "it cannot be resent").map(Changed::Entry)
        }
    }
}

/// Writes what a resend changes of the message.
fn overridden(
    tx: &mut Tx<'_>,
    old: Entry,
    online_user_only: Option<bool>,
    payload: Option<NewPayload>,
) -> Result<Entry> {
    let mut new = old.clone();
    if let Some(online_user_only) = online_user_only {
        new.identity.online_user_only = online_user_only;
    }
    if let Some(payload) = payload {
        if payload.seq != new.identity.seq {
            // Between look-up and verb the id came to mean another message.
            return Err(wrong_state(
                &new.identity.msg_id,
                State::Queued,
                "it has just taken this id; try again",
            ));
        }
        let web_bytes = payload.web_message_instance.as_ref().map_or(0, Vec::len);
        new.identity.payload_bytes = (payload.message.len() + web_bytes) as u64;
        new.payload = tx.place_payload(&new, payload)?;
    }
    if new != old {
        tx.put_entry(Some(&old), &new)?;
        if new.payload != old.payload {
            tx.unname(old.payload);
        }
    }
    Ok(new)
}

/// Cancels a message and tells the truth about it.
pub(crate) fn cancel(tx: &mut Tx<'_>, id: &str, reason: Option<String>) -> Result<Cancelled> {
    let entry = match find(tx, id)? {
        Record::Receipt(receipt) => return Ok(cancelled_before(receipt)),
        Record::Entry(entry) => entry,
    };
    let was_ended = entry.delivery.has_ended();
    let event = Event::Cancel { reason: cut_reason(reason) };
    let stepped = step(&entry.delivery, &event, &tx.context(&entry))
        .map_err(|_| wrong_state(&entry.identity.msg_id, State::Sending, "it cannot be cancelled"))?;
    match apply(tx, &entry, entry.clone(), stepped, None)? {
        Became::Entry(..) => Ok(Cancelled::Pending),
        Became::Receipt(receipt) if receipt.may_have_arrived && !was_ended => Ok(Cancelled::Uncertain),
        Became::Receipt(receipt) => Ok(Cancelled::Cancelled { may_have_arrived: receipt.may_have_arrived }),
    }
}

fn cancelled_before(receipt: Receipt) -> Cancelled {
    let had_ended = matches!(receipt.end, End::Cancelled { had_ended: true, .. });
    match receipt.state() {
        State::Sent => Cancelled::TooLate(Box::new(receipt)),
        State::Cancelled if receipt.may_have_arrived && !had_ended => Cancelled::Uncertain,
        _ => Cancelled::Cancelled { may_have_arrived: receipt.may_have_arrived },
    }
}

/// Closes a message as sent, by a person's word.
pub(crate) fn resolve(tx: &mut Tx<'_>, id: &str, resolution: &Resolution) -> Result<Receipt> {
    let entry = match find(tx, id)? {
        Record::Receipt(receipt) if receipt.state() == State::Sent => return Ok(receipt),
        Record::Receipt(receipt) => {
            return Err(wrong_state(&receipt.identity.msg_id, receipt.state(), "it has ended"));
        }
        Record::Entry(entry) => entry,
    };
    let report = Report {
        outcome: Outcome::Sent,
        code: 0,
        desc: resolution.desc.clone(),
        class: Class::Ok,
        retry_after: None,
        replacement: resolution.replacement.clone(),
    };
    let state = state_of(tx, &entry, tx.now)?;
    let why = "only a message with an attempt whose outcome is unknown can be resolved";
    let stepped = step(&entry.delivery, &Event::Resolve, &tx.context(&entry))
        .map_err(|_| wrong_state(&entry.identity.msg_id, state, why))?;
    match apply(tx, &entry, entry.clone(), stepped, Some(&report))? {
        Became::Receipt(receipt) => Ok(receipt),
        Became::Entry(..) => Err(wrong_state(&entry.identity.msg_id, state, why)),
    }
}

fn living(tx: &Tx<'_>, id: &str, why: &'static str) -> Result<Entry> {
    match find(tx, id)? {
        Record::Entry(entry) => Ok(entry),
        Record::Receipt(receipt) => Err(wrong_state(&receipt.identity.msg_id, receipt.state(), why)),
    }
}

/// Applies an event that leaves the entry an entry.
fn change(tx: &mut Tx<'_>, old: Entry, event: &Event<'_>, why: &'static str) -> Result<EntryView> {
    let stepped = match step(&old.delivery, event, &tx.context(&old)) {
        Ok(stepped) => stepped,
        Err(refusal) => {
            let state = state_of(tx, &old, tx.now)?;
            let why = match refusal {
                Refusal::NoPayload => "its payload is no longer kept",
                Refusal::WrongState => why,
            };
            return Err(wrong_state(&old.identity.msg_id, state, why));
        }
    };
    match apply(tx, &old, old.clone(), stepped, None)? {
        Became::Entry(entry, _) => view_entry(tx, entry, tx.now),
        Became::Receipt(receipt) => Err(wrong_state(&receipt.identity.msg_id, receipt.state(), why)),
    }
}

fn wrong_state(msg_id: &str, state: State, why: &'static str) -> Error {
    Error::WrongState { msg_id: msg_id.into(), state, why }
}

impl Tx<'_> {
    /// Puts a changed payload in the old one's place.
    fn place_payload(&mut self, entry: &Entry, payload: NewPayload) -> Result<Place> {
        let key = keys::payload(ended(&entry.delivery), entry.identity.seq);
        let msg_id = entry.identity.msg_id.clone();
        let Some(name) = payload.file else {
            let NewPayload { message, web_message_instance, .. } = payload;
            self.put(key, &StoredPayload { msg_id, message, web_message_instance })?;
            return Ok(Place::Inline);
        };
        self.put_bytes(keys::file(name), Bytes::default());
        self.put(key, &StoredPayload { msg_id, message: Vec::new(), web_message_instance: None })?;
        Ok(Place::File(name))
    }
}
