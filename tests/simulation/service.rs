//! The messaging service, and the way to it: a ledger of what arrived under which token.
//!
//! Owns:  de-duplication by token, what counts as a delivery, what is on its way.
//! Never: breaks its word: what it proves it has, what it refuses it has not taken.

use std::sync::Arc;
use std::time::Duration;

use outbox::{Class, Outcome, Replacement, Report, SendToken};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::weather::{Answer, Fate};
use crate::world::{Delivery, Facts, World};

/// A sender's patience for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A request that was on its way for longer is lost: its connection did not live through the machine's sleep.
const ON_ITS_WAY_MAX_MS: u64 = 5_000;

/// Longest way to the service, in milliseconds: below the shortest margin of a window.
const WAY_MAX_MS: u64 = 1_500;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) msg_id: String,
    pub(crate) token: SendToken,
}

/// How the sender ended.
pub(crate) enum Sent {
    Report(Report),
    Broke,
}

/// Sends a request to its fate.
pub(crate) async fn send(world: &Arc<World>, request: Request, fate: Fate) -> Sent {
    let pause = world.draw(|random| random.weighted(&[(6, 40), (3, 400), (1, 5_000)]));
    let pause = Duration::from_millis(world.draw(|random| random.range(1, pause)));
    match fate {
        Fate::NotReached => {
            sleep(pause).await;
            Sent::Report(report(Outcome::NotReached, Class::TransientNetwork))
        }
        Fate::Lost => {
            sleep(pause).await;
            Sent::Report(report(Outcome::MaybeReached, Class::TransientNetwork))
        }
        Fate::Breaks => {
            sleep(pause).await;
            Sent::Broke
        }
        Fate::Answered(answer) => match arrive(world, request, answer).await {
            Ok(report) => {
                sleep(pause).await;
                Sent::Report(report)
            }
            Err(_) => Sent::Report(report(Outcome::MaybeReached, Class::TransientNetwork)),
        },
        Fate::AnswerLost(answer) => {
            let arrives = arrive(world, request, answer);
            sleep(pause).await;
            drop(arrives);
            Sent::Report(report(Outcome::MaybeReached, Class::TransientNetwork))
        }
        Fate::Silent(answer) => {
            drop(arrive(world, request, answer));
            sleep(TIMEOUT).await;
            Sent::Report(report(Outcome::MaybeReached, Class::TransientNetwork))
        }
        Fate::BreaksAfter(answer) => {
            // Whether it arrived does not matter to one who breaks.
            let _ = arrive(world, request, answer).await;
            Sent::Broke
        }
    }
}

/// Puts a request on its way, which goes on whatever becomes of its sender.
fn arrive(world: &Arc<World>, request: Request, answer: Answer) -> oneshot::Receiver<Report> {
    let (reply, answered) = oneshot::channel();
    let world = Arc::clone(world);
    let left_ms = world.clock.world_ms();
    let way_ms = world.draw(|random| {
        let longest = random.weighted(&[(8, 60), (2, WAY_MAX_MS)]);
        random.range(1, longest)
    });
    tokio::spawn(async move {
        sleep(Duration::from_millis(way_ms)).await;
        let now = world.clock.world_ms();
        if now - left_ms > ON_ITS_WAY_MAX_MS {
            return;
        }
        let report = receive(&world, &request, answer, now);
        // The sender may have gone, with the answer or without.
        let _ = reply.send(report);
    });
    answered
}

/// The service reads a request.
fn receive(world: &World, request: &Request, answer: Answer, now_ms: u64) -> Report {
    let mut facts = world.facts();
    let report = match answer {
        Answer::Accept { same_id } => accept(world, &mut facts, request, same_id, now_ms),
        Answer::ProvesNothing { accepts } => {
            if accepts {
                accept(world, &mut facts, request, false, now_ms);
            }
            report(Outcome::ProvesNothing, Class::Ok)
        }
        Answer::Retry { class, after } => Report { retry_after: after, ..report(Outcome::Retry, class) },
        Answer::Limited { after } => {
            Report { retry_after: after, ..report(Outcome::Limited, Class::RateLimited) }
        }
        Answer::GateShut => report(Outcome::GateShut, Class::Auth),
        Answer::Reject { class } => report(Outcome::Reject, class),
    };
    let text = format!("service: {} -> {} {}", request.msg_id, report.outcome.as_str(), report.class);
    facts.trace.line(now_ms, &text);
    report
}

/// The service takes a message, or recognises it.
fn accept(world: &World, facts: &mut Facts, request: &Request, same_id: bool, now_ms: u64) -> Report {
    let window = world.setting.window;
    facts.next_id += 1;
    let fresh = format!("new-{}", facts.next_id);
    let Some(known) = facts.messages.get_mut(&request.msg_id) else {
        facts.accuse(now_ms, format!("the service got {}, which nobody submitted", request.msg_id));
        return report(Outcome::Reject, Class::PermanentContent);
    };
    let window_ms = if known.submit.to_group { window.group_ms } else { window.one_to_one_ms };
    let before = known
        .deliveries
        .iter()
        .find(|had| had.token == request.token && now_ms < had.at_ms + window_ms)
        .cloned();
    let is_repeat = before.is_some();
    let delivery = before.unwrap_or_else(|| Delivery {
        token: request.token,
        at_ms: now_ms,
        new_id: if same_id { request.msg_id.clone() } else { fresh },
    });
    if !is_repeat {
        known.deliveries.push(delivery.clone());
        if known.deliveries.len() == 1 {
            crate::judge::first_delivery(world, facts, &request.msg_id, now_ms);
        }
    }
    let is_known = is_repeat && facts.random.percent(50);
    let outcome = if is_known { Outcome::Duplicate } else { Outcome::Sent };
    facts.trace.count("delivery", if is_repeat { "repeated" } else { "new" });
    Report {
        replacement: Some(Replacement {
            new_msg_id: Some(delivery.new_id.clone()),
            data: format!("{{\"msgID\":\"{}\"}}", delivery.new_id).into_bytes(),
        }),
        ..report(outcome, Class::Ok)
    }
}

/// The code that stands for an outcome.
pub(crate) fn code(outcome: Outcome) -> i64 {
    let at = Outcome::ALL.iter().position(|other| *other == outcome).unwrap();
    i64::try_from(at).unwrap() + 100
}

fn report(outcome: Outcome, class: Class) -> Report {
    let code = if matches!(outcome, Outcome::Sent | Outcome::Duplicate) { 0 } else { code(outcome) };
    let desc = outcome.as_str().to_owned();
    Report { outcome, code, desc, class, retry_after: None, replacement: None }
}
