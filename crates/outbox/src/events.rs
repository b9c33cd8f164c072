//! Durable events as they are read again: everything since a sequence, also after a restart.
//!
//! Owns:  what is kept of an event, and how it is filled up from the record that it speaks of.
//! Never: writes events (`tx` does, with the change that they announce), waits for new ones.

use crate::clock::Timestamp;
use crate::disk::{Rows, after_key};
use crate::entry::{Counters, Identity, StoredEvent};
use crate::error::Result;
use crate::keys;
use crate::limits::{LIST_MAX, LIST_SCAN_MAX};
use crate::notice::{Event, EventKind};
use crate::record::decode;
use crate::tx::{Record, load_message};

/// Durable events, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where to go on: events after this sequence.
    pub next: u64,
    /// Whether there are more right now.
    pub more: bool,
    /// The sequences that were asked for and are no longer kept, first and last.
    pub gap: Option<(u64, u64)>,
}

/// Durable events after a sequence.
pub(crate) fn events(rows: &dyn Rows, counters: &Counters, since: u64, limit: usize) -> Result<EventPage> {
    let floor = counters.event_floor;
    // Since 0 is "from the oldest kept": whoever begins so misses nothing that was promised.
    let gap = (since > 0 && since.saturating_add(1) < floor).then(|| (since + 1, floor - 1));
    let mut page = EventPage { events: Vec::new(), next: since.max(floor - 1), more: true, gap };
    let mut from = keys::event(page.next.saturating_add(1));
    for _ in 0..LIST_SCAN_MAX {
        if page.events.len() >= limit.min(LIST_MAX) {
            return Ok(page);
        }
        let Some((key, bytes)) = rows.next(b"e", &from)? else {
            page.more = false;
            return Ok(page);
        };
        page.next = keys::tail_number(&key);
        from = after_key(&key);
        // One that cannot be read is missing from a list; the record that it spoke of is there or was reported.
        if let Ok(stored) = decode::<StoredEvent>(&key, &bytes)
            && let Some(event) = event_of(rows, page.next, stored)?
        {
            page.events.push(event);
        }
    }
    Ok(page)
}

impl StoredEvent {
    /// What is kept of an event that happened at `time`.
    pub(crate) fn of(event: &Event, time: Timestamp) -> Self {
        Self {
            kind: event.kind.number(),
            at: event.at,
            time,
            msg_id: event.msg_id.clone().unwrap_or_default(),
            state: event.state.map(Into::into),
            code: event.code,
            desc: event.desc.clone(),
            reason: event.reason.clone(),
            may_have_arrived: event.may_have_arrived,
        }
    }
}

fn event_of(rows: &dyn Rows, seq: u64, stored: StoredEvent) -> Result<Option<Event>> {
    let Some(kind) = EventKind::of_number(stored.kind) else { return Ok(None) };
    let mut event = Event {
        seq: Some(seq),
        after: seq.saturating_sub(1),
        kind,
        at: stored.at,
        msg_id: Some(stored.msg_id).filter(|msg_id| !msg_id.is_empty()),
        account: None,
        conversation: None,
        state: stored.state.map(Into::into),
        code: stored.code,
        desc: stored.desc,
        new_msg_id: None,
        gate: None,
        reason: stored.reason,
        may_have_arrived: stored.may_have_arrived,
    };
    let record = match &event.msg_id {
        Some(msg_id) => load_message(rows, msg_id).ok().flatten(),
        None => None,
    };
    match record {
        Some(Record::Entry(entry)) => name(&mut event, &entry.identity),
        Some(Record::Receipt(receipt)) => {
            name(&mut event, &receipt.identity);
            if receipt.seq == seq {
                event.new_msg_id = receipt.new_msg_id().map(ToOwned::to_owned);
            }
        }
        None => {}
    }
    Ok(Some(event))
}

fn name(event: &mut Event, identity: &Identity) {
    event.account = Some(identity.account.clone());
    event.conversation = Some(identity.conversation.clone());
}
