//! The judge: holds what is heard of the daemon, and what the service sees, against the promises.
//!
//! Owns:  a second, simpler telling of order, tokens, counting and ends, made from events alone.
//! Never: reads the store, so that what it says is not what the store says.

use std::collections::BTreeSet;

use outbox::{Event, EventKind, Notices, OnFailedHead, OnUncertain, Order, Outcome, State};

use crate::service::Request;
use crate::setting::Kind;
use crate::weather::{Answer, Fate, Weather};
use crate::world::{Facts, Known, World};

/// Takes in what happened in one group.
pub(crate) fn hear(world: &World, notices: &Notices) {
    let now = world.clock.world_ms();
    let mut facts = world.facts();
    for event in &notices.events {
        facts.trace.line(now, &told(event));
        facts.trace.count("event", event.kind.as_str());
        let Some(msg_id) = event.msg_id.clone() else { continue };
        if let Some(seq) = event.seq {
            let rises = facts.durable.last().is_none_or(|(last, ..)| *last < seq);
            facts.must(now, rises, || format!("event {seq} about {msg_id} comes after a later one"));
            facts.durable.push((seq, event.kind, msg_id.clone()));
        }
        if !facts.messages.contains_key(&msg_id) {
            facts.accuse(now, format!("an event about {msg_id}, which nobody submitted"));
            continue;
        }
        follow(world, &mut facts, now, &msg_id, event);
    }
}

fn told(event: &Event) -> String {
    format!(
        "{} {}{}{}{}",
        event.kind.as_str(),
        event.msg_id.as_deref().or(event.account.as_deref()).unwrap_or_default(),
        event.state.map(|state| format!(" -> {state}")).unwrap_or_default(),
        event.code.map(|code| format!(", code {code}")).unwrap_or_default(),
        event.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default(),
    )
}

/// One message goes from one state to the next.
fn follow(world: &World, facts: &mut Facts, now: u64, msg_id: &str, event: &Event) {
    let Some(known) = facts.messages.get_mut(msg_id) else { return };
    known.changed_ms = world.clock.machine_ms();
    let before = known.state;
    let is_back = event.kind == EventKind::Released && matches!(before, State::Failed | State::Expired);
    if is_back && !known.may_have_arrived {
        // A person sends again what is known not to have arrived: that is another message to the service.
        known.token = None;
    }
    known.may_have_arrived = event.may_have_arrived;
    let was_retired = known.retired;
    if let Some(state) = event.state {
        known.state = state;
    }
    let is_receipt_of_the_ended = event.reason.as_deref() == Some("no longer kept");
    known.retired |= is_receipt_of_the_ended;
    let after = known.state;
    let is_first = known.place.is_none();
    let may_follow = match event.kind {
        EventKind::Submitted => is_first,
        // Nothing follows a success; nothing but a late one follows a cancel or a receipt.
        _ if before == State::Sent => false,
        EventKind::Sent => true,
        _ if before == State::Cancelled || was_retired => false,
        EventKind::Sending => matches!(before, State::Queued | State::Deferred | State::Blocked),
        EventKind::Expired if is_receipt_of_the_ended => before == State::Expired,
        EventKind::Failed if is_receipt_of_the_ended => before == State::Failed,
        _ => true,
    };
    facts.must(now, may_follow && !(is_first && event.kind != EventKind::Submitted), || {
        format!("{msg_id}: {} follows {before}", event.kind.as_str())
    });
    match event.kind {
        EventKind::Submitted => accepted(facts, now, msg_id),
        EventKind::Sending => leased(world, facts, now, msg_id),
        EventKind::Sent => sent(facts, now, msg_id, event),
        EventKind::Expired if !is_receipt_of_the_ended => expired(facts, now, msg_id),
        _ => {}
    }
    facts.trace.count("state", after.as_str());
    if ended_unsent(after) {
        tells_what_may_be(facts, now, msg_id, event);
    }
}

const fn ended_unsent(state: State) -> bool {
    matches!(state, State::Failed | State::Expired | State::Cancelled)
}

fn accepted(facts: &mut Facts, now: u64, msg_id: &str) {
    let place = facts.accepted;
    facts.accepted += 1;
    if let Some(known) = facts.messages.get_mut(msg_id) {
        known.place = Some(place);
        known.accepted_ms = now;
    }
}

