//! The judge: opens what a cut has left, and holds it against what was promised.
//!
//! Owns:  the promises, in its own words.
//! Never: knows which operations survived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use outbox::{BootId, EntryView, Filter, Gate, LeaseRequest, Message, Offline, Outbox, State};

use crate::workload::{config_in, payload, replacement};

/// What was said before the cut.
#[derive(Default)]
pub(crate) struct Said {
    submit: BTreeSet<String>,
    accepted: BTreeSet<String>,
    send: BTreeSet<String>,
    sent: BTreeSet<String>,
    cancel: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    /// Of its attempts, and by hand.
    entries: BTreeMap<String, Known>,
    /// Some are being leased, nobody knows which.
    leasing: bool,
    /// What may be paused, and whether it is; `None` while that changes.
    paused: BTreeMap<String, Option<bool>>,
    /// The store was damaged: it may be made anew, and nothing may be missing.
    harmed: bool,
    unhealthy: bool,
    /// Accepted although the store had said that it takes nothing more.
    too_late: BTreeSet<String>,
}

/// What was said of a message that has not ended.
#[derive(Default)]
struct Known {
    leases: u32,
    /// Some attempt of it may have reached the service.
    doubted: bool,
    /// `None` before anything, and while it changes.
    is: Option<Is>,
}

/// What the last answer said that a message is.
#[derive(Clone, Copy, Debug)]
enum Is {
    UnderWay,
    Doubted,
    Unreached,
    Rejected,
    Held,
    Released,
}

impl Known {
    /// What of it does not hold of this entry.
    fn denied(&self, view: &EntryView, leasing: bool) -> Option<String> {
        let (delivery, state) = (&view.entry.delivery, view.state);
        if delivery.starts < self.leases {
            return Some(format!("was leased {} times, and {} are known", self.leases, delivery.starts));
        }
        let is = self.is?;
        let holds = match is {
            Is::UnderWay => state == State::Sending || delivery.unresolved.is_some(),
            Is::Doubted => delivery.unresolved.is_some(),
            Is::Unreached if leasing => true,
            Is::Unreached => state != State::Sending && (self.doubted || delivery.unresolved.is_none()),
            Is::Rejected => state == State::Failed,
            Is::Held => state == State::Held,
            Is::Released => state != State::Held && state != State::Failed,
        };
        (!holds).then(|| format!("was {is:?} and is {state:?}, unresolved: {:?}", delivery.unresolved))
    }
}

impl Said {
    /// Takes what is said of an entry or of the whole spool; `false` if it is neither.
    fn hear_of_entry(&mut self, verb: &str, id: &str) -> bool {
        let is = match verb {
            "lease" | "leases" => {
                self.leasing = verb == "lease";
                return true;
            }
            "pause" | "paused" | "resume" | "resumed" => {
                let is = verb.ends_with('d').then_some(verb == "paused");
                self.paused.insert(id.to_owned(), is);
                return true;
            }
            "harm" => {
                self.harmed = true;
                return true;
            }
            "settle" | "hold" | "release" | "resend" => None,
            "leased" => Some(Is::UnderWay),
            "doubted" => Some(Is::Doubted),
            "unreached" => Some(Is::Unreached),
            "rejected" => Some(Is::Rejected),
            "held" => Some(Is::Held),
            "released" => Some(Is::Released),
            _ => return false,
        };
        let known = self.entries.entry(id.to_owned()).or_default();
        known.is = is;
        known.leases += u32::from(verb == "leased");
        known.doubted |= verb == "doubted";
        true
    }

    /// Takes a mark.
    pub(crate) fn hear(&mut self, mark: &str) {
        let (verb, id) = mark.split_once(' ').unwrap();
        if self.unhealthy && matches!(verb, "accepted" | "sent" | "cancelled" | "leased") {
            self.too_late.insert(id.to_owned());
        }
        if self.hear_of_entry(verb, id) {
            return;
        }
        let said = match verb {
            "submit" => &mut self.submit,
            "accepted" => &mut self.accepted,
            "send" => &mut self.send,
            "sent" => &mut self.sent,
            "cancel" => &mut self.cancel,
            "cancelled" => &mut self.cancelled,
            "unhealthy" | "well" => {
                self.unhealthy = verb == "unhealthy";
                return;
            }
            // Promises nothing; in words, for people.
            "rewritten" | "refused" => return,
            _ => panic!("{mark} is no mark"),
        };
        said.insert(id.to_owned());
    }
}

