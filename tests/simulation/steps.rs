//! Carries out steps: calls the daemon as its socket would, and judges its answers.
//!
//! Owns:  what each answer must be, from what the world knows.
//! Never: waits for the engine to do something (`schedule` lets time pass).

use std::sync::Arc;
use std::time::Duration;

use outbox::{
    Cancelled, Changed, Class, Error, GateChange, Message, Outcome, Overrides, Report, Resolution, State,
    Submit, Ticket,
};
use outboxd::engine::{Command, LinkState};
use tokio::sync::oneshot;

use crate::process::Doors;
use crate::script::{New, Verb};
use crate::service::code;
use crate::weather::Weather;
use crate::world::{Known, World};

/// A payload that goes to a file.
const LARGE_BYTES: usize = 20_000;

/// The life of a message that states none.
const TTL_MS: u64 = 3 * 86_400_000;
/// The same for messages with `onlineUserOnly`.
const ONLINE_TTL_MS: u64 = 30_000;

/// Calls a verb of the running daemon.
async fn ask<T: Send + 'static>(
    world: &World,
    verb: impl FnOnce(&outbox::Outbox) -> Ticket<T>,
) -> outbox::Result<T> {
    let Some(doors) = world.doors() else { return Err(Error::Closed) };
    doors.ask(verb).await.unwrap_or(Err(Error::Closed))
}

/// Submits a new message.
pub(crate) async fn submit(world: &Arc<World>, new: New) {
    let Some(doors) = world.doors() else { return };
    let now = doors.outbox.now();
    let (submit, msg_id) = {
        let mut facts = world.facts();
        let msg_id = format!("m{}", facts.messages.len());
        let ttl_ms = new.ttl.map_or(if new.online_only { ONLINE_TTL_MS } else { TTL_MS }, |ttl| {
            u64::try_from(ttl.as_millis()).unwrap()
        });
        let submit = Submit {
            msg_id: msg_id.clone(),
            account: new.account.into(),
            conversation: new.conversation.into(),
            message: payload(&msg_id, new.is_large),
            online_user_only: new.online_only,
            to_group: new.conversation.starts_with("group"),
            ttl: new.ttl,
            not_before: new.not_before_ms.map(|ms| outbox::WallTime(now.wall.0 + ms)),
            first_error: new.error.map(first_error),
            ..Submit::default()
        };
        facts.messages.insert(msg_id.clone(), fresh(submit.clone(), ttl_ms));
        (submit, msg_id)
    };
    let answer = doors.ask(|outbox| outbox.submit(submit)).await;
    match answer {
        Some(Ok(answer)) if !answer.duplicate => {}
        other => world.accuse(format!("the submit of {msg_id} was answered {other:?}")),
    }
}

fn payload(msg_id: &str, is_large: bool) -> Vec<u8> {
    let filler = if is_large { "x".repeat(LARGE_BYTES) } else { String::new() };
    format!("{{\"textElem\":{{\"text\":\"{msg_id}{filler}\"}}}}").into_bytes()
}

fn first_error(outcome: Outcome) -> Report {
    let class = match outcome {
        Outcome::Reject => Class::PermanentRequest,
        Outcome::Limited => Class::RateLimited,
        Outcome::MaybeReached => Class::TransientNetwork,
        _ => Class::TransientServer,
    };
    Report { outcome, code: code(outcome), desc: String::new(), class, retry_after: None, replacement: None }
}

fn fresh(submit: Submit, ttl_ms: u64) -> Known {
    Known {
        submit,
        place: None,
        accepted_ms: 0,
        ttl_ms,
        state: State::Queued,
        changed_ms: 0,
        may_have_arrived: false,
        retired: false,
        starts: 0,
        token: None,
        reached_max: 0,
        under_way: 0,
        asked_again: false,
        resolved: false,
        settled_late: false,
        passed: std::collections::BTreeSet::new(),
        deliveries: Vec::new(),
        free_since_ms: None,
    }
}

/// One of the messages so far.
fn one_of(world: &World, which: u64) -> Option<String> {
    let facts = world.facts();
    let count = facts.messages.len() as u64;
    let at = usize::try_from(which.checked_rem(count)?).unwrap();
    facts.messages.keys().nth(at).cloned()
}

/// Submits a message a second time.
pub(crate) async fn submit_again(world: &Arc<World>, which: u64, other_payload: bool) {
    let Some(msg_id) = one_of(world, which) else { return };
    let (mut again, told) = {
        let facts = world.facts();
        (facts.messages[&msg_id].submit.clone(), facts.messages[&msg_id].state)
    };
    if other_payload {
        again.message = b"{\"another\":1}".to_vec();
    }
    let answer = ask(world, |outbox| outbox.submit(again)).await;
    match answer {
        Ok(answer) if answer.duplicate && !other_payload => {}
        Err(Error::Conflict { .. }) if other_payload => {}
        other => world.accuse(format!("{msg_id}, {told}, submitted again: {other:?}")),
    }
}

/// A person, or the app, asks something of one message.
pub(crate) async fn ask_for(world: &Arc<World>, verb: Verb, which: u64) {
    let Some(msg_id) = one_of(world, which) else { return };
    ask_of(world, verb, &msg_id).await;
}