/// Promise 4: whom it passes has no claim, and nobody of its lane is under way.
fn leased(world: &World, facts: &mut Facts, now: u64, msg_id: &str) {
    let order = world.setting.order;
    let keeps = world.setting.policy.on_failed_head == OnFailedHead::Hold;
    let Some(known) = facts.messages.get_mut(msg_id) else { return };
    known.starts += 1;
    known.free_since_ms = None;
    if order == Order::None {
        return;
    }
    let known = &facts.messages[msg_id];
    let others = || facts.messages.iter().filter(|(id, other)| other.lane() == known.lane() && *id != msg_id);
    let beside = others().find(|(_, other)| other.state == State::Sending).map(|(id, _)| id.clone());
    let before: Vec<(&String, &Known)> = others().filter(|(_, other)| other.place < known.place).collect();
    let wrong = before
        .iter()
        .find(|(_, other)| other.place.is_some() && has_claim(other, keeps))
        .map(|(id, other)| format!("{msg_id} is sent before {id}, which is {} and came first", other.state));
    let passed: BTreeSet<String> = before.iter().map(|(id, _)| (*id).clone()).collect();
    if let Some(beside) = beside {
        facts.accuse(now, format!("{msg_id} and {beside} of one lane are under way at once"));
    }
    if let Some(wrong) = wrong {
        facts.accuse(now, wrong);
    }
    let passes = facts.messages.iter().any(|(id, other)| passed.contains(id) && other.deliveries.is_empty());
    if passes {
        facts.trace.count("order", "passed over");
    }
    if let Some(known) = facts.messages.get_mut(msg_id) {
        known.passed.extend(passed);
    }
}

/// Whether a message must go before the later ones of its lane. `keeps`: a failed or held one does.
fn has_claim(known: &Known, keeps: bool) -> bool {
    match known.state {
        State::Queued | State::Deferred | State::Blocked | State::Sending => true,
        State::Failed => keeps && !known.retired,
        State::Held | State::Uncertain => keeps,
        State::Sent | State::Cancelled | State::Expired => false,
    }
}

/// Promise 3: the replacement that is recorded is the one that the service made.
fn sent(facts: &mut Facts, now: u64, msg_id: &str, event: &Event) {
    let Some(known) = facts.messages.get(msg_id) else { return };
    if known.resolved {
        return;
    }
    let recorded = event.new_msg_id.clone().unwrap_or_default();
    let is_real = known.deliveries.iter().any(|delivery| delivery.new_id == recorded);
    let same = recorded == msg_id;
    facts.must(now, is_real, || format!("{msg_id} was sent as {recorded}, which the service does not have"));
    facts.trace.count("replacement", if same { "with the same msgID" } else { "with a new msgID" });
}

/// Nothing expires before its time.
fn expired(facts: &mut Facts, now: u64, msg_id: &str) {
    let leapt = facts.time_leapt;
    let Some(known) = facts.messages.get(msg_id) else { return };
    let age_ms = now - known.accepted_ms;
    let ttl_ms = known.ttl_ms;
    facts.must(now, leapt || age_ms + 1 >= ttl_ms, || {
        format!("{msg_id} expired after {age_ms} ms; it may live {ttl_ms} ms")
    });
}

/// Promise 2: what the service has is not called undelivered without a word.
fn tells_what_may_be(facts: &mut Facts, now: u64, msg_id: &str, event: &Event) {
    let Some(known) = facts.messages.get(msg_id) else { return };
    let (state, honest) = (known.state, known.deliveries.is_empty() || event.may_have_arrived);
    facts.must(now, honest, || {
        format!("{msg_id} ended {state} as if it had not arrived, and the service has it")
    });
}

// --- attempts ----------------------------------------------------------------------------------------------

