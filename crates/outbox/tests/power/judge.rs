//! The judge: opens what a cut has left, and holds it against what was promised.
//!
//! Owns:  the promises, in its own words.
//! Never: knows which operations survived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use outbox::{BootId, Filter, LeaseRequest, Message, Offline, Outbox, State};

use crate::workload::{config_in, payload};

/// What was said before the cut.
#[derive(Default)]
pub(crate) struct Said {
    submit: BTreeSet<String>,
    accepted: BTreeSet<String>,
    send: BTreeSet<String>,
    sent: BTreeSet<String>,
    cancel: BTreeSet<String>,
    cancelled: BTreeSet<String>,
    unhealthy: bool,
    /// Accepted although the store had said that it takes nothing more.
    too_late: BTreeSet<String>,
}

impl Said {
    /// Takes a mark.
    pub(crate) fn hear(&mut self, mark: &str) {
        let (verb, id) = mark.split_once(' ').unwrap();
        if self.unhealthy && matches!(verb, "accepted" | "sent" | "cancelled") {
            self.too_late.insert(id.to_owned());
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
    if report.lost.is_some() || report.quarantined > 0 || report.is_made_anew {
        return Err(format!("it opens with losses: {report:?}"));
    }
    let known = entries_and_receipts(&outbox, said)?;
    order(&outbox)?;
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
            Ok(Message::Entry(_)) => {
                entries += 1;
                if said.sent.contains(id) || said.cancelled.contains(id) {
                    return Err(format!("{id} had ended and is back"));
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
                if receipt.state() == State::Sent && !matches!(outbox.data(&receipt), Ok(Some(_))) {
                    return Err(format!("{id} has lost its replacement"));
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