/// The same of a certain message.
pub(crate) async fn ask_of(world: &Arc<World>, verb: Verb, msg_id: &str) {
    world.note(&format!("person: {verb:?} {msg_id}"));
    let id = msg_id.to_owned();
    let refused = match verb {
        Verb::Hold => ask(world, |outbox| outbox.hold(id, Some("audit".into()))).await.err(),
        Verb::Release => ask(world, |outbox| outbox.release(id)).await.err(),
        Verb::Resend => resend(world, msg_id).await,
        Verb::Cancel => cancel(world, msg_id).await,
        Verb::Resolve => resolve(world, msg_id).await,
    };
    match refused {
        None => world.count("answer", "done"),
        Some(Error::WrongState { .. }) => world.count("answer", "wrong state"),
        Some(error) => world.accuse(format!("{verb:?} of {msg_id}: {error}")),
    }
}

async fn resend(world: &World, msg_id: &str) -> Option<Error> {
    let id = msg_id.to_owned();
    {
        // Before the verb: an attempt may follow before its answer does.
        let mut facts = world.facts();
        let known = facts.messages.get_mut(msg_id)?;
        known.asked_again = true;
    }
    match ask(world, |outbox| outbox.resend(id, Overrides::default())).await {
        Ok(Changed::Sent(receipt)) => {
            let state = world.facts().messages[msg_id].state;
            if state != State::Sent || receipt.state() != State::Sent {
                world.accuse(format!("a resend of {msg_id}, {state}, is told that it was sent"));
            }
            None
        }
        Ok(Changed::Entry(_)) => None,
        Err(error) => Some(error),
    }
}

async fn cancel(world: &World, msg_id: &str) -> Option<Error> {
    let id = msg_id.to_owned();
    let answer = match ask(world, |outbox| outbox.cancel(id, None)).await {
        Ok(answer) => answer,
        Err(error) => return Some(error),
    };
    let now = world.clock.world_ms();
    let mut facts = world.facts();
    let known = &facts.messages[msg_id];
    let (state, is_there) = (known.state, !known.deliveries.is_empty());
    let (name, is_true) = match answer {
        Cancelled::Cancelled { may_have_arrived } => {
            // A success that is reported late may have overtaken the answer.
            (
                "cancelled",
                state == State::Sent
                    || state == State::Cancelled && (!is_there || may_have_arrived)
                    || matches!(state, State::Failed | State::Expired),
            )
        }
        Cancelled::Uncertain => ("uncertain", matches!(state, State::Cancelled | State::Sent)),
        Cancelled::Pending => ("pending", true),
        Cancelled::TooLate(_) => ("too late", state == State::Sent),
    };
    facts.trace.count("cancel", name);
    facts.must(now, is_true, || format!("the cancel of {msg_id}, now {state}, was answered {name}"));
    None
}

async fn resolve(world: &World, msg_id: &str) -> Option<Error> {
    let id = msg_id.to_owned();
    let was_resolved = {
        let mut facts = world.facts();
        let known = facts.messages.get_mut(msg_id)?;
        let before = known.resolved;
        known.resolved |= known.state != State::Sent;
        before
    };
    let answer = ask(world, |outbox| outbox.resolve(id, Resolution::default())).await;
    if answer.is_err() {
        let mut facts = world.facts();
        facts.messages.get_mut(msg_id)?.resolved = was_resolved;
    }
    answer.err()
}

/// Makes everything deferred due, as the socket's call does.
pub(crate) fn flush(world: &Arc<World>, account: Option<&'static str>) {
    let Some(doors) = world.doors() else { return };
    // It waits for its groups, and whoever waits commits.
    if let Err(error) = doors.outbox.flush(account.map(ToOwned::to_owned), None) {
        world.accuse(format!("a flush was refused: {error}"));
    }
}

pub(crate) async fn pause(world: &Arc<World>) {
    report(world, "pause", ask(world, |outbox| outbox.pause()).await);
}

pub(crate) async fn resume(world: &Arc<World>) {
    report(world, "resume", ask(world, |outbox| outbox.resume()).await);
}

pub(crate) async fn gate(world: &Arc<World>, account: &str, change: GateChange) {
    let account = account.to_owned();
    report(world, "an account's gate", ask(world, |outbox| outbox.set_account(account, change)).await);
}

fn report<T>(world: &World, what: &str, answer: outbox::Result<T>) {
    if let Err(error) = answer {
        world.accuse(format!("{what} was refused: {error}"));
    }
}

/// The app's word about the network.
pub(crate) async fn say(world: &Arc<World>, state: LinkState) {
    if state != LinkState::Down {
        world.facts().excused_offline += 1;
    }
    let Some(Doors { engine, .. }) = world.doors() else { return };
    let (reply, answer) = oneshot::channel();
    if !engine.send(Command::Connectivity(state, reply)).await || answer.await.is_err() {
        world.accuse("the app's word was not heard".to_owned());
    }
}

/// The weather changes.
pub(crate) fn change_weather(world: &Arc<World>, weather: Weather) {
    let mut facts = world.facts();
    if facts.weather.is_reachable() {
        facts.begun_offline = 0;
        facts.excused_offline = 0;
    }
    facts.weather = weather;
    facts.trace.count("weather", &format!("{weather:?}"));
}

/// Somebody sets the wall clock.
pub(crate) fn step_wall(world: &Arc<World>, ms: i64) {
    world.clock.step_wall(ms);
    world.facts().wall_was_set = true;
}

/// A message as it is now.
pub(crate) fn state_of(world: &World, msg_id: &str) -> Option<Message> {
    world.doors()?.outbox.get(msg_id).ok()
}

/// A while in the machine's time.
pub(crate) async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