/// An attempt begins: promises 5 (its token) and 6 (nothing is tried in vain). Its fate is drawn.
pub(crate) fn attempt(world: &World, request: &Request, number: u32, payload: &[u8]) -> Fate {
    let now = world.clock.world_ms();
    let mut facts = world.facts();
    let weather = facts.weather;
    let scripted = facts.fates.pop_front();
    let fate = scripted.unwrap_or_else(|| weather.fate(&mut facts.random));
    facts.trace.line(now, &format!("attempt {number} of {}: {fate:?}", request.msg_id));
    facts.trace.count("fate", fate_name(&fate));
    let Some(known) = facts.messages.get_mut(&request.msg_id) else {
        facts.accuse(now, format!("an attempt of {}, which nobody submitted", request.msg_id));
        return fate;
    };
    let same_token = known.token.is_none_or(|token| token == request.token);
    known.token = Some(request.token);
    known.reached_max += 1;
    let same_payload = known.submit.message == payload;
    let msg_id = &request.msg_id;
    facts.must(now, same_token, || format!("an automatic attempt of {msg_id} carries another token"));
    facts.must(now, same_payload, || format!("the payload of {msg_id} is not what was submitted"));
    if weather == Weather::Down && world.setting.kind == Kind::Push && world.setting.probed {
        facts.begun_offline += 1;
        let most = world.setting.concurrency as u64 + facts.excused_offline;
        let tried = facts.begun_offline;
        facts.must(now, tried <= most, || format!("{tried} attempts while nobody could be reached"));
    }
    fate
}

/// An attempt of the daemon's own process was reported to the engine.
pub(crate) fn reported(world: &World, msg_id: &str, outcome: Outcome) {
    let mut facts = world.facts();
    facts.trace.count("outcome", outcome_name(outcome));
    if facts.weather == Weather::Down && !matches!(outcome, Outcome::NotReached | Outcome::MaybeReached) {
        // An answer that was on its way: from it the daemon must think that somebody is there.
        facts.excused_offline += world.setting.concurrency as u64;
    }
    if let Some(known) = facts.messages.get_mut(msg_id)
        && !counts(outcome)
    {
        known.reached_max -= 1;
    }
}

/// Whether an attempt with this outcome may be counted: written down here a second time, from the contract.
pub(crate) const fn counts(outcome: Outcome) -> bool {
    match outcome {
        Outcome::NotReached | Outcome::Limited | Outcome::GateShut => false,
        Outcome::Sent
        | Outcome::Duplicate
        | Outcome::MaybeReached
        | Outcome::ProvesNothing
        | Outcome::Retry
        | Outcome::Reject => true,
    }
}

pub(crate) const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ProvesNothing => "provesNothing",
        other => other.as_str(),
    }
}

const fn fate_name(fate: &Fate) -> &'static str {
    match fate {
        Fate::NotReached => "not reached",
        Fate::Lost => "request lost",
        Fate::Answered(Answer::Accept { .. }) => "accepted",
        Fate::Answered(_) => "answered otherwise",
        Fate::AnswerLost(_) => "answer lost",
        Fate::Silent(_) => "silent",
        Fate::Breaks => "breaks before",
        Fate::BreaksAfter(_) => "breaks after",
    }
}

// --- deliveries ----------------------------------------------------------------------------------------------

/// Promise 4, from the service's side: what came first is there, or had no claim when this one was leased.
pub(crate) fn first_delivery(world: &World, facts: &mut Facts, msg_id: &str, now: u64) {
    if world.setting.order == Order::None {
        return;
    }
    let known = &facts.messages[msg_id];
    let late = facts
        .messages
        .iter()
        .filter(|(_, other)| {
            other.lane() == known.lane() && other.place.is_some() && other.place < known.place
        })
        .find(|(id, other)| other.deliveries.is_empty() && !known.passed.contains(*id))
        .map(|(id, _)| format!("{msg_id} arrived before {id}, which came first"));
    if let Some(late) = late {
        facts.accuse(now, late);
    }
}

/// Promise 5: a double says that it may be one, and where a message is sent at most once there is none.
pub(crate) fn doubles(world: &World, facts: &mut Facts, now: u64, msg_id: &str, says_so: bool) {
    let Some(known) = facts.messages.get(msg_id) else { return };
    let (count, asked_again) = (known.deliveries.len(), known.asked_again);
    facts.must(now, count <= 1 || says_so, || {
        format!("the service has {msg_id} {count} times, and its record does not say that it may be double")
    });
    let by_itself = world.setting.policy.on_uncertain == OnUncertain::Resend;
    facts.must(now, by_itself || asked_again || (count <= 1 && !says_so), || {
        format!("{msg_id} was sent {count} times; the policy is not to, and nobody asked for it")
    });
    if count > 1 {
        facts.trace.count("delivery", "admitted double");
    }
}
