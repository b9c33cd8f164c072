//! The promises, held against what the store says after each verb.
//!
//! Owns:  the invariants of the model.
//! Never: changes the store.

use std::collections::{BTreeMap, BTreeSet};

use outbox::{EntryView, Filter, Kept, Message, Place, Receipt, State};
use proptest::prelude::*;

use crate::support::payload_files;
use crate::world::{Checked, World};

/// Everything that must always be true.
pub(crate) fn all(world: &mut World) -> Checked {
    let entries = world.list_all();
    let receipts = accepted_are_there(world, &entries)?;
    counts_agree(world, &entries, &receipts)?;
    lists_miss_and_repeat_nothing(world, &entries)?;
    lanes_send_one_at_a_time(&entries)?;
    nothing_expires_early(world, &entries)?;
    payloads_are_kept(world, &entries, &receipts)?;
    receipts_tell_the_truth(world, &receipts)?;
    events_rise(world, &receipts)?;
    the_next_moment_is_not_missed(world, &entries)
}

/// Each accepted message is an entry or a receipt, under its msgID and its alias.
fn accepted_are_there(world: &World, entries: &[EntryView]) -> Checked<Vec<Receipt>> {
    let listed: BTreeMap<&str, &EntryView> =
        entries.iter().map(|view| (view.entry.identity.msg_id.as_str(), view)).collect();
    let mut receipts = Vec::new();
    for (msg_id, known) in &world.known {
        let found = world.outbox().get(msg_id).unwrap();
        let (identity, attempts, starts) = match &found {
            Message::Entry(view) => {
                prop_assert_eq!(listed.get(msg_id.as_str()), Some(&view), "an entry is listed as it is");
                let sending = view.state == State::Sending;
                prop_assert_eq!(sending, known.current.is_some(), "{:?}", view);
                (&view.entry.identity, view.entry.delivery.attempts, view.entry.delivery.starts)
            }
            Message::Receipt(receipt) => {
                prop_assert!(!listed.contains_key(msg_id.as_str()), "{} stands twice", msg_id);
                receipts.push(receipt.clone());
                (&receipt.identity, receipt.attempts, receipt.starts)
            }
        };
        prop_assert_eq!(&identity.msg_id, msg_id);
        prop_assert_eq!((identity.seq, attempts, starts), (known.seq, known.attempts, known.starts));
        if let Some(id) = &known.id {
            let target = world.target(id).unwrap();
            let by_id = match world.outbox().get(id).unwrap() {
                Message::Entry(view) => view.entry.identity.msg_id,
                Message::Receipt(receipt) => receipt.identity.msg_id,
            };
            prop_assert_eq!(by_id, target, "by alias {}", id);
        }
    }
    prop_assert_eq!(listed.len() + receipts.len(), world.known.len());
    Ok(receipts)
}

fn counts_agree(world: &World, entries: &[EntryView], receipts: &[Receipt]) -> Checked {
    let counters = world.outbox().counters();
    let count = |state: State| entries.iter().filter(|view| view.state == state).count() as u64;
    prop_assert_eq!(counters.held, count(State::Held));
    prop_assert_eq!(counters.sending, count(State::Sending));
    prop_assert_eq!(counters.uncertain, count(State::Uncertain));
    prop_assert_eq!(counters.failed, count(State::Failed));
    prop_assert_eq!(counters.expired, count(State::Expired));
    prop_assert_eq!(counters.blocked(), count(State::Blocked));
    let (queued, deferred) = (count(State::Queued), count(State::Deferred));
    prop_assert_eq!(counters.ready + counters.deferred, queued + deferred);
    prop_assert!(counters.ready <= queued);
    if world.ticked {
        prop_assert_eq!((counters.ready, counters.deferred), (queued, deferred));
    }
    let bytes = entries.iter().filter(|view| view.entry.payload != Place::Nowhere);
    prop_assert_eq!(counters.payload_bytes, bytes.map(|view| view.entry.identity.payload_bytes).sum::<u64>());
    prop_assert_eq!(counters.entries(), entries.len() as u64);
    prop_assert_eq!(counters.receipts, receipts.len() as u64);
    prop_assert_eq!(counters.data_bytes, receipts.iter().map(|receipt| receipt.data_bytes).sum::<u64>());
    prop_assert_eq!(counters.quarantined, 0);
    let of_account = |name: &str| world.outbox().account(name).unwrap().map_or(0, |account| account.entries);
    let named = ["account-0", "account-1"];
    prop_assert_eq!(named.iter().map(|name| of_account(name)).sum::<u64>(), entries.len() as u64);
    Ok(())
}

fn lists_miss_and_repeat_nothing(world: &World, entries: &[EntryView]) -> Checked {
    let seqs: Vec<u64> = entries.iter().map(|view| view.entry.identity.seq).collect();
    prop_assert!(seqs.is_sorted_by(|a, b| a < b), "not in the order of acceptance");
    // The limit is taken from the state, so that a failing case repeats itself.
    let limit = 1 + seqs.len() % 4;
    prop_assert_eq!(&world.list_by(&Filter::default(), limit), entries);
    let states = [
        vec![State::Failed, State::Failed, State::Held],
        vec![State::Sending, State::Blocked, State::Expired],
    ];
    for states in states {
        let filter =
            Filter { states: states.clone(), account: Some("account-0".into()), ..Filter::default() };
        let wanted = entries
            .iter()
            .filter(|view| states.contains(&view.state) && view.entry.identity.account == "account-0");
        prop_assert!(world.list_by(&filter, limit).iter().eq(wanted), "{:?}", states);
    }
    Ok(())
}

