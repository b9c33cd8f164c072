//! After each step: what the store says, held against what the world knows.
//!
//! Owns:  the promises as conditions on entries and receipts.
//! Never: changes anything.

use std::collections::BTreeMap;

use outbox::{AttemptRecord, EntryView, Filter, Message, Outbox, Outcome, Phase, State};
use outboxd::engine::View;

use crate::judge;
use crate::setting::Kind;
use crate::weather::Weather;
use crate::why::{Waits, waits};
use crate::world::World;

/// Entries of one page: more than a schedule submits.
const PAGE: usize = 200;

/// Durable events of one page: few, so that a schedule reads several.
const EVENTS_PAGE: usize = 7;

/// Records of attempts that an entry keeps.
const HISTORY_MAX: usize = 20;

/// A head with nothing in its way goes within so much of the machine's time: the engine looks around each ten
/// seconds, and an app that asks for work may pause between two requests.
const GOES_WITHIN_MS: u64 = 25_000;

/// Everything that is due is done within so much of the machine's time after it woke or the daemon started.
pub(crate) const ON_TIME_MS: u64 = 12_000;

/// Checks everything. `awake_ms`: how long the daemon has been running on an awake machine.
pub(crate) fn all(world: &World, awake_ms: u64) {
    let Some(doors) = world.doors() else { return };
    let outbox = &doors.outbox;
    if let Some(error) = outbox.failure() {
        return world.accuse(format!("the store failed: {error}"));
    }
    let page = outbox.list(&Filter::default(), 0, PAGE).unwrap();
    let listed: BTreeMap<&str, &EntryView> =
        page.entries.iter().map(|view| (view.entry.identity.msg_id.as_str(), view)).collect();
    each_is_there_once(world, outbox, &listed);
    counts_agree(world, outbox, &page.entries);
    let engine = doors.engine.view();
    for view in &page.entries {
        says_why(world, outbox, view, &engine);
        is_on_time(world, outbox, view, awake_ms);
    }
    let beat_ms = outbox.now().time.since_ms(engine.beat);
    if awake_ms > ON_TIME_MS && beat_ms > ON_TIME_MS {
        world.accuse(format!("the engine has not looked around for {beat_ms} ms"));
    }
}

/// Promises 2, 3 and 5: each accepted message is an entry or a receipt, and its record tells the truth.
fn each_is_there_once(world: &World, outbox: &Outbox, listed: &BTreeMap<&str, &EntryView>) {
    let now = world.clock.world_ms();
    let mut facts = world.facts();
    let ids: Vec<String> =
        facts.messages.iter().filter(|(_, known)| known.place.is_some()).map(|(id, _)| id.clone()).collect();
    let mut receipts = 0;
    for id in &ids {
        let known = &facts.messages[id];
        let (told, reached_max) = (known.state, known.reached_max);
        let (is_late, is_push) = (known.settled_late, world.setting.kind == Kind::Push);
        match outbox.get(id) {
            Ok(Message::Entry(view)) => {
                let delivery = &view.entry.delivery;
                let is_listed = listed.get(id.as_str()).is_some_and(|other| **other == view);
                facts.must(now, is_listed, || format!("{id} is an entry, and not listed as it is"));
                facts.must(now, same_to_a_reader(told, view.state), || {
                    format!("{id} is {}, and its last event told {told}", view.state)
                });
                if let Some(wrong) = counted(delivery.attempts, &view.entry.history, is_late) {
                    facts.accuse(now, format!("{id}: {wrong}"));
                }
                facts.must(now, !is_push || delivery.attempts <= reached_max, || {
                    format!("{id} counts {} attempts; {reached_max} may have arrived", delivery.attempts)
                });
                judge::doubles(world, &mut facts, now, id, delivery.possible_duplicate);
            }
            Ok(Message::Receipt(receipt)) => {
                receipts += 1;
                facts.must(now, !listed.contains_key(id.as_str()), || format!("{id} stands twice"));
                facts.must(now, receipt.state() == told, || {
                    format!("the receipt of {id} says {}, its last event told {told}", receipt.state())
                });
                if let Some(wrong) = counted(receipt.attempts, &receipt.history, is_late) {
                    facts.accuse(now, format!("{id}: {wrong}"));
                }
                judge::doubles(world, &mut facts, now, id, receipt.possible_duplicate);
                if let Some(new_id) = receipt.new_msg_id() {
                    let replaced = outbox.replaced_by(new_id).unwrap();
                    facts.must(now, replaced.contains(&receipt), || {
                        format!("{new_id} does not lead back to {id}")
                    });
                }
            }
            Err(error) => facts.accuse(now, format!("{id} was accepted and is gone: {error}")),
        }
    }
    facts.must(now, listed.len() + receipts == ids.len(), || "more entries than messages".to_owned());
}

/// Whether two states are the same but for the passing of time and for who else is in the lane.
fn same_to_a_reader(told: State, is: State) -> bool {
    let waits = |state| matches!(state, State::Queued | State::Deferred | State::Blocked);
    told == is || waits(told) && waits(is)
}