/// Opens a spool, in this boot or another one, and says what is wrong with it.
pub(crate) fn judge(spool: &Path, said: &Said, boot: Option<BootId>) -> Result<(), String> {
    if let Some(id) = said.too_late.first() {
        return Err(format!("{id} was acknowledged behind an error of the drive"));
    }
    let config = config_in(spool, boot);
    let outbox = Outbox::open(config).map_err(|error| format!("it does not open: {error}"))?;
    let report = outbox.report();
    if report.lost.is_some()
        || report.missing > 0
        || report.quarantined > 0
        || (report.is_made_anew && !said.harmed)
    {
        return Err(format!("it opens with losses: {report:?}"));
    }
    let known = entries_and_receipts(&outbox, said)?;
    order(&outbox)?;
    paused(&outbox, said)?;
    if let Some(error) = outbox.failure() {
        return Err(format!("it fails: {error}"));
    }
    // It works: what is due can be leased.
    outbox
        .lease(LeaseRequest { max: 10, ..LeaseRequest::default() })
        .wait()
        .map_err(|error| error.to_string())?;
    outbox.close();
    drop(outbox);
    let offline = Offline::open(spool).map_err(|error| error.to_string())?;
    let check = offline.check().map_err(|error| error.to_string())?;
    if !check.is_sound() || check.entries != known {
        return Err(format!("behind a stop in order it is not sound, or not {known} messages: {check:?}"));
    }
    Ok(())
}

/// Each message is what it must be; answers how many are on their way.
fn entries_and_receipts(outbox: &Outbox, said: &Said) -> Result<u64, String> {
    let (mut entries, mut given_up) = (0, 0);
    for id in &said.submit {
        match outbox.get(id) {
            Err(_) if !said.accepted.contains(id) => {}
            Err(outbox::Error::NotFound { .. }) if said.send.contains(id) => given_up += 1,
            Err(error) => return Err(format!("{id} was accepted: {error}")),
            Ok(Message::Entry(view)) => {
                entries += 1;
                if said.sent.contains(id) || said.cancelled.contains(id) {
                    return Err(format!("{id} had ended and is back"));
                }
                if let Some(denied) = said.entries.get(id).and_then(|known| known.denied(&view, said.leasing))
                {
                    return Err(format!("{id} {denied}"));
                }
                let kept = outbox.payload(id).map_err(|error| format!("the payload of {id}: {error}"))?;
                if kept.message != payload(id) {
                    return Err(format!("{id} has another payload"));
                }
            }
            Ok(Message::Receipt(receipt)) => {
                let begun = match receipt.state() {
                    State::Sent => &said.send,
                    _ => &said.cancel,
                };
                if !begun.contains(id) {
                    return Err(format!("{id} is {} although nobody asked for it", receipt.state().as_str()));
                }
                let is_its_own = |data: &[u8]| !data.is_empty() && *data == replacement(id, data.len());
                if receipt.state() == State::Sent
                    && !matches!(outbox.data(&receipt), Ok(Some(data)) if is_its_own(&data))
                {
                    return Err(format!("{id} has lost its replacement, or has another one"));
                }
            }
        }
    }
    let counters = outbox.counters();
    if counters.entries() != entries {
        return Err(format!(
            "{entries} messages were submitted and are there, it counts {}",
            counters.entries()
        ));
    }
    if given_up > counters.receipts_dropped {
        return Err(format!("{given_up} receipts are gone and {} were given up", counters.receipts_dropped));
    }
    Ok(entries)
}

/// What was paused is, and nothing else.
fn paused(outbox: &Outbox, said: &Said) -> Result<(), String> {
    let account = outbox.account("default").map_err(|error| error.to_string())?;
    let shut = account.is_some_and(|account| matches!(account.gate, Gate::Paused { .. }));
    for (what, is) in [("spool", outbox.counters().paused), ("account", shut)] {
        if said.paused.get(what).is_some_and(|said| said.is_some_and(|said| said != is)) {
            return Err(format!("the {what} is {}paused", if is { "" } else { "not " }));
        }
    }
    Ok(())
}

/// The messages of a conversation stand in the order in which they were submitted.
fn order(outbox: &Outbox) -> Result<(), String> {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = outbox.list(&Filter::default(), at, 1_000).map_err(|error| error.to_string())?;
        for view in page.entries {
            let identity = view.entry.identity;
            let before = last.insert(identity.conversation.clone(), identity.msg_id.clone());
            // Numbers in ids have the same length: their text is in their order.
            if before.as_ref().is_some_and(|before| *before > identity.msg_id) {
                return Err(format!("{} stands behind {before:?}", identity.msg_id));
            }
        }
        from = page.next;
    }
    Ok(())
}