fn lanes_send_one_at_a_time(entries: &[EntryView]) -> Checked {
    let mut under_way = BTreeSet::new();
    for view in entries.iter().filter(|view| view.state == State::Sending) {
        prop_assert!(under_way.insert(view.entry.identity.lane), "two under way in one lane");
    }
    for view in entries.iter().filter(|view| view.state == State::Blocked) {
        let blocker = view.blocked_by.as_ref();
        let names_another = blocker.is_some_and(|blocker| {
            entries.iter().any(|other| {
                other.entry.identity.msg_id == *blocker
                    && other.entry.identity.lane == view.entry.identity.lane
                    && *blocker != view.entry.identity.msg_id
            })
        });
        prop_assert!(names_another, "{:?} does not say what it waits behind", view);
    }
    Ok(())
}

fn nothing_expires_early(world: &World, entries: &[EntryView]) -> Checked {
    for view in entries.iter().filter(|view| view.state == State::Expired) {
        prop_assert!(world.known[&view.entry.identity.msg_id].deadline_min <= world.now());
    }
    Ok(())
}

fn payloads_are_kept(world: &World, entries: &[EntryView], receipts: &[Receipt]) -> Checked {
    let mut files = 0;
    for view in entries {
        let (msg_id, place) = (&view.entry.identity.msg_id, view.entry.payload);
        files += usize::from(matches!(place, Place::File(_)));
        if place == Place::Nowhere {
            prop_assert!(view.state == State::Expired && view.entry.identity.online_user_only);
            continue;
        }
        let payload = world.outbox().payload(msg_id).unwrap();
        let known = &world.known[msg_id];
        prop_assert!(payload.message == known.payload, "the payload of {} changed", msg_id);
        prop_assert_eq!(&payload.web_message_instance, &known.web);
    }
    files += receipts.iter().filter(|receipt| matches!(receipt.data, Kept::File(_))).count();
    prop_assert_eq!(payload_files(&world.path()), files, "files that nothing names, or that are missing");
    Ok(())
}

fn receipts_tell_the_truth(world: &mut World, receipts: &[Receipt]) -> Checked {
    let mut sent = Vec::new();
    for receipt in receipts {
        let msg_id = &receipt.identity.msg_id;
        let replaced = world.known[msg_id].replaced.as_ref();
        prop_assert_eq!(receipt.state() == State::Sent, replaced.is_some(), "{:?}", receipt);
        let Some((new_msg_id, data)) = replaced else { continue };
        sent.push(receipt.seq);
        prop_assert_eq!(receipt.new_msg_id(), Some(new_msg_id.as_str()));
        prop_assert_eq!(world.outbox().data(receipt).unwrap().unwrap_or_default(), data.clone());
        let originals = world.outbox().replaced_by(new_msg_id).unwrap();
        prop_assert!(originals.contains(receipt));
    }
    for (msg_id, known) in &world.known {
        let is_receipt = receipts.iter().any(|receipt| receipt.identity.msg_id == *msg_id);
        prop_assert!(known.replaced.is_none() || is_receipt, "{} was sent and is live again", msg_id);
    }
    sent.sort_unstable();
    let counters = world.outbox().counters();
    prop_assert_eq!(counters.sent_total, sent.len() as u64);
    prop_assert!(sent.len() >= world.sent_before, "a sent message is not sent any more");
    world.sent_before = sent.len();
    let (mut since, mut paged) = (0, Vec::new());
    loop {
        let page = world.outbox().sent(since, 2).unwrap();
        if page.next == since {
            break;
        }
        since = page.next;
        paged.extend(page.receipts.iter().map(|receipt| receipt.seq));
    }
    prop_assert_eq!(paged, sent, "receipts in the order of their events");
    Ok(())
}

fn events_rise(world: &World, receipts: &[Receipt]) -> Checked {
    // The observer hears of a group after its answers went out, and before the next group begins.
    prop_assert!(world.outbox().release("nobody".into()).wait().is_err());
    let events = world.events.lock().unwrap();
    let durable: Vec<_> =
        events.iter().filter_map(|event| Some((event.seq?, event.msg_id.clone()?))).collect();
    prop_assert!(durable.is_sorted_by(|a, b| a.0 < b.0), "sequences do not rise");
    let durable: BTreeMap<_, _> = durable.into_iter().collect();
    for receipt in receipts {
        prop_assert_eq!(durable.get(&receipt.seq), Some(&receipt.identity.msg_id), "its own event");
    }
    Ok(())
}

fn the_next_moment_is_not_missed(world: &World, entries: &[EntryView]) -> Checked {
    let timers = entries.iter().filter_map(|view| view.entry.delivery.timer());
    let heads = entries.iter().filter(|view| view.state == State::Deferred).filter_map(|view| {
        match view.entry.delivery.phase {
            outbox::Phase::Waiting { due, .. } => Some(due),
            _ => None,
        }
    });
    let Some(earliest) = timers.chain(heads).min() else { return Ok(()) };
    let next = world.outbox().next_wake().unwrap();
    prop_assert!(next.is_some_and(|next| next <= earliest), "{:?} is after {:?}", next, earliest);
    Ok(())
}