/// Durable events can be read again as they were heard.
pub(crate) fn events_are_kept(world: &World) {
    let Some(doors) = world.doors() else { return };
    let (mut since, mut kept) = (0, Vec::new());
    loop {
        let page = doors.outbox.events(since, EVENTS_PAGE).unwrap();
        for event in page.events {
            kept.push((event.seq.unwrap_or(0), event.kind, event.msg_id.unwrap_or_default()));
        }
        if !page.more {
            break;
        }
        since = page.next;
    }
    let heard = world.facts().durable.clone();
    if let Some((heard, kept)) = heard.iter().zip(&kept).find(|(heard, kept)| heard != kept) {
        world.accuse(format!("the event {heard:?} is read again as {kept:?}"));
    } else if heard.len() != kept.len() {
        world.accuse(format!("{} durable events were heard, {} are kept", heard.len(), kept.len()));
    }
}

/// Promise 6: only what may have reached the service is counted.
fn counted(attempts: u32, history: &[AttemptRecord], is_late: bool) -> Option<String> {
    if history.len() >= HISTORY_MAX || is_late {
        return None;
    }
    let counting =
        |record: &&AttemptRecord| record.attempt > 0 && judge::counts(Outcome::from(record.outcome));
    let should = history.iter().filter(counting).count();
    let wrong = || format!("{attempts} attempts are counted; {should} of its history may have arrived");
    (usize::try_from(attempts).unwrap() != should).then(wrong)
}

fn counts_agree(world: &World, outbox: &Outbox, entries: &[EntryView]) {
    let counters = outbox.counters();
    let count = |state: State| entries.iter().filter(|view| view.state == state).count() as u64;
    let agree = counters.entries() == entries.len() as u64
        && counters.held == count(State::Held)
        && counters.sending == count(State::Sending)
        && counters.uncertain == count(State::Uncertain)
        && counters.failed == count(State::Failed)
        && counters.expired == count(State::Expired)
        && counters.blocked() == count(State::Blocked);
    if !agree {
        world.accuse(format!("the counters disagree with the entries: {counters:?}"));
    }
}

/// Promise 7: for each waiting entry a time is known or an actor named, and none waits for nothing.
fn says_why(world: &World, outbox: &Outbox, view: &EntryView, engine: &View) {
    let Some(waits) = waits(view, outbox, engine, &world.setting) else { return };
    let msg_id = &view.entry.identity.msg_id;
    let (now, machine_ms) = (world.clock.world_ms(), world.clock.machine_ms());
    let mut facts = world.facts();
    facts.trace.count("waits for", waits.name());
    let is_app = world.setting.kind == Kind::App;
    let free = match waits {
        Waits::Head => {
            let names = view.blocked_by.as_ref().is_some_and(|by| by != msg_id);
            facts.must(now, names, || format!("{msg_id} is blocked and does not say by whom"));
            false
        }
        Waits::Link(next) => {
            let probing = engine.in_flight > 0 || is_app;
            facts.must(now, probing || next.is_some(), || {
                format!("{msg_id} waits for the link, and nothing says when it is tried")
            });
            false
        }
        // Room comes with the end of what is under way.
        Waits::Room => engine.in_flight == 0 && (!is_app || facts.app_attached),
        _ => false,
    };
    let is_calm = facts.weather == Weather::Fine;
    let disturbed_ms = facts.disturbed_ms;
    let Some(known) = facts.messages.get_mut(msg_id) else { return };
    known.free_since_ms = known.free_since_ms.or(Some(machine_ms)).filter(|_| free && is_calm);
    let stuck =
        known.free_since_ms.is_some_and(|since| machine_ms - since.max(disturbed_ms) > GOES_WITHIN_MS);
    facts.must(now, !stuck, || format!("{msg_id} is due, nothing is in its way, and it does not go"));
}

/// What is due by itself happens on time, also while offline.
fn is_on_time(world: &World, outbox: &Outbox, view: &EntryView, awake_ms: u64) {
    if awake_ms <= ON_TIME_MS {
        return;
    }
    let now = outbox.now().time;
    let delivery = &view.entry.delivery;
    let due = match delivery.phase {
        Phase::Waiting { .. } | Phase::Uncertain { .. } => delivery.deadline,
        Phase::Failed { keep_until, .. } | Phase::Expired { keep_until, .. } => keep_until,
        Phase::Sending { holder: outbox::Holder::App { until, .. }, .. } => until,
        Phase::Held { .. } | Phase::Sending { .. } => return,
    };
    let (late_ms, msg_id) = (now.since_ms(due), &view.entry.identity.msg_id);
    // One that was let go after its time has just had a change, and its own moment still to come.
    let changed_ms = world.facts().messages[msg_id].changed_ms;
    let unchanged_ms = world.clock.machine_ms() - changed_ms;
    if late_ms.min(unchanged_ms) > ON_TIME_MS {
        world.accuse(format!("{msg_id} is {late_ms} ms late: {:?}", delivery.phase));
    }
}
